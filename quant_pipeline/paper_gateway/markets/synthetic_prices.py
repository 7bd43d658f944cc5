"""Daily bars of the synthetic market: returns that behave like those of real stocks, made a year at a time.

What belongs here is the price process; who the stocks are is ``fictional_stocks``', the path within a day
``intraday_path``'s. Time is cut into blocks of 260 weekdays. Where every stock stands at the ends of a block is known
beforehand (``_log_levels``), and a block is a bridge between its two ends, so that any year can be made alone, in any
order, and asking about a later day never changes an earlier one. Bridges between the points of a random walk make up a
random walk.

Within a block a return is the market's part, the sector's part and the stock's own part, each Student t with a
volatility that clusters (log volatility is a sum of Ornstein-Uhlenbeck processes: Taylor 1986), plus a slow trend and a
part that reverts within weeks. The overnight gap takes a third of the variance. High and low are drawn from the law of
the extremes of a Brownian bridge between open and close. Volume follows the size of the return and its own recent past.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quant_pipeline.paper_gateway.markets.fictional_stocks import INDUSTRIES, Population

Floats = NDArray[np.float64]

FIRST_WEEKDAY = dt.date(2010, 1, 4)
BLOCK = 260
LAST_BLOCK = 100
DEGREES_OF_FREEDOM = 4.2
OVERNIGHT = 0.33
LEVEL_MEMORY = 0.75
LEVEL_SHARE = 0.7
VOLATILITY_MEMORY = 0.965
VOLATILITY_OF_VOLATILITY = 0.36
GUST_MEMORY = 0.6
GUST_SIZE = 0.36
TREND_MEMORY = 0.97
TREND_SIZE = 0.07
REVERSION_MEMORY = 0.9
REVERSION_SIZE = 1.0
LOWEST_LEVEL, HIGHEST_LEVEL = 2.2, 600.0
LOWEST_PRICE, HIGHEST_PRICE = 0.5, 2_000.0
"""Dollars: what prices hover about, and what they never pass; nearly all lie between 2 and 900."""


@dataclass(frozen=True)
class DailyBlock:
    """Daily bars of one block; prices in cents, volume in shares, each of shape (BLOCK, stocks)."""

    open: NDArray[np.int32]
    high: NDArray[np.int32]
    low: NDArray[np.int32]
    close: NDArray[np.int32]
    volume: NDArray[np.int64]


class DailyPrices:
    """The daily bars of all stocks of a population on all weekdays from 2010 on.

    The market is quoted on weekdays of the exchange's calendar; a holiday's bar is made and never shown, so that its
    return becomes part of the next opening gap.
    """

    def __init__(self, seed: int, stocks: Population) -> None:
        self._seed = seed
        self._stocks = stocks
        self._levels = _log_levels(seed, stocks)
        self.block = lru_cache(maxsize=12)(self._make)

    def _make(self, number: int) -> DailyBlock:
        """The bars of a block, by its number since 2010."""
        stocks = self._stocks
        random = np.random.default_rng([self._seed, 2, number])
        own, sigma = self._returns(number, random)
        path = np.cumsum(own, axis=0)
        start, end = self._levels[number], self._levels[number + 1]
        elapsed = (np.arange(1, BLOCK + 1) / BLOCK)[:, None]
        close = start + path + elapsed * (end - start - path[-1])
        before = np.vstack((start, close[:-1]))
        day = close - before
        gap = OVERNIGHT * day + np.sqrt(OVERNIGHT * (1 - OVERNIGHT)) * sigma * random.standard_normal(day.shape)
        opening = before + gap
        high, low = _extremes(opening, close, 1.05 * np.sqrt(1 - OVERNIGHT) * sigma, random)
        surprise = np.abs(day) / stocks.volatility
        volume = np.exp(stocks.log_volume + _activity(surprise, sigma / stocks.volatility, random))
        return DailyBlock(_cents(opening), _cents(high), _cents(low), _cents(close), volume.astype(np.int64))

    def _returns(self, number: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Daily log returns before they are bridged and the volatility of each day, both of shape (BLOCK, stocks)."""
        stocks = self._stocks
        count = len(stocks.volatility)
        climate = self._anchored(number, random, 1, VOLATILITY_MEMORY, 3)
        weather = self._anchored(number, random, count, VOLATILITY_MEMORY, 4)
        gusts = self._anchored(number, random, count, GUST_MEMORY, 7)
        trend = self._anchored(number, random, count, TREND_MEMORY, 5)
        reverting = self._anchored(number, random, count, REVERSION_MEMORY, 6, starts_before=True)
        market = _student(random, (BLOCK, 1)) * np.exp(0.5 * climate)
        sectors = _student(random, (BLOCK, len(INDUSTRIES))) * np.exp(0.3 * climate)
        factor = market * stocks.market_loading + sectors[:, stocks.sector] * stocks.sector_loading
        rest = np.sqrt(1 - stocks.market_loading**2 - stocks.sector_loading**2)
        clustered = 0.94 * np.exp(VOLATILITY_OF_VOLATILITY * weather + GUST_SIZE * gusts + 0.2 * climate)
        own = _student(random, (BLOCK, count)) * clustered
        shape = 0.82 * (factor + rest * own) + TREND_SIZE * trend + REVERSION_SIZE * np.diff(reverting, axis=0)
        common = (stocks.market_loading**2 + stocks.sector_loading**2) * np.exp(climate)
        sigma = 0.84 * np.sqrt(common + (rest * clustered) ** 2)
        return stocks.volatility * shape, stocks.volatility * sigma

    def _anchored(
        self,
        number: int,
        random: np.random.Generator,
        count: int,
        memory: float,
        purpose: int,
        *,
        starts_before: bool = False,
    ) -> Floats:
        """A standard Ornstein-Uhlenbeck process that meets its neighbours at the ends of the block.

        Returns shape (BLOCK, count), or one row more, the end of the block before, first.
        """
        start, end = (
            np.random.default_rng([self._seed, purpose, boundary]).standard_normal(count)
            for boundary in (number, number + 1)
        )
        path = random.standard_normal((BLOCK + 1, count)) * np.sqrt(1 - memory**2)
        path[0] = start
        for day in range(1, BLOCK + 1):
            path[day] += memory * path[day - 1]
        backwards = memory ** np.arange(BLOCK, -1, -1.0)
        path += backwards[:, None] * (end - path[-1])
        return path if starts_before else path[1:]


