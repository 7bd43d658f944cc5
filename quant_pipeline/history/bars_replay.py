"""The bars frames of many materializations, rebuilt from one reading.

``bars.read`` rebuilds one frame with a query. Whoever wants all frames of a session would ask for nearly the same
25 000 rows each time; here the rows of the session are read once and each frame is picked from them. What one holds is
said in ``bars``; that both give the same is tested. ``verification`` calls this.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection

from quant_pipeline.history.bars import spans
from quant_pipeline.history.columns import columns_of
from quant_pipeline.history.schema import BARS

_NEVER = dt.date(9999, 12, 31)
_NAMES = ", ".join(column.quoted for column in columns_of(BARS))
_EXTENTS = """
    SELECT materialization_id, source, symbol, place, first_date, last_date, live_from, rows, settled_hash
    FROM bars_frames WHERE materialization_id IN ({ids}) ORDER BY materialization_id, place"""
_ROWS = f"""
    SELECT {_NAMES}, source, slot, materialization_id, live, gone FROM bars
    WHERE materialization_id <= {{last}} AND (NOT live OR date >= DATE '{{live_from}}')
        AND (source, symbol) IN (SELECT (source, symbol) FROM bars_frames WHERE materialization_id IN ({{ids}}))
    ORDER BY source, symbol, date, materialization_id"""


class BarsReplay:
    """The bars that a set of frames is made of.

    ``bars`` holds all rows that may count, with the marks the history keeps beside them, by source, symbol, date and
    age; ``extents`` the rows of ``bars_frames``.
    """

    def __init__(self, connection: DuckDBPyConnection, ids: Sequence[int]) -> None:
        """Read what the frames of the materializations ``ids`` are made of."""
        listed = ", ".join(map(str, ids)) or "NULL"
        self.extents = connection.execute(_EXTENTS.format(ids=listed)).to_arrow_table()
        live_from = min(self.extents["live_from"].drop_null().to_pylist(), default=_NEVER)
        query = _ROWS.format(ids=listed, last=max(ids, default=0), live_from=live_from)
        self.bars = connection.execute(query).to_arrow_table().combine_chunks()
        self._bars_alone = self.bars.select([column.name for column in columns_of(BARS)])
        self._ids = self.bars["materialization_id"].to_numpy()
        self._dates = self.bars["date"].to_numpy()
        self._live = self.bars["live"].to_numpy(zero_copy_only=False)
        self._gone = self.bars["gone"].to_numpy(zero_copy_only=False)
        sources, symbols = (_codes(self.bars[name]) for name in ("source", "symbol"))
        new_stock = _changes(sources) | _changes(symbols)
        self._stock = np.cumsum(new_stock) - 1
        self._stocks = list(zip(*(self.bars[name].take(pa.array(np.flatnonzero(new_stock))).to_pylist()
                                  for name in ("source", "symbol")), strict=True))  # fmt: skip
        self._starts = np.flatnonzero(new_stock | _changes(self._dates))

    def extent(self, materialization_id: int) -> pa.Table:
        """What one frame spans, a row a symbol, in their order."""
        return self.extents.filter(pc.field("materialization_id") == materialization_id)

    def frame(self, materialization_id: int) -> pa.Table:
        """The bars of one materialization, as ``bars.read`` gives them."""
        extent = self.extent(materialization_id)
        stocks = zip(extent["source"].to_pylist(), extent["symbol"].to_pylist(), strict=True)
        place_of = {stock: place for place, stock in enumerate(stocks)}
        newest = self._newest(materialization_id)
        place = np.array([place_of.get(stock, -1) for stock in self._stocks], dtype=np.int64)[self._stock[newest]]
        newest, place = newest[place >= 0], place[place >= 0]
        date = self._dates[newest]
        first, last = (extent[name].to_numpy()[place] for name in ("first_date", "last_date"))
        live_from = extent["live_from"].fill_null(_NEVER).to_numpy()[place]
        counts = (first <= date) & (date <= last) & ~self._gone[newest] & (~self._live[newest] | (date >= live_from))
        order = np.lexsort((date[counts], place[counts]))
        return self._bars_alone.take(pa.array(newest[counts][order]))

    def faults(self, materialization_id: int, slot: str) -> Iterator[tuple[str, str]]:
        """Column and sentence for what is wrong with the marks the history keeps beside a frame's bars.

        The frame itself does not show them: the slot that saw a bar, whether it is live, and the spans.
        """
        own = np.flatnonzero(self._ids == materialization_id)
        if self.bars["slot"].take(pa.array(own)).to_pylist() != [slot] * len(own):
            yield "slot", "a bar it saw first says that another slot did"
        partial = self.bars["partial"].fill_null(False).to_numpy(zero_copy_only=False)
        first = np.zeros(len(self._ids), dtype=bool)
        first[self._starts] = True
        live_before = first | np.concatenate(([True], self._live[:-1]))[: len(first)]
        if (self._live[own] != (partial & live_before & ~self._gone)[own]).any():
            yield "live", "a bar it saw first is marked live and cannot be, or the other way round"
        expected, extent = spans(self.frame(materialization_id)), self.extent(materialization_id)
        for name in expected.column_names:
            kept = extent[name].to_pylist()
            recorded_before_it_existed = name == "settled_hash" and not any(kept)
            if kept != expected[name].to_pylist() and not recorded_before_it_existed:
                yield name, f"{name} of a symbol in bars_frames is not that of its bars"
                return

    def changed_symbols(self, materialization_id: int) -> list[str]:
        """Symbols of a frame whose settled bars do not have the hash that was kept of them."""
        extent, expected = self.extent(materialization_id), spans(self.frame(materialization_id))
        hashes = dict(zip(expected["symbol"].to_pylist(), expected["settled_hash"].to_pylist(), strict=True))
        kept = zip(extent["symbol"].to_pylist(), extent["settled_hash"].to_pylist(), strict=True)
        return [symbol for symbol, settled in kept if settled is not None and hashes.get(symbol) != settled]

    def _newest(self, materialization_id: int) -> np.ndarray:
        """Where the newest row of every stock and date stands that was known to a materialization."""
        if not len(self._ids):
            return np.array([], dtype=np.int64)
        known = np.where(self._ids <= materialization_id, np.arange(len(self._ids)), -1)
        newest = np.maximum.reduceat(known, self._starts)
        return newest[newest >= 0]


def _codes(values: pa.ChunkedArray) -> np.ndarray:
    encoded = values.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False)


def _changes(values: np.ndarray) -> np.ndarray:
    """Whether a value differs from the one before; the first always does."""
    return np.concatenate(([True], values[1:] != values[:-1])) if len(values) else np.array([], dtype=bool)
