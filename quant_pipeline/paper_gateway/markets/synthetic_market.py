"""The synthetic market: about five hundred fictional stocks, all of it following from a seed.

The default market of the paper gateway, so that nobody needs data or an account to see the pipeline work. Its parts
are the stocks (``fictional_stocks``), their daily bars (``synthetic_prices``), the path within a day
(``intraday_path``) and the book around it (``top_of_book``); here they become a ``market.Market``, with trading halts
and young listings.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quant_pipeline.automation.sessions import Session
from quant_pipeline.errors import UsageError
from quant_pipeline.paper_gateway.markets.fictional_stocks import SCANNED, YOUNG, population
from quant_pipeline.paper_gateway.markets.intraday_path import DayBar, tape_through
from quant_pipeline.paper_gateway.markets.market import MarketBar
from quant_pipeline.paper_gateway.markets.session_tape import market_bar
from quant_pipeline.paper_gateway.markets.synthetic_prices import BLOCK, DailyPrices, weekday_number
from quant_pipeline.paper_gateway.markets.tape_market import ONE_DAY, TapeMarket, TradedSession, days_between
from quant_pipeline.paper_gateway.markets.top_of_book import TopOfBook, noise_key, usual_spread
from quant_pipeline.paper_gateway.starting_values import DEFAULT_SEED

LISTING_AGE = 240
"""Weekdays after which a young listing makes room for a new company under its symbol."""

HALT_EVERY, SHORTEST_HALT, LONGEST_HALT = 45, 40, 90
"""Minutes: how often a halt begins among the busiest stocks and how long it lasts; one or two hold at a time."""

HALTABLE = SCANNED * 6 // 10
PLENTY_TO_BORROW = 5_000_000


class SyntheticMarket(TapeMarket):
    """A market invented from a seed; the same seed gives the same market, whatever is asked and in which order.

    Raises:
        UsageError: The seed is negative.
    """

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        if seed < 0:
            raise UsageError(f"The market's seed is {seed}; give a whole number from 0 on.")
        self._seed = seed
        self._stocks = population(seed)
        super().__init__(self._stocks.instruments)
        self.name = f"synthetic market, seed {seed}"
        self.identity = f"synthetic-{seed}"
        self._prices = DailyPrices(seed, self._stocks)
        self._index = {instrument.symbol: index for index, instrument in enumerate(self.instruments)}
        self._haltable = np.argsort(-self._stocks.log_volume)[:HALTABLE]
        self._halts = lru_cache(maxsize=64)(self._draw_halts)

    def _days(self, symbol: str, first: dt.date, last: dt.date) -> list[MarketBar]:
        index = self._index[symbol]
        listed = self._listed_since(index, weekday_number(last + ONE_DAY))
        days, numbers = _weekday_numbers(first, last)
        skipped = int(np.searchsorted(numbers, listed))
        columns = self._columns(index, numbers[skipped:])
        return [market_bar(*bar) for bar in zip(days[skipped:], *columns, strict=True)]

    def _trade(self, symbol: str, session: Session) -> TradedSession | None:
        index = self._index[symbol]
        number = weekday_number(session.day)
        bar = self._bar(index, number)
        halted = self._halts(session.day, session.minutes).get(index)
        path = np.random.default_rng([self._seed, 8, index, number])
        stocks = self._stocks
        price, volume = float(np.exp(stocks.log_price[index])), float(np.exp(stocks.log_volume[index]))
        spread = usual_spread(price, price * volume, float(stocks.volatility[index]))
        return TradedSession(
            tape=tape_through(bar, session, path, halted),
            book=TopOfBook(
                key=noise_key(self._seed, symbol, number),
                spread=spread * float(stocks.spread_factor[index]),
                daily_volume=volume,
            ),
            previous_close=self._bar(index, number - 1).close if number > 0 else bar.open,
            shortable_shares=PLENTY_TO_BORROW if stocks.shortable[index] else 0,
            halted=halted or range(0),
        )

    def _columns(
        self, index: int, numbers: NDArray[np.int64]
    ) -> tuple[list[float], list[float], list[float], list[float], list[int]]:
        """Open, high, low, close and volume of a stock on some weekdays."""
        prices: tuple[list[float], list[float], list[float], list[float]] = ([], [], [], [])
        volumes: list[int] = []
        for block in np.unique(numbers // BLOCK).tolist():
            bars = self._prices.block(block)
            rows = numbers[numbers // BLOCK == block] % BLOCK
            for price, series in zip(prices, (bars.open, bars.high, bars.low, bars.close), strict=True):
                price += (series[rows, index] / 100).tolist()
            volumes += bars.volume[rows, index].tolist()
        return *prices, volumes

    def _bar(self, index: int, number: int) -> DayBar:
        """The bar of a stock on a weekday, by its number since 2010."""
        block, row = divmod(number, BLOCK)
        bars = self._prices.block(block)
        return DayBar(
            bars.open.item(row, index) / 100,
            bars.high.item(row, index) / 100,
            bars.low.item(row, index) / 100,
            bars.close.item(row, index) / 100,
            bars.volume.item(row, index),
        )

    def _listed_since(self, index: int, number: int) -> int:
        """The weekday number a stock's history starts at, as seen on a weekday; listings follow one another evenly."""
        turn = int(self._stocks.young_turn[index])
        if turn < 0:
            return 0
        return number - (number + turn * LISTING_AGE // YOUNG) % LISTING_AGE

    def _draw_halts(self, day: dt.date, minutes: int) -> dict[int, range]:
        """The minutes of a session in which stocks are halted, by stock."""
        random = np.random.default_rng([self._seed, 9, weekday_number(day)])
        starts = np.arange(HALT_EVERY // 2, minutes - LONGEST_HALT, HALT_EVERY)
        starts += random.integers(-HALT_EVERY // 3, HALT_EVERY // 3, len(starts))
        lengths = random.integers(SHORTEST_HALT, LONGEST_HALT, len(starts))
        stocks = random.choice(self._haltable, len(starts), replace=False)
        return {
            stock: range(start, start + length)
            for stock, start, length in zip(stocks.tolist(), starts.tolist(), lengths.tolist(), strict=True)
        }


@lru_cache(maxsize=64)
def _weekday_numbers(first: dt.date, last: dt.date) -> tuple[tuple[dt.date, ...], NDArray[np.int64]]:
    days = days_between(first, last)
    return days, np.array([weekday_number(day) for day in days], dtype=np.int64)
