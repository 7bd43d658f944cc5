"""Answers about orders: placing, cancelling and listing them, executions, and telling what happens to orders.

The order as the client words it is checked here and becomes ``OrderTerms``; everything after that is ``order_desk``'s.
Called by ``client_session`` through ``ANSWERS``, and by ``server`` for events of orders a client owns.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from quant_pipeline.paper_gateway.answers.reference_answers import NO_CONTRACT
from quant_pipeline.paper_gateway.exchange.order_events import (
    Charged,
    Executed,
    OrderEvent,
    OrderReported,
    OrderRequest,
    Told,
)
from quant_pipeline.paper_gateway.exchange.orders import (
    Action,
    Execution,
    OcaType,
    Order,
    OrderTerms,
    OrderType,
    Status,
    TimeInForce,
)
from quant_pipeline.paper_gateway.exchange.portfolio import commission
from quant_pipeline.paper_gateway.exchange.trading_hours import exchange_day, latest_session, midnight
from quant_pipeline.paper_gateway.protocol import order_replies
from quant_pipeline.paper_gateway.protocol.order_requests import CancelOrder, PlaceOrder
from quant_pipeline.paper_gateway.protocol.replies import Message
from quant_pipeline.paper_gateway.protocol.requests import CompletedOrders, ExecutionsRequest, GlobalCancel, OpenOrders
from quant_pipeline.paper_gateway.protocol.securities import STOCK
from quant_pipeline.paper_gateway.protocol.wire import FieldError
from quant_pipeline.paper_gateway.protocol.wire_times import parse_time

if TYPE_CHECKING:
    from quant_pipeline.paper_gateway.client_session import ClientSession

EXECUTION_DAYS = 7
"""TWS lists the executions of up to seven days when its trade log is set to show them; so does this gateway."""

MAX_QUANTITY = 10_000_000
LIMITED = (OrderType.LIMIT, OrderType.STOP_LIMIT)
STOPPED = (OrderType.STOP, OrderType.STOP_LIMIT)


class OrderRefusedError(ValueError):
    """What the client worded is no order this gateway takes; ``code`` is IB's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def _place(session: ClientSession, request: PlaceOrder) -> None:
    gateway = session.gateway
    assert session.client_id is not None
    try:
        terms = _terms(session, request)
    except OrderRefusedError as error:
        gateway.book.saw_order_id(request.order_id)
        session.error(request.order_id, error.code, str(error))
        return
    if request.what_if:
        _tell_what_if(session, request, terms)
        return
    order = OrderRequest(session.client_id, request.order_id, terms, request.transmit)
    gateway.publish(gateway.desk.place(order, gateway.clock.now()))


def _terms(session: ClientSession, request: PlaceOrder) -> OrderTerms:
    instrument = session.gateway.securities.find(request.contract)
    if instrument is None:
        raise OrderRefusedError(200, NO_CONTRACT)
    if request.account not in ("", session.gateway.account):
        raise OrderRefusedError(
            321, f"Error validating request.-'bE' : cause - There is no account {request.account[:20]}"
        )
    if request.not_imitated:
        names = ", ".join(request.not_imitated)
        raise OrderRefusedError(
            321, f"Error validating request.-'bE' : cause - The paper gateway does not imitate {names}"
        )
    if request.order_type not in set(OrderType):
        raise OrderRefusedError(
            387, f"Unsupported order type for this exchange and security type: {request.order_type}"
        )
    if request.tif not in {"", *TimeInForce}:
        raise OrderRefusedError(10052, f"Invalid time in force:{request.tif}")
    if request.action not in set(Action):
        raise OrderRefusedError(321, "Error validating request.-'bE' : cause - The action must be BUY or SELL")
    if not 1 <= request.quantity <= MAX_QUANTITY or request.quantity != int(request.quantity):
        raise OrderRefusedError(10243, "Fractional-sized or empty orders cannot be placed via API")
    order_type = OrderType(request.order_type)
    trail = _trail(request) if order_type is OrderType.TRAILING_STOP else Trail()
    return OrderTerms(
        symbol=instrument.symbol,
        action=Action(request.action),
        quantity=int(request.quantity),
        order_type=order_type,
        tif=TimeInForce(request.tif or TimeInForce.DAY),
        oca_group=request.oca_group,
        oca_type=_oca_type(request),
        order_ref=request.order_ref,
        parent_id=request.parent_id,
        outside_rth=request.outside_rth,
        limit_price=_needed(request.limit_price, "limit price") if order_type in LIMITED else None,
        stop_price=_needed(request.aux_price, "stop price") if order_type in STOPPED else None,
        trail_amount=trail.amount,
        trail_percent=trail.percent,
        trail_stop=trail.stop,
    )


def _oca_type(request: PlaceOrder) -> int:
    if request.oca_type not in (0, *OcaType):
        raise OrderRefusedError(
            321, f"Error validating request.-'bE' : cause - There is no OCA type {request.oca_type}"
        )
    return request.oca_type


def _needed(price: float | None, what: str) -> float:
    if price is None:
        raise OrderRefusedError(321, f"Error validating request.-'bE' : cause - The order has no {what}")
    return price


class Trail(NamedTuple):
    """How a trailing stop follows: at an amount in dollars or at a percentage, and where it starts."""

    amount: float | None = None
    percent: float | None = None
    stop: float | None = None


