"""The arithmetic below the formulas, in numpy: quotients that cannot blow up, windows and recursions through time.

Everything here knows arrays and nothing of markets. Series are time-major, shape (T, N), oldest row first. The rows of
a window that reaches above the first row hold what there is of it. ``compiled`` is this module again for those who have
numba; ``history`` takes one of the two, ``latest`` this one.

Windows are built by doubling: a window of 20 is one of 16 and one of 4. That costs a few passes whatever the length,
and unlike a running sum it forgets a large value altogether once that has left the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

NOTHING = 1e-14
"""A denominator smaller than this counts as zero, as in TA-Lib."""

LARGE = 5_000

STEP_ROWS = 28
"""Rows that ``recursive`` makes in one matrix product."""

FILTER_ROWS = 48
"""Rows that ``Windows.filtered`` makes in one matrix product."""


Out = np.ndarray | None


def symbols_in_block(rows: int) -> int:
    """How many symbols of so many rows are best worked out together: a hundred of a year."""
    return max(25_200 // rows, 50)


def ratio(numerator: np.ndarray, denominator: np.ndarray, otherwise: float = 0.0, out: Out = None) -> np.ndarray:
    """Quotient by what is not negative: ``otherwise`` where that is nothing, NaN where either side is unknown."""
    return _settled(np.divide(numerator, denominator, out=out), denominator, otherwise)


def percent(part: np.ndarray, whole: np.ndarray, out: Out = None) -> np.ndarray:
    """The part in percent of the whole; 0 where that is nothing."""
    quotient = np.divide(part, whole, out=out)
    quotient *= 100.0
    return _settled(quotient, whole, 0.0)


def change_pct(now: np.ndarray, then: np.ndarray, out: Out = None) -> np.ndarray:
    """Percent by which a value now is above the one then; 0 where that was nothing."""
    quotient = np.subtract(now, then, out=out)
    quotient /= then
    quotient *= 100.0
    return _settled(quotient, then, 0.0)


def distance(one: np.ndarray, other: np.ndarray, unit: np.ndarray, out: Out = None) -> np.ndarray:
    """How far one value is above the other, in units; 0 where the unit is nothing."""
    quotient = np.subtract(one, other, out=out)
    quotient /= unit
    return _settled(quotient, unit, 0.0)


def scaled(one: np.ndarray, other: np.ndarray, per_unit: np.ndarray, scale: float, out: Out = None) -> np.ndarray:
    """How far one value is above the other, in units that come as their reciprocal, times ``scale``."""
    apart = np.subtract(one, other, out=out)
    apart *= per_unit
    if scale != 1.0:
        apart *= scale
    return apart


def place(value: np.ndarray, low: np.ndarray, high: np.ndarray, out: Out = None) -> np.ndarray:
    """Place of a value between low (0) and high (1); 0.5 where there is nothing between them."""
    width, quotient = np.subtract(high, low), np.subtract(value, low, out=out)
    quotient /= width
    return _settled(quotient, width, 0.5)


def _settled(quotient: np.ndarray, denominator: np.ndarray, otherwise: float) -> np.ndarray:
    """The quotient with ``otherwise`` where the denominator is nothing."""
    # It rarely is anywhere; in large arrays it takes half the time to know that.
    if denominator.size < LARGE or np.minimum.reduce(denominator, axis=None) < NOTHING:
        np.copyto(quotient, otherwise, where=denominator < NOTHING)
    return quotient


def moves(close: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rises of the close from row to row, and its moves either way; 0 in the first row, as in all that follow."""
    change = _change(close)
    return np.maximum(change, 0.0), np.abs(change, out=change)


def log_returns(close: np.ndarray) -> np.ndarray:
    """Logarithmic returns."""
    return _change(np.log(close))


