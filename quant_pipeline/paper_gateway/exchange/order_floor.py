"""Where accepted orders work: they arrive, are triggered and filled, change their group, wake their children, end.

Everything here happens at a given time and inside a transaction of the book that ``order_desk`` opened; it returns what
happened in the order clients are to hear it. Prices are decided by ``matching``, shares by ``liquidity``. Whether an
order is accepted at all is ``order_desk``'s business.

Two orders at one time are served in an order that is the same in every run: all symbols move through time together,
minute by minute and alphabetically where they meet; within a symbol ``matching.in_turn`` says who goes first.
"""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
from dataclasses import replace

from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.exchange.liquidity import Liquidity
from quant_pipeline.paper_gateway.exchange.matching import (
    RangeOf,
    Stretch,
    Touch,
    drawn_along,
    first_touch,
    in_range,
    in_turn,
    on_arrival,
)
from quant_pipeline.paper_gateway.exchange.order_events import Charged, Executed, OrderEvent, OrderReported, Told
from quant_pipeline.paper_gateway.exchange.orders import (
    ADDED_LIQUIDITY,
    HELD_FOR_LOCATE,
    HELD_FOR_PARENT,
    HELD_FOR_TRIGGER,
    REMOVED_LIQUIDITY,
    Action,
    OcaType,
    Order,
    OrderType,
    Status,
)
from quant_pipeline.paper_gateway.exchange.trading_hours import is_open
from quant_pipeline.paper_gateway.exchange.trailing import followed, started
from quant_pipeline.paper_gateway.markets.market import Market, Quote

CANCELLED_TEXT = "Order Canceled - reason:"
BY_CLIENT = "Cancelled by client"
LOCATING_TEXT = "Order held while securities are located."


