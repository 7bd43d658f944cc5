"""The life of orders without a wire: what the desk says happened, in which order, when time is moved by hand."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from quant_pipeline.paper_gateway.exchange.orders import Status
from quant_pipeline_tests.paper_gateway.exchange.desk_room import Room, said
from quant_pipeline_tests.paper_gateway.scripted_market import at

WEDNESDAY = dt.date(2018, 2, 21)


def test_a_bracket_is_told_as_tws_tells_it(room: Room) -> None:
    assert room.bracket(50.01, 52.00, 49.00) == [
        "1 Submitted",
        "2 PreSubmitted child",
        "3 PreSubmitted child",
        "1 exec 100@50.01",
        "1 Filled",
        "1 fee 1",
        "2 Submitted",
        "3 PreSubmitted trigger",
    ]


def test_a_market_order_is_never_submitted(room: Room) -> None:
    assert room.place(1, "BUY", "MKT") == ["1 PreSubmitted", "1 exec 100@50.01", "1 Filled", "1 Filled", "1 fee 1"]


def test_the_target_cancels_the_stop(room: Room) -> None:
    room.bracket(50.01, 52.00, 49.00)
    room.market.prints("AAA", ("10:20", 51.5), ("10:21", 52.1))
    assert room.move("10:20:30") == []
    assert room.move("10:21:30") == ["2 exec 100@52.1", "2 Filled", "2 fee 1", "3 Cancelled", "3 code 202"]
    assert room.book.portfolio.held == {}
    assert room.book.portfolio.cash == pytest.approx(100_000 + 100 * (52.1 - 50.01) - 2)


def test_the_stop_cancels_the_target(room: Room) -> None:
    room.bracket(50.01, 52.00, 49.00)
    room.market.prints("AAA", ("10:20:05", 49.2), ("10:20:10", 48.9))
    assert room.move("10:21") == ["3 exec 100@49", "3 Filled", "3 fee 1", "2 Cancelled", "2 code 202"]


def test_a_short_bracket_is_the_mirror_of_a_long_one(room: Room) -> None:
    room.bracket(49.99, 48.00, 51.00, action="SELL")
    assert room.book.portfolio.held["AAA"].quantity == -100
    room.market.prints("AAA", ("10:20", 51.4))
    assert room.move("10:21")[:2] == ["3 exec 100@51.4", "3 Filled"]
    assert room.book.portfolio.held == {}


def test_children_sleep_until_the_entry_fills_however_far_prices_move(room: Room) -> None:
    room.bracket(48.00, 52.00, 47.00)
    room.market.prints("AAA", ("10:20", 53.0), ("10:30", 47.9))
    assert room.move("10:25") == []
    assert room.move("10:31")[:3] == ["1 exec 100@47.9", "1 Filled", "1 fee 1"]
    assert [room.order(each).status for each in (2, 3)] == [Status.SUBMITTED, Status.PRE_SUBMITTED]


def test_cancelling_an_unfilled_entry_cancels_its_children(room: Room) -> None:
    room.bracket(48.00, 52.00, 47.00)
    told = said(room.desk.cancel(1, 1, room.now))
    assert told == [
        "1 Cancelled", "1 code 202", "2 Cancelled", "2 code 202", "3 Cancelled", "3 code 202",
    ]  # fmt: skip
    assert room.book.live == {}


def test_nothing_is_acknowledged_before_the_last_leg_is_transmitted(room: Room) -> None:
    assert room.place(1, "BUY", "LMT", 50.01, transmit=False) == []
    assert room.place(2, "SELL", "LMT", 52.0, parent=1, transmit=False) == []
    room.desk.forget_staged(1)
    assert room.place(3, "SELL", "STP", 49.0, parent=1) == ["3 code 135"]
    assert room.book.live == {}


@pytest.mark.parametrize(
    ("order_id", "price", "more", "code"),
    [
        (1, 50.005, {}, "1 code 110"),
        (1, 50.0, {"parent": 9}, "1 code 135"),
        (1, 50.0, {"quantity": 9_000}, "1 code 201"),
    ],
)
def test_orders_that_cannot_be_are_refused_with_their_code(
    room: Room, order_id: int, price: float, more: dict[str, object], code: str
) -> None:
    assert code in room.place(order_id, "BUY", "LMT", price, **more)
    assert room.book.live == {}


def test_a_refused_entry_takes_its_children_with_it(room: Room) -> None:
    room.place(1, "BUY", "LMT", 50.0, quantity=9_000, transmit=False)
    told = room.place(2, "SELL", "LMT", 60.0, quantity=9_000, parent=1)
    assert told == ["1 Inactive", "1 code 201", "2 code 201"]


def test_working_orders_count_against_buying_power(room: Room) -> None:
    for order_id in range(1, 5):
        assert room.place(order_id, "BUY", "LMT", 49.0, quantity=2_000, symbol="AAA") == [f"{order_id} Submitted"]
    assert room.place(5, "BUY", "LMT", 49.0, quantity=2_000) == ["5 Inactive", "5 code 201"]
    room.desk.cancel(1, 1, room.now)
    assert room.place(6, "BUY", "LMT", 49.0, quantity=2_000) == ["6 Submitted"]


def test_closing_a_position_needs_no_buying_power(room: Room) -> None:
    room.place(1, "BUY", "MKT", quantity=7_900)
    assert room.place(2, "SELL", "MKT", quantity=7_900)[1] == "2 exec 7900@49.99"


def test_an_order_id_is_used_once(room: Room) -> None:
    room.place(1, "BUY", "MKT")
    assert room.place(1, "BUY", "MKT") == ["1 code 103"]
    assert room.place(1, "BUY", "MKT", client=2)[0] == "1 PreSubmitted"
    assert room.book.next_order_id == 2


def test_a_working_order_is_modified_under_its_id(room: Room) -> None:
    room.place(1, "BUY", "LMT", 48.0)
    perm_id = room.order(1).perm_id
    assert room.place(1, "BUY", "LMT", 48.5, quantity=150) == ["1 Submitted"]
    assert (room.order(1).terms.limit_price, room.order(1).terms.quantity) == (48.5, 150)
    assert room.place(1, "BUY", "LMT", 50.01, quantity=150)[1] == "1 exec 150@50.01"
    assert room.order(1).perm_id == perm_id


def test_a_modification_into_another_order_is_refused(room: Room) -> None:
    room.place(1, "BUY", "LMT", 48.0)
    assert room.place(1, "SELL", "LMT", 48.0) == ["1 code 105"]
    assert room.place(1, "BUY", "LMT", 20.0, symbol="BBB") == ["1 code 105"]


def test_a_childs_stop_is_moved_without_waking_it(room: Room) -> None:
    room.bracket(48.00, 52.00, 47.00)
    assert room.place(3, "SELL", "STP", 47.5, parent=1, tif="GTC") == ["3 PreSubmitted child"]


def test_cancel_races_are_told_apart(room: Room) -> None:
    room.place(1, "BUY", "MKT")
    assert said(room.desk.cancel(1, 1, room.now)) == ["1 code 10148"]
    assert said(room.desk.cancel(1, 2, room.now)) == ["2 code 10147"]
    assert said(room.desk.cancel(2, 1, room.now)) == ["1 code 10147"]


def test_a_cancel_that_arrives_after_prices_reached_the_order_comes_too_late(room: Room) -> None:
    room.place(1, "BUY", "LMT", 49.0)
    room.market.prints("AAA", ("10:20", 48.8))
    assert said(room.desk.cancel(1, 1, at("10:21"))) == ["1 exec 100@48.8", "1 Filled", "1 fee 1", "1 code 10148"]


def test_one_cancels_all(room: Room) -> None:
    room.place(1, "BUY", "LMT", 49.0, oca="pair")
    room.place(2, "BUY", "LMT", 19.0, oca="pair", symbol="BBB")
    room.market.prints("BBB", ("10:20", 18.5))
    assert room.move("10:21") == ["2 exec 100@18.5", "2 Filled", "2 fee 1", "1 Cancelled", "1 code 202"]


def test_global_cancel_reaches_every_client(room: Room) -> None:
    room.bracket(48.00, 52.00, 47.00)
    room.place(1, "BUY", "LMT", 19.0, symbol="BBB", client=2)
    told = said(room.desk.cancel_all(room.now))
    assert len([word for word in told if word.endswith("Cancelled")]) == 4
    assert room.book.live == {}


# ---- time -----------------------------------------------------------------------------------------------------------


def test_an_order_placed_after_hours_waits_for_the_open_and_fills_at_it(tmp_path: Path) -> None:
    room = Room(tmp_path, at("18:00"))
    assert room.place(1, "BUY", "LMT", 50.50) == ["1 PreSubmitted", "1 code 399"]
    assert room.place(2, "BUY", "MKT", symbol="BBB") == ["2 PreSubmitted", "2 code 399"]
    room.market.prints("AAA", ("09:30:10", 50.2), day=WEDNESDAY)
    room.market.prints("BBB", ("09:30:05", 20.3), day=WEDNESDAY)
    assert room.move("09:29", WEDNESDAY) == []
    assert room.move("09:31", WEDNESDAY) == [
        "1 Submitted",
        "1 exec 100@50.2",
        "1 Filled",
        "1 fee 1",
        "2 exec 100@20.3",
        "2 Filled",
        "2 Filled",
        "2 fee 1",
    ]
    room.book.close()


def test_day_orders_end_at_the_close_and_gtc_orders_do_not(room: Room) -> None:
    room.place(1, "BUY", "LMT", 40.0)
    room.place(2, "BUY", "LMT", 40.0, tif="GTC")
    assert room.move("15:59") == []
    assert room.move("16:00:01") == ["1 Cancelled", "1 code 202"]
    assert room.order(1).completed_status == "DAY order expired at the close"
    assert list(room.book.live) == [room.order(2).perm_id]


def test_a_day_order_placed_after_the_close_works_through_the_next_session(tmp_path: Path) -> None:
    room = Room(tmp_path, at("16:30"))
    room.place(1, "BUY", "LMT", 40.0)
    assert room.move("15:59", WEDNESDAY) == ["1 Submitted"]
    assert room.move("16:00", WEDNESDAY) == ["1 Cancelled", "1 code 202"]
    room.book.close()


def test_an_unfilled_day_entry_takes_its_gtc_children_with_it_at_the_close(room: Room) -> None:
    room.bracket(40.00, 52.00, 39.00)
    assert [word for word in room.move("16:01") if "Cancelled" in word] == ["1 Cancelled", "2 Cancelled", "3 Cancelled"]


def test_a_stop_fills_at_the_open_that_jumped_over_it(room: Room) -> None:
    room.bracket(50.01, 60.00, 49.00)
    room.market.prints("AAA", ("09:30:01", 44.0), ("09:31", 49.5), day=WEDNESDAY)
    told = room.move("09:45", WEDNESDAY)
    assert told[:2] == ["3 exec 100@44", "3 Filled"]


def test_days_without_a_gateway_are_caught_up_in_the_order_of_time(room: Room) -> None:
    room.bracket(49.00, 52.00, 48.00)
    room.place(4, "BUY", "LMT", 19.0, symbol="BBB", tif="GTC")
    room.market.prints("AAA", ("11:00:30", 48.9), ("13:00:30", 52.2))
    room.market.prints("BBB", ("10:30", 18.9), day=WEDNESDAY)
    told = [word for word in room.move("12:00", dt.date(2018, 2, 22)) if "exec" in word]
    assert told == ["1 exec 100@48.9", "2 exec 100@52.2", "4 exec 100@18.9"]
    assert [fill.at for fill in room.fills()] == [at("11:00:59"), at("13:00:59"), at("10:30:59", WEDNESDAY)]


def test_an_order_is_not_filled_by_what_traded_before_it_arrived(room: Room) -> None:
    room.place(1, "BUY", "LMT", 40.0, symbol="BBB")
    room.market.prints("AAA", ("10:20", 48.0), ("10:24", 50.0))
    room.now = at("10:25")
    assert room.place(2, "BUY", "LMT", 49.0) == ["2 Submitted"]
    assert room.move("10:30") == []


def test_a_halted_stock_does_not_trade(room: Room) -> None:
    room.market.halted.add("AAA")
    assert room.place(1, "BUY", "LMT", 50.01) == ["1 Submitted"]
    room.market.prints("AAA", ("10:20", 49.0))
    assert room.move("10:21") == []
    room.market.halted.clear()
    room.market.prints("AAA", ("10:30", 49.5))
    assert room.move("10:31")[0] == "1 exec 100@49.5"


def test_the_same_orders_and_prices_give_the_same_events(tmp_path: Path) -> None:
    def story(home: Path) -> list[str]:
        home.mkdir()
        room = Room(home, at("10:15"))
        told = room.bracket(50.01, 52.00, 49.00)
        told += room.place(4, "SELL", "LMT", 51.0, tif="GTC") + room.place(5, "BUY", "STP", 51.0, tif="GTC")
        room.market.prints("AAA", ("10:20", 51.2), ("10:21", 48.0))
        told += room.move("10:30")
        room.book.close()
        return told

    assert story(tmp_path / "first") == story(tmp_path / "second")


def test_a_long_wait_is_matched_like_many_short_ones(tmp_path: Path) -> None:
    def fills(home: Path, steps: list[str]) -> list[tuple[int, float]]:
        home.mkdir()
        room = Room(home, at("10:15"))
        room.bracket(49.50, 51.00, 49.00)
        room.market.prints("AAA", ("10:18", 49.4), ("10:30", 50.5), ("11:10", 51.3), ("11:20", 48.0))
        for clock in steps:
            room.move(clock)
        found = [(fill.order_id, fill.price) for fill in room.fills()]
        room.book.close()
        return found

    often = [f"{minute // 60:02d}:{minute % 60:02d}" for minute in range(10 * 60 + 16, 12 * 60)]
    assert fills(tmp_path / "once", ["11:59"]) == fills(tmp_path / "often", often) == [(1, 49.4), (2, 51.3)]


# ---- the account ----------------------------------------------------------------------------------------------------


def test_account_values_follow_from_fills_and_quotes(room: Room) -> None:
    room.place(1, "BUY", "MKT")
    room.market.prints("AAA", ("10:20", 53.0))
    state = room.accountant.state(room.book, at("10:21"))
    assert state.net_liquidation == pytest.approx(100_000 - 1 + 100 * (53.0 - 50.01))
    assert state.unrealized_pnl == pytest.approx(100 * (53.0 - 50.01) - 1)
    assert (state.realized_pnl, state.gross_value, state.margin) == (0.0, 5_300.0, 1_325.0)
    assert state.daily_pnl == pytest.approx(state.unrealized_pnl)
    assert state.words()["BuyingPower"] == f"{4 * (state.net_liquidation - 1_325):.2f}"


def test_daily_profit_starts_again_at_the_previous_close(room: Room) -> None:
    room.place(1, "BUY", "MKT")
    room.market.prints("AAA", ("15:59", 53.0))
    room.market.prints("AAA", ("09:31", 54.0), day=WEDNESDAY)
    room.move("10:00", WEDNESDAY)
    assert room.accountant.state(room.book, room.now).daily_pnl == pytest.approx(100.0)
    room.place(2, "SELL", "MKT")
    state = room.accountant.state(room.book, room.now)
    assert state.daily_pnl == pytest.approx(100 * (53.99 - 53.0) - 1)
    assert state.realized_pnl == pytest.approx(100 * (53.99 - 50.01) - 2)
    assert state.net_liquidation == pytest.approx(100_000 + state.realized_pnl)


@pytest.mark.parametrize(
    ("kind", "price", "got"),
    [("LMT", 49.0, 48.5), ("STP", 50.5, 51.0)],
)
def test_a_price_that_jumps_over_an_order_between_two_minutes_fills_it_where_it_landed(
    room: Room, kind: str, price: float, got: float
) -> None:
    room.market.prints("AAA", ("10:20:59", 50.0))
    room.place(1, "BUY", kind, price)
    room.market.prints("AAA", ("10:21", got))
    assert f"1 exec 100@{got:g}" in room.move("10:30")


def test_the_opening_trade_fills_what_rested_overnight(room: Room) -> None:
    room.place(1, "BUY", "LMT", 40.0, tif="GTC")
    room.move("16:30")
    room.market.prints("AAA", ("09:30", 39.0), ("09:30:01", 41.0), day=WEDNESDAY)
    assert "1 exec 100@39" in room.move("09:45", WEDNESDAY)
    assert room.fills()[0].price == 39.0


def test_a_clock_that_stops_at_the_open_loses_nothing(room: Room) -> None:
    room.place(1, "BUY", "LMT", 40.0, tif="GTC")
    room.move("16:30")
    room.market.prints("AAA", ("09:30", 39.0), ("09:30:01", 41.0), day=WEDNESDAY)
    assert "1 exec 100@39" in room.move("09:30", WEDNESDAY)
