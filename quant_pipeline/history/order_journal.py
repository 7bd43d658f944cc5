"""The order journal: what we meant to send, written down before it is sent, and every word of the broker since.

``orders.sqlite`` holds one row an intent (``order_ref`` is its key, so one reference is never two orders), the log of
everything that happened to it, and the fills. Every write is on the disk before the call returns, whatever becomes of
the DuckDB history. Only code that acts writes here; what to send and what a broker's status means is for the callers
to decide. ``journal_tables`` has the tables and the states.

The log is complete: whatever changes an intent or a fill appends an event that names it, which ``mirror`` follows.
"""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from quant_pipeline.errors import HistoryError
from quant_pipeline.frames import validate
from quant_pipeline.history import journal_tables
from quant_pipeline.history.journal_tables import (
    BROKER_STATES,
    EVENT_COLUMNS,
    NEXT_BY_BROKER,
    NEXT_BY_US,
    OPEN_STATES,
    UNSETTLED_STATES,
)

WAIT_SECONDS = 20.0
DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
MISFORTUNES = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")


@dataclass(frozen=True)
class Intent:
    """One order we mean to send. ``parent_ref`` is the entry leg's reference, None for the entry itself."""

    order_ref: str
    account: str
    slot: str
    symbol: str
    leg: str
    action: str
    order_type: str
    quantity: float
    price: float | None
    tif: str
    parent_ref: str | None
    materialization_id: int


@dataclass(frozen=True)
class JournaledOrder(Intent):
    """An intent with what has become of it; times are UTC, ``perm_id`` is None until the broker gave one."""

    created_at: dt.datetime
    state: str
    perm_id: int | None
    client_id: int | None
    order_id: int | None
    filled_quantity: float
    average_fill_price: float | None
    reason: str | None
    updated_at: dt.datetime


_INTENT = ", ".join(field.name for field in fields(Intent))
_ORDER = ", ".join(field.name for field in fields(JournaledOrder))


class OrderJournal:
    """The journal below a home directory.

    Writers take turns, waiting at most ``wait_seconds``. Every method raises ``HistoryError`` when the journal is gone,
    damaged, of a newer version, full or busy for too long; nothing is overwritten then.
    """

    def __init__(self, home: Path, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self.path = home / "orders.sqlite"
        self._wait_seconds = wait_seconds
        self._thread_turn = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None

    def plan(self, intents: Iterable[Intent], *, at: dt.datetime | None = None) -> set[str]:
        """Write intents down and return the references that are new; one that is there already is left as it is."""
        marks = ", ".join("?" * len(fields(Intent)))
        moment = _text(at)
        with self._write() as connection:
            written = set()
            for intent in intents:
                added = connection.execute(
                    f"INSERT INTO intents ({_INTENT}, created_at, state, filled_quantity, updated_at) "
                    f"VALUES ({marks}, ?, 'planned', 0, ?) ON CONFLICT (order_ref) DO NOTHING",
                    (*astuple(intent), moment, moment),
                ).rowcount
                if added:
                    written.add(intent.order_ref)
                    _append_event(connection, intent.order_ref, moment, "planned")
        return written

    def mark_sending(
        self, order_ref: str, client_id: int, order_id: int, *, at: dt.datetime | None = None
    ) -> JournaledOrder:
        """Claim a planned intent for sending; on the disk before this returns.

        Raises ``HistoryError`` unless the intent is planned, so of two processes that want to send it one only may.
        """
        with self._write() as connection:
            self._step(connection, order_ref, "sending", at)
            connection.execute(
                "UPDATE intents SET client_id = ?, order_id = ? WHERE order_ref = ?", (client_id, order_id, order_ref)
            )
            return self._existing(connection, order_ref)

    def mark_unknown(self, order_ref: str, reason: str, *, at: dt.datetime | None = None) -> JournaledOrder:
        """Say that we do not know what the broker did with an order; only the broker's word ends that."""
        with self._write() as connection:
            return self._step(connection, order_ref, "unknown", at, reason)

    def mark_absent(self, order_ref: str, *, at: dt.datetime | None = None) -> JournaledOrder:
        """Say that the broker, asked for open and completed orders and executions, does not have the order.

        It is planned again. Never call this after a read that failed: unknown is not empty.
        """
        with self._write() as connection:
            return self._step(connection, order_ref, "planned", at, "The broker does not have it")

    def refuse(self, order_ref: str, reason: str, *, at: dt.datetime | None = None) -> JournaledOrder:
        """Say that a planned intent is not sent, and why."""
        with self._write() as connection:
            return self._step(connection, order_ref, "refused", at, reason)

    def record_event(
        self,
        order_ref: str,
        kind: str,
        *,
        state: str | None = None,
        at: dt.datetime | None = None,
        status: str | None = None,
        code: int | None = None,
        text: str | None = None,
        perm_id: int | None = None,
        filled: float | None = None,
        remaining: float | None = None,
        average_price: float | None = None,
    ) -> JournaledOrder:
        """Append what the broker said of an order, and return the order as it stands now.

        ``kind`` names the message (``status``, ``error``, ``open_order`` ...), ``state`` is what it means for the
        order, one of ``BROKER_STATES``, or None when it means nothing. A message that comes late or twice is logged and
        changes nothing: a filled order stays filled, and filled quantities never shrink. ``text`` becomes the reason of
        an order that is cancelled or rejected.

        Raises ``HistoryError`` when the order is not in the journal.
        """
        if state is not None and state not in BROKER_STATES:
            raise ValueError(f"the broker cannot put an order into state {state!r}")
        moment = _text(at)
        with self._write() as connection:
            order = self._existing(connection, order_ref)
            _append_event(
                connection, order_ref, moment, kind, status=status, code=code, text=text, perm_id=perm_id,
                filled=filled, remaining=remaining, average_price=average_price,
            )  # fmt: skip
            if state is not None and state in NEXT_BY_BROKER[order.state]:
                reason = text if state in ("cancelled", "rejected") else None
                _set_state(connection, order_ref, state, moment, reason)
            if perm_id:
                connection.execute("UPDATE intents SET perm_id = ? WHERE order_ref = ?", (perm_id, order_ref))
            if filled:
                _raise_fill(connection, order_ref, filled, average_price, moment)
            return self._existing(connection, order_ref)

    def record_fills(self, fills: pd.DataFrame, *, account: str, at: dt.datetime | None = None) -> set[str]:
        """Record an account's executions (the frame of ``fills``) and return the ids that are new; each counts once.

        A commission that comes later is added. IB numbers a correction of an execution in the last part of its id; the
        execution it corrects is kept and no longer counts. Orders of ours get their filled quantity and average price
        from their fills.
        """
        moment = _text(at)
        new = set()
        with self._write() as connection:
            for fill in validate("fills", fills).to_dict("records"):
                values = {"account": account, **{str(name): _plain(value) for name, value in fill.items()}}
                change = journal_tables.upsert_fill(connection, values)
                if change is None:
                    continue
                if change == "fill":
                    new.add(str(values["exec_id"]))
                _append_event(
                    connection, values["order_ref"], moment, change, exec_id=values["exec_id"],
                    perm_id=values["perm_id"], filled=values["quantity"], average_price=values["price"],
                )  # fmt: skip
                self._count_fills(connection, values["order_ref"], moment)
        return new

    def find(self, order_ref: str) -> JournaledOrder | None:
        """The order with a reference, or None."""
        found = self._select("WHERE order_ref = ?", order_ref)
        return found[0] if found else None

    def for_slot(self, slot: str) -> list[JournaledOrder]:
        """The orders planned in a slot, as they were planned."""
        return self._select("WHERE slot = ? ORDER BY rowid", slot)

    def unsettled(self) -> list[JournaledOrder]:
        """The orders, of whatever account, of which it is not known whether the broker has them."""
        marks = ", ".join("?" * len(UNSETTLED_STATES))
        return self._select(f"WHERE state IN ({marks}) ORDER BY rowid", *UNSETTLED_STATES)

    def count(self) -> int:
        """How many intents are journaled."""
        with self._read() as connection:
            return connection.execute("SELECT count(*) FROM intents").fetchone()[0]

    def open_intents(self, account: str) -> list[JournaledOrder]:
        """The orders of an account that may still be sent or filled, oldest first."""
        marks = ", ".join("?" * len(OPEN_STATES))
        return self._select(f"WHERE account = ? AND state IN ({marks}) ORDER BY rowid", account, *OPEN_STATES)

    def events_of(self, order_ref: str) -> pd.DataFrame:
        """All that happened to an order, oldest first."""
        with self._read() as connection:
            rows = connection.execute(
                f"SELECT {', '.join(EVENT_COLUMNS)} FROM events WHERE order_ref = ? ORDER BY id", (order_ref,)
            ).fetchall()
        return pd.DataFrame(rows, columns=list(EVENT_COLUMNS))

    def changes_since(self, event_id: int) -> journal_tables.Changes:
        """The events after one, with the intents and fills they changed as they are now; one consistent reading."""
        with self._read() as connection:
            return journal_tables.changes_since(connection, event_id)

    def copy_to(self, target: Path) -> None:
        """Make ``target`` a journal of its own with all that is journaled now; writers are not held up."""
        with self._read() as connection, closing(sqlite3.connect(target)) as copy:
            connection.backup(copy)

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        with self._thread_turn:
            if self._connection is not None:
                self._connection.close()
            self._connection = self._opened = None

    def _step(
        self,
        connection: sqlite3.Connection,
        order_ref: str,
        state: str,
        at: dt.datetime | None,
        reason: str | None = None,
    ) -> JournaledOrder:
        order = self._existing(connection, order_ref)
        if state not in NEXT_BY_US[order.state]:
            raise HistoryError(
                f"The order {order_ref} is {order.state.replace('_', ' ')} in the journal and cannot become {state}; "
                "reconcile with the broker before acting on it."
            )
        moment = _text(at)
        _append_event(connection, order_ref, moment, state, text=reason)
        _set_state(connection, order_ref, state, moment, reason)
        return self._existing(connection, order_ref)

    def _existing(self, connection: sqlite3.Connection, order_ref: str) -> JournaledOrder:
        row = connection.execute(f"SELECT {_ORDER} FROM intents WHERE order_ref = ?", (order_ref,)).fetchone()
        if row is None:
            raise HistoryError(f"The order {order_ref} is not in the journal {self.path}; plan it before it is sent.")
        return _order(row)

    def _count_fills(self, connection: sqlite3.Connection, order_ref: object, moment: str) -> None:
        row = connection.execute(
            "SELECT sum(fills.quantity), sum(fills.quantity * fills.price) / sum(fills.quantity), intents.quantity, "
            "state FROM intents JOIN fills USING (order_ref) "
            "WHERE order_ref = ? AND corrected_by IS NULL GROUP BY order_ref",
            (order_ref,),
        ).fetchone()
        if row is None:
            return
        filled, average, wanted, state = row
        now = "filled" if filled >= wanted else "partly_filled"
        if now in NEXT_BY_BROKER[state]:
            _set_state(connection, str(order_ref), now, moment, None)
        _raise_fill(connection, str(order_ref), filled, average, moment)

    def _select(self, where: str, *parameters: object) -> list[JournaledOrder]:
        with self._read() as connection:
            rows = connection.execute(f"SELECT {_ORDER} FROM intents {where}", parameters).fetchall()
        return [_order(row) for row in rows]

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._thread_turn:
            try:
                connection = self._open()
                connection.execute(begin)
                try:
                    yield connection
                    connection.execute("COMMIT")
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                self.close()
                raise self._in_one_sentence(error) from error

    def _in_one_sentence(self, error: sqlite3.Error) -> Exception:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(DAMAGE):
            return HistoryError(
                f"The order journal {self.path} is damaged ({error}); restore a backup of it before trading, nothing "
                "was changed."
            )
        if name.startswith(MISFORTUNES):
            return HistoryError(
                f"The order journal {self.path} cannot be used now ({error}); nothing was written, free space or end "
                "the program that holds it, and run the step again."
            )
        return error

    def _open(self) -> sqlite3.Connection:
        # A journal that was moved away under an open connection would take every further word with it.
        opened = (os.getpid(), self.path.stat().st_ino) if self.path.exists() else None
        if self._connection is None or opened is None or opened != self._opened:
            self.close()
            self._connection = journal_tables.connect(self.path, self._wait_seconds)
            self._opened = (os.getpid(), self.path.stat().st_ino)
        return self._connection


def _append_event(connection: sqlite3.Connection, order_ref: object, at: str, kind: str, **said: object) -> None:
    names = ", ".join(("order_ref", "at", "kind", *said))
    marks = ", ".join("?" * (3 + len(said)))
    connection.execute(f"INSERT INTO events ({names}) VALUES ({marks})", (order_ref, at, kind, *said.values()))


def _set_state(connection: sqlite3.Connection, order_ref: str, state: str, moment: str, reason: str | None) -> None:
    connection.execute(
        "UPDATE intents SET state = ?, reason = ?, updated_at = ? WHERE order_ref = ?",
        (state, reason, moment, order_ref),
    )


def _raise_fill(
    connection: sqlite3.Connection, order_ref: str, filled: float, average_price: float | None, moment: str
) -> None:
    connection.execute(
        "UPDATE intents SET filled_quantity = ?, average_fill_price = coalesce(?, average_fill_price), updated_at = ? "
        "WHERE order_ref = ? AND filled_quantity <= ?",
        (filled, average_price, moment, order_ref, filled),
    )


def _order(row: tuple[object, ...]) -> JournaledOrder:
    values = dict(zip((field.name for field in fields(JournaledOrder)), row, strict=True))
    for name in ("created_at", "updated_at"):
        values[name] = dt.datetime.fromisoformat(str(values[name]))
    return JournaledOrder(**values)  # pyright: ignore[reportArgumentType]


def _text(at: dt.datetime | None) -> str:
    return (at or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).isoformat(timespec="microseconds")


def _plain(value: Any) -> object:
    if isinstance(value, pd.Timestamp):
        return _text(value.to_pydatetime())
    return None if value != value else value
