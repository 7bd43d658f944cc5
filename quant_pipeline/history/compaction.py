"""Compaction: the working file written anew, without what was given up and in the order it is read in.

Rows that were replaced or pruned leave holes that DuckDB fills again but never gives back. ``compact`` copies the file,
writes the copy anew beside it and puts the result in its place by rename. While it does, everybody reads and records
as ever, into the log; only the checkpoints wait. What was recorded meanwhile would be lost with the old file, so then
the result is thrown away and made again. Whatever ends it half-way, the old file stands; what lies beside it is cleared
away by the next one. ``History`` calls this, at the end of the day and from the command line.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.open_file_copy import copy_open_file
from quant_pipeline.history.working_file import CATALOG, NEW_FILE, WorkingFile

ATTEMPTS = 3
# A year of slots takes less than a minute on a slow machine.
COMPACT_SECONDS = 900.0
INTERRUPT_SECONDS = 0.002
COMPACTED = "compacted"
# Settled bars, which every reading goes through, beside each other and not between the partial ones of each slot.
ORDER = {("main", "bars"): "ORDER BY live, rowid"}


@dataclass(frozen=True)
class Compaction:
    """Size of the working file in bytes before and after."""

    bytes_before: int
    bytes_after: int


def compact(file: WorkingFile, *, seconds: float = COMPACT_SECONDS) -> Compaction:
    """Write the working file anew and put the result in its place.

    Raises ``HistoryError`` when the disk has no room for it, it takes longer than ``seconds`` or something is recorded
    every time; nothing was changed then.
    """
    deadline = time.monotonic() + seconds
    with file.checkpoints():
        for _ in range(ATTEMPTS):
            with _scratch(file) as (copy, compacted):
                before = _copy_of(file, copy)
                try:
                    _write_anew(copy, compacted, deadline)
                except duckdb.InterruptException as error:
                    raise HistoryError(
                        f"The history {file.path} could not be compacted within {seconds:g} s; nothing was changed, "
                        "run quant-pipeline compact when the machine has less to do."
                    ) from error
                except (OSError, duckdb.Error) as error:
                    raise HistoryError(
                        f"The history {file.path} could not be compacted ({str(error).strip().splitlines()[0]}); "
                        "nothing was changed, free space or mend the cause and run it again."
                    ) from error
                after = compacted.stat().st_size
                if file.replace_unless_written(compacted):
                    return Compaction(before, after)
    raise HistoryError(
        f"Something was recorded each of {ATTEMPTS} times while {file.path} was compacted; nothing was changed, run "
        "quant-pipeline compact when no slot runs."
    )


def unused_pct(file: WorkingFile) -> float:
    """Share of the working file that holds nothing, in percent."""
    with file.transaction() as connection:
        row = connection.execute(
            "SELECT 100.0 * free_blocks / greatest(total_blocks, 1) FROM pragma_database_size() "
            "WHERE database_name = current_database()"
        ).fetchone()
    return float(row[0]) if row else 0.0


@contextmanager
def _scratch(file: WorkingFile) -> Iterator[tuple[Path, Path]]:
    copy, compacted = (file.path.with_name(f".{file.path.name}.{use}") for use in ("copy", COMPACTED))
    log = compacted.with_name(f"{compacted.name}.wal")
    try:
        yield copy, compacted
    finally:
        for path in (copy, compacted, log):
            path.unlink(missing_ok=True)


def _copy_of(file: WorkingFile, copy: Path) -> int:
    descriptor = file.checkpoint()
    try:
        size = os.fstat(descriptor).st_size
        free = shutil.disk_usage(copy.parent).free
        if free < 2 * size:
            raise HistoryError(
                f"Compacting {file.path} needs {2 * size / 1e6:,.0f} MB of free space beside it and there are "
                f"{free / 1e6:,.0f} MB; free some, nothing was changed."
            )
        copy_open_file(descriptor, copy)
        return size
    finally:
        file.release(descriptor)


def _write_anew(copy: Path, compacted: Path, deadline: float) -> None:
    for left_over in (compacted, compacted.with_name(f"{compacted.name}.wal")):
        left_over.unlink(missing_ok=True)
    with duckdb.connect(":memory:") as connection, _until(deadline, connection):
        # One thread keeps the rows in their order and leaves the other processors to whoever trades.
        connection.execute("SET threads = 1")
        connection.execute("SET checkpoint_threshold = '64MB'")
        connection.execute(f"SET temp_directory = {_quoted(compacted.with_suffix('.spill'))}")
        connection.execute(f"ATTACH {_quoted(copy)} AS {CATALOG} (READ_ONLY)")
        connection.execute(f"ATTACH {_quoted(compacted)} AS {COMPACTED} ({NEW_FILE})")
        connection.execute(f"COPY FROM DATABASE {CATALOG} TO {COMPACTED} (SCHEMA)")
        for schema, table in _tables(connection):
            _copy_rows(connection, schema, table)
        connection.execute(f"CHECKPOINT {COMPACTED}")
        connection.execute(f"DETACH {COMPACTED}")
    with compacted.open("rb") as written:
        os.fsync(written.fileno())


@contextmanager
def _until(deadline: float, connection: DuckDBPyConnection) -> Iterator[None]:
    """Interrupt what the connection does once the deadline, of the monotonic clock, has passed."""
    done = threading.Event()

    def watch() -> None:
        done.wait(max(deadline - time.monotonic(), 0.0))
        while not done.wait(INTERRUPT_SECONDS):  # between two statements an interrupt is lost
            connection.interrupt()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _tables(connection: DuckDBPyConnection) -> list[tuple[str, str]]:
    return connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ? AND NOT temporary "
        "ORDER BY table_oid",
        [CATALOG],
    ).fetchall()


def _copy_rows(connection: DuckDBPyConnection, schema: str, table: str) -> None:
    name = f'{schema}."{table}"'
    order = ORDER.get((schema, table), "")
    connection.execute(f"INSERT INTO {COMPACTED}.{name} SELECT * FROM {CATALOG}.{name} {order}")
    counts = connection.execute(
        f"SELECT (SELECT count(*) FROM {CATALOG}.{name}), (SELECT count(*) FROM {COMPACTED}.{name})"
    ).fetchall()
    if counts[0][0] != counts[0][1]:
        raise HistoryError(f"Compacting lost rows of {name}; nothing was changed, check the disk and the history.")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
