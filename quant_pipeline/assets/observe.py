"""The observing stage: what the broker says of the market and of our account, recorded as it was said.

Each asset is one reading through ``broker``. While the slot goes on the broker is asked; of a slot that is over the
record is read back. Nothing is judged or left out here: that is for ``decide``.
"""

import dagster as dg
import pandas as pd

from quant_pipeline.assets.slot_asset import slot_asset, slot_multi_asset
from quant_pipeline.assets.slot_run import Observation, SlotRun
from quant_pipeline.broker.account import read_account, read_fills
from quant_pipeline.broker.bars import read_daily_bars
from quant_pipeline.broker.quotes import read_quotes
from quant_pipeline.broker.scanner import read_universe
from quant_pipeline.broker.session import BrokerSession

OBSERVE_AGAIN = dg.RetryPolicy(max_retries=1, delay=2)


@slot_asset("observe", retry_policy=OBSERVE_AGAIN)
def universe(context: dg.AssetExecutionContext, slot_run: dg.ResourceParam[SlotRun]) -> Observation:
    """The most active stocks, from the union of several market scans."""
    slot = slot_run.begin(context)
    return slot_run.observe("universe", slot, lambda broker: read_universe(broker, slot_run.settings.universe))


@slot_asset("observe", retry_policy=OBSERVE_AGAIN)
def quotes(
    context: dg.AssetExecutionContext, slot_run: dg.ResourceParam[SlotRun], universe: pd.DataFrame
) -> Observation:
    """Bid, ask, last, sizes and volume of every symbol of the universe."""
    slot = slot_run.begin(context)
    return slot_run.observe("quotes", slot, lambda broker: read_quotes(broker, universe, slot_run.settings.broker))


@slot_asset("observe", retry_policy=OBSERVE_AGAIN)
def bars(
    context: dg.AssetExecutionContext,
    slot_run: dg.ResourceParam[SlotRun],
    universe: pd.DataFrame,
    quotes: pd.DataFrame,
) -> Observation:
    """One year of daily bars, topped up from what is kept; today's is partial and comes from the quote."""
    slot = slot_run.begin(context)

    def read(broker: BrokerSession) -> Observation:
        kept = slot_run.history.kept_bars(broker.account, slot.key)
        reading = read_daily_bars(broker, universe, quotes, kept, slot_run.settings.broker, slot.starts)
        context.add_output_metadata(
            {
                "fetched whole": reading.fetched_whole,
                "topped up": reading.topped_up,
                "historical requests": reading.requests,
            }
        )
        return Observation(reading.frame, source=broker.account)

    return slot_run.observe("bars", slot, read)


@slot_multi_asset("observe", outs=("account", "portfolio", "working_orders"), retry_policy=OBSERVE_AGAIN)
def account_reading(
    context: dg.AssetExecutionContext, slot_run: dg.ResourceParam[SlotRun]
) -> tuple[Observation, Observation, Observation]:
    """Capital, positions and open orders, from one reading of the account."""
    slot = slot_run.begin(context)

    def read(broker: BrokerSession) -> tuple[pd.DataFrame, ...]:
        reading = read_account(broker, slot_run.settings)
        return reading.account, reading.portfolio, reading.working_orders

    account, portfolio, working_orders = slot_run.observe_together(
        ("account", "portfolio", "working_orders"), slot, read
    )
    return account, portfolio, working_orders


@slot_asset("observe", retry_policy=OBSERVE_AGAIN)
def fills(context: dg.AssetExecutionContext, slot_run: dg.ResourceParam[SlotRun]) -> Observation:
    """Executions of the session so far, journaled before they are recorded."""
    slot = slot_run.begin(context)

    def read(broker: BrokerSession) -> pd.DataFrame:
        frame = read_fills(broker)
        slot_run.journal.record_fills(frame, account=broker.account)
        return frame

    return slot_run.observe("fills", slot, read)
