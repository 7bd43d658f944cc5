"""The dbt models in Dagster: one graph with the slots, a job of their own, and what a run of it leaves behind."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pytest

from quant_pipeline.definitions import build_definitions
from quant_pipeline.frames import CLOSING_FRAMES, FRAMES, empty
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline.metrics import project
from quant_pipeline.settings import Settings, load_settings
from quant_pipeline_tests.history.recorded_frames import MADE, SLOT, indicators
from quant_pipeline_tests.metrics.recorded_slots import publish_recorded_slots
from quant_pipeline_tests.metrics.small_project import COUNTS, record, write_project

SLOT_ASSETS = {
    "universe", "quotes", "bars", "account", "portfolio", "working_orders", "fills", "quality_filter", "indicators",
    "scores", "sized_orders", "executions", "portfolio_status", "published_history",
}  # fmt: skip
UPSTREAM = {
    "trades": {
        "account", "bars", "closing_account", "closing_fills", "closing_portfolio", "executions", "portfolio",
        "portfolio_status", "quotes", "sized_orders",
    },
    "daily_metrics": {
        "account", "bars", "closing_account", "closing_fills", "closing_portfolio", "executions", "portfolio",
        "portfolio_status", "trades",
    },
    "performance_summary": {"trades", "daily_metrics"},
    "signal_history": {"account", "executions", "portfolio_status", "scores", "sized_orders", "trades"},
    "signal_quality": {"signal_history"},
    "slot_health": {
        "account", "executions", "portfolio_status", "quality_filter", "scores", "sized_orders", "universe",
    },
}  # fmt: skip
MEASURED = [*UPSTREAM, "tear_sheet", "kept_history"]
"""What a run needs no broker for."""

RETENTION = {"keep_sessions": 1, "compact_above_pct": 0.0}
DAY_BEFORE_SLOTS = "2026-11-19T10:00", "2026-11-19T10:15"
LAST_SLOT, AFTER_THE_CLOSE = f"{SLOT[:10]}T15:45", dt.datetime(2026, 11, 20, 21, 5, tzinfo=dt.UTC)

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

pytestmark = [
    pytest.mark.timeout(240),
    # Of Dagster's dbt library and what it imports.
    pytest.mark.filterwarnings("ignore:AssetExecutionContext.op is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:sqlglotrs is deprecated:DeprecationWarning"),
]


@dataclass(frozen=True)
class Day:
    """A home after a run of the end-of-day job."""

    settings: Settings
    result: dg.ExecuteInProcessResult

    @property
    def materialized(self) -> dict[str, dict[str, Any]]:
        """Metadata of what was materialized, by asset."""
        return {
            event.asset_key.to_user_string(): {
                name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()
            }
            for event in self.result.get_asset_materialization_events()
            if event.asset_key is not None
        }


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(load_settings(home=tmp_path_factory.mktemp("home")), metrics=True)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    settings = load_settings(home=tmp_path_factory.mktemp("day") / "home", retention=RETENTION)
    publish_recorded_slots(settings.home)
    reading = {
        "account": "DU1234567", "net_liquidation": 100_000.0, "capital": 100_000.0, "deployed": 0.0,
        "available": 100_000.0, "read_at": dt.datetime(2026, 11, 20, 15, 15, tzinfo=dt.UTC),
    }  # fmt: skip
    missing = {"realized_pnl": None, "unrealized_pnl": None, "daily_pnl": None}
    account = pd.DataFrame([reading | missing], columns=list(FRAMES["account"].columns))
    history = History(settings.home)
    history.append("account", account, slot=SLOT, **MADE)
    history.append("indicators", indicators(4000), slot=DAY_BEFORE_SLOTS[0], **MADE)
    history.prune(1, OrderJournal(settings.home))
    history.publish()  # only now the room is known to be free
    history.append("indicators", indicators(3), slot=DAY_BEFORE_SLOTS[1], **MADE)
    history.append("closing_portfolio", empty("closing_portfolio"), slot=LAST_SLOT, **MADE)
    closing = account.assign(net_liquidation=101_000.0, capital=101_000.0, read_at=AFTER_THE_CLOSE)
    history.append("closing_account", closing, slot=LAST_SLOT, **MADE)
    return measure(settings, MEASURED)


def measure(settings: Settings, assets: Sequence[str]) -> Day:
    """Run the end-of-day job without what asks the broker."""
    job = build_definitions(settings, metrics=True).resolve_job_def("end_of_day")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            instance=instance,
            run_config=QUIET,
            raise_on_error=False,
            asset_selection=[dg.AssetKey(name) for name in assets],
        )
    return Day(settings, result)


def models(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    found = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    return {name: spec for name, spec in found.items() if name not in SLOT_ASSETS}


def upstream(spec: dg.AssetSpec) -> set[str]:
    return {dependency.asset_key.to_user_string() for dependency in spec.deps}


def test_the_models_and_the_page_stand_in_one_graph_with_the_slots(definitions: dg.Definitions) -> None:
    found = {name: upstream(spec) for name, spec in models(definitions).items()}
    assert found.pop("tear_sheet") == found.pop("kept_history") == set(UPSTREAM)
    assert found.pop("closing_fills") == {"portfolio_status", "fills"}
    assert [found.pop(name) for name in CLOSING_FRAMES] == [{"closing_fills"}] * 2
    assert found == UPSTREAM


def test_every_model_measures_and_explains_its_columns(definitions: dg.Definitions) -> None:
    for name, spec in models(definitions).items():
        assert spec.group_name == "measure", name
        assert spec.partitions_def is None, name
        assert spec.description, name
        if name in UPSTREAM:
            assert {"dbt", "duckdb"} <= spec.kinds, name
            columns = spec.metadata["dagster/column_schema"].columns
            assert columns, name
            assert all(column.description for column in columns), name


def test_the_slots_and_the_end_of_the_day_are_jobs_of_their_own(definitions: dg.Definitions) -> None:
    of = {job: definitions.resolve_job_def(job).asset_layer for job in ("slot", "end_of_day")}
    keys = {job: {key.to_user_string() for key in layer.executable_asset_keys} for job, layer in of.items()}
    assert keys == {"slot": SLOT_ASSETS, "end_of_day": {*MEASURED, "closing_fills", *CLOSING_FRAMES}}
    assert not definitions.resolve_job_def("slot").asset_layer.asset_graph.asset_check_keys
    assert definitions.resolve_job_def("end_of_day").executor_def is dg.in_process_executor
    sensor = definitions.resolve_sensor_def("after_close")
    assert (sensor.job_name, sensor.default_status) == ("end_of_day", dg.DefaultSensorStatus.RUNNING)


def test_a_materialization_says_how_many_rows_the_history_has_now(day: Day) -> None:
    assert day.result.success
    assert set(day.materialized) == set(MEASURED)
    with duckdb.connect(day.settings.home / "history.duckdb", read_only=True) as reader:
        for model in set(UPSTREAM) - {"signal_history"}:
            counted = reader.execute(f"SELECT count(*) FROM metrics.{model}").fetchone()
            assert counted == (day.materialized[model]["dagster/row_count"],), model
        scans = "SELECT count(DISTINCT slot) FROM lineage.materializations WHERE asset NOT LIKE 'closing%'"
        assert reader.execute("SELECT count(*) FROM metrics.slot_health").fetchone() == reader.execute(scans).fetchone()
        assert reader.execute("SELECT count(*) > 0 FROM metrics.signal_history").fetchone() == (True,)


def test_the_day_ends_with_the_account_as_it_was_at_the_close(day: Day) -> None:
    with duckdb.connect(day.settings.home / "history.duckdb", read_only=True) as reader:
        assert reader.execute(
            "SELECT session, equity, pnl, return_pct, slots, open_positions FROM metrics.daily_metrics"
        ).fetchall() == [(AFTER_THE_CLOSE.date(), 101_000.0, 1_000.0, 1.0, 1, 0)]


def test_what_the_settings_no_longer_keep_goes_once_it_is_measured(day: Day) -> None:
    told = day.materialized["kept_history"]
    assert (told["first session kept whole"], told["versions given up"], told["rows given up"]) == (SLOT[:10], 1, 3)
    assert told["bytes before"] > told["bytes after"]
    assert told["bytes after"] == (day.settings.home / "working" / "history.duckdb").stat().st_size
    with duckdb.connect(day.settings.home / "history.duckdb", read_only=True) as reader:
        assert reader.execute(
            "SELECT slot, asset FROM lineage.pruned JOIN lineage.materializations ON id = materialization_id"
        ).fetchall() == [(slot, "indicators") for slot in DAY_BEFORE_SLOTS]


def test_every_test_of_a_model_is_a_check_that_was_made(day: Day) -> None:
    evaluations = day.result.get_asset_check_evaluations()
    assert evaluations
    assert all(evaluation.passed for evaluation in evaluations)
    assert {evaluation.asset_key.to_user_string() for evaluation in evaluations} <= set(UPSTREAM)
    graph = build_definitions(day.settings, metrics=True).resolve_asset_graph()
    assert {evaluation.asset_check_key for evaluation in evaluations} == set(graph.asset_check_keys)


def test_the_page_is_written_and_its_figures_are_told(day: Day) -> None:
    page = day.settings.home / "report.html"
    assert day.materialized["tear_sheet"].pop("path") == str(page)
    assert "DU1234567" in page.read_text(encoding="utf-8")
    assert day.materialized["tear_sheet"]


def test_of_a_build_that_failed_nothing_is_materialized_and_the_test_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(project, "PROJECT", write_project(tmp_path / "small", test="select * from {{ ref('counts') }}"))
    failed = measure(record(tmp_path / "home"), ["counts", "busiest"])
    assert not failed.result.success
    assert failed.materialized == {}
    (step,) = [event for event in failed.result.all_events if event.is_step_failure]
    assert "the test no_count_is_negative failed" in str(step.step_failure_data.error_display_string)
    assert not (tmp_path / "home" / "working" / "metrics" / "history.duckdb").exists()


def test_a_broken_model_keeps_no_slot_from_running_and_the_sensor_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    broken = write_project(tmp_path / "small", counts=COUNTS.replace("lineage", "no_such_source"))
    monkeypatch.setattr(project, "PROJECT", broken)
    definitions = build_definitions(load_settings(home=tmp_path / "home"), metrics=True)
    assert models(definitions) == {}
    assert definitions.resolve_job_def("slot")
    asked = definitions.resolve_sensor_def("after_close").evaluate_tick(dg.build_sensor_context())
    said = str(asked.skip_message)
    assert f"The dbt project {broken} cannot be parsed (" in said
    assert "no_such_source" in said
    assert "\n" not in said