def _trail(request: PlaceOrder) -> Trail:
    amount, percent = request.aux_price or None, request.trailing_percent or None
    if (amount is None) is (percent is None):
        text = "A trailing stop needs either an amount or a percentage to follow at"
        raise OrderRefusedError(321, f"Error validating request.-'bE' : cause - {text}")
    if percent is not None and not 0 < percent < 100:
        raise OrderRefusedError(321, f"Error validating request.-'bE' : cause - {percent:g} is no trailing percentage")
    return Trail(amount, percent, request.trail_stop_price or None)


def _tell_what_if(session: ClientSession, request: PlaceOrder, terms: OrderTerms) -> None:
    """Answer a what-if order: margins before, change and after, and the commission; nothing is placed."""
    gateway = session.gateway
    now = gateway.clock.now()
    state = gateway.accountant.state(gateway.book, now)
    change = gateway.accountant.margin_of(terms, gateway.book.portfolio, now)
    price = terms.limit_price or terms.stop_price or gateway.accountant.last_price(terms.symbol, now)
    fee = commission(terms.quantity, price)
    worth = state.net_liquidation
    margins = (state.margin, state.margin, worth, change, change, -fee, state.margin + change, state.margin + change)
    effect: Message = [f"{value:.2f}" for value in (*margins, worth - fee)]
    assert session.client_id is not None
    order = Order(
        perm_id=0,
        client_id=session.client_id,
        order_id=request.order_id,
        terms=terms,
        status=Status.PRE_SUBMITTED,
        why_held="",
        parent_perm_id=0,
        placed_at=now,
        expires_at=None,
    )
    instrument = gateway.securities.by_symbol[terms.symbol]
    session.send(order_replies.what_if(session.version, instrument, order, gateway.account, [*effect, fee]))


def _cancel(session: ClientSession, request: CancelOrder) -> None:
    gateway = session.gateway
    assert session.client_id is not None
    gateway.publish(gateway.desk.cancel(session.client_id, request.order_id, gateway.clock.now()))


def _global_cancel(session: ClientSession, _: GlobalCancel) -> None:
    gateway = session.gateway
    gateway.publish(gateway.desk.cancel_all(gateway.clock.now()))


def _open_orders(session: ClientSession, request: OpenOrders) -> None:
    for order in session.gateway.book.live.values():
        if request.everyone or order.client_id == session.client_id:
            tell(session, OrderReported(order))
    session.send(order_replies.open_order_end())


def _completed_orders(session: ClientSession, _: CompletedOrders) -> None:
    gateway = session.gateway
    for order in gateway.book.completed_since(_day_began(session)):
        instrument = gateway.securities.by_symbol[order.terms.symbol]
        message = order_replies.completed_order(session.version, instrument, order, gateway.account)
        session.send(message)
    session.send(order_replies.completed_orders_end())


def _day_began(session: ClientSession) -> dt.datetime:
    """Midnight before the last session that opened: on a Saturday, Friday's orders are still listed."""
    return midnight(latest_session(session.gateway.clock.now()).day)


def _executions(session: ClientSession, request: ExecutionsRequest) -> None:
    gateway = session.gateway
    try:
        asked_since = parse_time(request.since) if request.since else None
    except FieldError as error:
        session.error(request.req_id, 321, f"Error validating request.-'bF' : cause - {error}")
        return
    since = midnight(exchange_day(gateway.clock.now()) - dt.timedelta(days=EXECUTION_DAYS - 1))
    for execution in gateway.book.executions_since(max(since, asked_since or since)):
        if _matches(session, request, execution):
            _tell_execution(session, request.req_id, execution)
            session.send(order_replies.commission_report(execution))
    session.send(order_replies.execution_details_end(request.req_id))


def _matches(session: ClientSession, request: ExecutionsRequest, execution: Execution) -> bool:
    sides = {"", execution.action.value, order_replies.BOUGHT if execution.action.sign > 0 else order_replies.SOLD}
    exchange = session.gateway.securities.by_symbol[execution.symbol].primary_exchange
    return (
        request.client_id in (0, execution.client_id)
        and request.account in ("", session.gateway.account)
        and request.symbol in ("", execution.symbol)
        and request.sec_type in ("", STOCK)
        and request.exchange in ("", "SMART", exchange)
        and request.side.upper() in sides
    )


def _tell_execution(session: ClientSession, req_id: int, execution: Execution) -> None:
    instrument = session.gateway.securities.by_symbol[execution.symbol]
    session.send(order_replies.execution_details(req_id, instrument, execution, session.gateway.account))


def tell(session: ClientSession, event: OrderEvent) -> None:
    """Put an event of one of the client's orders on the wire."""
    match event:
        case OrderReported(order, status_only):
            if not status_only:
                instrument = session.gateway.securities.by_symbol[order.terms.symbol]
                session.send(order_replies.open_order(session.version, instrument, order, session.gateway.account))
            session.send(order_replies.order_status(order))
        case Executed(execution):
            _tell_execution(session, order_replies.LIVE, execution)
        case Charged(execution):
            session.send(order_replies.commission_report(execution))
        case Told(_, order_id, code, text):
            session.error(order_id, code, text)


ANSWERS: dict[type, Callable[[ClientSession, Any], None]] = {
    PlaceOrder: _place,
    CancelOrder: _cancel,
    GlobalCancel: _global_cancel,
    OpenOrders: _open_orders,
    CompletedOrders: _completed_orders,
    ExecutionsRequest: _executions,
}
