"""Files of an older layout: brought up to date whole or not at all, with a copy of what they were kept beside them."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing.context import ForkServerContext
from pathlib import Path

import duckdb
import pytest

from quant_pipeline.errors import HistoryError
from quant_pipeline.history import journal_tables, migration_copy, schema
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History, data_hash
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline_tests.history.older_layouts import (
    ENTRY,
    FILLS_V1,
    LAYOUTS,
    history_of_version_1,
    journal_of_version_1,
)
from quant_pipeline_tests.history.recorded_frames import MADE, SLOT, quality_filter
from quant_pipeline_tests.history.test_order_journal import fill, intent, recorded

V1_MATERIALIZATIONS = 5
ACCOUNTS = {exec_id: "DU1" if order_ref else None for exec_id, order_ref in FILLS_V1.items()}


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that a program of layout version 1 left."""
    history_of_version_1(tmp_path)
    journal_of_version_1(tmp_path)
    return tmp_path


def test_a_history_of_version_1_holds_the_same_afterwards_and_more(home: Path) -> None:
    history = History(home)
    assert_all_frames_are_there(history)
    with WorkingFile(home).reading() as connection:
        assert [row[0] for row in rows_of(connection, "FROM lineage.schema_version ORDER BY version")] == [1, 2]
        assert dict(connection.execute("SELECT exec_id, account FROM journal.fills").fetchall()) == ACCOUNTS
        assert rows_of(connection, "FROM lineage.pruned") == []
    assert history.append("quality_filter", quality_filter("B"), slot=SLOT, **MADE).id > V1_MATERIALIZATIONS
    with duckdb.connect(history.publish(), read_only=True) as reader:
        closes = "SELECT close FROM history.bars_as_of('2026-11-20T10:30') ORDER BY date"
        assert reader.execute(closes).fetchall() == [(10.5,), (11.5,), (11.75,)]


def test_migration_leaves_the_layout_that_a_new_file_gets(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    new = tmp_path_factory.mktemp("new")
    for folder in (home, new):
        History(folder).count()
        OrderJournal(folder).count()
    assert history_layout(home) == history_layout(new)
    assert journal_layout(home) == journal_layout(new)


def test_what_only_reads_migrates_as_well(home: Path) -> None:
    with WorkingFile(home).reading() as connection:
        assert dict(connection.execute("SELECT exec_id, account FROM journal.fills").fetchall()) == ACCOUNTS


def test_a_journal_of_version_1_gets_the_accounts_of_its_orders(home: Path) -> None:
    before = journal_rows(home / "orders.sqlite")
    journal = OrderJournal(home)
    assert {row[0]: row[-1] for row in journal.changes_since(0).fills} == ACCOUNTS
    journal.close()
    after = journal_rows(home / "orders.sqlite")
    assert {**after, "fills": [row[:-1] for row in after["fills"]]} == before


def test_a_fill_by_hand_gets_its_account_when_it_is_read_again_and_so_does_its_mirror(home: Path) -> None:
    history, journal = History(home), OrderJournal(home)
    assert history.mirror_journal(journal) == 0
    by_hand = fill("m.1.01", 5, ref=None)
    assert recorded(journal, by_hand) == set()
    assert recorded(journal, by_hand, account="DU2") == set()
    assert history.mirror_journal(journal) == 1
    with WorkingFile(home).reading() as connection:
        assert dict(connection.execute("SELECT exec_id, account FROM journal.fills").fetchall()) == {
            **ACCOUNTS,
            "m.1.01": "DU1",
        }


def test_what_they_were_is_kept_beside_them(home: Path) -> None:
    before = journal_rows(home / "orders.sqlite")
    History(home).count()
    OrderJournal(home).count()
    assert journal_rows(home / "orders.v1.sqlite") == before
    assert sorted(path.name for path in (home / "working").iterdir() if "v1" in path.name) == ["history.v1.duckdb"]
    with duckdb.connect(home / "working" / "history.v1.duckdb", read_only=True) as kept:
        assert kept.execute("SELECT max(version) FROM lineage.schema_version").fetchone() == (1,)
        assert kept.execute("SELECT count(*) FROM lineage.materializations").fetchone() == (V1_MATERIALIZATIONS,)


def test_a_history_is_migrated_without_a_copy_when_the_disk_has_no_room_for_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_copy, "ROOM_TO_SPARE", 1e12)
    assert_all_frames_are_there(History(home))
    assert not (home / "working" / "history.v1.duckdb").exists()


def test_a_migration_that_fails_leaves_version_1(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as during:
        during.setitem(schema.MIGRATIONS, 2, (*schema.MIGRATIONS[2], "SELECT nonsense"))
        during.setitem(journal_tables.MIGRATIONS, 2, (*journal_tables.MIGRATIONS[2], "SELECT nonsense"))
        with pytest.raises(duckdb.BinderException, match="nonsense"):
            History(home).count()
        with pytest.raises(sqlite3.OperationalError, match="nonsense"):
            OrderJournal(home).count()
    assert versions_of_whole_files(home) == (1, 1)
    assert_all_frames_are_there(History(home))
    assert OrderJournal(home).count() == 2
    assert versions_of_whole_files(home) == (2, 2)


@pytest.mark.parametrize("statements", range(len(schema.MIGRATIONS[2]) + 1))
def test_kill_9_within_the_migration_of_a_history_leaves_one_version_or_the_other(
    home: Path, processes: ForkServerContext, statements: int
) -> None:
    killed(processes, migrate_history_and_die, home, statements)
    assert versions_of_whole_files(home) == (1, 1)
    assert_all_frames_are_there(History(home))
    assert versions_of_whole_files(home) == (2, 1)


@pytest.mark.parametrize("statements", range(len(journal_tables.MIGRATIONS[2]) + 1))
def test_kill_9_within_the_migration_of_a_journal_leaves_one_version_or_the_other(
    home: Path, processes: ForkServerContext, statements: int
) -> None:
    killed(processes, migrate_journal_and_die, home, statements)
    assert versions_of_whole_files(home) == (1, 1)
    assert OrderJournal(home).count() == 2
    assert versions_of_whole_files(home) == (1, 2)


def test_kill_9_after_the_migration_leaves_the_new_version(home: Path, processes: ForkServerContext) -> None:
    killed(processes, migrate_both_and_die, home)
    assert versions_of_whole_files(home) == (2, 2)
    assert_all_frames_are_there(History(home))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE journal.fills DROP COLUMN account", "says layout version 2 but has no journal.fills.account"),
        ("DROP TABLE lineage.pruned", "says layout version 2 but has no lineage.pruned"),
        ("DELETE FROM lineage.schema_version WHERE version = 2", "says layout version 1 but has journal.fills.account"),
        ("DELETE FROM lineage.schema_version", "says no layout version"),
    ],
)
def test_a_half_migrated_history_is_said_to_be_so_and_not_touched(tmp_path: Path, change: str, words: str) -> None:
    history_of_version_1(tmp_path)
    History(tmp_path).count()
    working = tmp_path / "working" / "history.duckdb"
    with duckdb.connect(working) as connection:
        connection.execute(change)
    content = working.read_bytes()
    with pytest.raises(HistoryError, match=f"half-migrated: it {words}.*quant-pipeline restore.*nothing was changed"):
        History(tmp_path).count()
    with (
        pytest.raises(HistoryError, match=f"half-migrated: it {words}"),
        WorkingFile(tmp_path).reading(),
    ):
        pass
    assert working.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE fills DROP COLUMN account", "says layout version 2 but has no fills.account"),
        ("PRAGMA user_version = 1", "says layout version 1 but has fills.account already"),
    ],
)
def test_a_half_migrated_journal_is_said_to_be_so_and_not_touched(tmp_path: Path, change: str, words: str) -> None:
    journal_of_version_1(tmp_path)
    OrderJournal(tmp_path).count()
    with closing(sqlite3.connect(tmp_path / "orders.sqlite")) as connection:
        connection.execute(change)
    before = journal_rows(tmp_path / "orders.sqlite")
    with pytest.raises(HistoryError, match=f"half-migrated: it {words}"):
        OrderJournal(tmp_path).plan([intent("NVDA")])
    assert journal_rows(tmp_path / "orders.sqlite") == before


