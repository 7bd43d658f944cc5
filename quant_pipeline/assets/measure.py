"""The measuring stage: what came of the slot, for people.

The monitoring panel, the copy of the history that anyone may open, and after the close the executions that came since
the last slot was measured. Nothing here decides or sends.
"""

import dagster as dg
import pandas as pd

from quant_pipeline.assets.slot_asset import slot_asset
from quant_pipeline.assets.slot_run import SLOTS, Observation, SlotRun
from quant_pipeline.broker.account import read_account, read_fills
from quant_pipeline.broker.session import BrokerSession
from quant_pipeline.quant import PortfolioMetrics


@slot_asset("measure")
def portfolio_status(
    context: dg.AssetExecutionContext, slot_run: dg.ResourceParam[SlotRun], executions: pd.DataFrame
) -> Observation:
    """Capital, exposure, risk and the positions with the largest profit and loss, once the slot's orders are out."""
    slot = slot_run.begin(context)
    context.log.info(f"{(executions['outcome'] == 'sent').sum()} legs were sent in this slot")

    def read(broker: BrokerSession) -> pd.DataFrame:
        journal_fills(broker, slot_run)
        return read_panel(broker, slot_run).to_frame(broker.now())

    return slot_run.observe("portfolio_status", slot, read)


@dg.asset(group_name="measure", kinds={"interactivebrokers", "sqlite"}, deps=[portfolio_status, "fills"])
def closing_fills(slot_run: dg.ResourceParam[SlotRun]) -> dg.MaterializeResult:
    """Executions that came after the last slot was measured, journaled after the close so that the day is whole."""
    fills, new = journal_fills(slot_run.broker, slot_run)
    return dg.MaterializeResult(metadata={"executions of the day": fills, "not journaled before": new})


@dg.asset(partitions_def=SLOTS, group_name="measure", kinds={"duckdb"}, deps=[portfolio_status, "fills"])
def published_history(context: dg.AssetExecutionContext, slot_run: dg.ResourceParam[SlotRun]) -> dg.MaterializeResult:
    """The copy of the history for people: `history.duckdb` in `QUANT_HOME`, free to open, replaced after every slot."""
    slot_run.begin(context)
    slot_run.history.mirror_journal(slot_run.journal)
    path = slot_run.history.publish()
    slot_run.report_progress("published_history", str(path))
    return dg.MaterializeResult(
        metadata={"path": dg.MetadataValue.path(str(path)), "bytes": dg.MetadataValue.int(path.stat().st_size)}
    )


def journal_fills(broker: BrokerSession, slot_run: SlotRun) -> tuple[int, int]:
    """Journal the day's executions as the broker has them now; say how many there are, and how many were new.

    The frame of ``fills`` is read before anything is sent, so what the slot's own orders came to is not in it yet.
    """
    frame = read_fills(broker)
    return len(frame), len(slot_run.journal.record_fills(frame, account=broker.account))


def read_panel(broker: BrokerSession, slot_run: SlotRun) -> PortfolioMetrics:
    """The panel of the account as it stands at the broker now."""
    reading = read_account(broker, slot_run.settings)
    return PortfolioMetrics.from_frames(
        reading.account, reading.portfolio, reading.working_orders, top=slot_run.settings.monitoring.top_positions
    )
