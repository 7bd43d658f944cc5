"""What the broker knows of our orders: the reading that everything about orders is compared with.

Open orders of all clients, completed orders, executions and positions, put together by order reference and permanent
id. The comparison with the journal, and what follows from a difference, belong to the callers. Every part must be read:
unknown is not empty, so a read that fails raises ``BrokerError`` and there is no state at all.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from quant_pipeline.broker.account import OpenOrder, read_executions, read_open_orders
from quant_pipeline.broker.client_library import IB
from quant_pipeline.broker.session import BrokerSession
from quant_pipeline.broker.wire import ExecutionMessage, Message, OrderMessage, symbol_of

Where = Literal["open", "completed", "executed"]


@dataclass(frozen=True)
class KnownOrder:
    """An order the broker knows; ``where`` says which of its lists it came from. Quantities in shares.

    An ``executed`` order is known by its executions alone: its quantity is what has filled, and it may have had more.
    ``how_it_ended`` is the broker's word on a completed one; empty without one.
    """

    order_ref: str
    perm_id: int
    where: Where
    symbol: str
    action: str
    status: str
    quantity: float
    filled: float
    average_price: float | None
    client_id: int | None
    how_it_ended: str = ""


@dataclass(frozen=True)
class HeldPosition:
    """A position; ``quantity`` is negative when short."""

    symbol: str
    con_id: int
    quantity: float
    average_price: float


@dataclass(frozen=True)
class OrderState:
    """All the broker knows, read between two moments of its clock."""

    orders: tuple[KnownOrder, ...]
    executions: tuple[ExecutionMessage, ...]
    positions: tuple[HeldPosition, ...]
    read_at: dt.datetime

    def find(self, order_ref: str) -> KnownOrder | None:
        """The order with a reference, or None when the broker has none; an open one before a completed one."""
        return next((order for order in self.orders if order.order_ref == order_ref), None)

    def find_perm_id(self, perm_id: int) -> KnownOrder | None:
        """The order with a permanent id, or None."""
        return next((order for order in self.orders if order.perm_id == perm_id), None)

    def position(self, symbol: str) -> float:
        """Shares held of a symbol, negative when short, 0 without a position."""
        return sum(held.quantity for held in self.positions if held.symbol == symbol)

    @property
    def doubled_refs(self) -> tuple[str, ...]:
        """References that more than one open order carries. There must never be one."""
        refs = sorted(order.order_ref for order in self.orders if order.where == "open" and order.order_ref)
        return tuple(sorted({ref for ref, following in pairwise(refs) if ref == following}))


def read_order_state(session: BrokerSession) -> OrderState:
    """Read open orders, completed orders, executions and positions of the session's account.

    The open orders are read first: an order that ends meanwhile is then seen twice and not missed.
    """
    open_orders = read_open_orders(session)
    completed = _read_completed(session)
    executions, _ = read_executions(session)
    positions = _read_positions(session)
    return OrderState(known_orders(open_orders, completed, executions), tuple(executions), positions, session.now())


def _read_completed(session: BrokerSession) -> list[OrderMessage]:
    heard: list[Message] = []

    async def read(ib: IB) -> None:
        with session.wire.heard_by(heard.append):
            await ib.reqCompletedOrdersAsync(apiOnly=False)

    session.request(read, "the completed orders")
    return [
        message
        for message in heard
        if isinstance(message, OrderMessage) and message.completed and message.account in ("", session.account)
    ]


def _read_positions(session: BrokerSession) -> tuple[HeldPosition, ...]:
    async def read(ib: IB) -> list:
        positions = await ib.reqPositionsAsync()
        ib.client.cancelPositions()
        return positions

    return tuple(
        HeldPosition(symbol_of(held.contract), held.contract.conId, held.position, held.avgCost)
        for held in session.request(read, "the positions")
        if held.account == session.account and held.position
    )


def known_orders(
    open_orders: list[OpenOrder], completed: list[OrderMessage], executions: list[ExecutionMessage]
) -> tuple[KnownOrder, ...]:
    """Each order once: where it is open, else where it is completed, else by its executions."""
    filled: dict[int, KnownOrder] = {}
    for fill in executions:
        filled[fill.perm_id] = _with_fill(filled.get(fill.perm_id), fill)
    known = [_from_open(open_, filled.get(open_.order.perm_id)) for open_ in open_orders]
    seen = {order.perm_id for order in known}
    known += [_from_completed(order, filled.get(order.perm_id)) for order in completed if order.perm_id not in seen]
    seen |= {order.perm_id for order in known}
    known += [order for perm_id, order in filled.items() if perm_id not in seen]
    return tuple(known)


def _with_fill(so_far: KnownOrder | None, fill: ExecutionMessage) -> KnownOrder:
    if so_far is None:
        return KnownOrder(
            fill.order_ref, fill.perm_id, "executed", fill.symbol, fill.side, "", fill.quantity, fill.quantity,
            fill.price, fill.client_id,
        )  # fmt: skip
    quantity = so_far.filled + fill.quantity
    average = ((so_far.average_price or 0.0) * so_far.filled + fill.price * fill.quantity) / quantity
    return replace(so_far, quantity=quantity, filled=quantity, average_price=average)


def _from_open(open_: OpenOrder, executed: KnownOrder | None) -> KnownOrder:
    order = open_.order
    return KnownOrder(
        order_ref=order.order_ref,
        perm_id=order.perm_id,
        where="open",
        symbol=order.symbol,
        action=order.action,
        status=open_.status,
        quantity=order.quantity,
        filled=executed.filled if executed else open_.filled,
        average_price=executed.average_price if executed else open_.average_price or None,
        client_id=order.client_id,
    )


def _from_completed(order: OrderMessage, executed: KnownOrder | None) -> KnownOrder:
    return KnownOrder(
        order_ref=order.order_ref,
        perm_id=order.perm_id,
        where="completed",
        symbol=order.symbol,
        action=order.action,
        status=order.status,
        quantity=order.quantity,
        filled=executed.filled if executed else order.filled or 0.0,
        average_price=executed.average_price if executed else None,
        client_id=executed.client_id if executed else None,
        how_it_ended=order.how_it_ended,
    )
