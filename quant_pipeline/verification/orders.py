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
from quant_pipeline.verification.differences import Difference, Finding, Kind, as_told, is_time
from quant_pipeline.verification.recordings import Recording, Recordings

KEYS = {"intents": "order_ref", "events": "id", "fills": "exec_id"}
BRACKET_LEGS = ("entry", "stop", "target")
OPENS, CLOSES = {"LONG": "BUY", "SHORT": "SELL"}, {"LONG": "SELL", "SHORT": "BUY"}
AFTER_ALL = "~"
"""Sorts after everything a reference goes on with."""


@dataclass(frozen=True)
class Orders:
    """What journal and copy say of the orders of some slots, and of the fills that frames tell of, by table and key.

    ``seen`` is the last event the copy has: what happened later is not in it yet. ``settled`` says when the commission
    of an execution was last put right, in microseconds since 1970.
    """

    journal: dict[str, dict[Any, Row]]
    copy: dict[str, dict[Any, Row]]
    seen: int
    settled: dict[str, int]

    @classmethod
    def read(
        cls, journal: JournalReader, connection: DuckDBPyConnection, first: str, last: str, told: Sequence[str] = ()
    ) -> Orders:
        """Read what concerns the orders of the slots from ``first`` to ``last``, and the executions ``told``."""
        of_slots = f"order_ref >= {text_of(first)} AND order_ref < {text_of(last + AFTER_ALL)}"
        return cls._read(journal, connection, of_slots, f"exec_id IN ({', '.join(map(text_of, told)) or 'NULL'})")

    @classmethod
    def read_foreign(cls, journal: JournalReader, connection: DuckDBPyConnection) -> Orders:
        """Read what concerns orders that are not ours."""
        return cls._read(journal, connection, "order_ref IS NULL", "FALSE")

    @classmethod
    def _read(cls, journal: JournalReader, connection: DuckDBPyConnection, which: str, told: str) -> Orders:
        of_table = {"intents": which, "events": which, "fills": f"({which}) OR {told}"}
        said = {
            table: _by_key(table, map(_as_instants, journal.rows(table, f"WHERE {where}")))
            for table, where in of_table.items()
        }
        copied = {table: _by_key(table, _copied(connection, table, where)) for table, where in of_table.items()}
        row = connection.execute("SELECT coalesce(max(id), 0) FROM journal.events").fetchone()
        return cls(said, copied, int(row[0]) if row else 0, _settled(journal, said["fills"].values()))

    def intents_of(self, slot: str) -> list[Row]:
        """The orders that were meant to be sent in a slot."""
        return list(self.of_slot("intents", slot).values())

    def of_slot(self, table: str, slot: str) -> dict[Any, Row]:
        """The journal's rows about the orders of a slot; "" for orders that are not ours."""
        return _of_slot(self.journal[table], slot)

    def as_difference(self, slot: str, finding: Finding) -> Difference:
        """What was found in the journal, with the tables that say it: the copy as well where it agrees."""
        table, column = finding.table, finding.column
        said, copied = (side[table].get(finding.key) for side in (self.journal, self.copy))
        agree = said == copied if said is None or copied is None or column is None else said[column] == copied[column]
        where = f"orders.sqlite {table}" + (f" and journal.{table}" if agree else "")
        return Difference(slot, Kind.DAMAGED, where, finding.text, column=column)


def decision_findings(slot: str, intents: Sequence[Row], recordings: Recordings) -> Iterator[Finding]:
    """Where the orders of a slot are not what was decided, as far as that is still as it was recorded."""
    for identity in sorted({intent["materialization_id"] for intent in intents}):
        sent = [intent for intent in intents if intent["materialization_id"] == identity]
        decided = recordings.by_id.get(identity)
        if decided is None or decided.asset != "sized_orders":
            ref = sent[0]["order_ref"]
            text = f"materialization_id of {ref} is {identity}, which is no decision of its slot"
            yield Finding("intents", ref, "materialization_id", text)
        elif not decided.pruned and recordings.is_sound(decided):
            rows = {row["symbol"]: row for row in recordings.table(decided).to_pylist()}
            account = _account(decided, recordings)
            for intent in sent:
                yield from _intent_findings(slot, intent, rows, account)
    yield from _missing_legs(intents)


def copy_differences(slot: str, orders: Orders) -> Iterator[tuple[Finding, Difference]]:
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
            found = _copy_finding(table, key, said, copied)
            if found is not None:
                where = f"orders.sqlite {table} or journal.{table}"
                yield found, Difference(slot, Kind.DAMAGED, where, found.text, column=found.column)