@lru_cache(maxsize=8192)
def weekday_number(day: dt.date) -> int:
    """The number of a weekday, counted from 0; a day of a weekend has that of the Monday after it."""
    return int(np.busday_count(FIRST_WEEKDAY, day))


def _log_levels(seed: int, stocks: Population) -> Floats:
    """Log price of every stock at the boundaries of the blocks, shape (LAST_BLOCK + 2, stocks).

    Around the stock's level, an autoregression whose yearly changes have the size of a year of returns, part of it the
    whole market's.
    """
    random = np.random.default_rng([seed, 1])
    count = len(stocks.volatility)
    common = random.standard_normal((LAST_BLOCK + 2, 1))
    own = random.standard_normal((LAST_BLOCK + 2, count))
    loading = stocks.market_loading
    yearly = LEVEL_SHARE * stocks.volatility * np.sqrt(BLOCK)
    change = yearly * (loading * common + np.sqrt(1 - loading**2) * own)
    level = np.empty_like(change)
    level[0] = change[0] / np.sqrt(1 - LEVEL_MEMORY**2)
    for block in range(1, LAST_BLOCK + 2):
        level[block] = LEVEL_MEMORY * level[block - 1] + change[block]
    return np.clip(stocks.log_price + level, np.log(LOWEST_LEVEL), np.log(HIGHEST_LEVEL))


def _student(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Student t with unit variance."""
    degrees = DEGREES_OF_FREEDOM
    return random.standard_t(degrees, shape) * np.sqrt((degrees - 2) / degrees)


def _extremes(opening: Floats, close: Floats, sigma: Floats, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Highest and lowest log price of a Brownian bridge, by inverting the law of its maximum.

    P(max > m) = exp(-2 (m - open) (m - close) / sigma^2). The two are drawn independently.
    """
    middle, span = (opening + close) / 2, (close - opening) ** 2
    reach = np.sqrt(span - 2 * sigma**2 * np.log(1.0 - random.random((2, *opening.shape)))) / 2
    return middle + reach[0], middle - reach[1]


def _activity(surprise: Floats, turbulence: Floats, random: np.random.Generator) -> Floats:
    """Log of volume over its usual level: busier on large returns and in turbulent times, and with a memory of days."""
    noise = random.standard_normal(surprise.shape) * 0.21
    whole_market = random.standard_normal((BLOCK, 1)) * 0.1
    activity = np.empty_like(noise)
    memory = np.zeros(noise.shape[1])
    for day in range(BLOCK):
        memory = 0.7 * memory + noise[day]
        activity[day] = memory
    return activity + whole_market + 0.25 * (np.minimum(surprise, 6.0) - 0.7) + 0.25 * np.log(turbulence)


def _cents(log_price: Floats) -> NDArray[np.int32]:
    return np.round(np.clip(np.exp(log_price), LOWEST_PRICE, HIGHEST_PRICE) * 100).astype(np.int32)
