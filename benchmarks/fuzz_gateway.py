"""A gateway that is talked nonsense to: a million frames, most of them almost right, from a seed.

Run it with ``.venv/bin/python -m benchmarks.fuzz_gateway --frames 1000000 --seed 7``. Every request the real client can
write is recorded once, for every server version, and then garbled: fields swapped, lost, doubled, replaced by numbers
that are too large, no numbers, text with a NUL in it; frames cut, with a wrong length, or no text at all. Most go
through the session itself over a transport in memory, in packets cut anywhere; some over a real socket. After every
thousand frames the gateway must still tell the time, must have had no internal error and must not have grown.

What is found is printed with the seed and the number of the packet, so that it can be found again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import inspect
import logging
import os
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from ib_insync import (
    ExecutionFilter,
    LimitOrder,
    MarketOrder,
    Order,
    ScannerSubscription,
    Stock,
    StopLimitOrder,
    StopOrder,
    TagValue,
    WshEventData,
)

from quant_pipeline.automation.sessions import EXCHANGE_TIME
from quant_pipeline.paper_gateway.answers import account_answers, market_answers
from quant_pipeline.paper_gateway.client_session import ClientSession
from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.gateway_clock import ManualClock
from quant_pipeline.paper_gateway.markets.market import Market
from quant_pipeline.paper_gateway.markets.synthetic_market import SyntheticMarket
from quant_pipeline.paper_gateway.protocol.request_readers import READERS
from quant_pipeline.paper_gateway.protocol.wire import GREETING, HIGHEST_VERSION, LOWEST_VERSION, encode, frame
from quant_pipeline.paper_gateway.server import PaperGateway
from quant_pipeline.paper_gateway.service_limits import ServiceLimits
from quant_pipeline_tests.paper_gateway.protocol.clients_mouth import Mouth

START = dt.datetime(2018, 2, 20, 10, 15, tzinfo=EXCHANGE_TIME)
CHECK_FRAMES = 1_000
SOCKET_SHARE = 0.02
BROKEN_SHARE = 0.005
ORDER_SHARE = 0.2
PACKET_FRAMES = 40
SESSIONS = 3
FRAMES_A_DAY = 10_000
"""Frames after which the clock goes on to the next session, so that lists of a day's orders stay short."""

GROWTH_MB = 96
"""What the process may be larger at the end than after a fifth of the frames: the market's own caches fill up."""

TIME_ASKED = encode([49, 1])
NASTY = [
    *["", "0", "1", "2", "-1", "7", "100", "1.5", "-0.0", "49.99", "50.01", "nan", "-nan", "inf", "-inf"],
    *[
        "1e300",
        "1e308",
        "1.7976931348623157E308",
        "2147483647",
        "2147483648",
        "-2147483648",
        "9" * 30,
        "9" * 5_000,
        "0x10",
        "1_0",
        " 1 ",
    ],
    *["٣", "½", "é\u2028", "\U0001f4c8", "\ufeff", "x", "a\0b", "\0", "%s%n", "'; DROP TABLE orders; --", "A" * 10_000],
    *["STK", "BAG", "OPT", "SMART", "NASDAQ", "USD", "EUR", "BUY", "SELL", "SSHORT", "LMT", "MKT", "STP", "STP LMT"],
    *["TRAIL", "MOC", "DAY", "GTC", "IOC", "GTD", "TRADES", "MIDPOINT", "BID_ASK", "SCHEDULE", "1 day", "1 min"],
    *["5 secs", "30 secs", "15 mins", "7 mins", "1 D", "5 D", "999999 W", "999999 M", "9 Y", "365 D", "86400 S", "0 D"],
    *["20180214 10:00:00", "20180214-10:00:00", "00010101 00:00:00 UTC", "99991231 23:59:59", "20180230 10:00:00"],
    *["20180214 10:00:00 Mars/Olympus", "../../etc/passwd", "STK.US.MAJOR", "STK.MARS", "MOST_ACTIVE", "priceAbove=5;"],
    *["priceAbove=nan;", "236", "233,236,,x", "All", "$LEDGER:ALL", "NetLiquidation", "true", "True", "[]", "None"],
]


