"""The book: every accepted order, every fill and the gateway's last time, in SQLite so that nothing is ever lost.

Whatever happens inside ``Book.transaction`` is on the disk, whole, before the server says a word about it (WAL,
synchronous=FULL), or it has not happened. Live orders and the portfolio are also held in memory, as a copy of the file
that is read again when a transaction fails. What orders do belongs to ``order_desk`` and ``order_floor``; nothing else
writes here.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import fcntl
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quant_pipeline.errors import QuantPipelineError, UsageError
from quant_pipeline.paper_gateway.exchange.book_layout import FROM_LAYOUT_1, LAYOUT, SCHEMA
from quant_pipeline.paper_gateway.exchange.orders import (
    REMOVED_LIQUIDITY,
    Action,
    Execution,
    Order,
    OrderTerms,
    OrderType,
    Status,
    TimeInForce,
)
from quant_pipeline.paper_gateway.exchange.portfolio import Portfolio, commission

FIRST_PERM_ID = 1_800_000_001
_CHANGING = (
    "terms",
    "status",
    "why_held",
    "expires_at",
    "filled",
    "average_price",
    "last_price",
    "completed_at",
    "completed_status",
    "commission",
    "triggered",
    "trailing_stop",
)
_SAVE_ORDER = f"INSERT INTO orders VALUES ({', '.join('?' * 17)}) ON CONFLICT (perm_id) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in _CHANGING
)


class Book:
    """The account's memory. One process at a time holds a book; a second one gets a ``UsageError``."""

    def __init__(self, path: Path, *, identity: str, cash: float) -> None:
        """Open or create the book of a market.

        Args:
            path: The SQLite file; its folder is made.
            identity: The market's; a book of another market is refused.
            cash: What a new book starts with, in dollars; an existing one keeps its own.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        # Whoever keeps the fills of several paper accounts must be able to tell them apart by their ids.
        self._exec_prefix = f"{zlib.crc32(identity.encode()):08x}"
        self._lock = _locked(path.with_suffix(".lock"))
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(SCHEMA)
            self._settle(identity, cash)
            self._load()
        except sqlite3.Error as error:
            self._lock.close()
            raise QuantPipelineError(
                f"The paper book {path} cannot be opened ({error}); move it away to start a new one."
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
        self._lock.close()

    # ---- transactions -------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self, at: dt.datetime | None = None) -> Iterator[None]:
        """All that is written inside is durable together when the block ends; an exception undoes it, memory too.

        With ``at`` the time is remembered with what was written, so that after a death no order meets again what traded
        before it was changed.
        """
        self._db.execute("BEGIN IMMEDIATE")
        self._has_changed = False
        try:
            yield
            if at is not None and self._has_changed:
                self._set("last_time", _stamp(at))
                self.last_time = at
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._load()
            raise

    def save(self, order: Order) -> Order:
        """Write an order as it now stands."""
        self._db.execute(
            _SAVE_ORDER,
            (
                order.perm_id,
                order.client_id,
                order.order_id,
                order.parent_perm_id,
                json.dumps(dataclasses.asdict(order.terms)),
                order.status,
                order.why_held,
                _stamp(order.placed_at),
                _stamp(order.expires_at) if order.expires_at else None,
                order.filled,
                order.average_price,
                order.last_price,
                _stamp(order.completed_at) if order.completed_at else None,
                order.completed_status,
                order.commission,
                order.triggered,
                order.trailing_stop,
            ),
        )
        self._has_changed = True
        self.saw_order_id(order.order_id)
        self._highest_of_client[order.client_id] = max(self.highest_order_id(order.client_id), order.order_id)
        if order.status.is_live:
            self.live[order.perm_id] = order
        else:
            self.live.pop(order.perm_id, None)
        return order

    def record_fill(
        self, order: Order, shares: int, price: float, at: dt.datetime, last_liquidity: int = REMOVED_LIQUIDITY
    ) -> Execution:
        """Write the execution of an order that already counts its shares, and book it in the portfolio.

        It is charged what the order costs so far less what the order was charged before, since the minimum commission
        is one of orders.
        """
        fee = round(commission(order.filled, order.average_price) - order.commission, 4)
        terms = order.terms
        realized = self.portfolio.apply(terms.symbol, terms.action.sign * shares, price, fee)
        number = self._last_execution + 1
        execution = Execution(
            exec_id=f"{self._exec_prefix}.{number:08x}.01.01",
            perm_id=order.perm_id,
            client_id=order.client_id,
            order_id=order.order_id,
            symbol=terms.symbol,
            action=terms.action,
            shares=shares,
            price=price,
            at=at,
            cumulative=order.filled,
            average_price=order.average_price,
            order_ref=terms.order_ref,
            commission=fee,
            realized_pnl=realized,
            last_liquidity=last_liquidity,
        )
        values = dataclasses.asdict(execution) | {"at": _stamp(at)}
        self._db.execute(f"INSERT INTO executions VALUES ({', '.join('?' * 16)})", (number, *values.values()))
        self._last_execution = number
        return execution

    def correct(self, exec_id: str, price: float) -> Execution:
        """Put an execution right: another price under the next correction number, all that follows from it with it.

        Its commission stays. What later executions of the symbol realised is counted again.
        """
        stem, _, number = exec_id.rpartition(".")
        corrected = f"{stem}.{int(number) + 1:02d}"
        self._db.execute("UPDATE executions SET exec_id = ?, price = ? WHERE exec_id = ?", (corrected, price, exec_id))
        portfolio = Portfolio(self.starting_cash)
        for row in self._db.execute("SELECT * FROM executions ORDER BY number").fetchall():
            trade = _execution(row)
            signed = trade.action.sign * trade.shares
            realized = portfolio.apply(trade.symbol, signed, trade.price, trade.commission)
            if realized != trade.realized_pnl:
                self._db.execute("UPDATE executions SET realized_pnl = ? WHERE number = ?", (realized, row[0]))
        average = (
            "SELECT sum(price * shares) / sum(shares) FROM executions AS same"
            " WHERE same.perm_id = {table}.perm_id AND same.number <= {upto}"
        )
        of_order = "perm_id = (SELECT perm_id FROM executions WHERE exec_id = ?)"
        for table, upto in (("executions", "executions.number"), ("orders", "9e18")):
            value = average.format(table=table, upto=upto)
            self._db.execute(f"UPDATE {table} SET average_price = ({value}) WHERE {of_order}", (corrected,))
        self._load()
        return _execution(self._db.execute("SELECT * FROM executions WHERE exec_id = ?", (corrected,)).fetchone())

    def save_time(self, at: dt.datetime, *, durable: bool = True) -> None:
        """Remember the gateway's clock. Without ``durable`` a power failure may lose it, a kill does not."""
        if not durable:
            self._db.execute("PRAGMA synchronous=NORMAL")
        self._set("last_time", _stamp(at))
        if not durable:
            self._db.execute("PRAGMA synchronous=FULL")
        self.last_time = at

    # ---- questions ----------------------------------------------------------------------------------------------

    def find(self, client_id: int, order_id: int) -> Order | None:
        """The order a client placed under an id, live or done."""
        row = self._db.execute(
            "SELECT * FROM orders WHERE client_id = ? AND order_id = ?", (client_id, order_id)
        ).fetchone()
        return _order(row) if row else None

    def order(self, perm_id: int) -> Order:
        """The order of a permanent id that is in the book."""
        live = self.live.get(perm_id)
        return live or _order(self._db.execute("SELECT * FROM orders WHERE perm_id = ?", (perm_id,)).fetchone())

    def completed_since(self, at: dt.datetime) -> list[Order]:
        """Orders that were filled, cancelled or refused at or after an instant, in the order they were accepted."""
        rows = self._db.execute("SELECT * FROM orders WHERE completed_at >= ? ORDER BY perm_id", (_stamp(at),))
        return [_order(row) for row in rows]

    def executions_since(self, at: dt.datetime) -> list[Execution]:
        """Executions at or after an instant, in the order they were booked."""
        return [
            _execution(row)
            for row in self._db.execute("SELECT * FROM executions WHERE at >= ? ORDER BY number", (_stamp(at),))
        ]

    def portfolio_before(self, at: dt.datetime) -> Portfolio:
        """Positions and cash as they stood just before an instant."""
        if self._opening is None or self._opening[0] != at:
            rows = self._db.execute("SELECT * FROM executions WHERE at < ? ORDER BY number", (_stamp(at),))
            self._opening = (at, _folded(self.starting_cash, rows))
        return self._opening[1]

    def next_perm_id(self) -> int:
        """A permanent id no order of this book ever had."""
        self._last_perm_id += 1
        return self._last_perm_id

    @property
    def next_order_id(self) -> int:
        """An order id above every one this book has seen."""
        return self._highest_order_id + 1

    def highest_order_id(self, client_id: int) -> int:
        """The highest order id a client has used for an order, 0 where there is none."""
        return self._highest_of_client.get(client_id, 0)

    def saw_order_id(self, order_id: int) -> None:
        """Keep ``next_order_id`` above an id that a client used."""
        self._highest_order_id = max(self._highest_order_id, order_id)

    # ---- loading ------------------------------------------------------------------------------------------------

    def _settle(self, identity: str, cash: float) -> None:
        known = self._get("identity")
        if known is None:
            self._db.execute("BEGIN IMMEDIATE")
            for name, value in (("layout", str(LAYOUT)), ("identity", identity), ("cash", repr(float(cash)))):
                self._set(name, value)
            self._db.execute("COMMIT")
        elif known != identity:
            raise UsageError(f"The paper book {self.path} belongs to the market {known}, not to {identity}.")
        elif self._get("layout") == "1":
            self._db.executescript(FROM_LAYOUT_1)
        elif self._get("layout") != str(LAYOUT):
            raise UsageError(
                f"The paper book {self.path} was written by a newer version; use that one, or move the book away to "
                "start a new one."
            )

    def _load(self) -> None:
        self.starting_cash = float(self._get("cash") or 0.0)
        last_time = self._get("last_time")
        self.last_time = _instant(last_time) if last_time else None
        self.portfolio = _folded(self.starting_cash, self._db.execute("SELECT * FROM executions ORDER BY number"))
        self._opening: tuple[dt.datetime, Portfolio] | None = None
        live = self._db.execute("SELECT * FROM orders WHERE completed_at IS NULL ORDER BY perm_id")
        self.live: dict[int, Order] = {row[0]: _order(row) for row in live}
        self._last_execution = int(self._db.execute("SELECT coalesce(max(number), 0) FROM executions").fetchone()[0])
        highest = self._db.execute("SELECT max(perm_id), max(order_id) FROM orders").fetchone()
        self._last_perm_id = int(highest[0] or FIRST_PERM_ID - 1)
        self._highest_order_id = int(highest[1] or 0)
        used = self._db.execute("SELECT client_id, max(order_id) FROM orders GROUP BY client_id")
        self._highest_of_client: dict[int, int] = dict(used)
        self._has_changed = False

    def _get(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM account WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _set(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO account VALUES (?, ?)", (name, value))


def _locked(path: Path) -> Any:
    """Hold a lock that dies with the process, so that a killed gateway never locks its successor out."""
    handle = path.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise UsageError(
            f"Another gateway has the paper book {path.parent} open; end it with quant-pipeline gateway --stop, "
            "or choose another home with --home."
        ) from error
    handle.truncate(0)
    handle.write(f"{os.getpid()}\n")
    handle.flush()
    return handle


def _stamp(at: dt.datetime) -> str:
    """UTC in a fixed width, so that text sorts as time does."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")


def _instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _order(row: tuple[Any, ...]) -> Order:
    terms = json.loads(row[4])
    terms |= {
        "action": Action(terms["action"]),
        "order_type": OrderType(terms["order_type"]),
        "tif": TimeInForce(terms["tif"]),
    }
    return Order(
        perm_id=row[0],
        client_id=row[1],
        order_id=row[2],
        parent_perm_id=row[3],
        terms=OrderTerms(**terms),
        status=Status(row[5]),
        why_held=row[6],
        placed_at=_instant(row[7]),
        expires_at=_instant(row[8]) if row[8] else None,
        filled=row[9],
        average_price=row[10],
        last_price=row[11],
        completed_at=_instant(row[12]) if row[12] else None,
        completed_status=row[13],
        commission=row[14],
        triggered=bool(row[15]),
        trailing_stop=row[16],
    )


def _execution(row: tuple[Any, ...]) -> Execution:
    _, exec_id, perm_id, client_id, order_id, symbol, action, shares, price, at, *rest = row
    return Execution(exec_id, perm_id, client_id, order_id, symbol, Action(action), shares, price, _instant(at), *rest)


def _folded(cash: float, rows: sqlite3.Cursor) -> Portfolio:
    portfolio = Portfolio(cash)
    for row in rows:
        trade = _execution(row)
        portfolio.apply(trade.symbol, trade.action.sign * trade.shares, trade.price, trade.commission)
    return portfolio
