"""What the broker says about orders, as plain data, taken from the wire before ib_insync interprets it.

ib_insync keeps live ``Trade`` objects whose state can be wrong (it marks a living order cancelled on code 10349, counts
a corrected execution twice, forgets everything on a disconnect). So every message about an order is copied here into a
frozen dataclass and handed to whoever listens; the orders, account and reconciliation modules read these and never a
``Trade``. What a message means does not belong here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from quant_pipeline.broker.client_library import (
    IB,
    UNSET_DOUBLE,
    CommissionReport,
    Contract,
    Execution,
    Order,
    OrderState,
)


@dataclass(frozen=True)
class ErrorMessage:
    """Code and text about a request or an order; ``request_id`` is -1 when they concern the connection."""

    request_id: int
    code: int
    text: str


@dataclass(frozen=True)
class OrderMessage:
    """An order as the broker holds it, open or (``completed``) done; ``price`` is its limit or stop price.

    ``how_it_ended`` is the broker's word on a completed order, such as "Cancelled by OCA group"; empty without one.
    """

    order_id: int
    client_id: int
    perm_id: int
    parent_id: int
    order_ref: str
    account: str
    con_id: int
    symbol: str
    action: str
    order_type: str
    price: float | None
    quantity: float
    filled: float | None
    status: str
    completed: bool
    how_it_ended: str = ""


@dataclass(frozen=True)
class StatusMessage:
    """State of an order; may come twice, late or never."""

    order_id: int
    client_id: int
    perm_id: int
    status: str
    filled: float
    remaining: float
    average_price: float
    why_held: str


@dataclass(frozen=True)
class ExecutionMessage:
    """One execution; ``side`` is BUY or SELL, ``at`` an aware UTC datetime."""

    exec_id: str
    order_id: int
    client_id: int
    perm_id: int
    order_ref: str
    account: str
    symbol: str
    side: str
    quantity: float
    price: float
    cumulative: float
    average_price: float
    at: dt.datetime


@dataclass(frozen=True)
class CommissionMessage:
    """Commission of an execution in dollars, or None while the broker does not know it."""

    exec_id: str
    commission: float | None


Message = ErrorMessage | OrderMessage | StatusMessage | ExecutionMessage | CommissionMessage
Listener = Callable[[Message], None]

SIDES = {"BOT": "BUY", "SLD": "SELL"}


class Wire:
    """Hands every message about orders, and every error, to its listeners, in the order of arrival.

    Listeners are called in the connection's own thread and must only put the message away.
    """

    def __init__(self, ib: IB) -> None:
        self._wrapper = ib.wrapper
        self._listeners: list[Listener] = []
        for handler, describe in _OBSERVED.items():
            self._observe(handler, describe)

    def listen(self, listener: Listener) -> None:
        """Let a listener hear everything from now on."""
        self._listeners.append(listener)

    @contextmanager
    def heard_by(self, listener: Listener) -> Iterator[None]:
        """Let a listener hear what comes in while the context lasts."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def _observe(self, handler: str, describe: Callable[..., Message]) -> None:
        # The decoder looks its handlers up on the wrapper for every message, so an instance attribute is enough.
        interpret: Callable[..., Any] = getattr(self._wrapper, handler)

        def observed(*fields: Any) -> None:
            message = describe(*fields)
            for listener in tuple(self._listeners):
                listener(message)
            interpret(*fields)

        setattr(self._wrapper, handler, observed)


def _error(request_id: int, code: int, text: str, _json: str) -> ErrorMessage:
    return ErrorMessage(request_id, code, text.strip())


def _open_order(_order_id: int, contract: Contract, order: Order, state: OrderState) -> OrderMessage:
    return _order(contract, order, state, completed=False)


def _completed_order(contract: Contract, order: Order, state: OrderState) -> OrderMessage:
    return _order(contract, order, state, completed=True)


def _order(contract: Contract, order: Order, state: OrderState, *, completed: bool) -> OrderMessage:
    return OrderMessage(
        order_id=order.orderId,
        client_id=order.clientId,
        perm_id=order.permId,
        parent_id=order.parentId,
        order_ref=order.orderRef,
        account=order.account,
        con_id=contract.conId,
        symbol=symbol_of(contract),
        action=order.action,
        order_type=order.orderType,
        price=_price_of(order),
        quantity=float(order.totalQuantity),
        filled=_said(order.filledQuantity) if completed else None,
        status=state.status,
        completed=completed,
        how_it_ended=state.completedStatus if completed else "",
    )


def _status(
    order_id: int, status: str, filled: float, remaining: float, average_price: float, perm_id: int, _parent_id: int,
    _last_price: float, client_id: int, why_held: str, _cap_price: float = 0.0,
) -> StatusMessage:  # fmt: skip
    return StatusMessage(order_id, client_id, perm_id, status, filled, remaining, average_price, why_held)


def _execution(_request_id: int, contract: Contract, execution: Execution) -> ExecutionMessage:
    return ExecutionMessage(
        exec_id=execution.execId,
        order_id=execution.orderId,
        client_id=execution.clientId,
        perm_id=execution.permId,
        order_ref=execution.orderRef,
        account=execution.acctNumber,
        symbol=symbol_of(contract),
        side=SIDES.get(execution.side, execution.side),
        quantity=execution.shares,
        price=execution.price,
        cumulative=execution.cumQty,
        average_price=execution.avgPrice,
        at=execution.time,
    )


def _commission(report: CommissionReport) -> CommissionMessage:
    return CommissionMessage(report.execId, _said(report.commission))


_OBSERVED: dict[str, Callable[..., Message]] = {
    "error": _error,
    "openOrder": _open_order,
    "completedOrder": _completed_order,
    "orderStatus": _status,
    "execDetails": _execution,
    "commissionReport": _commission,
}


def symbol_of(contract: Contract) -> str:
    """The ticker of a stock; the local symbol of anything else, which tells apart what shares a ticker."""
    return contract.symbol if contract.secType == "STK" else contract.localSymbol or contract.symbol


def _price_of(order: Order) -> float | None:
    """The limit price where the order type has one, else the stop price; None for a market order."""
    if "LMT" in order.orderType or "LIMIT" in order.orderType:
        return _said(order.lmtPrice)
    return _said(order.auxPrice) if "STP" in order.orderType or "TRAIL" in order.orderType else None


def _said(value: float) -> float | None:
    """The number, or None where the broker sent its sign for "not set"."""
    return None if value == UNSET_DOUBLE else float(value)
