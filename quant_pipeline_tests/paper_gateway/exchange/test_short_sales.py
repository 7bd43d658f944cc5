"""Short sales wait for shares to borrow."""

from __future__ import annotations

from quant_pipeline.paper_gateway.exchange.orders import Status
from quant_pipeline_tests.paper_gateway.exchange.desk_room import Room

HELD = ["1 PreSubmitted locate", "1 code 404"]


def test_a_short_sale_is_held_until_its_shares_are_found(room: Room) -> None:
    room.market.shortable = 0
    assert room.place(1, "SELL", "MKT") == HELD
    room.market.prints("AAA", ("10:20", 49.0))
    assert room.move("10:21") == []
    room.market.shortable = 500
    assert room.move("10:22") == ["1 PreSubmitted", "1 exec 100@48.99", "1 Filled", "1 Filled", "1 fee 1"]


def test_a_held_short_sale_is_cancelled_or_expires(room: Room) -> None:
    room.market.shortable = 0
    room.place(1, "SELL", "LMT", 51.0)
    assert room.cancel(1) == ["1 Cancelled", "1 code 202"]
    room.place(2, "SELL", "LMT", 51.0)
    assert room.move("16:00:01") == ["2 Cancelled", "2 code 202"]


def test_a_sale_of_what_is_held_needs_no_shares(room: Room) -> None:
    room.market.shortable = 0
    room.place(1, "BUY", "MKT", quantity=200)
    assert room.place(2, "SELL", "MKT", quantity=200)[1] == "2 exec 200@49.99"


def test_the_whole_short_position_must_be_borrowed(room: Room) -> None:
    room.market.shortable = 150
    room.place(1, "SELL", "MKT")
    assert room.place(2, "SELL", "MKT") == ["2 PreSubmitted locate", "2 code 404"]
    room.place(3, "BUY", "MKT", quantity=50)
    assert room.move("10:15:30")[1] == "2 exec 100@49.99"


def test_a_second_resting_sale_finds_the_shares_gone(room: Room) -> None:
    room.market.shortable = 150
    room.place(1, "SELL", "LMT", 51.0)
    room.place(2, "SELL", "LMT", 51.0)
    room.market.prints("AAA", ("10:20", 51.5))
    assert room.move("10:21") == ["1 exec 100@51.5", "1 Filled", "1 fee 1", "2 PreSubmitted locate", "2 code 404"]


def test_a_held_entry_wakes_no_children_and_is_made_smaller_to_go_on(room: Room) -> None:
    room.market.shortable = 60
    told = room.bracket(49.99, 48.00, 51.00, action="SELL")
    assert told == [*HELD, "2 PreSubmitted child", "3 PreSubmitted child"]
    assert room.place(1, "SELL", "LMT", 49.99, quantity=60)[:2] == ["1 Submitted", "1 exec 60@49.99"]
    assert room.order(3).status is Status.PRE_SUBMITTED
