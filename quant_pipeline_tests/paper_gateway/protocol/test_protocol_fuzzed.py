"""Thousands of messages that make no sense, from a seed: each is answered or refused, none is an internal error."""

from __future__ import annotations

import asyncio
import logging
import random
from pathlib import Path

import pytest
from ib_insync import ExecutionFilter, LimitOrder, MarketOrder, ScannerSubscription, StopOrder
from ib_insync.contract import Stock

from quant_pipeline.paper_gateway.client_session import ClientSession
from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.gateway_clock import ManualClock
from quant_pipeline.paper_gateway.protocol.request_readers import READERS
from quant_pipeline.paper_gateway.protocol.wire import GREETING, encode, frame
from quant_pipeline.paper_gateway.server import PaperGateway
from quant_pipeline_tests.paper_gateway.protocol.test_protocol_layouts import Mouth
from quant_pipeline_tests.paper_gateway.scripted_market import ScriptedMarket, at

MESSAGES = 5_000
WORDS = [
    *["", "0", "1", "2", "7", "50", "100", "1000", "1001", "-1", "-7", "1.5", "49.99", "50.01", "nan", "inf", "1e300"],
    *["1.7976931348623157E308", "9" * 30, "9" * 5000, "x", "é\u2028", "AAA", "BBB", "NONE", "STK", "BAG", "SMART"],
    *["NASDAQ", "USD", "BUY", "SELL", "LMT", "MKT", "STP", "DAY", "GTC", "TRADES", "BID_ASK", "1 day", "1 min"],
    *["1 D", "999999 W", "999999 M", "9 Y", "365 D", "20180214 10:00:00", "00010101 00:00:00 UTC", "MOST_ACTIVE"],
    *["20180214-10:00:00", "20180214 10:00:00 Mars/Olympus", "STK.US.MAJOR", "priceAbove=5;", "priceAbove=x;", "236"],
]


class Sink(asyncio.Transport):
    """A transport that counts what it is given and remembers being closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += len(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def templates() -> list[list[str]]:
    """Good requests as the real client writes them."""
    mouth, contract = Mouth(176), Stock("AAA", "SMART", "USD")
    for order_id, order in enumerate((LimitOrder("BUY", 7, 50.01), MarketOrder("SELL", 7), StopOrder("BUY", 7, 51)), 1):
        mouth.placeOrder(order_id, contract, order)
    mouth.placeOrder(1, contract, LimitOrder("SELL", 7, 49.0, whatIf=True, algoStrategy="x", hedgeType="D"))
    mouth.cancelOrder(2)
    mouth.reqContractDetails(5, contract)
    mouth.reqMktData(5, contract, "236", False, False, [])
    mouth.reqHistoricalData(5, contract, "", "5 D", "1 day", "TRADES", True, 1, False, [])
    subscription = ScannerSubscription(instrument="STK", locationCode="STK.US.MAJOR", scanCode="MOST_ACTIVE")
    mouth.reqScannerSubscription(5, subscription, [], [])
    mouth.reqExecutions(5, ExecutionFilter())
    mouth.reqAccountSummary(5, "All", "NetLiquidation,$LEDGER:ALL")
    mouth.reqPnLSingle(5, "DU1", "", 1000)
    return mouth.said


def garbled(chance: random.Random, good: list[list[str]]) -> list[str]:
    """Words at random, or a good request with a few fields replaced, doubled or lost."""
    if chance.random() < 0.3:
        return [str(chance.choice([*READERS, 105])), *(chance.choice(WORDS) for _ in range(chance.randrange(0, 30)))]
    fields = list(chance.choice(good))
    if fields[0] == "3":
        fields[1] = str(chance.randrange(1, 2_000))
    for _ in range(chance.randrange(0, 4)):
        place = chance.randrange(len(fields))
        fields[place : place + chance.choice([1, 1, 1, 1, 0, 2])] = [chance.choice(WORDS)]
    return fields


@pytest.mark.parametrize("seed", range(3))
def test_no_message_is_an_internal_error(tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int) -> None:
    async def fuzz() -> None:
        book = Book(tmp_path / "book.sqlite", identity="scripted", cash=100_000.0)
        gateway = PaperGateway(ScriptedMarket(), ManualClock(at("10:15")), book, "DU1")
        session, sink, chance, good = ClientSession(gateway), Sink(), random.Random(seed), templates()
        session.connection_made(sink)
        session.data_received(GREETING + frame("v157..176") + encode([71, 2, 1, ""]))
        for _ in range(MESSAGES):
            fields = garbled(chance, good)
            session.data_received(encode(fields))
            assert not sink.closed, fields
        await asyncio.sleep(0)
        gateway.match()
        assert sink.written > MESSAGES
        assert len(book.executions_since(at("10:00"))) > 50
        session.connection_lost(None)
        book.close()

    with caplog.at_level(logging.ERROR):
        # Not asyncio.run, which would take the thread's loop away from the clients of other tests.
        loop = asyncio.new_event_loop()
        loop.run_until_complete(fuzz())
        loop.close()
    assert not caplog.records
