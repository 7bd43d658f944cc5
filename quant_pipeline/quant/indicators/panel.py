"""Bars and quotes of many symbols as arrays, time-major: the form every indicator computes on.

How frames become arrays belongs here; what is computed from them (``latest``, ``history``) and whether they may be
trusted (``bar_quality``, ``quote_quality``) do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from quant_pipeline.errors import UsageError
from quant_pipeline.quant.indicators.volume_curve import paced_volume

PRICES = ("open", "high", "low", "close")
FIELDS = (*PRICES, "volume")

USUAL_BARS = 20
"""Bars whose mean volume is a usual day's."""


QUOTE_FIELDS = ("bid", "ask", "bid_size", "ask_size")


@dataclass(frozen=True)
class BarPanel:
    """Bars of N symbols in arrays of shape (T, N), the latest bar of every symbol in the last row.

    T is the longest history; a shorter one starts further down and is NaN above. Bars that lack a price or the volume
    are not bars and leave no gap: nothing below the first bar of a symbol is NaN. ``lengths`` (bars a symbol has) and
    ``partial`` (whether the latest is) have shape (N,), ``dates`` (T, N), in days, NaT above. Prices in dollars, volume
    in shares.
    """

    symbols: pd.Index
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    dates: np.ndarray
    lengths: np.ndarray
    partial: np.ndarray

    @classmethod
    def from_frame(cls, bars: pd.DataFrame, symbols: pd.Index) -> BarPanel:
        """Arrange bars for the given symbols, in their order; row order of the frame is of no account.

        Args:
            bars: A ``bars`` frame. Without the column ``partial`` all bars are whole ones.
            symbols: The symbols.

        Raises:
            UsageError: A column is missing.
        """
        missing = [name for name in ("symbol", "date", *FIELDS) if name not in bars]
        if missing:
            raise UsageError(f"The bars have no column {missing[0]}; they need symbol, date and {', '.join(FIELDS)}.")
        columns = symbols.get_indexer(pd.Index(bars["symbol"]))
        values = np.column_stack([bars[field].to_numpy(dtype=float, na_value=np.nan) for field in FIELDS])
        dates = bars["date"].to_numpy(dtype="datetime64[D]")
        kept = (columns >= 0) & np.isfinite(values).all(axis=1)
        columns, values, dates = columns[kept], values[kept], dates[kept]
        whole = np.zeros(len(bars), dtype=bool)
        partial_rows = (bars["partial"].to_numpy(dtype=bool) if "partial" in bars else whole)[kept]

        order = np.lexsort((dates, columns))
        columns = columns[order]
        lengths = np.bincount(columns, minlength=len(symbols))
        height = int(lengths.max(initial=0))
        ends = np.cumsum(lengths)
        rows = height - ends[columns] + np.arange(len(columns))
        panel = np.full((len(FIELDS), height, len(symbols)), np.nan)
        panel[:, rows, columns] = values[order].T
        days = np.full((height, len(symbols)), np.datetime64("NaT"), dtype="datetime64[D]")
        days[rows, columns] = dates[order]
        partial = np.zeros(len(symbols), dtype=bool)
        has_bars = lengths > 0
        partial[has_bars] = partial_rows[order][ends[has_bars] - 1]
        return cls(symbols, *panel, dates=days, lengths=lengths, partial=partial)

    def paced(self, session_progress: float) -> BarPanel:
        """The panel with the volume of today's partial bars brought to a whole day's."""
        if not self.partial.any():
            return self
        before = self.volume[-USUAL_BARS - 1 : -1]
        known = np.isfinite(before).sum(axis=0)
        usual = np.nansum(before, axis=0) / np.maximum(known, 1)
        volume = self.volume.copy()
        volume[-1] = np.where(self.partial, paced_volume(volume[-1], usual, session_progress), volume[-1])
        return replace(self, volume=volume)

    def at_least(self, rows: int) -> BarPanel:
        """The panel with empty rows above, if it is lower than this."""
        missing = rows - len(self.close)
        if missing <= 0:
            return self
        above = ((missing, 0), (0, 0))
        series = {field: np.pad(getattr(self, field), above, constant_values=np.nan) for field in FIELDS}
        return replace(self, **series, dates=np.pad(self.dates, above, constant_values=np.datetime64("NaT")))

    def of(self, block: slice) -> BarPanel:
        """The panel of some of the symbols, without a copy; itself if it is all of them."""
        if block.stop - block.start >= len(self.symbols):
            return self
        rows = {field: getattr(self, field)[:, block] for field in (*FIELDS, "dates")}
        return BarPanel(self.symbols[block], **rows, lengths=self.lengths[block], partial=self.partial[block])

    def blocks(self, size: int) -> Iterator[slice]:
        """The symbols in runs of at most ``size``."""
        return (slice(first, first + size) for first in range(0, len(self.symbols), size))


@dataclass(frozen=True)
class QuotePanel:
    """Quotes of N symbols, each array of shape (N,), NaN where unknown. Prices in dollars, sizes in shares."""

    bid: np.ndarray
    ask: np.ndarray
    bid_size: np.ndarray
    ask_size: np.ndarray

    @classmethod
    def from_frame(cls, quotes: pd.DataFrame, symbols: pd.Index) -> QuotePanel:
        """Arrange the ``quotes`` frame for the given symbols, in their order."""
        known = quotes.drop_duplicates("symbol").set_index("symbol").reindex(symbols)
        return cls(*(known[field].to_numpy(dtype=float, na_value=np.nan) for field in QUOTE_FIELDS))

    @classmethod
    def unknown(cls, count: int) -> QuotePanel:
        """No quote of any of so many symbols."""
        return cls(*np.full((len(QUOTE_FIELDS), count), np.nan))

    def of(self, block: slice) -> QuotePanel:
        """The quotes of some of the symbols, without a copy; themselves if it is all of them."""
        if block.stop - block.start >= len(self.bid):
            return self
        return QuotePanel(self.bid[block], self.ask[block], self.bid_size[block], self.ask_size[block])
