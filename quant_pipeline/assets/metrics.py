"""The rest of the measuring stage: the dbt models as assets, the tear sheet, and tidying up once all is measured.

What belongs here is how dbt's project looks in Dagster, in one lineage with the slots; how it is run on the history is
``metrics.build``, the SQL is ``dbt_metrics``. They are of all slots at once, so they have no partitions, and a job of
their own. Only ``definitions`` imports this module, and only when the metrics are asked for: Dagster's dbt library
takes seconds to load.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, dbt_assets
from packaging.version import Version

from quant_pipeline.assets.slot_run import SlotRun, beyond_retry
from quant_pipeline.errors import QuantPipelineError
from quant_pipeline.frames import FRAMES
from quant_pipeline.history.compaction import Compaction
from quant_pipeline.history.retention import Pruned
from quant_pipeline.metrics.build import MetricsBuild, prepare
from quant_pipeline.metrics.project import PROJECT, dbt_program
from quant_pipeline.metrics.tear_sheet import headlines, write_tear_sheet

GROUP = "measure"
REPORT = "report.html"

# Tables that bear no asset's name, and one that does: executions are journaled after the frame of fills as well.
_RECORDED_BY = {
    ("journal", "intents"): "executions",
    ("journal", "events"): "executions",
    ("journal", "fills"): "closing_fills",
    ("main", "bars_frames"): "bars",
}
# What made the frames: it is whole when the last frame of a slot is stored.
_LAST_OF_A_SLOT = "portfolio_status"


class SlotLineage(DagsterDbtTranslator):
    """Where a dbt node stands in the graph: sources are the assets that record them, models are measures."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """A source's table by the asset that fills it; a model by its name."""
        name = str(dbt_resource_props["name"])
        if dbt_resource_props["resource_type"] == "source":
            name = recorded_by(str(dbt_resource_props["source_name"]), name)
        return dg.AssetKey(name)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """All of them measure."""
        return GROUP


class InstalledDbt(DbtCliResource):
    """The dbt of this installation, whose version is known.

    Dagster would ask ``dbt --version``, which takes four seconds and asks the package index for newer versions.
    """

    @cached_property
    def _cli_version(self) -> Version:
        return Version(version("dbt-core"))


def recorded_by(schema: str, table: str) -> str:
    """The asset whose runs fill a table of the history."""
    own_name = table if table in FRAMES else _LAST_OF_A_SLOT
    return _RECORDED_BY.get((schema, table), own_name)


def installed_dbt() -> DbtCliResource:
    """The resource that runs dbt."""
    return InstalledDbt(project_dir=str(PROJECT), profiles_dir=str(PROJECT), dbt_executable=str(dbt_program()))


def metrics_assets(manifest: Path) -> tuple[dg.AssetsDefinition, ...]:
    """The dbt models as one step that may be run in part, the tear sheet that shows them, and the tidying up after."""

    @dbt_assets(
        manifest=json.loads(manifest.read_text(encoding="utf-8")),
        name="metrics",
        dagster_dbt_translator=SlotLineage(),
    )
    def metrics(
        context: dg.AssetExecutionContext, slot_run: dg.ResourceParam[SlotRun], dbt: DbtCliResource
    ) -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
        try:
            yield from _built(context, slot_run, dbt)
        except QuantPipelineError as error:
            raise beyond_retry(error) from error

    @dg.asset(group_name=GROUP, kinds={"html"}, deps=sorted(metrics.keys))
    def tear_sheet(slot_run: dg.ResourceParam[SlotRun]) -> dg.MaterializeResult:
        """The result on one page that needs nothing else: `report.html` in `QUANT_HOME`."""
        history = slot_run.history.published
        path = write_tear_sheet(history, slot_run.settings.home / REPORT)
        return dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(str(path)), **_headlines(history)})

    @dg.asset(group_name=GROUP, kinds={"duckdb"}, deps=sorted(metrics.keys))
    def kept_history(slot_run: dg.ResourceParam[SlotRun]) -> dg.MaterializeResult:
        """The history without what `retention` no longer keeps, measured before it goes, and compacted where it pays.

        Nothing is given up unless `retention.keep_sessions` is set, nor anything that an order was decided on.
        """
        history = slot_run.history
        pruned, compacted = history.prune_and_compact(slot_run.settings.retention, slot_run.journal)
        if pruned is not None or compacted is not None:
            history.publish()
        return dg.MaterializeResult(metadata=_kept(pruned, compacted))

    return metrics, tear_sheet, kept_history


def _built(
    context: dg.AssetExecutionContext, slot_run: SlotRun, dbt: DbtCliResource
) -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
    """Run dbt on a copy, and report what it made once the history has it."""
    with prepare(slot_run.settings) as build, _told(build.environment):
        invocation = dbt.cli(build.arguments, context=context, target_path=build.target, raise_on_error=False)
        try:
            # A model that is built in the copy is not yet in the history, and never will be when a test fails after it.
            events = list(invocation.stream())
        finally:
            # The copy must not vanish under a dbt that goes on.
            invocation.process.kill()
            invocation.process.wait()
        checks = [event for event in events if isinstance(event, dg.AssetCheckResult)]
        try:
            built = build.finish(invocation.process.returncode)
        except QuantPipelineError:
            yield from (check for check in checks if not check.passed)
            raise
    for warning in built.warnings:
        context.log.warning(f"The test {warning} found rows that do not fit; the metrics are taken over all the same.")
    context.log.info(f"Seconds: {built.seconds}")
    yield from (_with_rows(event, built) for event in events if isinstance(event, dg.Output))
    yield from checks


def _with_rows(output: dg.Output[None], built: MetricsBuild) -> dg.Output[None]:
    rows = built.rows.get(output.output_name)
    return output if rows is None else output.with_metadata({**output.metadata, "dagster/row_count": rows})


@contextmanager
def _told(environment: Mapping[str, str]) -> Iterator[None]:
    """Variables in the environment of this process, from which Dagster's dbt library takes them."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _kept(pruned: Pruned | None, compacted: Compaction | None) -> dict[str, int | str]:
    """What was given up and what room that made; nothing of what was not due."""
    told: dict[str, int | str] = {}
    if pruned is not None:
        told |= {"versions given up": pruned.versions, "rows given up": pruned.rows}
        told |= {"first session kept whole": pruned.first_kept} if pruned.first_kept else {}
    if compacted is not None:
        told |= {"bytes before": compacted.bytes_before, "bytes after": compacted.bytes_after}
    return told


def _headlines(history: Path) -> dict[str, dg.MetadataValue]:
    """The figures of each account that a person asks for first, as the page shows them."""
    return {
        f"{headline.account}: {tile.label}": dg.MetadataValue.text(tile.value)
        for headline in headlines(history)
        for tile in headline.tiles
    }