def _copy_finding(table: str, key: Any, said: Row | None, copied: Row | None) -> Finding | None:
    if said is None or copied is None:
        where = "its copy in the history" if copied is None else "orders.sqlite"
        return Finding(table, key, None, f"{_named(table, key)} is not in {where}")
    column = next((name for name in JOURNAL_TABLES[table] if said[name] != copied[name]), None)
    if column is None:
        return None
    in_journal, in_copy = as_told(column, said[column]), as_told(column, copied[column])
    each = f"{in_journal} in orders.sqlite and {in_copy} in the history"
    return Finding(table, key, column, f"{column} of {_named(table, key)} is {each}")


def _account(decided: Recording, recordings: Recordings) -> str | None:
    """The account a decision was made for, where that is still known."""
    read = [recordings.by_id[one] for one in decided.inputs if one in recordings.by_id]
    accounts = [one for one in read if one.asset == "account" and one.rows and not one.pruned]
    return recordings.table(accounts[0])["account"][0].as_py() if accounts else None


def _settled(journal: JournalReader, fills: Iterable[Row]) -> dict[str, int]:
    refs = {fill["order_ref"] for fill in fills} - {None}
    events = journal.rows(
        "events",
        "WHERE kind = 'commission' AND exec_id IS NOT NULL AND (order_ref IS NULL OR order_ref IN "
        f"({', '.join(map(text_of, sorted(refs))) or 'NULL'})) ORDER BY id",
    )
    moments = {event["exec_id"]: _as_instants(event)["at"] for event in events}
    return {exec_id: at for exec_id, at in moments.items() if isinstance(at, int)}


def _intent_findings(slot: str, intent: Row, decided: Mapping[str, Row], account: str | None) -> Iterator[Finding]:
    symbol, leg, ref = intent["symbol"], intent["leg"], intent["order_ref"]
    own = dict(zip(("symbol", "leg"), ref.removeprefix(f"{slot}:").rpartition(":")[::2], strict=True))
    for column, wanted in {"slot": slot, **own}.items():
        if intent[column] != wanted:
            yield Finding("intents", ref, column, f"{column} of {ref} is {intent[column]}")
            return
    if leg not in BRACKET_LEGS:
        return
    row = decided.get(symbol)
    if row is None or not row["approved"]:
        yield Finding("intents", ref, "symbol", f"{ref} was sent and the decision did not approve {symbol}")
        return
    sides = OPENS if leg == "entry" else CLOSES
    expected = {
        "account": account or intent["account"],
        "action": sides[row["direction"]],
        "order_type": "STP" if leg == "stop" else "LMT",
        "quantity": row["quantity"],
        "price": row[f"{leg}_price"],
        "tif": "DAY" if leg == "entry" else "GTC",
        "parent_ref": None if leg == "entry" else f"{slot}:{symbol}:entry",
    }
    for column, wanted in expected.items():
        if intent[column] != wanted:
            yield Finding("intents", ref, column, f"{column} of {ref} is {intent[column]}, decided was {wanted}")


def _missing_legs(intents: Sequence[Row]) -> Iterator[Finding]:
    legs: dict[str, set[str]] = {}
    for intent in intents:
        bracket, _, leg = intent["order_ref"].rpartition(":")
        legs.setdefault(bracket, set()).add(leg)
    for bracket, known in legs.items():
        for missing in sorted(set(BRACKET_LEGS) - known) if known & set(BRACKET_LEGS) else ():
            ref = f"{bracket}:{missing}"
            yield Finding("intents", ref, None, f"order {ref} is not there, and other legs of its bracket are")


def _copied(connection: DuckDBPyConnection, table: str, which: str) -> list[Row]:
    columns = ", ".join(
        f'epoch_us("{name}") AS "{name}"' if sql.startswith("TIMESTAMP") else f'"{name}"'
        for name, sql in JOURNAL_TABLES[table].items()
    )
    return mappings(connection, f"SELECT {columns} FROM journal.{table} WHERE {which}")


def _as_instants(row: Row) -> Row:
    """The journal's row with its times as the copy has them, in microseconds since 1970."""
    return {name: _microseconds(value) if is_time(name) else value for name, value in row.items()}


def _microseconds(text: str | None) -> int | str | None:
    """Microseconds since 1970; what is no instant stays as it is, and differs from every one."""
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return text
    if moment.tzinfo is None:
        return text
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def _by_key(table: str, rows: Iterable[Row]) -> dict[Any, Row]:
    return {row[KEYS[table]]: row for row in rows}


def _of_slot(rows: Mapping[Any, Row], slot: str) -> dict[Any, Row]:
    return {key: row for key, row in rows.items() if (row["order_ref"] or "").startswith(f"{slot}:" if slot else "")}


def _named(table: str, key: object) -> str:
    return {"intents": "order", "events": "event", "fills": "fill"}[table] + f" {key}"
