"""What Dagster loads: the assets of the four stages, the metrics, the jobs, their sensors and what they share.

This module collects and nothing more. ``build_definitions`` makes a set for given settings, so that tests and the
command line can have one of their own; Dagster calls ``defs`` for those of the environment. The metrics are left out
unless they are asked for, since Dagster's dbt library takes seconds to load and a slot does not need it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from quant_pipeline.assets import act, closing, decide, measure, observe
from quant_pipeline.assets.history_io import HistoryIOManager
from quant_pipeline.assets.slot_asset import HISTORY_IO
from quant_pipeline.assets.slot_run import SlotRun
from quant_pipeline.automation.sensors import close_sensor, slot_sensor
from quant_pipeline.errors import QuantPipelineError
from quant_pipeline.settings import Settings, load_settings

SLOT_JOB = "slot"
END_OF_DAY_JOB = "end_of_day"


def build_definitions(
    settings: Settings | None = None,
    *,
    progress: Callable[[str, str], None] | None = None,
    metrics: bool = False,
) -> dg.Definitions:
    """Definitions for the given settings, or for those of the environment.

    ``progress`` is called with the name of an asset and a few words whenever one has been stored. With ``metrics`` the
    dbt models and the tear sheet are among the assets, with their job and its sensor.
    """
    chosen = settings or load_settings()

    @dg.resource(description="What the assets of one run share: clock, broker connection, history, journal.")
    def slot_run() -> Iterator[SlotRun]:
        run = SlotRun(chosen, progress)
        try:
            yield run
        finally:
            run.close()

    @dg.io_manager(required_resource_keys={"slot_run"}, description="Frames through the history, with lineage.")
    def history_io(context: dg.InitResourceContext) -> HistoryIOManager:
        return HistoryIOManager(context.resources.slot_run)

    loaded = dg.load_assets_from_modules([observe, decide, act, measure])
    of_a_slot = [asset for asset in loaded if isinstance(asset, dg.AssetsDefinition) and asset.partitions_def]
    slot_job = dg.define_asset_job(
        SLOT_JOB,
        selection=of_a_slot,
        description="One slot from the scanner to the orders and the panel.",
    )
    slots = dg.Definitions(
        assets=of_a_slot,
        jobs=[slot_job],
        sensors=[slot_sensor(chosen, SLOT_JOB)],
        resources={"slot_run": slot_run, HISTORY_IO: history_io},
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(slots, _metrics(chosen)) if metrics else slots


@dg.definitions
def defs() -> dg.Definitions:
    """All of it, for the settings of the environment."""
    return build_definitions(metrics=True)


def _metrics(settings: Settings) -> dg.Definitions:
    try:
        from quant_pipeline.assets.metrics import installed_dbt, metrics_assets
        from quant_pipeline.metrics.project import manifest_path

        assets = [closing.closing_fills, closing.closing_reading, *metrics_assets(manifest_path())]
        resources: dict[str, Any] = {"dbt": installed_dbt()}
    except QuantPipelineError as error:
        # A model that somebody broke must not keep the slots from running; the sensor says what is wrong.
        return dg.Definitions(sensors=[close_sensor(settings, None, why_not=str(error))])
    job = dg.define_asset_job(
        END_OF_DAY_JOB,
        selection=assets,
        description="The account at the close, the metrics of all that is recorded, the tear sheet, and tidying up.",
    )
    return dg.Definitions(
        assets=assets, jobs=[job], sensors=[close_sensor(settings, END_OF_DAY_JOB)], resources=resources
    )
