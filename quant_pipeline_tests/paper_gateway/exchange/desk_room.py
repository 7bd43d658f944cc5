"""A desk without a wire for tests: orders are placed by hand, time is moved by hand, what happens is said in words."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from quant_pipeline.paper_gateway.exchange.account_values import Accountant
from quant_pipeline.paper_gateway.exchange.book import Book
from quant_pipeline.paper_gateway.exchange.order_desk import OrderDesk
from quant_pipeline.paper_gateway.exchange.order_events import (
    Charged,
    Executed,
    OrderEvent,
    OrderReported,
    OrderRequest,
    Told,
)
from quant_pipeline.paper_gateway.exchange.orders import (
    Action,
    Execution,
    Order,
    OrderTerms,
    OrderType,
    TimeInForce,
)
from quant_pipeline_tests.paper_gateway.scripted_market import ScriptedMarket, at


class Room:
    """A desk, its market and its book; orders are named by their ids."""

    def __init__(self, home: Path, start: dt.datetime, *, liquidity: float | None = None) -> None:
        self.market = ScriptedMarket()
        self.book = Book(home / "book.sqlite", identity="scripted", cash=100_000.0)
        self.accountant = Accountant(self.market)
        self.desk = OrderDesk(self.market, self.book, self.accountant, start, liquidity=liquidity)
        self.now = start

    def place(self, order_id: int, action: str, kind: str, price: float | None = None, **more: Any) -> list[str]:
        values: dict[str, Any] = {
            "symbol": "AAA",
            "quantity": 100,
            "tif": "DAY",
            "transmit": True,
            "client": 1,
        } | more
        terms = OrderTerms(
            symbol=str(values["symbol"]),
            action=Action(action),
            quantity=int(str(values["quantity"])),
            order_type=OrderType(kind),
            limit_price=price if kind in ("LMT", "STP LMT") else None,
            stop_price=price if kind == "STP" else more.get("stop"),
            tif=TimeInForce(str(values["tif"])),
            oca_group=str(values.get("oca", "")),
            parent_id=int(str(values.get("parent", 0))),
            order_ref=f"ref-{order_id}",
            oca_type=int(str(values.get("oca_type", 0))),
            outside_rth=bool(values.get("outside_rth")),
            trail_amount=more.get("amount"),
            trail_percent=more.get("percent"),
            trail_stop=more.get("trail_stop"),
        )
        request = OrderRequest(int(str(values["client"])), order_id, terms, bool(values["transmit"]))
        return said(self.desk.place(request, self.now))

    def bracket(self, entry: float, target: float, stop: float, action: str = "BUY", quantity: int = 100) -> list[str]:
        """Entry 1, target 2 and stop 3."""
        back = "SELL" if action == "BUY" else "BUY"
        size = {"quantity": quantity}
        assert self.place(1, action, "LMT", entry, transmit=False, **size) == []
        assert self.place(2, back, "LMT", target, parent=1, tif="GTC", transmit=False, **size) == []
        return self.place(3, back, "STP", stop, parent=1, tif="GTC", **size)

    def move(self, clock: str, day: dt.date | None = None) -> list[str]:
        self.now = at(clock, day or self.now.date())
        return said(self.desk.advance(self.now))

    def cancel(self, order_id: int) -> list[str]:
        return said(self.desk.cancel(1, order_id, self.now))

    def order(self, order_id: int) -> Order:
        found = self.book.find(1, order_id)
        assert found is not None
        return found

    def fills(self) -> list[Execution]:
        return self.book.executions_since(at("00:00", dt.date(2018, 1, 1)))


def said(events: list[OrderEvent]) -> list[str]:
    """Events in a word each: ``1 Submitted``, ``2 exec 10@50.0``, ``3 code 202``."""
    words: list[str] = []
    for event in events:
        match event:
            case OrderReported(order):
                words.append(f"{order.order_id} {order.status}{f' {order.why_held}' if order.why_held else ''}")
            case Executed(execution):
                words.append(f"{execution.order_id} exec {execution.shares}@{execution.price:g}")
            case Charged(execution):
                words.append(f"{execution.order_id} fee {execution.commission:g}")
            case Told(_, order_id, code):
                words.append(f"{order_id} code {code}")
    return words