def recorded_requests(symbol: str, version: int) -> list[list[str]]:
    """One good request of every kind the client knows, and orders of every kind."""
    mouth, contract = Mouth(version), Stock(symbol, "SMART", "USD")
    orders = [
        LimitOrder("BUY", 7, 50.01, tif="DAY"),
        LimitOrder("SELL", 7, 49.0, tif="GTC", orderRef="slot:entry", ocaGroup="g", ocaType=1),
        MarketOrder("BUY", 7),
        MarketOrder("SELL", 7, parentId=1),
        StopOrder("SELL", 7, 49.0, transmit=False),
        StopLimitOrder("SELL", 7, 48.9, 49.0),
        Order(orderType="TRAIL", action="SELL", totalQuantity=7, auxPrice=1.0),
        LimitOrder("SELL", 7, 49.0, whatIf=True, algoStrategy="x", algoParams=[TagValue("a", "1")], hedgeType="D"),
    ]
    given: dict[str, object] = {
        "contract": contract,
        "order": orders[0],
        "execFilter": ExecutionFilter(),
        "subscription": ScannerSubscription(instrument="STK", locationCode="STK.US.MAJOR", scanCode="MOST_ACTIVE"),
        "genericTickList": "236",
        "durationStr": "5 D",
        "barSizeSetting": "1 day",
        "whatToShow": "TRADES",
        "tags": "NetLiquidation,$LEDGER:ALL",
        "groupName": "All",
        "pattern": symbol[:1],
        "marketRuleId": 26,
        "data": WshEventData(),
        "regulatorySnapshot": False,
        "keepUpToDate": False,
        "formatDate": 1,
    }
    kinds = ("req", "cancel", "set", "verify", "query", "subscribe", "unsubscribe", "update", "replaceFA", "calculate")
    for name, method in inspect.getmembers(mouth, inspect.ismethod):
        if name.startswith((*kinds, "exercise")) and name not in ("setConnectOptions", "updateReqId"):
            names = inspect.signature(method).parameters
            method(*(given.get(each, [] if each.endswith(("Options", "options")) else 5) for each in names))
    for order_id, order in enumerate(orders, 1):
        mouth.placeOrder(order_id, contract, order)
    for size, what in (("30 secs", "BID_ASK"), ("15 mins", "TRADES"), ("1 min", "MIDPOINT")):
        mouth.reqHistoricalData(5, contract, "", "3600 S", size, what, True, 2, size == "1 min", [])
    return mouth.said


class Garbler:
    """Makes frames out of good requests, from a seed."""

    def __init__(self, chance: random.Random, symbols: list[str]) -> None:
        self._chance = chance
        self._good = [
            request
            for version in (LOWEST_VERSION, HIGHEST_VERSION)
            for request in recorded_requests(symbols[0], version)
        ]
        self._orders = [request for request in self._good if request[0] == "3"]
        self._order_id = 1
        self._words = [*NASTY, *symbols, "1001"]
        self.message_ids: Counter[str] = Counter()

    def message(self) -> bytes:
        """A frame that is well-formed, whatever it says."""
        chance = self._chance
        if chance.random() < 0.15:
            ids = [*READERS, 0, 26, 48, 60, 105, 200, -1, 2**31]
            fields = [str(chance.choice(ids)), *(chance.choice(self._words) for _ in range(chance.randrange(30)))]
        else:
            fields = list(chance.choice(self._orders if chance.random() < ORDER_SHARE else self._good))
            if fields[0] == "3" and chance.random() < 0.9:
                self._order_id += chance.choice((0, 1, 1, 1, 2))
                fields[1] = str(self._order_id)
            for _ in range(chance.choice((0, 0, 1, 1, 1, 2, 5))):
                self._garble(fields)
        self.message_ids[fields[0] if fields else ""] += 1
        text = "".join(f"{field}\0" for field in fields)
        return frame(text) if 0 < len(text) < 200_000 else TIME_ASKED

    def _garble(self, fields: list[str]) -> None:
        chance = self._chance
        place = chance.randrange(len(fields)) if fields else 0
        match chance.randrange(7):
            case 0 if fields:
                other = chance.randrange(len(fields))
                fields[place], fields[other] = fields[other], fields[place]
            case 1:
                del fields[place:]
            case 2:
                del fields[place : place + 1]
            case 3:
                fields[place:place] = fields[place : place + 1] * chance.choice((1, 2, 50))
            case 4 if fields and place:
                fields[place] = str(chance.randrange(-(2**33), 2**33))
            case _:
                fields[place : place + 1] = [chance.choice(self._words)]

    def broken(self) -> bytes:
        """Bytes that are no frame; a connection does not survive them."""
        body = self.message()
        match self._chance.randrange(5):
            case 0:
                return struct.pack(">I", self._chance.choice((0, 2**32 - 1, 2**31, 2**20))) + body
            case 1:
                return struct.pack(">I", 5) + b"49\x001x"
            case 2:
                return struct.pack(">I", 4) + b"\xff\xfe\xfd\x00"
            case 3:
                return self._chance.randbytes(self._chance.randrange(1, 300))
            case _:
                return b"GET / HTTP/1.1\r\n\r\n"


