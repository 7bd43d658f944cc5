"""Whether and at what price an order is filled, given a quote or the range prices moved through.

Pure decisions: no clock, no book, no market. An order that arrives meets the quote (top of book, as IB's paper trading
fills it); an order that rests meets the range of trades since it was last looked at, and is never filled at a price
outside that range. How many shares there are is ``liquidity``'s business. Called by ``order_floor`` only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import NamedTuple

from quant_pipeline.paper_gateway.exchange.orders import Action, Order, OrderType
from quant_pipeline.paper_gateway.exchange.trailing import followed, started, trails
from quant_pipeline.paper_gateway.markets.market import PriceRange, Quote

RangeOf = Callable[[dt.datetime, dt.datetime], PriceRange | None]
"""What a market says of one symbol: the trades after an instant up to another."""

MINUTE = dt.timedelta(minutes=1)
SECOND = dt.timedelta(seconds=1)


class Touch(NamedTuple):
    """Prices reached an order: it can be filled at ``price``, or is only triggered by it (None)."""

    price: float | None


class Stretch(NamedTuple):
    """A stretch of time after ``since`` up to ``until`` and the trades in it."""

    until: dt.datetime
    since: dt.datetime
    prices: PriceRange


def on_arrival(order: Order, quote: Quote) -> Touch | None:
    """What becomes of an order as it reaches the market; None when it rests.

    A market order takes the other side of the quote; so does a limit order that crosses it, and a stop whose price the
    last trade has already reached. A stop-limit that was reached takes it only where its limit allows. Where the quote
    lies beyond what the bar being played will have reached, the fill is at the last trade: a recorded bar says what
    traded, its quote is a model, and the end of the bar is not known yet.
    """
    buying = order.terms.action is Action.BUY
    touch = quote.ask if buying else quote.bid
    kind = order.working_type
    if kind.waits_for_trigger:
        stop = order.stop_price
        if stop is None or not (quote.last >= stop if buying else quote.last <= stop):
            return None
    if kind is OrderType.LIMIT and not _allows(order, touch):
        return None
    if kind is OrderType.STOP_LIMIT and not _allows(order, touch):
        return Touch(None)
    return Touch(touch if quote.lowest <= touch <= quote.highest else quote.last)


def in_range(order: Order, prices: PriceRange) -> Touch | None:
    """What trades in a range do to a resting order; None when they did not reach it.

    A limit is filled at its price or at the open that was better; a stop at its price or at the open that jumped over
    it; a market order is filled at the open.
    """
    kind = order.working_type
    if kind is OrderType.MARKET:
        return Touch(prices.open)
    if kind is OrderType.LIMIT:
        price = _limit_in(order, prices)
        return None if price is None else Touch(price)
    if kind is OrderType.TRAILING_STOP:
        price = _trailing_in(order, prices)
        return None if price is None else Touch(price)
    assert order.terms.stop_price is not None
    price = _stop_in(order, order.terms.stop_price, prices)
    if price is None:
        return None
    if kind is OrderType.STOP or _allows(order, price):
        return Touch(price)
    # The limit is further than the price that triggered it. Only when the very first trade triggered it do later
    # trades of the range certainly come after.
    return Touch(_limit_in(order, prices) if price == prices.open else None)


def in_turn(orders: list[Order]) -> list[Order]:
    """The orders one range may fill, in the order they are served.

    When a range reached both a stop and a target nobody knows which came first: stops and market orders do, so that no
    result looks better than it was. Then limits follow by price and time: whoever offers more goes first, and among
    equals the older order, which is the one with the smaller permanent id.
    """
    return sorted(orders, key=_turn)


def first_touch(orders: Sequence[Order], range_of: RangeOf, since: dt.datetime, until: dt.datetime) -> Stretch | None:
    """The first stretch in which trades reached one of the orders; None when none did.

    A stretch never holds trades of two minutes: between the last of a minute and the first of the next the price may
    have jumped over an order, which is then filled where it landed. It is a second long where a trailing stop moved in
    the stretch that reached it: which of the two came first is then the market's to say.
    """
    if until <= since:
        return None
    prices = range_of(since, until)
    if prices is None or all(in_range(order, prices) is None for order in orders):
        return None
    middle = _between(since, until, MINUTE)
    if middle is None and any(_in_doubt(order, prices) for order in orders):
        middle = _between(since, until, SECOND)
    if middle is None:
        return Stretch(until, since, prices)
    return first_touch(orders, range_of, since, middle) or first_touch(
        drawn_along(orders, range_of, since, middle), range_of, middle, until
    )


def drawn_along(orders: Sequence[Order], range_of: RangeOf, since: dt.datetime, until: dt.datetime) -> Sequence[Order]:
    """The orders, their trailing stops where trades in (since, until] have drawn them."""
    if not any(trails(order) for order in orders):
        return orders
    prices = range_of(since, until) if since < until else None
    return orders if prices is None else [followed(order, prices) for order in orders]


def _allows(order: Order, price: float) -> bool:
    """Whether the order's limit lets it trade at a price."""
    limit = order.terms.limit_price
    assert limit is not None
    return limit >= price if order.terms.action is Action.BUY else limit <= price


def _limit_in(order: Order, prices: PriceRange) -> float | None:
    limit = order.terms.limit_price
    assert limit is not None
    if order.terms.action is Action.BUY:
        return min(limit, prices.open) if prices.low <= limit else None
    return max(limit, prices.open) if prices.high >= limit else None


def _stop_in(order: Order, stop: float, prices: PriceRange) -> float | None:
    if order.terms.action is Action.BUY:
        return max(stop, prices.open) if prices.high >= stop else None
    return min(stop, prices.open) if prices.low <= stop else None


def _trailing_in(order: Order, prices: PriceRange) -> float | None:
    """Worst first: the stop as it stood; then as the range drew it, since the turn may have come after the extreme."""
    before, after = started(order, prices.open).trailing_stop, followed(order, prices).trailing_stop
    assert before is not None
    assert after is not None
    price = _stop_in(order, before, prices)
    if price is not None:
        return price
    reached = prices.high >= after if order.terms.action is Action.BUY else prices.low <= after
    return after if reached else None


def _in_doubt(order: Order, prices: PriceRange) -> bool:
    return trails(order) and in_range(order, prices) is not None and followed(order, prices) != order


def _turn(order: Order) -> tuple[bool, float, int]:
    limit = order.terms.limit_price
    if order.working_type is not OrderType.LIMIT or limit is None:
        return (False, 0.0, order.perm_id)
    return (True, -order.terms.action.sign * limit, order.perm_id)


def _between(since: dt.datetime, until: dt.datetime, unit: dt.timedelta) -> dt.datetime | None:
    """A whole second, or the last one of a minute, strictly between two instants, near their middle; None without."""
    half = since + (until - since) / 2
    middle = half.replace(microsecond=0) if unit == SECOND else half.replace(microsecond=0, second=0) - SECOND
    if middle <= since:
        middle += unit
    return middle if since < middle < until else None
