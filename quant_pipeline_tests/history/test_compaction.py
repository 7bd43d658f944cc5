"""The working file written anew: nothing is lost, whatever happens meanwhile, and the unused room is given back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from threading import Thread

import duckdb
import pytest

from quant_pipeline.errors import HistoryError
from quant_pipeline.history import compaction
from quant_pipeline.history.compaction import unused_pct
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History, data_hash
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline.settings import RetentionSettings
from quant_pipeline_tests.history.recorded_frames import MADE, SLOT, bars_of, indicators, quality_filter

# Ends itself, without a farewell, when the copy is being written anew.
KILLED = """
import os, signal, sys
from pathlib import Path
from quant_pipeline.history import compaction
from quant_pipeline.history.store import History
copy_rows, tables = compaction._copy_rows, []
def copy_some(*arguments):
    copy_rows(*arguments)
    tables.append(arguments)
    if len(tables) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
compaction._copy_rows = copy_some
History(Path(sys.argv[1])).compact()
"""


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def with_holes(history: History, slots: int = 6) -> None:
    """Frames of several sessions, most of them given up again."""
    for index in range(slots):
        day = f"2026-11-{10 + index}"
        history.append("indicators", indicators(400, index), slot=f"{day}T10:15", **MADE)
        bars = bars_of(A={"2026-11-06": 1.0, "2026-11-09*": float(index)})
        history.append("bars", bars, slot=f"{day}T10:15", source="DU1", **MADE)
    history.prune(1, OrderJournal(history.home))


def everything(history: History) -> dict[str, object]:
    """All rows of all tables and views, and what the catalog says of them."""
    with duckdb.connect(history.publish(), read_only=True) as reader:
        names = reader.execute("SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL").fetchall()
        contents = {
            f"{schema}.{name}": sorted(map(repr, reader.execute(f'FROM {schema}."{name}"').fetchall()))
            for schema, name in names
        }
        catalog = "SELECT schema_name, {0}_name, comment FROM duckdb_{0}s() WHERE NOT internal ORDER BY ALL"
        comments = {kind: reader.execute(catalog.format(kind)).fetchall() for kind in ("table", "view")}
        columns = reader.execute(
            "SELECT schema_name, table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns() "
            "WHERE NOT internal ORDER BY ALL"
        ).fetchall()
        macro = reader.execute("FROM bars_as_of('2026-11-20T10:15')").fetchall()
    return {**contents, **comments, "columns": columns, "macro": macro}


def test_all_is_there_afterwards_and_the_unused_room_is_not(history: History) -> None:
    with_holes(history)
    last = history.latest("indicators", "2026-11-15T10:15")
    assert last is not None
    before = everything(history)
    done = history.compact()
    assert everything(history) == before
    assert done.bytes_after < done.bytes_before
    assert history.working.stat().st_size == done.bytes_after
    assert data_hash("indicators", history.frame(last.id)) == last.data_hash
    assert unused_pct(history._file) < 10
    assert sorted(path.name for path in history.working.parent.glob(".*")) == []


def test_ids_go_on_where_they_were(history: History) -> None:
    made = history.append("quality_filter", quality_filter("A"), slot=SLOT, **MADE)
    history.compact()
    assert history.append("quality_filter", quality_filter("B"), slot=SLOT, **MADE).id == made.id + 1


@pytest.mark.parametrize("tables", [1, 9])
def test_a_compaction_that_is_killed_leaves_the_old_file(history: History, tables: int) -> None:
    with_holes(history, slots=2)
    before = everything(history)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(history.home), str(tables)], timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert everything(history) == before
    history.compact()
    assert everything(history) == before
    assert list(history.working.parent.glob(".*")) == []


def test_what_is_recorded_meanwhile_is_not_lost(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    with_holes(history, slots=2)
    write_anew, recorded = compaction._write_anew, []

    def record_meanwhile(copy: Path, compacted: Path, deadline: float) -> None:
        write_anew(copy, compacted, deadline)
        if not recorded:
            another = History(history.home)
            recorded.append(another.append("quality_filter", quality_filter("A"), slot=SLOT, **MADE))

    monkeypatch.setattr(compaction, "_write_anew", record_meanwhile)
    history.compact()
    assert history.latest("quality_filter", SLOT) == recorded[0]
    assert list(history.frame(recorded[0].id)["symbol"]) == ["A"]


def test_it_gives_up_when_something_is_recorded_every_time(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    with_holes(history, slots=2)
    write_anew = compaction._write_anew

    def record_meanwhile(copy: Path, compacted: Path, deadline: float) -> None:
        write_anew(copy, compacted, deadline)
        History(history.home).append("quality_filter", quality_filter("A"), slot=SLOT, **MADE)

    monkeypatch.setattr(compaction, "_write_anew", record_meanwhile)
    with pytest.raises(
        HistoryError, match=r"recorded each of 3 times .* nothing was changed, run quant-pipeline compact"
    ):
        history.compact()
    assert history.count() == 4 + compaction.ATTEMPTS
    assert list(history.working.parent.glob(".*")) == []


def test_a_disk_without_room_is_said_before_anything_is_written(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_holes(history, slots=2)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 1000))
    before = everything(history)
    with pytest.raises(HistoryError, match=r"needs .* MB of free space .* nothing was changed"):
        history.compact()
    assert everything(history) == before


def test_it_gives_up_when_it_takes_too_long_and_changes_nothing(history: History) -> None:
    with_holes(history, slots=2)
    before = everything(history)
    with pytest.raises(HistoryError, match=r"could not be compacted within 0 s; nothing was changed"):
        compaction.compact(WorkingFile(history.home), seconds=0.0)
    assert everything(history) == before
    assert list(history.working.parent.glob(".*")) == []


def test_people_record_while_it_is_written_anew(history: History) -> None:
    with_holes(history, slots=3)
    made = []

    def record() -> None:
        another = History(history.home)
        for index in range(5):
            made.append(another.append("quality_filter", quality_filter(f"S{index}"), slot=SLOT, **MADE))
            time.sleep(0.01)

    recorder = Thread(target=record)
    recorder.start()
    history.compact()
    recorder.join(timeout=60)
    assert [list(history.frame(one.id)["symbol"]) for one in made] == [[f"S{index}"] for index in range(5)]


def test_the_end_of_a_day_does_what_the_settings_ask_for(history: History) -> None:
    journal = OrderJournal(history.home)
    with_holes(history)
    assert history.prune_and_compact(RetentionSettings(compact_above_pct=100.0), journal) == (None, None)
    pruned, compacted = history.prune_and_compact(RetentionSettings(keep_sessions=1, compact_above_pct=0.0), journal)
    assert pruned is not None
    assert pruned.versions == 0
    assert compacted is not None
    assert compacted.bytes_after == os.path.getsize(history.working)
