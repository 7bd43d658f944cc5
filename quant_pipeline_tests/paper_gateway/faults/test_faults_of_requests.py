"""Faults of requests, each met by a real ib_insync client over a real socket."""

from __future__ import annotations

import pytest
from ib_insync import IB, RequestError

from quant_pipeline_tests.paper_gateway.faults.fault_room import arm, book_of, bracket, buy, status, wait_cut_off
from quant_pipeline_tests.paper_gateway.gateway_room import (
    GatewayRoom,
    connected,
    errors_of,
    stock,
    until,
)

DAILY = ("", "5 D", "1 day", "TRADES", True)


def test_an_order_that_was_lost_on_the_way_is_not_in_the_book(room: GatewayRoom, ib: IB) -> None:
    armed = arm(room, "lose_request")
    buy(ib)
    wait_cut_off(ib)
    assert (armed.struck, book_of(room)) == (1, {})


def test_an_order_whose_answer_was_lost_is_found_after_reconnecting(room: GatewayRoom, ib: IB) -> None:
    arm(room, "lose_ack")
    trade = buy(ib)
    wait_cut_off(ib)
    assert status(trade) == "PendingSubmit"
    with connected(room.port, client_id=2) as again:
        assert [found.order.orderRef for found in again.reqAllOpenOrders()] == ["s:AAA:entry"]


def test_a_connection_can_close_right_after_the_answer(room: GatewayRoom, ib: IB) -> None:
    arm(room, "drop_after_ack")
    trade = buy(ib)
    heard: list[str] = []
    trade.statusEvent += lambda known: heard.append(known.orderStatus.status)
    wait_cut_off(ib)
    assert "Submitted" in heard
    assert book_of(room) == {"s:AAA:entry": ("Submitted", 0)}


@pytest.mark.parametrize("leg", [2, 3])
def test_a_bracket_cut_in_the_middle_was_never_transmitted(room: GatewayRoom, ib: IB, leg: int) -> None:
    arm(room, "lose_request", nth=leg)
    bracket(ib)
    wait_cut_off(ib)
    assert book_of(room) == {}
    with connected(room.port, client_id=2) as again:
        assert again.reqAllOpenOrders() == []


def test_bars_may_never_come(room: GatewayRoom, ib: IB) -> None:
    arm(room, "no_answer", symbol="AAA")
    ib.RequestTimeout = 0.3
    with pytest.raises(TimeoutError):
        ib.reqHistoricalData(stock("AAA"), *DAILY)
    assert len(ib.reqHistoricalData(stock("BBB"), *DAILY)) == 5


@pytest.mark.parametrize("what", ["history_error", "pacing_violation"])
def test_bars_may_be_refused(room: GatewayRoom, ib: IB, what: str) -> None:
    arm(room, what)
    with pytest.raises(RequestError) as refused:
        ib.reqHistoricalData(stock("AAA"), *DAILY)
    assert refused.value.code == 162
    assert len(ib.reqHistoricalData(stock("AAA"), *DAILY)) == 5


@pytest.mark.parametrize(
    ("what", "code"), [("validation_error", 321), ("order_rejected", 201), ("price_off_grid", 110)]
)
def test_an_order_may_be_refused(room: GatewayRoom, ib: IB, what: str, code: int) -> None:
    heard = errors_of(ib)
    arm(room, what, order_ref="*:AAA:*")
    trade = buy(ib)
    until(ib, lambda: heard)
    assert heard == [(trade.order.orderId, code)]
    # The library keeps an order with 110 pending for ever, which is what this fault is there to show.
    assert status(trade) == ("PendingSubmit" if code == 110 else "Cancelled" if code == 201 else status(trade))
    assert book_of(room) == {}


@pytest.mark.parametrize("code", [10147, 10148])
def test_a_cancel_may_be_refused_while_the_order_lives(room: GatewayRoom, ib: IB, code: int) -> None:
    trade = buy(ib)
    until(ib, lambda: status(trade) == "Submitted")
    heard = errors_of(ib)
    arm(room, "cancel_refused", code=code)
    ib.cancelOrder(trade.order)
    until(ib, lambda: heard)
    assert heard == [(trade.order.orderId, code)]
    assert book_of(room) == {"s:AAA:entry": ("Submitted", 0)}


def test_an_order_may_be_filled_after_its_cancel_was_told(room: GatewayRoom, ib: IB) -> None:
    trade = buy(ib)
    until(ib, lambda: status(trade) == "Submitted")
    heard: list[str] = []
    trade.statusEvent += lambda known: heard.append(known.orderStatus.status)
    arm(room, "fill_after_cancel")
    ib.cancelOrder(trade.order)
    until(ib, lambda: ib.fills())
    assert "Cancelled" in heard
    assert ib.fills()[0].execution.price == 49.0
    assert book_of(room) == {"s:AAA:entry": ("Filled", 10)}
    until(ib, lambda: [position.position for position in ib.positions()] == [10])


@pytest.mark.parametrize(("what", "code"), [("preset_tif", 10349), ("order_warning", 399)])
def test_an_order_may_live_on_behind_an_error(room: GatewayRoom, ib: IB, what: str, code: int) -> None:
    heard = errors_of(ib)
    arm(room, what)
    trade = buy(ib)
    until(ib, lambda: heard)
    assert heard == [(trade.order.orderId, code)]
    # The library believes the order of 10349 cancelled; the book and the list of open orders know better.
    assert book_of(room) == {"s:AAA:entry": ("Submitted", 0)}
    assert [found.order.orderRef for found in ib.reqAllOpenOrders()] == ["s:AAA:entry"]


@pytest.mark.parametrize("code", [354, 10168, 10197])
def test_there_may_be_no_quotes(room: GatewayRoom, ib: IB, code: int) -> None:
    heard = errors_of(ib)
    arm(room, "no_market_data", symbol="AAA", code=code)
    ticker = ib.reqMktData(stock("AAA"))
    until(ib, lambda: heard)
    assert heard[0][1] == code
    room.market.prints("AAA", ("10:16", 50.5))
    room.move_to("10:17")
    ib.sleep(0.2)
    assert ticker.last != ticker.last


@pytest.mark.parametrize("code", [10089, 10090, 10167])
def test_quotes_may_come_with_an_advice(room: GatewayRoom, ib: IB, code: int) -> None:
    heard = errors_of(ib)
    arm(room, "delayed_data", code=code)
    ticker = ib.reqMktData(stock("AAA"))
    until(ib, lambda: ticker.last == 50.0)
    assert [found for _, found in heard] == [code]


def test_a_client_id_may_be_called_taken(room: GatewayRoom) -> None:
    arm(room, "client_id_in_use", client=9)
    with pytest.raises((TimeoutError, ConnectionError)), connected(room.port, client_id=9, patience=1.0):
        pass
    with connected(room.port, client_id=9) as ib:
        assert ib.isConnected()


def test_the_next_order_id_may_jump(room: GatewayRoom) -> None:
    with connected(room.port) as ib:
        before = ib.client.getReqId()
    arm(room, "next_id_jump", ids=5000)
    with connected(room.port) as ib:
        assert ib.client.getReqId() > before + 5000
        trade = buy(ib)
        until(ib, lambda: status(trade) == "Submitted")
