"""What faults do to a request: refuse it, lose it, lose its answer, say something wrong about it.

A strike deals with one request and returns whether nothing is left to do about it. Whether it strikes at all is decided
in ``injector``, its only caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from quant_pipeline.paper_gateway.exchange.order_events import OrderReported, Told
from quant_pipeline.paper_gateway.exchange.orders import Status
from quant_pipeline.paper_gateway.faults.fault import Fault
from quant_pipeline.paper_gateway.protocol.requests import (
    AccountSummary,
    CancelOrder,
    CompletedOrders,
    ContractDetailsRequest,
    ExecutionsRequest,
    HistoryRequest,
    OpenOrders,
    PlaceOrder,
    QuoteRequest,
    Request,
    ScanRequest,
    StartApi,
    Subscribe,
)

if TYPE_CHECKING:
    from quant_pipeline.paper_gateway.client_session import ClientSession
    from quant_pipeline.paper_gateway.server import PaperGateway

Strike = Callable[["PaperGateway", "ClientSession", Request, Fault], bool]

_NAMES: dict[type, str] = {
    StartApi: "start_api",
    PlaceOrder: "place_order",
    CancelOrder: "cancel_order",
    HistoryRequest: "history",
    QuoteRequest: "quote",
    ScanRequest: "scan",
    ContractDetailsRequest: "contract_details",
    ExecutionsRequest: "executions",
    OpenOrders: "open_orders",
    CompletedOrders: "completed_orders",
    AccountSummary: "account_summary",
}


def name_of(request: Request) -> str:
    """The name a fault knows a request by; empty where it has none."""
    return request.topic if isinstance(request, Subscribe) else _NAMES.get(type(request), "")


def _id_of(request: Request) -> int:
    """The id an error about the request carries: its own, or the order's; -1 where it has none."""
    return request.order_id if isinstance(request, PlaceOrder | CancelOrder) else getattr(request, "req_id", -1)


def _lose_request(gateway: PaperGateway, session: ClientSession, request: Request, fault: Fault) -> bool:
    session.drop(f"the fault {fault.what}")
    return True


def _lose_ack(gateway: PaperGateway, session: ClientSession, request: Request, fault: Fault) -> bool:
    with session.unheard():
        session.answer(request)
    session.drop(f"the fault {fault.what}")
    return True


def _drop_after_ack(gateway: PaperGateway, session: ClientSession, request: Request, fault: Fault) -> bool:
    session.answer(request)
    session.drop(f"the fault {fault.what}")
    return True


def _no_answer(gateway: PaperGateway, session: ClientSession, request: Request, fault: Fault) -> bool:
    return True


def _error_instead(gateway: PaperGateway, session: ClientSession, request: Request, fault: Fault) -> bool:
    session.error(_id_of(request), *fault.error)
    return True


def _error_after(gateway: PaperGateway, session: ClientSession, request: Request, fault: Fault) -> bool:
    session.answer(request)
    session.error(_id_of(request), *fault.error)
    return True


def _error_before(gateway: PaperGateway, session: ClientSession, request: Request, fault: Fault) -> bool:
    session.error(_id_of(request), *fault.error)
    session.answer(request)
    return True


def _client_refused(gateway: PaperGateway, session: ClientSession, request: Request, fault: Fault) -> bool:
    session.error(-1, *fault.error)
    session.drop(f"the fault {fault.what}")
    return True


def _next_id_jump(gateway: PaperGateway, session: ClientSession, request: Request, fault: Fault) -> bool:
    gateway.book.saw_order_id(gateway.book.next_order_id + fault.ids)
    return False


def _fill_after_cancel(gateway: PaperGateway, session: ClientSession, request: Request, fault: Fault) -> bool:
    if not isinstance(request, CancelOrder) or session.client_id is None:
        return False
    order = gateway.book.find(session.client_id, request.order_id)
    if order is None or not order.is_working:
        return False
    cancelled = replace(order, status=Status.CANCELLED, why_held="")
    gateway.publish([OrderReported(cancelled, status_only=True), Told(order.client_id, order.order_id, 202, "")])
    gateway.publish(gateway.desk.fill_all_the_same(order.perm_id, gateway.clock.now()))
    return True


STRIKES: dict[str, Strike] = {
    "lose_request": _lose_request,
    "lose_ack": _lose_ack,
    "drop_after_ack": _drop_after_ack,
    "no_answer": _no_answer,
    "history_error": _error_instead,
    "pacing_violation": _error_instead,
    "validation_error": _error_instead,
    "order_rejected": _error_instead,
    "price_off_grid": _error_instead,
    "cancel_refused": _error_instead,
    "fill_after_cancel": _fill_after_cancel,
    "preset_tif": _error_after,
    "order_warning": _error_after,
    "no_market_data": _error_instead,
    "delayed_data": _error_before,
    "client_id_in_use": _client_refused,
    "next_id_jump": _next_id_jump,
}
"""How each fault of a request is carried out, by name."""
