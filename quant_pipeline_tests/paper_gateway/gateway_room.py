"""A gateway for tests: in a thread with a clock that is moved by hand, real ib_insync clients, and a raw one."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ib_insync import IB, Stock

from quant_pipeline.automation.sessions import session_on
from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.gateway_clock import ManualClock
from quant_pipeline.paper_gateway.options import account_of
from quant_pipeline.paper_gateway.server import PaperGateway
from quant_pipeline.paper_gateway.service_limits import ServiceLimits
from quant_pipeline_tests.paper_gateway.scripted_market import ScriptedMarket, at

PATIENCE = 10.0
UNPACED = ServiceLimits(messages_per_second=None, open_history_requests=None)
"""IB's limits without those that would make tests wait; test_service_limits has all of them."""


class GatewayRoom:
    """A running gateway, its market and its clock."""

    gateway: PaperGateway
    book: Book

    def __init__(
        self,
        market: ScriptedMarket,
        home: Path,
        start: dt.datetime,
        cash: float = 100_000.0,
        limits: ServiceLimits = UNPACED,
    ) -> None:
        self.market = market
        self.limits = limits
        self.clock = ManualClock(start)
        self.port = 0
        self._home = home
        self._cash = cash
        self._loop = asyncio.new_event_loop()

    def call(self, work: Callable[[], object]) -> object:
        """Do something on the gateway's own thread and wait for it."""

        async def on_loop() -> object:
            return work()

        return asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result(PATIENCE)

    def move_to(self, clock: str, day: dt.date | None = None) -> None:
        """Move the time forward and match what traded until then."""
        instant = at(clock, day or self.clock.now().date())

        def step() -> None:
            self.clock.set(instant)
            self.gateway.step()

        self.call(step)

    def wait_failed(self) -> None:
        """Wait for the gateway to give up, and raise why."""
        asyncio.run_coroutine_threadsafe(self.gateway.wait_failed(), self._loop).result(PATIENCE)

    def start(self) -> None:
        ready = threading.Event()

        def run() -> None:
            asyncio.set_event_loop(self._loop)
            # SQLite connections belong to the thread that opened them.
            self.book = Book(self._home / "book.sqlite", identity=self.market.identity, cash=self._cash)
            self.gateway = PaperGateway(
                self.market, self.clock, self.book, account_of(self.market.identity), limits=self.limits
            )
            self.port = self._loop.run_until_complete(self.gateway.start())
            self._loop.call_soon(ready.set)
            self._loop.run_forever()
            self.book.close()
            self._loop.close()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.gateway.stop(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)


@contextmanager
def gateway_room(
    home: Path, market: ScriptedMarket | None = None, start: str = "10:15", limits: ServiceLimits = UNPACED
) -> Iterator[GatewayRoom]:
    """A gateway that runs while the block does."""
    session_on(at(start).date())  # loads the calendar, for which clients on a busy machine would not wait
    room = GatewayRoom(market or ScriptedMarket(), home, at(start), limits=limits)
    room.start()
    try:
        yield room
    finally:
        room.stop()


@contextmanager
def connected(port: int, client_id: int = 1, *, read_only: bool = False, patience: float = PATIENCE) -> Iterator[IB]:
    """A real client, synchronised, that fails a request rather than wait for ever."""
    _give_this_thread_a_loop()
    ib = IB()
    ib.RequestTimeout = PATIENCE
    ib.RaiseRequestErrors = True
    ib.client.MaxRequests = 0
    ib.connect("127.0.0.1", port, clientId=client_id, timeout=patience, readonly=read_only)
    try:
        yield ib
    finally:
        with suppress(OSError):  # the gateway may be gone, killed on purpose
            ib.disconnect()


def _give_this_thread_a_loop() -> None:
    """The client library needs one, and another test's ``asyncio.run`` may have taken it away."""
    try:
        closed = asyncio.get_event_loop_policy().get_event_loop().is_closed()
    except RuntimeError:
        closed = True
    if closed:
        asyncio.set_event_loop(asyncio.new_event_loop())


def errors_of(ib: IB) -> list[tuple[int, int]]:
    """A list that fills with the (request id, code) of every error the client hears."""
    heard: list[tuple[int, int]] = []
    ib.errorEvent += lambda req_id, code, text, contract: heard.append((req_id, code))
    return heard


def until(ib: IB, happened: Callable[[], object]) -> None:
    """Let the client listen until something has happened."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        ib.sleep(0.01)


def stock(symbol: str) -> Stock:
    return Stock(symbol, "SMART", "USD")


class RawClient:
    """A peer that says exactly what it is told to."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.heard = bytearray()
        self._buffer = b""

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send(self, *fields: object) -> None:
        self.send_together([fields])

    def send_together(self, messages: Iterable[Iterable[object]]) -> None:
        """Send messages in one packet, as far as the system sends it as one."""
        bodies = ["".join(f"{field}\0" for field in fields).encode() for fields in messages]
        self.send_bytes(b"".join(struct.pack(">I", len(body)) + body for body in bodies))

    def greet(self, versions: str = "v157..176", client_id: int = 77) -> list[str]:
        """Shake hands and start the API; return the server's opening words."""
        self.send_bytes(b"API\0" + struct.pack(">I", len(versions)) + versions.encode())
        opening = self.receive()
        assert opening is not None
        self.send(71, 2, client_id, "")
        return opening

    def receive(self) -> list[str] | None:
        """The next message, or None when the server has closed the connection."""
        head = self._exactly(4)
        if head is None:
            return None
        body = self._exactly(struct.unpack(">I", head)[0])
        return None if body is None else body.decode().split("\0")[:-1]

    def receive_until(self, message_id: int) -> list[str]:
        """Skip to the next message of an id."""
        while True:
            message = self.receive()
            assert message is not None, "the connection was closed"
            if message[0] == str(message_id):
                return message

    def is_closed(self) -> bool:
        """Read to the end; true when the server closed the connection."""
        while True:
            if self.receive() is None:
                return True

    def close(self) -> None:
        self.socket.close()

    def _exactly(self, count: int) -> bytes | None:
        while len(self._buffer) < count:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._buffer += data
            self.heard += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken
