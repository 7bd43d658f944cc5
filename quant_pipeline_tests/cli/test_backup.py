"""``backup``, ``restore`` and ``export`` as a trader has them: a real slot goes out and comes back."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from quant_pipeline.cli.commands import commands
from quant_pipeline.history.store import History, data_hash
from quant_pipeline_tests.cli.conftest import SLOT, Run, assert_refused, command_line

TABLES = ("intents", "events", "fills")


@pytest.fixture(scope="module")
def backup(trader: Run, traded_home: Path, first: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of the traded home, made while its gateway runs."""
    target = tmp_path_factory.mktemp("backups") / "all.tar.zst"
    done = trader("backup", "--out", str(target))
    assert done.returncode == 0, done.stderr
    assert re.search(rf"Backed up \d+ slots up to {SLOT[:10]}\S+, \d+ order intents", done.stdout)
    assert str(target) in done.stdout
    return target


@pytest.fixture(scope="module")
def restored(backup: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another home, as on another machine, into which it was restored."""
    home = tmp_path_factory.mktemp("restored") / "home"
    done = command_line(home, home.parent)("restore", str(backup))
    assert done.returncode == 0, done.stderr
    assert f"It is in {home}" in done.stdout
    return home


def test_every_frame_and_every_order_comes_back(traded_home: Path, restored: Path) -> None:
    before, after = History(traded_home), History(restored)
    with duckdb.connect(restored / "history.duckdb", read_only=True) as published:
        made = published.execute("SELECT id, asset, data_hash FROM lineage.materializations ORDER BY id").fetchall()
        mirrored = published.execute("SELECT order_ref, account, state FROM journal.intents ORDER BY ALL").fetchall()
    assert {asset for _, asset, _ in made} >= {"bars", "scores", "sized_orders", "executions"}
    for identity, asset, recorded_hash in made:
        frame = after.frame(identity)
        assert data_hash(asset, frame) == recorded_hash
        pd.testing.assert_frame_equal(frame, before.frame(identity))
    rows = [{table: rows_of(home, table) for table in TABLES} for home in (traded_home, restored)]
    assert rows[0] == rows[1]
    assert rows[1]["intents"]
    with closing(sqlite3.connect(restored / "orders.sqlite")) as journal:
        query = "SELECT order_ref, account, state FROM intents ORDER BY 1, 2, 3"
        assert journal.execute(query).fetchall() == mirrored


def rows_of(home: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(home / "orders.sqlite")) as journal:
        return journal.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()


def test_fills_of_a_real_slot_have_the_account_of_the_connection(restored: Path) -> None:
    with closing(sqlite3.connect(restored / "orders.sqlite")) as journal:
        accounts = journal.execute("SELECT DISTINCT account FROM fills").fetchall()
        assert accounts == journal.execute("SELECT DISTINCT account FROM intents").fetchall()


def test_the_paper_book_comes_along(traded_home: Path, restored: Path) -> None:
    (book,) = restored.glob("gateway/*/book.sqlite")
    original = traded_home / book.relative_to(restored)
    counted = []
    for path in (original, book):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            counted.append(connection.execute("SELECT count(*) FROM orders").fetchone())
    assert counted[0] == counted[1] != (0,)


@pytest.mark.parametrize("command", [name for name in ("verify", "status") if name in commands.commands])
def test_a_restored_home_answers(restored: Path, command: str) -> None:
    done = command_line(restored, restored.parent)(command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


def test_nothing_is_restored_over_what_is_there_nor_backed_up_over_a_file(
    trader: Run, traded_home: Path, backup: Path
) -> None:
    published = (traded_home / "history.duckdb").read_bytes()
    assert_refused(trader("restore", str(backup)), 2, "is there already and nothing is restored over it", "--home")
    assert_refused(trader("backup", "--out", str(backup)), 2, "is there already; name another file with --out")
    assert (traded_home / "history.duckdb").read_bytes() == published


def test_a_backup_that_is_cut_short_is_one_sentence(here: Run, home: Path, backup: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar.zst"
    cut.write_bytes(backup.read_bytes()[:50_000])
    assert_refused(here("restore", str(cut)), 1, "is damaged", "nothing was put in place")
    assert not home.exists()


def test_a_restore_of_what_is_no_backup_is_wrong_usage(here: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("dear diary", encoding="utf-8")
    assert_refused(here("restore", str(tmp_path / "nowhere")), 2, "There is no backup")
    assert_refused(here("restore", str(tmp_path / "diary")), 2, "is not a backup of this pipeline")
    assert_refused(here("restore"), 2, "Missing argument 'FILE'", "quant-pipeline restore --help")
    assert not home.exists()


def test_an_export_is_read_with_pandas_and_duckdb(trader: Run, traded_home: Path, tmp_path: Path) -> None:
    target = tmp_path / "parquet"
    done = trader("export", "--out", str(target), "--since", SLOT)
    assert done.returncode == 0, done.stderr
    assert f"Slots {SLOT} to" in done.stdout
    scores = pd.read_parquet(target / "current" / "scores.parquet")
    with duckdb.connect(traded_home / "history.duckdb", read_only=True) as published:
        wanted = published.execute("SELECT symbol, total_score FROM current.scores ORDER BY ALL").fetchall()
        read = duckdb.sql(f"SELECT symbol, total_score FROM '{target}/current/scores.parquet' ORDER BY ALL").fetchall()
        assert read == wanted
    assert scores["key_signals"].iloc[0][0].keys() == {"name", "value", "contribution", "text"}
    assert_refused(trader("export", "--out", str(target)), 2, "holds something already", "--overwrite")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--slots", "yesterday"], "'yesterday' is no span of slots; write FROM..TO"),
        (["--slots", f"{SLOT}..{SLOT}", "--since", SLOT], "is no span of slots"),
        (["--slots", "2026-11-20T11:00..2026-11-20T10:45"], "ends before it begins"),
        (["--since", "2026-11-22T10:15"], "no session on 2026-11-22"),
        (["--slots", "..2026-11-20T10:17"], "start every 15 minutes"),
    ],
)
def test_a_span_that_is_none_is_wrong_usage(here: Run, home: Path, arguments: list[str], words: str) -> None:
    assert_refused(here("export", "--out", "there", *arguments), 2, words)
    assert not home.exists()
