"""Whether and at what price an order is filled, given a quote or the range prices moved through.

Pure decisions: no clock, no book, no market. An order that arrives meets the quote (top of book, as IB's paper trading
fills it); an order that rests meets the range of trades since it was last looked at, and is never filled at a price
outside that range. Called by ``order_desk`` only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

from quant_pipeline.paper_gateway.exchange.orders import Action, Order, OrderTerms, OrderType
from quant_pipeline.paper_gateway.markets.market import PriceRange, Quote

FINEST_STEP = dt.timedelta(minutes=1)
"""Longer stretches are cut down to this when prices touched an order, to find out when."""

SUB_DOLLAR_TICK = 0.0001
DOLLAR_TICK = 0.01


def tick_size(price: float) -> float:
    """The grid US stocks are quoted on: $0.0001 below a dollar, one cent from there on."""
    return SUB_DOLLAR_TICK if price < 1 else DOLLAR_TICK


def on_grid(price: float) -> bool:
    """Whether a price is positive and a whole number of ticks."""
    ticks = price / tick_size(price)
    return price > 0 and abs(ticks - round(ticks)) < 1e-6 * max(1.0, ticks)


def price_on_arrival(terms: OrderTerms, quote: Quote) -> float | None:
    """The price at which an order is filled as it reaches the market, or None when it rests.

    A market order takes the other side of the quote; so does a limit order that crosses it, and a stop whose price the
    last trade has already reached.
    """
    buying = terms.action is Action.BUY
    touch = quote.ask if buying else quote.bid
    if terms.order_type is OrderType.MARKET:
        return touch
    if terms.order_type is OrderType.LIMIT:
        assert terms.limit_price is not None
        crosses = terms.limit_price >= touch if buying else terms.limit_price <= touch
        return touch if crosses else None
    assert terms.stop_price is not None
    triggered = quote.last >= terms.stop_price if buying else quote.last <= terms.stop_price
    return touch if triggered else None


def price_in_range(terms: OrderTerms, prices: PriceRange) -> float | None:
    """The price at which a resting order is filled by trades in a range, or None when they did not reach it.

    A limit is filled at its price or at the open that was better; a stop at its price or at the open that jumped over
    it; a market order that waited for the open is filled there.
    """
    buying = terms.action is Action.BUY
    if terms.order_type is OrderType.MARKET:
        return prices.open
    if terms.order_type is OrderType.LIMIT:
        assert terms.limit_price is not None
        if buying:
            return min(terms.limit_price, prices.open) if prices.low <= terms.limit_price else None
        return max(terms.limit_price, prices.open) if prices.high >= terms.limit_price else None
    assert terms.stop_price is not None
    if buying:
        return max(terms.stop_price, prices.open) if prices.high >= terms.stop_price else None
    return min(terms.stop_price, prices.open) if prices.low <= terms.stop_price else None


def in_turn(orders: list[Order]) -> list[Order]:
    """The orders one range may fill, in the order they are served.

    When a range reached both a stop and a target nobody knows which came first: the stop does, so that no result looks
    better than it was. Among equals the older order goes first.
    """
    return sorted(orders, key=lambda order: (order.terms.order_type is not OrderType.STOP, order.perm_id))


class Stretch(NamedTuple):
    """A stretch of time after ``since`` up to ``until`` and the trades in it."""

    until: dt.datetime
    since: dt.datetime
    prices: PriceRange


def first_touch(
    orders: list[Order],
    price_range: Callable[[dt.datetime, dt.datetime], PriceRange | None],
    since: dt.datetime,
    until: dt.datetime,
) -> Stretch | None:
    """The first stretch, a minute long at most, in which trades reached one of the orders; None when none did."""
    if until <= since:
        return None
    prices = price_range(since, until)
    if prices is None or all(price_in_range(order.terms, prices) is None for order in orders):
        return None
    middle = _middle(since, until)
    if middle is None:
        return Stretch(until, since, prices)
    return first_touch(orders, price_range, since, middle) or first_touch(orders, price_range, middle, until)


def _middle(since: dt.datetime, until: dt.datetime) -> dt.datetime | None:
    """A whole minute strictly between two instants, near their middle; None where there is none or no need."""
    if until - since <= FINEST_STEP:
        return None
    half = since + (until - since) / 2
    middle = half.replace(second=0, microsecond=0)
    if middle <= since:
        middle += FINEST_STEP
    return middle if since < middle < until else None
