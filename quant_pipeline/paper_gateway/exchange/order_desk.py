"""The life of an order: accepted or refused, asleep behind its parent, working, filled, cancelled, expired.

Every method takes the time it happens at, writes the book in one transaction and returns what happened in the order
clients are to hear it. Prices are decided by ``matching``, margin by ``account_values``, storage by ``book``; nothing
here knows the wire. Called by ``server`` when an order arrives and about four times a second.
"""

from __future__ import annotations

import datetime as dt
import heapq
from dataclasses import replace

from quant_pipeline.paper_gateway.exchange.account_values import Accountant
from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.exchange.matching import (
    Stretch,
    first_touch,
    in_turn,
    on_grid,
    price_in_range,
    price_on_arrival,
)
from quant_pipeline.paper_gateway.exchange.order_events import (
    Charged,
    Executed,
    OrderEvent,
    OrderReported,
    OrderRequest,
    Told,
)
from quant_pipeline.paper_gateway.exchange.orders import (
    HELD_FOR_PARENT,
    HELD_FOR_TRIGGER,
    Order,
    OrderTerms,
    OrderType,
    Status,
    TimeInForce,
)
from quant_pipeline.paper_gateway.exchange.trading_hours import closing_after, is_open, sessions_within
from quant_pipeline.paper_gateway.markets.market import Market

CANCELLED_TEXT = "Order Canceled - reason:"


