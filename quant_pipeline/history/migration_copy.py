"""A copy of history and journal as they were, kept beside them before their layout is changed.

Migrations are one transaction, so the copies are not what they stand on; they are for the person who wants to go back
to the program of before. Where the copies lie and how they are taken belongs here. ``schema`` and ``journal_tables``
call it right before they migrate, while nobody else has the file.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from duckdb import DuckDBPyConnection

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.schema_version import SCHEMA_VERSION

ROOM_TO_SPARE = 2
"""A history is copied when its size fits this many times into the free space: migrating it takes room as well."""


def keep_history(connection: DuckDBPyConnection, path: Path, version: int) -> None:
    """Copy a history that is about to be migrated to ``history.v<version>.duckdb``, its log moved into the file.

    Not when the disk has no room for it, since trading does not wait for a copy; the one published last is there then
    until the next. Raises ``HistoryError`` when the copy fails.
    """
    log = path.with_name(path.name + ".wal")
    size = sum(file.stat().st_size for file in (path, log) if file.exists())
    kept = path.with_name(f"{path.stem}.v{version}{path.suffix}")
    if version == SCHEMA_VERSION or kept.exists() or shutil.disk_usage(path.parent).free < size * ROOM_TO_SPARE:
        return
    beside = kept.with_name(f".{kept.name}.copying")
    log_beside = beside.with_name(beside.name + ".wal")
    try:
        shutil.copyfile(path, beside)
        if log.exists():
            shutil.copyfile(log, log_beside)
            place = str(beside).replace("'", "''")
            connection.execute(f"ATTACH '{place}' AS kept")
            connection.execute("CHECKPOINT kept")
            connection.execute("DETACH kept")
        beside.replace(kept)
    except OSError as error:
        beside.unlink(missing_ok=True)
        log_beside.unlink(missing_ok=True)
        raise HistoryError(_not_kept(path, error)) from error


def keep_journal(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Copy a journal that is about to be migrated to ``orders.v<version>.sqlite``; it is small.

    Raises ``HistoryError`` when the disk does not take it.
    """
    kept = path.with_name(f"{path.stem}.v{version}{path.suffix}")
    if kept.exists():
        return
    beside = kept.with_name(f".{kept.name}.copying")
    try:
        with closing(sqlite3.connect(beside)) as copy:
            connection.backup(copy)
        beside.replace(kept)
    except (OSError, sqlite3.Error) as error:
        beside.unlink(missing_ok=True)
        raise HistoryError(_not_kept(path, error)) from error


def _not_kept(path: Path, error: Exception) -> str:
    return (
        f"{path} is to get a new layout and could not be copied before ({error}); nothing was changed, free space and "
        "run it again."
    )
