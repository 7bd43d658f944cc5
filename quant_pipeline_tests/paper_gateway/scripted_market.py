"""A market that does what a test says: prints at given instants, and quotes a cent around the last of them."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from quant_pipeline.automation.sessions import EXCHANGE_TIME, sessions_between
from quant_pipeline.paper_gateway.markets.market import Instrument, MarketBar, PriceRange, Quote

EXCHANGES = ("NASDAQ", "NYSE")
TUESDAY = dt.date(2018, 2, 20)


def at(clock: str, day: dt.date = TUESDAY) -> dt.datetime:
    """An instant of a day in exchange time, ``10:15`` or ``10:15:30``."""
    return dt.datetime.combine(day, dt.time.fromisoformat(clock), EXCHANGE_TIME)


@dataclass
class ScriptedMarket:
    """Symbols with a first price the evening before, and the prints that a test adds."""

    prices: dict[str, float] = field(default_factory=lambda: {"AAA": 50.0, "BBB": 20.0, "CCC": 100.0, "FUND": 30.0})
    name: str = "scripted market"
    identity: str = "scripted"
    shortable: int = 50_000
    shares_a_print: int = 100
    halted: set[str] = field(default_factory=set)

    instruments: Sequence[Instrument] = ()

    def __post_init__(self) -> None:
        self.instruments = [
            Instrument(1000 + index, symbol, f"{symbol} Incorporated", EXCHANGES[index % 2], "Tools", _kind(symbol))
            for index, symbol in enumerate(self.prices)
        ]
        self._prints: dict[str, list[tuple[dt.datetime, float]]] = {
            symbol: [(at("16:00", dt.date(2018, 2, 16)), price)] for symbol, price in self.prices.items()
        }

    def prints(self, symbol: str, *trades: tuple[str, float], day: dt.date = TUESDAY) -> None:
        """Let a symbol trade at some times of a day."""
        self._prints[symbol] += [(at(clock, day), price) for clock, price in trades]
        self._prints[symbol].sort()

    def quote(self, symbol: str, at: dt.datetime) -> Quote | None:
        known = self._prints[symbol]
        seen = known[: bisect_right(known, at, key=lambda each: each[0])]
        if not seen:
            return None
        last = seen[-1][1]
        today = [price for when, price in seen if when.date() == at.date()] or [last]
        before = [price for when, price in seen if when.date() < at.date()] or [last]
        return Quote(
            at=seen[-1][0],
            bid=round(last - 0.01, 4),
            ask=round(last + 0.01, 4),
            last=last,
            bid_size=300,
            ask_size=200,
            last_size=100,
            open=today[0],
            high=max(today),
            low=min(today),
            previous_close=before[-1],
            volume=100 * len(seen) * round(self.prices[symbol]),
            halted=symbol in self.halted,
            shortable_shares=self.shortable,
        )

    def quotes(self, at: dt.datetime) -> dict[str, Quote]:
        found = {symbol: self.quote(symbol, at) for symbol in self.prices}
        return {symbol: quote for symbol, quote in found.items() if quote is not None}

    def daily_bars(self, symbol: str, until: dt.datetime, days: int) -> list[MarketBar]:
        price = self.prices[symbol]
        first = until.date() - dt.timedelta(days=days - 1)
        return [
            MarketBar(day, price, price + 1, price - 1, price, 1000, price, 10)
            for day in sessions_between(first, until.date())
        ]

    def minute_bars(self, symbol: str, since: dt.datetime, until: dt.datetime) -> list[MarketBar]:
        bars: list[MarketBar] = []
        for day in sessions_between(since.date(), until.date()):
            start = at("09:30", day)
            while start + dt.timedelta(minutes=1) <= min(until, at("16:00", day)):
                if start >= since:
                    price = self.prices[symbol] + start.minute / 100
                    bars.append(MarketBar(start, price, price, price, price, 10, price, 1))
                start += dt.timedelta(minutes=1)
        return bars

    def price_range(self, symbol: str, since: dt.datetime, until: dt.datetime) -> PriceRange | None:
        prices = [price for when, price in self._prints[symbol] if since < when <= until]
        if not prices:
            return None
        return PriceRange(prices[0], max(prices), min(prices), prices[-1], self.shares_a_print * len(prices))


def _kind(symbol: str) -> str:
    return "ETF" if symbol == "FUND" else "COMMON"
