"""``dbt build`` as it is run: the real program, over a history recorded by the real one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from quant_pipeline_tests.metrics.recorded_slots import (
    DECIDED_AGAIN,
    INTERRUPTED,
    NOTHING_PASSED,
    RERUN_HALFWAY,
    SENT_TWICE,
    WHOLE,
    publish_recorded_slots,
)
from quant_pipeline_tests.metrics.running_dbt import PROJECT, build, run_dbt

MARTS = ["daily_metrics", "performance_summary", "signal_history", "signal_quality", "slot_health", "trades"]


@dataclass(frozen=True)
class Build:
    """A history after ``dbt build``, what dbt said about each node, and the source tree before and after."""

    history: Path
    outcomes: dict[str, str]
    tree_before: dict[Path, bytes]
    tree_after: dict[Path, bytes]


def source_tree() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in PROJECT.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Build:
    scratch = tmp_path_factory.mktemp("dbt")
    # Not called history.duckdb: what is built must not depend on the name of the file it was built in.
    history = scratch / "copy.duckdb"
    shutil.copy(publish_recorded_slots(scratch / "home"), history)
    before = source_tree()
    return Build(history, build(scratch, history), before, source_tree())


@pytest.fixture
def reader(built: Build, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """What a person sees who took the file home under a name of his own."""
    taken_home = tmp_path / "taken_home.duckdb"
    shutil.copy(built.history, taken_home)
    with duckdb.connect(taken_home, read_only=True) as connection:
        yield connection


def test_slot_health_counts_what_was_recorded(reader: duckdb.DuckDBPyConnection) -> None:
    columns = (
        "slot, scanned, passed_quality, share_passed, top_rejection, scored, above_threshold, approved, top_limit, "
        "legs_sent, legs_already_working, legs_refused, top_refusal"
    )
    assert reader.execute(f"SELECT {columns} FROM metrics.slot_health ORDER BY slot").fetchall() == [
        (WHOLE, 12, 9, 0.75, "halted", 8, 7, 6, "5 % a symbol is reached", 9, 6, 3, "the quote is stale"),
        (NOTHING_PASSED, 2, 0, 0.0, "halted", 0, 0, 0, None, 0, 0, 0, None),
        (INTERRUPTED, 0, 0, None, None, None, None, None, None, None, None, None, None),
        (RERUN_HALFWAY, 1, 1, 0.5, "halted", None, None, None, None, None, None, None, None),
        (DECIDED_AGAIN, 2, 2, 1.0, None, 2, 2, 1, "5 % a symbol is reached", 3, 0, 0, None),
        (SENT_TWICE, 4, 3, 0.75, "halted", 4, 4, 3, "5 % a symbol is reached", 9, 0, 0, None),
    ]


def test_what_was_decided_again_is_no_part_of_what_happened(reader: duckdb.DuckDBPyConnection) -> None:
    assert reader.execute(
        "SELECT symbol, outcome, reason FROM metrics.signal_history WHERE slot = ? ORDER BY symbol", [DECIDED_AGAIN]
    ).fetchall() == [("A", "working", None), ("B", "refused", "5 % a symbol is reached")]


def test_a_slot_that_two_runs_sent_orders_in_shows_the_orders_of_both(reader: duckdb.DuckDBPyConnection) -> None:
    assert reader.execute(
        "SELECT symbol, total_score, outcome, reason FROM metrics.signal_history WHERE slot = ? ORDER BY symbol",
        [SENT_TWICE],
    ).fetchall() == [
        ("A", 81.0, "working", None), ("B", 75.5, "working", None), ("C", 72.0, "refused", "5 % a symbol is reached"),
        ("D", 71.0, "working", None),
    ]  # fmt: skip


def test_people_find_the_metrics_explained_and_nothing_else_beside_them(reader: duckdb.DuckDBPyConnection) -> None:
    relations = reader.execute(
        "SELECT table_name, comment FROM duckdb_tables() WHERE schema_name = 'metrics' "
        "UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE schema_name = 'metrics' ORDER BY 1"
    ).fetchall()
    assert [name for name, _ in relations] == MARTS
    assert all(comment for _, comment in relations)
    columns = reader.execute(
        "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE schema_name = 'metrics'"
    ).fetchall()
    assert [(table, name) for table, name, comment in columns if not comment] == []


def test_the_view_can_be_read_in_a_copy_of_another_name(reader: duckdb.DuckDBPyConnection) -> None:
    signals = "SELECT symbol, outcome FROM metrics.signal_history WHERE slot = ? ORDER BY total_score DESC"
    assert reader.execute(signals, [WHOLE]).fetchall() == [
        ("A", "working"), ("B", "working"), ("C", "working"), ("D", "working"), ("E", "working"), ("F", "not_sent"),
        ("G", "refused"), ("H", "below_threshold"),
    ]  # fmt: skip


def test_a_history_without_orders_has_no_trades_and_no_days(reader: duckdb.DuckDBPyConnection) -> None:
    for mart in ("trades", "daily_metrics", "performance_summary"):
        assert reader.table(f"metrics.{mart}").fetchall() == []


def test_the_recorded_frames_are_left_as_they_were(built: Build, reader: duckdb.DuckDBPyConnection) -> None:
    published = built.history.parent / "home" / "history.duckdb"
    rows = "SELECT * FROM main.indicators ORDER BY row_number"
    # One large row group for many small ones would mean that the whole file was written anew, a year of it every time.
    row_groups = "SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('main.indicators')"
    with duckdb.connect(published, read_only=True) as before:
        assert reader.execute(rows).fetchall() == before.execute(rows).fetchall()
        assert before.execute(row_groups).fetchall() > [(1,)]
        assert reader.execute(row_groups).fetchall() == before.execute(row_groups).fetchall()


def test_assets_that_do_not_fit_together_are_said_and_withhold_nothing(built: Build) -> None:
    assert set(built.outcomes.values()) == {"pass", "success", "warn"}
    (warned,) = (node for node, status in built.outcomes.items() if status == "warn")
    assert "found_in_stg_quality_filter_slot__symbol__ref_stg_universe" in warned


def test_the_figures_worked_by_hand_are_checked_for_every_mart(built: Build) -> None:
    worked = {node.split(".")[2]: status for node, status in built.outcomes.items() if node.startswith("unit_test.")}
    assert set(worked.values()) == {"pass"}
    assert set(MARTS) <= set(worked)


def test_nothing_is_written_into_the_source_tree(built: Build) -> None:
    assert built.tree_after == built.tree_before


def test_without_a_history_the_project_can_be_parsed_and_dbt_names_the_variable(tmp_path: Path) -> None:
    finished = run_dbt(tmp_path, None, "build")
    assert finished.returncode != 0
    assert " models, " in finished.stdout  # what it found when it had parsed them
    assert "QUANT_HISTORY must name a copy of the pipeline's history; '' holds none." in finished.stdout