class Memory(asyncio.Transport):
    """A transport without a network that keeps the end of what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.closed = False
        self.tail = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Count what is sent and keep its end."""
        self.written += len(data)
        self.tail = bytes(data[-200:])

    def get_write_buffer_size(self) -> int:
        """Nothing ever waits."""
        return 0

    def is_closing(self) -> bool:
        """Whether the gateway has closed it."""
        return self.closed

    def close(self) -> None:
        """Remember that the gateway closed it."""
        self.closed = True

    def abort(self) -> None:
        """Remember that the gateway closed it."""
        self.closed = True

    def pause_reading(self) -> None:
        """Bytes are handed over one packet after the other anyway."""

    def resume_reading(self) -> None:
        """Bytes are handed over one packet after the other anyway."""


class FoundError(AssertionError):
    """Something a message must never do."""


class Fuzz:
    """One run against one gateway.

    Args:
        market: What is traded.
        home: Folder of the book.
        seed: Of everything that is random.
        limits: Of the service; the rate of messages is none, or the run would take hours.
    """

    def __init__(self, market: Market, home: Path, seed: int, limits: ServiceLimits | None = None) -> None:
        self.chance = random.Random(seed)
        self.clock = ManualClock(START)
        self.book = Book(home / "book.sqlite", identity=market.identity, cash=1_000_000.0)
        # Nobody pulls the plug here, and a million frames hold a hundred thousand orders.
        self.book._db.execute("PRAGMA synchronous=OFF")
        chosen = limits or ServiceLimits(messages_per_second=None)
        self.gateway = PaperGateway(market, self.clock, self.book, "DU1", limits=chosen)
        self.gateway.failed = self._failed
        self.garbler = Garbler(self.chance, [each.symbol for each in market.instruments[:20]])
        self.errors: list[Exception] = []
        self.frames = self.sent_bytes = self.answered_bytes = self.reconnections = 0
        self.orders = self.executions = 0
        self._sessions: dict[int, tuple[ClientSession, Memory]] = {}

    def _failed(self, error: Exception) -> None:
        self.errors.append(error)

    async def run(self, frames: int) -> None:
        """Send so many frames; the gateway's own server takes part with a socket.

        Raises:
            FoundError: The gateway failed, fell silent or grew.
        """
        port = await self.gateway.start()
        settled = 0.0
        try:
            while self.frames < frames:
                begun = self.frames
                while self.frames - begun < CHECK_FRAMES:
                    await self._packet()
                self._live()
                await self._check(port)
                if not settled and self.frames >= frames / 5:
                    settled = resident_mb()
            self._found(resident_mb() - settled > GROWTH_MB, f"it grew from {settled:.0f} to {resident_mb():.0f} MB")
            self.orders, self.executions = (
                int(self.book._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
                for table in ("orders", "executions")
            )
        finally:
            await self.gateway.stop()
            self.book.close()

    async def _packet(self) -> None:
        session, transport = self._session(self.chance.randrange(SESSIONS))
        count = self.chance.randrange(1, PACKET_FRAMES)
        data = b"".join(self.garbler.message() for _ in range(count))
        is_broken = self.chance.random() < BROKEN_SHARE * count
        if is_broken:
            data += self.garbler.broken()
        self.frames += count
        self.sent_bytes += len(data)
        cut = self.chance.randrange(len(data))
        for piece in (data[:cut], data[cut:]):
            if piece and not transport.closed:
                session.data_received(piece)
        while session._is_deaf and not transport.closed:
            await asyncio.sleep(0)
        if transport.closed or is_broken:  # a few bytes may be the beginning of a frame: then the client vanishes
            self._leave(session, transport)
        self._found(bool(self.errors), "a message was an internal error")
        self._found(transport.closed and not is_broken, "a good frame closed the connection")

    def _session(self, client_id: int) -> tuple[ClientSession, Memory]:
        known = self._sessions.get(client_id)
        if known is not None:
            return known
        session, transport = ClientSession(self.gateway), Memory()
        session.connection_made(transport)
        versions = self.chance.choice(("v157..176", "v100..157", "v100..163", "v160..170"))
        session.data_received(GREETING + frame(versions) + encode([71, 2, client_id, ""]))
        self._sessions[client_id] = (session, transport)
        return session, transport

    def _leave(self, session: ClientSession, transport: Memory) -> None:
        self.answered_bytes += transport.written
        self.reconnections += 1
        session.connection_lost(None)
        self._sessions = {key: pair for key, pair in self._sessions.items() if pair[0] is not session}

    def _live(self) -> None:
        """Let time pass: orders meet the market and subscribers are told."""
        if self.frames % FRAMES_A_DAY < CHECK_FRAMES:
            morning = self.clock.now().replace(hour=10, minute=15, second=0)
            self.clock.set(morning + dt.timedelta(days=3 if morning.weekday() == 4 else 1))
        else:
            self.clock.advance(dt.timedelta(seconds=self.chance.randrange(1, 600)))
        self.gateway.step()
        quotes = self.gateway.accountant.quotes(self.clock.now())
        for session, _ in self._sessions.values():
            if session.is_ready:
                market_answers.push(session, quotes)
                account_answers.push_pnl(session)
                account_answers.refresh(session)

    async def _check(self, port: int) -> None:
        await self._over_a_socket(port)
        told = encode([49, 1, int(self.clock.now().timestamp())])
        for client_id in range(SESSIONS):
            session, transport = self._session(client_id)
            await asyncio.sleep(0)
            transport.tail = b""
            session.data_received(TIME_ASKED)
            self._found(not transport.tail.endswith(told), f"client {client_id} was not told the time")
        self._found(bool(self.errors), "telling or matching was an internal error")

    async def _over_a_socket(self, port: int) -> None:
        """Send a share of the frames over the network, read everything, and be told the time at the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = int(CHECK_FRAMES * SOCKET_SHARE)
        writer.write(GREETING + frame("v157..176") + encode([71, 2, 99, ""]))
        for _ in range(count):
            data = self.garbler.message()
            cut = self.chance.randrange(len(data))
            writer.write(data[:cut])
            if self.chance.random() < 0.3:
                await asyncio.sleep(0)
            writer.write(data[cut:])
        self.frames += count
        writer.write(TIME_ASKED)
        told = encode([49, 1, int(self.clock.now().timestamp())])
        heard = b""
        try:
            async with asyncio.timeout(30):
                while not heard.endswith(told):
                    data = await reader.read(1 << 20)
                    self._found(not data, "the connection over a socket was closed")
                    self.answered_bytes += len(data)
                    heard = (heard + data)[-200:]
        except TimeoutError:
            raise FoundError(f"packet at frame {self.frames}: nobody told the time over a socket") from None
        if self.chance.random() < 0.5:
            writer.transport.abort()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        while any(session.client_id == 99 for session in self.gateway._connections):
            await asyncio.sleep(0)

    def _found(self, something: bool, what: str) -> None:
        if something:
            cause = self.errors[0] if self.errors else None
            raise FoundError(f"packet at frame {self.frames}: {what}") from cause


def resident_mb() -> float:
    """Memory of this process, on Linux."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    """Fuzz and say what was found; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args()
    logging.getLogger("quant_pipeline").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as home:
        fuzz = Fuzz(SyntheticMarket(), Path(home), chosen.seed)
        began, before = time.perf_counter(), resident_mb()
        try:
            asyncio.run(fuzz.run(chosen.frames))
        except FoundError as found:
            print(f"seed {chosen.seed}, {found}", file=sys.stderr)
            raise
        took = time.perf_counter() - began
    print(
        f"seed {chosen.seed}: {fuzz.frames:,} frames in {took:.0f} s, {fuzz.sent_bytes / 1e6:.0f} MB in, "
        f"{fuzz.answered_bytes / 1e6:.0f} MB out, {fuzz.orders:,} orders, {fuzz.executions:,} executions, "
        f"{len(fuzz.garbler.message_ids)} message ids, {fuzz.reconnections:,} connections broken and made again, "
        f"{before:.0f} MB of memory before and {resident_mb():.0f} MB after, no internal error"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
