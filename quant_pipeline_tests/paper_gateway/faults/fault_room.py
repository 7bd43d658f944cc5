"""What the tests of faults share: a gateway, a client, a bracket, and arming a fault while both run."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ib_insync import IB, LimitOrder, Trade

from quant_pipeline.paper_gateway.faults.armed import Armed
from quant_pipeline.paper_gateway.faults.fault import Fault
from quant_pipeline_tests.paper_gateway.gateway_room import GatewayRoom, stock, until

LEGS = ("entry", "target", "stop")


def arm(room: GatewayRoom, what: str, **how: Any) -> Armed:
    """Arm a fault of a running gateway."""
    armed = room.call(lambda: room.gateway.faults.add(Fault(what, **how)))
    assert isinstance(armed, Armed)
    return armed


def buy(ib: IB, price: float = 49.0, quantity: int = 10, ref: str = "s:AAA:entry", symbol: str = "AAA") -> Trade:
    """A limit order to buy."""
    return ib.placeOrder(stock(symbol), LimitOrder("BUY", quantity, price, orderRef=ref, tif="DAY"))


def bracket(ib: IB, entry: float = 49.0, target: float = 51.0, stop: float = 48.0) -> list[Trade]:
    """A bracket of 100 AAA."""
    orders = ib.bracketOrder("BUY", 100, entry, target, stop)
    for order, leg in zip(orders, LEGS, strict=True):
        order.orderRef, order.tif = f"s:AAA:{leg}", "DAY" if leg == "entry" else "GTC"
    return [ib.placeOrder(stock("AAA"), order) for order in orders]


def status(trade: Trade) -> str:
    """Where the client library believes an order stands."""
    return trade.orderStatus.status


def book_of(room: GatewayRoom) -> dict[str, tuple[str, int]]:
    """What the gateway's book says of every order, by reference: its status and the shares filled."""

    def read() -> dict[str, tuple[str, int]]:
        book = room.gateway.book
        orders = [*book.live.values(), *book.completed_since(room.clock.now().replace(hour=0))]
        return {order.terms.order_ref: (str(order.status), order.filled) for order in orders}

    found = room.call(read)
    assert isinstance(found, dict)
    return found


def wait_cut_off(ib: IB) -> None:
    """Wait until the gateway has closed the connection; the library raises while it sleeps when it is."""
    with suppress(ConnectionError):
        until(ib, lambda: not ib.isConnected())
    assert not ib.isConnected()
