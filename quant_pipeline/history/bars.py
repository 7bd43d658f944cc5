"""Bars stored bitemporally: a row when a bar is new or changed, with the slot and the materialization that saw it.

A bars frame is 25 000 rows of which a slot changes about a hundred. What differs from the newest known is stored; a bar
the broker no longer gives gets a row that says so; and ``bars_frames`` keeps which dates of which symbols a frame
spanned, in what order. From these the frame of any materialization is rebuilt exactly. Accounts never mix: what one
account saw is compared with what the same account saw before. ``store`` calls this within its transactions.

Nine rows in ten are partial bars of sessions long over. A row is ``live`` when it is partial and no final bar of its
date was seen before, so whatever follows a row that is not live is not live either. Hence the newest version of an old
bar is found among the few settled rows, and live rows are read for the sessions a frame holds partial bars of.
"""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
from duckdb import DuckDBPyConnection

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.columns import columns_of
from quant_pipeline.history.schema import BARS

_KEY = ("symbol", "date")
_NEVER = dt.date(9999, 12, 31)
_VALUES = tuple(column for column in columns_of(BARS) if column.name not in _KEY)
_NAMES = ", ".join(column.quoted for column in columns_of(BARS))


def _differs(left: str, right: str) -> str:
    """SQL that is true unless two bars have equal values."""
    return " OR ".join(f"{left}.{column.quoted} IS DISTINCT FROM {right}.{column.quoted}" for column in _VALUES)


_EXTENT = """
    SELECT symbol, min(place)::INTEGER AS place, min(date) AS first_date, max(date) AS last_date,
        min(date) FILTER (partial) AS live_from, count(*)::INTEGER AS rows
    FROM (SELECT symbol, date, partial, row_number() OVER () AS place FROM batch) GROUP BY symbol"""

# What a frame can hold of the bars known up to $id: settled ones anywhere in its span, live ones from its first partial
# bar on. $live_from is given as a value, for then DuckDB skips the blocks of earlier sessions unread.
_KNOWN = """
candidates AS MATERIALIZED (
    SELECT bars.*, extent.place FROM bars JOIN extent USING (symbol)
    WHERE NOT live AND source = $source AND materialization_id <= $id AND date BETWEEN first_date AND last_date
    UNION ALL
    SELECT bars.*, extent.place FROM bars JOIN extent USING (symbol)
    WHERE live AND source = $source AND materialization_id <= $id AND date >= $live_from::DATE
        AND date BETWEEN live_from AND last_date),
newest AS (SELECT symbol, date, max(materialization_id) AS materialization_id FROM candidates GROUP BY symbol, date),
known AS (SELECT candidates.* FROM candidates JOIN newest USING (symbol, date, materialization_id))"""

_APPEND = f"""
INSERT INTO bars BY NAME
WITH extent AS ({_EXTENT}),
{_KNOWN},
changes AS (
    SELECT batch.*, batch.partial AND coalesce(known.live, true) AS live, false AS gone
    FROM batch LEFT JOIN known USING (symbol, date)
    WHERE known.gone IS DISTINCT FROM false OR {_differs("batch", "known")}
    UNION ALL BY NAME
    SELECT symbol, date, false AS live, true AS gone FROM known ANTI JOIN batch USING (symbol, date) WHERE NOT gone)
SELECT $id AS materialization_id, $slot AS slot, $source AS source, * FROM changes ORDER BY symbol, date
"""

_APPEND_EXTENT = f"""
INSERT INTO bars_frames BY NAME SELECT $id AS materialization_id, $source AS source, * FROM ({_EXTENT}) ORDER BY place
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
    _refuse_disorder(table)
    connection.register("batch", table)
    try:
        values = {"id": identity, "slot": slot, "source": source}
        connection.execute(_APPEND, {**values, "live_from": _first_partial(table)})
        connection.execute(_APPEND_EXTENT, {"id": identity, "source": source})
    finally:
        connection.unregister("batch")


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


def _refuse_disorder(table: pa.Table) -> None:
    symbols = table["symbol"].to_numpy(zero_copy_only=False)
    dates = table["date"].to_numpy()
    same = symbols[1:] == symbols[:-1]
    starts = len(symbols) - int(same.sum())
    if starts != len(set(symbols)) or bool((dates[1:][same] <= dates[:-1][same]).any()):
        raise HistoryError(
            "The bars of a frame must be grouped by symbol, oldest first; sort them before storing them."
        )


def _first_partial(table: pa.Table) -> dt.date:
    dates = table.filter(table["partial"])["date"].to_numpy()
    return dates.min().item() if len(dates) else _NEVER
