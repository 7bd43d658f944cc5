"""What every indicator must be: TA-Lib where it has the indicator, else a plain reference, obviously right and slow.

An oracle takes the bars of one symbol and returns the column at every bar, NaN where it is undefined. ``TALIB`` holds
those that are TA-Lib's own answers, ``REFERENCES`` the rest of the table's columns that come from bars. The references
share no code with the product: windows are cut out one by one and worked out in extended precision, means of recursions
are TA-Lib's. A quotient by nothing (less than 1e-14, as in TA-Lib) is 0 or what the table says it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import talib
from talib import MA_Type

NOTHING = 1e-14
YEAR, YEAR_WARM_UP, HALF_A_YEAR = 252, 240, 120


@dataclass(frozen=True)
class Bars:
    """Bars of one symbol, oldest first, arrays of shape (T,) without NaN."""

    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Bars:
        """The bars of one symbol's rows; rows without a price or the volume are not bars."""
        rows = frame.sort_values("date")
        fields = rows[["open", "high", "low", "close", "volume"]].to_numpy(dtype=float)
        _, high, low, close, volume = np.ascontiguousarray(fields[np.isfinite(fields).all(axis=1)].T)
        return cls(high, low, close, volume)


Oracle = Callable[[Bars], np.ndarray]
Reduction = Callable[[np.ndarray], "float | np.floating"]


