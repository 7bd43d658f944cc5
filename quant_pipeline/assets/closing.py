"""The end of the measuring stage's day: what is read of the broker once, after the close and before the metrics.

The executions and endings of orders that came since the last slot was measured, and the account as the day leaves it.
They belong to the day and not to a slot, so they have no partitions. What is made of them is for ``metrics``.
"""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from quant_pipeline.assets.history_io import frame_metadata
from quant_pipeline.assets.measure import journal_endings, journal_fills, portfolio_status
from quant_pipeline.assets.slot_asset import column_schema
from quant_pipeline.assets.slot_run import SlotRun
from quant_pipeline.automation.sessions import EXCHANGE_TIME, session_on
from quant_pipeline.automation.slots import slots_of
from quant_pipeline.broker.account import read_account
from quant_pipeline.code_version import code_version
from quant_pipeline.frames import CLOSING_FRAMES, FRAMES


@dg.asset(group_name="measure", kinds={"interactivebrokers", "sqlite"}, deps=[portfolio_status, "fills"])
def closing_fills(context: dg.AssetExecutionContext, slot_run: dg.ResourceParam[SlotRun]) -> dg.MaterializeResult:
    """Executions that came after the last slot was measured, journaled after the close so that the day is whole.

    So is what became of orders that are no longer open: another day the broker does not say it again.
    """
    fills, new = journal_fills(slot_run.broker, slot_run)
    settled = journal_endings(slot_run.broker, slot_run, context)
    return dg.MaterializeResult(
        metadata={"executions of the day": fills, "not journaled before": new, "orders settled": settled}
    )


@dg.multi_asset(
    group_name="measure",
    specs=[
        dg.AssetSpec(
            name,
            deps=[closing_fills],
            description=FRAMES[name].description,
            kinds={"interactivebrokers", "duckdb"},
            code_version=code_version("observe"),
            metadata={"dagster/column_schema": column_schema(name)},
        )
        for name in CLOSING_FRAMES
    ],
)
def closing_reading(
    context: dg.AssetExecutionContext, slot_run: dg.ResourceParam[SlotRun]
) -> Iterator[dg.MaterializeResult]:
    """The account and its positions after the close, read once and on the day itself: later they are another day's."""
    broker, history, settings = slot_run.broker, slot_run.history, slot_run.settings
    started, now = dt.datetime.now(dt.UTC), broker.now().astimezone(EXCHANGE_TIME)
    session = session_on(now.date())
    if session is None or now < session.closes:
        yield from _not_read("there is no session today" if session is None else f"it ends at {session.closes:%H:%M}")
        return
    last_slot = slots_of(session)[-1].key
    recorded = history.recorded("closing_account", last_slot)
    if recorded is not None and list(recorded[1]["account"]) == [broker.account]:
        yield from _not_read(f"the close of {session.day} was read before")
        return
    reading = read_account(broker, settings)
    history.record_settings(settings.decision_hash, settings.decision_parameters)
    # The account last: where there is one, its positions are there too.
    for name, frame in (("closing_portfolio", reading.portfolio), ("closing_account", reading.account)):
        made = history.append(
            name,
            frame,
            slot=last_slot,
            run_id=context.run.run_id,
            code_version=code_version("observe"),
            settings_hash=settings.decision_hash,
            inputs=[],
            started_at=started,
        )
        yield dg.MaterializeResult(asset_key=name, metadata=frame_metadata(made, frame))


def _not_read(why: str) -> Iterator[dg.MaterializeResult]:
    yield from (dg.MaterializeResult(asset_key=name, metadata={"not read": why}) for name in CLOSING_FRAMES)
