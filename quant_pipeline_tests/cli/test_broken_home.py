"""Homes in which something is missing, half-migrated or from the future: one sentence, and nothing is overwritten."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from quant_pipeline.cli.commands import commands
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline_tests.cli.conftest import Run, assert_refused
from quant_pipeline_tests.history.older_layouts import ENTRY, history_of_version_1, journal_of_version_1

HISTORY, JOURNAL, PUBLISHED = "working/history.duckdb", "orders.sqlite", "history.duckdb"


def in_history(statement: str) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        with duckdb.connect(home / HISTORY) as connection:
            connection.execute(statement)

    return change


def in_journal(statement: str) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        with closing(sqlite3.connect(home / JOURNAL)) as connection:
            connection.execute(statement)

    return change


def without(name: str) -> Callable[[Path], None]:
    return lambda home: (home / name).unlink()


BROKEN_HISTORIES = {
    "half-migrated": (
        in_history("ALTER TABLE journal.fills DROP COLUMN account"),
        ("half-migrated", "no journal.fills.account", "nothing was changed"),
    ),
    "without its version": (
        in_history("DELETE FROM lineage.schema_version WHERE version = 2"),
        ("half-migrated", "says layout version 1 but has", "nothing was changed"),
    ),
    "newer": (
        in_history("INSERT INTO lineage.schema_version (version) VALUES (99)"),
        ("layout version 99", "run the newer quant-pipeline", "nothing was changed"),
    ),
    "deleted": (without(HISTORY), ("is gone or empty although", "copy a backup")),
}
BROKEN_JOURNALS = {
    "half-migrated": (
        in_journal("ALTER TABLE fills DROP COLUMN account"),
        ("half-migrated", "has no fills.account", "nothing was changed"),
    ),
    "newer": (in_journal("PRAGMA user_version = 99"), ("layout version 99", "nothing was changed")),
    "deleted": (without(JOURNAL), ("is gone; restore a backup",)),
}
READERS = [arguments for arguments in (["status"], ["explain", ENTRY], ["verify"], ["backup"])
           if arguments[0] in commands.commands]  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of today's layout with two slots and two orders."""
    home = tmp_path_factory.mktemp("sound") / "home"
    history_of_version_1(home)
    journal_of_version_1(home)
    with closing(OrderJournal(home)) as journal:
        History(home).mirror_journal(journal)
    History(home).publish()
    return home


@pytest.fixture
def home(home: Path, sound: Path) -> Path:
    return Path(shutil.copytree(sound, home))


def contents(home: Path) -> dict[str, bytes]:
    return {name: (home / name).read_bytes() for name in (HISTORY, JOURNAL, PUBLISHED) if (home / name).exists()}


@pytest.mark.parametrize("arguments", READERS, ids=lambda arguments: arguments[0])
@pytest.mark.parametrize("broken", BROKEN_HISTORIES)
def test_a_broken_history_is_named_and_left_alone(here: Run, home: Path, broken: str, arguments: list[str]) -> None:
    change, words = BROKEN_HISTORIES[broken]
    change(home)
    before = contents(home)
    assert_refused(here(*arguments), 1, str(home / HISTORY), *words)
    assert contents(home) == before
    assert not (home / "backups").exists()


@pytest.mark.parametrize("broken", BROKEN_JOURNALS)
def test_a_broken_journal_is_named_and_left_alone(here: Run, home: Path, broken: str) -> None:
    change, words = BROKEN_JOURNALS[broken]
    change(home)
    before = contents(home)
    assert_refused(here("backup"), 1, str(home / JOURNAL), *words)
    assert contents(home) == before
    assert not (home / "backups").exists()


@pytest.mark.parametrize(
    ("subject", "broken"),
    [*[("history", broken) for broken in BROKEN_HISTORIES], *[("journal", broken) for broken in BROKEN_JOURNALS]],
)
def test_the_doctor_names_it_as_the_problem(here: Run, home: Path, subject: str, broken: str) -> None:
    change, words = (BROKEN_HISTORIES if subject == "history" else BROKEN_JOURNALS)[broken]
    change(home)
    before = contents(home)
    done = here("doctor", QUANT_IB_HOST="127.0.0.1", QUANT_IB_PORT="9")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if f"PROBLEM  {subject}" in line]
    assert all(word in line for word in words)
    assert contents(home) == before


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (BROKEN_HISTORIES["half-migrated"][0], BROKEN_HISTORIES["half-migrated"][1]),
        (BROKEN_JOURNALS["deleted"][0], BROKEN_JOURNALS["deleted"][1]),
    ],
    ids=["half-migrated history", "deleted journal"],
)
def test_no_slot_is_run_on_it(here: Run, home: Path, broken: Callable[[Path], None], words: tuple[str, ...]) -> None:
    broken(home)
    there = set(contents(home))
    done = here("run", "--at", "2026-11-20T10:45", QUANT_BROKER__MESSAGES_PER_SECOND="0")
    assert_refused(done, 1, *words)
    assert set(contents(home)) == there
    with duckdb.connect(home / PUBLISHED, read_only=True) as published:
        assert published.execute("SELECT max(slot) FROM lineage.materializations").fetchone() == ("2026-11-20T10:30",)


@pytest.mark.skipif("report" not in commands.commands, reason="the tear sheet is not there yet")
def test_no_metrics_are_built_on_a_half_migrated_history(here: Run, home: Path) -> None:
    BROKEN_HISTORIES["half-migrated"][0](home)
    before = contents(home)
    assert_refused(here("report"), 1, *BROKEN_HISTORIES["half-migrated"][1])
    assert contents(home) == before
    assert not (home / "report.html").exists()


def test_an_export_needs_only_what_was_published(here: Run, home: Path, tmp_path: Path) -> None:
    BROKEN_HISTORIES["deleted"][0](home)
    assert here("export", "--out", str(tmp_path / "out")).returncode == 0
    with duckdb.connect(home / PUBLISHED) as connection:
        connection.execute("INSERT INTO lineage.schema_version (version) VALUES (99)")
    assert_refused(here("export", "--out", str(tmp_path / "newer")), 1, str(home / PUBLISHED), "layout version 99")
    (home / PUBLISHED).unlink()
    assert_refused(here("export", "--out", str(tmp_path / "none")), 1, "There is no published history")
    assert not (tmp_path / "newer").exists()
    assert not (tmp_path / "none").exists()
