"""What ``rolling`` does, compiled by numba: the same names and answers for full histories, in less than half the time.

``history`` takes this module where numba is installed (the extra ``fast``); nothing else imports it, and nothing can be
had from it alone. What each function answers is said in ``rolling``, how it gets there is said here. Loops run along
the rows of time-major arrays, so that the processor's vector units take several symbols at once.

Windows are put together after van Herk and Gil-Werman: within stretches of the window's length, from the left and from
the right, since each window is the end of one stretch and the beginning of the next. Like doubling, this forgets a
large value altogether once it has left the window.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numba import njit

from quant_pipeline.quant.indicators import rolling
from quant_pipeline.quant.indicators.rolling import NOTHING, Out, Recursion


def symbols_in_block(rows: int) -> int:
    """How many symbols of so many rows are best worked out together: their arrays take a fifth of a megabyte."""
    return max(25_200 // rows, 1)


def ratio(numerator: np.ndarray, denominator: np.ndarray, otherwise: float = 0.0, out: Out = None) -> np.ndarray:
    """Quotient by what is not negative."""
    if numerator.ndim == 1:
        return rolling.ratio(numerator, denominator, otherwise, out)
    return _ratio(numerator, denominator, otherwise, np.empty_like(numerator) if out is None else out)


def percent(part: np.ndarray, whole: np.ndarray, out: Out = None) -> np.ndarray:
    """The part in percent of the whole."""
    return _percent(part, whole, np.empty_like(part) if out is None else out)


def change_pct(now: np.ndarray, then: np.ndarray, out: Out = None) -> np.ndarray:
    """Percent by which a value now is above the one then."""
    return _change_pct(now, then, np.empty_like(now) if out is None else out)


def distance(one: np.ndarray, other: np.ndarray, unit: np.ndarray, out: Out = None) -> np.ndarray:
    """How far one value is above the other, in units."""
    return _distance(one, other, unit, np.empty_like(one) if out is None else out)


def scaled(one: np.ndarray, other: np.ndarray, per_unit: np.ndarray, scale: float, out: Out = None) -> np.ndarray:
    """How far one value is above the other, in units that come as their reciprocal, times ``scale``."""
    return _scaled(one, other, per_unit, scale, np.empty_like(one) if out is None else out)


def place(value: np.ndarray, low: np.ndarray, high: np.ndarray, out: Out = None) -> np.ndarray:
    """Place of a value between low and high."""
    return _place(value, low, high, np.empty_like(value) if out is None else out)


@njit(cache=True)
def _ratio(numerator: np.ndarray, denominator: np.ndarray, otherwise: float, out: np.ndarray) -> np.ndarray:
    for row in range(out.shape[0]):
        for symbol in range(out.shape[1]):
            by = denominator[row, symbol]
            out[row, symbol] = otherwise if by < NOTHING else numerator[row, symbol] / by
    return out


@njit(cache=True)
def _percent(part: np.ndarray, whole: np.ndarray, out: np.ndarray) -> np.ndarray:
    for row in range(out.shape[0]):
        for symbol in range(out.shape[1]):
            by = whole[row, symbol]
            out[row, symbol] = 0.0 if by < NOTHING else part[row, symbol] / by * 100.0
    return out


@njit(cache=True)
def _change_pct(now: np.ndarray, then: np.ndarray, out: np.ndarray) -> np.ndarray:
    for row in range(out.shape[0]):
        for symbol in range(out.shape[1]):
            by = then[row, symbol]
            out[row, symbol] = 0.0 if by < NOTHING else (now[row, symbol] - by) / by * 100.0
    return out


@njit(cache=True)
def _distance(one: np.ndarray, other: np.ndarray, unit: np.ndarray, out: np.ndarray) -> np.ndarray:
    for row in range(out.shape[0]):
        for symbol in range(out.shape[1]):
            by = unit[row, symbol]
            out[row, symbol] = 0.0 if by < NOTHING else (one[row, symbol] - other[row, symbol]) / by
    return out


@njit(cache=True)
def _scaled(one: np.ndarray, other: np.ndarray, per_unit: np.ndarray, scale: float, out: np.ndarray) -> np.ndarray:
    for row in range(out.shape[0]):
        for symbol in range(out.shape[1]):
            out[row, symbol] = (one[row, symbol] - other[row, symbol]) * (per_unit[row, symbol] * scale)
    return out


@njit(cache=True)
def _place(value: np.ndarray, low: np.ndarray, high: np.ndarray, out: np.ndarray) -> np.ndarray:
    for row in range(out.shape[0]):
        for symbol in range(out.shape[1]):
            width = high[row, symbol] - low[row, symbol]
            out[row, symbol] = 0.5 if width < NOTHING else (value[row, symbol] - low[row, symbol]) / width
    return out


class Windows:
    """What is found in the last rows of one series."""

    def __init__(self, series: np.ndarray) -> None:
        self._series = series

    def sum(self, bars: int) -> np.ndarray:
        """Sum of up to so many rows."""
        return _sums(self._series, bars, 1.0)

    def mean(self, bars: int) -> np.ndarray:
        """Sum of up to so many rows, over their full number."""
        return _sums(self._series, bars, 1.0 / bars)

    def highest(self, bars: int) -> np.ndarray:
        """Highest of up to so many rows."""
        return _extremes(self._series, bars, True)

    def lowest(self, bars: int) -> np.ndarray:
        """Lowest of up to so many rows."""
        return _extremes(self._series, bars, False)

    def deviation(self, bars: int, lost: int = 0) -> np.ndarray:
        """Standard deviation, ``lost`` degrees of freedom lost."""
        return _deviations(self._series, bars, lost)

    def filtered(self, taps: np.ndarray) -> np.ndarray:
        """Weighted sums of the last rows."""
        return _filtered(self._series, taps)


@njit(cache=True)
def moves(close: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rises of the close from row to row, and its moves either way."""
    rises, either_way = np.empty_like(close), np.empty_like(close)
    rises[0] = 0.0
    either_way[0] = 0.0
    for row in range(1, close.shape[0]):
        for symbol in range(close.shape[1]):
            change = close[row, symbol] - close[row - 1, symbol]
            rises[row, symbol] = max(change, 0.0)
            either_way[row, symbol] = abs(change)
    return rises, either_way


