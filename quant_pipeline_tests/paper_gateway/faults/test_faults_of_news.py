"""Faults of what is told about orders, of time, of the market and of the wire, each met by a real client."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from ib_insync import IB, LimitOrder

from quant_pipeline_tests.paper_gateway.faults.fault_room import arm, book_of, bracket, buy, status, wait_cut_off
from quant_pipeline_tests.paper_gateway.gateway_room import (
    GatewayRoom,
    connected,
    errors_of,
    gateway_room,
    stock,
    until,
)


def trade_at(room: GatewayRoom, price: float, clock: str = "10:20") -> None:
    """Let AAA print once, enough for any order here, and match until a minute later."""
    room.market.shares_a_print = 100_000
    room.market.prints("AAA", (clock, price))
    hours, minutes = clock.split(":")
    room.move_to(f"{hours}:{int(minutes) + 1}")


def test_a_fill_may_come_without_any_status_before_it(room: GatewayRoom, ib: IB) -> None:
    arm(room, "silent_fill")
    trade = buy(ib)
    ib.sleep(0.2)
    assert status(trade) == "PendingSubmit"
    trade_at(room, 49.0)
    until(ib, lambda: ib.fills())
    assert ib.fills()[0].execution.orderRef == "s:AAA:entry"


def test_statuses_and_executions_may_come_twice(room: GatewayRoom, ib: IB) -> None:
    arm(room, "duplicates", times=0, copies=3)
    told: list[str] = []
    ib.execDetailsEvent += lambda trade, fill: told.append(fill.execution.execId)
    trade = buy(ib)
    until(ib, lambda: status(trade) == "Submitted")
    trade_at(room, 49.0)
    until(ib, lambda: status(trade) == "Filled")
    assert len(set(told)) == 1
    assert [fill.execution.shares for fill in ib.reqExecutions()] == [10]
    assert book_of(room) == {"s:AAA:entry": ("Filled", 10)}


def test_an_execution_may_be_corrected(room: GatewayRoom, ib: IB) -> None:
    arm(room, "correction", ticks=2, seconds=30)
    trade = buy(ib)
    until(ib, lambda: status(trade) == "Submitted")
    trade_at(room, 49.0)
    until(ib, lambda: ib.fills())
    first = ib.fills()[0].execution.execId
    room.move_to("10:23")
    until(ib, lambda: len(ib.fills()) == 2)
    corrected = ib.fills()[1].execution
    assert (first.rsplit(".", 1)[0], corrected.execId) == (corrected.execId.rsplit(".", 1)[0], first[:-2] + "02")
    assert (corrected.price, corrected.shares) == (49.02, 10)
    # Whoever asks afterwards hears the corrected one alone, and the position costs what it says.
    assert [fill.execution.price for fill in ib.reqExecutions()] == [49.02]
    (position,) = ib.reqPositions()
    assert position.avgCost == pytest.approx(49.02 + 0.1)


def test_a_correction_outlives_the_gateway(tmp_path: Path) -> None:
    with gateway_room(tmp_path) as room, connected(room.port) as ib:
        arm(room, "correction", seconds=0)
        trade = buy(ib)
        until(ib, lambda: status(trade) == "Submitted")
        trade_at(room, 49.0)
        until(ib, lambda: len(ib.fills()) == 2)
    with gateway_room(tmp_path, start="10:30") as room, connected(room.port) as ib:
        assert [fill.execution.price for fill in ib.reqExecutions()] == [49.01]


def test_a_commission_may_be_late(room: GatewayRoom, ib: IB) -> None:
    arm(room, "late_commission", seconds=120)
    charged: list[float] = []
    ib.commissionReportEvent += lambda trade, fill, report: charged.append(report.commission)
    trade = buy(ib)
    until(ib, lambda: status(trade) == "Submitted")
    trade_at(room, 49.0)
    until(ib, lambda: status(trade) == "Filled")
    assert charged == []
    room.move_to("10:24")
    until(ib, lambda: charged == [1.0])


def test_a_commission_may_be_missing_until_it_is_asked_for(room: GatewayRoom, ib: IB) -> None:
    arm(room, "lost_commission")
    trade = buy(ib)
    until(ib, lambda: status(trade) == "Submitted")
    trade_at(room, 49.0)
    until(ib, lambda: status(trade) == "Filled")
    ib.sleep(0.2)
    assert ib.fills()[0].commissionReport.commission == 0.0
    ib.reqExecutions()
    assert ib.fills()[0].commissionReport.commission == 1.0


def test_a_short_sale_may_be_held_until_shares_are_located(room: GatewayRoom, ib: IB) -> None:
    arm(room, "no_shares_to_short", symbol="AAA", after=dt.time(10, 0), seconds=1800)
    heard = errors_of(ib)
    trade = ib.placeOrder(stock("AAA"), LimitOrder("SELL", 10, 49.0, orderRef="short", tif="DAY"))
    until(ib, lambda: heard)
    assert heard == [(trade.order.orderId, 404)]
    assert book_of(room)["short"][1] == 0
    trade_at(room, 50.0, "10:40")
    until(ib, lambda: status(trade) == "Filled")


def test_a_held_short_sale_may_be_cancelled(room: GatewayRoom, ib: IB) -> None:
    arm(room, "no_shares_to_short", symbol="AAA")
    heard = errors_of(ib)
    trade = ib.placeOrder(stock("AAA"), LimitOrder("SELL", 10, 49.0, orderRef="short", tif="DAY"))
    until(ib, lambda: heard)
    ib.cancelOrder(trade.order)
    until(ib, lambda: status(trade) == "Cancelled")
    assert book_of(room) == {"short": ("Cancelled", 0)}


def test_a_thin_market_fills_in_parts(room: GatewayRoom, ib: IB) -> None:
    arm(room, "thin_market", symbol="AAA", shares=30)
    trade = buy(ib, price=50.01, quantity=100)
    until(ib, lambda: trade.orderStatus.filled == 30)
    assert (status(trade), trade.orderStatus.remaining) == ("Submitted", 70)
    room.market.shares_a_print = 100_000
    room.market.prints("AAA", ("10:20", 50.0))
    room.move_to("10:21")
    until(ib, lambda: trade.orderStatus.filled == 60)


def test_connectivity_may_be_lost_and_come_back_with_the_data_kept(room: GatewayRoom, ib: IB) -> None:
    heard = errors_of(ib)
    ticker = ib.reqMktData(stock("AAA"))
    trade = buy(ib)
    until(ib, lambda: status(trade) == "Submitted" and ticker.last == 50.0)
    arm(room, "connectivity_lost", after=dt.time(10, 16), seconds=600)
    room.move_to("10:17")
    until(ib, lambda: (-1, 1100) in heard)
    trade_at(room, 49.0)
    ib.sleep(0.2)
    assert (status(trade), ib.fills(), ticker.last) == ("Submitted", [], 50.0)
    room.move_to("10:27")
    until(ib, lambda: (-1, 1102) in heard and status(trade) == "Filled")
    until(ib, lambda: ticker.last == 49.0)


def test_connectivity_may_come_back_without_subscriptions(room: GatewayRoom, ib: IB) -> None:
    heard = errors_of(ib)
    ticker = ib.reqMktData(stock("AAA"))
    until(ib, lambda: ticker.last == 50.0)
    arm(room, "connectivity_lost", after=dt.time(10, 16), seconds=60, data_lost=True)
    room.move_to("10:16")
    room.move_to("10:18")
    until(ib, lambda: heard == [(-1, 1100), (-1, 1101)])
    room.market.prints("AAA", ("10:19", 51.0))
    room.move_to("10:20")
    ib.sleep(1.3)  # longer than the gateway's round of telling
    assert ticker.last == 50.0


def test_what_is_asked_while_connectivity_is_lost_is_answered_afterwards(room: GatewayRoom, ib: IB) -> None:
    arm(room, "connectivity_lost", after=dt.time(10, 16), seconds=60)
    room.move_to("10:16")
    trade = buy(ib)
    ib.sleep(0.2)
    assert book_of(room) == {}
    room.move_to("10:18")
    until(ib, lambda: status(trade) == "Submitted")


@pytest.mark.parametrize(("what", "codes"), [("quote_farm_down", (2103, 2104)), ("history_farm_down", (2105, 2106))])
def test_a_farm_may_be_down_for_a_while(room: GatewayRoom, ib: IB, what: str, codes: tuple[int, int]) -> None:
    heard = errors_of(ib)
    arm(room, what, after=dt.time(10, 16), seconds=60)
    room.move_to("10:16")
    until(ib, lambda: heard == [(-1, codes[0])])
    ib.RequestTimeout = 0.3
    if what == "history_farm_down":
        with pytest.raises(TimeoutError):
            ib.reqHistoricalData(stock("AAA"), "", "5 D", "1 day", "TRADES", True)
    else:
        ticker = ib.reqMktData(stock("AAA"))
        ib.sleep(0.2)
        assert ticker.last != ticker.last
    room.move_to("10:18")
    until(ib, lambda: heard == [(-1, code) for code in codes])
    assert len(ib.reqHistoricalData(stock("AAA"), "", "5 D", "1 day", "TRADES", True)) == 5


def test_a_restart_closes_every_connection_and_keeps_every_order(room: GatewayRoom, ib: IB) -> None:
    trade = buy(ib)
    until(ib, lambda: status(trade) == "Submitted")
    arm(room, "restart", after=dt.time(10, 16), seconds=120)
    room.move_to("10:16")
    wait_cut_off(ib)
    with pytest.raises((ConnectionError, TimeoutError)), connected(room.port, patience=1.0):
        pass
    room.move_to("10:19")
    with connected(room.port) as again:
        assert [found.order.orderRef for found in again.openTrades()] == ["s:AAA:entry"]


def test_trading_may_be_halted(room: GatewayRoom, ib: IB) -> None:
    arm(room, "halt", symbol="AAA", after=dt.time(10, 18), seconds=300)
    ticker = ib.reqMktData(stock("AAA"))
    trade = buy(ib)
    until(ib, lambda: status(trade) == "Submitted")
    trade_at(room, 48.5, "10:20")
    until(ib, lambda: ticker.halted == 1)
    assert status(trade) == "Submitted"
    trade_at(room, 48.9, "10:30")
    until(ib, lambda: status(trade) == "Filled")
    assert ib.fills()[0].execution.price == 48.9  # what traded behind the halt's back is not its price


@pytest.mark.parametrize("size", [1, 0])
def test_frames_may_be_split_at_any_byte(room: GatewayRoom, ib: IB, size: int) -> None:
    arm(room, "split_frames", times=0, bytes=size)
    heard = errors_of(ib)
    trades = bracket(ib)
    until(ib, lambda: [status(trade) for trade in trades] == ["Submitted", "PreSubmitted", "PreSubmitted"])
    details = ib.reqContractDetails(stock("AAA"))
    assert [detail.longName for detail in details] == ["AAA Incorporated"]
    assert heard == []


def test_answers_may_be_slow(room: GatewayRoom, ib: IB) -> None:
    arm(room, "slow", seconds=0.5)
    ib.RequestTimeout = 0.2
    with pytest.raises(TimeoutError):
        ib.reqContractDetails(stock("AAA"))
    ib.RequestTimeout = 5
    assert len(ib.reqContractDetails(stock("BBB"))) == 1


def test_faults_drawn_from_a_seed_are_the_same_every_time(tmp_path: Path) -> None:
    def struck(folder: str) -> list[str]:
        with gateway_room(tmp_path / folder) as room, connected(room.port) as ib:
            arm(room, "order_rejected", times=0, chance=0.5)
            trades = [buy(ib, ref=f"s:{number}") for number in range(12)]
            until(ib, lambda: all(status(trade) in ("Submitted", "Cancelled") for trade in trades))
            return [status(trade) for trade in trades]

    assert struck("once") == struck("again")
    assert set(struck("more")) == {"Submitted", "Cancelled"}