class OrderFloor:
    """Works the live orders of one book on one market."""

    def __init__(self, market: Market, book: Book, liquidity: Liquidity) -> None:
        self._market = market
        self._book = book
        self._liquidity = liquidity
        self._pending: dict[str, Stretch] = {}
        self._queue: list[tuple[dt.datetime, str, int, Stretch]] = []
        self._counter = itertools.count()

    # ---- one order ----------------------------------------------------------------------------------------------

    def arrive(self, perm_id: int, now: dt.datetime) -> list[OrderEvent]:
        """Fill an order against the quote if it can trade the moment it reaches the market."""
        order = self._book.live.get(perm_id)
        if order is None or not order.is_working or not is_open(now):
            return []
        quote = self._market.quote(order.terms.symbol, now)
        if quote is None or quote.halted:
            return []
        held = self.locate(order, now)
        if held:
            return held
        at_work = self._kept(order, started(order, quote.last))
        # A trailing stop's price is known from now on.
        news: list[OrderEvent] = [] if at_work == order else [OrderReported(at_work)]
        touch = on_arrival(at_work, quote)
        if touch is None:
            return news
        shares = 0 if touch.price is None else self._liquidity.take_shown(at_work, quote, now)
        return news + self._touched(at_work, touch, shares, now, REMOVED_LIQUIDITY)

    def end(self, order: Order, at: dt.datetime, reason: str) -> list[OrderEvent]:
        """Cancel an order and the children that sleep behind it, even when a part of it was filled."""
        order = replace(order, status=Status.CANCELLED, why_held="", completed_at=at, completed_status=reason)
        self._book.save(order)
        text = CANCELLED_TEXT if reason == BY_CLIENT else f"{CANCELLED_TEXT}{reason}"
        events: list[OrderEvent] = [
            OrderReported(order, status_only=True),
            Told(order.client_id, order.order_id, 202, text),
        ]
        for child in self._asleep_behind(order):
            if child.perm_id in self._book.live:
                events += self.end(child, at, "Cancelled with its parent")
        return events

    def fill_whole(self, order: Order, at: dt.datetime) -> list[OrderEvent]:
        """Fill what is left of an order at its own price, or at the last one of the market where it has none."""
        quote = self._market.quote(order.terms.symbol, at)
        price = order.terms.limit_price or order.terms.stop_price or (quote.last if quote else 0.0)
        return self._fill(order, order.remaining, price, at, REMOVED_LIQUIDITY) if price else []

    def _touched(self, order: Order, touch: Touch, shares: int, at: dt.datetime, liquidity: int) -> list[OrderEvent]:
        triggers = order.working_type.waits_for_trigger
        if triggers:
            order = self._book.save(replace(order, triggered=True, status=Status.SUBMITTED, why_held=""))
        if shares and touch.price is not None:
            return self._fill(order, shares, touch.price, at, liquidity)
        return [OrderReported(order)] if triggers else []

    def _fill(self, order: Order, shares: int, price: float, at: dt.datetime, liquidity: int) -> list[OrderEvent]:
        before = order.remaining
        done = shares == before
        filled = order.filled + shares
        order = replace(
            order,
            status=Status.FILLED if done else Status.SUBMITTED,
            why_held="",
            filled=filled,
            average_price=(order.average_price * order.filled + price * shares) / filled,
            last_price=price,
            completed_at=at if done else None,
            completed_status=f"Filled Size: {filled}" if done else "",
        )
        execution = self._book.record_fill(order, shares, price, at, liquidity)
        order = self._book.save(replace(order, commission=order.commission + execution.commission))
        reports = [OrderReported(order)] * (2 if done and order.terms.order_type is OrderType.MARKET else 1)
        events: list[OrderEvent] = [Executed(execution), *reports, Charged(execution)]
        events += self._change_group(order, shares, before, at)
        return events + self._wake_children(order, at) if done else events

    def _change_group(self, filled: Order, shares: int, before: int, at: dt.datetime) -> list[OrderEvent]:
        """Cancel the rest of the group, or reduce it in proportion when a part of the order was filled."""
        group = filled.terms.oca_group
        rivals = [
            order
            for order in self._book.live.values()
            if group and order.terms.oca_group == group and order.perm_id != filled.perm_id
        ]
        events: list[OrderEvent] = []
        for rival in rivals:
            if rival.perm_id not in self._book.live:
                continue
            left = rival.remaining * (before - shares) // before
            if not left or filled.terms.oca is OcaType.CANCEL:
                events += self.end(rival, at, "Cancelled by OCA group")
            else:
                events += self._reduce(rival, left)
        return events

    def _reduce(self, order: Order, left: int) -> list[OrderEvent]:
        """Leave an order so many shares to fill, and its children in proportion: they close what it opens."""
        sizes = {order: left}
        sizes |= {child: max(1, child.remaining * left // order.remaining) for child in self._asleep_behind(order)}
        events: list[OrderEvent] = []
        for each, size in sizes.items():
            terms = replace(each.terms, quantity=each.filled + size)
            events.append(OrderReported(self._book.save(replace(each, terms=terms))))
        return events

    def _wake_children(self, parent: Order, at: dt.datetime) -> list[OrderEvent]:
        children = [self._book.save(awake(child, open_now=is_open(at))) for child in self._asleep_behind(parent)]
        events: list[OrderEvent] = [OrderReported(child) for child in children]
        for child in children:
            events += self.arrive(child.perm_id, at)
        return events

    def _asleep_behind(self, parent: Order) -> list[Order]:
        return [
            order
            for order in self._book.live.values()
            if order.parent_perm_id == parent.perm_id and order.why_held == HELD_FOR_PARENT
        ]

    def _kept(self, before: Order, after: Order) -> Order:
        return after if after == before else self._book.save(after)

    # ---- short sales --------------------------------------------------------------------------------------------

    def locate(self, order: Order, now: dt.datetime) -> list[OrderEvent]:
        """Hold a short sale for which there are not enough shares to borrow now; nothing when it may go on."""
        if order.terms.action is Action.BUY or not order.is_working or not is_open(now):
            return []
        quote = self._market.quote(order.terms.symbol, now)
        return self._hold(order) if quote is not None and self._must_locate(order, quote) else []

    def _must_locate(self, order: Order, quote: Quote) -> bool:
        """Whether filling the rest would leave the account shorter than there are shares to borrow."""
        if order.terms.action is Action.BUY:
            return False
        position = self._book.portfolio.positions.get(order.terms.symbol)
        short = order.remaining - (position.quantity if position else 0)
        return short > 0 and short > quote.shortable_shares

    def _hold(self, order: Order) -> list[OrderEvent]:
        order = self._book.save(replace(order, status=Status.PRE_SUBMITTED, why_held=HELD_FOR_LOCATE))
        return [OrderReported(order), Told(order.client_id, order.order_id, 404, LOCATING_TEXT)]

    def release_located(self, now: dt.datetime) -> list[OrderEvent]:
        """Let short sales go to the market whose shares have been found."""
        events: list[OrderEvent] = []
        for order in [each for each in self._book.live.values() if each.why_held == HELD_FOR_LOCATE]:
            quote = self._market.quote(order.terms.symbol, now)
            if quote is not None and not self._must_locate(order, quote):
                order = self._book.save(awake(order, open_now=True))
                events += [OrderReported(order), *self.arrive(order.perm_id, now)]
        return events

    # ---- time ---------------------------------------------------------------------------------------------------

    def open_session(self) -> list[OrderEvent]:
        """Orders that waited for the open are at the exchange now."""
        waiting = [order for order in self._book.live.values() if _waits_for_open(order)]
        return [OrderReported(self._book.save(awake(order, open_now=True))) for order in waiting]

    def expire(self, at: dt.datetime) -> list[OrderEvent]:
        """End the orders whose day is over."""
        events: list[OrderEvent] = []
        for order in list(self._book.live.values()):
            if order.expires_at is not None and order.expires_at <= at and order.perm_id in self._book.live:
                events += self.end(order, at, "DAY order expired at the close")
        return events

    def match(self, start: dt.datetime, end: dt.datetime) -> list[OrderEvent]:
        """Fill what trades in (start, end] reached, in the order of time over all symbols."""
        events: list[OrderEvent] = []
        self._queue, self._pending = [], {}
        symbols = {order.terms.symbol for order in self._book.live.values() if order.is_working}
        seen = dict.fromkeys(sorted(symbols), start)
        for symbol in seen:
            self._look_ahead(symbol, start, end)
        while self._queue:
            at, symbol, _, stretch = heapq.heappop(self._queue)
            if self._pending.get(symbol) is not stretch:
                continue
            del self._pending[symbol]
            self._draw_along(symbol, seen.get(symbol, start), stretch.since)
            happened = self._work_stretch(symbol, stretch)
            seen[symbol] = at
            for changed in sorted({symbol, *_symbols_of(happened)}):
                pending = self._pending.get(changed)
                if pending is None or pending.since >= at:
                    seen.setdefault(changed, at)
                    self._look_ahead(changed, at, end)
            events += happened
        for symbol, since in seen.items():
            self._draw_along(symbol, since, end)
        return events

    def _look_ahead(self, symbol: str, since: dt.datetime, until: dt.datetime) -> None:
        """Queue the first stretch in which one of the working orders of a symbol is reached."""
        self._pending.pop(symbol, None)
        orders = self._working(symbol)
        touch = first_touch(orders, self._range_of(symbol), since, until) if orders else None
        if touch is not None:
            self._pending[symbol] = touch
            heapq.heappush(self._queue, (touch.until, symbol, next(self._counter), touch))

    def _work_stretch(self, symbol: str, stretch: Stretch) -> list[OrderEvent]:
        """Serve all orders of a symbol that a stretch reached; nothing trades in a halt."""
        quote = self._market.quote(symbol, stretch.until)
        if quote is not None and quote.halted:
            return []
        events: list[OrderEvent] = []
        for order in in_turn(self._working(symbol)):
            # An earlier fill of the same stretch may have reduced or cancelled it.
            current = self._book.live.get(order.perm_id)
            if current is None or not current.is_working:
                continue
            touch = in_range(current, stretch.prices)
            if touch is None:
                self._kept(current, followed(current, stretch.prices))
            elif quote is not None and self._must_locate(current, quote):
                events += self._hold(current)
            else:
                events += self._work(current, touch, stretch)
        return events

    def _work(self, order: Order, touch: Touch, stretch: Stretch) -> list[OrderEvent]:
        order = started(order, stretch.prices.open)
        rested = order.working_type is OrderType.LIMIT
        range_of = self._range_of(order.terms.symbol)
        shares = 0 if touch.price is None else self._liquidity.take_traded(order, range_of, stretch.until)
        return self._touched(order, touch, shares, stretch.until, ADDED_LIQUIDITY if rested else REMOVED_LIQUIDITY)

    def _draw_along(self, symbol: str, since: dt.datetime, until: dt.datetime) -> None:
        working = self._working(symbol)
        for before, after in zip(working, drawn_along(working, self._range_of(symbol), since, until), strict=True):
            self._kept(before, after)

    def _range_of(self, symbol: str) -> RangeOf:
        return lambda since, until: self._market.price_range(symbol, since, until)

    def _working(self, symbol: str) -> list[Order]:
        return [order for order in self._book.live.values() if order.terms.symbol == symbol and order.is_working]


def awake(order: Order, *, open_now: bool) -> Order:
    """The order as it works: a limit at the exchange, a stop held for its trigger, a market order on its way."""
    if order.working_type.waits_for_trigger:
        return replace(order, status=Status.PRE_SUBMITTED, why_held=HELD_FOR_TRIGGER)
    under_way = order.triggered or order.filled > 0
    submitted = under_way or (open_now and order.working_type is OrderType.LIMIT)
    return replace(order, status=Status.SUBMITTED if submitted else Status.PRE_SUBMITTED, why_held="")


def _waits_for_open(order: Order) -> bool:
    return order.working_type is OrderType.LIMIT and order.is_working and order.status is Status.PRE_SUBMITTED


def _symbols_of(events: list[OrderEvent]) -> set[str]:
    return {event.order.terms.symbol for event in events if isinstance(event, OrderReported)}
