"""Stops, stop-limits and trailing stops: when they are triggered, at what price they fill, and what clients hear."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.paper_gateway.exchange.matching import first_touch, in_range
from quant_pipeline.paper_gateway.exchange.orders import Action, Order, OrderTerms, OrderType, Status, TimeInForce
from quant_pipeline.paper_gateway.exchange.trailing import followed, started
from quant_pipeline.paper_gateway.markets.market import PriceRange
from quant_pipeline_tests.paper_gateway.exchange.desk_room import Room, said
from quant_pipeline_tests.paper_gateway.scripted_market import ScriptedMarket, at

WEDNESDAY = dt.date(2018, 2, 21)


def trailing(action: str = "SELL") -> Order:
    terms = OrderTerms(
        "AAA", Action(action), 100, OrderType.TRAILING_STOP, None, None, TimeInForce.GTC, trail_amount=1.0
    )
    return Order(1, 1, 1, terms, Status.PRE_SUBMITTED, "trigger", 0, at("10:00"), None)


# ---- stop-limit -----------------------------------------------------------------------------------------------------


def test_a_stop_limit_fills_where_its_stop_is_reached_and_its_limit_allows(room: Room) -> None:
    assert room.place(1, "SELL", "STP LMT", 48.50, stop=49.00) == ["1 PreSubmitted trigger"]
    room.market.prints("AAA", ("10:20", 49.2), ("10:21", 48.9))
    assert room.move("10:22") == ["1 exec 100@48.9", "1 Filled", "1 fee 1"]


def test_a_stop_limit_that_was_jumped_over_waits_at_its_limit(room: Room) -> None:
    room.place(1, "SELL", "STP LMT", 48.50, stop=49.00)
    room.market.prints("AAA", ("10:20", 47.0), ("10:30", 48.2), ("10:40", 48.6))
    assert room.move("10:35") == ["1 Submitted"]
    assert room.move("10:41") == ["1 exec 100@48.6", "1 Filled", "1 fee 1"]


def test_a_stop_limit_whose_stop_is_already_reached_works_as_a_limit_at_once(room: Room) -> None:
    assert room.place(1, "BUY", "STP LMT", 49.00, stop=49.50) == ["1 PreSubmitted trigger", "1 Submitted"]
    room.market.prints("AAA", ("10:20", 48.9))
    assert room.move("10:21")[0] == "1 exec 100@48.9"


@pytest.mark.parametrize(
    ("limit", "prices", "filled"),
    [
        (50.5, PriceRange(49.8, 50.3, 49.7, 50.2, 1000), 50.0),
        (50.5, PriceRange(50.2, 50.3, 49.7, 50.2, 1000), 50.2),  # the open jumped over it, within the limit
        (50.1, PriceRange(50.2, 50.3, 49.7, 50.2, 1000), 50.1),  # the open jumped over both, prices came back
        (50.1, PriceRange(50.2, 50.3, 50.2, 50.2, 1000), None),  # ... and did not come back
        (49.9, PriceRange(49.8, 50.3, 49.7, 50.2, 1000), None),  # nobody knows whether the low came after the high
    ],
)
def test_a_stop_limit_is_filled_by_what_certainly_came_after_its_trigger(
    limit: float, prices: PriceRange, filled: float | None
) -> None:
    terms = OrderTerms("AAA", Action.BUY, 100, OrderType.STOP_LIMIT, limit, 50.0, TimeInForce.GTC)
    order = Order(1, 1, 1, terms, Status.PRE_SUBMITTED, "trigger", 0, at("10:00"), None)
    touch = in_range(order, prices)
    assert touch is not None
    assert touch.price == filled


# ---- trailing -------------------------------------------------------------------------------------------------------


def test_a_trailing_stop_follows_the_highest_price_and_never_falls_back(room: Room) -> None:
    assert room.place(1, "SELL", "TRAIL", amount=1.0, tif="GTC") == ["1 PreSubmitted trigger"] * 2
    assert room.order(1).trailing_stop == 49.0
    room.market.prints("AAA", ("10:20", 51.5), ("10:25", 50.8), ("10:30", 50.45))
    assert room.move("10:21") == []
    assert room.order(1).trailing_stop == 50.5
    assert room.move("10:26") == []
    assert room.order(1).trailing_stop == 50.5
    assert room.move("10:31") == ["1 exec 100@50.45", "1 Filled", "1 fee 1"]


def test_a_trailing_stop_that_buys_follows_the_lowest_price(room: Room) -> None:
    room.place(1, "BUY", "TRAIL", percent=2.0)
    assert room.order(1).trailing_stop == 51.0
    room.market.prints("AAA", ("10:20", 48.0), ("10:30", 49.0))
    assert room.move("10:31") == ["1 exec 100@49", "1 Filled", "1 fee 1"]
    assert room.order(1).trailing_stop == 48.96


def test_a_trailing_stop_starts_where_it_is_told_to(room: Room) -> None:
    room.place(1, "SELL", "TRAIL", amount=1.0, trail_stop=47.0)
    room.market.prints("AAA", ("10:20", 47.5))
    assert room.move("10:21") == []
    assert room.order(1).trailing_stop == 47.0


def test_a_trailing_stop_begins_to_follow_when_its_parent_is_filled(room: Room) -> None:
    room.place(1, "BUY", "LMT", 49.0, transmit=False)
    room.place(2, "SELL", "TRAIL", amount=1.0, parent=1, tif="GTC")
    room.market.prints("AAA", ("10:20", 53.0), ("10:30", 48.9), ("10:40", 49.6), ("10:50", 48.6))
    room.move("10:35")
    assert room.order(2).trailing_stop == 47.9
    assert room.move("10:51") == ["2 exec 100@48.6", "2 Filled", "2 fee 1"]


def test_a_trailing_stop_outlives_the_gateway(tmp_path: Path) -> None:
    room = Room(tmp_path, at("10:15"))
    room.market.prints("AAA", ("10:20", 52.0))
    room.place(1, "SELL", "TRAIL", amount=1.0, tif="GTC")
    room.move("10:21")
    room.book.close()
    again = Room(tmp_path, at("10:21"))
    assert again.order(1).trailing_stop == 51.0
    again.market.prints("AAA", ("10:20", 52.0), ("10:30", 50.9))
    assert again.move("10:31")[0] == "1 exec 100@50.9"
    again.book.close()


def test_a_changed_distance_starts_again_and_a_changed_size_does_not(room: Room) -> None:
    room.place(1, "SELL", "TRAIL", amount=1.0)
    room.market.prints("AAA", ("10:20", 52.0), ("10:21", 51.5))
    room.move("10:22")
    room.place(1, "SELL", "TRAIL", amount=1.0, quantity=50)
    assert room.order(1).trailing_stop == 51.0
    room.place(1, "SELL", "TRAIL", amount=2.0, quantity=50)
    assert room.order(1).trailing_stop == 49.5


def test_a_trailing_stop_goes_the_same_way_however_often_it_is_looked_at(tmp_path: Path) -> None:
    def fill(home: Path, steps: list[str]) -> float:
        home.mkdir()
        room = Room(home, at("10:15"))
        room.place(1, "SELL", "TRAIL", amount=0.5, tif="GTC")
        room.market.prints(
            "AAA", ("10:18:10", 50.4), ("10:18:50", 50.6), ("10:19:20", 50.15), ("10:40:05", 52), ("10:40:40", 51.4)
        )
        for clock in steps:
            room.move(clock)
        (found,) = room.fills()
        room.book.close()
        return found.price

    often = [f"10:{minute}:{second:02d}" for minute in range(15, 50) for second in range(1, 60, 7)]
    assert fill(tmp_path / "once", ["15:00"]) == fill(tmp_path / "often", often) == 51.4


def test_a_stop_that_was_triggered_by_a_wrong_turn_of_the_minute_waits_for_the_right_one() -> None:
    market = ScriptedMarket()
    market.prints("AAA", ("10:20:05", 49.6), ("10:20:30", 51.0), ("10:20:50", 50.4), ("10:25", 49.9))
    order = started(trailing(), 50.0)
    touch = first_touch([order], lambda a, b: market.price_range("AAA", a, b), at("10:15"), at("10:30"))
    # The range from 49.6 to 51 is wider than the distance, but the low came first: only 10:25 reaches the stop of 50.
    assert touch is not None
    assert touch.since < at("10:25") <= touch.until


prices = st.integers(4_000, 6_000).map(lambda cents: cents / 100)
distances = st.one_of(
    st.integers(1, 500).map(lambda cents: {"trail_amount": cents / 100}),
    st.floats(0.1, 9).map(lambda percent: {"trail_amount": None, "trail_percent": percent}),
)


@given(
    st.lists(prices, min_size=1, max_size=8),
    st.sampled_from(["BUY", "SELL"]),
    distances,
)
def test_a_trailing_stop_only_moves_its_way_and_fills_inside_the_range(
    path: list[float], action: str, distance: dict[str, float | None]
) -> None:
    asked = trailing(action)
    order = started(replace(asked, terms=replace(asked.terms, **distance)), path[0])
    moved = PriceRange(path[0], max(path), min(path), path[-1], 100)
    before, after = order.trailing_stop, followed(order, moved).trailing_stop
    assert before is not None
    assert after is not None
    assert after >= before if action == "SELL" else after <= before
    touch = in_range(order, moved)
    if touch is not None:
        assert touch.price is not None
        assert moved.low <= touch.price <= moved.high


# ---- time in force and hours ----------------------------------------------------------------------------------------


def test_an_order_for_other_hours_is_warned_and_works_in_regular_ones(room: Room) -> None:
    assert room.place(1, "BUY", "LMT", 49.0, outside_rth=True) == ["1 Submitted", "1 code 2109"]


def test_a_halt_ends_with_a_fill_at_the_first_trade_after_it(room: Room) -> None:
    room.place(1, "SELL", "STP", 49.0, tif="GTC")
    room.place(2, "BUY", "MKT", symbol="BBB")
    room.market.halted.add("AAA")
    room.market.prints("AAA", ("10:20", 48.0))
    assert room.move("10:21") == []
    room.market.halted.clear()
    room.market.prints("AAA", ("10:35", 44.0), ("10:36", 50.0))
    assert room.move("10:37")[0] == "1 exec 100@44"


def test_a_market_order_during_a_halt_waits_for_the_reopening(room: Room) -> None:
    room.market.halted.add("AAA")
    assert room.place(1, "BUY", "MKT") == ["1 PreSubmitted"]
    room.market.halted.clear()
    room.market.prints("AAA", ("10:35", 53.0))
    assert room.move("10:36")[0] == "1 exec 100@53"


def test_a_limit_fills_at_the_open_that_was_better(room: Room) -> None:
    room.place(1, "BUY", "LMT", 49.0, tif="GTC")
    room.market.prints("AAA", ("09:30:01", 47.0), ("09:31", 50.0), day=WEDNESDAY)
    assert room.move("09:45", WEDNESDAY)[0] == "1 exec 100@47"


# ---- order ids and the number of orders -----------------------------------------------------------------------------


def test_an_order_id_below_one_that_was_used_is_refused(room: Room) -> None:
    room.place(5, "BUY", "LMT", 49.0)
    assert room.place(4, "BUY", "LMT", 49.0) == ["4 code 103"]
    assert room.place(4, "BUY", "LMT", 49.0, client=2) == ["4 Submitted"]
    assert room.place(5, "BUY", "LMT", 48.9) == ["5 Submitted"]


def test_the_ids_a_client_used_are_remembered_by_the_book(tmp_path: Path) -> None:
    room = Room(tmp_path, at("10:15"))
    room.place(7, "BUY", "MKT")
    room.book.close()
    again = Room(tmp_path, at("10:16"))
    assert again.place(6, "BUY", "MKT") == ["6 code 103"]
    again.book.close()


def test_a_refused_order_leaves_its_id_free_for_the_corrected_one(room: Room) -> None:
    assert room.place(3, "BUY", "LMT", 49.005) == ["3 code 110"]
    assert room.place(3, "BUY", "LMT", 49.0) == ["3 Submitted"]


def test_the_twenty_first_order_on_one_side_is_refused(room: Room) -> None:
    for order_id in range(1, 21):
        assert room.place(order_id, "BUY", "LMT", 40.0, quantity=1) == [f"{order_id} Submitted"]
    assert room.place(21, "BUY", "LMT", 40.0, quantity=1) == ["21 Inactive", "21 code 201"]
    assert room.place(22, "SELL", "LMT", 60.0, quantity=1) == ["22 Submitted"]
    assert room.place(23, "BUY", "LMT", 10.0, quantity=1, symbol="BBB") == ["23 Submitted"]
    room.cancel(1)
    assert room.place(24, "BUY", "LMT", 40.0, quantity=1) == ["24 Submitted"]


def test_nobody_but_its_client_cancels_an_order(room: Room) -> None:
    room.place(1, "BUY", "LMT", 49.0)
    assert said(room.desk.cancel(2, 1, room.now)) == ["1 code 10147"]
    assert room.order(1).status is Status.SUBMITTED


def test_a_child_in_another_stock_works_from_the_moment_its_parent_is_filled(room: Room) -> None:
    room.place(1, "BUY", "LMT", 49.0, transmit=False)
    room.place(2, "SELL", "LMT", 21.0, symbol="BBB", parent=1)
    room.market.prints("AAA", ("10:20", 48.9))
    room.market.prints("BBB", ("10:18", 21.5), ("10:19", 20.0), ("10:30", 21.2))
    assert room.move("15:00") == [
        "1 exec 100@48.9", "1 Filled", "1 fee 1", "2 Submitted", "2 exec 100@21.2", "2 Filled", "2 fee 1",
    ]  # fmt: skip