def true_ranges(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Range of each bar and the close before it."""
    ranges, before = np.empty_like(close), close[:-1]
    ranges[0] = 0.0
    np.maximum(high[1:], before, out=ranges[1:])
    ranges[1:] -= np.minimum(low[1:], before)
    return ranges


def directional_moves(high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilder's directional moves: of the rise of the high and the fall of the low the larger one, if it is one.

    Neither where they are equal. Masks are multiplied: to pick by condition costs ten times as much where the
    condition is as good as random.
    """
    up, down = _change(high), _change(low, fall=True)
    rises = ((up > down) & (up > 0.0)).astype(float)
    falls = ((down > up) & (down > 0.0)).astype(float)
    rises *= up
    falls *= down
    return rises, falls


def signed_volume(close: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """Volume with the sign of the close's change, as on-balance volume adds it up."""
    change = _change(close)
    signed = ((change > 0.0).view(np.int8) - (change < 0.0).view(np.int8)).astype(float)
    signed *= volume
    return signed


def placed_volume(high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """Chaikin's volume: times the close's place in its range, from -1 at the low to 1 at the high."""
    placed = place(close, low, high)
    placed -= 0.5
    placed *= 2.0
    placed *= volume
    return placed


def money_flow(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Typical price times volume, where the typical price rose and where it moved at all."""
    typical = high + low
    typical += close
    typical /= 3.0
    change = _change(typical)
    typical *= volume
    rising = (change > 0.0).astype(float)
    rising *= typical
    np.copyto(typical, 0.0, where=change == 0.0)
    return rising, typical


def _change(series: np.ndarray, *, fall: bool = False) -> np.ndarray:
    change = np.empty_like(series)
    change[0] = 0.0
    now, before = series[1:], series[:-1]
    np.subtract(before if fall else now, now if fall else before, out=change[1:])
    return change


class Windows:
    """What is found in the last rows of one series; windows share their parts."""

    def __init__(self, series: np.ndarray) -> None:
        self._series = series
        self._parts: dict[tuple[str, int], np.ndarray] = {}

    def sum(self, bars: int) -> np.ndarray:
        """Sum of up to so many rows, this one included; not to be written to."""
        sizes = _powers_in(bars)
        if len(sizes) == 1:
            return self._doubled("sum", bars, np.add)
        total, reach = self._doubled("sum", sizes[0], np.add).copy(), sizes[0]
        for size in sizes[1:]:
            total[reach:] += self._doubled("sum", size, np.add)[:-reach]
            reach += size
        return total

    def mean(self, bars: int) -> np.ndarray:
        """Sum of up to so many rows, over their full number."""
        return self.sum(bars) / bars

    def highest(self, bars: int) -> np.ndarray:
        """Highest of up to so many rows; not to be written to."""
        return self._extreme("highest", bars, np.maximum)

    def lowest(self, bars: int) -> np.ndarray:
        """Lowest of up to so many rows; not to be written to."""
        return self._extreme("lowest", bars, np.minimum)

    def deviation(self, bars: int, lost: int = 0) -> np.ndarray:
        """Standard deviation, ``lost`` degrees of freedom lost; rows above the first full one mean nothing."""
        variance = self._squares(bars) * (1.0 / (bars - lost))
        return np.sqrt(variance, out=variance)

    def _squares(self, bars: int) -> np.ndarray:
        """Sum of squared deviations from the mean of the window.

        Windows are merged pairwise (Chan, Golub and LeVeque, 1979): no large number is subtracted from another, so the
        result is never negative and exactly 0 where the series stands still.
        """
        sizes = _powers_in(bars)
        total, reach = self._doubled_squares(sizes[0]), sizes[0]
        for size in sizes[1:]:
            total = self._merged_squares(total, reach, self._doubled_squares(size), size)
            reach += size
        return total

    def filtered(self, taps: np.ndarray) -> np.ndarray:
        """Weighted sums of the last rows; the last tap weighs the row itself, missing rows count as 0."""
        rows, reach = len(self._series), len(taps) - 1
        filtered, band = np.empty_like(self._series), _band(taps.tobytes(), FILTER_ROWS)
        for first in range(0, rows, FILTER_ROWS):
            last, begin = min(first + FILTER_ROWS, rows), max(first - reach, 0)
            matrix = band[: last - first, begin - first + reach : last - first + reach]
            np.matmul(matrix, self._series[begin:last], out=filtered[first:last])
        return filtered

    def _doubled(self, kind: str, size: int, join: np.ufunc) -> np.ndarray:
        if size == 1:
            return self._series
        if (kind, size) not in self._parts:
            self._parts[kind, size] = _joined(self._doubled(kind, size // 2, join), size // 2, join)
        return self._parts[kind, size]

    def _extreme(self, kind: str, bars: int, better: np.ufunc) -> np.ndarray:
        """Two windows that overlap make one."""
        size = _powers_in(bars)[0]
        part = self._doubled(kind, size, better)
        return part if size == bars else _joined(part, bars - size, better)

    def _doubled_squares(self, size: int) -> np.ndarray:
        key = ("squares", size)
        if key not in self._parts:
            half = size // 2
            part = self._doubled_squares(half) if half > 1 else self._series
            self._parts[key] = self._merged_squares(part, half, part, half)
        return self._parts[key]

    def _merged_squares(self, late: np.ndarray, late_rows: int, early: np.ndarray, early_rows: int) -> np.ndarray:
        """Squares of a window of ``late_rows`` and the one of ``early_rows`` before it; a single row has none."""
        late_sum, early_sum = self.sum(late_rows), self.sum(early_rows)
        merged = np.empty_like(late)
        merged[:late_rows] = 0.0
        apart = merged[late_rows:]
        if late_rows == early_rows:
            np.subtract(late_sum[late_rows:], early_sum[:-late_rows], out=apart)
            scale = 1.0 / (late_rows + early_rows)
        else:
            np.multiply(early_sum[:-late_rows], late_rows / early_rows, out=apart)
            np.subtract(late_sum[late_rows:], apart, out=apart)
            scale = early_rows / (late_rows * (late_rows + early_rows))
        np.multiply(apart, apart, out=apart)
        apart *= scale
        if late_rows > 1:
            apart += late[late_rows:]
        if early_rows > 1:
            apart += early[:-late_rows]
        return merged


@dataclass(frozen=True)
class Recursion:
    """A series that remembers: ``y[t] = kept * y[t - 1] + outside * x[t]``, begun with a sum.

    The first value is ``inside`` times the sum of the ``seed`` rows from ``start`` on, and belongs to the last of them.
    """

    kept: float
    seed: int
    start: int
    inside: float
    outside: float

    @classmethod
    def mean(cls, rate: float, seed: int, start: int = 0) -> Recursion:
        """The mean ``y += rate (x - y)``, begun with the mean of ``seed`` rows."""
        return cls(1.0 - rate, seed, start, 1.0 / seed, rate)

    @classmethod
    def ema(cls, bars: int, start: int = 0) -> Recursion:
        """The exponential mean of weight 2 / (bars + 1), begun with a plain mean, as TA-Lib begins it."""
        return cls.mean(2.0 / (bars + 1.0), bars, start)

    @classmethod
    def wilder(cls, bars: int, start: int = 0) -> Recursion:
        """Wilder's mean, of weight 1 / bars, begun with a plain mean."""
        return cls.mean(1.0 / bars, bars, start)

    @classmethod
    def wilder_sum(cls, bars: int, start: int = 0) -> Recursion:
        """The sum ``S += x - S / bars``, begun with the sum of ``bars - 1`` rows."""
        return cls(1.0 - 1.0 / bars, bars - 1, start, 1.0, 1.0)

    @classmethod
    def entered(cls, kept: float) -> Recursion:
        """A recursion over inputs that are weighted already."""
        return cls(kept, 0, 0, 0.0, 1.0)

    def weights(self, rows: int) -> np.ndarray:
        """What each row weighs when it enters, shape (rows,).

        With these the recursion runs from nothing and needs no beginning: before ``start`` they are 0, and in the seed
        they grow backwards as the recursion shrinks them, by e squared at most.
        """
        weights = np.full(rows, self.outside)
        weights[: self.start] = 0.0
        in_seed = np.arange(self.start, min(self.start + self.seed, rows))
        weights[in_seed] = self.inside * self.kept ** (in_seed - (self.start + self.seed - 1.0))
        return weights


def recursive(series: np.ndarray, recursions: tuple[Recursion, ...]) -> np.ndarray:
    """Several recursions over one series, some rows of all of them in one product.

    Args:
        series: Shape (T, N).
        recursions: F of them.

    Returns:
        Shape (F, T, N).
    """
    rows, symbols = series.shape
    settled = -(-max(each.start + each.seed for each in recursions) // STEP_ROWS) * STEP_ROWS
    result = np.empty((len(recursions), rows, symbols))
    inputs = np.zeros((len(recursions), STEP_ROWS + 1, symbols))
    for first in range(0, rows, STEP_ROWS):
        last = min(first + STEP_ROWS, rows)
        count = last - first
        steps = _steps(recursions, min(first, settled))
        inputs[:, 1 : count + 1] = series[first:last]
        if len(recursions) == 1:
            # A product of plain matrices costs less than one of stacks of one.
            np.matmul(steps[0, :count, : count + 1], inputs[0, : count + 1], out=result[0, first:last])
        else:
            np.matmul(steps[:, :count, : count + 1], inputs[:, : count + 1], out=result[:, first:last])
        inputs[:, 0] = result[:, last - 1]
    return result


def decaying_sums(inputs: np.ndarray, kept: float) -> np.ndarray:
    """One recursion over weighted inputs, shape (T, N), in their place: the quickest for a single series."""
    matrix, sums = _steps_of_one(kept), np.empty((STEP_ROWS, inputs.shape[1]))
    for first in range(0, len(inputs), STEP_ROWS):
        last = min(first + STEP_ROWS, len(inputs))
        count, before = last - first, min(first, 1)
        np.matmul(matrix[:count, 1 - before : count + 1], inputs[first - before : last], out=sums[:count])
        inputs[first:last] = sums[:count]
    return inputs


def recur(inputs: np.ndarray, kept: np.ndarray) -> None:
    """Run ``inputs[t] += kept[t] * inputs[t - 1]`` through time, in place; both of shape (T, N)."""
    product = np.empty(inputs.shape[1])
    for before, row, share in zip(inputs[:-1], inputs[1:], kept[1:], strict=True):
        np.multiply(before, share, out=product)
        np.add(row, product, out=row)


def _joined(part: np.ndarray, lag: int, join: np.ufunc) -> np.ndarray:
    """Each row joined with the one ``lag`` rows before it."""
    whole = np.empty_like(part)
    whole[:lag] = part[:lag]
    join(part[lag:], part[:-lag], out=whole[lag:])
    return whole


@lru_cache(maxsize=512)
def _powers_in(bars: int) -> tuple[int, ...]:
    """The powers of two that add up to a number, the largest first."""
    return tuple(1 << bit for bit in reversed(range(bars.bit_length())) if bars >> bit & 1)


@lru_cache(maxsize=256)
def _steps(recursions: tuple[Recursion, ...], first: int) -> np.ndarray:
    """Matrices that make the rows from ``first`` on of the row before and the inputs, shape (F, rows, 1 + rows)."""
    return np.stack(
        [
            _steps_of_one(recursion.kept) * np.append(1.0, recursion.weights(first + STEP_ROWS)[first:])
            for recursion in recursions
        ]
    )


@lru_cache(maxsize=16)
def _steps_of_one(kept: float) -> np.ndarray:
    """What the row before and the weighted inputs count in the next rows, shape (rows, 1 + rows)."""
    late, early = np.ogrid[1 : STEP_ROWS + 1, 0 : STEP_ROWS + 1]
    return np.where(early <= late, kept ** np.maximum(late - early, 0.0), 0.0)


@lru_cache(maxsize=16)
def _band(taps: bytes, rows: int) -> np.ndarray:
    """The matrix that filters ``rows`` rows and the ones before them that the taps reach."""
    weights = np.frombuffer(taps)
    matrix = np.zeros((rows, rows + len(weights) - 1))
    for row in range(rows):
        matrix[row, row : row + len(weights)] = weights
    return matrix
