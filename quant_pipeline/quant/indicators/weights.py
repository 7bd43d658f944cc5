"""Weights that turn a history into the latest value of a mean: what a recursion comes to, written out.

The mean of a recursion (EMA, Wilder) is linear in its inputs once its seed is, so its latest value is one product of
weights with the history. Everything here depends on lengths alone. ``latest`` multiplies with these; stepping through
time is ``rolling``'s.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from quant_pipeline.quant.indicators.evaluation import MACD_FAST, MACD_SIGNAL, MACD_SLOW
from quant_pipeline.quant.indicators.rolling import Recursion


def recursion_weights(length: int, recursion: Recursion) -> np.ndarray:
    """Weights of the history in a recursion's latest value.

    Returns:
        Shape (length,), oldest first; all NaN where the seed is not filled.
    """
    if length < recursion.start + recursion.seed:
        return np.full(length, np.nan)
    return recursion.weights(length) * recursion.kept ** np.arange(length - 1.0, -1.0, -1.0)


def ema_weights(length: int, bars: int) -> np.ndarray:
    """Weights of an exponential mean over ``bars``."""
    return recursion_weights(length, Recursion.ema(bars))


@lru_cache(maxsize=4)
def slope_of_running_sum(bars: int) -> np.ndarray:
    """Weights of the last ``bars - 1`` inputs in the least-squares slope of their running sum, oldest first."""
    place = np.arange(bars) - (bars - 1) / 2.0
    return np.cumsum(place[::-1])[-2::-1] / (place @ place)


def sma_weights(length: int, bars: int) -> np.ndarray:
    """Weights of a plain mean over ``bars``."""
    if length < bars:
        return np.full(length, np.nan)
    return np.concatenate([np.zeros(length - bars), np.full(bars, 1.0 / bars)])


def mean_of_up_to(length: int, bars: int) -> np.ndarray:
    """Weights of a plain mean over ``bars``, or over what there is of them."""
    return sma_weights(length, max(min(length, bars), 1))


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
    if length < MACD_SLOW + MACD_SIGNAL - 1:
        return np.full((2, length), np.nan)
    fast = Recursion.ema(MACD_FAST, MACD_SLOW - MACD_FAST)
    line = np.zeros((length - MACD_SLOW + 1, length))
    for row, bars in enumerate(range(MACD_SLOW, length + 1)):
        line[row, :bars] = recursion_weights(bars, fast) - ema_weights(bars, MACD_SLOW)
    return np.stack([line[-1], ema_weights(len(line), MACD_SIGNAL) @ line])
