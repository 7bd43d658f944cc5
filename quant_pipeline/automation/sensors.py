"""The sensor that runs the graph every 15 minutes of the session.

It asks the broker what time it is, so that a replayed session runs by the same rules as today's, and requests one run a
slot. Which slots exist is ``automation.slots``; what a run does is the assets' business.
"""

import dagster as dg

from quant_pipeline.automation.sessions import EXCHANGE_TIME
from quant_pipeline.automation.slots import PARTITIONS, slot_at, slots_of
from quant_pipeline.broker.session import Role, connect
from quant_pipeline.errors import QuantPipelineError
from quant_pipeline.settings import Settings

INTERVAL_SECONDS = 30


def slot_sensor(settings: Settings, job_name: str) -> dg.SensorDefinition:
    """A sensor that requests each slot of the session once, while it goes on."""

    @dg.sensor(
        job_name=job_name,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests a run for the slot that is going on by the broker's clock; never for one that is over.",
    )
    def every_slot(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        try:
            with connect(settings, Role.SENSOR) as broker:
                now = broker.now()
            slot = slot_at(now)
        except QuantPipelineError as error:
            return dg.SkipReason(str(error))
        if slot is None:
            return dg.SkipReason(f"The market is closed at {now.astimezone(EXCHANGE_TIME):%Y-%m-%d %H:%M}.")
        known = set(context.instance.get_dynamic_partitions(PARTITIONS))
        missing = [other.key for other in slots_of(slot.session) if other.key not in known]
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=slot.key, partition_key=slot.key)],
            dynamic_partitions_requests=[dg.AddDynamicPartitionsRequest(PARTITIONS, missing)] if missing else [],
        )

    return every_slot
