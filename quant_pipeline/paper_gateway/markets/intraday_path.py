"""A plausible minute path through a daily bar, for days of which only open, high, low, close and volume are known.

The path is a Brownian bridge from the open to the close, busier at both ends of the day, stretched so that it touches
the high and the low exactly; volume has the U shape of a session with auctions at its ends. Both markets make their
tapes of daily bars here. The random numbers come from the caller, so that the path of a bar is the same in every run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quant_pipeline.automation.sessions import Session
from quant_pipeline.paper_gateway.markets.session_tape import SessionTape

OPENING_AUCTION = 0.01
CLOSING_AUCTION = 0.066
BRIDGE_SCALE = 0.75
"""Standard deviation of the unpinned walk over the day, in units of the day's range, before it is stretched."""

EXCURSION = 0.7
"""How far a minute's extremes may lie beyond its open and close, in standard deviations of its change."""

SMALLEST_REACH = 1e-9
"""Stands in for a reach of zero, which only a day without a range has."""


@dataclass(frozen=True)
class DayBar:
    """A daily bar; prices in dollars, volume in shares."""

    open: float
    high: float
    low: float
    close: float
    volume: int


def tape_through(
    bar: DayBar, session: Session, random: np.random.Generator, halted: range | None = None
) -> SessionTape:
    """Return a tape that is consistent with a daily bar.

    Its first price is the open, its extremes are the high and the low, its last price is the close and its volumes sum
    to the day's. ``halted`` is a range of minutes without trades; it must leave the first and the last minute free.
    """
    trading, variance, turnover = _usual_day(session.minutes, halted or range(0))
    prices = _prices(bar, variance, random)
    surprise = (prices[1] - prices[2]) / np.sqrt(variance)
    volume = _volumes(bar.volume, turnover, surprise, random)
    auction = np.full((4, 1), bar.close)
    return SessionTape(session, np.append(trading, session.minutes), np.hstack((prices, auction)), volume)


@lru_cache(maxsize=64)
def _usual_day(
    session_minutes: int, halted: range
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The minutes with trades, and how much prices and volume usually move in each of them, mean about 1.

    Prices move most after the open, volume is largest before the close; the curves follow ten sessions of large US
    stocks in 2018.
    """
    minutes = np.setdiff1d(np.arange(session_minutes), np.array(halted, dtype=np.int64))
    since_open = minutes / session_minutes
    to_close = 1.0 - since_open
    variance = 0.55 + 5.0 * np.exp(-since_open / 0.06) + 0.25 * since_open**2 + 1.0 * np.exp(-to_close / 0.03)
    turnover = 0.62 + 1.1 * np.exp(-since_open / 0.09) + 0.25 * since_open**2 + 2.6 * np.exp(-to_close / 0.03)
    return minutes, variance, turnover


def _prices(bar: DayBar, variance: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Open, high, low and close of the minutes, shape (4, minutes)."""
    count = len(variance)
    elapsed = np.zeros(count + 1)
    variance.cumsum(out=elapsed[1:])
    elapsed /= elapsed[-1]
    step = np.sqrt(elapsed[1:] - elapsed[:-1]) * (BRIDGE_SCALE * (bar.high - bar.low))
    walk = np.zeros(count + 1)
    (random.standard_normal(count) * step).cumsum(out=walk[1:])
    path = bar.open + walk + (bar.close - bar.open - walk[-1]) * elapsed
    opening, close = path[:-1], path[1:]
    beyond = random.random((2, count)) * (EXCURSION * step)
    high = np.maximum(opening, close) + beyond[0]
    low = np.minimum(opening, close) - beyond[1]
    return _stretched(bar, np.stack((opening, high, low, close)))


def _stretched(bar: DayBar, prices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring the path between the day's extremes, so that it touches both.

    What lies above the day's open and close is scaled to end at the high, what lies below them to end at the low. The
    map is monotone, so the order of prices within a minute survives it, and the rounding to ticks after it.
    """
    upper, lower = max(bar.open, bar.close), min(bar.open, bar.close)
    highest, lowest = int(prices[1].argmax()), int(prices[2].argmin())
    up = (bar.high - upper) / max(prices.item(1, highest) - upper, SMALLEST_REACH)
    down = (lower - bar.low) / max(lower - prices.item(2, lowest), SMALLEST_REACH)
    inner = np.minimum(np.maximum(prices, lower), upper)
    beyond = prices - inner
    mapped = (inner + np.where(beyond > 0, up, down) * beyond).round(2 if bar.low >= 1.0 else 4)
    placed = np.minimum(np.maximum(mapped, bar.low), bar.high)
    placed[0, 0], placed[3, -1] = bar.open, bar.close
    placed[1, highest], placed[2, lowest] = bar.high, bar.low
    # The prices set exactly may lie off the tick grid by a fraction of a tick, on either side of their rounded minute.
    for minute in (0, -1):
        placed[1, minute] = placed[:, minute].max()
        placed[2, minute] = placed[:, minute].min()
    return placed


def _volumes(
    total: int, turnover: NDArray[np.float64], surprise: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Shares a minute, the closing auction last; whole numbers that sum to the day's volume."""
    moved = surprise / max(surprise.sum() / len(surprise), SMALLEST_REACH)
    weight = turnover * (0.5 + 0.5 * moved) * np.exp(0.4 * random.standard_normal(len(turnover)))
    share = weight * ((1.0 - OPENING_AUCTION - CLOSING_AUCTION) / weight.sum())
    share[0] += OPENING_AUCTION
    traded = np.zeros(len(share) + 2, dtype=np.int64)
    traded[1:-1] = share.cumsum() * total
    traded[-1] = total
    return traded[1:] - traded[:-1]
