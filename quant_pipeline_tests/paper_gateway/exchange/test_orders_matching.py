"""At what price an order fills: never outside what was quoted or traded, and never better than it could have been."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.paper_gateway.exchange.matching import (
    first_touch,
    in_range,
    in_turn,
    on_arrival,
)
from quant_pipeline.paper_gateway.exchange.orders import Action, Order, OrderTerms, OrderType, Status, TimeInForce
from quant_pipeline.paper_gateway.exchange.portfolio import Portfolio, commission
from quant_pipeline.paper_gateway.exchange.price_grid import on_grid
from quant_pipeline.paper_gateway.markets.market import PriceRange, Quote
from quant_pipeline_tests.paper_gateway.scripted_market import ScriptedMarket, at


def terms(action: str, kind: str, price: float | None = None) -> OrderTerms:
    limit, stop = (price, None) if kind == "LMT" else (None, price)
    return OrderTerms("AAA", Action(action), 100, OrderType(kind), limit, stop, TimeInForce.GTC)


def order(kind: str, price: float | None, perm_id: int = 1, action: str = "SELL") -> Order:
    return Order(perm_id, 1, perm_id, terms(action, kind, price), Status.SUBMITTED, "", 0, at("10:00"), None)


def arrives_at(order: Order, quote: Quote) -> float | None:
    touch = on_arrival(order, quote)
    return None if touch is None else touch.price


def fills_at(order: Order, prices: PriceRange) -> float | None:
    touch = in_range(order, prices)
    return None if touch is None else touch.price


QUOTE = ScriptedMarket().quote("AAA", at("10:15"))
assert QUOTE is not None


@pytest.mark.parametrize("action", ["BUY", "SELL"])
def test_a_quote_beyond_its_bar_fills_at_the_last_trade_and_not_at_an_end_nobody_knows_yet(action: str) -> None:
    assert QUOTE is not None
    narrow = replace(QUOTE, lowest=49.995, highest=50.005)
    assert arrives_at(order("MKT", None, action=action), narrow) == narrow.last == 50.0


@pytest.mark.parametrize(
    ("action", "kind", "price", "filled"),
    [
        ("BUY", "MKT", None, 50.01),
        ("SELL", "MKT", None, 49.99),
        ("BUY", "LMT", 50.01, 50.01),
        ("BUY", "LMT", 51.00, 50.01),
        ("BUY", "LMT", 50.00, None),
        ("SELL", "LMT", 49.50, 49.99),
        ("SELL", "LMT", 50.00, None),
        ("BUY", "STP", 50.00, 50.01),
        ("BUY", "STP", 50.01, None),
        ("SELL", "STP", 50.00, 49.99),
        ("SELL", "STP", 49.99, None),
    ],
)
def test_an_arriving_order_meets_the_top_of_the_book(
    action: str, kind: str, price: float | None, filled: float | None
) -> None:
    assert QUOTE is not None
    assert arrives_at(order(kind, price, action=action), QUOTE) == filled


@pytest.mark.parametrize(
    ("action", "kind", "price", "filled"),
    [
        ("BUY", "LMT", 49.00, 49.00),  # touched exactly at the low
        ("BUY", "LMT", 48.99, None),
        ("BUY", "LMT", 50.50, 50.00),  # opened better
        ("SELL", "LMT", 52.00, 52.00),
        ("SELL", "LMT", 52.01, None),
        ("SELL", "LMT", 49.50, 50.00),  # opened better
        ("SELL", "STP", 49.00, 49.00),
        ("SELL", "STP", 50.40, 50.00),  # the open jumped over it
        ("SELL", "STP", 48.99, None),
        ("BUY", "STP", 52.00, 52.00),
        ("BUY", "STP", 49.50, 50.00),  # the open jumped over it
        ("BUY", "STP", 52.01, None),
        ("BUY", "MKT", None, 50.00),
    ],
)
def test_a_resting_order_is_filled_by_the_range_that_reaches_it(
    action: str, kind: str, price: float | None, filled: float | None
) -> None:
    assert fills_at(order(kind, price, action=action), PriceRange(50.0, 52.0, 49.0, 51.0, 1000)) == filled


prices = st.integers(100, 20_000).map(lambda cents: cents / 100)


@given(
    st.lists(prices, min_size=2, max_size=6), prices, st.sampled_from(["BUY", "SELL"]), st.sampled_from(["LMT", "STP"])
)
def test_nothing_fills_at_a_price_the_range_did_not_reach(
    path: list[float], price: float, action: str, kind: str
) -> None:
    moved = PriceRange(path[0], max(path), min(path), path[-1], 100)
    filled = fills_at(order(kind, price, action=action), moved)
    if filled is not None:
        assert moved.low <= filled <= moved.high
        worse = filled > price if action == "BUY" else filled < price
        assert not worse if kind == "LMT" else worse or filled == price


def test_when_a_range_reached_stop_and_target_the_stop_is_served_first() -> None:
    target, stop = order("LMT", 51.0, 1), order("STP", 49.0, 2)
    assert in_turn([target, stop]) == [stop, target]


def test_the_first_touch_is_found_to_the_minute_however_long_the_stretch() -> None:
    market = ScriptedMarket()
    market.prints("AAA", ("10:20", 50.5), ("11:37:30", 51.2), ("11:50", 49.0))
    resting = [order("LMT", 51.0, 1), order("STP", 49.5, 2)]
    touch = first_touch(resting, lambda a, b: market.price_range("AAA", a, b), at("10:15"), at("15:00"))
    assert touch is not None
    assert (touch.since, touch.until) == (at("11:36:59"), at("11:37:59"))
    later = first_touch(resting[1:], lambda a, b: market.price_range("AAA", a, b), at("10:15"), at("15:00"))
    assert later is not None
    assert later.until - later.since <= dt.timedelta(minutes=1)
    assert later.since < at("11:50") <= later.until


@given(st.integers(1, 400_000))
def test_cents_are_on_the_grid_from_a_dollar_on_and_hundredths_of_them_below(ticks: int) -> None:
    assert on_grid(ticks / 10_000) == (ticks < 10_000 or ticks % 100 == 0)


@pytest.mark.parametrize("price", [0.0, -1.0, 10.001, 150.255])
def test_other_prices_are_off_the_grid(price: float) -> None:
    assert not on_grid(price)


@pytest.mark.parametrize(
    ("shares", "price", "fee"),
    [(1000, 50.0, 5.0), (10, 50.0, 1.0), (200, 50.0, 1.0), (201, 50.0, 1.005), (10, 5.0, 0.5), (1000, 0.2, 2.0)],
)
def test_commission_is_half_a_cent_a_share_within_a_dollar_and_one_percent(
    shares: int, price: float, fee: float
) -> None:
    assert commission(shares, price) == pytest.approx(fee)


trades = st.lists(st.tuples(st.integers(-500, 500).filter(bool), prices), min_size=1, max_size=12)


@given(trades)
def test_cash_positions_and_profit_always_add_up(history: list[tuple[int, float]]) -> None:
    portfolio = Portfolio(100_000.0)
    realized = 0.0
    for shares, price in history:
        realized += portfolio.apply("AAA", shares, price, commission(abs(shares), price)) or 0.0
    position = portfolio.positions["AAA"]
    last = history[-1][1]
    worth = portfolio.cash + position.quantity * last
    unrealized = position.quantity * (last - position.average_cost)
    assert position.quantity == sum(shares for shares, _ in history)
    assert position.realized_pnl == pytest.approx(realized)
    assert worth == pytest.approx(100_000.0 + realized + unrealized)


def test_an_order_that_is_asleep_is_not_working() -> None:
    assert order("LMT", 51.0).is_working
    assert not replace(order("LMT", 51.0), why_held="child").is_working
