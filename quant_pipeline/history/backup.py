"""Backup: history, order journal, settings and paper books as they are at one time, in one file.

In what order they are copied and where the file lies belong here; what the file looks like is ``archive``'s. Nobody is
held up while it is made. Dagster's own storage is left out: it can be larger than all the rest, and nothing in it is
needed to explain, verify or trade on. ``quant-pipeline backup`` calls this.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import duckdb

from quant_pipeline.errors import HistoryError, UsageError
from quant_pipeline.history import journal_tables, schema_version
from quant_pipeline.history.archive import BOOKS, FORMAT, HISTORY, JOURNAL, Manifest, archived, write
from quant_pipeline.history.file_lock import locked
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline.home import SETTINGS_FILE

SUFFIX = ".tar.zst"
WAIT_SECONDS = 20.0


@dataclass(frozen=True)
class Backup:
    """A backup that was made: where it lies and what is in it."""

    path: Path
    manifest: Manifest


def back_up(home: Path, target: Path | None = None, *, settings_file: Path | None = None) -> Backup:
    """Write all that a home has recorded into one file and return what is in it.

    ``target`` is by default a file named after the time in the home's ``backups``; ``settings_file`` is the one in
    force, if there is any.

    Raises ``UsageError`` when the file is there already, ``HistoryError`` when nothing is recorded or what is recorded
    cannot be read, or the file cannot be written; nothing is left of it then.
    """
    now = dt.datetime.now(dt.UTC)
    target = target or home / "backups" / f"quant-{now:%Y-%m-%dT%H%M%SZ}{SUFFIX}"
    if target.exists():
        raise UsageError(f"{target} is there already; name another file with --out.")
    _refuse_what_cannot_be_read(home)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _folder_beside(home, target) as folder:
            names = _copies(home, folder, settings_file)
            manifest = _manifest(folder, names, now)
            written = folder / "archive"
            write(written, folder, manifest)
            _flush(written)
            written.replace(target)
    except OSError as error:
        raise HistoryError(
            f"The backup {target} could not be written ({error.strerror or error}); nothing of it is there, free space "
            "or name another place with --out."
        ) from error
    return Backup(target, manifest)


def _refuse_what_cannot_be_read(home: Path) -> None:
    """Before anything is made: a home with nothing in it must not become one with an empty journal."""
    with WorkingFile(home).reading(), closing(OrderJournal(home)) as journal:
        journal.count()


def _copies(home: Path, folder: Path, settings_file: Path | None) -> list[str]:
    """Copy what there is into a folder and return the names, in the order they are archived in.

    The journal comes first: every intent names the materialization that decided it, which was recorded before, so a
    history that is copied later holds it, whatever goes on meanwhile. The books, which are the paper broker, come after
    the journal too: a broker that knows more than the journal is what reconciliation is for; one that knows less would
    have lost orders.
    """
    names = [HISTORY, JOURNAL]
    with closing(OrderJournal(home)) as journal:
        journal.copy_to(folder / JOURNAL)
    for book in sorted(home.glob(BOOKS)):
        name = book.relative_to(home).as_posix()
        (folder / name).parent.mkdir(parents=True)
        with (
            closing(sqlite3.connect(f"{book.absolute().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(folder / name)) as copy,
        ):
            source.backup(copy)
        names.append(name)
    History(home).copy_to(folder / HISTORY)
    if settings_file is not None:
        shutil.copyfile(settings_file, folder / SETTINGS_FILE)
        names.append(SETTINGS_FILE)
    return names


def _manifest(folder: Path, names: list[str], now: dt.datetime) -> Manifest:
    return Manifest(
        format=FORMAT,
        made_at=now.isoformat(timespec="seconds"),
        program=version("quant-pipeline"),
        duckdb=version("duckdb"),
        history=_said_of_history(folder / HISTORY),
        journal=_said_of_journal(folder / JOURNAL),
        files=archived(folder, names),
    )


def _said_of_history(path: Path) -> dict[str, object]:
    with duckdb.connect(path, read_only=True) as connection:
        row = connection.execute(
            "SELECT count(*), count(DISTINCT slot), min(slot), max(slot) FROM lineage.materializations"
        ).fetchone()
    assert row is not None
    return {
        "layout": schema_version.SCHEMA_VERSION,
        "materializations": row[0],
        "slots": row[1],
        "oldest_slot": row[2],
        "newest_slot": row[3],
    }


def _said_of_journal(path: Path) -> dict[str, object]:
    with closing(sqlite3.connect(path)) as connection:
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in journal_tables.JOURNAL_TABLES
        }
    return {"layout": journal_tables.SCHEMA_VERSION, **counts}


@contextmanager
def _folder_beside(home: Path, target: Path) -> Iterator[Path]:
    """A folder on the disk of the target for as long as it takes; what a killed process left there goes first."""
    folder = target.parent / ".backup.making"
    with locked(home / "working" / "backup.lock", WAIT_SECONDS, f"A backup of {home} is being made"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
