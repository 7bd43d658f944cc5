"""Histories and journals as older programs left them, made from the statements of then (``layouts/``)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb

LAYOUTS = Path(__file__).parent / "layouts"
ENTRY = "2026-11-20T10:15:AAPL:entry"
FILLS_V1 = {"e.1.01": ENTRY, "e.1.02": ENTRY, "e.2.01": ENTRY, "m.1.01": None}
"""Execution to the order it belongs to; the last was made by hand."""


def history_of_version_1(home: Path) -> Path:
    """The working file of a home, its data still in the write-ahead log, as a slot that is going on leaves it."""
    working = home / "working" / "history.duckdb"
    working.parent.mkdir(parents=True, exist_ok=True)
    layout, insert, data = (LAYOUTS / "history_v1.sql").read_text(encoding="utf-8").partition("\nINSERT INTO ")
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        connection.execute(f"ATTACH '{working}' AS history (BLOCK_SIZE 16384, STORAGE_VERSION 'v1.5.0')")
        connection.execute("USE history")
        connection.execute(layout)
        connection.execute("CHECKPOINT history")
        connection.execute(insert + data)
    assert working.with_name("history.duckdb.wal").stat().st_size > 0
    return working


def journal_of_version_1(home: Path) -> Path:
    """The order journal of a home, with the orders and fills that the history of version 1 mirrors."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "orders.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((LAYOUTS / "journal_v1.sql").read_text(encoding="utf-8"))
    return path
