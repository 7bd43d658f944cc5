"""What tests of the assets share: a slot whose decisions are in the history, assets run on it, and the broker's view.

The decisions are written down as the deciding assets would have recorded them, so that a test can have the orders it
needs and materialise nothing but what it is about.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from quant_pipeline import frames
from quant_pipeline.broker.brackets import BracketOrder
from quant_pipeline.broker.client_library import Contract, Order
from quant_pipeline.broker.reconciliation import KnownOrder, OrderState, read_order_state
from quant_pipeline.broker.session import Role, connect
from quant_pipeline.definitions import SLOT_JOB, build_definitions
from quant_pipeline.errors import QuantPipelineError
from quant_pipeline.history.order_journal import JournaledOrder, OrderJournal
from quant_pipeline.history.store import History, Materialization
from quant_pipeline.settings import Settings
from quant_pipeline_tests.broker.trading_floor import SLOT, Market

Progress = Callable[[str, str], None]
Stocks = Callable[[int], list[BracketOrder]]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

# A machine that is busy must not make the morning's quotes too old for the tests that are not about their age.
PATIENT = {"max_quote_age_seconds": 3600.0}
BY_HAND = 70
# An entry so far from the market (as a share of it) waits and does not fill.
AWAY = 0.04


def record(settings: Settings, market: Market, brackets: Sequence[BracketOrder]) -> Materialization:
    """Put universe, quotes and the approved orders of the slot into the history; the orders' materialization."""
    quotes = market.quotes
    universe = pd.DataFrame(
        {
            "rank": range(1, len(quotes) + 1),
            "symbol": quotes["symbol"],
            "con_id": quotes["con_id"],
            "exchange": "SMART",
            "scan_code": "MOST_ACTIVE",
        }
    )
    append(settings, "universe", universe)
    append(settings, "quotes", quotes.drop(columns="con_id"))
    return append(settings, "sized_orders", sized_orders(brackets))


def append(settings: Settings, asset: str, frame: pd.DataFrame, run_id: str = "another run") -> Materialization:
    return History(settings.home).append(
        asset, frame, slot=SLOT, run_id=run_id, code_version="tests", settings_hash=settings.decision_hash, inputs=[],
        started_at=dt.datetime.now(dt.UTC),
    )  # fmt: skip


def sized_orders(brackets: Iterable[BracketOrder]) -> pd.DataFrame:
    return frames.validate(
        "sized_orders",
        pd.DataFrame(
            [
                {
                    "symbol": bracket.symbol,
                    "direction": bracket.direction,
                    "quantity": bracket.quantity,
                    "entry_price": bracket.entry,
                    "stop_price": bracket.stop,
                    "target_price": bracket.target,
                    "risk_amount": abs(bracket.entry - bracket.stop) * bracket.quantity,
                    "position_value": bracket.entry * bracket.quantity,
                    "approved": True,
                    "reason": None,
                    "order_ref": f"{bracket.order_ref}:entry",
                    "limits": [],
                }
                for bracket in brackets
            ]
        ),
    )


def materialise(
    settings: Settings, *assets: str, slot: str = SLOT, progress: Progress | None = None, raise_on_error: bool = True
) -> dg.ExecuteInProcessResult:
    """Run some assets of the slot job, or all of them; raises what a person would be told."""
    job = build_definitions(settings, progress=progress).resolve_job_def(SLOT_JOB)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("slot", [slot])
        try:
            return job.execute_in_process(
                instance=instance,
                partition_key=slot,
                asset_selection=[dg.AssetKey(asset) for asset in assets] or None,
                run_config=QUIET,
                raise_on_error=raise_on_error,
            )
        except Exception as error:
            raise _written_for_people(error) or error from None


def made(settings: Settings, asset: str, result: dg.ExecuteInProcessResult, slot: str = SLOT) -> Materialization:
    """The version of an asset that a run made."""
    materialization = History(settings.home).latest(asset, slot, run_id=result.run_id)
    assert materialization is not None
    assert materialization.run_id == result.run_id
    return materialization


def execute(settings: Settings) -> dict[str, dict[str, Any]]:
    """Materialise ``executions`` alone; its rows by ``order_ref``."""
    result = materialise(settings, "executions")
    frame = History(settings.home).frame(made(settings, "executions", result).id)
    told = frame.astype(object).where(frame.notna(), None)
    return {row["order_ref"]: {str(name): value for name, value in row.items()} for row in told.to_dict("records")}


def outcomes(rows: dict[str, dict[str, Any]]) -> list[str]:
    return [row["outcome"] for row in rows.values()]


def refs_of(brackets: Iterable[BracketOrder]) -> list[str]:
    return [leg.order_ref for bracket in brackets for leg in bracket.legs()]


def journaled(settings: Settings) -> dict[str, JournaledOrder]:
    """The journal's rows of the slot by ``order_ref``."""
    return {order.order_ref: order for order in OrderJournal(settings.home).for_slot(SLOT)}


def at_broker(settings: Settings) -> OrderState:
    with connect(settings, Role.STATUS) as session:
        return read_order_state(session)


def orders_with(settings: Settings, refs: Iterable[str]) -> list[KnownOrder]:
    """All orders the broker knows, open or done, that bear one of the references."""
    wanted = set(refs)
    return [order for order in at_broker(settings).orders if order.order_ref in wanted]


def send_lone_entry(settings: Settings, bracket: BracketOrder) -> None:
    """What a crash in mid-bracket can leave at TWS: the entry at the broker, its children nowhere."""
    leg = bracket.legs()[0]
    contract = Contract(conId=bracket.con_id, symbol=bracket.symbol, secType="STK", exchange="SMART", currency="USD")
    with connect(settings, Role.ORDERS) as session:

        def place(ib: Any) -> None:
            order_id = ib.client.getReqId()
            order = Order(
                orderId=order_id, orderRef=leg.order_ref, account=session.account, action=leg.action,
                totalQuantity=bracket.quantity, orderType=leg.order_type, lmtPrice=leg.price, tif=leg.time_in_force,
            )  # fmt: skip
            ib.client.placeOrder(order_id, contract, order)

        before = len([order for order in read_order_state(session).orders if order.order_ref == leg.order_ref])
        session.send(place, "a lone entry")
        orders = [order for order in read_order_state(session).orders if order.order_ref == leg.order_ref]
        assert len(orders) == before + 1


def by_hand(settings: Settings) -> Settings:
    """Settings of a person who trades the same account from another program."""
    return settings.model_copy(update={"ib_client_id": BY_HAND})


def _written_for_people(error: BaseException | None) -> QuantPipelineError | None:
    seen = set()  # what Dagster raises anew has the wrapper around itself as its context
    while error is not None and error not in seen and not isinstance(error, QuantPipelineError):
        seen.add(error)
        error = error.__cause__ or error.__context__
    return error if isinstance(error, QuantPipelineError) else None
