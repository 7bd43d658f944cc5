"""The order journal for those who only read it: nothing is created, migrated or locked, and nothing takes seconds.

``OrderJournal`` needs the frames, checks the whole file and brings it to the present layout, which is right for those
who send orders. ``explain`` and ``verify`` look at the journal as it lies there, through this; of a journal that is
gone the copy in the history still tells ``explain``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from duckdb import DuckDBPyConnection

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.journal_tables import JOURNAL_TABLES, SCHEMA_VERSION, refuse_lost
from quant_pipeline.history.rows import instant, mappings, text_of

Row = dict[str, Any]

JOURNAL = "orders.sqlite"
"""Its place below the home."""


class JournaledRows(Protocol):
    """What gives the rows of the journal: the journal itself, or its copy in the history."""

    def rows(self, table: str, which: str = "", parameters: Sequence[object] = ()) -> list[Row]:
        """Rows of ``intents``, ``events`` or ``fills``; ``which`` is what follows the table's name in SQL."""
        ...


class JournalReader:
    """Rows of the journal as mappings; a journal that never was has none."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection

    def rows(self, table: str, which: str = "", parameters: Sequence[object] = ()) -> list[Row]:
        """Rows of ``intents``, ``events`` or ``fills``; ``which`` is what follows the table's name in SQL.

        A column that the file does not have yet is missing in every row.
        """
        if self._connection is None:
            return []
        there = {name for _, name, *_ in self._connection.execute(f"PRAGMA table_info({table})")}
        names = [name if name in there else f"NULL AS {name}" for name in JOURNAL_TABLES[table]]
        cursor = self._connection.execute(f"SELECT {', '.join(names)} FROM {table} {which}", parameters)
        return [dict(zip(JOURNAL_TABLES[table], row, strict=True)) for row in cursor]

    def last_event_id(self) -> int:
        """The number of the last event of the log; 0 when there is none."""
        if self._connection is None:
            return 0
        return self._connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0]

    def gaps(self) -> list[tuple[int, int]]:
        """First and last of the numbers that the log of events, which counts from 1, leaves out."""
        if self._connection is None:
            return []
        return self._connection.execute(
            "SELECT previous + 1, id - 1 FROM (SELECT id, lag(id, 1, 0) OVER (ORDER BY id) AS previous FROM events) "
            "WHERE id > previous + 1 ORDER BY id"
        ).fetchall()


class JournalCopy:
    """The same rows from the copy of the journal in the history, their times written as the journal writes them."""

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self._connection = connection

    def rows(self, table: str, which: str = "", parameters: Sequence[object] = ()) -> list[Row]:
        """Rows as ``JournalReader.rows`` gives them; parameters are texts, ``which`` has a ``?`` for nothing else."""
        instants = [name for name, kind in JOURNAL_TABLES[table].items() if kind.startswith("TIMESTAMP")]
        columns = [
            f'epoch_us("{name}") AS "{name}"' if name in instants else f'"{name}"' for name in JOURNAL_TABLES[table]
        ]
        first, *others = which.split("?")
        asked = first + "".join(text_of(str(value)) + rest for value, rest in zip(parameters, others, strict=True))
        found = mappings(self._connection, f"SELECT {', '.join(columns)} FROM journal.{table} {asked}")
        return [{**row, **{name: _as_journaled(row[name]) for name in instants}} for row in found]


def _as_journaled(microseconds: int | None) -> str | None:
    return None if microseconds is None else instant(microseconds).isoformat(timespec="microseconds")


def refuse_lost_journal(home: Path) -> None:
    """Raise ``HistoryError`` when there was a journal below a home once and now there is none."""
    refuse_lost(home / JOURNAL)


def lost_journal(home: Path) -> str | None:
    """The same for those who go on without it: the sentence to say, or None."""
    try:
        refuse_lost_journal(home)
    except HistoryError as error:
        return str(error)
    return None


@contextmanager
def reading_or_copy(home: Path, history: DuckDBPyConnection) -> Iterator[JournaledRows]:
    """The same as ``reading``, but where the journal is gone its copy in the history; ``lost_journal`` says if so."""
    if lost_journal(home) is not None:
        yield JournalCopy(history)
        return
    with reading(home) as journal:
        yield journal


@contextmanager
def reading(home: Path) -> Iterator[JournalReader]:
    """One consistent reading of the journal below a home.

    Raises ``HistoryError`` when the journal is gone although there was one, is damaged or of a newer version.
    """
    path = home / JOURNAL
    refuse_lost(path)
    if not path.exists():
        yield JournalReader(None)
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("BEGIN")
            _refuse_foreign(connection, path)
            yield JournalReader(connection)
    except sqlite3.Error as error:
        raise HistoryError(
            f"The order journal {path} cannot be read ({error}); restore a backup of it, nothing was changed."
        ) from error


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise HistoryError(
            f"The order journal {path} has layout version {version} and this program knows versions up to "
            f"{SCHEMA_VERSION}; run the newer quant-pipeline that wrote it, nothing was changed."
        )
    if version == 0:
        raise HistoryError(f"{path} is not an order journal of this pipeline; move it away, it was not changed.")
