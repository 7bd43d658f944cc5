"""The sensors: one runs the graph every 15 minutes of the session, the other measures the day after the close.

They ask the broker what time it is, so that a replayed session runs by the same rules as today's. Which slots and
sessions exist is for ``automation.slots`` and ``automation.sessions``; what a run does is the assets' business.
"""

import datetime as dt

import dagster as dg

from quant_pipeline.automation.sessions import EXCHANGE_TIME, session_on
from quant_pipeline.automation.slots import PARTITIONS, slot_at, slots_of
from quant_pipeline.broker.session import Role, connect
from quant_pipeline.errors import QuantPipelineError
from quant_pipeline.settings import Settings

INTERVAL_SECONDS = 30
CLOSE_INTERVAL_SECONDS = 60


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
            now = _brokers_time(settings)
            slot = slot_at(now)
        except QuantPipelineError as error:
            return dg.SkipReason(str(error))
        if slot is None:
            return dg.SkipReason(f"The market is closed at {now:%Y-%m-%d %H:%M}.")
        known = set(context.instance.get_dynamic_partitions(PARTITIONS))
        missing = [other.key for other in slots_of(slot.session) if other.key not in known]
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=slot.key, partition_key=slot.key)],
            dynamic_partitions_requests=[dg.AddDynamicPartitionsRequest(PARTITIONS, missing)] if missing else [],
        )

    return every_slot


def close_sensor(settings: Settings, job_name: str | None, *, why_not: str | None = None) -> dg.SensorDefinition:
    """A sensor that requests the measuring of each session once, on its day, after it has closed.

    Without a job it only says ``why_not``.
    """

    @dg.sensor(
        job_name=job_name,
        minimum_interval_seconds=CLOSE_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests the metrics and the tear sheet once a session, after its close by the broker's clock.",
    )
    def after_close() -> dg.RunRequest | dg.SkipReason:
        if why_not is not None:
            return dg.SkipReason(why_not)
        try:
            now = _brokers_time(settings)
            session = session_on(now.date())
        except QuantPipelineError as error:
            return dg.SkipReason(str(error))
        if session is None:
            return dg.SkipReason(f"There is no session on {now:%Y-%m-%d}.")
        if now < session.closes:
            return dg.SkipReason(f"The session of {session.day} ends at {session.closes:%H:%M}; it is {now:%H:%M}.")
        if not (settings.home / "history.duckdb").exists():
            return dg.SkipReason("Nothing is recorded yet.")
        return dg.RunRequest(run_key=str(session.day))

    return after_close


def _brokers_time(settings: Settings) -> dt.datetime:
    """The broker's time, in exchange time."""
    with connect(settings, Role.SENSOR) as broker:
        return broker.now().astimezone(EXCHANGE_TIME)
