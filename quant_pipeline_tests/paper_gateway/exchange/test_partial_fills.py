"""Fills by liquidity: how many shares an order gets, who gets them first, what it costs and what clients hear."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.paper_gateway.exchange.liquidity import ROUND_LOT, Liquidity, minute_before, share_through
from quant_pipeline.paper_gateway.exchange.orders import Action, Order, OrderTerms, OrderType, Status, TimeInForce
from quant_pipeline.paper_gateway.exchange.portfolio import commission
from quant_pipeline.paper_gateway.markets.market import PriceRange
from quant_pipeline_tests.paper_gateway.exchange.desk_room import Room
from quant_pipeline_tests.paper_gateway.scripted_market import at

WEDNESDAY = dt.date(2018, 2, 21)


def order(kind: str, price: float | None, action: str, quantity: int) -> Order:
    limit, stop = (price, None) if kind == "LMT" else (None, price)
    terms = OrderTerms("AAA", Action(action), quantity, OrderType(kind), limit, stop, TimeInForce.GTC)
    return Order(1, 1, 1, terms, Status.SUBMITTED, "", 0, at("10:00"), None)


# ---- an order that arrives ------------------------------------------------------------------------------------------


def test_a_limit_takes_what_is_shown_and_rests_with_the_remainder(thin_room: Room) -> None:
    assert thin_room.place(1, "BUY", "LMT", 50.01, quantity=350) == [
        "1 Submitted", "1 exec 200@50.01", "1 Submitted", "1 fee 1",
    ]  # fmt: skip
    partly = thin_room.order(1)
    assert (partly.filled, partly.remaining, partly.average_price, partly.last_price) == (200, 150, 50.01, 50.01)
    thin_room.market.prints("AAA", ("10:20:30", 50.00), ("10:21:30", 49.90))
    assert thin_room.move("10:21") == ["1 exec 100@50", "1 Submitted", "1 fee 0.5"]
    assert thin_room.move("10:22") == ["1 exec 50@49.9", "1 Filled", "1 fee 0.25"]
    assert thin_room.order(1).average_price == pytest.approx((200 * 50.01 + 100 * 50 + 50 * 49.9) / 350)


def test_a_market_order_takes_what_is_shown_and_then_what_trades(thin_room: Room) -> None:
    assert thin_room.place(1, "BUY", "MKT", quantity=300) == [
        "1 PreSubmitted", "1 exec 200@50.01", "1 Submitted", "1 fee 1",
    ]  # fmt: skip
    thin_room.market.prints("AAA", ("10:16:30", 50.20))
    assert thin_room.move("10:17") == ["1 exec 100@50.2", "1 Filled", "1 Filled", "1 fee 0.5"]


def test_what_is_shown_is_not_sold_twice_in_a_second(thin_room: Room) -> None:
    thin_room.place(1, "BUY", "MKT", quantity=150)
    assert thin_room.place(2, "BUY", "LMT", 50.01, quantity=150)[1] == "2 exec 50@50.01"
    assert thin_room.place(3, "BUY", "LMT", 50.01, quantity=50) == ["3 Submitted"]
    assert thin_room.place(4, "SELL", "MKT", quantity=300)[1] == "4 exec 300@49.99"
    thin_room.now = at("10:15:01")
    assert thin_room.place(5, "BUY", "LMT", 50.01, quantity=50)[1] == "5 exec 50@50.01"


def test_the_rest_of_a_triggered_stop_works_as_a_market_order(thin_room: Room) -> None:
    thin_room.place(1, "SELL", "STP", 49.0, quantity=250, tif="GTC")
    thin_room.market.prints("AAA", ("10:20:30", 48.9), ("10:21:30", 49.8), ("10:22:30", 49.7))
    assert thin_room.move("10:23") == [
        "1 exec 100@48.9", "1 Submitted", "1 fee 1",
        "1 exec 100@49.8", "1 Submitted", "1 fee 0",
        "1 exec 50@49.7", "1 Filled", "1 fee 0.25",
    ]  # fmt: skip


# ---- an order that rests --------------------------------------------------------------------------------------------


def test_a_resting_order_gets_a_tenth_of_what_trades(thin_room: Room) -> None:
    thin_room.market.shares_a_print = 5_000
    thin_room.place(1, "BUY", "LMT", 49.0, quantity=1_600)
    thin_room.market.prints("AAA", ("10:20:30", 48.9), ("10:21:10", 48.9), ("10:21:20", 48.9), ("10:22:30", 48.9))
    assert [word for word in thin_room.move("10:30") if "exec" in word] == [
        "1 exec 500@48.9", "1 exec 1000@48.9", "1 exec 100@48.9",
    ]  # fmt: skip


def test_better_prices_are_served_first_and_then_older_orders(thin_room: Room) -> None:
    for order_id, price in ((1, 49.00), (2, 49.00), (3, 49.10)):
        thin_room.place(order_id, "BUY", "LMT", price, quantity=60)
    thin_room.market.prints("AAA", ("10:20:30", 48.0), ("10:21:30", 48.0))
    told = [word for word in thin_room.move("10:30") if "exec" in word]
    assert told == ["3 exec 60@48", "1 exec 40@48", "1 exec 20@48", "2 exec 60@48"]


def test_looking_more_often_gives_no_more_shares(thin_room: Room) -> None:
    thin_room.place(1, "BUY", "LMT", 49.0, quantity=1_000)
    thin_room.market.prints("AAA", *((f"10:20:{second:02d}", 48.9) for second in range(1, 60)))
    for second in range(1, 60):
        thin_room.move(f"10:20:{second:02d}")
    thin_room.move("10:21")
    assert thin_room.order(1).filled == 590


def test_a_buyer_and_a_seller_do_not_take_from_each_other(thin_room: Room) -> None:
    thin_room.place(1, "BUY", "LMT", 49.0)
    thin_room.place(2, "SELL", "LMT", 51.0)
    thin_room.market.prints("AAA", ("10:20:10", 51.0), ("10:20:20", 49.0))
    assert [word for word in thin_room.move("10:21") if "exec" in word] == ["1 exec 100@49", "2 exec 100@51"]


ranges = st.lists(st.integers(4_900, 5_100), min_size=1, max_size=5).map(lambda cents: [cent / 100 for cent in cents])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["LMT", "STP", "MKT"]),
            st.integers(4_900, 5_100),
            st.sampled_from(["BUY", "SELL"]),
            st.integers(1, 5_000),
        ),
        max_size=8,
    ),
    ranges,
    st.integers(0, 50_000),
    st.floats(0.01, 1.0),
)
def test_one_minute_never_gives_more_than_its_share(
    wanted: list[tuple[str, int, str, int]], path: list[float], volume: int, share: float
) -> None:
    prices = PriceRange(path[0], max(path), min(path), path[-1], volume)
    liquidity = Liquidity(share)
    got = {"BUY": 0, "SELL": 0}
    for kind, cents, action, quantity in wanted:
        asked = order(kind, None if kind == "MKT" else cents / 100, action, quantity)
        taken = liquidity.take_traded(asked, lambda _since, _until: prices, at("10:21"))
        assert 0 <= taken <= quantity
        assert 0.0 <= share_through(asked, prices) <= 1.0
        got[action] += taken
    assert all(shares <= max(ROUND_LOT, int(share * volume)) for shares in got.values())


def test_an_instant_belongs_to_the_minute_it_lies_in() -> None:
    assert minute_before(at("10:21")) == minute_before(at("10:21:30")) == at("10:20:59")
    assert minute_before(at("10:20:59")) == at("10:19:59")


# ---- parents, children and costs ------------------------------------------------------------------------------------


def test_children_sleep_until_the_last_share_of_their_parent(thin_room: Room) -> None:
    told = thin_room.bracket(50.01, 52.00, 49.00, quantity=300)
    assert told[3:] == ["1 exec 200@50.01", "1 Submitted", "1 fee 1"]
    thin_room.market.prints("AAA", ("10:20:30", 48.0), ("10:30:30", 48.9))
    assert thin_room.move("10:21") == [
        "1 exec 100@48", "1 Filled", "1 fee 0.5", "2 Submitted", "3 PreSubmitted trigger",
        "3 exec 300@47.99", "3 Filled", "3 fee 1.5", "2 Cancelled", "2 code 202",
    ]  # fmt: skip


def test_cancelling_the_rest_of_a_parent_cancels_its_children_and_keeps_what_was_filled(thin_room: Room) -> None:
    thin_room.bracket(50.01, 52.00, 49.00, quantity=300)
    assert thin_room.cancel(1) == [
        "1 Cancelled", "1 code 202", "2 Cancelled", "2 code 202", "3 Cancelled", "3 code 202",
    ]  # fmt: skip
    assert thin_room.order(1).filled == 200
    assert thin_room.book.portfolio.held["AAA"].quantity == 200


def test_a_partly_filled_day_order_ends_at_the_close_with_what_it_has(thin_room: Room) -> None:
    thin_room.place(1, "BUY", "LMT", 50.01, quantity=300)
    assert thin_room.move("16:00:01") == ["1 Cancelled", "1 code 202"]
    assert (thin_room.order(1).filled, thin_room.order(1).remaining) == (200, 100)


def test_a_partly_filled_order_is_made_smaller_but_not_smaller_than_what_it_has(thin_room: Room) -> None:
    thin_room.place(1, "BUY", "LMT", 50.01, quantity=350)
    assert thin_room.place(1, "BUY", "LMT", 49.00, quantity=200) == ["1 code 105"]
    assert thin_room.place(1, "BUY", "LMT", 49.00, quantity=250) == ["1 Submitted"]
    assert thin_room.order(1).remaining == 50


def test_only_what_is_still_to_fill_needs_buying_power(thin_room: Room) -> None:
    thin_room.place(1, "BUY", "LMT", 50.01, quantity=7_900)
    assert thin_room.place(2, "BUY", "LMT", 49.00, symbol="BBB", quantity=200) == ["2 Inactive", "2 code 201"]
    assert thin_room.place(1, "BUY", "LMT", 50.01, quantity=7_901)[0] == "1 Submitted"


@given(st.lists(st.integers(1, 400), min_size=1, max_size=10), st.integers(20, 20_000).map(lambda cents: cents / 100))
def test_an_order_costs_the_same_however_it_is_filled(pieces: list[int], price: float) -> None:
    charged, shares = 0.0, 0
    for piece in pieces:
        shares += piece
        charged += round(commission(shares, price) - charged, 4)
    assert charged == pytest.approx(commission(sum(pieces), price), abs=1e-6)


def test_the_minimum_commission_counts_once_an_order(thin_room: Room) -> None:
    thin_room.place(1, "BUY", "LMT", 50.01, quantity=220)
    thin_room.market.prints("AAA", ("10:20:30", 50.0))
    thin_room.move("10:21")
    fees = [fill.commission for fill in thin_room.fills()]
    assert fees == [1.0, pytest.approx(0.1)]
    assert thin_room.order(1).commission == pytest.approx(1.1)
    thin_room.place(2, "SELL", "MKT", quantity=220)
    (sale,) = thin_room.fills()[2:]
    assert sale.realized_pnl == pytest.approx(220 * 49.99 - 200 * 50.01 - 20 * 50.0 - 1.1 - 1.1)


def test_a_fill_says_whether_it_added_liquidity_or_took_it(thin_room: Room) -> None:
    thin_room.place(1, "BUY", "LMT", 50.01, quantity=220)
    thin_room.market.prints("AAA", ("10:20:30", 50.0))
    thin_room.move("10:21")
    assert [fill.last_liquidity for fill in thin_room.fills()] == [2, 1]


def test_a_partial_fill_outlives_the_gateway(thin_room: Room) -> None:
    thin_room.place(1, "SELL", "STP", 49.0, quantity=250, tif="GTC")
    thin_room.market.prints("AAA", ("10:20:30", 48.9))
    thin_room.move("10:21")
    home = thin_room.book.path.parent
    before = thin_room.order(1)
    thin_room.book.close()
    again = Room(home, at("10:21"), liquidity=0.1)
    assert again.order(1) == before
    again.market.prints("AAA", ("09:30:30", 47.0), day=WEDNESDAY)
    assert again.move("09:31", WEDNESDAY) == ["1 exec 100@47", "1 Submitted", "1 fee 0"]
    again.book.close()


def test_the_book_goes_on_from_the_moment_of_its_last_change(thin_room: Room) -> None:
    thin_room.market.prints("AAA", ("10:20", 48.0), ("10:24", 50.0))
    thin_room.now = at("10:25")
    thin_room.place(1, "BUY", "LMT", 49.0)
    assert thin_room.book.last_time == at("10:25")
