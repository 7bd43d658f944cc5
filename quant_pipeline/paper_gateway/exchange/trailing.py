"""Where the stop of a trailing order stands, and how it follows prices.

The stop of a sale follows the highest trade from below and never falls back, that of a purchase mirrors it. It stands
on the tick grid, rounded away from the market, so that it is never reached sooner than its distance says. Pure
arithmetic on one order; ``matching`` decides when such a stop is reached, ``order_floor`` keeps it.
"""

from __future__ import annotations

import math
from dataclasses import replace

from quant_pipeline.paper_gateway.exchange.orders import Action, Order, OrderType
from quant_pipeline.paper_gateway.exchange.price_grid import tick_size
from quant_pipeline.paper_gateway.markets.market import PriceRange


def trails(order: Order) -> bool:
    """Whether the order has a stop that still moves."""
    return order.terms.order_type is OrderType.TRAILING_STOP and not order.triggered


def started(order: Order, reference: float) -> Order:
    """A trailing order with a stop: its own first one, or its distance away from the price it starts at."""
    if not trails(order) or order.trailing_stop is not None:
        return order
    first = order.terms.trail_stop
    return replace(order, trailing_stop=_behind(order, reference) if first is None else first)


def followed(order: Order, prices: PriceRange) -> Order:
    """The order with its stop where trades in a range have drawn it, whichever order they came in."""
    if not trails(order):
        return order
    order = started(order, prices.open)
    assert order.trailing_stop is not None
    if order.terms.action is Action.BUY:
        return replace(order, trailing_stop=min(order.trailing_stop, _behind(order, prices.low)))
    return replace(order, trailing_stop=max(order.trailing_stop, _behind(order, prices.high)))


def _behind(order: Order, price: float) -> float:
    """The stop that belongs to a price; at least a tick, however far the distance reaches."""
    terms = order.terms
    distance = terms.trail_amount if terms.trail_percent is None else price * terms.trail_percent / 100
    assert distance is not None
    exact = price + terms.action.sign * distance
    tick = tick_size(exact)
    ticks = math.ceil(exact / tick - 1e-6) if terms.action is Action.BUY else math.floor(exact / tick + 1e-6)
    return max(tick, round(ticks * tick, 4))
