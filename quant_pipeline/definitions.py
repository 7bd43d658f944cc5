"""What Dagster loads: the assets of the four stages, the slot job, its sensor and what they share.

This module collects and nothing more. ``build_definitions`` makes a set for given settings, so that tests can have one
of their own; ``defs`` is the set for the settings of the environment.
"""

from collections.abc import Callable, Iterator

import dagster as dg

from quant_pipeline.assets import act, decide, measure, observe
from quant_pipeline.assets.history_io import HistoryIOManager
from quant_pipeline.assets.slot_asset import HISTORY_IO
from quant_pipeline.assets.slot_run import SlotRun
from quant_pipeline.automation.sensors import slot_sensor
from quant_pipeline.settings import Settings, load_settings

SLOT_JOB = "slot"


def build_definitions(
    settings: Settings | None = None, *, progress: Callable[[str, str], None] | None = None
) -> dg.Definitions:
    """Definitions for the given settings, or for those of the environment.

    ``progress`` is called with the name of an asset and a few words whenever one has been stored.
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

    assets = dg.load_assets_from_modules([observe, decide, act, measure])
    job = dg.define_asset_job(
        SLOT_JOB,
        selection=dg.AssetSelection.all(),
        description="One slot from the scanner to the orders and the panel.",
    )
    return dg.Definitions(
        assets=assets,
        jobs=[job],
        sensors=[slot_sensor(chosen, SLOT_JOB)],
        resources={"slot_run": slot_run, HISTORY_IO: history_io},
        executor=dg.in_process_executor,
    )


defs = build_definitions()
