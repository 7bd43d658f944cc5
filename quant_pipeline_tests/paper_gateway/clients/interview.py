"""The test's end of the line to a client in another environment: one step at a time, the gateway's clock in between."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from quant_pipeline_tests.paper_gateway.clients.environments import Client

PATIENCE = 10.0


@dataclass(frozen=True)
class Failed:
    """A step the client could not take; equal to nothing a test expects."""

    why: str


@dataclass(frozen=True)
class Refused:
    """The code with which the server refused a step."""

    code: int


ABSENT = "the library has no such request"


class Interview:
    """A running client that takes the steps it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def step(self, name: str, **given: Any) -> Any:
        """Let the client take a step and return what it saw, or how it failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"step": name, "given": given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the client ended at the step {name}"
        told = json.loads(line)
        if "absent" in told:
            return ABSENT
        if "refused" in told:
            return Refused(told["refused"])
        return told["saw"] if "saw" in told else Failed(told["failed"])


@contextmanager
def interview(client: Client) -> Iterator[Interview]:
    """A client in its environment, ended with the block."""
    process = subprocess.Popen(client.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Interview(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE)
