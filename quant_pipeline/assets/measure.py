"""The measuring stage: what came of the slot, for people.

The monitoring panel, the copy of the history that anyone may open, and what became of our orders since they were
sent. What is measured once a day is in ``closing`` and ``metrics``. Nothing here decides or sends.
"""

import dagster as dg
import pandas as pd

from quant_pipeline.assets.order_journaling import settle_ended
from quant_pipeline.assets.slot_asset import slot_asset
from quant_pipeline.assets.slot_run import SLOTS, Observation, SlotRun
from quant_pipeline.broker.account import read_account, read_fills
from quant_pipeline.broker.reconciliation import read_order_state
from quant_pipeline.broker.session import BrokerSession
from quant_pipeline.errors import BrokerError
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
        journal_endings(broker, slot_run, context)
        return read_panel(broker, slot_run).to_frame(broker.now())

    return slot_run.observe("portfolio_status", slot, read)


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


def journal_endings(broker: BrokerSession, slot_run: SlotRun, context: dg.AssetExecutionContext) -> int:
    """Journal what became of orders that are no longer open, such as the leg of a bracket whose other leg has filled.

    Returns how many were settled. Where the broker cannot be read nothing is, and the next reading tries again.
    """
    try:
        settled = settle_ended(slot_run.journal, broker.account, lambda: read_order_state(broker))
    except BrokerError as error:
        context.log.warning(f"What became of the orders that were working is not journaled this time: {error}")
        return 0
    return len(settled)


def read_panel(broker: BrokerSession, slot_run: SlotRun) -> PortfolioMetrics:
    """The panel of the account as it stands at the broker now."""
    reading = read_account(broker, slot_run.settings)
    return PortfolioMetrics.from_frames(
        reading.account, reading.portfolio, reading.working_orders, top=slot_run.settings.monitoring.top_positions
    )
