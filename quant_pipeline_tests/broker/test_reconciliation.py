"""What the broker knows of our orders can be read by any client, at any time, or not at all."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace

import pytest

from quant_pipeline.broker.brackets import Outcome
from quant_pipeline.broker.orders import OrderDesk
from quant_pipeline.broker.reconciliation import KnownOrder, OrderState, known_orders, read_order_state
from quant_pipeline.broker.session import Role, connect
from quant_pipeline.broker.wire import ExecutionMessage
from quant_pipeline.errors import BrokerError
from quant_pipeline_tests.broker.conftest import Gateway
from quant_pipeline_tests.broker.trading_floor import Market, Notes, listen_until

WORKING = KnownOrder("S:A:entry", 1, "open", "A", "BUY", "Submitted", 10, 0, None, 18)


def state_of(*orders: KnownOrder) -> OrderState:
    return OrderState(orders, (), (), dt.datetime(2026, 11, 20, 15, 15, tzinfo=dt.UTC))


def test_three_legs_are_found_by_another_client_and_after_a_reconnect(gateway: Gateway, market: Market) -> None:
    notes = Notes()
    bracket = market.bracket(12, away=0.04)
    with connect(gateway.settings(), Role.ORDERS) as session:
        sent = OrderDesk(session).place_bracket(bracket, notes.on_sending, notes.events.append)
        with connect(gateway.settings(), Role.STATUS) as other:
            seen_beside = read_order_state(other)
    with connect(gateway.settings(), Role.ORDERS) as session:
        seen_after = read_order_state(session)
    for report in sent:
        for state in (seen_beside, seen_after):
            known = state.find(report.order_ref)
            assert known is not None
            assert (known.where, known.perm_id, known.quantity, known.filled) == ("open", report.perm_id, 10, 0)
            assert state.find_perm_id(report.perm_id) == known
    assert seen_after.find("2026-11-20T10:15:NOSUCH:entry") is None
    assert seen_after.doubled_refs == ()


def test_a_filled_entry_is_known_with_its_price_and_its_position(gateway: Gateway, market: Market) -> None:
    notes = Notes()
    bracket = market.bracket(13)
    with connect(gateway.settings(), Role.ORDERS) as session:
        desk = OrderDesk(session)
        entry, *_ = desk.place_bracket(bracket, notes.on_sending, notes.events.append)
        listen_until(desk, notes, lambda: bool(notes.of(entry.order_ref, "commission")))
    with connect(gateway.settings(), Role.STATUS) as other:
        state = read_order_state(other)
    known = state.find(entry.order_ref)
    assert known is not None
    assert known.where in ("completed", "executed")
    assert (known.perm_id, known.filled, known.action) == (entry.perm_id, bracket.quantity, "BUY")
    assert known.average_price is not None
    assert known.average_price <= bracket.entry
    assert state.position(bracket.symbol) == bracket.quantity


def test_a_cancelled_order_is_known_as_completed(gateway: Gateway, market: Market) -> None:
    notes = Notes()
    bracket = market.bracket(14, away=0.04)
    with connect(gateway.settings(), Role.ORDERS) as session:
        desk = OrderDesk(session)
        entry, *_ = desk.place_bracket(bracket, notes.on_sending, notes.events.append)
        assert desk.cancel(entry.order_ref, notes.events.append).outcome is Outcome.CANCELLED
        known = read_order_state(session).find(entry.order_ref)
    assert known is not None
    assert (known.where, known.status, known.filled) == ("completed", "Cancelled", 0)


def test_a_killed_gateway_is_an_error_and_not_an_empty_state(mortal_gateway: Gateway) -> None:
    with connect(mortal_gateway.settings(), Role.STATUS) as session:
        assert read_order_state(session).orders == ()
        mortal_gateway.kill()
        began = time.monotonic()
        with pytest.raises(BrokerError, match="was lost"):
            read_order_state(session)
        assert time.monotonic() - began < 30


def test_one_reference_on_two_open_orders_is_told() -> None:
    assert state_of(WORKING, replace(WORKING, perm_id=2)).doubled_refs == ("S:A:entry",)
    assert state_of(WORKING, replace(WORKING, perm_id=2, where="completed")).doubled_refs == ()


def test_an_order_known_by_its_executions_alone_has_their_average_price() -> None:
    at = dt.datetime(2026, 11, 20, 15, 15, tzinfo=dt.UTC)
    fills = [
        ExecutionMessage(f"x.{n}.01", 7, 18, 1, "S:A:entry", "DU1", "A", "BUY", shares, price, 0, 0, at)
        for n, (shares, price) in enumerate([(4, 10.0), (6, 11.0)])
    ]
    (known,) = known_orders([], [], fills)
    assert (known.where, known.filled, known.average_price) == ("executed", 10, pytest.approx(10.6))
