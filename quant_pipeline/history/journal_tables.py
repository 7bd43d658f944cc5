"""The tables of the order journal, the states of an order, and how the file is opened.

What ``orders.sqlite`` looks like, which state may follow which and by whose word, and what the file must be like to be
trusted belong here; what is written when is for ``order_journal``, the only caller besides ``mirror``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.file_lock import locked
from quant_pipeline.history.migration_copy import keep_journal

SCHEMA_VERSION = 2
MIGRATIONS: dict[int, tuple[str, ...]] = {
    2: (
        "ALTER TABLE fills ADD COLUMN account TEXT",
        # Fills of orders that are not ours were kept without a word on whose account they were made in.
        "UPDATE fills SET account = (SELECT account FROM intents WHERE intents.order_ref = fills.order_ref)",
    ),
}
"""Version to the statements that lead to it from the one before."""
ADDED = {2: ("fills", "account")}
"""Version to a column, as table and name, that a journal has from that version on and none has before."""

OPEN_STATES = ("planned", "sending", "unknown", "working", "partly_filled")
UNSETTLED_STATES = ("sending", "unknown")
"""States in which it is not known whether the broker has the order."""

BROKER_STATES = ("working", "partly_filled", "filled", "cancelled", "rejected")
STATES = (*OPEN_STATES, "filled", "cancelled", "rejected", "refused")

NEXT_BY_US: dict[str, tuple[str, ...]] = {
    "planned": ("sending", "refused"),
    "sending": ("unknown", "planned"),
    "unknown": ("planned",),
    "working": ("unknown",),
    "partly_filled": ("unknown",),
    "filled": (),
    "cancelled": (),
    "rejected": (),
    "refused": (),
}
"""State to the states we may put an order into. Back to planned only when the broker was asked and does not have it."""

NEXT_BY_BROKER: dict[str, tuple[str, ...]] = {
    "planned": BROKER_STATES,
    "sending": BROKER_STATES,
    "unknown": BROKER_STATES,
    "working": ("partly_filled", "filled", "cancelled", "rejected"),
    "partly_filled": ("filled", "cancelled"),
    "filled": (),
    # A fill can overtake the word that the order was cancelled.
    "cancelled": ("filled",),
    # An error taken for a rejection is put right by the broker's later word; so is an order we refused and it has.
    "rejected": ("working", "partly_filled", "filled", "cancelled"),
    "refused": ("working", "partly_filled", "filled", "cancelled"),
}
"""State to the states the broker's word may put an order into; any other word comes late and changes nothing."""

INTENT_COLUMNS: dict[str, str] = {
    "order_ref": "VARCHAR",
    "account": "VARCHAR",
    "slot": "VARCHAR",
    "symbol": "VARCHAR",
    "leg": "VARCHAR",
    "action": "VARCHAR",
    "order_type": "VARCHAR",
    "quantity": "DOUBLE",
    "price": "DOUBLE",
    "tif": "VARCHAR",
    "parent_ref": "VARCHAR",
    "materialization_id": "BIGINT",
    "created_at": "TIMESTAMP WITH TIME ZONE",
    "state": "VARCHAR",
    "perm_id": "BIGINT",
    "client_id": "BIGINT",
    "order_id": "BIGINT",
    "filled_quantity": "DOUBLE",
    "average_fill_price": "DOUBLE",
    "reason": "VARCHAR",
    "updated_at": "TIMESTAMP WITH TIME ZONE",
}
EVENT_COLUMNS: dict[str, str] = {
    "id": "BIGINT",
    "order_ref": "VARCHAR",
    "at": "TIMESTAMP WITH TIME ZONE",
    "kind": "VARCHAR",
    "status": "VARCHAR",
    "code": "BIGINT",
    "text": "VARCHAR",
    "perm_id": "BIGINT",
    "filled": "DOUBLE",
    "remaining": "DOUBLE",
    "average_price": "DOUBLE",
    "exec_id": "VARCHAR",
}
FILL_COLUMNS: dict[str, str] = {
    "exec_id": "VARCHAR",
    "order_ref": "VARCHAR",
    "perm_id": "BIGINT",
    "symbol": "VARCHAR",
    "side": "VARCHAR",
    "quantity": "DOUBLE",
    "price": "DOUBLE",
    "commission": "DOUBLE",
    "filled_at": "TIMESTAMP WITH TIME ZONE",
    "corrected_by": "VARCHAR",
    "account": "VARCHAR",
}

