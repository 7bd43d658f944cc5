"""The account as the broker has it: values, positions, working orders and fills.

What the pipeline intended belongs to the order journal, what it may do to the risk manager. Working orders and fills
are read from the wire's messages, never from ib_insync's ``Trade`` objects.

**A working entry** is a working order that can open or enlarge a position: it has no parent (``parent_perm_id`` 0) and
its symbol has no opposite position (no long position under a SELL, no short one under a BUY). Stops and targets of a
bracket have a parent, also after it has filled; a hand-made stop has none but stands against its position. ``is_entry``
is this definition.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quant_pipeline import frames
from quant_pipeline.broker.client_library import IB, UNSET_DOUBLE, ExecutionFilter
from quant_pipeline.broker.session import BrokerSession
from quant_pipeline.broker.wire import (
    CommissionMessage,
    ExecutionMessage,
    Message,
    OrderMessage,
    StatusMessage,
    symbol_of,
)
from quant_pipeline.errors import BrokerError
from quant_pipeline.settings import Settings

# A child whose parent is no longer open at the broker: it has one, but its permanent id is not told.
PARENT_GONE = -1
# Commission reports may follow the end of the executions they belong to.
COMMISSION_SECONDS = 0.5
# How long the first word about the day's profit and loss is waited for; the rest of the reading goes on meanwhile.
DAILY_PNL_SECONDS = 1.0
DAILY_PNL_POLL_SECONDS = 0.02
# A reading of the account is dated by a look at the clock that is no older.
RECENT_SECONDS = 1.0


@dataclass(frozen=True)
class AccountReading:
    """Three frames read together, and the broker's time of the reading."""

    account: pd.DataFrame
    portfolio: pd.DataFrame
    working_orders: pd.DataFrame
    read_at: dt.datetime


@dataclass(frozen=True)
class OpenOrder:
    """An open order with its last status."""

    order: OrderMessage
    status: str
    filled: float
    remaining: float
    average_price: float


def read_account(session: BrokerSession, settings: Settings) -> AccountReading:
    """The ``account``, ``portfolio`` and ``working_orders`` frames of the session's account.

    ``capital`` is the net liquidation value up to ``settings.capital_cap``; ``deployed`` the absolute market value of
    all positions plus what the working entries would still buy or sell at their price. Orders not yet transmitted to
    the market are left out. ``daily_pnl`` is missing where the broker does not say it within a second. Raises
    ``BrokerError`` when another part cannot be read.
    """
    wait_until = _follow_daily_pnl(session)
    values, portfolio = _read_values(session)
    orders = _working_orders(read_open_orders(session))
    daily_pnl = _daily_pnl(session, wait_until)
    read_at = session.now(RECENT_SECONDS)
    deployed = _deployed(portfolio, orders)
    liquidation = values.get("NetLiquidation")
    if liquidation is None:
        raise BrokerError(f"The broker did not say the net liquidation value of account {session.account} in dollars.")
    capital = max(min(liquidation, settings.capital_cap or math.inf), 0.0)
    account = {
        "account": session.account,
        "net_liquidation": liquidation,
        "capital": capital,
        "deployed": deployed,
        "available": max(capital - deployed, 0.0),
        "realized_pnl": values.get("RealizedPnL", math.nan),
        "unrealized_pnl": float(portfolio["unrealized_pnl"].to_numpy(float).sum()),
        "daily_pnl": daily_pnl,
        "read_at": read_at,
    }
    return AccountReading(frames.validate("account", pd.DataFrame([account])), portfolio, orders, read_at)


def is_entry(working_orders: pd.DataFrame, portfolio: pd.DataFrame) -> pd.Series:
    """Which working orders are entries, by the definition at the top of this module; a boolean series."""
    quantities = dict(zip(portfolio["symbol"], portfolio["quantity"], strict=True))
    held = np.array([quantities.get(symbol, 0.0) for symbol in working_orders["symbol"]], dtype=float)
    sign = np.where(working_orders["action"] == "BUY", 1.0, -1.0)
    orphan = working_orders["parent_perm_id"].to_numpy() == 0
    return pd.Series(orphan & ~(held * sign < 0), index=working_orders.index, dtype=bool)


