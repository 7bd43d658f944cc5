"""How many shares an order can get: what is shown at the top of the book, and a share of what trades.

An order that arrives takes at most the size the quote shows on the other side; what is shown fills up again after a
second. An order that rests gets at most a share of the volume that traded at its price or through it, minute by minute,
and at least one round lot of a minute that reached it, where so much traded. What one order took, the next one on the
same side of the same stock does not find again. The share is the gateway's ``liquidity`` option; None fills every order
whole.

A range does not say at which of its prices how much was traded; its volume is taken to be spread evenly over it. Asked
by ``order_floor``; whether and at what price an order is filled is ``matching``'s business.
"""

from __future__ import annotations

import datetime as dt

from quant_pipeline.paper_gateway.exchange.matching import SECOND, RangeOf
from quant_pipeline.paper_gateway.exchange.orders import Action, Order, OrderType
from quant_pipeline.paper_gateway.markets.market import PriceRange, Quote

DEFAULT_SHARE = 0.1
"""A tenth of the volume: more than that and a real order would have moved the price."""

ROUND_LOT = 100
SHOWN_AGAIN = dt.timedelta(seconds=1)

Side = tuple[str, Action]


class Liquidity:
    """What is left for orders, by symbol and side. It forgets what a minute ago was taken, so nothing of it is kept."""

    def __init__(self, share: float | None = DEFAULT_SHARE) -> None:
        self._share = share
        self._shown: dict[Side, tuple[dt.datetime, int]] = {}
        self._traded: dict[Side, tuple[dt.datetime, int]] = {}

    def take_shown(self, order: Order, quote: Quote, now: dt.datetime) -> int:
        """Take as many shares of the other side of the quote as the order wants and finds; return how many."""
        if self._share is None:
            return order.remaining
        side = _side(order)
        since, taken = self._shown.get(side, (now, 0))
        if now - since >= SHOWN_AGAIN:
            since, taken = now, 0
        size = quote.ask_size if order.terms.action is Action.BUY else quote.bid_size
        shares = max(0, min(order.remaining, size - taken))
        self._shown[side] = (since, taken + shares)
        return shares

    def take_traded(self, order: Order, range_of: RangeOf, at: dt.datetime) -> int:
        """Take the order's share of what traded in the minute of ``at`` until then; return how many shares."""
        if self._share is None:
            return order.remaining
        minute = minute_before(at)
        prices = range_of(minute, at)
        side = _side(order)
        since, taken = self._traded.get(side, (minute, 0))
        if since != minute:
            since, taken = minute, 0
        traded = 0 if prices is None else prices.volume
        volume = 0.0 if prices is None else traded * share_through(order, prices)
        allowed = min(traded, max(ROUND_LOT, int(self._share * volume)))
        shares = max(0, min(order.remaining, allowed - taken))
        self._traded[side] = (since, taken + shares)
        return shares


def minute_before(at: dt.datetime) -> dt.datetime:
    """The last second of the minute before that of an instant: trades after it up to the instant are its minute's."""
    return at.replace(second=0, microsecond=0) - SECOND


def share_through(order: Order, prices: PriceRange) -> float:
    """The share of a range's volume that traded at an order's price or beyond it, 0 to 1."""
    price = order.terms.limit_price if order.working_type is OrderType.LIMIT else order.stop_price
    width = prices.high - prices.low
    if price is None or order.working_type is OrderType.MARKET or width <= 0:
        return 1.0
    # A limit to buy and a stop to sell are reached from above, their counterparts from below.
    from_above = (order.terms.action is Action.BUY) is (order.working_type is OrderType.LIMIT)
    reached = price - prices.low if from_above else prices.high - price
    return min(max(reached / width, 0.0), 1.0)


def _side(order: Order) -> Side:
    return (order.terms.symbol, order.terms.action)
