"""The working file under fire: several processes, kill -9, strangers, full disks, files lost or from the future."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import duckdb
import pytest

from quant_pipeline.errors import HistoryError
from quant_pipeline.frames import validate
from quant_pipeline.history.store import History, data_hash
from quant_pipeline_tests.history.recorded_frames import MADE, SLOT, indicators, quality_filter

HOLDER = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path, wait_seconds=10)


def append_for_ever(home: Path, rows: int) -> None:
    history = History(home)
    for seed in range(100_000):
        history.append("indicators", indicators(rows, seed), slot=SLOT, **MADE)
        if seed % 5 == 4:
            history.publish()


def append_some(home: Path, symbol: str, times: int) -> None:
    history = History(home)
    for _ in range(times):
        history.append("quality_filter", quality_filter(symbol), slot=SLOT, **MADE)


def append_on_a_full_disk(home: Path, publish: bool) -> None:
    history = History(home)
    history.latest("scores", SLOT)
    resource.setrlimit(resource.RLIMIT_FSIZE, (history.published.stat().st_size // 2, resource.RLIM_INFINITY))
    try:
        if publish:
            history.publish()
        else:
            for seed in range(200):
                history.append("indicators", indicators(500, seed), slot=SLOT, **MADE)
    except HistoryError as error:
        os._exit(3 if "free space" in str(error) else 4)
    os._exit(0)


@contextmanager
def running(process: BaseProcess) -> Iterator[None]:
    process.start()
    try:
        yield
    finally:
        if process.is_alive():
            process.kill()
        process.join(10)


@contextmanager
def held_by_a_stranger(path: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "open\n"
            yield
        finally:
            holder.kill()


def test_a_frame_is_there_whole_or_not_at_all_after_kill_9(history: History, processes: ForkServerContext) -> None:
    history.append("indicators", indicators(40), slot=SLOT, **MADE)
    for round_number in range(4):
        newest = history.latest("indicators", SLOT)
        with running(processes.Process(target=append_for_ever, args=(history.home, 40))) as _:
            pass_time_until_growth(history, newest.id if newest else 0, 0.011 * round_number)
    with duckdb.connect(history.publish(), read_only=True) as reader:
        counted = reader.execute(
            "SELECT id, rows, (SELECT count(*) FROM history.indicators WHERE materialization_id = id) "
            "FROM lineage.materializations"
        ).fetchall()
        strays = reader.execute(
            "SELECT count(*) FROM history.indicators ANTI JOIN lineage.materializations ON materialization_id = id"
        ).fetchall()
    assert len(counted) >= 5
    assert all(rows == stored == 40 for _, rows, stored in counted)
    assert strays == [(0,)]
    newest = history.latest("indicators", SLOT)
    assert newest is not None
    assert data_hash("indicators", history.frame(newest.id)) == newest.data_hash


def pass_time_until_growth(history: History, identity: int, then: float) -> None:
    """Wait until another process has appended, and a moment that differs from call to call."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        newest = history.latest("indicators", SLOT)
        if newest is not None and newest.id > identity:
            break
        time.sleep(0.01)
    time.sleep(then)


def test_processes_that_append_at_once_take_turns(history: History, processes: ForkServerContext) -> None:
    with (
        running(processes.Process(target=append_some, args=(history.home, "A", 20))) as _,
        running(processes.Process(target=append_some, args=(history.home, "B", 20))) as _,
    ):
        append_some(history.home, "C", 20)
        wait_for(lambda: count(history) == 60)
    with duckdb.connect(history.publish(), read_only=True) as reader:
        assert reader.execute(
            "SELECT symbol, count(DISTINCT materialization_id) FROM history.quality_filter GROUP BY ALL ORDER BY ALL"
        ).fetchall() == [("A", 20), ("B", 20), ("C", 20)]


def count(history: History) -> int:
    with history._file.transaction() as connection:
        row = connection.execute("SELECT count(*) FROM lineage.materializations").fetchone()
    return row[0] if row else 0


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stranger_who_holds_the_file_is_named_after_a_bounded_wait(tmp_path: Path) -> None:
    patient, hasty = History(tmp_path), History(tmp_path, wait_seconds=0.2)
    patient.append("quality_filter", quality_filter("A"), slot=SLOT, **MADE)
    with (
        held_by_a_stranger(tmp_path / "working" / "history.duckdb"),
        pytest.raises(HistoryError, match=r"Another program .* close it there and read .*history\.duckdb instead"),
    ):
        hasty.append("quality_filter", quality_filter("B"), slot=SLOT, **MADE)
    hasty.append("quality_filter", quality_filter("C"), slot=SLOT, **MADE)
    assert count(hasty) == 2


def test_a_process_that_hangs_in_its_turn_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    history = History(tmp_path, wait_seconds=0.1)
    with History(tmp_path)._file.turn(), pytest.raises(HistoryError, match=r"in use by another process .* 0\.1 s"):
        history.latest("scores", SLOT)