def read_fills(session: BrokerSession) -> pd.DataFrame:
    """The ``fills`` frame: the account's executions of the session so far, by all clients, oldest first.

    A correction (the last part of an execution id counts them) takes the place of what it corrects.
    """
    executions, commissions = read_executions(session)
    return frames.validate(
        "fills",
        pd.DataFrame(
            {
                "exec_id": [fill.exec_id for fill in executions],
                "order_ref": [fill.order_ref or None for fill in executions],
                "perm_id": [fill.perm_id for fill in executions],
                "symbol": [fill.symbol for fill in executions],
                "side": [fill.side for fill in executions],
                "quantity": [fill.quantity for fill in executions],
                "price": [fill.price for fill in executions],
                "commission": [commissions.get(root_of(fill.exec_id), math.nan) for fill in executions],
                "filled_at": pd.to_datetime([fill.at for fill in executions], utc=True),
            }
        ),
    )


def read_open_orders(session: BrokerSession) -> list[OpenOrder]:
    """The account's open orders, of all clients, each with its last status."""
    heard: list[Message] = []

    async def read(ib: IB) -> None:
        with session.wire.heard_by(heard.append):
            await ib.reqAllOpenOrdersAsync()

    session.request(read, "the open orders")
    orders: dict[tuple[int, int, int], OrderMessage] = {}
    states: dict[tuple[int, int, int], StatusMessage] = {}
    for message in heard:
        if isinstance(message, OrderMessage) and message.account in ("", session.account):
            orders[message.client_id, message.order_id, message.perm_id] = message
        elif isinstance(message, StatusMessage):
            states[message.client_id, message.order_id, message.perm_id] = message
    return [_with_status(order, states.get(key)) for key, order in orders.items()]


def read_executions(session: BrokerSession) -> tuple[list[ExecutionMessage], dict[str, float]]:
    """The account's executions of the session, corrections applied, and commissions by ``root_of`` their ids."""
    heard: list[Message] = []

    async def read(ib: IB) -> None:
        with session.wire.heard_by(heard.append):
            await ib.reqExecutionsAsync(ExecutionFilter(acctCode=session.account))
            until = asyncio.get_running_loop().time() + COMMISSION_SECONDS
            while _commission_is_due(heard) and asyncio.get_running_loop().time() < until:
                await asyncio.sleep(COMMISSION_SECONDS / 20)

    session.request(read, "the executions")
    return settled_executions(heard)


def settled_executions(heard: Iterable[Message]) -> tuple[list[ExecutionMessage], dict[str, float]]:
    """Each execution once, its last correction standing, oldest first; and commissions by ``root_of`` their ids."""
    latest: dict[str, ExecutionMessage] = {}
    commissions: dict[str, float] = {}
    for message in heard:
        if isinstance(message, ExecutionMessage):
            root = root_of(message.exec_id)
            if root not in latest or correction_of(message.exec_id) >= correction_of(latest[root].exec_id):
                latest[root] = message
        elif isinstance(message, CommissionMessage) and message.commission is not None:
            commissions[root_of(message.exec_id)] = message.commission
    return sorted(latest.values(), key=lambda fill: (fill.at, fill.exec_id)), commissions


def root_of(exec_id: str) -> str:
    """An execution id without its correction number, which is its last dotted part."""
    return exec_id.rpartition(".")[0] or exec_id


def correction_of(exec_id: str) -> int:
    """The correction number of an execution id: 1 is the original."""
    last = exec_id.rpartition(".")[2]
    return int(last) if last.isdigit() else 0


def _commission_is_due(heard: list[Message]) -> bool:
    fills = {root_of(message.exec_id) for message in heard if isinstance(message, ExecutionMessage)}
    return not fills <= {root_of(message.exec_id) for message in heard if isinstance(message, CommissionMessage)}