class OrderDesk:
    """Accepts, works and ends the orders of one book on one market."""

    def __init__(self, market: Market, book: Book, accountant: Accountant, now: dt.datetime) -> None:
        self.market = market
        self.book = book
        self.accountant = accountant
        self._staged: dict[int, dict[int, OrderRequest]] = {}
        self._matched_until = book.last_time or now
        self._matched_ahead: dict[str, dt.datetime] = {}

    # ---- what clients ask ---------------------------------------------------------------------------------------

    def place(self, request: OrderRequest, now: dt.datetime) -> list[OrderEvent]:
        """Accept a new order or the change of one, or refuse it with IB's code."""
        with self.book.transaction():
            events = self._advance(now, only=request.terms.symbol)
            self.book.saw_order_id(request.order_id)
            known = self.book.find(request.client_id, request.order_id)
            refusal = self._refusal(request, known)
            if refusal is not None:
                return [*events, refusal]
            if known is not None:
                return [*events, *self._modify(known, request.terms, now)]
            staged = self._staged.setdefault(request.client_id, {})
            staged[request.order_id] = request
            if not request.transmit:
                return events
            return [*events, *self._transmit(self._family(request), now)]

    def cancel(self, client_id: int, order_id: int, now: dt.datetime) -> list[OrderEvent]:
        """Cancel an order and the children that wait for it."""
        if self._staged.get(client_id, {}).pop(order_id, None) is not None:
            return [Told(client_id, order_id, 202, CANCELLED_TEXT)]
        with self.book.transaction():
            order = self.book.find(client_id, order_id)
            if order is None:
                text = f"OrderId {order_id} that needs to be cancelled is not found."
                return [Told(client_id, order_id, 10147, text)]
            events = self._advance(now, only=order.terms.symbol)
            order = self.book.order(order.perm_id)
            if not order.status.is_live:
                text = f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {order.status}."
                return [*events, Told(client_id, order_id, 10148, text)]
            return [*events, *self._end(order, now, "Cancelled by client")]

    def cancel_all(self, now: dt.datetime) -> list[OrderEvent]:
        """Cancel every live order of every client."""
        self._staged.clear()
        with self.book.transaction():
            events = self._advance(now)
            for perm_id in list(self.book.live):
                if perm_id in self.book.live:
                    events += self._end(self.book.live[perm_id], now, "Cancelled by global cancel")
            return events

    def forget_staged(self, client_id: int) -> None:
        """Drop what a client never transmitted; it was never acknowledged either."""
        self._staged.pop(client_id, None)

    def advance(self, now: dt.datetime) -> list[OrderEvent]:
        """Match resting orders against all trades up to ``now``; open and close the sessions that lie between."""
        if not self.book.live:
            self._matched_until = max(self._matched_until, now)
            self._matched_ahead.clear()
            return []
        with self.book.transaction():
            return self._advance(now)

    # ---- accepting ----------------------------------------------------------------------------------------------

    def _refusal(self, request: OrderRequest, known: Order | None) -> Told | None:
        terms = request.terms
        if known is not None and not known.status.is_live:
            return _told(request, 103, "Duplicate order id")
        for price in (terms.limit_price, terms.stop_price):
            if price is not None and not on_grid(price):
                text = "The price does not conform to the minimum price variation for this contract."
                return _told(request, 110, text)
        if known is not None:
            same = known.terms.symbol == terms.symbol and known.terms.action == terms.action
            if not same or terms.quantity <= known.filled:
                return _told(request, 105, "Order being modified does not match original order")
            return None
        if terms.parent_id and self._parent(request) is None:
            if terms.parent_id in self._staged.get(request.client_id, {}):
                return None
            return _told(request, 135, f"Can't find order with id = {terms.parent_id}")
        return None

    def _parent(self, request: OrderRequest) -> Order | None:
        if not request.terms.parent_id:
            return None
        parent = self.book.find(request.client_id, request.terms.parent_id)
        usable = parent is not None and (parent.status.is_live or parent.status is Status.FILLED)
        return parent if usable else None

    def _family(self, request: OrderRequest) -> list[OrderRequest]:
        """Take the orders that are transmitted together with this one off the staging area, the parent first."""
        staged = self._staged[request.client_id]
        root = request.terms.parent_id or request.order_id
        ids = sorted(
            (order_id for order_id, other in staged.items() if root in (order_id, other.terms.parent_id)),
            key=lambda order_id: (order_id != root, order_id),
        )
        return [staged.pop(order_id) for order_id in ids]

    def _transmit(self, family: list[OrderRequest], now: dt.datetime) -> list[OrderEvent]:
        events: list[OrderEvent] = []
        accepted: list[Order] = []
        for request in family:
            parent = self._parent(request)
            if request.terms.parent_id and parent is None:
                events.append(_told(request, 201, "Order rejected - reason:The parent order was not accepted."))
                continue
            order = self._new_order(request, parent, now)
            shortfall = "" if parent else self.accountant.shortfall(order.terms, self.book, now)
            if shortfall:
                order = replace(order, status=Status.INACTIVE, completed_at=now, completed_status="Rejected")
                events.append(OrderReported(self.book.save(order)))
                events.append(_told(request, 201, f"Order rejected - reason:{shortfall}"))
                continue
            accepted.append(self.book.save(order))
            events += self._acknowledgement(order, now)
        for order in accepted:
            events += self._arrive(order.perm_id, now)
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
        return order if asleep else _awake(order, open_now=is_open(now))

    def _acknowledgement(self, order: Order, now: dt.datetime) -> list[OrderEvent]:
        told: list[OrderEvent] = [OrderReported(order)]
        if order.is_working and not is_open(now):
            text = "Order Message: Warning: your order will not be placed at the exchange until the market opens."
            told.append(Told(order.client_id, order.order_id, 399, text))
        return told

    def _modify(self, order: Order, terms: OrderTerms, now: dt.datetime) -> list[OrderEvent]:
        if not order.parent_perm_id:
            shortfall = self.accountant.shortfall(terms, self.book, now, replaced=order)
            if shortfall:
                text = f"Order rejected - reason:{shortfall}"
                return [Told(order.client_id, order.order_id, 201, text), OrderReported(order)]
        terms = replace(terms, oca_group=terms.oca_group or order.terms.oca_group, parent_id=order.terms.parent_id)
        expires_at = closing_after(now) if terms.tif is TimeInForce.DAY else None
        order = replace(order, terms=terms, expires_at=expires_at)
        if order.is_working:
            order = _awake(order, open_now=is_open(now))
        self.book.save(order)
        return [OrderReported(order), *self._arrive(order.perm_id, now)]

    # ---- filling ------------------------------------------------------------------------------------------------

    def _arrive(self, perm_id: int, now: dt.datetime) -> list[OrderEvent]:
        """Fill an order against the quote if it can trade the moment it reaches the market."""
        order = self.book.live.get(perm_id)
        if order is None or not order.is_working or not is_open(now):
            return []
        quote = self.market.quote(order.terms.symbol, now)
        if quote is None or quote.halted:
            return []
        price = price_on_arrival(order.terms, quote)
        return [] if price is None else self._fill(order, price, now)

    def _fill(self, order: Order, price: float, at: dt.datetime) -> list[OrderEvent]:
        shares = order.remaining
        paid = order.average_price * order.filled + price * shares
        filled = order.filled + shares
        order = replace(
            order,
            status=Status.FILLED,
            why_held="",
            filled=filled,
            average_price=paid / filled,
            last_price=price,
            completed_at=at,
            completed_status=f"Filled Size: {filled}",
        )
        self.book.save(order)
        execution = self.book.record_fill(order, shares, price, at)
        reports = [OrderReported(order)] * (2 if order.terms.order_type is OrderType.MARKET else 1)
        events: list[OrderEvent] = [Executed(execution), *reports, Charged(execution)]
        events += self._cancel_group(order, at)
        return events + self._wake_children(order, at)

    def _cancel_group(self, filled: Order, at: dt.datetime) -> list[OrderEvent]:
        group = filled.terms.oca_group
        rivals = [order for order in self.book.live.values() if group and order.terms.oca_group == group]
        return [event for order in rivals for event in self._end(order, at, "Cancelled by OCA group")]

    def _wake_children(self, parent: Order, at: dt.datetime) -> list[OrderEvent]:
        children = [order for order in self.book.live.values() if order.parent_perm_id == parent.perm_id]
        events: list[OrderEvent] = []
        for child in children:
            child = self.book.save(_awake(child, open_now=is_open(at)))
            events.append(OrderReported(child))
        for child in children:
            events += self._arrive(child.perm_id, at)
        return events

    def _end(self, order: Order, at: dt.datetime, reason: str) -> list[OrderEvent]:
        """Cancel an order and, if it never filled, the children that slept behind it."""
        order = replace(order, status=Status.CANCELLED, why_held="", completed_at=at, completed_status=reason)
        self.book.save(order)
        text = f"{CANCELLED_TEXT}{reason}" if "client" not in reason else CANCELLED_TEXT
        events: list[OrderEvent] = [
            OrderReported(order, status_only=True),
            Told(order.client_id, order.order_id, 202, text),
        ]
        for child in list(self.book.live.values()):
            if child.parent_perm_id == order.perm_id and child.perm_id in self.book.live:
                events += self._end(child, at, "Cancelled with its parent")
        return events

    # ---- time ---------------------------------------------------------------------------------------------------

    def _advance(self, now: dt.datetime, only: str | None = None) -> list[OrderEvent]:
        """Match up to ``now``. ``only`` one symbol is enough for an arriving order, as long as no session ends."""
        since = self._matched_until
        if now <= since:
            return []
        events: list[OrderEvent] = []
        stretches = sessions_within(since, now)
        if any(session.closes <= now for session, _, _ in stretches):
            only = None
        for session, start, end in stretches:
            events += self._open_session()
            events += self._match(start, end, only)
            if session.closes <= end:
                events += self._expire(end)
        if only is None:
            self._matched_until = now
            self._matched_ahead.clear()
        else:
            self._matched_ahead[only] = now
        return events

    def _open_session(self) -> list[OrderEvent]:
        """Orders that waited for the open are at the exchange now."""
        waiting = [order for order in self.book.live.values() if _waits_for_open(order)]
        return [OrderReported(self.book.save(_awake(order, open_now=True))) for order in waiting]

    def _match(self, start: dt.datetime, end: dt.datetime, only: str | None) -> list[OrderEvent]:
        """Fill what trades in (start, end] reached, in the order of time over all symbols."""
        working: dict[str, list[Order]] = {}
        for order in self.book.live.values():
            if order.is_working and only in (None, order.terms.symbol):
                working.setdefault(order.terms.symbol, []).append(order)
        queue: list[tuple[dt.datetime, str, Stretch]] = []
        for symbol in sorted(working):
            since = max(start, self._matched_ahead.get(symbol, start))
            self._enqueue(queue, working[symbol], since, end)
        events: list[OrderEvent] = []
        while queue:
            at, symbol, stretch = heapq.heappop(queue)
            events += self._fill_stretch(symbol, stretch)
            self._enqueue(queue, self._working(symbol), at, end)
        return events

    def _enqueue(
        self, queue: list[tuple[dt.datetime, str, Stretch]], orders: list[Order], since: dt.datetime, until: dt.datetime
    ) -> None:
        """Queue the first moment at which one of the orders of a symbol is reached."""
        if not orders:
            return
        symbol = orders[0].terms.symbol
        touch = first_touch(orders, lambda a, b: self.market.price_range(symbol, a, b), since, until)
        if touch is not None:
            heapq.heappush(queue, (touch.until, symbol, touch))

    def _fill_stretch(self, symbol: str, stretch: Stretch) -> list[OrderEvent]:
        quote = self.market.quote(symbol, stretch.until)
        if quote is not None and quote.halted:
            return []
        events: list[OrderEvent] = []
        for order in in_turn(self._working(symbol)):
            price = price_in_range(order.terms, stretch.prices)
            if price is not None and order.perm_id in self.book.live:
                events += self._fill(order, price, stretch.until)
        return events

    def _working(self, symbol: str) -> list[Order]:
        return [order for order in self.book.live.values() if order.terms.symbol == symbol and order.is_working]

    def _expire(self, at: dt.datetime) -> list[OrderEvent]:
        events: list[OrderEvent] = []
        for order in list(self.book.live.values()):
            if order.expires_at is not None and order.expires_at <= at and order.perm_id in self.book.live:
                events += self._end(order, at, "DAY order expired at the close")
        return events


def _awake(order: Order, *, open_now: bool) -> Order:
    """The order as it works: a limit at the exchange, a stop held for its trigger, a market order on its way."""
    if order.terms.order_type is OrderType.STOP:
        return replace(order, status=Status.PRE_SUBMITTED, why_held=HELD_FOR_TRIGGER)
    submitted = open_now and order.terms.order_type is OrderType.LIMIT
    return replace(order, status=Status.SUBMITTED if submitted else Status.PRE_SUBMITTED, why_held="")


def _waits_for_open(order: Order) -> bool:
    limit = order.terms.order_type is OrderType.LIMIT
    return limit and order.is_working and order.status is Status.PRE_SUBMITTED


def _told(request: OrderRequest, code: int, text: str) -> Told:
    return Told(request.client_id, request.order_id, code, text)
