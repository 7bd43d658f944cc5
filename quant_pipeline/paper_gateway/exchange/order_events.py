"""What happens to orders, as frozen facts in the order they happened.

``order_desk`` and ``order_rules`` produce them, ``server`` hands each to the client it concerns, ``order_replies`` puts
them on the wire. No behaviour belongs here.
"""

from __future__ import annotations

from dataclasses import dataclass

from quant_pipeline.paper_gateway.exchange.orders import Execution, Order, OrderTerms


@dataclass(frozen=True)
class OrderReported:
    """The order as it now stands; told as open order and status, or as status alone."""

    order: Order
    status_only: bool = False


@dataclass(frozen=True)
class Executed:
    """A fill, told before the status that counts it."""

    execution: Execution


@dataclass(frozen=True)
class Charged:
    """The commission of a fill, told after it."""

    execution: Execution


@dataclass(frozen=True)
class Told:
    """An error or a warning about an order id, by IB's code."""

    client_id: int
    order_id: int
    code: int
    text: str


OrderEvent = OrderReported | Executed | Charged | Told


@dataclass(frozen=True)
class OrderRequest:
    """An order as it arrives; ``transmit`` false keeps it waiting for the last leg of its bracket."""

    client_id: int
    order_id: int
    terms: OrderTerms
    transmit: bool = True
