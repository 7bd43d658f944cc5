"""``dbt build`` as it is run: the real program, over a history recorded by the real one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from quant_pipeline_tests.metrics.recorded_slots import (
    INTERRUPTED,
    NOTHING_PASSED,
    RERUN_HALFWAY,
    WHOLE,
    publish_four_slots,
)

PROJECT = Path(__file__).parents[2] / "dbt_metrics"
DBT = Path(sys.executable).parent / "dbt"
SECONDS = 90


@dataclass(frozen=True)
class Build:
    """A history after ``dbt build``, what dbt said about each node, and the source tree before and after."""

    history: Path
    outcomes: dict[str, str]
    tree_before: dict[Path, bytes]
    tree_after: dict[Path, bytes]


def run_dbt(scratch: Path, history: Path | None) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "QUANT_"))}
    told = {
        "DBT_PROFILES_DIR": str(PROJECT),
        "DBT_TARGET_PATH": str(scratch / "target"),
        "DBT_LOG_PATH": str(scratch / "logs"),
        **({"QUANT_HISTORY": str(history)} if history else {}),
    }
    return subprocess.run(
        [DBT, "build", "--project-dir", PROJECT],
        env=kept | told, cwd=scratch, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip


def source_tree() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in PROJECT.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    scratch = tmp_path_factory.mktemp("dbt")
    # Not called history.duckdb: what is built must not depend on the name of the file it was built in.
    history = scratch / "copy.duckdb"
    shutil.copy(publish_four_slots(scratch / "home"), history)
    before = source_tree()
    finished = run_dbt(scratch, history)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    results = json.loads((scratch / "target" / "run_results.json").read_text(encoding="utf-8"))["results"]
    outcomes = {result["unique_id"]: result["status"] for result in results}
    return Build(history, outcomes, before, source_tree())


@pytest.fixture
def reader(build: Build, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """What a person sees who took the file home under a name of his own."""
    taken_home = tmp_path / "taken_home.duckdb"
    shutil.copy(build.history, taken_home)
    with duckdb.connect(taken_home, read_only=True) as connection:
        yield connection


def test_slot_health_counts_what_was_recorded(reader: duckdb.DuckDBPyConnection) -> None:
    columns = (
        "slot, scanned, passed_quality, share_passed, scored, above_threshold, approved, "
        "legs_sent, legs_already_working, legs_refused"
    )
    assert reader.execute(f"SELECT {columns} FROM metrics.slot_health ORDER BY slot").fetchall() == [
        (WHOLE, 12, 9, 0.75, 8, 7, 6, 9, 6, 3),
        (NOTHING_PASSED, 2, 0, 0.0, 0, 0, 0, 0, 0, 0),
        (INTERRUPTED, 0, 0, None, None, None, None, None, None, None),
        (RERUN_HALFWAY, 1, 1, 0.5, None, None, None, None, None, None),
    ]


def test_people_find_the_metrics_explained_and_nothing_else_beside_them(reader: duckdb.DuckDBPyConnection) -> None:
    relations = reader.execute(
        "SELECT table_name, comment FROM duckdb_tables() WHERE schema_name = 'metrics' "
        "UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE schema_name = 'metrics'"
    ).fetchall()
    assert [name for name, _ in relations] == ["slot_health"]
    assert all(comment for _, comment in relations)
    columns = reader.execute("SELECT comment FROM duckdb_columns() WHERE schema_name = 'metrics'").fetchall()
    assert len(columns) == 10
    assert all(comment for (comment,) in columns)


def test_the_recorded_frames_are_left_as_they_were(build: Build, reader: duckdb.DuckDBPyConnection) -> None:
    published = build.history.parent / "home" / "history.duckdb"
    rows = "SELECT * FROM main.indicators ORDER BY row_number"
    # One large row group for many small ones would mean that the whole file was written anew, a year of it every time.
    row_groups = "SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('main.indicators')"
    with duckdb.connect(published, read_only=True) as before:
        assert reader.execute(rows).fetchall() == before.execute(rows).fetchall()
        assert before.execute(row_groups).fetchall() > [(1,)]
        assert reader.execute(row_groups).fetchall() == before.execute(row_groups).fetchall()


def test_assets_that_do_not_fit_together_are_said_and_withhold_nothing(build: Build) -> None:
    assert set(build.outcomes.values()) == {"pass", "success", "warn"}
    (warned,) = (node for node, status in build.outcomes.items() if status == "warn")
    assert "relationships_stg_quality_filter_slot_symbol__slot_symbol__ref_stg_universe" in warned


def test_the_figures_worked_by_hand_are_checked_in_every_build(build: Build) -> None:
    assert build.outcomes["unit_test.dbt_metrics.slot_health.slot_health_counts_each_stage"] == "pass"


def test_nothing_is_written_into_the_source_tree(build: Build) -> None:
    assert build.tree_after == build.tree_before


def test_without_a_history_to_work_on_dbt_names_the_variable(tmp_path: Path) -> None:
    finished = run_dbt(tmp_path, None)
    assert finished.returncode != 0
    assert "Env var required but not provided: 'QUANT_HISTORY'" in finished.stdout
