"""How a test talks with a client in another environment: the name of a step in, what the client saw out, as JSON lines.

Imported by the scripts beside it, which run where neither the project nor its dependencies are installed, so only the
standard library may be used here. The test's end of the line is ``interview``.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

PATIENCE = 15.0
UNSET = 1e300
"""Above this a number is the wire's word for none."""

TICKS = {
    0: "bid size",
    1: "bid",
    2: "ask",
    3: "ask size",
    4: "last",
    5: "last size",
    6: "high",
    7: "low",
    8: "volume",
    9: "close",
    14: "open",
    45: "last time",
    46: "shortable",
    49: "halted",
    89: "shortable shares",
}
SIZE_OF = {1: 0, 2: 3, 4: 5}


class Problems(logging.Handler):
    """Keeps what the client's library complains about: a message of a wrong layout ends there and nowhere else."""

    def __init__(self, ignored: tuple[str, ...] = ()) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []
        self._ignored = ignored
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name not in self._ignored:
            cause = f": {record.exc_info[1]!r}" if record.exc_info else ""
            self.found.append(f"{record.name}: {record.getMessage()}{cause}")


class RefusedError(Exception):
    """The server answered a request with an error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class AbsentError(Exception):
    """The library has no such request."""


def number(value: Any) -> float | None:
    """A number as all clients have it: some give text, some decimals, some a huge number for none."""
    found = float(value) if value not in ("", None) else UNSET
    return found if abs(found) < UNSET else None


def converse(trader: object) -> None:
    """Carry out a trader's steps until the line is closed; one that fails says so and the next one is tried."""
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            told: dict[str, Any] = {"saw": getattr(trader, asked["step"])(**asked["given"])}
        except AbsentError:
            told = {"absent": True}
        except Exception as error:
            code = getattr(error, "code", None)
            told = {"refused": code} if code else {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), flush=True)  # noqa: T201 - the line to the test
