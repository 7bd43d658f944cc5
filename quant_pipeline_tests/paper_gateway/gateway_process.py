"""A gateway as a process, moved by lines on its standard input, and a peer that speaks the client's words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ib_insync.client import Client
from ib_insync.wrapper import Wrapper

from quant_pipeline_tests.paper_gateway.gateway_room import RawClient

PATIENCE = 30.0


class Mouth(Client):
    """The real client's encoder; what it says goes over the socket of a raw peer."""

    def __init__(self, peer: RawClient, version: int = 176) -> None:
        super().__init__(Wrapper(None))
        self.connState = Client.CONNECTED
        self._serverVersion = version
        self._peer = peer

    def sendMsg(self, msg: str) -> None:  # noqa: N802 - the client's own name
        """Send at once, without the client's throttle."""
        body = msg.encode()
        self._peer.send_bytes(len(body).to_bytes(4, "big") + body)


class Trader(RawClient):
    """A raw peer that is introduced and keeps every byte it hears."""

    def __init__(self, port: int, client_id: int = 7) -> None:
        super().__init__(port)
        self.say = Mouth(self)
        self.greet(client_id=client_id)
        self.next_order_id = int(self.receive_until(9)[2])

    def hear(self) -> list[list[str]]:
        """Everything up to the answer of a question asked now."""
        self.say.reqCurrentTime()
        messages: list[list[str]] = []
        while True:
            message = self.receive()
            assert message is not None, "the connection was closed"
            if message[0] == "49":
                return messages
            messages.append(message)

    def order_id(self) -> int:
        """An order id that was not used."""
        self.next_order_id += 1
        return self.next_order_id - 1


class GatewayProcess:
    """A running gateway."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self.log = process, log
        self._in, self._out = process.stdin, process.stdout
        first_line = self._out.readline()
        assert first_line.startswith("listening on 127.0.0.1:"), log.read_text()
        self.port = int(first_line.rpartition(":")[2])

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        self._in.write(f"{line}\n")
        self._in.flush()

    def step(self, line: str) -> str:
        """Move its clock; return where it stands."""
        self.tell(line)
        word, _, at = self._out.readline().rstrip("\n").partition(" ")
        assert word == "at", self.log.read_text()
        return at

    def end_input(self) -> int:
        """Close its standard input and wait for the exit status."""
        self._in.close()
        return self.process.wait(PATIENCE)


@contextmanager
def gateway_process(home: Path, *options: str, **environment: str) -> Iterator[GatewayProcess]:
    """A gateway at speed 0 with a home of its own, until the block ends."""
    home.mkdir(parents=True, exist_ok=True)
    log = home / "said.log"
    command = [sys.executable, "-m", "quant_pipeline.paper_gateway", "--home", str(home), "--speed", "0", *options]
    with log.open("w") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**os.environ, **environment},
        )
    try:
        yield GatewayProcess(process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
