"""The mirror: a copy of the order journal in the history, so that SQL can join orders with what led to them.

It follows the journal's log: the events that are new, and the intents and fills they changed. The journal stays the
truth; when it was replaced by an older one, the mirror starts anew. ``History.mirror_journal`` calls this within its
transaction.
"""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
from duckdb import DuckDBPyConnection

from quant_pipeline.history.journal_tables import JOURNAL_TABLES, Changes
from quant_pipeline.history.order_journal import OrderJournal

_KEYS = {"intents": "order_ref", "events": "id", "fills": "exec_id"}
_ARROW = {
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "BIGINT": pa.int64(),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
}


def follow(connection: DuckDBPyConnection, journal: OrderJournal) -> int:
    """Bring ``journal.*`` up to what the journal says now and return how many events were new."""
    row = connection.execute("SELECT coalesce(max(id), 0) FROM journal.events").fetchone()
    seen = int(row[0]) if row else 0
    changes = journal.changes_since(seen)
    if changes.last_event_id < seen:
        for table in JOURNAL_TABLES:
            connection.execute(f"DELETE FROM journal.{table}")
        changes = journal.changes_since(0)
    _write(connection, changes)
    return len(changes.events)


def _write(connection: DuckDBPyConnection, changes: Changes) -> None:
    for table, columns in JOURNAL_TABLES.items():
        rows = getattr(changes, table)
        if not rows:
            continue
        connection.register("changed", _table(columns, rows))
        try:
            connection.execute(
                f"DELETE FROM journal.{table} WHERE {_KEYS[table]} IN (SELECT {_KEYS[table]} FROM changed)"
            )
            connection.execute(f"INSERT INTO journal.{table} BY NAME SELECT * FROM changed")
        finally:
            connection.unregister("changed")


def _table(columns: dict[str, str], rows: list[tuple[object, ...]]) -> pa.Table:
    arrays = {}
    for (name, sql), values in zip(columns.items(), zip(*rows, strict=True), strict=True):
        if sql.startswith("TIMESTAMP"):
            values = [dt.datetime.fromisoformat(str(value)) for value in values]
        arrays[name] = pa.array(values, type=_ARROW[sql])
    return pa.table(arrays)
