"""The door orders come in by: what is refused, and the legs that wait for the rest of their bracket.

Refusals are IB's codes. What an accepted order then does is ``order_floor``'s business; called by ``order_desk``.

Order ids: a client's new order has an id above every one it has used for an order, even in earlier sessions. Only the
client that placed an order may change or cancel it, under its id; to every other client the id means nothing. TWS lets
client 0 take over orders that were entered by hand; there are none here, so client 0 is like any other.
"""

from __future__ import annotations

from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.exchange.order_events import OrderRequest, Told
from quant_pipeline.paper_gateway.exchange.orders import Order, OrderTerms, Status
from quant_pipeline.paper_gateway.exchange.price_grid import on_grid

ORDERS_PER_SIDE = 20
"""How many live orders IB takes for one contract and side."""


class OrderEntry:
    """Orders that were not transmitted yet, by client, and the rules for those that want to come in."""

    def __init__(self, book: Book, orders_per_side: int | None = ORDERS_PER_SIDE) -> None:
        self._book = book
        self._orders_per_side = orders_per_side
        self._staged: dict[int, dict[int, OrderRequest]] = {}

    # ---- staging ------------------------------------------------------------------------------------------------

    def stage(self, request: OrderRequest) -> None:
        """Keep an order until the last leg of its bracket is transmitted."""
        self._staged.setdefault(request.client_id, {})[request.order_id] = request

    def unstage(self, client_id: int, order_id: int) -> bool:
        """Drop an order that was never transmitted; false where there is none."""
        return self._staged.get(client_id, {}).pop(order_id, None) is not None

    def forget(self, client_id: int) -> None:
        """Drop all that a client never transmitted."""
        self._staged.pop(client_id, None)

    def forget_all(self) -> None:
        """Drop all that nobody transmitted."""
        self._staged.clear()

    def take_family(self, request: OrderRequest) -> list[OrderRequest]:
        """Take the orders that are transmitted together with this one off the staging area, the parent first."""
        staged = self._staged[request.client_id]
        root = request.terms.parent_id or request.order_id
        ids = sorted(
            (order_id for order_id, other in staged.items() if root in (order_id, other.terms.parent_id)),
            key=lambda order_id: (order_id != root, order_id),
        )
        return [staged.pop(order_id) for order_id in ids]

    # ---- refusals -----------------------------------------------------------------------------------------------

    def refusal(self, request: OrderRequest, known: Order | None) -> Told | None:
        """Why an order, or the change of a ``known`` one, cannot be taken at all; None when it can."""
        if self._is_used(request, known):
            return told(request, 103, "Duplicate order id")
        if not all(on_grid(price) for price in _prices(request.terms)):
            return told(request, 110, "The price does not conform to the minimum price variation for this contract.")
        if known is not None:
            same = known.terms.symbol == request.terms.symbol and known.terms.action == request.terms.action
            if same and request.terms.quantity > known.filled:
                return None
            return told(request, 105, "Order being modified does not match original order")
        parent_id = request.terms.parent_id
        if parent_id and self.parent(request) is None and parent_id not in self._staged.get(request.client_id, {}):
            return told(request, 135, f"Can't find order with id = {parent_id}")
        return None

    def parent(self, request: OrderRequest) -> Order | None:
        """The accepted order a child can still belong to."""
        if not request.terms.parent_id:
            return None
        parent = self._book.find(request.client_id, request.terms.parent_id)
        usable = parent is not None and (parent.status.is_live or parent.status is Status.FILLED)
        return parent if usable else None

    def crowded(self, terms: OrderTerms) -> str:
        """Why one more order on this side of its contract is too many, or nothing when it is not."""
        if self._orders_per_side is None:
            return ""
        side = (terms.symbol, terms.action)
        working = sum((order.terms.symbol, order.terms.action) == side for order in self._book.live.values())
        if working < self._orders_per_side:
            return ""
        return (
            f"Minimum of {self._orders_per_side} orders working on either the buy or sell side for this particular "
            "contract"
        )

    def _is_used(self, request: OrderRequest, known: Order | None) -> bool:
        if known is not None:
            return not known.status.is_live
        staged = self._staged.get(request.client_id, {})
        highest = max(self._book.highest_order_id(request.client_id), *staged, 0)
        return request.order_id <= highest and request.order_id not in staged


def told(request: OrderRequest, code: int, text: str) -> Told:
    """A refusal under the id of the order it is about."""
    return Told(request.client_id, request.order_id, code, text)


def _prices(terms: OrderTerms) -> list[float]:
    named = (terms.limit_price, terms.stop_price, terms.trail_amount, terms.trail_stop)
    return [price for price in named if price is not None]
