"""Bars stored bitemporally: a row when a bar is new or changed, with the slot and the materialization that saw it.

A bars frame is 25 000 rows of which a slot changes about a hundred. What differs from the newest known is stored; a bar
the broker no longer gives gets a row that says so; and ``bars_frames`` keeps which dates of which symbols a frame
spanned, in what order. From these the frame of any materialization is rebuilt exactly. Accounts never mix: what one
account saw is compared with what the same account saw before. ``store`` calls this within its transactions.

Nine rows in ten are partial bars of sessions long over. A row is ``live`` when it is partial and no final bar of its
date was seen before, so whatever follows a row that is not live is not live either. Hence the newest version of an old
bar is found among the few settled rows, and live rows are read for the sessions a frame holds partial bars of.

All that is old in a frame is seldom different from the frame before, and looking it up would cost more with every
session. So ``bars_frames`` has a hash of each symbol's bars before the first partial one: where it is that of the
newest frame with the symbol, these bars are known and only what follows is compared. An account's rows of a symbol are
written by frames with that symbol only, which is why that suffices.
"""

from __future__ import annotations

import datetime as dt
import hashlib

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyConnection

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.columns import columns_of
from quant_pipeline.history.schema import BARS

HASH_DIGITS = 24
# Hashes are sought in so many materializations back, about three sessions; a symbol without one is compared in full.
LOOK_BACK = 1000

_KEY = ("symbol", "date")
_NEVER = dt.date(9999, 12, 31)
_VALUES = tuple(column for column in columns_of(BARS) if column.name not in _KEY)
_NAMES = ", ".join(column.quoted for column in columns_of(BARS))


def _differs(left: str, right: str) -> str:
    """SQL that is true unless two bars have equal values."""
    return " OR ".join(f"{left}.{column.quoted} IS DISTINCT FROM {right}.{column.quoted}" for column in _VALUES)


_NEWEST = """
newest AS (SELECT symbol, date, max(materialization_id) AS materialization_id FROM candidates GROUP BY symbol, date),
known AS (SELECT candidates.* FROM candidates JOIN newest USING (symbol, date, materialization_id))"""

# What a frame can hold of the bars known up to $id: settled ones anywhere in its span, live ones from its first partial
# bar on. $live_from is given as a value, for then DuckDB skips the blocks of earlier sessions unread.
_KNOWN = f"""
candidates AS MATERIALIZED (
    SELECT bars.*, extent.place FROM bars JOIN extent USING (symbol)
    WHERE NOT live AND source = $source AND materialization_id <= $id AND date BETWEEN first_date AND last_date
    UNION ALL
    SELECT bars.*, extent.place FROM bars JOIN extent USING (symbol)
    WHERE live AND source = $source AND materialization_id <= $id AND date >= $live_from::DATE
        AND date BETWEEN live_from AND last_date),
{_NEWEST}"""

# Compared are the bars of ``batch``: of the symbols ``$altered`` all of them, of the others those from the first
# partial one on. The span they are compared in, of ``spans``, begins there too.
_APPEND = f"""
INSERT INTO bars BY NAME
WITH extent AS (SELECT symbol, place, compared_from AS first_date, last_date, live_from FROM spans),
candidates AS MATERIALIZED (
    SELECT bars.*, extent.place FROM bars JOIN extent USING (symbol)
    WHERE NOT live AND source = $source AND date >= $live_from::DATE AND date BETWEEN first_date AND last_date
    UNION ALL
    SELECT bars.*, extent.place FROM bars JOIN extent USING (symbol)
    WHERE NOT live AND source = $source AND date < $live_from::DATE AND symbol IN (SELECT unnest($altered))
        AND date BETWEEN first_date AND last_date
    UNION ALL
    SELECT bars.*, extent.place FROM bars JOIN extent USING (symbol)
    WHERE live AND source = $source AND date >= $live_from::DATE AND date BETWEEN live_from AND last_date),
{_NEWEST},
changes AS (
    SELECT batch.*, batch.partial AND coalesce(known.live, true) AS live, false AS gone
    FROM batch LEFT JOIN known USING (symbol, date)
    WHERE known.gone IS DISTINCT FROM false OR {_differs("batch", "known")}
    UNION ALL BY NAME
    SELECT symbol, date, false AS live, true AS gone FROM known ANTI JOIN batch USING (symbol, date) WHERE NOT gone)
SELECT $id AS materialization_id, $slot AS slot, $source AS source, * FROM changes ORDER BY symbol, date
"""

_APPEND_SPANS = """
INSERT INTO bars_frames BY NAME
SELECT $id AS materialization_id, $source AS source, * EXCLUDE (compared_from) FROM spans ORDER BY place
"""

_LAST_HASHES = """
SELECT symbol, max_by(coalesce(settled_hash, ''), materialization_id) FROM bars_frames
WHERE source = $source AND materialization_id > $after AND list_contains($symbols, symbol) GROUP BY symbol
"""

_FRAME = f"""
WITH extent AS (
    SELECT symbol, place, first_date, last_date, live_from FROM bars_frames WHERE materialization_id = $id),
{_KNOWN}
SELECT {_NAMES} FROM known WHERE NOT gone ORDER BY place, date
"""

_KEPT = f"""
WITH candidates AS MATERIALIZED (
    FROM bars WHERE NOT live AND source = $source AND slot <= $slot
    UNION ALL
    FROM bars WHERE live AND source = $source AND slot <= $slot AND date >= $session::DATE),
newest AS (
    SELECT symbol, date, max_by(materialization_id, (NOT live, slot, materialization_id)) AS materialization_id
    FROM candidates GROUP BY symbol, date)
SELECT {_NAMES} FROM candidates JOIN newest USING (symbol, date, materialization_id)
WHERE NOT gone ORDER BY symbol, date
"""


