"""The table evaluated at the newest bar of every symbol: what a live slot runs.

How the answers to the formulas are worked out for one row belongs here; what is asked is in the table. A recursion's
latest value is linear in its inputs once its seed is, so every mean is a product of weights with the history; only the
directional index has to be stepped through time. Symbols go through in blocks that fit the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from quant_pipeline.quant.indicators import rolling, weights
from quant_pipeline.quant.indicators.evaluation import (
    DEVIATION_BARS,
    DIRECTIONAL_BARS,
    EMA_BARS,
    GAIN_BARS,
    OBV_BARS,
    RANGE_BARS,
    ROWS,
    SLOPE_BARS,
    SMA_BARS,
    STOCHASTIC_BARS,
    STOCHASTIC_MEAN,
    YEAR,
    Evaluation,
    once,
)
from quant_pipeline.quant.indicators.panel import BarPanel, QuotePanel
from quant_pipeline.quant.indicators.rolling import (
    NOTHING,
    Recursion,
    decaying_sums,
    directional_moves,
    money_flow,
    moves,
    percent,
    placed_volume,
    signed_volume,
    true_ranges,
)
from quant_pipeline.quant.indicators.table import INDICATORS, WARM_UPS

BLOCK_SYMBOLS = 200


def latest_values(panel: BarPanel, quotes: QuotePanel) -> np.ndarray:
    """Every indicator at the latest bar.

    Args:
        panel: Bars of N symbols, volume already paced.
        quotes: The quotes of the same symbols.

    Returns:
        Shape (C, N) in the order of the table; NaN where undefined, never infinite.
    """
    panel = panel.at_least(ROWS)
    values = np.empty((len(INDICATORS), len(panel.symbols)))
    with np.errstate(all="ignore"):
        for symbols in panel.blocks(BLOCK_SYMBOLS):
            bars = LatestEvaluation(panel.of(symbols), quotes.of(symbols))
            block = values[:, symbols]
            for row, indicator in zip(block, INDICATORS, strict=True):
                row[:] = indicator.compute(bars)
    finite = np.isfinite(values)
    if panel.lengths.min(initial=ROWS) < WARM_UPS.max() or not finite.all():
        np.copyto(values, np.nan, where=(panel.lengths < WARM_UPS[:, None]) | ~finite)
    return values


def average_true_range(panel: BarPanel, bars: int) -> np.ndarray:
    """Average true range in dollars at the latest bar, shape (N,); NaN where the history is shorter than ``bars`` + 1.

    ``bars`` is one of ``RANGE_BARS``.
    """
    with np.errstate(all="ignore"):
        return LatestEvaluation(panel.at_least(ROWS), QuotePanel.unknown(len(panel.symbols))).atr(bars)


class LatestEvaluation(Evaluation):
    """Answers at the latest bar of a panel that is high enough; values have shape (N,)."""

    def __init__(self, panel: BarPanel, quotes: QuotePanel) -> None:
        super().__init__(rolling)
        self._lengths = _Lengths(panel.lengths, len(panel.close))
        # Arithmetic on rows that are not contiguous takes twice as long.
        self._closes, self._highs, self._lows = map(np.ascontiguousarray, (panel.close, panel.high, panel.low))
        self._volumes = panel.volume
        self.close, self.high, self.low, self.volume = panel.close[-1], panel.high[-1], panel.low[-1], panel.volume[-1]
        self.bid, self.ask, self.bid_size, self.ask_size = quotes.bid, quotes.ask, quotes.bid_size, quotes.ask_size

    def close_ago(self, bars: int) -> np.ndarray:
        """A row of the panel."""
        return self._closes[-1 - bars]

    def sma(self, bars: int, ago: int = 0) -> np.ndarray:
        """One of the means."""
        return self._means()["sma", bars, ago]

    def ema(self, bars: int, ago: int = 0) -> np.ndarray:
        """One of the means."""
        return self._means()["ema", bars, ago]

    def macd(self) -> tuple[np.ndarray, np.ndarray]:
        """Two of the means."""
        return self._means()["macd", 0, 0], self._means()["macd", 1, 0]

    @once
    def _means(self) -> dict[tuple[str, int, int], np.ndarray]:
        return dict(zip(_MEANS, self._lengths.weighted(self._closes, 0, _mean_weights), strict=True))

    def gains(self, bars: int) -> tuple[np.ndarray, np.ndarray]:
        """Products of weights with the changes of the close."""
        rises, moves = self._gains()
        row = GAIN_BARS.index(bars)
        return rises[row], moves[row]

    @once
    def _gains(self) -> tuple[np.ndarray, np.ndarray]:
        rises, either_way = moves(self._closes)
        rises_means = self._lengths.weighted(rises[1:], 1, _gain_weights)
        return rises_means, self._lengths.weighted(either_way[1:], 1, _gain_weights)

    def atr(self, bars: int) -> np.ndarray:
        """A product of weights with the true ranges."""
        return self._ranges()[RANGE_BARS.index(bars)]

    def mean_range_of_year(self) -> np.ndarray:
        """A product of weights with the true ranges."""
        return self._ranges()[-1]

    @once
    def _ranges(self) -> np.ndarray:
        """Means of the true range, then Wilder's sum of it and its mean over a year; shape (F, N)."""
        ranges = true_ranges(self._highs, self._lows, self._closes)
        return self._lengths.weighted(ranges[1:], 1, _range_weights)

    @once
    def directional(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps the sums of the directional moves through time; their range is a product of weights."""
        moves = directional_moves(self._highs, self._lows)
        plus_sums, minus_sums = (self._lengths.sums(series[1:], DIRECTIONAL_BARS) for series in moves)
        ranges = self._ranges()[-2]
        plus, minus = percent(plus_sums[-1], ranges), percent(minus_sums[-1], ranges)
        total = plus_sums + minus_sums
        plus_sums -= minus_sums
        index = np.abs(plus_sums, out=plus_sums)
        index /= total
        return plus, minus, self._mean_index(index, total)

    def _mean_index(self, index: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Wilder's mean of the index from where the sums have their seed; it stands still where there is no index."""
        lead = DIRECTIONAL_BARS - 1
        if self._lengths.whole and total[lead:].min() >= NOTHING:
            return 100.0 * (_index_weights(len(index) - lead) @ index[lead:])
        counts = np.maximum(self._lengths.bars - DIRECTIONAL_BARS, 0)
        return 100.0 * _mean_of_known(index, total >= NOTHING, counts, DIRECTIONAL_BARS)

    @once
    def stochastic(self) -> tuple[np.ndarray, np.ndarray]:
        """From the last places in the range, which are all the means need."""
        count = 2 * STOCHASTIC_MEAN - 1
        highest = _last_extremes(self._highs, STOCHASTIC_BARS, count, np.maximum)
        lowest = _last_extremes(self._lows, STOCHASTIC_BARS, count, np.minimum)
        first, second = _stochastic_weights() @ percent(self._closes[-count:] - lowest, highest - lowest)
        return first, second

    @once
    def highest(self, bars: int) -> np.ndarray:
        """One look along the window."""
        return (np.maximum if self._lengths.whole else np.fmax).reduce(self._highs[-bars:])

    @once
    def lowest(self, bars: int) -> np.ndarray:
        """One look along the window."""
        return (np.minimum if self._lengths.whole else np.fmin).reduce(self._lows[-bars:])

    def deviation(self, bars: int) -> np.ndarray:
        """From the sums about the latest close."""
        return self._moments()[bars][1]

    def above_mean(self, bars: int) -> np.ndarray:
        """From the sums about the latest close."""
        return self._moments()[bars][0]

    @once
    def _moments(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Close less mean, and deviation, by length of the window.

        Taken about the latest close, a member of every window: its squared distance from the mean is at most the length
        times the variance, so the subtraction loses two digits at worst, and closes that did not move deviate by 0.
        """
        apart = self._closes[-max(DEVIATION_BARS) :] - self.close
        squares = apart * apart
        moments = {}
        for bars in DEVIATION_BARS:
            mean = np.add.reduce(apart[-bars:]) / bars
            variance = np.add.reduce(squares[-bars:]) / bars
            variance -= mean * mean
            moments[bars] = -mean, np.sqrt(np.maximum(variance, 0.0))
        return moments

    def return_deviation(self, bars: int) -> np.ndarray:
        """Two passes over the window."""
        logs = np.log(self._closes[-bars - 1 :])
        return np.sqrt(_squares(logs[1:] - logs[:-1]) / (bars - 1.0))

    @once
    def usual_volume(self, bars: int) -> np.ndarray:
        """Mean of the rows before the last; taken about one of them, so that equal ones are their own mean."""
        before = self._volumes[-bars - 1 : -1]
        return before[-1] + np.add.reduce(before - before[-1]) / bars

    def volume_deviation(self, bars: int) -> np.ndarray:
        """Two passes over the window."""
        return np.sqrt(_squares(self._volumes[-bars - 1 : -1]) / bars)

    @once
    def mean_volume(self, bars: int) -> np.ndarray:
        """Mean of the last rows."""
        return np.add.reduce(self._volumes[-bars:]) / bars

    def accumulated(self, bars: int) -> np.ndarray:
        """Mean of the last rows."""
        last = slice(-bars, None)
        placed = placed_volume(self._highs[last], self._lows[last], self._closes[last], self._volumes[last])
        return np.add.reduce(placed) / bars

    def balance_slope(self) -> np.ndarray:
        """Linear in the signed volumes, so where on-balance volume starts is of no account."""
        signed = signed_volume(self._closes[-OBV_BARS:], self._volumes[-OBV_BARS:])
        return weights.slope_of_running_sum(OBV_BARS) @ signed[1:]

    def money_flows(self, bars: int) -> tuple[np.ndarray, np.ndarray]:
        """Sums over the last rows."""
        last = slice(-bars - 1, None)
        flows = money_flow(self._highs[last], self._lows[last], self._closes[last], self._volumes[last])
        rising, moved = map(np.add.reduce, flows)
        return rising, moved


class _Lengths:
    """How many bars each symbol has, and what depends on nothing else."""

    def __init__(self, lengths: np.ndarray, rows: int) -> None:
        self.whole = bool((lengths == rows).all())
        self.bars = lengths
        self._groups = [] if self.whole else [(int(n), np.flatnonzero(lengths == n)) for n in np.unique(lengths)]

    def weighted(self, series: np.ndarray, lead: int, weights_of: Callable[[int], np.ndarray]) -> np.ndarray:
        """Latest values of F linear filters.

        Args:
            series: Inputs, shape (T, N), NaN above each symbol's first.
            lead: How many bars come before the first input.
            weights_of: From a number of inputs to weights of shape (F, inputs).

        Returns:
            Shape (F, N).
        """
        rows = len(series)
        if self.whole:
            return weights_of(rows) @ series
        result = np.empty((len(weights_of(rows)), series.shape[1]))
        for length, symbols in self._groups:
            count = max(length - lead, 0)
            result[:, symbols] = weights_of(count) @ series[rows - count :, symbols]
        return result

    def sums(self, series: np.ndarray, bars: int) -> np.ndarray:
        """Wilder's running sums of a series, shape (T, N), that follows each symbol's first bar; in its place."""
        rows, recursion = len(series), Recursion.wilder_sum(bars)
        seed = recursion.weights(recursion.seed)[:, None]
        if self.whole:
            series[: len(seed)] *= seed
        for length, symbols in self._groups:
            first = rows - max(length - 1, 0)
            inside = min(len(seed), rows - first)
            series[:first, symbols] = 0.0
            series[first : first + inside, symbols] *= seed[:inside]
        return decaying_sums(series, recursion.kept)


_MEANS = (
    *(("ema", bars, ago) for bars in EMA_BARS for ago in (0, SLOPE_BARS)),
    *(("sma", bars, ago) for bars in SMA_BARS for ago in (0, SLOPE_BARS)),
    ("macd", 0, 0),
    ("macd", 1, 0),
)


@lru_cache(maxsize=512)
def _mean_weights(length: int) -> np.ndarray:
    kinds = {"ema": weights.ema_weights, "sma": weights.sma_weights}
    means = [weights.lagged(kinds[kind], length, bars, ago) for kind, bars, ago in _MEANS if kind in kinds]
    return np.vstack([*means, weights.macd_weights(length)])


@lru_cache(maxsize=512)
def _gain_weights(length: int) -> np.ndarray:
    return np.vstack([weights.recursion_weights(length, Recursion.wilder(bars)) for bars in GAIN_BARS])


@lru_cache(maxsize=512)
def _range_weights(length: int) -> np.ndarray:
    means = [weights.recursion_weights(length, Recursion.wilder(bars)) for bars in RANGE_BARS]
    others = (
        weights.recursion_weights(length, Recursion.wilder_sum(DIRECTIONAL_BARS)),
        weights.mean_of_up_to(length, YEAR),
    )
    return np.vstack([*means, *others])


@lru_cache(maxsize=512)
def _index_weights(length: int) -> np.ndarray:
    return weights.recursion_weights(length, Recursion.wilder(DIRECTIONAL_BARS))


@lru_cache(maxsize=1)
def _stochastic_weights() -> np.ndarray:
    """From the last raw places to %K and %D, shape (2, 5)."""
    mean = np.full(STOCHASTIC_MEAN, 1.0 / STOCHASTIC_MEAN)
    k = np.concatenate([np.zeros(STOCHASTIC_MEAN - 1), mean])
    return np.stack([k, np.convolve(mean, mean)])


def _mean_of_known(values: np.ndarray, known: np.ndarray, counts: np.ndarray, bars: int) -> np.ndarray:
    """Wilder's latest mean that stands still where a value is not known.

    In the seed an unknown value counts as zero, as in TA-Lib's ADX.

    Args:
        values: Inputs, shape (T, N).
        known: Which inputs are known, shape (T, N).
        counts: Inputs each symbol has, known or not, shape (N,).
        bars: Length of the smoothing.

    Returns:
        Shape (N,).
    """
    rows = len(values)
    place = np.arange(rows)[:, None] - (rows - counts)
    in_seed = (place >= 0) & (place < bars)
    counted = known & (place >= bars)
    later = np.cumsum(counted[::-1], axis=0)[::-1] - counted
    decay = (1.0 - 1.0 / bars) ** np.arange(rows + 1) / bars
    return np.sum(decay[later] * values, axis=0, where=counted | (in_seed & known))


def _last_extremes(series: np.ndarray, bars: int, count: int, better: np.ufunc) -> np.ndarray:
    """Extremes of the last ``count`` windows, by doubling; shape (count, N)."""
    part, size = series[-(bars + count - 1) :], 1
    while 2 * size <= bars:
        part = better(part[size:], part[:-size])
        size *= 2
    overlap = bars - size
    return better(part[overlap:], part[: len(part) - overlap]) if overlap else part


def _squares(window: np.ndarray) -> np.ndarray:
    """Sum of squared deviations from the mean."""
    apart = window - np.add.reduce(window) / len(window)
    return np.add.reduce(np.multiply(apart, apart, out=apart))