JOURNAL_TABLES = {"intents": INTENT_COLUMNS, "events": EVENT_COLUMNS, "fills": FILL_COLUMNS}
"""Table to its columns in order, with the types they have in the history's mirror."""

_CREATE = f"""
CREATE TABLE intents (
    order_ref TEXT PRIMARY KEY,          -- slot, symbol and leg
    account TEXT NOT NULL,
    slot TEXT NOT NULL,
    symbol TEXT NOT NULL,
    leg TEXT NOT NULL,
    action TEXT NOT NULL,
    order_type TEXT NOT NULL,
    quantity REAL NOT NULL,
    price REAL,                          -- limit or stop price in dollars; null for a market order
    tif TEXT NOT NULL,
    parent_ref TEXT,                     -- order_ref of the entry leg; null for the entry
    materialization_id INTEGER NOT NULL, -- of sized_orders in the history
    created_at TEXT NOT NULL,            -- times are UTC
    state TEXT NOT NULL CHECK (state IN {STATES}),
    perm_id INTEGER,                     -- IB's permanent id; null until the broker gave one
    client_id INTEGER,
    order_id INTEGER,
    filled_quantity REAL NOT NULL,
    average_fill_price REAL,
    reason TEXT,                         -- why it was refused, cancelled or rejected, or is unknown
    updated_at TEXT NOT NULL
);
CREATE INDEX intents_by_slot ON intents (slot);
CREATE INDEX intents_by_state ON intents (account, state);
CREATE TABLE events (                    -- everything that happened, in order; never changed
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    order_ref TEXT,                      -- null for a fill of an order that is not ours
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT,
    code INTEGER,
    text TEXT,
    perm_id INTEGER,
    filled REAL,
    remaining REAL,
    average_price REAL,
    exec_id TEXT
);
CREATE INDEX events_by_order ON events (order_ref);
CREATE TABLE fills (
    exec_id TEXT PRIMARY KEY,
    order_ref TEXT,
    perm_id INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    side TEXT NOT NULL,
    quantity REAL NOT NULL,
    price REAL NOT NULL,
    commission REAL,                     -- in dollars; null until the broker reported it
    filled_at TEXT NOT NULL,
    corrected_by TEXT,                   -- exec_id of the execution that replaces this one
    account TEXT                         -- null where it was recorded before accounts were
);
CREATE INDEX fills_by_order ON fills (order_ref);
"""


@dataclass(frozen=True)
class Changes:
    """Events of the journal, and the rows of intents and fills they changed; tuples in the order of the columns."""

    events: list[tuple[object, ...]]
    intents: list[tuple[object, ...]]
    fills: list[tuple[object, ...]]
    last_event_id: int


