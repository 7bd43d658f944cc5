-- An order journal of layout version 1 as the program of then made it, the one the history mirrors. Never change it.
BEGIN TRANSACTION;
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
INSERT INTO "events" VALUES(1,'2026-11-20T10:15:AAPL:entry','2026-11-20T15:16:01.000005+00:00','planned',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(2,'2026-11-20T10:15:MSFT:entry','2026-11-20T15:16:01.000005+00:00','planned',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(3,'2026-11-20T10:15:AAPL:entry','2026-11-20T15:16:01.000005+00:00','sending',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "events" VALUES(4,'2026-11-20T10:15:AAPL:entry','2026-11-20T15:16:01.000005+00:00','fill',NULL,NULL,NULL,77,30.0,NULL,150.0,'e.1.01');
INSERT INTO "events" VALUES(5,'2026-11-20T10:15:AAPL:entry','2026-11-20T15:16:01.000005+00:00','fill',NULL,NULL,NULL,77,30.0,NULL,149.0,'e.1.02');
INSERT INTO "events" VALUES(6,'2026-11-20T10:15:AAPL:entry','2026-11-20T15:16:01.000005+00:00','fill',NULL,NULL,NULL,77,60.0,NULL,150.0,'e.2.01');
INSERT INTO "events" VALUES(7,NULL,'2026-11-20T15:16:01.000005+00:00','fill',NULL,NULL,NULL,77,5.0,NULL,150.0,'m.1.01');
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
    corrected_by TEXT                    -- exec_id of the execution that replaces this one
);
INSERT INTO "fills" VALUES('e.1.01','2026-11-20T10:15:AAPL:entry',77,'AAPL','BUY',30.0,150.0,1.0,'2026-11-20T15:16:01.000005+00:00','e.1.02');
INSERT INTO "fills" VALUES('e.1.02','2026-11-20T10:15:AAPL:entry',77,'AAPL','BUY',30.0,149.0,1.0,'2026-11-20T15:16:01.000005+00:00',NULL);
INSERT INTO "fills" VALUES('e.2.01','2026-11-20T10:15:AAPL:entry',77,'AAPL','BUY',60.0,150.0,NULL,'2026-11-20T15:16:01.000005+00:00',NULL);
INSERT INTO "fills" VALUES('m.1.01',NULL,77,'AAPL','BUY',5.0,150.0,1.0,'2026-11-20T15:16:01.000005+00:00',NULL);
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
    state TEXT NOT NULL CHECK (state IN ('planned', 'sending', 'unknown', 'working', 'partly_filled', 'filled', 'cancelled', 'rejected', 'refused')),
    perm_id INTEGER,                     -- IB's permanent id; null until the broker gave one
    client_id INTEGER,
    order_id INTEGER,
    filled_quantity REAL NOT NULL,
    average_fill_price REAL,
    reason TEXT,                         -- why it was refused, cancelled or rejected, or is unknown
    updated_at TEXT NOT NULL
);
INSERT INTO "intents" VALUES('2026-11-20T10:15:AAPL:entry','DU1','2026-11-20T10:15','AAPL','entry','BUY','LMT',90.0,150.25,'DAY',NULL,4,'2026-11-20T15:16:01.000005+00:00','filled',NULL,18,5,90.0,1.49666666666666657191e+02,NULL,'2026-11-20T15:16:01.000005+00:00');
INSERT INTO "intents" VALUES('2026-11-20T10:15:MSFT:entry','DU1','2026-11-20T10:15','MSFT','entry','BUY','LMT',90.0,150.25,'DAY',NULL,17,'2026-11-20T15:16:01.000005+00:00','planned',NULL,NULL,NULL,0.0,NULL,NULL,'2026-11-20T15:16:01.000005+00:00');
CREATE INDEX intents_by_slot ON intents (slot);
CREATE INDEX intents_by_state ON intents (account, state);
CREATE INDEX events_by_order ON events (order_ref);
CREATE INDEX fills_by_order ON fills (order_ref);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',7);
PRAGMA user_version = 1;
COMMIT;
