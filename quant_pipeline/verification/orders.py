"""The orders of a slot against the decision they were sent for, and the journal against its copy in the history.

The journal is the truth about what was sent; the decision says what ought to have been. Both are read by others, the
copy too: here is only the comparison. A leg has its prices and quantity from its row of ``sized_orders``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from quant_pipeline.history.journal_reading import JournalReader
from quant_pipeline.history.journal_tables import JOURNAL_TABLES
from quant_pipeline.history.rows import Row, mappings, text_of
from quant_pipeline.verification.differences import Difference, Kind
from quant_pipeline.verification.recordings import Recordings

KEYS = {"intents": "order_ref", "events": "id", "fills": "exec_id"}
BRACKET_LEGS = ("entry", "stop", "target")
OPENS, CLOSES = {"LONG": "BUY", "SHORT": "SELL"}, {"LONG": "SELL", "SHORT": "BUY"}
AFTER_ALL = "~"
"""Sorts after everything a reference goes on with."""


@dataclass(frozen=True)
class Orders:
    """What journal and copy say of the orders of some slots, by table and key.

    ``seen`` is the last event the copy has: what happened later is not in it yet.
    """

    journal: dict[str, dict[Any, Row]]
    copy: dict[str, dict[Any, Row]]
    seen: int

    @classmethod
    def read(cls, journal: JournalReader, connection: DuckDBPyConnection, first: str, last: str) -> Orders:
        """Read what concerns the orders of the slots from ``first`` to ``last``."""
        return cls._read(
            journal, connection, f"order_ref >= {text_of(first)} AND order_ref < {text_of(last + AFTER_ALL)}"
        )

    @classmethod
    def read_foreign(cls, journal: JournalReader, connection: DuckDBPyConnection) -> Orders:
        """Read what concerns orders that are not ours."""
        return cls._read(journal, connection, "order_ref IS NULL")

    @classmethod
    def _read(cls, journal: JournalReader, connection: DuckDBPyConnection, which: str) -> Orders:
        said = {table: _by_key(table, map(_as_instants, journal.rows(table, f"WHERE {which}"))) for table in KEYS}
        copied = {table: _by_key(table, _copied(connection, table, which)) for table in KEYS}
        row = connection.execute("SELECT coalesce(max(id), 0) FROM journal.events").fetchone()
        return cls(said, copied, int(row[0]) if row else 0)

    def intents_of(self, slot: str) -> list[Row]:
        """The orders that were meant to be sent in a slot."""
        return [intent for ref, intent in self.journal["intents"].items() if ref.startswith(f"{slot}:")]


def decision_differences(slot: str, intents: Sequence[Row], recordings: Recordings) -> Iterator[Difference]:
    """Where the orders of a slot are not what was decided."""
    for identity in sorted({intent["materialization_id"] for intent in intents}):
        sent = [intent for intent in intents if intent["materialization_id"] == identity]
        decided = recordings.by_id.get(identity)
        if decided is None or decided.asset != "sized_orders":
            text = f"{sent[0]['order_ref']} was sent for materialization {identity}, which is no decision of its slot"
            yield _of_intents(slot, text, "materialization_id")
        elif not decided.pruned:
            rows = {row["symbol"]: row for row in recordings.table(decided).to_pylist()}
            for intent in sent:
                yield from _intent_differences(slot, intent, rows)
            yield from _missing_legs(slot, sent)


def copy_differences(slot: str, orders: Orders) -> Iterator[Difference]:
    """Where the copy of the journal in the history says something else of a slot's orders than the journal.

    The slot is "" for orders that are not ours. What changed since the copy followed the journal does not count.
    """
    changed = [event for event in orders.journal["events"].values() if event["id"] > orders.seen]
    refs = {event["order_ref"] for event in changed} - {None}
    executions = {event["exec_id"] for event in changed} - {None}
    for table in KEYS:
        journal, copy = (_of_slot(side[table], slot) for side in (orders.journal, orders.copy))
        for key in sorted({*journal, *copy}, key=str):
            said, copied = journal.get(key), copy.get(key)
            one = said or copied or {}
            if one["order_ref"] in refs or one.get("exec_id") in executions:
                continue
            if said is None or copied is None:
                where = "its copy in the history" if copied is None else "orders.sqlite"
                yield _of_copy(slot, table, f"{_named(table, key)} is not in {where}", None)
                continue
            column = next((name for name in JOURNAL_TABLES[table] if said[name] != copied[name]), None)
            if column:
                each = f"{said[column]} in orders.sqlite and {copied[column]} in the history"
                yield _of_copy(slot, table, f"{column} of {_named(table, key)} is {each}", column)


def _intent_differences(slot: str, intent: Row, decided: Mapping[str, Row]) -> Iterator[Difference]:
    symbol, leg = intent["symbol"], intent["leg"]
    if intent["order_ref"] != f"{slot}:{symbol}:{leg}" or intent["slot"] != slot:
        yield _of_intents(
            slot, f"{intent['order_ref']} says it is the {leg} of {symbol} in {intent['slot']}", "order_ref"
        )
        return
    if leg not in BRACKET_LEGS:
        return
    row = decided.get(symbol)
    if row is None or not row["approved"]:
        yield _of_intents(slot, f"{intent['order_ref']} was sent and the decision did not approve {symbol}", "symbol")
        return
    sides = OPENS if leg == "entry" else CLOSES
    expected = {
        "action": sides[row["direction"]],
        "order_type": "STP" if leg == "stop" else "LMT",
        "quantity": row["quantity"],
        "price": row[f"{leg}_price"],
        "parent_ref": None if leg == "entry" else f"{slot}:{symbol}:entry",
    }
    for column, wanted in expected.items():
        if intent[column] != wanted:
            text = f"{column} of {intent['order_ref']} is {intent[column]}, decided was {wanted}"
            yield _of_intents(slot, text, column)


def _missing_legs(slot: str, sent: Sequence[Row]) -> Iterator[Difference]:
    legs: dict[str, set[str]] = {}
    for intent in sent:
        legs.setdefault(intent["symbol"], set()).add(intent["leg"])
    for symbol, known in legs.items():
        missing = sorted(set(BRACKET_LEGS) - known)
        if missing and known & set(BRACKET_LEGS):
            yield _of_intents(slot, f"{slot}:{symbol} has no {' and no '.join(missing)} in the journal", "leg")


def _copied(connection: DuckDBPyConnection, table: str, which: str) -> list[Row]:
    columns = ", ".join(
        f'epoch_us("{name}") AS "{name}"' if sql.startswith("TIMESTAMP") else f'"{name}"'
        for name, sql in JOURNAL_TABLES[table].items()
    )
    return mappings(connection, f"SELECT {columns} FROM journal.{table} WHERE {which}")


def _as_instants(row: Row) -> Row:
    """The journal's row with its times as the copy has them, in microseconds since 1970."""
    return {name: _microseconds(value) if _is_time(name) else value for name, value in row.items()}


def _is_time(name: str) -> bool:
    return name == "at" or name.endswith("_at")


def _microseconds(text: str | None) -> int | None:
    if text is None:
        return None
    return (dt.datetime.fromisoformat(text) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def _by_key(table: str, rows: Iterable[Row]) -> dict[Any, Row]:
    return {row[KEYS[table]]: row for row in rows}


def _of_slot(rows: Mapping[Any, Row], slot: str) -> dict[Any, Row]:
    return {key: row for key, row in rows.items() if (row["order_ref"] or "").startswith(f"{slot}:" if slot else "")}


def _named(table: str, key: object) -> str:
    return {"intents": "order", "events": "event", "fills": "fill"}[table] + f" {key}"


def _of_intents(slot: str, text: str, column: str) -> Difference:
    return Difference(slot, Kind.DAMAGED, "orders.sqlite intents", text, column=column)


def _of_copy(slot: str, table: str, text: str, column: str | None) -> Difference:
    return Difference(slot, Kind.DAMAGED, f"orders.sqlite {table} or journal.{table}", text, column=column)