def connect(path: Path, wait_seconds: float) -> sqlite3.Connection:
    """Open the journal, creating it the first time.

    Raises ``HistoryError`` when it is gone, of a newer version or fails SQLite's own check.
    """
    # Two processes that switch a new file to WAL at once get "database is locked" whatever the time-out.
    with locked(path.parent / "working" / "orders.lock", wait_seconds, f"The order journal {path} is being opened"):
        refuse_lost(path)
        connection = sqlite3.connect(path, timeout=wait_seconds, isolation_level=None, check_same_thread=False)
        try:
            _refuse_newer_or_damaged(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _bring_up_to_date(connection, path)
            _marker(path).touch()
        except BaseException:
            connection.close()
            raise
    return connection


def upsert_fill(connection: sqlite3.Connection, fill: Mapping[str, object]) -> str | None:
    """Add a fill, or its commission or account; say what was new: ``"fill"``, one of those words, or nothing."""
    exec_id = str(fill["exec_id"])
    known = connection.execute("SELECT commission, account FROM fills WHERE exec_id = ?", (exec_id,)).fetchone()
    if known is not None:
        return _complete_fill(connection, fill, *known)
    names = [name for name in FILL_COLUMNS if name != "corrected_by"]
    connection.execute(
        f"INSERT INTO fills ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", [fill[name] for name in names]
    )
    _settle_corrections(connection, exec_id)
    return "fill"


def _complete_fill(
    connection: sqlite3.Connection, fill: Mapping[str, object], commission: float | None, account: str | None
) -> str | None:
    """Commissions come later and may be put right; the account is missing in what an older layout kept."""
    billed = fill["commission"] is not None and fill["commission"] != commission
    if not billed and account is not None:
        return None
    connection.execute(
        "UPDATE fills SET commission = coalesce(?, commission), account = coalesce(account, ?) WHERE exec_id = ?",
        (fill["commission"], fill["account"], fill["exec_id"]),
    )
    return "commission" if billed else "account"


def changes_since(connection: sqlite3.Connection, event_id: int) -> Changes:
    """What the events after ``event_id`` changed, as it is now."""
    events = connection.execute(
        f"SELECT {', '.join(EVENT_COLUMNS)} FROM events WHERE id > ? ORDER BY id", (event_id,)
    ).fetchall()
    intents = connection.execute(
        f"SELECT {', '.join(INTENT_COLUMNS)} FROM intents "
        "WHERE order_ref IN (SELECT order_ref FROM events WHERE id > ?) ORDER BY rowid",
        (event_id,),
    ).fetchall()
    fills = connection.execute(
        f"SELECT {', '.join(FILL_COLUMNS)} FROM fills WHERE exec_id IN (SELECT exec_id FROM events WHERE id > ?) "
        "OR corrected_by IN (SELECT exec_id FROM events WHERE id > ?) ORDER BY rowid",
        (event_id, event_id),
    ).fetchall()
    last = connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0]
    return Changes(events, intents, fills, last)


def _settle_corrections(connection: sqlite3.Connection, exec_id: str) -> None:
    execution, dot, _ = exec_id.rpartition(".")
    if not dot:
        return
    versions = connection.execute(
        "SELECT exec_id FROM fills "
        "WHERE substr(exec_id, 1, ?) = ? AND instr(substr(exec_id, ?), '.') = 0 ORDER BY exec_id",
        (len(execution) + 1, execution + dot, len(execution) + 2),
    ).fetchall()
    newest = versions[-1][0]
    for (version,) in versions[:-1]:
        connection.execute("UPDATE fills SET corrected_by = ? WHERE exec_id = ?", (newest, version))


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    found = _version(connection)
    if found == SCHEMA_VERSION:
        return
    if found == 0:
        connection.executescript(f"BEGIN IMMEDIATE;\n{_CREATE}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;")
        return
    keep_journal(connection, path, found)
    connection.execute("BEGIN IMMEDIATE")
    for version in range(found + 1, SCHEMA_VERSION + 1):
        for statement in MIGRATIONS[version]:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _refuse_newer_or_damaged(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection)
    if version > SCHEMA_VERSION:
        raise HistoryError(
            f"The order journal {path} has layout version {version} and this program knows versions up to "
            f"{SCHEMA_VERSION}; run the newer quant-pipeline that wrote it, nothing was changed."
        )
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if version == 0 and tables:
        raise HistoryError(f"{path} is not an order journal of this pipeline; move it away, it was not changed.")
    fault = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if fault != "ok":
        raise sqlite3.DatabaseError(fault)
    for step, (table, column) in ADDED.items():
        there = any(name == column for _, name, *_ in connection.execute(f"PRAGMA table_info({table})"))
        if version and there != (step <= version):
            raise HistoryError(
                f"The order journal {path} is half-migrated: it says layout version {version} but has "
                f"{f'{table}.{column} already' if there else f'no {table}.{column}'}; restore a backup of it, nothing "
                "was changed."
            )


def refuse_lost(path: Path) -> None:
    """Raise ``HistoryError`` when there was a journal once and now there is none."""
    if not path.exists() and _marker(path).exists():
        raise HistoryError(
            f"The order journal {path} is gone; restore a backup of it, or take {_marker(path)} away to start a new "
            "one once no order of ours is open at the broker."
        )


def _marker(path: Path) -> Path:
    """A file that says there was a journal once, so that a lost one is not taken for a new home."""
    return path.parent / "working" / "orders.exists"


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]