def _read_values(session: BrokerSession) -> tuple[dict[str, float], pd.DataFrame]:
    """Account values in dollars by tag, and the ``portfolio`` frame."""

    async def read(ib: IB) -> tuple[list, list]:
        if ib.wrapper.accountValues:
            # Asked before on this connection. What that reading left would hide a position that was closed since.
            ib.client.reqAccountUpdates(False, session.account)
            ib.wrapper.portfolio.pop(session.account, None)
            ib.wrapper.accountValues.clear()
        await ib.reqAccountUpdatesAsync(session.account)
        return ib.accountValues(session.account), ib.portfolio(session.account)

    said, items = session.request(read, "the account")
    values = {value.tag: float(value.value) for value in said if value.currency == "USD" and _is_number(value.value)}
    portfolio = pd.DataFrame(
        {
            "symbol": [symbol_of(item.contract) for item in items],
            "con_id": [item.contract.conId for item in items],
            "quantity": [item.position for item in items],
            "average_price": [item.averageCost for item in items],
            "market_price": [item.marketPrice for item in items],
            "market_value": [item.marketValue for item in items],
            "unrealized_pnl": [item.unrealizedPNL for item in items],
        }
    )
    return values, frames.validate("portfolio", portfolio.sort_values("symbol"))


def _follow_daily_pnl(session: BrokerSession) -> float:
    """Subscribe to the day's profit and loss, once a session; return until when the first word is waited for.

    The time is the loop's. ib_insync asserts that an account is subscribed once, and keeps the figure up to date.
    """

    async def follow(ib: IB) -> float:
        now = asyncio.get_running_loop().time()
        if ib.pnl(session.account):
            return now
        ib.reqPnL(session.account)
        session.before_close(lambda ib: ib.cancelPnL(session.account))
        return now + DAILY_PNL_SECONDS

    return session.request(follow, "the day's profit and loss")


def _daily_pnl(session: BrokerSession, wait_until: float) -> float:
    """The day's profit and loss in dollars; NaN where the broker has not said it, or cannot know it at present."""

    async def read(ib: IB) -> float:
        while True:
            said = ib.pnl(session.account)[0].dailyPnL
            known = math.isfinite(said) and said != UNSET_DOUBLE and not session.link_lost
            if known or asyncio.get_running_loop().time() >= wait_until:
                return said if known else math.nan
            await asyncio.sleep(DAILY_PNL_POLL_SECONDS)

    # Silence must end in a missing figure, never in the request's own bound.
    allowed = session.settings.broker.request_seconds + DAILY_PNL_SECONDS
    return session.request(read, "the day's profit and loss", allowed)


def _working_orders(open_orders: list[OpenOrder]) -> pd.DataFrame:
    perm_ids = {(open_.order.client_id, open_.order.order_id): open_.order.perm_id for open_ in open_orders}
    transmitted = [open_ for open_ in open_orders if open_.order.perm_id]
    return frames.validate(
        "working_orders",
        pd.DataFrame(
            {
                "perm_id": [open_.order.perm_id for open_ in transmitted],
                "order_ref": [open_.order.order_ref or None for open_ in transmitted],
                "parent_perm_id": [_parent(open_.order, perm_ids) for open_ in transmitted],
                "client_id": [open_.order.client_id for open_ in transmitted],
                "symbol": [open_.order.symbol for open_ in transmitted],
                "action": [open_.order.action for open_ in transmitted],
                "order_type": [open_.order.order_type for open_ in transmitted],
                "price": [math.nan if open_.order.price is None else open_.order.price for open_ in transmitted],
                "quantity": [open_.order.quantity for open_ in transmitted],
                "remaining": [open_.remaining for open_ in transmitted],
                "status": [open_.status for open_ in transmitted],
            }
        ),
    )


def _deployed(portfolio: pd.DataFrame, orders: pd.DataFrame) -> float:
    """Dollars in positions and working entries; a market order has no price and counts when it fills."""
    entries = orders.loc[is_entry(orders, portfolio)]
    to_come = entries["remaining"].to_numpy(float) * np.nan_to_num(entries["price"].to_numpy(float))
    return float(np.abs(portfolio["market_value"].to_numpy(float)).sum() + to_come.sum())


def _parent(order: OrderMessage, perm_ids: dict[tuple[int, int], int]) -> int:
    return perm_ids.get((order.client_id, order.parent_id), PARENT_GONE) if order.parent_id else 0


def _with_status(order: OrderMessage, state: StatusMessage | None) -> OpenOrder:
    if state is None:
        return OpenOrder(order, order.status, 0.0, order.quantity, 0.0)
    return OpenOrder(order, state.status, state.filled, state.remaining, state.average_price)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
