"""The official decoder at work on single messages: how many fields it leaves unread, and what it complains about.

Run in an environment that has ibapi, 9.81 or 10; see ``conversation`` and ``test_golden_layouts``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from conversation import Problems, converse

decoder: Any = importlib.import_module("ibapi.decoder")
wrapper: Any = importlib.import_module("ibapi.wrapper")


class Counted(list[bytes]):
    """Fields that know how many of them were read."""

    read = 0

    def __iter__(self) -> Iterator[bytes]:
        for field in super().__iter__():
            self.read += 1
            yield field


class Reader:
    """A decoder that tells nobody."""

    def __init__(self) -> None:
        self.problems = Problems()

    def decode(self, version: int, messages: list[list[str]]) -> Any:
        """For each message the number of fields left unread, or what was wrong with it."""
        found = decoder.Decoder(wrapper.EWrapper(), version)
        return [self._one(found, message) for message in messages]

    def _one(self, found: Any, message: list[str]) -> int | str:
        self.problems.found.clear()
        wants_id = "msgId" in inspect.signature(found.interpret).parameters
        fields = Counted(text.encode() for text in message)
        if wants_id:  # newer versions take the id off first
            fields = Counted(fields[1:])
        known = (found.msgId2handleInfo or {}).get(int(message[0]))
        try:
            found.interpret(fields, *([int(message[0])] if wants_id else []))
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        # Its own wrapper logs the errors that messages carry; that it does so shows that it could read them.
        complaints = [each for each in self.problems.found if not each.startswith("ibapi.wrapper:")]
        if known is None or complaints:
            return "; ".join(complaints) or "it does not know this message"
        # Simple messages are taken by position, and a wrong number of fields is a complaint.
        return 0 if known.wrapperMeth is not None else len(fields) - fields.read


converse(Reader())
