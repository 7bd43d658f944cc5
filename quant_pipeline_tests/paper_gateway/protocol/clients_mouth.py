"""What the real client would send, for tests of layouts and for the fuzzer: its own encoder, without a socket."""

from __future__ import annotations

from ib_insync.client import Client
from ib_insync.wrapper import Wrapper


class Mouth(Client):
    """The real client's encoder, with what it would send kept instead."""

    def __init__(self, version: int) -> None:
        super().__init__(Wrapper(None))
        self.said: list[list[str]] = []
        self.connState = Client.CONNECTED
        self._serverVersion = version

    def sendMsg(self, msg: str) -> None:  # noqa: N802 - the client's own name
        """Keep a message."""
        self.said.append(msg.split("\0")[:-1])