def test_the_frozen_statements_are_of_one_order(home: Path) -> None:
    """What the tests above compare with is what the files of version 1 say."""
    assert "fills" in (LAYOUTS / "journal_v1.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(home / "orders.sqlite")) as connection:
        assert dict(connection.execute("SELECT exec_id, order_ref FROM fills").fetchall()) == FILLS_V1
        assert connection.execute("SELECT account FROM intents WHERE order_ref = ?", (ENTRY,)).fetchone() == ("DU1",)


def assert_all_frames_are_there(history: History) -> None:
    made = [history.latest(asset, SLOT) for asset in ("quality_filter", "bars", "sized_orders", "fills")]
    made.append(history.latest("bars", "2026-11-20T10:30"))
    for materialization in made:
        assert materialization is not None
        frame = history.frame(materialization.id)
        assert data_hash(materialization.asset, frame) == materialization.data_hash
    assert history.settings("abc") == {"risk": {"max_positions": 100}}


def versions_of_whole_files(home: Path) -> tuple[int, int]:
    """The versions of history and journal, each of which has all that its version has and nothing of another."""
    copy = home / "looked at"
    copy.mkdir(exist_ok=True)
    for name in ("history.duckdb", "history.duckdb.wal"):
        if (home / "working" / name).exists():
            shutil.copy(home / "working" / name, copy / name)
    with duckdb.connect(copy / "history.duckdb") as connection:
        (found,) = rows_of(connection, "SELECT max(version) FROM lineage.schema_version")
        columns = [row[0] for row in rows_of(connection, "DESCRIBE journal.fills")]
        tables = [row[0] for row in rows_of(connection, "SELECT table_name FROM duckdb_tables()")]
        assert rows_of(connection, "SELECT count(*) FROM lineage.materializations") == [(V1_MATERIALIZATIONS,)]
    shutil.rmtree(copy)
    assert ("account" in columns, "pruned" in tables) == ((True, True) if found[0] == 2 else (False, False))
    with closing(sqlite3.connect(home / "orders.sqlite")) as connection:
        of_journal = connection.execute("PRAGMA user_version").fetchone()[0]
        assert len(connection.execute("PRAGMA table_info(fills)").fetchall()) == 9 + of_journal
    return int(str(found[0])), of_journal


def killed(processes: ForkServerContext, what: Callable[..., None], home: Path, *more: int) -> None:
    process = processes.Process(target=what, args=(home, *more))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def migrate_history_and_die(home: Path, statements: int) -> None:
    schema.MIGRATIONS[2] = deadly(schema.MIGRATIONS[2], statements)  # pyright: ignore[reportArgumentType]
    History(home).count()


def migrate_journal_and_die(home: Path, statements: int) -> None:
    journal_tables.MIGRATIONS[2] = deadly(journal_tables.MIGRATIONS[2], statements)  # pyright: ignore[reportArgumentType]
    OrderJournal(home).count()


def migrate_both_and_die(home: Path) -> None:
    History(home).count()
    OrderJournal(home).count()
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(migration: tuple[str, ...], statements: int) -> Iterator[str]:
    """The first statements of a migration, after which the process dies."""
    yield from migration[:statements]
    os.kill(os.getpid(), signal.SIGKILL)


def rows_of(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[object, ...]]:
    return connection.execute(query).fetchall()


def history_layout(home: Path) -> dict[str, list[tuple[object, ...]]]:
    with WorkingFile(home).transaction() as connection:
        ours = "database_name = current_database()"
        columns = "schema_name, table_name, column_index, column_name, data_type, is_nullable"
        return {
            "schemas": rows_of(connection, f"SELECT schema_name FROM duckdb_schemas() WHERE {ours} ORDER BY ALL"),
            "columns": rows_of(connection, f"SELECT {columns} FROM duckdb_columns() WHERE {ours} ORDER BY ALL"),
            "views": rows_of(
                connection, f"SELECT schema_name, view_name, sql FROM duckdb_views() WHERE {ours} ORDER BY ALL"
            ),
            "macros": rows_of(
                connection,
                "SELECT function_name, macro_definition FROM duckdb_functions() "
                f"WHERE {ours} AND NOT internal ORDER BY ALL",
            ),
            "new comments": rows_of(
                connection,
                "SELECT table_name, comment FROM duckdb_columns() "
                f"WHERE {ours} AND schema_name = 'journal' AND column_name = 'account' ORDER BY ALL",
            ),
        }


def journal_layout(home: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(home / "orders.sqlite")) as connection:
        tables = ("intents", "events", "fills")
        return {table: connection.execute(f"PRAGMA table_info({table})").fetchall() for table in tables}


def journal_rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()
            for table in ("intents", "events", "fills")
        }
