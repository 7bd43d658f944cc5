"""One cancels all: what a fill, whole or in part, does to the other orders of its group."""

from __future__ import annotations

import pytest

from quant_pipeline_tests.paper_gateway.exchange.desk_room import Room


def test_a_partial_fill_of_the_target_reduces_the_stop(thin_room: Room) -> None:
    thin_room.place(1, "BUY", "LMT", 49.00, quantity=100, transmit=False)
    thin_room.place(2, "SELL", "LMT", 52.00, quantity=100, parent=1, tif="GTC", transmit=False)
    thin_room.place(3, "SELL", "STP", 48.00, quantity=100, parent=1, tif="GTC")
    thin_room.place(4, "SELL", "LMT", 51.90, quantity=70)
    thin_room.market.prints("AAA", ("10:20:30", 49.0), ("10:30:30", 52.0), ("10:40:30", 47.5))
    thin_room.move("10:21")
    assert thin_room.move("10:31")[3:] == ["2 exec 30@52", "2 Submitted", "2 fee 1", "3 PreSubmitted trigger"]
    assert (thin_room.order(3).terms.quantity, thin_room.order(2).remaining) == (70, 70)
    assert thin_room.move("10:41") == ["3 exec 70@47.5", "3 Filled", "3 fee 1", "2 Cancelled", "2 code 202"]
    assert thin_room.book.portfolio.held["AAA"].quantity == -70


def test_type_1_cancels_the_others_at_the_first_share(thin_room: Room) -> None:
    thin_room.place(1, "BUY", "LMT", 19.0, symbol="BBB", oca="pair", oca_type=1)
    told = thin_room.place(2, "BUY", "LMT", 50.01, quantity=300, oca="pair", oca_type=1)
    assert told[1:] == ["2 exec 200@50.01", "2 Submitted", "2 fee 1", "1 Cancelled", "1 code 202"]


@pytest.mark.parametrize("oca_type", [0, 2, 3])
def test_types_2_and_3_reduce_the_others_in_proportion(thin_room: Room, oca_type: int) -> None:
    thin_room.place(1, "BUY", "LMT", 19.0, symbol="BBB", oca="pair", oca_type=oca_type, quantity=90)
    told = thin_room.place(2, "BUY", "LMT", 50.01, quantity=300, oca="pair", oca_type=oca_type)
    assert told[1:] == ["2 exec 200@50.01", "2 Submitted", "2 fee 1", "1 Submitted"]
    assert thin_room.order(1).terms.quantity == 30
    thin_room.market.prints("BBB", ("10:20:30", 18.9))
    assert thin_room.move("10:21") == ["1 exec 30@18.9", "1 Filled", "1 fee 1", "2 Cancelled", "2 code 202"]


def test_a_reduced_entry_reduces_what_sleeps_behind_it(thin_room: Room) -> None:
    thin_room.place(1, "BUY", "LMT", 19.0, symbol="BBB", oca="pair", quantity=90, transmit=False)
    thin_room.place(2, "SELL", "STP", 18.0, symbol="BBB", parent=1, quantity=90)
    thin_room.place(3, "BUY", "LMT", 50.01, quantity=300, oca="pair")
    assert [thin_room.order(each).terms.quantity for each in (1, 2)] == [30, 30]


def test_a_group_that_is_filled_twice_in_one_stretch_never_overfills(thin_room: Room) -> None:
    thin_room.market.shares_a_print = 10_000
    thin_room.place(1, "BUY", "LMT", 49.0, quantity=100, oca="pair")
    thin_room.place(2, "BUY", "LMT", 49.5, quantity=100, oca="pair")
    thin_room.market.prints("AAA", ("10:20:30", 48.0))
    assert thin_room.move("10:21") == ["2 exec 100@48", "2 Filled", "2 fee 1", "1 Cancelled", "1 code 202"]
    assert thin_room.book.portfolio.held["AAA"].quantity == 100
