"""The tables of a book, and how a book of an earlier layout becomes one of this.

Only SQL belongs here; ``book`` runs it and is the only one that reads or writes the tables.
"""

from __future__ import annotations

LAYOUT = 2
"""2 added what an order has cost, whether it was triggered, its trailing stop, and whether a fill added liquidity."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
    perm_id INTEGER PRIMARY KEY,
    client_id INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    parent_perm_id INTEGER NOT NULL,
    terms TEXT NOT NULL,
    status TEXT NOT NULL,
    why_held TEXT NOT NULL,
    placed_at TEXT NOT NULL,
    expires_at TEXT,
    filled INTEGER NOT NULL,
    average_price REAL NOT NULL,
    last_price REAL NOT NULL,
    completed_at TEXT,
    completed_status TEXT NOT NULL,
    commission REAL NOT NULL DEFAULT 0,
    triggered INTEGER NOT NULL DEFAULT 0,
    trailing_stop REAL,
    UNIQUE (client_id, order_id)
);
CREATE INDEX IF NOT EXISTS orders_completed_at ON orders (completed_at);
CREATE TABLE IF NOT EXISTS executions (
    number INTEGER PRIMARY KEY,
    exec_id TEXT NOT NULL UNIQUE,
    perm_id INTEGER NOT NULL REFERENCES orders (perm_id),
    client_id INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    action TEXT NOT NULL,
    shares INTEGER NOT NULL,
    price REAL NOT NULL,
    at TEXT NOT NULL,
    cumulative INTEGER NOT NULL,
    average_price REAL NOT NULL,
    order_ref TEXT NOT NULL,
    commission REAL NOT NULL,
    realized_pnl REAL,
    last_liquidity INTEGER NOT NULL DEFAULT 2
);
CREATE INDEX IF NOT EXISTS executions_at ON executions (at);
"""

FROM_LAYOUT_1 = """
BEGIN IMMEDIATE;
ALTER TABLE orders ADD COLUMN commission REAL NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN triggered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN trailing_stop REAL;
ALTER TABLE executions ADD COLUMN last_liquidity INTEGER NOT NULL DEFAULT 2;
UPDATE orders SET commission = coalesce(
    (SELECT sum(executions.commission) FROM executions WHERE executions.perm_id = orders.perm_id), 0
);
UPDATE account SET value = '2' WHERE name = 'layout';
COMMIT;
"""