def append(connection: DuckDBPyConnection, table: pa.Table, *, identity: int, slot: str, source: str) -> None:
    """Store what is new in a bars frame, as the materialization ``identity`` of ``source``.

    Raises ``HistoryError`` when the rows are not grouped by symbol with rising dates, the order a frame is rebuilt in.
    """
    starts = _refuse_disorder(table)
    live_from = _first_partial(table)
    spans = _spans(table, starts, live_from)
    symbols, hashes = spans["symbol"].to_pylist(), spans["settled_hash"].to_pylist()
    sought = {"source": source, "symbols": symbols, "after": identity - LOOK_BACK}
    last = dict(connection.execute(_LAST_HASHES, sought).fetchall())
    altered = [symbol for symbol, settled in zip(symbols, hashes, strict=True) if last.get(symbol) != settled]
    is_altered = np.isin(symbols, altered) if symbols else np.array([], dtype=bool)
    first_dates = spans["first_date"].to_numpy()
    compared_from = np.where(is_altered, first_dates, np.maximum(first_dates, np.datetime64(live_from)))
    spans = spans.append_column("compared_from", pa.array(compared_from, pa.date32()))
    compared = table["date"].to_numpy() >= np.repeat(compared_from, spans["rows"].to_numpy())
    views = {"spans": spans, "batch": table.filter(pa.array(compared))}
    try:
        for name, view in views.items():
            connection.register(name, view)
        values = {"id": identity, "source": source}
        connection.execute(_APPEND, {**values, "slot": slot, "live_from": live_from, "altered": altered})
        connection.execute(_APPEND_SPANS, values)
    finally:
        for name in views:
            connection.unregister(name)


def read(connection: DuckDBPyConnection, identity: int) -> pa.Table:
    """The bars of the materialization ``identity``, as they were appended."""
    row = connection.execute(
        "SELECT any_value(source), min(live_from) FROM bars_frames WHERE materialization_id = ?", [identity]
    ).fetchone()
    source, live_from = row or (None, None)
    return connection.execute(
        _FRAME, {"id": identity, "source": source, "live_from": live_from or _NEVER}
    ).to_arrow_table()


def kept(connection: DuckDBPyConnection, *, source: str, slot: str) -> pa.Table:
    """The newest bar of every symbol and date that ``source`` had seen up to and including ``slot``.

    A partial bar counts in its own session only: what never was completed afterwards has to be read again.
    """
    return connection.execute(_KEPT, {"source": source, "slot": slot, "session": slot[:10]}).to_arrow_table()


def spans(table: pa.Table) -> pa.Table:
    """What ``bars_frames`` keeps of each symbol of a frame, in their order, for those who verify one."""
    return _spans(table, _refuse_disorder(table), _first_partial(table))


def _refuse_disorder(table: pa.Table) -> np.ndarray:
    """Where each symbol's bars begin, when they are in the order a frame is rebuilt in."""
    symbols = table["symbol"].to_numpy(zero_copy_only=False)
    dates = table["date"].to_numpy()
    same = symbols[1:] == symbols[:-1]
    starts = np.flatnonzero(np.concatenate(([True], ~same))) if len(symbols) else np.array([], dtype=int)
    if len(starts) != len(set(symbols[starts])) or bool((dates[1:][same] <= dates[:-1][same]).any()):
        raise HistoryError(
            "The bars of a frame must be grouped by symbol, oldest first; sort them before storing them."
        )
    return starts


def _spans(table: pa.Table, starts: np.ndarray, live_from: dt.date) -> pa.Table:
    """What ``bars_frames`` keeps of each symbol; the bars of one begin at ``starts``."""
    dates, partial = table["date"].to_numpy(), table["partial"].to_numpy(zero_copy_only=False)
    ends = np.append(starts[1:], len(dates))[: len(starts)]
    begun = np.where(partial, dates, np.datetime64(_NEVER))
    live = np.minimum.reduceat(begun, starts) if len(starts) else begun
    return pa.table({
        "symbol": table["symbol"].take(pa.array(starts)), "place": pa.array(starts + 1, pa.int32()),
        "first_date": pa.array(dates[starts], pa.date32()), "last_date": pa.array(dates[ends - 1], pa.date32()),
        "live_from": pa.array(live, pa.date32(), mask=live == np.datetime64(_NEVER)),
        "rows": pa.array(ends - starts, pa.int32()),
        "settled_hash": pa.array(_settled_hashes(table, starts, ends, live_from), pa.string()),
    })  # fmt: skip


def _settled_hashes(table: pa.Table, starts: np.ndarray, ends: np.ndarray, live_from: dt.date) -> list[str]:
    """A hash of each symbol's bars before ``live_from``, and of that date itself."""
    dates = table["date"].to_numpy()
    numbers = [table[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
    bars = np.column_stack([dates.astype(np.int64), *numbers])
    settled = dates < np.datetime64(live_from)
    begun = live_from.isoformat().encode()
    hashes = []
    for start, end in zip(starts, ends, strict=True):
        digest = hashlib.sha256(begun)
        digest.update(bars[start : start + int(settled[start:end].sum())].tobytes())
        hashes.append(digest.hexdigest()[:HASH_DIGITS])
    return hashes


def _first_partial(table: pa.Table) -> dt.date:
    dates = table.filter(table["partial"])["date"].to_numpy()
    return dates.min().item() if len(dates) else _NEVER