def quotient(numerator: np.ndarray, denominator: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    """Elementwise, ``otherwise`` where the denominator is nothing, NaN where either side is."""
    with np.errstate(all="ignore"):
        exact = numerator / denominator
    return np.where(np.abs(denominator) < NOTHING, np.where(np.isnan(numerator), np.nan, otherwise), exact)


def windows(values: np.ndarray, bars: int, reduce: Reduction) -> np.ndarray:
    """A function of the last ``bars`` values at every bar, in extended precision, NaN until there are as many."""
    return up_to(values, bars, bars, reduce)


def up_to(values: np.ndarray, bars: int, least: int, reduce: Reduction) -> np.ndarray:
    """A function of the last values at every bar: ``bars`` of them, or what there is from ``least`` on."""
    result = np.full(len(values), np.nan)
    extended = values.astype(np.longdouble)
    for end in range(least, len(values) + 1):
        result[end - 1] = float(reduce(extended[max(end - bars, 0) : end]))
    return result


def mean(values: np.ndarray, bars: int) -> np.ndarray:
    """Plain mean of the last bars."""
    return windows(values, bars, np.mean)


def deviation(values: np.ndarray, bars: int, lost: int = 0) -> np.ndarray:
    """Standard deviation of the last bars in two passes, exactly 0 where they are all equal."""
    return windows(values, bars, lambda window: 0.0 if np.ptp(window) == 0.0 else np.std(window, ddof=lost))


def before(values: np.ndarray, bars: int) -> np.ndarray:
    """The series as it was some bars ago."""
    return np.concatenate([np.full(min(bars, len(values)), np.nan), values[:-bars]])


def true_range(b: Bars) -> np.ndarray:
    """From the higher of high and previous close to the lower of low and previous close; the first bar has none."""
    previous = before(b.close, 1)
    return np.maximum(b.high, previous) - np.minimum(b.low, previous)


def atr(b: Bars, bars: int = 14) -> np.ndarray:
    """TA-Lib's average true range."""
    return talib.ATR(b.high, b.low, b.close, bars)


def slope(b: Bars, average: np.ndarray) -> np.ndarray:
    """Change of an average over five bars, a bar, in units of the average true range."""
    return quotient((average - before(average, 5)) / 5.0, atr(b))


def bands(b: Bars) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper Bollinger band in extended precision."""
    middle, width = mean(b.close, 20), 2.0 * deviation(b.close, 20)
    return middle - width, middle + width


def money_flow_index(b: Bars) -> np.ndarray:
    """Share of the money that flowed on rising typical prices, each window summed afresh; 0 where none flowed."""
    typical = (b.high + b.low + b.close) / 3.0
    flow, change = (typical * b.volume)[1:], np.diff(typical)
    rising = windows(np.where(change > 0.0, flow, 0.0), 14, np.sum)
    moved = windows(np.where(change != 0.0, flow, 0.0), 14, np.sum)
    return np.concatenate([[np.nan], np.where(moved == 0.0, 0.0, 100.0 * rising / moved)])


def highest(values: np.ndarray) -> np.ndarray:
    """Highest of up to a year, from the bars on that make one."""
    return up_to(values, YEAR, YEAR_WARM_UP, np.max)


def lowest(values: np.ndarray) -> np.ndarray:
    """Lowest of up to a year, from the bars on that make one."""
    return up_to(values, YEAR, YEAR_WARM_UP, np.min)


def _stochastic(b: Bars) -> tuple[np.ndarray, np.ndarray]:
    return talib.STOCH(b.high, b.low, b.close, 14, 3, MA_Type.SMA, 3, MA_Type.SMA)


def _obv_slope(b: Bars) -> np.ndarray:
    return quotient(talib.LINEARREG_SLOPE(talib.OBV(b.close, b.volume), 20), mean(b.volume, 20))


def _relative_volume(b: Bars) -> np.ndarray:
    """TA-Lib divides by the volume before even where it is nothing."""
    usual = before(mean(b.volume, 20), 1)
    return np.where(usual == 0.0, 0.0, talib.RVOL(b.volume, 20))


def _volatility(b: Bars) -> np.ndarray:
    returns = np.diff(np.log(b.close.astype(np.longdouble)), prepend=np.nan)
    return 100.0 * np.sqrt(252.0) * deviation(returns[1:], 20, lost=1)


def _volatility_ratio(b: Bars) -> np.ndarray:
    """The first bar has no true range, so half a year of bars has one range less."""
    ranges = up_to(true_range(b)[1:], YEAR, HALF_A_YEAR - 1, np.mean)
    return quotient(atr(b), np.concatenate([[np.nan], ranges]))


TALIB: dict[str, Oracle] = {
    **{f"rsi_{n}": lambda b, n=n: talib.RSI(b.close, n) for n in (7, 14, 21)},
    "macd": lambda b: talib.MACD(b.close, 12, 26, 9)[0],
    "macd_signal": lambda b: talib.MACD(b.close, 12, 26, 9)[1],
    "macd_hist": lambda b: talib.MACD(b.close, 12, 26, 9)[2],
    "stoch_k": lambda b: _stochastic(b)[0],
    "stoch_d": lambda b: _stochastic(b)[1],
    "williams_r_14": lambda b: talib.WILLR(b.high, b.low, b.close, 14),
    **{f"roc_{n}": lambda b, n=n: talib.ROC(b.close, n) for n in (5, 10, 20)},
    "adx_14": lambda b: talib.ADX(b.high, b.low, b.close, 14),
    "plus_di_14": lambda b: talib.PLUS_DI(b.high, b.low, b.close, 14),
    "minus_di_14": lambda b: talib.MINUS_DI(b.high, b.low, b.close, 14),
    "atr_14": lambda b: atr(b, 14),
    "atr_21": lambda b: atr(b, 21),
    "atr_pct_14": lambda b: talib.NATR(b.high, b.low, b.close, 14),
    "bb_upper": lambda b: talib.BBANDS(b.close, 20, 2, 2)[0],
    "bb_lower": lambda b: talib.BBANDS(b.close, 20, 2, 2)[2],
    "keltner_middle": lambda b: talib.EMA(b.close, 20),
    "donchian_upper": lambda b: talib.DONCHIAN(b.high, b.low, 20)[0],
    "donchian_lower": lambda b: talib.DONCHIAN(b.high, b.low, 20)[2],
    **{f"ema_{n}": lambda b, n=n: talib.EMA(b.close, n) for n in (9, 21, 50)},
    **{f"sma_{n}": lambda b, n=n: talib.SMA(b.close, n) for n in (20, 50, 200)},
    "volume_ratio": _relative_volume,
    "cmf_20": lambda b: talib.CMF(b.high, b.low, b.close, b.volume, 20),
    "obv_slope_20": _obv_slope,
    "mfi_14": lambda b: talib.MFI(b.high, b.low, b.close, b.volume, 14),
}
"""Columns that TA-Lib has."""

REFERENCES: dict[str, Oracle] = {
    "macd_hist_atr": lambda b: quotient(TALIB["macd_hist"](b), atr(b)),
    "di_spread_14": lambda b: TALIB["plus_di_14"](b) - TALIB["minus_di_14"](b),
    "atr_trend": lambda b: quotient(atr(b), atr(b, 21)),
    "bb_width": lambda b: quotient(400.0 * deviation(b.close, 20), mean(b.close, 20)),
    "bb_pct_b": lambda b: quotient(b.close - bands(b)[0], bands(b)[1] - bands(b)[0], otherwise=0.5),
    "volatility_20": lambda b: np.concatenate([[np.nan], _volatility(b)]),
    "volatility_ratio": _volatility_ratio,
    "keltner_upper": lambda b: talib.EMA(b.close, 20) + 2.0 * atr(b, 10),
    "keltner_lower": lambda b: talib.EMA(b.close, 20) - 2.0 * atr(b, 10),
    "keltner_position": lambda b: quotient(b.close - talib.EMA(b.close, 20), 2.0 * atr(b, 10)),
    "donchian_position": lambda b: quotient(
        b.close - windows(b.low, 20, np.min), windows(b.high, 20, np.max) - windows(b.low, 20, np.min), otherwise=0.5
    ),
    "ema_9_vs_21": lambda b: quotient(talib.EMA(b.close, 9) - talib.EMA(b.close, 21), atr(b)),
    "ema_21_slope": lambda b: slope(b, talib.EMA(b.close, 21)),
    **{f"sma_{n}_slope": lambda b, n=n: slope(b, mean(b.close, n)) for n in (20, 50, 200)},
    "volume_spike": lambda b: quotient(b.volume - before(mean(b.volume, 20), 1), before(deviation(b.volume, 20), 1)),
    "dollar_volume_20": lambda b: before(mean(b.volume, 20), 1) * b.close / 1e6,
    **{f"zscore_{n}": lambda b, n=n: quotient(b.close - mean(b.close, n), deviation(b.close, n)) for n in (10, 20, 50)},
    **{f"price_vs_sma_{n}": lambda b, n=n: 100.0 * (b.close / mean(b.close, n) - 1.0) for n in (20, 50, 200)},
    "sma_50_distance": lambda b: quotient(b.close - mean(b.close, 50), atr(b)),
    "high_52w_pct": lambda b: 100.0 * (b.close / highest(b.high) - 1.0),
    "low_52w_pct": lambda b: 100.0 * (b.close / lowest(b.low) - 1.0),
    "range_52w_position": lambda b: quotient(b.close - lowest(b.low), highest(b.high) - lowest(b.low), otherwise=0.5),
}
"""Columns that TA-Lib has not."""

ORACLES = TALIB | REFERENCES

EXACT: dict[str, Oracle] = {
    "bb_lower": lambda b: bands(b)[0],
    "bb_upper": lambda b: bands(b)[1],
    "mfi_14": money_flow_index,
}
"""Where TA-Lib itself loses digits after a large jump, what is exact.

It takes a variance as mean square less squared mean, and keeps sums of money flows by adding and taking away.
"""
