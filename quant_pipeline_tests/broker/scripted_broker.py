"""A broker that says what a test tells it to: the few words of the TWS protocol that the paper gateway never utters.

It shakes hands as TWS does and then answers each message by the script, so that refusals, silence, remarks and late or
repeated words can be tried over a real socket with the real client.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from quant_pipeline.settings import Settings, load_settings

Fields = list[str]
Answer = Callable[[Fields], list[tuple[object, ...]]]

SERVER_VERSION = 176
START_API, CURRENT_TIME, MARKET_DATA, PLACE_ORDER, CANCEL_ORDER = "71", "49", "1", "3", "4"
EXECUTIONS, HISTORY, CANCEL_MARKET_DATA = "7", "20", "2"
NOW = 1_795_187_700  # 2026-11-20 15:15:00 UTC


def error(request_id: int | str, code: int, text: str) -> tuple[object, ...]:
    return (4, 2, request_id, code, text, "")


def order_status(order_id: int | str, state: str, client_id: int, perm_id: int) -> tuple[object, ...]:
    return (3, order_id, state, 0, 10, 0, perm_id, 0, 0, client_id, "", 0)


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            self._exactly(4)
            self._receive()
            self._send(SERVER_VERSION, "20261120 10:15:00 US/Eastern")
            while True:
                fields = self._receive()
                assert isinstance(self.server, ScriptedBroker)
                for answer in self.server.answers_to(fields):
                    self._send(*answer)
        except (ConnectionError, OSError):
            return

    def _receive(self) -> Fields:
        (length,) = struct.unpack(">I", self._exactly(4))
        return self._exactly(length).decode().split("\0")[:-1]

    def _exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            piece = self.request.recv(count - len(received))
            if not piece:
                raise ConnectionError
            received += piece
        return received

    def _send(self, *fields: object) -> None:
        message = "".join(f"{field}\0" for field in fields).encode()
        self.request.sendall(struct.pack(">I", len(message)) + message)


class ScriptedBroker(socketserver.ThreadingTCPServer):
    """Answers by message number; what is not in the script gets no answer."""

    daemon_threads = True

    def __init__(self, script: dict[str, Answer], accounts: str) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.script: dict[str, Answer] = {
            START_API: lambda _: [(15, 1, accounts), (9, 1, 1)],
            CURRENT_TIME: lambda _: [(49, 1, NOW)],
            **script,
        }
        self.received: list[Fields] = []

    def answers_to(self, fields: Fields) -> list[tuple[object, ...]]:
        self.received.append(fields)
        answer = self.script.get(fields[0])
        return answer(fields) if answer else []

    def settings(self, **broker: object) -> Settings:
        quick = {"messages_per_second": 0, "request_seconds": 5.0, "quote_seconds": 0.3, **broker}
        return load_settings(ib_host="127.0.0.1", ib_port=self.server_address[1], broker=quick)


@contextmanager
def scripted_broker(script: dict[str, Answer], accounts: str = "DU0000001") -> Iterator[ScriptedBroker]:
    with ScriptedBroker(script, accounts) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join(5)
