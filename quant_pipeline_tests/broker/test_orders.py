"""Brackets over a real socket: whole, acknowledged, filled, refused, stopped half-way."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

from quant_pipeline.broker.account import read_account, read_fills
from quant_pipeline.broker.brackets import BracketOrder, LegReport, Outcome
from quant_pipeline.broker.orders import OrderDesk
from quant_pipeline.broker.reconciliation import read_order_state
from quant_pipeline.broker.session import BrokerSession, Role, connect
from quant_pipeline.errors import BrokerError, TradingBlockedError
from quant_pipeline_tests.broker.conftest import Gateway
from quant_pipeline_tests.broker.frame_reading import every
from quant_pipeline_tests.broker.trading_floor import SLOT, Market, Notes, listen_until


@pytest.fixture
def ordering(gateway: Gateway) -> Iterator[BrokerSession]:
    with connect(gateway.settings(), Role.ORDERS) as session:
        yield session


@pytest.fixture
def desk(ordering: BrokerSession) -> OrderDesk:
    return OrderDesk(ordering)


@pytest.fixture
def notes() -> Notes:
    return Notes()


def outcomes(reports: tuple[LegReport, ...]) -> list[Outcome]:
    return [report.outcome for report in reports]


def test_a_bracket_is_told_of_before_it_is_sent_and_then_acknowledged(
    desk: OrderDesk, market: Market, notes: Notes
) -> None:
    bracket = market.bracket(0, away=0.04)
    reports = desk.place_bracket(bracket, notes.on_sending, notes.events.append)
    assert outcomes(reports) == [Outcome.WORKING] * 3
    assert notes.sending == [leg.order_ref for leg in bracket.legs()] == [report.order_ref for report in reports]
    assert len({report.perm_id for report in reports}) == 3
    for report in reports:
        assert {event.perm_id for event in notes.of(report.order_ref, "open_order")} == {report.perm_id}
        assert notes.of(report.order_ref, "status")


def test_an_entry_at_the_touch_fills_and_its_fill_is_read_back(
    desk: OrderDesk, ordering: BrokerSession, market: Market, notes: Notes
) -> None:
    bracket = market.bracket(1)
    entry, *_ = desk.place_bracket(bracket, notes.on_sending, notes.events.append)
    listen_until(desk, notes, lambda: bool(notes.of(entry.order_ref, "commission")))
    filled = sum(event.quantity or 0 for event in notes.of(entry.order_ref, "execution"))
    assert filled == bracket.quantity
    fills = read_fills(ordering).query("order_ref == @entry.order_ref")
    assert sum(fills["quantity"]) == bracket.quantity
    assert every(fills["perm_id"] == entry.perm_id)
    assert every(fills["side"] == "BUY")
    assert every(fills["price"] <= bracket.entry)
    assert every(fills["commission"] > 0)
    assert every(fills["filled_at"] <= pd.Timestamp(ordering.now()))


def test_the_account_shows_position_entry_and_children(
    desk: OrderDesk, ordering: BrokerSession, market: Market, notes: Notes
) -> None:
    held, waiting = market.bracket(2), market.bracket(3, away=0.04)
    reports = desk.place_brackets([held, waiting], notes.on_sending, notes.events.append)
    listen_until(desk, notes, lambda: bool(notes.of(reports[0].order_ref, "execution")))
    reading = read_account(ordering, ordering.settings)
    position = reading.portfolio.set_index("symbol").loc[held.symbol]
    assert position["quantity"] == held.quantity
    assert position["average_price"] <= held.entry * 1.01
    assert position["market_value"] == pytest.approx(held.quantity * position["market_price"])
    orders = reading.working_orders.set_index("order_ref")
    entry = orders.loc[reports[3].order_ref]
    assert (entry["parent_perm_id"], entry["remaining"], entry["price"]) == (0, waiting.quantity, waiting.entry)
    assert every(orders.loc[[report.order_ref for report in reports[4:]], "parent_perm_id"] == reports[3].perm_id)
    assert every(orders.loc[[report.order_ref for report in reports[1:3]], "parent_perm_id"] != 0)
    account = reading.account.iloc[0]
    entries = orders[orders["parent_perm_id"] == 0]
    expected = reading.portfolio["market_value"].abs().sum() + (entries["remaining"] * entries["price"]).sum()
    assert account["deployed"] == pytest.approx(expected)
    assert account["available"] == pytest.approx(account["capital"] - account["deployed"])
    assert account["capital"] == account["net_liquidation"]


def test_an_off_tick_stop_is_rejected_with_the_brokers_words_and_takes_the_bracket_along(
    desk: OrderDesk, ordering: BrokerSession, market: Market, notes: Notes
) -> None:
    whole = market.bracket(4)
    bracket = BracketOrder(**{**vars(whole), "stop": whole.stop + 0.0033})
    entry, target, stop = desk.place_bracket(bracket, notes.on_sending, notes.events.append)
    assert (stop.outcome, stop.code) == (Outcome.REJECTED, 110)
    assert "minimum price variation" in stop.text
    assert {entry.outcome, target.outcome} <= {Outcome.CANCELLED, Outcome.REJECTED}
    assert read_order_state(ordering).find(entry.order_ref) is None
    assert read_order_state(ordering).position(bracket.symbol) == 0


def test_an_off_tick_entry_is_rejected_and_its_children_do_not_stay(
    desk: OrderDesk, ordering: BrokerSession, market: Market, notes: Notes
) -> None:
    whole = market.bracket(5)
    bracket = BracketOrder(**{**vars(whole), "entry": whole.entry + 0.0033})
    reports = desk.place_bracket(bracket, notes.on_sending, notes.events.append)
    assert reports[0].outcome is Outcome.REJECTED
    assert set(outcomes(reports)) <= {Outcome.CANCELLED, Outcome.REJECTED}
    state = read_order_state(ordering)
    assert not [order for order in state.orders if (order.where, order.symbol) == ("open", bracket.symbol)]


def test_an_unknown_contract_is_rejected(desk: OrderDesk, notes: Notes) -> None:
    bracket = BracketOrder(f"{SLOT}:NOSUCH", "NOSUCH", 999_999_999, "LONG", 10, 20.0, 19.0, 22.5)
    assert set(outcomes(desk.place_bracket(bracket, notes.on_sending, notes.events.append))) <= {
        Outcome.CANCELLED,
        Outcome.REJECTED,
    }


def test_trading_blocked_between_two_legs_leaves_nothing_at_the_broker(
    desk: OrderDesk, ordering: BrokerSession, market: Market, notes: Notes
) -> None:
    first, second, third = market.bracket(6, away=0.04), market.bracket(7), market.bracket(8)

    def block_before_the_second_stop(order_ref: str, order_id: int) -> None:
        if order_ref == f"{second.order_ref}:stop":
            raise TradingBlockedError("Trading is halted.")
        notes.on_sending(order_ref, order_id)

    reports = desk.place_brackets([first, second, third], block_before_the_second_stop, notes.events.append)
    assert outcomes(reports[:3]) == [Outcome.WORKING] * 3
    assert outcomes(reports[3:5]) == [Outcome.CANCELLED] * 2
    assert outcomes(reports[5:]) == [Outcome.NOT_SENT] * 4
    assert {report.text for report in reports[5:]} == {"Trading is halted."}
    state = read_order_state(ordering)
    assert state.find(first.legs()[0].order_ref) is not None
    assert state.find(second.legs()[0].order_ref) is None
    assert state.find(third.legs()[0].order_ref) is None


def test_a_journal_that_cannot_write_stops_everything_and_is_heard_of(
    desk: OrderDesk, ordering: BrokerSession, market: Market, notes: Notes
) -> None:
    bracket = market.bracket(9)

    def full_disk(order_ref: str, _order_id: int) -> None:
        if order_ref.endswith(":target"):
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        desk.place_bracket(bracket, full_disk, notes.events.append)
    assert read_order_state(ordering).find(bracket.legs()[0].order_ref) is None


def test_an_order_is_cancelled_by_reference_and_by_permanent_id_also_after_a_reconnect(
    gateway: Gateway, market: Market, notes: Notes
) -> None:
    one, two = market.bracket(10, away=0.04), market.bracket(11, away=0.04)
    with connect(gateway.settings(), Role.ORDERS) as session:
        sent = OrderDesk(session).place_brackets([one, two], notes.on_sending, notes.events.append)
    with connect(gateway.settings(), Role.ORDERS) as session:
        desk = OrderDesk(session)
        assert desk.cancel(sent[0].order_ref, notes.events.append).outcome is Outcome.CANCELLED
        assert desk.cancel(sent[3].perm_id, notes.events.append).outcome is Outcome.CANCELLED
        with pytest.raises(BrokerError, match="no open order"):
            desk.cancel(sent[0].order_ref, notes.events.append)
        still_open = {order.order_ref for order in read_order_state(session).orders if order.where == "open"}
        assert not still_open & {report.order_ref for report in sent}


def test_a_gateway_killed_in_mid_burst_leaves_unknown_and_not_sent_but_never_rejected(
    mortal_gateway: Gateway, market: Market, notes: Notes
) -> None:
    brackets = [market.bracket(place, away=0.04) for place in range(5)]

    def kill_at_the_third(order_ref: str, order_id: int) -> None:
        notes.on_sending(order_ref, order_id)
        if order_ref == brackets[2].legs()[1].order_ref:
            mortal_gateway.kill()

    with connect(mortal_gateway.settings(), Role.ORDERS) as session:
        reports = OrderDesk(session).place_brackets(brackets, kill_at_the_third, notes.events.append, seconds=2)
    assert set(outcomes(reports[:6])) <= {Outcome.WORKING, Outcome.UNKNOWN}
    assert set(outcomes(reports[6:9])) <= {Outcome.UNKNOWN, Outcome.NOT_SENT}
    assert reports[6].outcome is Outcome.UNKNOWN
    assert outcomes(reports[9:]) == [Outcome.NOT_SENT] * 6
    assert all("was lost" in report.text for report in reports[9:])
    assert set(notes.sending) <= {report.order_ref for report in reports if report.outcome is not Outcome.NOT_SENT} | {
        brackets[2].legs()[2].order_ref
    }


def test_only_the_orders_connection_can_send(reading: BrokerSession) -> None:
    with pytest.raises(ValueError, match="role ORDERS"):
        OrderDesk(reading)
