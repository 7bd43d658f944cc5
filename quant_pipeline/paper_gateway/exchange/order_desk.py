"""The life of an order: accepted or refused, asleep behind its parent, working, filled, cancelled, expired.

Every method takes the time it happens at, writes the book in one transaction and returns what happened in the order
clients are to hear it. ``order_entry`` says what is refused, ``order_floor`` works what was accepted, margin is
``account_values``', storage ``book``'s; nothing here knows the wire. Called by ``server`` when an order arrives and
about four times a second.

What of IB's rules is kept: children become active when their parent is filled completely; they sleep while it is filled
in part, and are cancelled with it when its rest is cancelled or expires, so that the part that was filled is then
without them. Orders trade in regular hours only; one that asks for more is warned with 2109 and waits for the open.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from quant_pipeline.paper_gateway.exchange.account_values import Accountant
from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.exchange.liquidity import DEFAULT_SHARE, Liquidity
from quant_pipeline.paper_gateway.exchange.order_entry import ORDERS_PER_SIDE, OrderEntry, told
from quant_pipeline.paper_gateway.exchange.order_events import OrderEvent, OrderReported, OrderRequest, Told
from quant_pipeline.paper_gateway.exchange.order_floor import BY_CLIENT, CANCELLED_TEXT, OrderFloor, awake
from quant_pipeline.paper_gateway.exchange.orders import HELD_FOR_PARENT, Order, OrderTerms, Status, TimeInForce
from quant_pipeline.paper_gateway.exchange.trading_hours import closing_after, is_open, sessions_within
from quant_pipeline.paper_gateway.markets.market import Market

NOT_YET_TEXT = "Order Message: Warning: your order will not be placed at the exchange until the market opens."
REGULAR_HOURS_TEXT = (
    "Order Event Warning: Attribute 'Outside Regular Trading Hours' is ignored based on the order type and "
    "destination. PlaceOrder is now being processed."
)


class OrderDesk:
    """Accepts, works and ends the orders of one book on one market.

    Args:
        market: Where prices come from.
        book: Where orders are kept.
        accountant: Says what can be afforded.
        now: When it starts; the book's own time comes first.
        liquidity: Share of the traded volume an order gets, above 0 to 1; None fills every order whole.
        orders_per_side: Live orders on one side of a contract; None takes any number.
    """

    def __init__(
        self,
        market: Market,
        book: Book,
        accountant: Accountant,
        now: dt.datetime,
        *,
        liquidity: float | None = DEFAULT_SHARE,
        orders_per_side: int | None = ORDERS_PER_SIDE,
    ) -> None:
        self.book = book
        self.accountant = accountant
        self._entry = OrderEntry(book, orders_per_side)
        self._floor = OrderFloor(market, book, Liquidity(liquidity))
        self.matched_until = book.last_time or now
        """Orders have met all that traded until then; the time a restarted gateway goes on from."""

    # ---- what clients ask ---------------------------------------------------------------------------------------

    def place(self, request: OrderRequest, now: dt.datetime) -> list[OrderEvent]:
        """Accept a new order or the change of one, or refuse it with IB's code."""
        with self._transaction(now):
            events = self._advance(now)
            self.book.saw_order_id(request.order_id)
            known = self.book.find(request.client_id, request.order_id)
            refusal = self._entry.refusal(request, known)
            if refusal is not None:
                return [*events, refusal]
            if known is not None:
                return [*events, *self._modify(known, request.terms, now)]
            self._entry.stage(request)
            if not request.transmit:
                return events
            return [*events, *self._transmit(self._entry.take_family(request), now)]

    def cancel(self, client_id: int, order_id: int, now: dt.datetime) -> list[OrderEvent]:
        """Cancel an order and the children that wait for it."""
        if self._entry.unstage(client_id, order_id):
            return [Told(client_id, order_id, 202, CANCELLED_TEXT)]
        with self._transaction(now):
            events = self._advance(now)
            order = self.book.find(client_id, order_id)
            if order is None:
                text = f"OrderId {order_id} that needs to be cancelled is not found."
                return [*events, Told(client_id, order_id, 10147, text)]
            if not order.status.is_live:
                text = f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {order.status}."
                return [*events, Told(client_id, order_id, 10148, text)]
            return [*events, *self._floor.end(order, now, BY_CLIENT)]

    def cancel_all(self, now: dt.datetime) -> list[OrderEvent]:
        """Cancel every live order of every client."""
        self._entry.forget_all()
        with self._transaction(now):
            events = self._advance(now)
            for perm_id in list(self.book.live):
                if perm_id in self.book.live:
                    events += self._floor.end(self.book.live[perm_id], now, "Cancelled by global cancel")
            return events

    def fill_all_the_same(self, perm_id: int, now: dt.datetime) -> list[OrderEvent]:
        """Fill an order whose cancel crossed its fill on the way; only a fault asks for it."""
        with self._transaction(now):
            events = self._advance(now)
            order = self.book.live.get(perm_id)
            return events if order is None else [*events, *self._floor.fill_whole(order, now)]

    def forget_staged(self, client_id: int) -> None:
        """Drop what a client never transmitted; it was never acknowledged either."""
        self._entry.forget(client_id)

    def advance(self, now: dt.datetime) -> list[OrderEvent]:
        """Match resting orders against all trades up to ``now``; open and close the sessions that lie between."""
        if not self.book.live:
            self.matched_until = max(self.matched_until, now)
            return []
        with self._transaction(now):
            return self._advance(now)

    # ---- accepting ----------------------------------------------------------------------------------------------

    def _transmit(self, family: list[OrderRequest], now: dt.datetime) -> list[OrderEvent]:
        events: list[OrderEvent] = []
        accepted: list[Order] = []
        for request in family:
            parent = self._entry.parent(request)
            if request.terms.parent_id and parent is None:
                events.append(told(request, 201, "Order rejected - reason:The parent order was not accepted."))
                continue
            order = self._new_order(request, parent, now)
            refusal = self._entry.crowded(order.terms) or self._shortfall(order, now)
            if refusal:
                order = replace(order, status=Status.INACTIVE, completed_at=now, completed_status="Rejected")
                events.append(OrderReported(self.book.save(order)))
                events.append(told(request, 201, f"Order rejected - reason:{refusal}"))
                continue
            accepted.append(self.book.save(order))
            events += self._floor.locate(order, now) or self._acknowledgement(order, now)
        for order in accepted:
            events += self._floor.arrive(order.perm_id, now)
        return events

    def _new_order(self, request: OrderRequest, parent: Order | None, now: dt.datetime) -> Order:
        asleep = parent is not None and parent.status.is_live
        terms = request.terms
        if parent is not None and not terms.oca_group:
            terms = replace(terms, oca_group=str(parent.perm_id))
        order = Order(
            perm_id=self.book.next_perm_id(),
            client_id=request.client_id,
            order_id=request.order_id,
            terms=terms,
            status=Status.PRE_SUBMITTED,
            why_held=HELD_FOR_PARENT if asleep else "",
            parent_perm_id=parent.perm_id if parent else 0,
            placed_at=now,
            expires_at=closing_after(now) if terms.tif is TimeInForce.DAY else None,
        )
        return order if asleep else awake(order, open_now=is_open(now))

    def _shortfall(self, order: Order, now: dt.datetime, replaced: Order | None = None) -> str:
        """Why an order cannot be afforded; children need nothing, since they close what their parent opened."""
        if order.parent_perm_id:
            return ""
        terms = replace(order.terms, quantity=order.remaining)
        return self.accountant.shortfall(terms, self.book, now, replaced)

    def _acknowledgement(self, order: Order, now: dt.datetime) -> list[OrderEvent]:
        reported: list[OrderEvent] = [OrderReported(order)]
        if order.terms.outside_rth:
            reported.append(Told(order.client_id, order.order_id, 2109, REGULAR_HOURS_TEXT))
        if order.is_working and not is_open(now):
            reported.append(Told(order.client_id, order.order_id, 399, NOT_YET_TEXT))
        return reported

    def _modify(self, order: Order, terms: OrderTerms, now: dt.datetime) -> list[OrderEvent]:
        terms = replace(terms, oca_group=terms.oca_group or order.terms.oca_group, parent_id=order.terms.parent_id)
        changed = replace(
            order,
            terms=terms,
            expires_at=closing_after(now) if terms.tif is TimeInForce.DAY else None,
            triggered=order.triggered and terms.order_type is order.terms.order_type,
            trailing_stop=order.trailing_stop if _trails_alike(terms, order.terms) else None,
        )
        shortfall = self._shortfall(changed, now, replaced=order)
        if shortfall:
            text = f"Order rejected - reason:{shortfall}"
            return [Told(order.client_id, order.order_id, 201, text), OrderReported(order)]
        if changed.why_held != HELD_FOR_PARENT:
            changed = awake(changed, open_now=is_open(now))
        self.book.save(changed)
        return [OrderReported(changed), *self._floor.arrive(changed.perm_id, now)]

    # ---- time ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self, now: dt.datetime) -> Iterator[None]:
        matched_until = self.matched_until
        try:
            with self.book.transaction(now):
                yield
        except BaseException:
            self.matched_until = matched_until
            raise

    def _advance(self, now: dt.datetime) -> list[OrderEvent]:
        since = self.matched_until
        if now <= since:
            return []
        events: list[OrderEvent] = []
        for session, start, end in sessions_within(since, now):
            events += self._floor.open_session()
            events += self._floor.match(start, end)
            if session.closes <= end:
                events += self._floor.expire(end)
        if is_open(now):
            events += self._floor.release_located(now)
        self.matched_until = now
        return events


def _trails_alike(terms: OrderTerms, other: OrderTerms) -> bool:
    """Whether a trailing stop goes on from where it stands after a change."""
    return (terms.order_type, terms.trail_amount, terms.trail_percent, terms.trail_stop) == (
        other.order_type,
        other.trail_amount,
        other.trail_percent,
        other.trail_stop,
    )
