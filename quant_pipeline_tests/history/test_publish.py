"""The published file: what people see, how it reads, and that reading it disturbs nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from quant_pipeline.frames import FRAMES, empty
from quant_pipeline.history.store import History
from quant_pipeline_tests.history.recorded_frames import MADE, SLOT, quality_filter

COUNT = "SELECT count(*) FROM history.quality_filter"


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def read_elsewhere(path: Path, sql: str) -> str:
    """What another program that opens the file now gets."""
    program = "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2]).fetchall())"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), sql], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_every_asset_is_there_by_the_names_people_type(history: History) -> None:
    history.append("quality_filter", quality_filter("AAPL"), slot=SLOT, **MADE)
    with duckdb.connect(history.publish(), read_only=True) as reader:
        for asset in FRAMES:
            names = [row[0] for row in reader.execute(f"DESCRIBE FROM history.{asset}").fetchall()]
            assert {"materialization_id", "slot", *FRAMES[asset].columns} <= set(names)
            assert set(FRAMES[asset].columns) <= {
                row[0] for row in reader.execute(f"DESCRIBE FROM current.{asset}").fetchall()
            }
        (row,) = reader.execute("SELECT asset, slot, rows FROM lineage.materializations").fetchall()
        assert row == ("quality_filter", SLOT, 1)


def test_views_show_the_newest_version_of_each_slot(history: History) -> None:
    history.append("quality_filter", quality_filter("A", "B"), slot=SLOT, **MADE)
    history.append("quality_filter", quality_filter("C"), slot=SLOT, **MADE)
    history.append("quality_filter", quality_filter("D"), slot="2026-11-20T10:30", **MADE)
    history.append("quality_filter", quality_filter("E"), slot="2026-11-20T10:45", **MADE)
    history.append("quality_filter", empty("quality_filter"), slot="2026-11-20T10:45", **MADE)
    with duckdb.connect(history.publish(), read_only=True) as reader:
        assert reader.execute("SELECT slot, symbol FROM current.quality_filter ORDER BY ALL").fetchall() == [
            (SLOT, "C"), ("2026-11-20T10:30", "D"),
        ]  # fmt: skip
        assert reader.execute(COUNT).fetchall() == [(5,)]


def test_missing_numbers_are_null_so_that_averages_work(history: History) -> None:
    frame = quality_filter("A", "B", "C")
    frame["price"] = [1.0, None, 3.0]
    history.append("quality_filter", frame, slot=SLOT, **MADE)
    with duckdb.connect(history.publish(), read_only=True) as reader:
        assert reader.execute("SELECT avg(price), count(price) FROM current.quality_filter").fetchall() == [(2.0, 2)]


def test_every_table_view_and_column_says_what_it_is(history: History) -> None:
    with duckdb.connect(_published_empty(history), read_only=True) as reader:
        silent = reader.execute(
            "SELECT table_name FROM duckdb_tables() WHERE comment IS NULL "
            "UNION SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL"
        ).fetchall()
        unexplained = reader.execute(
            "SELECT schema_name, table_name, column_name FROM duckdb_columns() "
            "WHERE schema_name IN ('main', 'current') AND comment IS NULL AND NOT internal"
        ).fetchall()
    assert silent == []
    assert [row for row in unexplained if row[1] != "bars_frames"] == []


def test_the_file_opens_under_any_other_name_too(history: History, tmp_path: Path) -> None:
    history.append("quality_filter", quality_filter("A"), slot=SLOT, **MADE)
    copy = tmp_path / "of friday.duckdb"
    history.publish().rename(copy)
    with duckdb.connect(copy, read_only=True) as reader:
        assert reader.execute("SELECT symbol FROM current.quality_filter").fetchall() == [("A",)]


def test_a_reader_goes_on_undisturbed_while_the_pipeline_writes_and_publishes(history: History) -> None:
    history.append("quality_filter", quality_filter("A"), slot=SLOT, **MADE)
    with duckdb.connect(history.publish(), read_only=True) as reader:
        for _ in range(3):
            history.append("quality_filter", quality_filter("B"), slot=SLOT, **MADE)
            history.publish()
            assert reader.execute(COUNT).fetchall() == [(1,)]
        assert read_elsewhere(history.published, COUNT) == "[(4,)]"


def test_what_came_after_the_publication_is_not_in_it(history: History) -> None:
    history.append("quality_filter", quality_filter("A"), slot=SLOT, **MADE)
    history.publish()
    history.append("quality_filter", quality_filter("B"), slot=SLOT, **MADE)
    assert read_elsewhere(history.published, COUNT) == "[(1,)]"


def _published_empty(history: History) -> Path:
    history.latest("scores", SLOT)
    return history.publish()
