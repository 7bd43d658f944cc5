"""The one place that opens the history's working file.

A DuckDB file has one process at a time, readers included, so the file is held for milliseconds only: processes and
threads queue on a side file with ``flock``, attach the database to an engine in memory (0.5 ms; opening it anew would
be 10 ms), do their work in one transaction and let go. Waiting is bounded. Which tables there are and what is in them
is for ``schema`` and ``store``; nothing else in the project opens this file.

Work never checkpoints: what it commits stands in the write-ahead log, and the file itself changes only while
``checkpoint`` runs, under a lock of its own. That is what lets ``publish`` copy the file without holding anybody up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.file_lock import POLL_SECONDS, locked
from quant_pipeline.history.schema_version import (
    SCHEMA_VERSION,
    refuse_foreign,
    refuse_half_migrated,
    tables_of,
    version_of,
)

CATALOG = "history"
# What DuckDB makes of a Ctrl-C during a query, which must not pass for an error that is worth another try.
INTERRUPTED = "Query interrupted"
WAIT_SECONDS = 20.0
# Every opening reads the log again, at about 10 ms for 100 kB. A slot writes 240 kB, and publishing moves it into the
# file after each; a checkpoint in between takes as long as what it spares the later openings, and one append bears it.
LONG_LOG_BYTES = 512 * 1024
# A checkpoint reads and writes what is known of every row group of the tables it changes, and compresses the last one
# anew: larger ones keep it quick in a file of a year, smaller ones in a new file. A column of 8192 numbers takes 60 kB,
# so two share a block of 128 kB; blocks of less than 32 kB would rule out the packing of integers. With these a year
# takes 94 kB a slot, with 64 kB 103, with 2048 rows in 16 kB 115.
ROW_GROUP = "ROW_GROUP_SIZE 8192"
NEW_FILE = f"BLOCK_SIZE 131072, STORAGE_VERSION 'v1.5.0', {ROW_GROUP}"

_MISFORTUNES = (
    duckdb.IOException,
    duckdb.FatalException,
    duckdb.TransactionException,
    duckdb.OutOfMemoryException,
    duckdb.SerializationException,
)
"""What the disk or the machine can do to us; other errors of DuckDB are bugs of ours and keep their traceback."""


class WorkingFile:
    """``<home>/working/history.duckdb``: opened for a moment by whoever's turn it is.

    ``wait_seconds`` bounds how long a turn is waited for.
    """

    def __init__(self, home: Path, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self.path = home / "working" / "history.duckdb"
        self.log = self.path.with_name("history.duckdb.wal")
        self._queue = self.path.with_name("history.lock")
        self._checkpoints = self.path.with_name("publish.lock")
        self._published = home / "history.duckdb"
        self._wait_seconds = wait_seconds
        self._engine: DuckDBPyConnection | None = None
        self._engine_process = 0
        self._prepared: int | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait in the queue, at most ``wait_seconds``; nobody has the file open while the turn lasts."""
        with locked(self._queue, self._wait_seconds, f"The history {self.path} is in use"):
            yield

    @contextmanager
    def transaction(self) -> Iterator[DuckDBPyConnection]:
        """A connection to the history for one transaction, committed at the end or rolled back whole.

        Raises ``HistoryError`` when the file cannot be had in time, is missing, damaged, newer than this version, or
        cannot be written.
        """
        with self.turn(), self._attached(self._prepare) as connection:
            with _transaction(connection):
                yield connection
            self._shorten_log(connection)

    @contextmanager
    def reading(self) -> Iterator[DuckDBPyConnection]:
        """The same for those who only read and want it at once: columns of frames that are new are not added first.

        Raises ``HistoryError`` also when nothing was ever recorded.
        """
        if not any(map(_size, (self.path, self.log, self._published))):
            home = self._published.parent
            if home.is_file():
                raise HistoryError(f"{home} is a file, not the folder of a home; move it or set QUANT_HOME to another.")
            raise HistoryError("Nothing is recorded yet; start with quant-pipeline run.")
        with self.turn(), self._attached(self._prepare_reading) as connection, _transaction(connection):
            yield connection

    @contextmanager
    def checkpoints(self) -> Iterator[None]:
        """The right to change the file itself, which one process has at a time."""
        with locked(self._checkpoints, self._wait_seconds, f"The history {self.path} is being published"):
            yield

    def checkpoint(self) -> int:
        """Move the log into the file and return a descriptor of it; call it within ``checkpoints``.

        Close the descriptor with ``release``: closing any descriptor of a file lets go of the locks that the same
        process holds on it.
        """
        with self.turn():
            with self._attached(self._prepare) as connection:
                connection.execute(f"CHECKPOINT {CATALOG}")
            return os.open(self.path, os.O_RDONLY)

    def release(self, descriptor: int) -> None:
        """Close a descriptor that ``checkpoint`` returned."""
        with self.turn():
            os.close(descriptor)

    def replace_unless_written(self, written_anew: Path) -> bool:
        """Put a file made from the last ``checkpoint`` in the place of this one, unless something was recorded since.

        Call it within the same ``checkpoints``; returns whether it was done.
        """
        with self.turn():
            # Opening it makes sure that no other program has it open; what is recorded stands in the log.
            with self._attached(self._prepare):
                pass
            if _size(self.log):
                return False
            self.log.unlink(missing_ok=True)
            written_anew.replace(self.path)
            _sync(self.path.parent)
        return True

    def _shorten_log(self, connection: DuckDBPyConnection) -> None:
        """Checkpoint when the log has become so long that reading it would slow every opening down."""
        if _size(self.log) <= LONG_LOG_BYTES:
            return
        # Not while it is published; and what cannot be moved for want of space stays safe in the log.
        with suppress(HistoryError), locked(self._checkpoints, 0.0, "The history is being published"):
            try:
                connection.execute(f"CHECKPOINT {CATALOG}")
            except _MISFORTUNES:
                self._drop_engine()

    @contextmanager
    def _attached(self, prepare: Callable[[DuckDBPyConnection], None]) -> Iterator[DuckDBPyConnection]:
        self._refuse_lost_file()
        try:
            connection = self._attach()
        except duckdb.Error as error:
            self._drop_engine()
            raise HistoryError(
                f"The history {self.path} cannot be read ({_first_line(error)}); put a backup or a copy of "
                f"{self._published} in its place, nothing was changed."
            ) from error
        try:
            prepare(connection)
            yield connection
        except _MISFORTUNES as error:
            # After a failed write DuckDB refuses the whole engine, so the next turn starts with a new one.
            self._drop_engine()
            raise HistoryError(
                f"The history {self.path} could not be written or read ({_first_line(error)}); "
                "nothing of this step was stored, free space or mend the cause and run it again."
            ) from error
        finally:
            self._detach()

    def _attach(self) -> DuckDBPyConnection:
        deadline = time.monotonic() + self._wait_seconds
        place = str(self.path).replace("'", "''")
        while True:
            connection = self._running_engine()
            try:
                options = ROW_GROUP if _size(self.path) else NEW_FILE
                connection.execute(f"ATTACH '{place}' AS {CATALOG} ({options})")
                connection.execute(f"USE {CATALOG}")
                return connection
            except duckdb.IOException as error:
                if "lock" not in str(error):
                    raise
                if time.monotonic() > deadline:
                    raise HistoryError(
                        f"Another program has held {self.path} open for {self._wait_seconds:g} s; close it there and "
                        f"read {self._published} instead."
                    ) from error
                time.sleep(POLL_SECONDS)

    def _detach(self) -> None:
        if self._engine is None:
            return
        try:
            self._engine.execute("USE memory")
            self._engine.execute(f"DETACH {CATALOG}")
        except duckdb.Error:
            self._drop_engine()

    def _running_engine(self) -> DuckDBPyConnection:
        # A forked child inherits the object but not the engine's threads.
        if self._engine is None or self._engine_process != os.getpid():
            self._engine = duckdb.connect(":memory:")
            self._engine.execute("PRAGMA disable_checkpoint_on_shutdown")
            self._engine.execute("SET checkpoint_threshold = '1TB'")
            # The work is small: a second thread costs more than it does, threefold on a machine with two cores.
            self._engine.execute("SET threads = 1")
            self._engine_process = os.getpid()
        return self._engine

    def _drop_engine(self) -> None:
        if self._engine is not None:
            with suppress(duckdb.Error):
                self._engine.close()
        self._engine = None

    def _prepare(self, connection: DuckDBPyConnection) -> None:
        from quant_pipeline.history import schema  # it takes seconds to load, which a reader need not wait for

        inode = self.path.stat().st_ino
        if self._prepared != inode or version_of(connection) != SCHEMA_VERSION:
            refuse_foreign(connection, self.path)
            if schema.ensure(connection):
                # The layout is hundreds of statements, which every opening would read from the log again.
                connection.execute(f"CHECKPOINT {CATALOG}")
            self._prepared = inode

    def _prepare_reading(self, connection: DuckDBPyConnection) -> None:
        refuse_foreign(connection, self.path)
        if not tables_of(connection):
            raise HistoryError("Nothing is recorded yet; start with quant-pipeline run.")
        if version_of(connection) < SCHEMA_VERSION:
            self._prepare(connection)
        else:
            refuse_half_migrated(connection, self.path)

    def _refuse_lost_file(self) -> None:
        if _size(self.path):
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        left = next((path for path in (self.log, self._published) if path.exists()), None)
        if left is not None:
            raise HistoryError(
                f"The history {self.path} is gone or empty although {left} is there; copy a backup or "
                f"{self._published} to its place, or move {left} away to start a new history."
            )


@contextmanager
def _transaction(connection: DuckDBPyConnection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException as error:
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        if isinstance(error, RuntimeError) and str(error) == INTERRUPTED:
            raise KeyboardInterrupt from error
        raise


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
