"""Daily bars of many symbols as time-major arrays: the form every indicator computes on.

How bars become arrays belongs here; what is computed from them (``latest_values``) and whether they may be trusted
(``bar_quality``) do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from quant_pipeline.quant.indicators.table import YEAR
from quant_pipeline.quant.indicators.volume_curve import paced_volume

PRICES = ("open", "high", "low", "close")
FIELDS = (*PRICES, "volume")

USUAL_BARS = 20
"""Bars whose mean volume is a usual day's."""


@dataclass(frozen=True)
class BarPanel:
    """Bars of N symbols in arrays of shape (T, N), the latest bar of every symbol in the last row.

    T is the longest history, and a year at least, so that every window exists; a shorter history starts further down
    and is NaN above. Bars that lack a price or the volume are not bars and leave no gap: nothing below the first bar of
    a symbol is NaN. ``partial`` and ``lengths`` have shape (N,). Prices in dollars, volume in shares.
    """

    symbols: pd.Index
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    lengths: np.ndarray
    partial: np.ndarray

    @classmethod
    def from_frame(cls, bars: pd.DataFrame, symbols: pd.Index) -> BarPanel:
        """Arrange the ``bars`` frame for the given symbols, in their order; row order of the frame is of no account."""
        columns = symbols.get_indexer(pd.Index(bars["symbol"]))
        values = np.column_stack([bars[field].to_numpy(dtype=float, na_value=np.nan) for field in FIELDS])
        dates = bars["date"].to_numpy(dtype="datetime64[us]").astype(np.int64)
        kept = (columns >= 0) & np.isfinite(values).all(axis=1)
        columns, values, dates = columns[kept], values[kept], dates[kept]
        partial_rows = bars["partial"].to_numpy(dtype=bool)[kept]

        order = np.lexsort((dates, columns))
        columns = columns[order]
        lengths = np.bincount(columns, minlength=len(symbols))
        height = int(lengths.max(initial=YEAR + 1))
        ends = np.cumsum(lengths)
        rows = height - ends[columns] + np.arange(len(columns))
        panel = np.full((len(FIELDS), height, len(symbols)), np.nan)
        panel[:, rows, columns] = values[order].T
        partial = np.zeros(len(symbols), dtype=bool)
        has_bars = lengths > 0
        partial[has_bars] = partial_rows[order][ends[has_bars] - 1]
        return cls(symbols, *panel, lengths=lengths, partial=partial)

    def paced(self, session_progress: float) -> BarPanel:
        """The panel with the volume of today's partial bars brought to a whole day's."""
        if not self.partial.any():
            return self
        before = self.volume[-USUAL_BARS - 1 : -1]
        known = np.isfinite(before).sum(axis=0)
        usual = np.nansum(before, axis=0) / np.maximum(known, 1)
        volume = self.volume.copy()
        volume[-1] = np.where(self.partial, paced_volume(volume[-1], usual, session_progress), volume[-1])
        return BarPanel(
            self.symbols, self.open, self.high, self.low, self.close, volume, self.lengths, self.partial
        )  # fmt: skip
