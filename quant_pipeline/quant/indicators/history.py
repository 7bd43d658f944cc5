"""The table evaluated at every bar: what research and backtests run.

How the answers to the formulas are worked out for all rows at once belongs here; what is asked is in the table, the
windows and recursions are ``rolling``'s, or ``compiled``'s where numba is installed. Symbols go through in blocks that
fit the processor's cache, so memory beyond the result stays bounded whatever the size of the panel.

Symbols with fewer bars than the panel has rows are filled with zeros above their first bar; what a window makes of
those is blanked with the rest of the warm-up, and recursions begin at the symbol's own first bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from types import ModuleType
from typing import Protocol

import numpy as np
import pandas as pd

from quant_pipeline.quant.indicators import rolling, weights
from quant_pipeline.quant.indicators.evaluation import (
    DIRECTIONAL_BARS,
    EMA_BARS,
    GAIN_BARS,
    MACD_FAST,
    MACD_SIGNAL,
    MACD_SLOW,
    OBV_BARS,
    RANGE_BARS,
    ROWS,
    STOCHASTIC_BARS,
    STOCHASTIC_MEAN,
    YEAR,
    Evaluation,
    once,
)
from quant_pipeline.quant.indicators.panel import BarPanel, QuotePanel
from quant_pipeline.quant.indicators.rolling import NOTHING, Recursion, recur
from quant_pipeline.quant.indicators.table import INDICATORS, NAMES, Indicator

FAR = 20
"""The farthest back a formula asks for a close by itself."""

ORDINARY = 1e-60, 1e60
"""Between these no product or quotient of prices and volumes overflows."""


class Windows(Protocol):
    """What is found in the last rows of a series; ``rolling.Windows`` says what each does."""

    def __init__(self, series: np.ndarray) -> None: ...
    def sum(self, bars: int) -> np.ndarray: ...  # noqa: D102
    def mean(self, bars: int) -> np.ndarray: ...  # noqa: D102
    def highest(self, bars: int) -> np.ndarray: ...  # noqa: D102
    def lowest(self, bars: int) -> np.ndarray: ...  # noqa: D102
    def deviation(self, bars: int, lost: int = 0) -> np.ndarray: ...  # noqa: D102
    def filtered(self, taps: np.ndarray) -> np.ndarray: ...  # noqa: D102


@dataclass(frozen=True)
class IndicatorHistory:
    """Every indicator at every bar, as it was worked out: in blocks of symbols.

    ``blocks`` has shape (B, C, T, S): blocks, columns of the table, rows, symbols of a block, NaN where undefined and
    beyond the last symbol. Each column of a block is contiguous: to scatter the columns over one array of all symbols
    would take as long as to work them out.
    """

    symbols: pd.Index
    blocks: np.ndarray

    @classmethod
    def empty(cls, panel: BarPanel, arithmetic: ModuleType | None = None) -> IndicatorHistory:
        """Room for the history of a panel, in blocks that suit the arithmetic."""
        rows, symbols = panel.close.shape
        count = -(-symbols // (arithmetic or quickest()).symbols_in_block(max(rows, ROWS)))
        size = -(-symbols // max(count, 1))
        return cls(panel.symbols, np.empty((count, len(INDICATORS), rows, size)))

    def array(self) -> np.ndarray:
        """One array, a copy of shape (C, T, N)."""
        count, columns, rows, symbols = self.blocks.shape
        joined = self.blocks.transpose(1, 2, 0, 3).reshape(columns, rows, count * symbols)
        return joined[:, :, : len(self.symbols)]

    def column(self, name: str) -> np.ndarray:
        """One indicator of all symbols, a copy of shape (T, N)."""
        column = self.blocks[:, NAMES.index(name)]
        return column.transpose(1, 0, 2).reshape(column.shape[1], -1)[:, : len(self.symbols)]

    def of(self, symbol: int) -> np.ndarray:
        """All indicators of the symbol at a place of the panel, a view of shape (C, T)."""
        return self.blocks[symbol // self.blocks.shape[3], :, :, symbol % self.blocks.shape[3]]


@lru_cache
def quickest() -> ModuleType:
    """``compiled`` where numba is installed, else ``rolling``; loaded on first use, since numba takes a second."""
    try:
        return import_module("quant_pipeline.quant.indicators.compiled")
    except ImportError:
        return rolling


def indicator_history(
    panel: BarPanel,
    quotes: QuotePanel | None = None,
    into: IndicatorHistory | None = None,
    arithmetic: ModuleType | None = None,
) -> IndicatorHistory:
    """Every indicator at every bar.

    Args:
        panel: Bars of N symbols over T rows.
        quotes: The quotes at the last row; without them the microstructure columns are NaN there too.
        into: Where to put the values, from ``IndicatorHistory.empty`` of a panel of this shape; by default new memory.
        arithmetic: ``rolling`` or ``compiled``; by default the latter where numba is installed.

    Returns:
        The values: NaN where undefined, never infinite; those of the last row are what ``latest_values`` gives.
    """
    arithmetic = arithmetic or quickest()
    history = IndicatorHistory.empty(panel, arithmetic) if into is None else into
    quotes = QuotePanel.unknown(len(panel.symbols)) if quotes is None else quotes
    size = history.blocks.shape[3]
    panel = panel.at_least(ROWS)
    _keep_freed_memory()
    with np.errstate(all="ignore"):
        for columns, symbols in zip(history.blocks, panel.blocks(max(size, 1)), strict=True):
            bars = HistoryEvaluation(panel.of(symbols), quotes.of(symbols), arithmetic)
            known = bars.close.shape[1]
            bars.writes_through = columns[0].shape == bars.close.shape
            columns[:, :, known:] = np.nan
            for column, indicator in zip(columns, INDICATORS, strict=True):
                bars.write(indicator, column[:, :known])
    return history


class HistoryEvaluation(Evaluation):
    """Answers at every bar of a panel that is high enough; values have shape (T, N).

    Quotes are known at the last bar alone, and so are the values made of them: shape (N,).
    """

    def __init__(self, panel: BarPanel, quotes: QuotePanel, arithmetic: ModuleType) -> None:
        super().__init__(arithmetic)
        self._destination: np.ndarray | None = None
        self.writes_through = False
        self._rows, self._lengths = len(panel.close), panel.lengths
        self._whole = bool((panel.lengths == self._rows).all())
        self.high, self.low, self.volume = map(self._filled, (panel.high, panel.low, panel.volume))
        # Rows of zeros above the closes make the closes of some bars ago a view.
        self._closes_and_before = np.zeros((FAR + self._rows, len(panel.symbols)))
        self.close = self._closes_and_before[FAR:]
        self.close[:] = self._filled(panel.close)
        self._scratch = np.empty_like(self.close)
        self.bid, self.ask, self.bid_size, self.ask_size = quotes.bid, quotes.ask, quotes.bid_size, quotes.ask_size

    def write(self, indicator: Indicator, column: np.ndarray) -> None:
        """Put an indicator into its column, shape (T, N), blank where undefined."""
        if indicator.group == "microstructure":
            column[:-1] = np.nan
            column[-1] = indicator.compute(self)
            return
        # The first quotient of a formula is mostly its last: it goes where it belongs, or to memory that is warm.
        self._destination = column if self.writes_through else self._scratch
        values = indicator.compute(self)
        self._destination = None
        if values is not column:
            np.copyto(column, values[self._rows - len(column) :])
        if self._whole:
            column[: indicator.warm_up - 1] = np.nan
        else:
            column[self._place[self._rows - len(column) :] < indicator.warm_up - 1] = np.nan
        if not self._ordinary:
            column[np.isinf(column)] = np.nan

    def free(self) -> np.ndarray | None:
        """Where the values that are being written go, once."""
        destination, self._destination = self._destination, None
        return destination

    def close_ago(self, bars: int) -> np.ndarray:
        """The closes and what is above them, a view."""
        return self._closes_and_before[FAR - bars : FAR - bars + self._rows]

    def sma(self, bars: int, ago: int = 0) -> np.ndarray:
        """A rolling sum."""
        return _moved(self._sma(bars), ago)

    @once
    def _sma(self, bars: int) -> np.ndarray:
        return self._closes.mean(bars)

    def ema(self, bars: int, ago: int = 0) -> np.ndarray:
        """A recursion."""
        return _moved(self._emas[EMA_BARS.index(bars)], ago)

    @once
    def macd(self) -> tuple[np.ndarray, np.ndarray]:
        """Recursions; both means begin at the same bar and the signal nine bars after, as in TA-Lib."""
        line = self._emas[-2] - self._emas[-1]
        return line, self._recursive(line, Recursion.ema(MACD_SIGNAL, MACD_SLOW - 1))[0]

    @cached_property
    def _emas(self) -> np.ndarray:
        """The exponential means a formula may ask for, then MACD's; shape (F, T, N)."""
        fast = Recursion.ema(MACD_FAST, MACD_SLOW - MACD_FAST)
        return self._recursive(self.close, *map(Recursion.ema, EMA_BARS), fast, Recursion.ema(MACD_SLOW))

    def gains(self, bars: int) -> tuple[np.ndarray, np.ndarray]:
        """Recursions over the changes of the close."""
        rises, moves = self._gains
        row = GAIN_BARS.index(bars)
        return rises[row], moves[row]

    @cached_property
    def _gains(self) -> list[np.ndarray]:
        """Wilder's means of the rises, and of the moves either way; each of shape (F, T, N)."""
        means = [Recursion.wilder(bars, 1) for bars in GAIN_BARS]
        return [self._recursive(self._without_first(series), *means) for series in self._arithmetic.moves(self.close)]

    def atr(self, bars: int) -> np.ndarray:
        """A recursion over the true ranges."""
        return self._atrs[RANGE_BARS.index(bars)]

    @cached_property
    def _atrs(self) -> np.ndarray:
        """Wilder's means of the true range, then his sum of it for the directional index; shape (F, T, N)."""
        sums = Recursion.wilder_sum(DIRECTIONAL_BARS, 1)
        return self._recursive(self._ranges, *(Recursion.wilder(bars, 1) for bars in RANGE_BARS), sums)

    def mean_range_of_year(self) -> np.ndarray:
        """A rolling sum over the bars there are."""
        count = np.clip(np.arange(self._rows)[:, None] if self._whole else self._place, 1.0, YEAR)
        return self._arithmetic.Windows(self._ranges).sum(YEAR) * (1.0 / count)

    @once
    def directional(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Recursions over the directional moves and the true ranges, then over the index itself."""
        moves = map(self._without_first, self._arithmetic.directional_moves(self.high, self.low))
        sums = Recursion.wilder_sum(DIRECTIONAL_BARS, 1)
        plus, minus = (self._recursive(series, sums)[0] for series in moves)
        ranges = self._atrs[-1]
        percent, total = self._arithmetic.percent, plus + minus
        index = plus - minus
        index = percent(np.abs(index, out=index), total)
        return percent(plus, ranges), percent(minus, ranges), self._mean_index(index, total)

    def _mean_index(self, index: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Wilder's mean of the index; it stands still where there is none, which in the seed counts as 0 (TA-Lib)."""
        bars, mean = DIRECTIONAL_BARS, Recursion.wilder(DIRECTIONAL_BARS, DIRECTIONAL_BARS)
        if self._whole and total[bars:].min() >= NOTHING:
            return self._recursive(index, mean)[0]
        weighted = index * self._of_place(mean.weights(self._rows))
        recur(weighted, np.where((total >= NOTHING) | (self._place < 2 * bars), mean.kept, 1.0))
        return weighted

    @once
    def stochastic(self) -> tuple[np.ndarray, np.ndarray]:
        """Rolling sums of the place in the range; a range without width counts as its low, as in TA-Lib."""
        lowest = self.lowest(STOCHASTIC_BARS)
        place = self._arithmetic.percent(self.close - lowest, self.highest(STOCHASTIC_BARS) - lowest)
        k = self._arithmetic.Windows(place).mean(STOCHASTIC_MEAN)
        return k, self._arithmetic.Windows(k).mean(STOCHASTIC_MEAN)

    @once
    def highest(self, bars: int) -> np.ndarray:
        """A rolling maximum."""
        return self._highs.highest(bars)

    @once
    def lowest(self, bars: int) -> np.ndarray:
        """A rolling minimum."""
        return self._lows.lowest(bars)

    @once
    def deviation(self, bars: int) -> np.ndarray:
        """A rolling deviation."""
        return self._closes.deviation(bars)

    def above_mean(self, bars: int) -> np.ndarray:
        """From a rolling sum."""
        return self.close - self._sma(bars)

    def return_deviation(self, bars: int) -> np.ndarray:
        """A rolling deviation of the log returns."""
        returns = self._without_first(self._arithmetic.log_returns(self.close))
        return self._arithmetic.Windows(returns).deviation(bars, 1)

    @once
    def usual_volume(self, bars: int) -> np.ndarray:
        """A rolling sum, a bar ago."""
        return _moved(self.mean_volume(bars), 1)

    def volume_deviation(self, bars: int) -> np.ndarray:
        """A rolling deviation, a bar ago."""
        return _moved(self._volumes.deviation(bars), 1)

    @once
    def mean_volume(self, bars: int) -> np.ndarray:
        """A rolling mean."""
        return self._volumes.mean(bars)

    def accumulated(self, bars: int) -> np.ndarray:
        """A rolling mean."""
        placed = self._arithmetic.placed_volume(self.high, self.low, self.close, self.volume)
        return self._arithmetic.Windows(placed).mean(bars)

    def balance_slope(self) -> np.ndarray:
        """A filter of the signed volumes, so where on-balance volume starts is of no account."""
        signed = self._without_first(self._arithmetic.signed_volume(self.close, self.volume))
        return self._arithmetic.Windows(signed).filtered(weights.slope_of_running_sum(OBV_BARS))

    def money_flows(self, bars: int) -> tuple[np.ndarray, np.ndarray]:
        """Rolling sums."""
        flows = self._arithmetic.money_flow(self.high, self.low, self.close, self.volume)
        rising, moved = (self._arithmetic.Windows(self._without_first(flow)).sum(bars) for flow in flows)
        return rising, moved

    @cached_property
    def _closes(self) -> Windows:
        return self._arithmetic.Windows(self.close)

    @cached_property
    def _volumes(self) -> Windows:
        return self._arithmetic.Windows(self.volume)

    @cached_property
    def _highs(self) -> Windows:
        return self._arithmetic.Windows(self.high if self._whole else np.where(self._place < 0, -np.inf, self.high))

    @cached_property
    def _lows(self) -> Windows:
        return self._arithmetic.Windows(self.low if self._whole else np.where(self._place < 0, np.inf, self.low))

    @cached_property
    def _ranges(self) -> np.ndarray:
        return self._without_first(self._arithmetic.true_ranges(self.high, self.low, self.close))

    @cached_property
    def _ordinary(self) -> bool:
        """Whether all bars lie where nothing can overflow."""
        least, most = ORDINARY
        low = self.low if self._whole else np.where(self._place < 0, 1.0, self.low)
        return bool(low.min() > least and max(self.high.max(), self.volume.max()) < most)

    @cached_property
    def _place(self) -> np.ndarray:
        """Which of its symbol's bars each row is, counted from 0, negative above the first."""
        return np.arange(self._rows)[:, None] - (self._rows - self._lengths)

    def _filled(self, series: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(series) if self._whole else np.where(self._place < 0, 0.0, series)

    def _without_first(self, series: np.ndarray) -> np.ndarray:
        """The series with 0 up to every symbol's first bar, where there is no bar before."""
        if not self._whole:
            series[self._place <= 0] = 0.0
        return series

    def _recursive(self, series: np.ndarray, *recursions: Recursion) -> np.ndarray:
        """Recursions that begin at every symbol's own first bar, shape (F, T, N)."""
        if self._whole:
            return self._arithmetic.recursive(series, recursions)
        entered = [series * self._of_place(each.weights(self._rows)) for each in recursions]
        each_of = zip(entered, recursions, strict=True)
        return np.concatenate([self._arithmetic.recursive(x, (Recursion.entered(r.kept),)) for x, r in each_of])

    def _of_place(self, of_bars: np.ndarray) -> np.ndarray:
        """What belongs to the rows by their place among their symbol's bars; 0 above the first."""
        return np.append(of_bars, 0.0)[np.maximum(self._place, -1)]


def _moved(series: np.ndarray, bars: int) -> np.ndarray:
    """The series moved down; what comes in at the top is never looked at."""
    if bars == 0:
        return series
    moved = np.empty_like(series)
    moved[:bars] = 0.0
    moved[bars:] = series[:-bars]
    return moved


def _keep_freed_memory() -> None:
    """Have the C library keep the memory of one block for the next.

    glibc hands freed memory back to the system above a threshold that follows the largest piece freed so far, and every
    page would be faulted in anew, which takes longer than the arithmetic. This piece is never touched.
    """
    np.empty(3_900_000)
