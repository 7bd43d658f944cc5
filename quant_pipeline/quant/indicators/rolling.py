"""The arithmetic below the indicators: ratios that cannot blow up, recursive means as weights, Wilder's sums.

Everything here knows arrays and nothing of markets. Arrays are time-major, shape (T, N), the latest row last and
shorter histories padded with NaN above; ``lengths`` has shape (N,). ``latest_values`` calls it.

The mean of a recursion (EMA, Wilder) is linear in its inputs once its seed is, so its latest value is one product of
weights with the history. Weights are cached by length, since most symbols share one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

NOTHING = 1e-14
"""A denominator smaller than this counts as zero, as in TA-Lib."""


def ratio(numerator: np.ndarray, denominator: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    """Elementwise quotient; ``otherwise`` where the denominator is nothing, NaN where either side is unknown."""
    nothing = np.abs(denominator) < NOTHING
    quotient = numerator / np.where(nothing, 1.0, denominator)
    return np.where(nothing, otherwise, quotient)


def recursion_weights(length: int, rate: float, seed: int, start: int = 0) -> np.ndarray:
    """Weights of ``y += rate (x - y)``, seeded with the mean of ``seed`` inputs from ``start`` on.

    This is how TA-Lib seeds EMA (rate 2/(n+1)) and Wilder's mean (rate 1/n).

    Returns:
        Shape (length,), oldest first; all NaN where the seed is not filled.
    """
    first = start + seed
    if length < first:
        return np.full(length, np.nan)
    weights = np.zeros(length)
    weights[first:] = rate * (1.0 - rate) ** np.arange(length - first - 1, -1, -1)
    weights[start:first] = (1.0 - rate) ** (length - first) / seed
    return weights


def ema_weights(length: int, bars: int, start: int = 0) -> np.ndarray:
    """Weights of an exponential mean over ``bars``."""
    return recursion_weights(length, 2.0 / (bars + 1.0), bars, start)


def wilder_weights(length: int, bars: int) -> np.ndarray:
    """Weights of Wilder's mean over ``bars``."""
    return recursion_weights(length, 1.0 / bars, bars)


def sma_weights(length: int, bars: int) -> np.ndarray:
    """Weights of a plain mean over ``bars``."""
    if length < bars:
        return np.full(length, np.nan)
    return np.concatenate([np.zeros(length - bars), np.full(bars, 1.0 / bars)])


def lagged(weights: Callable[[int, int], np.ndarray], length: int, bars: int, lag: int) -> np.ndarray:
    """The weights as they were ``lag`` rows ago, for the history of today."""
    if length < lag:
        return np.full(length, np.nan)
    return np.concatenate([weights(length - lag, bars), np.zeros(lag)])


@lru_cache(maxsize=512)
def macd_weights(length: int) -> np.ndarray:
    """Weights of MACD(12, 26) and of its EMA(9), shape (2, length).

    TA-Lib seeds the fast mean so that both means begin at the 26th bar, and the signal with the first nine values.
    """
    fast, slow, signal = 12, 26, 9
    if length < slow + signal - 1:
        return np.full((2, length), np.nan)
    line = np.zeros((length - slow + 1, length))
    for row, bars in enumerate(range(slow, length + 1)):
        line[row, :bars] = ema_weights(bars, fast, start=slow - fast) - ema_weights(bars, slow)
    return np.stack([line[-1], ema_weights(len(line), signal) @ line])


def weighted(values: np.ndarray, lengths: np.ndarray, weights: Callable[[int], np.ndarray]) -> np.ndarray:
    """Latest values of F linear filters.

    Args:
        values: Inputs, shape (T, N), NaN above each symbol's first.
        lengths: Inputs each symbol has, shape (N,).
        weights: From a length to weights of shape (F, length).

    Returns:
        Shape (F, N).
    """
    rows, symbols = values.shape
    result = np.full((len(weights(rows)), symbols), np.nan)
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        history = values[rows - length :]
        result[:, same] = weights(int(length)) @ (history if len(same) == symbols else history[:, same])
    return result


def wilder_sums(values: np.ndarray, lengths: np.ndarray, bars: int) -> np.ndarray:
    """Wilder's running sums ``S += x - S / bars``, begun with the plain sum of the first ``bars - 1`` inputs.

    Args:
        values: K stacked inputs, shape (T, K, N), NaN above each symbol's first.
        lengths: Inputs each symbol has, shape (N,).
        bars: Length of the smoothing.

    Returns:
        The sums at every row, shape (T, K, N).
    """
    rows = len(values)
    place = np.arange(1, rows + 1)[:, None] - (rows - lengths)
    kept = np.where(place < bars, 1.0, 1.0 - 1.0 / bars)
    sums = np.where(place[:, None, :] > 0, values, 0.0)
    for row in range(1, rows):
        sums[row] += sums[row - 1] * kept[row]
    return sums


def wilder_mean_of_known(values: np.ndarray, known: np.ndarray, lengths: np.ndarray, bars: int) -> np.ndarray:
    """Wilder's latest mean that stands still where a value is not known.

    In the seed an unknown value counts as zero, as in TA-Lib's ADX.

    Args:
        values: Inputs, shape (T, N).
        known: Which inputs are known, shape (T, N).
        lengths: Inputs each symbol has, shape (N,).
        bars: Length of the smoothing.

    Returns:
        Shape (N,).
    """
    rows = len(values)
    place = np.arange(rows)[:, None] - (rows - lengths)
    in_seed = (place >= 0) & (place < bars)
    counted = known & (place >= bars)
    later = np.cumsum(counted[::-1], axis=0)[::-1] - counted
    decay = (1.0 - 1.0 / bars) ** np.arange(rows + 1) / bars
    return np.sum(decay[later] * values, axis=0, where=counted | (in_seed & known))
