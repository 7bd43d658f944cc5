"""The graph as it stands, written out: a change of lineage must be seen in a diff."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from quant_pipeline.definitions import build_definitions
from quant_pipeline.frames import CLOSING_FRAMES, FRAMES
from quant_pipeline.settings import load_settings

GROUPS_AND_UPSTREAM: dict[str, tuple[str, set[str]]] = {
    "universe": ("observe", set()),
    "quotes": ("observe", {"universe"}),
    "bars": ("observe", {"universe", "quotes"}),
    "account": ("observe", set()),
    "portfolio": ("observe", set()),
    "working_orders": ("observe", set()),
    "fills": ("observe", set()),
    "quality_filter": ("decide", {"universe", "quotes", "bars"}),
    "indicators": ("decide", {"quality_filter", "quotes", "bars"}),
    "scores": ("decide", {"indicators", "quotes"}),
    "sized_orders": ("decide", {"scores", "account", "portfolio", "working_orders", "bars"}),
    "executions": ("act", {"sized_orders", "universe", "quotes"}),
    "portfolio_status": ("measure", {"executions"}),
    "published_history": ("measure", {"portfolio_status", "fills"}),
}
TRIED_AGAIN = {"universe", "quotes", "bars", "account_reading", "fills"}


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(load_settings(home=tmp_path_factory.mktemp("home")))


def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def steps(definitions: dg.Definitions) -> dict[str, dg.OpDefinition]:
    assets = [asset for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition)]
    return {asset.op.name: asset.op for asset in assets}


def test_the_assets_are_these_with_these_groups_and_inputs(definitions: dg.Definitions) -> None:
    found = {
        name: (spec.group_name, {dependency.asset_key.to_user_string() for dependency in spec.deps})
        for name, spec in specs(definitions).items()
    }
    assert found == GROUPS_AND_UPSTREAM


def test_every_frame_of_a_slot_has_an_asset_and_every_asset_but_the_published_copy_a_frame(
    definitions: dg.Definitions,
) -> None:
    made = [key.to_user_string() for asset in definitions.assets or () for key in getattr(asset, "keys", ())]
    assert sorted([*made, *CLOSING_FRAMES]) == sorted([*FRAMES, "published_history"])


def test_every_frame_travels_through_the_history(definitions: dg.Definitions) -> None:
    managers = {
        output.name if len(step.output_defs) > 1 else name: output.io_manager_key
        for name, step in steps(definitions).items()
        for output in step.output_defs
    }
    assert {name for name, manager in managers.items() if manager != "history_io"} == {"published_history"}


def test_every_asset_is_of_one_slot(definitions: dg.Definitions) -> None:
    partitions = {name: spec.partitions_def for name, spec in specs(definitions).items()}
    for definition in partitions.values():
        assert isinstance(definition, dg.DynamicPartitionsDefinition)
        assert definition.name == "slot"


def test_every_frame_shows_its_columns_and_its_code_version(definitions: dg.Definitions) -> None:
    for name in set(GROUPS_AND_UPSTREAM) - {"published_history"}:
        frame, spec = FRAMES[name], specs(definitions)[name]
        schema = spec.metadata["dagster/column_schema"]
        assert [column.name for column in schema.columns] == list(frame.columns), name
        assert all(column.description for column in schema.columns), name
        assert len(spec.code_version or "") == 12, name


def test_only_observations_are_tried_again_and_orders_never(definitions: dg.Definitions) -> None:
    policies = {name: step.retry_policy for name, step in steps(definitions).items()}
    assert {name for name, policy in policies.items() if policy is not None} == TRIED_AGAIN
    assert {policy.max_retries for policy in policies.values() if policy is not None} == {1}
    assert policies["executions"] is None


def test_one_job_runs_all_of_it_and_one_sensor_asks_for_it(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("slot")
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == set(GROUPS_AND_UPSTREAM)
    assert [getattr(item, "name", None) for item in definitions.jobs or ()] == ["slot"]
    assert [sensor.name for sensor in definitions.sensors or ()] == ["every_slot"]
    sensor = definitions.resolve_sensor_def("every_slot")
    assert (sensor.job_name, sensor.minimum_interval_seconds) == ("slot", 30)
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert not definitions.schedules


def test_runs_stay_in_one_process_since_they_share_a_connection(definitions: dg.Definitions) -> None:
    assert definitions.executor is dg.in_process_executor
    assert definitions.resolve_job_def("slot").executor_def is dg.in_process_executor


def test_definitions_load_for_a_new_home_and_touch_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    load = "import dagster as dg; from quant_pipeline.definitions import defs; dg.Definitions.validate_loadable(defs())"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUANT_")}
    loaded = subprocess.run(
        [sys.executable, "-c", load],
        cwd=tmp_path, env={**environment, "QUANT_HOME": str(home)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_slot_does_not_wait_for_dagsters_dbt_library() -> None:
    look = (
        "import sys, quant_pipeline.cli.run_slot as run; run.build_definitions(); print('dagster_dbt' in sys.modules)"
    )
    looked = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60, check=True)
    assert looked.stdout == "False\n"
