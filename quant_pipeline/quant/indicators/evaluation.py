"""What a formula may ask of the bars, whichever bars it is evaluated at.

A formula of the table is written once, in terms of an ``Evaluation``: means, ranges, windows and sums at some bars.
``latest`` answers for the newest bar of every symbol, ``history`` for every bar; the values have shape (N,) there and
(T, N) here, and the formula cannot tell. How either works the answers out belongs to them. What they share is here: the
question itself, and the memory that answers it once.

Prices are dollars, volumes shares. What a window that is not filled yet gives is of no account: the evaluations blank
it by the declared warm-up, in one place each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from quant_pipeline.quant.indicators.rolling import NOTHING

Formula = Callable[["Evaluation"], np.ndarray]
Own = TypeVar("Own", bound="Evaluation")
Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

YEAR = 252
"""Sessions of a year: annualises volatility and bounds the 52-week windows."""

ROWS = YEAR
"""A panel is made at least this high, so that every window a formula asks for exists."""

SLOPE_BARS = 5
"""A slope is taken over a week of bars."""

EMA_BARS, SMA_BARS = (9, 20, 21, 50), (20, 50, 200)
GAIN_BARS, RANGE_BARS = (7, 14, 21), (10, 14, 21)
DEVIATION_BARS = (10, 20, 50)
"""Lengths a formula may ask for of what is worked out together."""

MACD_FAST, MACD_SLOW, MACD_SIGNAL = 12, 26, 9
DIRECTIONAL_BARS = 14
STOCHASTIC_BARS, STOCHASTIC_MEAN = 14, 3
OBV_BARS = 20


def once(
    answer: Callable[Concatenate[Own, Asked], Answer],
) -> Callable[Concatenate[Own, Asked], Answer]:
    """Remember the answer to a question, asked with positional arguments, for as long as the evaluation lives."""
    name = answer.__name__

    @wraps(answer)
    def remembered(self: Own, *asked: Asked.args, **_named: Asked.kwargs) -> Answer:
        key = (name, asked)
        try:
            return self.known[key]
        except KeyError:
            found = self.known[key] = answer(self, *asked)  # pyright: ignore[reportCallIssue]
            return found

    return remembered


class Evaluation(ABC):
    """Answers at the evaluated bars, one column a symbol.

    ``close``, ``high``, ``low`` and ``volume`` are those of the bars themselves; ``bid``, ``ask``, ``bid_size`` and
    ``ask_size`` what the quotes said at them, NaN where there was none. ``arithmetic`` is ``rolling`` or ``compiled``.
    """

    close: np.ndarray
    high: np.ndarray
    low: np.ndarray
    volume: np.ndarray
    bid: np.ndarray
    ask: np.ndarray
    bid_size: np.ndarray
    ask_size: np.ndarray

    def __init__(self, arithmetic: ModuleType) -> None:
        self.known: dict[tuple[object, ...], Any] = {}
        self._arithmetic = arithmetic

    def ratio(self, numerator: np.ndarray, denominator: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
        """Quotient by what is not negative; ``otherwise`` where that is nothing."""
        return self._arithmetic.ratio(numerator, denominator, otherwise, self.free())

    def percent(self, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """The part in percent of the whole; 0 where that is nothing."""
        return self._arithmetic.percent(part, whole, self.free())

    def change_pct(self, now: np.ndarray, then: np.ndarray) -> np.ndarray:
        """Percent by which a value now is above the one then; 0 where that was nothing."""
        return self._arithmetic.change_pct(now, then, self.free())

    def distance(self, one: np.ndarray, other: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """How far one value is above the other, in units; 0 where the unit is nothing."""
        return self._arithmetic.distance(one, other, unit, self.free())

    def in_atr(self, one: np.ndarray, other: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """How far one value is above the other in atr_14, times ``scale``; 0 where that is nothing."""
        return self._arithmetic.scaled(one, other, self._per_atr(), scale, self.free())

    @once
    def _per_atr(self) -> np.ndarray:
        ranges = self.atr(14)
        reciprocal = np.divide(1.0, ranges)
        np.copyto(reciprocal, 0.0, where=ranges < NOTHING)
        return reciprocal

    def place(self, value: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Place of a value between low (0) and high (1); 0.5 where there is nothing between them."""
        return self._arithmetic.place(value, low, high, self.free())

    def free(self) -> np.ndarray | None:
        """Where the next quotient may go, if there is such a place: the column it is for."""
        return None

    @abstractmethod
    def close_ago(self, bars: int) -> np.ndarray:
        """The close some bars earlier."""

    @abstractmethod
    def sma(self, bars: int, ago: int = 0) -> np.ndarray:
        """Plain mean of the last closes, as it stood ``ago`` bars earlier (0 or ``SLOPE_BARS``)."""

    @abstractmethod
    def ema(self, bars: int, ago: int = 0) -> np.ndarray:
        """Exponential mean of the closes, weight 2 / (bars + 1), seeded with the first plain mean."""

    @abstractmethod
    def macd(self) -> tuple[np.ndarray, np.ndarray]:
        """MACD(12, 26) and its EMA(9)."""

    @abstractmethod
    def gains(self, bars: int) -> tuple[np.ndarray, np.ndarray]:
        """Wilder's means of the rises of the close, and of its moves either way."""

    @abstractmethod
    def atr(self, bars: int) -> np.ndarray:
        """Wilder's mean of the true ranges."""

    @abstractmethod
    def mean_range_of_year(self) -> np.ndarray:
        """Plain mean of the true ranges of up to a year of bars."""

    @abstractmethod
    def directional(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Wilder's +DI, -DI and ADX of 14 bars, in percent, begun as TA-Lib begins them."""

    @abstractmethod
    def stochastic(self) -> tuple[np.ndarray, np.ndarray]:
        """%K(14, 3) and %D(3), in percent."""

    @abstractmethod
    def highest(self, bars: int) -> np.ndarray:
        """Highest high of up to so many bars."""

    @abstractmethod
    def lowest(self, bars: int) -> np.ndarray:
        """Lowest low of up to so many bars."""

    @abstractmethod
    def deviation(self, bars: int) -> np.ndarray:
        """Population standard deviation of the last closes; exactly 0 where they did not move."""

    @abstractmethod
    def above_mean(self, bars: int) -> np.ndarray:
        """The close less the mean of the last closes; exactly 0 where they did not move."""

    @abstractmethod
    def return_deviation(self, bars: int) -> np.ndarray:
        """Sample standard deviation of the last log returns."""

    @abstractmethod
    def usual_volume(self, bars: int) -> np.ndarray:
        """Mean volume of the bars before this one."""

    @abstractmethod
    def volume_deviation(self, bars: int) -> np.ndarray:
        """Population standard deviation of the volumes of the bars before this one."""

    @abstractmethod
    def mean_volume(self, bars: int) -> np.ndarray:
        """Mean volume of the last bars, this one included."""

    @abstractmethod
    def accumulated(self, bars: int) -> np.ndarray:
        """Mean of Chaikin's volume of the last bars: each weighted with its close's place in its range, -1 to 1."""

    @abstractmethod
    def balance_slope(self) -> np.ndarray:
        """Least-squares slope of on-balance volume over 20 bars, in shares a bar."""

    @abstractmethod
    def money_flows(self, bars: int) -> tuple[np.ndarray, np.ndarray]:
        """Typical price times volume of the last bars: where the typical price rose, and where it moved at all."""
