"""Rows of the history as plain mappings, without the libraries that frames need.

What ``order_chain`` and ``newest_status`` share: they answer at once, so nothing here may load pandas. DuckDB does when
a parameter is bound, and a library of time zones when an instant is fetched as it is; so values stand in the queries,
quoted by ``text_of``, and instants are fetched as whole microseconds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from duckdb import DuckDBPyConnection

Row = dict[str, Any]

_KEYS = ("materialization_id", "slot", "row_number")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def select(connection: DuckDBPyConnection, table: str, which: str) -> list[Row]:
    """The rows of a table without the columns that say which frame they are of; instants are aware, in UTC.

    ``which`` is what follows the table's name in SQL.
    """
    described = connection.execute(f"SELECT * FROM {table} LIMIT 0").description or []
    instants = [name for name, kind, *_ in described if "TIME ZONE" in str(kind)]
    columns = [
        f'epoch_us("{name}") AS "{name}"' if name in instants else f'"{name}"'
        for name, *_ in described
        if name not in _KEYS
    ]
    rows = mappings(connection, f"SELECT {', '.join(columns)} FROM {table} {which}")
    return [{**row, **{name: instant(row[name]) for name in instants}} for row in rows]


def mappings(connection: DuckDBPyConnection, query: str) -> list[Row]:
    """What a query gives, its values as DuckDB hands them out."""
    result = connection.execute(query)
    names = [name for name, *_ in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def text_of(value: str) -> str:
    """A text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def one(rows: Sequence[Row]) -> Row | None:
    """The only row, or None."""
    return rows[0] if rows else None


def instant(microseconds: int | None) -> Any:
    """The instant so many microseconds after 1970, aware, in UTC; None for None."""
    return None if microseconds is None else _EPOCH + dt.timedelta(microseconds=microseconds)
