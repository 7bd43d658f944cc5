"""The deciding stage: pure functions of recorded frames and settings, bit for bit the same whenever they are run.

Each asset hands its inputs to ``quant`` and returns the frame it gives. Nothing here reads a clock, a broker or a file;
what time it was comes with the quotes.
"""

import dagster as dg
import pandas as pd

from quant_pipeline.assets.slot_asset import slot_asset
from quant_pipeline.assets.slot_run import SlotRun
from quant_pipeline.automation.slots import session_progress
from quant_pipeline.quant import QuantMarketScanner


@slot_asset("decide")
def quality_filter(
    context: dg.AssetExecutionContext,
    slot_run: dg.ResourceParam[SlotRun],
    universe: pd.DataFrame,
    quotes: pd.DataFrame,
    bars: pd.DataFrame,
) -> pd.DataFrame:
    """Which stocks may be scored: price, spread, freshness, halts, history. Every rejection has its reason."""
    slot_run.begin(context)
    return QuantMarketScanner(slot_run.settings).quality_filter(universe, quotes, bars)


@slot_asset("decide")
def indicators(
    context: dg.AssetExecutionContext,
    slot_run: dg.ResourceParam[SlotRun],
    quality_filter: pd.DataFrame,
    quotes: pd.DataFrame,
    bars: pd.DataFrame,
) -> pd.DataFrame:
    """Technical indicators of the stocks that passed, at the moment of the quotes."""
    slot = slot_run.begin(context)
    return QuantMarketScanner(slot_run.settings).indicators(
        quality_filter, quotes, bars, session_progress(slot, quotes)
    )


@slot_asset("decide")
def scores(
    context: dg.AssetExecutionContext,
    slot_run: dg.ResourceParam[SlotRun],
    indicators: pd.DataFrame,
    quotes: pd.DataFrame,
) -> pd.DataFrame:
    """Five weighted components a stock, the better direction, entry, stop, target and the signals behind them."""
    slot_run.begin(context)
    return QuantMarketScanner(slot_run.settings).scores(indicators, quotes)


@slot_asset("decide")
def sized_orders(
    context: dg.AssetExecutionContext,
    slot_run: dg.ResourceParam[SlotRun],
    scores: pd.DataFrame,
    account: pd.DataFrame,
    portfolio: pd.DataFrame,
    working_orders: pd.DataFrame,
    bars: pd.DataFrame,
) -> pd.DataFrame:
    """What passes the risk limits, with its size; what does not, with the limit that bound."""
    slot = slot_run.begin(context)
    scanner = QuantMarketScanner(slot_run.settings)
    return scanner.sized_orders(scores, account, portfolio, working_orders, bars, slot.key)