@pytest.mark.parametrize("publish", [False, True])
def test_a_full_disk_leaves_history_and_publication_as_they_were(
    history: History, processes: ForkServerContext, publish: bool
) -> None:
    for seed in range(2):
        history.append("indicators", indicators(500, seed), slot=SLOT, **MADE)
    history.publish()
    published = history.published.read_bytes()
    before = count(history)
    process = processes.Process(target=append_on_a_full_disk, args=(history.home, publish))
    with running(process):
        process.join(60)
        assert process.exitcode == 3
    assert history.published.read_bytes() == published
    assert sorted(path.name for path in history.home.iterdir()) == ["history.duckdb", "working"]
    newest = history.latest("indicators", SLOT)
    assert newest is not None
    assert data_hash("indicators", history.frame(newest.id)) == newest.data_hash
    assert count(history) >= before
    history.append("indicators", indicators(500, 7), slot=SLOT, **MADE)


def test_a_history_of_a_newer_version_is_refused_and_not_touched(history: History, tmp_path: Path) -> None:
    history.append("quality_filter", quality_filter("A"), slot=SLOT, **MADE)
    history.publish()
    working = tmp_path / "working" / "history.duckdb"
    with duckdb.connect(working) as connection:
        connection.execute("INSERT INTO lineage.schema_version (version) VALUES (99)")
    content = working.read_bytes()
    for opened in (history, History(tmp_path)):
        with pytest.raises(HistoryError, match="layout version 99"):
            opened.append("quality_filter", quality_filter("B"), slot=SLOT, **MADE)
    assert working.read_bytes() == content


def test_somebody_elses_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    working = tmp_path / "working" / "history.duckdb"
    working.parent.mkdir()
    with duckdb.connect(working) as connection:
        connection.execute("CREATE TABLE diary (day DATE)")
    with pytest.raises(HistoryError, match="is not a history of this pipeline"):
        History(tmp_path).latest("scores", SLOT)
    with duckdb.connect(working) as connection:
        assert connection.execute("SHOW ALL TABLES").fetchall()[0][2] == "diary"


def test_a_lost_working_file_is_not_replaced_by_an_empty_one(history: History, tmp_path: Path) -> None:
    history.append("quality_filter", quality_filter("A"), slot=SLOT, **MADE)
    history.publish()
    (tmp_path / "working" / "history.duckdb").unlink()
    with pytest.raises(HistoryError, match="is gone or empty although"):
        history.append("quality_filter", quality_filter("B"), slot=SLOT, **MADE)
    assert not (tmp_path / "working" / "history.duckdb").exists()
    (tmp_path / "working" / "history.duckdb").write_bytes((tmp_path / "history.duckdb").read_bytes())
    assert history.latest("quality_filter", SLOT) is not None


@pytest.mark.parametrize("damage", [b"", b"not a database " * 5000])
def test_a_damaged_working_file_is_said_to_be_so_and_kept(history: History, tmp_path: Path, damage: bytes) -> None:
    history.append("quality_filter", quality_filter("A"), slot=SLOT, **MADE)
    history.publish()
    working = tmp_path / "working" / "history.duckdb"
    working.write_bytes(damage)
    with pytest.raises(HistoryError, match=r"cannot be read|gone or empty"):
        history.latest("quality_filter", SLOT)
    assert working.read_bytes() == damage


def test_an_indicator_that_is_new_in_the_program_gets_its_column(history: History, tmp_path: Path) -> None:
    made = history.append("indicators", indicators(3), slot=SLOT, **MADE)
    working = tmp_path / "working" / "history.duckdb"
    with duckdb.connect(working) as connection:
        connection.execute("DROP VIEW current.indicators")
        connection.execute("ALTER TABLE main.indicators DROP COLUMN rsi_14")
    program_of_today = History(tmp_path)
    old = program_of_today.frame(made.id)
    assert old["rsi_14"].isna().tolist() == [True] * 3
    validate("indicators", old)
    again = program_of_today.append("indicators", indicators(3), slot=SLOT, **MADE)
    assert data_hash("indicators", program_of_today.frame(again.id)) == again.data_hash
    with duckdb.connect(program_of_today.publish(), read_only=True) as reader:
        assert reader.execute("SELECT count(rsi_14) FROM current.indicators").fetchall() == [(3,)]


def test_the_process_that_dies_in_its_turn_frees_the_queue(history: History, processes: ForkServerContext) -> None:
    process = processes.Process(target=hold_the_turn, args=(history.home,))
    with running(process):
        wait_for(lambda: (history.home / "in-turn").exists())
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        history.append("quality_filter", quality_filter("A"), slot=SLOT, **MADE)


def hold_the_turn(home: Path) -> None:
    with History(home)._file.transaction():
        (home / "in-turn").touch()
        time.sleep(60)
