"""The life of generated orders: sent, filled, stopped out or taken to their target, in an order journal of its own.

The rows are those that the journal's own methods would write, put into its tables in bulk: a year has a quarter of a
million orders. ``generated_year`` drives it slot by slot.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.generated_market import (
    ACCOUNT,
    COMMISSION,
    HOLDING_SESSIONS,
    Book,
    Bracket,
    Columns,
    Market,
    action,
    order_type,
)
from quant_pipeline.automation.slots import Slot
from quant_pipeline.history import journal_tables
from quant_pipeline.history.journal_tables import EVENT_COLUMNS, FILL_COLUMNS, INTENT_COLUMNS

LEGS = ("entry", "stop", "target")
FIRST_PERM_ID = 1_000_000_000
FILLED_AT_ONCE = 0.35
FILLED_LATER = 0.3
IN_TWO_PARTS = 0.2
CLIENT = 18


class OrderLife:
    """An account's orders and the journal they are written down in."""

    def __init__(self, home: Path, market: Market) -> None:
        self.market, self.book = market, Book()
        self.session = 0
        self.fills_of_session: list[dict[str, Any]] = []
        self._journal = journal_tables.connect(home / "orders.sqlite", 20.0)
        self._journal.execute("PRAGMA synchronous = OFF")
        self._journal.execute("BEGIN")
        self._perm_ids = itertools.count(FIRST_PERM_ID, 3)
        self._fills = itertools.count(1)

    def commit(self) -> None:
        """Put what was written on the disk, where others see it."""
        self._journal.execute("COMMIT")
        self._journal.execute("BEGIN")

    def close(self) -> None:
        """Finish the journal as one file."""
        self._journal.execute("COMMIT")
        self._journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._journal.close()

    def next_session(self) -> None:
        """A new session: the day's profit and its fills begin anew."""
        self.session += 1
        self.fills_of_session = []
        self.book.realized = 0.0

    def market_moved(self, at: dt.datetime) -> None:
        """What the last quarter of an hour did to waiting entries and to stops and targets."""
        for bracket in list(self.book.waiting):
            if self.market.random.random() < FILLED_LATER:
                self._enter(bracket, at)
            else:
                self.book.waiting.remove(bracket)
                self._cancel(bracket, LEGS, at)
        for bracket in list(self.book.held):
            gain = bracket.sign * (self.market.price(bracket.symbol) - bracket.entry)
            if gain >= bracket.sign * (bracket.target - bracket.entry):
                self._leave(bracket, "target", bracket.target, at)
            elif gain <= bracket.sign * (bracket.stop - bracket.entry):
                self._leave(bracket, "stop", bracket.stop, at)

    def time_out(self, slot: Slot, at: dt.datetime, materialization: int) -> None:
        """Close at the market what has been held for too long."""
        for bracket in list(self.book.held):
            if self.session - bracket.session >= HOLDING_SESSIONS:
                exit_ref = f"{slot.key}:{self.market.names[bracket.symbol]}:exit"
                self._plan(bracket, exit_ref, "exit", None, slot.key, materialization, at)
                self._word(exit_ref, at, "working", perm_id=next(self._perm_ids), remaining=float(bracket.held))
                self._leave(bracket, "exit", self.market.price(bracket.symbol), at, exit_ref)

    def send(self, sized: list[dict[str, Any]], slot: Slot, at: dt.datetime, materialization: int) -> Columns:
        """Send a bracket for each approved order and return the frame of ``executions``."""
        sent = [self._send(order, slot, at, materialization) for order in sized if order["approved"]]
        for bracket in sent:
            if self.market.random.random() < FILLED_AT_ONCE:
                self._enter(bracket, at + dt.timedelta(seconds=1))
        legs = [(bracket, leg) for bracket in sent for leg in LEGS]
        entered = [leg == "entry" and bracket.held > 0 for bracket, leg in legs]
        return {
            "order_ref": [bracket.leg(leg) for bracket, leg in legs],
            "symbol": [str(self.market.names[bracket.symbol]) for bracket, _ in legs],
            "leg": [leg for _, leg in legs], "action": [action(bracket, leg) for bracket, leg in legs],
            "order_type": [order_type(leg) for _, leg in legs],
            "price": [getattr(bracket, leg) for bracket, leg in legs],
            "quantity": [bracket.quantity for bracket, _ in legs],
            "perm_id": [bracket.perm_id + LEGS.index(leg) for bracket, leg in legs],
            "status": ["filled" if filled else "working" for filled in entered],
            "filled_quantity": [float(bracket.held) if leg == "entry" else 0.0 for bracket, leg in legs],
            "average_fill_price": [bracket.paid if leg == "entry" and bracket.held else None for bracket, leg in legs],
            "outcome": ["sent"] * len(legs), "reason": [None] * len(legs),
        }  # fmt: skip

    def fills(self) -> Columns:
        """The frame of ``fills``: executions of the session so far."""
        names = ("exec_id", "order_ref", "perm_id", "symbol", "side", "quantity", "price", "commission", "filled_at")
        return {name: [fill[name] for fill in self.fills_of_session] for name in names}

    def _send(self, order: dict[str, Any], slot: Slot, at: dt.datetime, materialization: int) -> Bracket:
        name = str(order["symbol"])
        entry, stop, target = (float(order[f"{leg}_price"]) for leg in LEGS)
        bracket = Bracket(
            ref=f"{slot.key}:{name}", symbol=int(name[3:]), sign=1 if order["direction"] == "LONG" else -1,
            quantity=int(order["quantity"]), entry=entry, stop=stop, target=target,
            perm_id=next(self._perm_ids), session=self.session,
        )  # fmt: skip
        for leg in LEGS:
            self._plan(bracket, bracket.leg(leg), leg, getattr(bracket, leg), slot.key, materialization, at)
        for place, leg in enumerate(LEGS):
            said = "PreSubmitted" if leg == "stop" else "Submitted"
            self._word(
                bracket.leg(leg), at + dt.timedelta(milliseconds=300 + place), "working",
                perm_id=bracket.perm_id + place, status=said, remaining=float(bracket.quantity),
            )  # fmt: skip
        self.book.waiting.append(bracket)
        return bracket

    def _enter(self, bracket: Bracket, at: dt.datetime) -> None:
        whole = bracket.quantity
        parts = [whole]
        if whole > 1 and self.market.random.random() < IN_TWO_PARTS:
            parts = [whole // 2, whole - whole // 2]
        for quantity in parts:
            self._fill(bracket, bracket.leg("entry"), "entry", quantity, bracket.entry, at)
        bracket.held, bracket.paid = whole, bracket.entry
        self.book.waiting.remove(bracket)
        self.book.held.append(bracket)

    def _leave(self, bracket: Bracket, leg: str, price: float, at: dt.datetime, order_ref: str | None = None) -> None:
        self._fill(bracket, order_ref or bracket.leg(leg), leg, bracket.held, price, at)
        self._cancel(bracket, [other for other in LEGS[1:] if other != leg], at)
        self.book.realized = round(self.book.realized + bracket.sign * bracket.held * (price - bracket.paid), 2)
        self.book.held.remove(bracket)

    def _fill(self, bracket: Bracket, order_ref: str, leg: str, quantity: int, price: float, at: dt.datetime) -> None:
        side = action(bracket, leg)
        cash = quantity * price * (-1 if side == "BUY" else 1) - COMMISSION
        self.book.cash = round(self.book.cash + cash, 2)
        fill = {
            "exec_id": f"0000e1a7.{next(self._fills):08x}.01.01", "order_ref": order_ref,
            "perm_id": bracket.perm_id + (LEGS.index(leg) if leg in LEGS else 0),
            "symbol": str(self.market.names[bracket.symbol]), "side": side, "quantity": float(quantity),
            "price": price, "commission": COMMISSION, "filled_at": at.replace(tzinfo=None), "account": ACCOUNT,
        }  # fmt: skip
        self.fills_of_session.append(fill)
        names = [name for name in FILL_COLUMNS if name in fill]
        self._insert("fills", names, [_text(at) if name == "filled_at" else fill[name] for name in names])
        self._event(
            order_ref, at, "fill", exec_id=fill["exec_id"], perm_id=fill["perm_id"], filled=fill["quantity"],
            average_price=price,
        )  # fmt: skip
        self._journal.execute(
            "UPDATE intents SET filled_quantity = filled_quantity + ?, average_fill_price = ?, updated_at = ?, "
            "state = CASE WHEN filled_quantity + ? >= quantity THEN 'filled' ELSE 'partly_filled' END "
            "WHERE order_ref = ?",
            (quantity, price, _text(at), quantity, order_ref),
        )

    def _cancel(self, bracket: Bracket, legs: Iterable[str], at: dt.datetime) -> None:
        for leg in legs:
            self._word(bracket.leg(leg), at, "cancelled", status="Cancelled", remaining=float(bracket.quantity))

    def _plan(
        self, bracket: Bracket, order_ref: str, leg: str, price: float | None, slot: str, made_by: int, at: dt.datetime
    ) -> None:
        moment = _text(at)
        intent = {
            "order_ref": order_ref, "account": ACCOUNT, "slot": slot, "symbol": str(self.market.names[bracket.symbol]),
            "leg": leg, "action": action(bracket, leg), "order_type": order_type(leg),
            "quantity": float(bracket.quantity), "price": price, "tif": "DAY" if leg in ("entry", "exit") else "GTC",
            "parent_ref": bracket.leg("entry") if leg in LEGS[1:] else None, "materialization_id": made_by,
            "created_at": moment, "state": "sending", "client_id": CLIENT, "order_id": bracket.perm_id % 1_000_000,
            "filled_quantity": 0.0, "updated_at": moment,
        }  # fmt: skip
        names = [name for name in INTENT_COLUMNS if name in intent]
        self._insert("intents", names, [intent[name] for name in names])
        self._event(order_ref, at, "planned")
        self._event(order_ref, at, "sending")

    def _word(self, order_ref: str, at: dt.datetime, state: str, **said: object) -> None:
        self._event(order_ref, at, "status", **said)
        self._journal.execute(
            "UPDATE intents SET state = ?, perm_id = coalesce(?, perm_id), updated_at = ? WHERE order_ref = ?",
            (state, said.get("perm_id"), _text(at), order_ref),
        )

    def _event(self, order_ref: str, at: dt.datetime, kind: str, **said: object) -> None:
        names = ["order_ref", "at", "kind", *said]
        assert EVENT_COLUMNS.keys() >= set(names)
        self._insert("events", names, [order_ref, _text(at), kind, *said.values()])

    def _insert(self, table: str, names: Iterable[str], values: list[Any]) -> None:
        marks = ", ".join("?" * len(values))
        self._journal.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)


def _text(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds")
