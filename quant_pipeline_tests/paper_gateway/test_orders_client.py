"""Orders from a real ib_insync client over a real socket: brackets, changes, cancels, and what the lists say after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ib_insync import IB, ExecutionFilter, LimitOrder, MarketOrder, Order, StopLimitOrder, StopOrder, Trade

from quant_pipeline_tests.paper_gateway.gateway_room import (
    GatewayRoom,
    connected,
    errors_of,
    gateway_room,
    stock,
    until,
)
from quant_pipeline_tests.paper_gateway.scripted_market import at


@pytest.fixture
def room(tmp_path: Path) -> Iterator[GatewayRoom]:
    with gateway_room(tmp_path) as room:
        yield room


@pytest.fixture
def ib(room: GatewayRoom) -> Iterator[IB]:
    with connected(room.port) as ib:
        yield ib


def bracket(ib: IB, entry: float, target: float, stop: float, slot: str = "s") -> list[Trade]:
    orders = ib.bracketOrder("BUY", 100, entry, target, stop)
    for order, leg, tif in zip(orders, ("entry", "target", "stop"), ("DAY", "GTC", "GTC"), strict=True):
        order.orderRef, order.tif = f"{slot}:AAA:{leg}", tif
    return [ib.placeOrder(stock("AAA"), order) for order in orders]


def statuses(trades: list[Trade]) -> list[str]:
    return [trade.orderStatus.status for trade in trades]


def test_a_bracket_lives_from_entry_to_target(room: GatewayRoom, ib: IB) -> None:
    trades = bracket(ib, 49.00, 51.00, 48.00)
    until(ib, lambda: statuses(trades) == ["Submitted", "PreSubmitted", "PreSubmitted"])
    assert [trade.orderStatus.whyHeld for trade in trades] == ["", "child", "child"]
    room.market.prints("AAA", ("10:20", 49.0), ("10:40", 51.0))
    room.move_to("10:21")
    until(ib, lambda: statuses(trades) == ["Filled", "Submitted", "PreSubmitted"])
    assert trades[2].orderStatus.whyHeld == "trigger"
    until(ib, lambda: ib.positions() != [])
    assert (ib.positions()[0].position, ib.positions()[0].avgCost) == (100, 49.01)
    room.move_to("10:41")
    until(ib, lambda: statuses(trades) == ["Filled", "Filled", "Cancelled"])
    until(ib, lambda: ib.positions() == [])
    until(ib, lambda: len([fill for fill in ib.fills() if fill.commissionReport.commission]) == 2)
    entry, exit_ = sorted(ib.fills(), key=lambda fill: fill.execution.execId)
    assert (entry.execution.side, entry.execution.price, entry.execution.orderRef) == ("BOT", 49.0, "s:AAA:entry")
    assert (exit_.execution.side, exit_.execution.price, exit_.execution.orderRef) == ("SLD", 51.0, "s:AAA:target")
    assert exit_.commissionReport.realizedPNL == pytest.approx(100 * 2.0 - 2.0)
    assert exit_.execution.time == at("10:40:59"), "the last second of the minute that reached it"


def test_a_bracket_ends_at_its_stop(room: GatewayRoom, ib: IB) -> None:
    trades = bracket(ib, 50.01, 52.00, 49.00)
    room.market.prints("AAA", ("10:20", 48.5))
    until(ib, lambda: statuses(trades)[0] == "Filled")
    room.move_to("10:21")
    until(ib, lambda: statuses(trades) == ["Filled", "Cancelled", "Filled"])


def test_the_lists_carry_reference_and_permanent_id(ib: IB) -> None:
    trades = bracket(ib, 50.01, 52.00, 49.00)
    until(ib, lambda: statuses(trades) == ["Filled", "Submitted", "PreSubmitted"])
    perm_ids = [trade.order.permId or trade.orderStatus.permId for trade in trades]
    assert len(set(perm_ids)) == 3
    live = {trade.order.orderRef: trade.order.permId for trade in ib.reqAllOpenOrders()}
    assert live == {"s:AAA:target": perm_ids[1], "s:AAA:stop": perm_ids[2]}
    done = {trade.order.orderRef: trade for trade in ib.reqCompletedOrders(False)}
    assert done["s:AAA:entry"].order.permId == perm_ids[0]
    assert done["s:AAA:entry"].orderStatus.status == "Filled"
    assert {fill.execution.orderRef: fill.execution.permId for fill in ib.reqExecutions()} == {
        "s:AAA:entry": perm_ids[0]
    }


def test_a_second_client_sees_all_orders_and_cannot_touch_them(room: GatewayRoom, ib: IB) -> None:
    trade = ib.placeOrder(stock("AAA"), LimitOrder("BUY", 10, 49.0, orderRef="mine", tif="GTC"))
    until(ib, lambda: trade.orderStatus.status == "Submitted")
    with connected(room.port, client_id=2) as other:
        heard = errors_of(other)
        assert other.reqOpenOrders() == []
        (seen,) = other.reqAllOpenOrders()
        assert (seen.order.orderRef, seen.order.clientId, seen.order.permId) == ("mine", 1, trade.orderStatus.permId)
        other.cancelOrder(Order(orderId=trade.order.orderId, clientId=2))
        until(other, lambda: heard and heard[-1][1] == 10147)
    assert trade.orderStatus.status == "Submitted"


def test_orders_live_on_when_their_client_leaves_and_are_told_when_it_returns(room: GatewayRoom) -> None:
    with connected(room.port) as ib:
        trades = bracket(ib, 49.00, 51.00, 48.00)
        until(ib, lambda: statuses(trades)[0] == "Submitted")
    room.market.prints("AAA", ("10:20", 49.0))
    room.move_to("10:21")
    with connected(room.port) as again:
        assert [fill.execution.orderRef for fill in again.fills()] == ["s:AAA:entry"]
        assert {trade.order.orderRef for trade in again.openTrades()} == {"s:AAA:target", "s:AAA:stop"}
        assert again.positions()[0].position == 100
        assert again.client.getReqId() > max(trade.order.orderId for trade in trades)


def test_an_order_is_modified_and_cancelled_by_its_owner(ib: IB) -> None:
    order = LimitOrder("BUY", 10, 49.0, tif="GTC")
    trade = ib.placeOrder(stock("AAA"), order)
    until(ib, lambda: trade.orderStatus.status == "Submitted")
    order.lmtPrice = 48.5
    ib.placeOrder(stock("AAA"), order)
    until(ib, lambda: trade.log[-1].message == "Modified")
    assert [each.order.lmtPrice for each in ib.reqOpenOrders()] == [48.5]
    ib.cancelOrder(order)
    until(ib, lambda: trade.orderStatus.status == "Cancelled")
    assert ib.reqOpenOrders() == []
    assert [each.orderStatus.status for each in ib.reqCompletedOrders(True)] == ["Cancelled"]


def test_global_cancel_cancels_everything(ib: IB) -> None:
    trades = bracket(ib, 49.00, 51.00, 48.00)
    until(ib, lambda: statuses(trades)[0] == "Submitted")
    ib.reqGlobalCancel()
    until(ib, lambda: set(statuses(trades)) == {"Cancelled"})


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (LimitOrder("BUY", 10, 50.005), 110),
        (StopOrder("SELL", 10, 48.001), 110),
        (LimitOrder("BUY", 100_000, 50.0), 201),
        (LimitOrder("BUY", 10, 50.0, parentId=4_000), 135),
        (Order(action="BUY", totalQuantity=10, orderType="TRAIL LIMIT", auxPrice=1), 387),
        (Order(action="BUY", totalQuantity=10, orderType="TRAIL"), 321),
        (Order(action="BUY", totalQuantity=10, orderType="TRAIL", auxPrice=1, trailingPercent=2), 321),
        (Order(action="BUY", totalQuantity=10, orderType="TRAIL", trailingPercent=100), 321),
        (Order(action="BUY", totalQuantity=10, orderType="STP LMT", lmtPrice=50), 321),
        (StopLimitOrder("BUY", 10, 50.005, 49.0), 110),
        (LimitOrder("BUY", 10, 50.0, ocaGroup="g", ocaType=4), 321),
        (LimitOrder("BUY", 10, 50.0, tif="IOC"), 10052),
        (LimitOrder("BUY", 1.5, 50.0), 10243),
        (LimitOrder("BUY", 10, 50.0, account="DU0"), 321),
        (LimitOrder("BUY", 10, 50.0, algoStrategy="Adaptive"), 321),
        (LimitOrder("HOLD", 10, 50.0), 321),
    ],
)
def test_an_order_that_cannot_be_is_refused_with_ibs_code(ib: IB, order: Order, code: int) -> None:
    heard = errors_of(ib)
    trade = ib.placeOrder(stock("AAA"), order)
    until(ib, lambda: (trade.order.orderId, code) in heard)
    assert ib.reqAllOpenOrders() == []
    assert ib.fills() == []


def test_an_unknown_stock_cannot_be_ordered(ib: IB) -> None:
    heard = errors_of(ib)
    trade = ib.placeOrder(stock("NONE"), MarketOrder("BUY", 1))
    until(ib, lambda: (trade.order.orderId, 200) in heard)


def test_an_order_id_that_was_used_is_refused(ib: IB) -> None:
    heard = errors_of(ib)
    first = ib.placeOrder(stock("AAA"), MarketOrder("BUY", 10))
    until(ib, lambda: first.orderStatus.status == "Filled")
    ib.client.placeOrder(first.order.orderId, stock("AAA"), MarketOrder("BUY", 10))
    until(ib, lambda: (first.order.orderId, 103) in heard)
    assert len(ib.fills()) == 1


def test_a_what_if_order_is_priced_and_never_placed(ib: IB) -> None:
    state = ib.whatIfOrder(stock("AAA"), LimitOrder("BUY", 1000, 50.0))
    assert (float(state.initMarginChange), state.commission) == (12_500.0, 5.0)
    assert float(state.equityWithLoanBefore) == 100_000.0
    assert ib.reqAllOpenOrders() == []


def test_executions_are_filtered_as_asked(room: GatewayRoom, ib: IB) -> None:
    for symbol in ("AAA", "BBB"):
        trade = ib.placeOrder(stock(symbol), MarketOrder("BUY", 10, orderRef=symbol))
        until(ib, lambda trade=trade: trade.orderStatus.status == "Filled")

    def found(client_id: int = 0, **wanted: str) -> list[str]:
        chosen = ExecutionFilter(clientId=client_id)
        for name, value in wanted.items():
            setattr(chosen, name, value)
        return [fill.execution.orderRef for fill in ib.reqExecutions(chosen)]

    assert found() == ["AAA", "BBB"]
    assert found(symbol="BBB") == ["BBB"]
    assert found(side="SELL") == []
    assert found(side="BUY", exchange="NYSE") == ["BBB"]
    assert found(client_id=7) == []
    assert found(time="20180220 10:15:00") == ["AAA", "BBB"]
    assert found(time="20180220-15:15:01") == []
    assert found(acctCode="DU0") == []


def test_the_account_follows_the_market(room: GatewayRoom, ib: IB) -> None:
    account = ib.managedAccounts()[0]
    trade = ib.placeOrder(stock("AAA"), MarketOrder("BUY", 100))
    until(ib, lambda: trade.orderStatus.status == "Filled")
    until(ib, lambda: ib.portfolio(account) != [])
    single = ib.reqPnLSingle(account, "", 1000)
    room.market.prints("AAA", ("10:20", 52.01))
    room.move_to("10:21")
    until(ib, lambda: single.unrealizedPnL == pytest.approx(199.0))
    assert single.value == pytest.approx(5_201.0)
    summary = {value.tag: value.value for value in ib.accountSummary()}
    assert (summary["NetLiquidation"], summary["TotalCashValue"]) == ("100199.00", "94998.00")


# ---- order types, partial fills and what is held --------------------------------------------------------------------


def test_stop_limit_and_trailing_stop_are_listed_with_their_prices(room: GatewayRoom, ib: IB) -> None:
    ib.placeOrder(stock("AAA"), StopLimitOrder("SELL", 10, 48.5, 49.0, tif="GTC"))
    ib.placeOrder(stock("AAA"), Order(action="SELL", totalQuantity=10, orderType="TRAIL", auxPrice=1.5, tif="GTC"))
    percent = Order(action="BUY", totalQuantity=10, orderType="TRAIL", trailingPercent=4.0, tif="GTC")
    percent.trailStopPrice = 53.0
    last = ib.placeOrder(stock("AAA"), percent)
    until(ib, lambda: last.orderStatus.status == "PreSubmitted")
    room.market.prints("AAA", ("10:20", 50.5))
    room.move_to("10:21")
    with connected(room.port, client_id=2) as other:
        listed = {trade.order.permId: trade for trade in other.reqAllOpenOrders()}
        limited, trailed, buying = (listed[perm_id].order for perm_id in sorted(listed))
        assert (limited.orderType, limited.lmtPrice, limited.auxPrice) == ("STP LMT", 48.5, 49.0)
        assert (trailed.orderType, trailed.auxPrice, trailed.trailStopPrice) == ("TRAIL", 1.5, 49.0)
        assert (buying.trailingPercent, buying.trailStopPrice) == (4.0, 52.52)
        assert {trade.orderStatus.whyHeld for trade in listed.values()} == {"trigger"}


def test_a_trailing_stop_is_filled_and_listed_as_completed(room: GatewayRoom, ib: IB) -> None:
    order = Order(action="SELL", totalQuantity=10, orderType="TRAIL", auxPrice=1.0, tif="GTC")
    trade = ib.placeOrder(stock("AAA"), order)
    room.market.prints("AAA", ("10:20", 52.0), ("10:30", 50.9))
    until(ib, lambda: trade.orderStatus.status == "PreSubmitted")
    room.move_to("10:31")
    until(ib, lambda: trade.orderStatus.status == "Filled")
    assert trade.orderStatus.avgFillPrice == 50.9
    (done,) = ib.reqCompletedOrders(False)
    assert (done.order.orderType, done.order.auxPrice, done.order.trailStopPrice) == ("TRAIL", 1.0, 51.0)


def test_a_partial_fill_is_counted_and_the_minimum_commission_charged_once(room: GatewayRoom, ib: IB) -> None:
    trade = ib.placeOrder(stock("AAA"), LimitOrder("BUY", 350, 50.01, tif="GTC"))
    until(ib, lambda: trade.orderStatus.filled == 200)
    status = trade.orderStatus
    assert (status.status, status.remaining, status.avgFillPrice, status.lastFillPrice) == (
        "Submitted", 150, 50.01, 50.01,
    )  # fmt: skip
    room.market.prints("AAA", ("10:20", 50.0), ("10:30", 49.9))
    room.move_to("10:31")
    until(ib, lambda: trade.orderStatus.status == "Filled")
    until(ib, lambda: all(fill.commissionReport.commission for fill in trade.fills))
    assert [fill.execution.shares for fill in trade.fills] == [200, 100, 50]
    assert [fill.execution.cumQty for fill in trade.fills] == [200, 300, 350]
    assert [fill.execution.lastLiquidity for fill in trade.fills] == [2, 1, 1]
    assert [fill.commissionReport.commission for fill in trade.fills] == [1.0, 0.5, 0.25]
    assert trade.orderStatus.avgFillPrice == pytest.approx((200 * 50.01 + 100 * 50.0 + 50 * 49.9) / 350)
    until(ib, lambda: ib.positions()[0].position == 350)


def test_a_partial_fill_of_the_target_makes_the_stop_smaller(room: GatewayRoom, ib: IB) -> None:
    orders = ib.bracketOrder("BUY", 150, 50.01, 51.0, 48.0)
    for order in orders:
        order.tif = "GTC"
    trades = [ib.placeOrder(stock("AAA"), order) for order in orders]
    until(ib, lambda: statuses(trades) == ["Filled", "Submitted", "PreSubmitted"])
    room.market.prints("AAA", ("10:20", 51.0))
    room.move_to("10:21")
    until(ib, lambda: trades[1].orderStatus.filled == 100)
    until(ib, lambda: trades[2].orderStatus.remaining == 50)
    assert trades[2].order.totalQuantity == 50
    room.market.prints("AAA", ("10:30", 51.0))
    room.move_to("10:31")
    until(ib, lambda: statuses(trades) == ["Filled", "Filled", "Cancelled"])


def test_a_short_sale_is_held_until_its_shares_are_found(room: GatewayRoom, ib: IB) -> None:
    room.market.shortable = 0
    heard = errors_of(ib)
    trade = ib.placeOrder(stock("AAA"), LimitOrder("SELL", 10, 49.0, tif="GTC"))
    until(ib, lambda: (trade.order.orderId, 404) in heard)
    assert [(each.orderStatus.status, each.orderStatus.whyHeld) for each in ib.reqOpenOrders()] == [
        ("PreSubmitted", "locate")
    ]
    room.market.shortable = 1_000
    room.move_to("10:16")
    # The client library takes 404 for the end of the order; the executions say that it was not.
    until(ib, lambda: [fill.execution.side for fill in ib.fills()] == ["SLD"])


def test_orders_beyond_the_twentieth_on_a_side_are_refused(room: GatewayRoom, ib: IB) -> None:
    heard = errors_of(ib)
    trades = [ib.placeOrder(stock("AAA"), LimitOrder("BUY", 1, 40.0, tif="GTC")) for _ in range(21)]
    until(ib, lambda: (trades[-1].order.orderId, 201) in heard)
    assert len(ib.reqAllOpenOrders()) == 20


def test_an_order_id_below_one_that_was_used_is_refused(ib: IB) -> None:
    heard = errors_of(ib)
    low = ib.client.getReqId()
    trade = ib.placeOrder(stock("AAA"), LimitOrder("BUY", 1, 40.0, tif="GTC"))
    until(ib, lambda: trade.orderStatus.status == "Submitted")
    ib.client.placeOrder(low, stock("AAA"), LimitOrder("BUY", 1, 40.0, tif="GTC"))
    until(ib, lambda: (low, 103) in heard)
