"""The daily bars of sessions that are over, as the text that answers a request for them.

A settled bar never changes, and writing a year of bars costs as much as a client's reading them; so each is written
once and kept, the symbols asked for last longest. Called by ``history_bars``.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from quant_pipeline.paper_gateway.exchange.trading_hours import midnight
from quant_pipeline.paper_gateway.markets.market import Market, MarketBar

ROWS_KEPT = 300_000
"""About 110 bytes each: a year of bars for 1 200 symbols."""

ONE_DAY = dt.timedelta(days=1)


@dataclass
class _Kept:
    """The bars of one symbol from ``first`` to ``last``, both included; ``days`` are those that have one."""

    first: dt.date
    last: dt.date
    days: list[dt.date]
    rows: list[str]


class SettledDays:
    """Rows of daily bars of a market, kept by symbol.

    Args:
        market: Whose bars they are.
        row: Writes one.
        rows_kept: How many are kept, of all symbols together; what one request asks for is kept even beyond.
    """

    def __init__(self, market: Market, row: Callable[[MarketBar], str], rows_kept: int = ROWS_KEPT) -> None:
        self._market = market
        self._row = row
        self._rows_kept = rows_kept
        self._count = 0
        self._by_symbol: dict[str, _Kept] = {}

    def rows(self, symbol: str, first: dt.date, last: dt.date) -> list[str]:
        """The rows of the days from ``first`` to ``last``, both included, which must be over."""
        if first > last:
            return []
        kept = self._by_symbol.pop(symbol, None)
        if kept is None:
            kept = _Kept(first, last, *self._written(symbol, first, last))
            self._count += len(kept.rows)
        else:
            self._extend(symbol, kept, first, last)
        self._by_symbol[symbol] = kept
        self._forget()
        return kept.rows[bisect_left(kept.days, first) : bisect_right(kept.days, last)]

    def _extend(self, symbol: str, kept: _Kept, first: dt.date, last: dt.date) -> None:
        before = len(kept.rows)
        if first < kept.first:
            days, rows = self._written(symbol, first, kept.first - ONE_DAY)
            kept.first, kept.days[:0], kept.rows[:0] = first, days, rows
        if last > kept.last:
            days, rows = self._written(symbol, kept.last + ONE_DAY, last)
            kept.last = last
            kept.days += days
            kept.rows += rows
        self._count += len(kept.rows) - before

    def _written(self, symbol: str, first: dt.date, last: dt.date) -> tuple[list[dt.date], list[str]]:
        following = last + ONE_DAY
        found = self._market.daily_bars(symbol, midnight(following), (following - first).days + 1)
        bars = [bar for bar in found if first <= bar.start <= last]
        return [bar.start for bar in bars], [self._row(bar) for bar in bars]

    def _forget(self) -> None:
        while self._count > self._rows_kept and len(self._by_symbol) > 1:
            oldest = next(iter(self._by_symbol))
            self._count -= len(self._by_symbol.pop(oldest).rows)
