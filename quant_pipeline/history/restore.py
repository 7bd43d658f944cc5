"""Restore: a backup put into a home that has nothing recorded yet, whole or not at all.

Everything is unpacked, checked, brought to the present layout and published in a folder beside its place; only then it
is moved there. What is in a backup is ``archive``'s. ``quant-pipeline restore`` calls this.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from quant_pipeline.errors import HistoryError, UsageError
from quant_pipeline.history import archive, journal_tables, schema_version
from quant_pipeline.history.archive import HISTORY, JOURNAL, Archive, Manifest
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History

WORKING = "working"
_RECORDS = (f"{WORKING}/{HISTORY}", f"{WORKING}/{HISTORY}.wal", HISTORY, JOURNAL, f"{WORKING}/orders.exists")
"""What a home has once anything was recorded in it."""


def restore(path: Path, home: Path) -> Manifest:
    """Put the backup at ``path`` into a home and return what is in it.

    Raises ``UsageError`` when the home holds a history, a journal or another file of the backup, and when the file is
    no backup; ``HistoryError`` when the backup is damaged or newer than this program. The home stays as it was then.
    """
    _refuse_occupied(home, _RECORDS)
    with archive.reading(path) as opened, _folder_within(home) as folder:
        _refuse_newer(path, opened.manifest)
        _refuse_occupied(home, [item.name for item in opened.manifest.files])
        _refuse_too_large(opened.manifest, home)
        _unpack(opened, folder)
        _bring_together(path, opened.manifest, folder)
        _put_in_place(folder, home)
        return opened.manifest


def _refuse_occupied(home: Path, names: list[str] | tuple[str, ...]) -> None:
    there = next((home / name for name in names if (home / name).exists()), None)
    if there is not None:
        raise UsageError(
            f"{there} is there already and nothing is restored over it; name a home that holds none with --home, or "
            "move it away."
        )


def _refuse_newer(path: Path, manifest: Manifest) -> None:
    known = {"history": schema_version.SCHEMA_VERSION, "journal": journal_tables.SCHEMA_VERSION}
    for store, version in known.items():
        found = getattr(manifest, store)["layout"]
        if found > version:
            raise HistoryError(
                f"The {store} in {path} has layout version {found} and this program knows versions up to {version}; "
                f"restore it with quant-pipeline {manifest.program}, which made it, nothing was changed."
            )


def _refuse_too_large(manifest: Manifest, home: Path) -> None:
    # The history lies there twice in the end: the working file and the published one.
    needed = 2 * manifest.total_bytes
    free = shutil.disk_usage(home).free
    if free < needed:
        raise HistoryError(
            f"Restoring takes {needed / 1e6:,.0f} MB and {home} has {free / 1e6:,.0f} MB free; free space or name "
            "another place with --home."
        )


def _unpack(opened: Archive, folder: Path) -> None:
    opened.unpack(folder)
    missing = next((name for name in (HISTORY, JOURNAL) if not (folder / name).is_file()), None)
    if missing is not None:
        raise archive.damaged(opened.path, f"{missing} is missing")
    (folder / WORKING).mkdir()
    (folder / HISTORY).replace(folder / WORKING / HISTORY)


def _bring_together(path: Path, manifest: Manifest, folder: Path) -> None:
    """Open both stores as a home, which migrates them, and publish.

    The history was copied after the journal, so what it mirrors of it may be ahead. It is brought back to what the
    journal says now: later the same event numbers would stand for other events.
    """
    history = History(folder)
    with closing(OrderJournal(folder)) as journal:
        counted = (history.count(), journal.count())
        if counted != (manifest.history["materializations"], manifest.journal["intents"]):
            raise archive.damaged(path, "history and journal do not hold what the manifest says")
        history.mirror_journal(journal)
        history.publish()


def _put_in_place(folder: Path, home: Path) -> None:
    """Move the files to their places, the working file last: until it is there nothing reads or records."""
    last = folder / WORKING / HISTORY
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file != last and file.suffix != ".lock"]
    for file in [*files, last]:
        place = home / file.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)


@contextmanager
def _folder_within(home: Path) -> Iterator[Path]:
    """A folder in the home for as long as it takes; a home that was made for it goes again when it stays empty."""
    made = [folder for folder in (home, *home.parents) if not folder.exists()]
    folder = home / ".restoring"
    try:
        home.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
    except OSError as error:
        raise HistoryError(
            f"The backup could not be unpacked in {home} ({error.strerror or error}); nothing was put in place, free "
            "space or name another place with --home."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            for empty in made:
                empty.rmdir()