log_returns = rolling.log_returns


@njit(cache=True)
def true_ranges(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Range of each bar and the close before it."""
    ranges = np.empty_like(close)
    ranges[0] = 0.0
    for row in range(1, close.shape[0]):
        for symbol in range(close.shape[1]):
            before = close[row - 1, symbol]
            ranges[row, symbol] = max(high[row, symbol], before) - min(low[row, symbol], before)
    return ranges


@njit(cache=True)
def directional_moves(high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilder's directional moves."""
    rises, falls = np.empty_like(high), np.empty_like(high)
    rises[0] = 0.0
    falls[0] = 0.0
    for row in range(1, high.shape[0]):
        for symbol in range(high.shape[1]):
            up = high[row, symbol] - high[row - 1, symbol]
            down = low[row - 1, symbol] - low[row, symbol]
            rises[row, symbol] = max(up, 0.0) if up > down else 0.0
            falls[row, symbol] = max(down, 0.0) if down > up else 0.0
    return rises, falls


@njit(cache=True)
def signed_volume(close: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """Volume with the sign of the close's change."""
    signed = np.empty_like(close)
    signed[0] = 0.0
    for row in range(1, close.shape[0]):
        for symbol in range(close.shape[1]):
            change, traded = close[row, symbol] - close[row - 1, symbol], volume[row, symbol]
            signed[row, symbol] = (traded if change > 0.0 else 0.0) - (traded if change < 0.0 else 0.0)
    return signed


@njit(cache=True)
def placed_volume(high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """Volume times the close's place in its range, from -1 to 1."""
    placed = np.empty_like(close)
    for row in range(close.shape[0]):
        for symbol in range(close.shape[1]):
            width = high[row, symbol] - low[row, symbol]
            share = 0.5 if width < NOTHING else (close[row, symbol] - low[row, symbol]) / width
            placed[row, symbol] = (share - 0.5) * 2.0 * volume[row, symbol]
    return placed


@njit(cache=True)
def money_flow(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Typical price times volume, where the typical price rose and where it moved at all."""
    rising, moved = np.empty_like(close), np.empty_like(close)
    before = (high[0] + low[0] + close[0]) / 3.0
    rising[0] = 0.0
    moved[0] = 0.0
    for row in range(1, close.shape[0]):
        for symbol in range(close.shape[1]):
            typical = (high[row, symbol] + low[row, symbol] + close[row, symbol]) / 3.0
            flow, change = typical * volume[row, symbol], typical - before[symbol]
            rising[row, symbol] = flow if change > 0.0 else 0.0
            moved[row, symbol] = flow if change != 0.0 else 0.0
            before[symbol] = typical
    return rising, moved


def recursive(series: np.ndarray, recursions: tuple[Recursion, ...]) -> np.ndarray:
    """Several recursions over one series."""
    rows, symbols = series.shape
    result = np.empty((len(recursions), rows, symbols))
    for place, recursion in enumerate(recursions):
        _recursive(series, _weights(recursion, rows), recursion.kept, result[place])
    return result


@lru_cache(maxsize=256)
def _weights(recursion: Recursion, rows: int) -> np.ndarray:
    return recursion.weights(rows)


@njit(cache=True)
def _recursive(series: np.ndarray, weights: np.ndarray, kept: float, result: np.ndarray) -> None:
    rows, symbols = series.shape
    for symbol in range(symbols):
        result[0, symbol] = weights[0] * series[0, symbol]
    for row in range(1, rows):
        weight = weights[row]
        for symbol in range(symbols):
            result[row, symbol] = kept * result[row - 1, symbol] + weight * series[row, symbol]


@njit(cache=True)
def _sums(series: np.ndarray, bars: int, scale: float) -> np.ndarray:
    rows, symbols = series.shape
    result, tails, head = np.empty_like(series), np.zeros((bars + 1, symbols)), np.empty(symbols)
    for first in range(0, rows, bars):
        last = min(first + bars, rows)
        head[:] = 0.0
        for row in range(first, last):
            tail = row - first + 1
            for symbol in range(symbols):
                head[symbol] += series[row, symbol]
                result[row, symbol] = scale * (head[symbol] + tails[tail, symbol])
        if last == first + bars:
            for back in range(bars - 1, 0, -1):
                for symbol in range(symbols):
                    tails[back, symbol] = tails[back + 1, symbol] + series[first + back, symbol]
    return result


@njit(cache=True)
def _better(one: float, other: float, highest: bool) -> float:
    return max(one, other) if highest else min(one, other)


@njit(cache=True)
def _extremes(series: np.ndarray, bars: int, highest: bool) -> np.ndarray:
    rows, symbols = series.shape
    result, tails = np.empty_like(series), np.empty((bars, symbols))
    for first in range(0, rows, bars):
        last = min(first + bars, rows)
        result[first] = series[first]
        for row in range(first + 1, last):
            for symbol in range(symbols):
                result[row, symbol] = _better(result[row - 1, symbol], series[row, symbol], highest)
        if first > 0:
            for row in range(first, min(last, first + bars - 1)):
                for symbol in range(symbols):
                    result[row, symbol] = _better(result[row, symbol], tails[row - first + 1, symbol], highest)
        if last == first + bars:
            tails[bars - 1] = series[last - 1]
            for back in range(bars - 2, 0, -1):
                for symbol in range(symbols):
                    tails[back, symbol] = _better(tails[back + 1, symbol], series[first + back, symbol], highest)
    return result


@njit(cache=True)
def _deviations(series: np.ndarray, bars: int, lost: int) -> np.ndarray:
    """Taken about the first row of the stretch a window ends in, which is a member of the window.

    Its squared distance from the mean is at most ``bars`` times the variance, so the subtraction loses two digits at
    worst, and a series that stands still deviates by exactly 0.
    """
    rows, symbols = series.shape
    result = np.empty_like(series)
    tail_sums, tail_squares = np.zeros((bars + 1, symbols)), np.zeros((bars + 1, symbols))
    sums, squares = np.empty(symbols), np.empty(symbols)
    share, scale = 1.0 / bars, 1.0 / (bars - lost)
    for first in range(0, rows, bars):
        if first > 0:
            for back in range(bars - 1, 0, -1):
                for symbol in range(symbols):
                    apart = series[first - bars + back, symbol] - series[first, symbol]
                    tail_sums[back, symbol] = tail_sums[back + 1, symbol] + apart
                    tail_squares[back, symbol] = tail_squares[back + 1, symbol] + apart * apart
        sums[:] = 0.0
        squares[:] = 0.0
        for row in range(first, min(first + bars, rows)):
            tail = row - first + 1
            for symbol in range(symbols):
                apart = series[row, symbol] - series[first, symbol]
                sums[symbol] += apart
                squares[symbol] += apart * apart
                total = sums[symbol] + tail_sums[tail, symbol]
                square = squares[symbol] + tail_squares[tail, symbol] - total * total * share
                result[row, symbol] = math.sqrt(max(square, 0.0) * scale)
    return result


@njit(cache=True)
def _filtered(series: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Four taps at a time, each weighing the rows before its own."""
    rows, symbols = series.shape
    reach = len(taps) - 1
    result = np.zeros_like(series)
    for row in range(rows):
        back = 0
        while back + 3 <= min(reach, row):
            one, two = taps[reach - back], taps[reach - back - 1]
            three, four = taps[reach - back - 2], taps[reach - back - 3]
            for symbol in range(symbols):
                result[row, symbol] += (
                    one * series[row - back, symbol]
                    + two * series[row - back - 1, symbol]
                    + three * series[row - back - 2, symbol]
                    + four * series[row - back - 3, symbol]
                )
            back += 4
        while back <= min(reach, row):
            one = taps[reach - back]
            for symbol in range(symbols):
                result[row, symbol] += one * series[row - back, symbol]
            back += 1
    return result
