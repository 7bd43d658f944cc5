"""Runs one slot through Dagster in this process and says what came of it.

What ``quant-pipeline run`` and ``make run`` call. The run is an ordinary Dagster run of the slot job on the instance
below ``QUANT_HOME``. Printing is for ``run_report``; what the assets do is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from quant_pipeline.automation.dagster_home import dagster_home
from quant_pipeline.automation.sessions import EXCHANGE_TIME, next_session
from quant_pipeline.automation.slots import PARTITIONS, Slot, parse_slot, slot_at
from quant_pipeline.broker.session import Role, connect
from quant_pipeline.definitions import SLOT_JOB, build_definitions
from quant_pipeline.errors import QuantPipelineError, SlotError
from quant_pipeline.history.store import History
from quant_pipeline.settings import Settings

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
# Capturing a step's output takes four processes a step, which write to this terminal and die noisily of Ctrl-C; what
# this process prints is seen here anyway.
NOTHING_CAPTURED: Any = {
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
}


@dataclass(frozen=True)
class Funnel:
    """How many stocks were left after each step of a slot."""

    scanned: int
    quoted: int
    passed_quality: int
    scored: int
    above_threshold: int
    approved: int
    orders_sent: int


@dataclass(frozen=True)
class SlotReport:
    """What came of one run of a slot. ``frames`` holds the versions the run made or read, by asset."""

    slot: str
    run_id: str
    funnel: Funnel
    timings: dict[str, float]
    frames: dict[str, pd.DataFrame]

    @property
    def portfolio(self) -> dict[str, float | int]:
        """The figures of the monitoring panel."""
        panel = self.frames["portfolio_status"].iloc[0]
        amounts = ("capital", "deployed", "available", "total_risk", "unrealized_pnl")
        counts = ("positions", "long", "short")
        return {name: round(float(panel[name]), 2) for name in amounts} | {name: int(panel[name]) for name in counts}

    def as_json(self) -> dict[str, Any]:
        """The object ``run --json`` prints."""
        return {
            "slot": self.slot,
            "run_id": self.run_id,
            "funnel": asdict(self.funnel),
            "portfolio": self.portfolio,
            "timings": self.timings,
        }


def slot_now(settings: Settings) -> Slot:
    """The slot that is going on by the broker's clock. Raises ``SlotError`` when the market is closed."""
    with connect(settings, Role.SENSOR) as broker:
        now = broker.now().astimezone(EXCHANGE_TIME)
    slot = slot_at(now)
    if slot is None:
        opens = next_session(now.date()).opens
        hint = f"; the paper gateway goes there with --at {opens:%Y-%m-%dT%H:%M}" if settings.embedded else ""
        raise SlotError(
            f"The market is closed: the broker's clock says {now:%Y-%m-%d %H:%M} in exchange time. "
            f"The next session after that day opens on {opens:%Y-%m-%d at %H:%M}{hint}."
        )
    return slot


def run_slot(settings: Settings, key: str, progress: Callable[[str, str], None] | None = None) -> SlotReport:
    """Run the slot job for one slot and report. Raises what the slot failed with."""
    slot = parse_slot(key)
    definitions = build_definitions(settings, progress=progress)
    with dg.DagsterInstance.local_temp(str(dagster_home(settings.home)), NOTHING_CAPTURED) as instance:
        instance.add_dynamic_partitions(PARTITIONS, [slot.key])
        try:
            result = definitions.resolve_job_def(SLOT_JOB).execute_in_process(
                instance=instance, partition_key=slot.key, run_config=QUIET
            )
        except (Exception, dg.DagsterExecutionInterruptedError) as error:
            raise_what_a_person_should_read(error)
            raise
        return _report(settings, slot, result, instance)


def raise_what_a_person_should_read(error: BaseException) -> None:
    """Raise what is behind an error: Ctrl-C, else what was written for people, else what the system said, if any."""
    chain = list(_causes(error))
    if any(_is_interruption(cause) for cause in chain):
        raise KeyboardInterrupt from error
    for kind in (QuantPipelineError, OSError):
        for cause in chain:
            if isinstance(cause, kind):
                raise cause


def _is_interruption(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt | dg.DagsterExecutionInterruptedError)


def _causes(error: BaseException) -> Iterator[BaseException]:
    # Dagster raises the original again with its own wrapper as context, so the chain may come back to where it began.
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        yield cause
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__


def _report(
    settings: Settings, slot: Slot, result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance
) -> SlotReport:
    history = History(settings.home)
    frames = {
        asset: history.frame(materialization.id)
        for asset in (
            "universe",
            "quotes",
            "quality_filter",
            "scores",
            "sized_orders",
            "executions",
            "portfolio_status",
        )
        if (materialization := history.latest(asset, slot.key, run_id=result.run_id)) is not None
    }
    quotes, scores = frames["quotes"], frames["scores"]
    funnel = Funnel(
        scanned=len(frames["universe"]),
        quoted=len(quotes.dropna(subset=["bid", "ask"])),
        passed_quality=_count(frames["quality_filter"]["passed"]),
        scored=len(scores),
        above_threshold=_count(scores["total_score"] >= settings.scoring.threshold),
        approved=_count(frames["sized_orders"]["approved"]),
        orders_sent=_count(frames["executions"]["outcome"] == "sent"),
    )
    return SlotReport(slot.key, result.run_id, funnel, _timings(instance, result), frames)


def _count(flags: ArrayLike) -> int:
    return int(np.count_nonzero(flags))


def _timings(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> dict[str, float]:
    """Seconds per asset and in total; assets of one reading each get the seconds of that reading."""
    steps = {
        step.step_key: (step.start_time, step.end_time)
        for step in instance.get_run_step_stats(result.run_id)
        if step.start_time and step.end_time
    }
    seconds = {
        event.asset_key.path[-1]: round(steps[event.step_key][1] - steps[event.step_key][0], 3)
        for event in result.all_events
        if event.is_step_materialization and event.asset_key and event.step_key in steps
    }
    started = min((start for start, _ in steps.values()), default=0.0)
    ended = max((end for _, end in steps.values()), default=0.0)
    return {**seconds, "total": round(ended - started, 3)}
