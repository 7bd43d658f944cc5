"""A market seen through faults: halted, thin or without shares to borrow for a while.

Wraps the gateway's market and changes nothing as long as no such fault is armed. Prices are never touched: nothing may
be filled at a price that did not trade.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from quant_pipeline.paper_gateway.faults.armed import Armed
from quant_pipeline.paper_gateway.faults.fault import Fault, Subject, moment_on
from quant_pipeline.paper_gateway.markets.market import Instrument, Market, MarketBar, PriceRange, Quote, joined


class FaultyMarket:
    """The market the gateway plays, with what faults do to it."""

    def __init__(self, market: Market, armed: Callable[[], Iterable[Armed]]) -> None:
        self._market = market
        self._armed = armed
        self.name: str = market.name
        self.identity: str = market.identity
        self.instruments: Sequence[Instrument] = market.instruments

    def quote(self, symbol: str, at: dt.datetime) -> Quote | None:
        """The quote at an instant, changed by the faults of that instant."""
        quote = self._market.quote(symbol, at)
        return None if quote is None else self._changed(symbol, quote, at)

    def quotes(self, at: dt.datetime) -> dict[str, Quote]:
        """All quotes, changed by the faults of that instant."""
        quotes = self._market.quotes(at)
        if self._armed():
            return {symbol: self._changed(symbol, quote, at) for symbol, quote in quotes.items()}
        return quotes

    def daily_bars(self, symbol: str, until: dt.datetime, days: int) -> list[MarketBar]:
        """Daily bars, which no fault touches."""
        return self._market.daily_bars(symbol, until, days)

    def minute_bars(self, symbol: str, since: dt.datetime, until: dt.datetime) -> list[MarketBar]:
        """Minute bars, which no fault touches."""
        return self._market.minute_bars(symbol, since, until)

    def price_range(self, symbol: str, since: dt.datetime, until: dt.datetime) -> PriceRange | None:
        """Trades in a stretch of time: none while the symbol was halted, few while its market was thin."""
        stretches = [(since, until)]
        most: int | None = None
        for armed in self._armed():
            fault = armed.fault
            if fault.what == "halt" and fault.concerns(until, Subject(symbol=symbol)):
                begins, ends = _window(fault, until)
                stretches = [
                    piece for start, end in stretches for piece in ((start, min(end, begins)), (max(start, ends), end))
                ]
            elif fault.what == "thin_market" and self._holds(armed, symbol, until):
                most = fault.shares if most is None else min(most, fault.shares)
        ranges = [self._market.price_range(symbol, start, end) for start, end in stretches if start < end]
        prices = joined(piece for piece in ranges if piece is not None)
        return prices if prices is None or most is None else replace(prices, volume=min(prices.volume, most))

    def _changed(self, symbol: str, quote: Quote, at: dt.datetime) -> Quote:
        for armed in self._striking(symbol, at):
            fault = armed.fault
            if fault.what == "halt":
                quote = replace(quote, halted=True)
            elif fault.what == "no_shares_to_short":
                quote = replace(quote, shortable_shares=0)
            else:
                sizes = (min(size, fault.shares) for size in (quote.bid_size, quote.ask_size, quote.last_size))
                bid_size, ask_size, last_size = sizes
                quote = replace(quote, bid_size=bid_size, ask_size=ask_size, last_size=last_size)
        return quote

    def _striking(self, symbol: str, at: dt.datetime) -> Iterable[Armed]:
        return [armed for armed in self._armed() if self._holds(armed, symbol, at)]

    def _holds(self, armed: Armed, symbol: str, at: dt.datetime) -> bool:
        """Whether a fault holds for a symbol at an instant; seeing it hold counts as a strike."""
        begins, ends = _window(armed.fault, at)
        holds = armed.fault.concerns(at, Subject(symbol=symbol)) and begins <= at < ends
        armed.struck += holds
        return holds


def _window(fault: Fault, at: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """From when to when a fault holds: for ``seconds`` from ``after`` on, or always."""
    if fault.after is None:
        return dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)
    begins = moment_on(fault.after, at)
    return begins, begins + dt.timedelta(seconds=fault.seconds)
