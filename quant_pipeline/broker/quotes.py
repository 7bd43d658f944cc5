"""Quotes of the universe: what the market shows for each stock now.

A snapshot cannot carry the shortable tick (IB answers 321), so each stock is subscribed to, in batches under the
account's market data lines. A batch is cancelled to make room for the next; the last one is left to end with the
session, which saves a message a symbol, and is cancelled only when quotes are read again over the same session.

What a quote must look like to be traded on is decided by the quality filter, not here: a stock the broker says nothing
about gets a row of missing values. Sizes and volumes are taken as shares, which is what TWS sends unless its option to
send lots is switched on.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import datetime as dt
import math
import time
from dataclasses import dataclass, field

import pandas as pd

from quant_pipeline import frames
from quant_pipeline.broker.client_library import IB, Contract, Ticker
from quant_pipeline.broker.error_codes import Meaning, meaning_of
from quant_pipeline.broker.session import BrokerSession, ClockReading
from quant_pipeline.broker.wire import ErrorMessage, Message
from quant_pipeline.errors import BrokerError
from quant_pipeline.settings import BrokerSettings

SHORTABLE_GENERIC_TICK = "236"
SHORTABLE_TICK = 46
# IB: above 2.5 at least 1000 shares can be borrowed, above 1.5 they must be located first, below that there are none.
SHORTABLE_ABOVE = 2.5
HALTED_VALUES = (1.0, 2.0)
# 1 live; 2 frozen at the last close; 3 and 4 delayed by 15 minutes or more.
LIVE_DATA = 1
# The clock is read before and after a batch; for the time before, a reading that has just been made will do.
RECENT_SECONDS = 1.0
NEEDED = ("bid", "ask", "last", "volume", "open", "high", "low", "close")


@dataclass
class Line:
    """One open subscription: what has come in, and when (``time.monotonic``) the last of it came."""

    symbol: str
    contract: Contract
    ticker: Ticker
    shortable: float = math.nan
    last_tick: float | None = None
    quoted_at: dt.datetime | None = None
    refused: bool = False

    @property
    def complete(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.refused or not (
            math.isnan(self.shortable) or any(math.isnan(getattr(self.ticker, name)) for name in NEEDED)
        )

    @property
    def open(self) -> bool:
        """Whether the broker still holds the subscription: what it refused from the start it does not."""
        return not self.refused or self.last_tick is not None

    def take(self, ticker: Ticker) -> None:
        """Note what the ticker has just received."""
        self.last_tick = time.monotonic()
        for tick in ticker.ticks:
            if tick.tickType == SHORTABLE_TICK:
                self.shortable = tick.price


@dataclass
class Batch:
    """The subscriptions that are open at one time."""

    lines: list[Line] = field(default_factory=list)
    by_request: dict[int, Line] = field(default_factory=dict)
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def check(self) -> None:
        """Wake the waiting reader when every line is complete."""
        if all(line.complete for line in self.lines):
            self.settled.set()

    def take(self, line: Line, ticker: Ticker) -> None:
        """A tick came for a line."""
        line.take(ticker)
        self.check()

    def refuse(self, message: Message) -> None:
        """The broker said something about a request; unless it is a mere remark, no ticks will follow."""
        if not isinstance(message, ErrorMessage) or meaning_of(message.code) is Meaning.INFORMATION:
            return
        if message.request_id in self.by_request:
            self.by_request[message.request_id].refused = True
            self.check()


def read_quotes(session: BrokerSession, universe: pd.DataFrame, settings: BrokerSettings) -> pd.DataFrame:
    """A ``quotes`` frame with one row a symbol of the universe, in its order.

    ``quoted_at`` is the broker's time at the arrival of the quote's last tick, taken between two readings of the
    broker's clock; it is missing where nothing came or the data are not live. Raises ``BrokerError`` when the broker
    sends no tick for any symbol.
    """
    stocks = list(zip(universe["symbol"], universe["con_id"], strict=True))
    lines: list[Line] = []
    clock = session.read_clock(RECENT_SECONDS)
    for start in range(0, len(stocks), settings.market_data_lines):
        read, clock = _read_batch(session, stocks[start : start + settings.market_data_lines], settings, clock)
        lines += read
    if lines and all(line.last_tick is None for line in lines):
        said = f" It says: {session.errors[-1].text.rstrip('.')}." if session.errors else ""
        raise BrokerError(
            f"The broker sent no quote for any of {len(lines)} symbols; check the market data subscriptions.{said}"
        )
    return _frame(lines, clock.broker)


def _read_batch(
    session: BrokerSession, stocks: list[tuple[str, int]], settings: BrokerSettings, began: ClockReading
) -> tuple[list[Line], ClockReading]:
    async def read(ib: IB) -> tuple[list[Line], ClockReading]:
        batch = Batch()
        for contract in session.open_lines:
            ib.cancelMktData(contract)
        session.open_lines = []
        with session.wire.heard_by(batch.refuse):
            for symbol, con_id in stocks:
                _subscribe(ib, batch, symbol, int(con_id))
            await session.drained()
            with contextlib.suppress(TimeoutError):  # what has not come by then is missing
                await asyncio.wait_for(batch.settled.wait(), settings.quote_seconds)
            ended = await session.clock_reading(ib)
        session.open_lines = [line.contract for line in batch.lines if line.open]
        for line in batch.lines:
            line.quoted_at = _broker_time(line, began, ended)
            line.ticker = copy.copy(line.ticker)  # the line stays open, and what comes later is not this reading
        return batch.lines, ended

    pace = settings.messages_per_second
    throttled = 2 * len(stocks) / pace if pace else 0.0
    allowed = settings.request_seconds + settings.quote_seconds + throttled
    return session.request(read, f"the quotes of {len(stocks)} symbols", allowed)


def _subscribe(ib: IB, batch: Batch, symbol: str, con_id: int) -> None:
    contract = Contract(conId=con_id, symbol=symbol, secType="STK", exchange="SMART", currency="USD")
    ticker = ib.reqMktData(contract, SHORTABLE_GENERIC_TICK)
    line = Line(symbol, contract, ticker)
    batch.lines.append(line)
    batch.by_request[ib.wrapper.ticker2ReqId["mktData"][ticker]] = line
    ticker.updateEvent.connect(lambda updated: batch.take(line, updated))


def _broker_time(line: Line, began: ClockReading, ended: ClockReading) -> dt.datetime | None:
    """The broker's time at the arrival of the last tick: its share of the way between two readings of the clock.

    The broker's clock may run at any speed, so the machine's own seconds are never added to it.
    """
    if line.last_tick is None or line.ticker.marketDataType != LIVE_DATA:
        return None
    share = (line.last_tick - began.machine) / max(ended.machine - began.machine, 1e-9)
    return began.broker + (ended.broker - began.broker) * min(max(share, 0.0), 1.0)


def _frame(lines: list[Line], observed_at: dt.datetime) -> pd.DataFrame:
    tickers = [line.ticker for line in lines]
    sizes = {name: [_size(getattr(ticker, name)) for ticker in tickers] for name in ("bidSize", "askSize", "volume")}
    return frames.validate(
        "quotes",
        pd.DataFrame(
            {
                "symbol": [line.symbol for line in lines],
                "bid": [_price(ticker.bid) for ticker in tickers],
                "ask": [_price(ticker.ask) for ticker in tickers],
                "last": [_price(ticker.last) for ticker in tickers],
                "bid_size": sizes["bidSize"],
                "ask_size": sizes["askSize"],
                "open": [_price(ticker.open) for ticker in tickers],
                "high": [_price(ticker.high) for ticker in tickers],
                "low": [_price(ticker.low) for ticker in tickers],
                "previous_close": [_price(ticker.close) for ticker in tickers],
                "volume": sizes["volume"],
                "halted": [ticker.halted in HALTED_VALUES for ticker in tickers],
                "shortable": pd.array([_shortable(line) for line in lines], dtype="boolean"),
                "quoted_at": pd.to_datetime([line.quoted_at for line in lines], utc=True),
                "observed_at": observed_at,
            }
        ),
    )


def _price(value: float) -> float:
    """IB sends -1 or 0 for a price it does not have."""
    return value if math.isfinite(value) and value > 0 else math.nan


def _size(value: float) -> float:
    return value if math.isfinite(value) and value >= 0 else math.nan


def _shortable(line: Line) -> bool | None:
    return None if math.isnan(line.shortable) else line.shortable > SHORTABLE_ABOVE
