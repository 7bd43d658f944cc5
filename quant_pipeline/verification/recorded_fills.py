"""The fills and orders of the journal against the frames that recorded them: what the broker told, slot by slot.

A ``fills`` frame holds the executions of its session so far, an ``executions`` frame what had become of the slot's
orders, and both are under a hash. So a fill that was changed or taken away from the journal and its copy alike still
stands in every frame after it. Frames that are damaged themselves are no witnesses and are left out. Whether the
journal agrees with itself is for ``journal_replay``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from quant_pipeline.history.rows import Row
from quant_pipeline.verification.differences import Finding, as_told
from quant_pipeline.verification.journal_replay import alike
from quant_pipeline.verification.recordings import Recording, Recordings

CONSTANT = ("order_ref", "perm_id", "symbol", "side", "quantity", "price", "filled_at")
"""Columns of a fill that never change; its commission may come later and be put right."""


@dataclass(frozen=True)
class Told:
    """An execution as the newest frame that has it tells it, and the slot of the first that does."""

    row: Row
    version: Recording
    slot: str
    accounts: frozenset[str]


def told_fills(slots: Sequence[str], recordings: Recordings) -> dict[str, Told]:
    """Execution id to what the frames of some slots tell of it."""
    told: dict[str, Told] = {}
    for slot in slots:
        accounts = _accounts(slot, recordings)
        for version in recordings.kept(slot, "fills"):
            if version.rows and recordings.is_sound(version):
                for row in _rows(recordings.table(version)):
                    first = told[row["exec_id"]].slot if row["exec_id"] in told else slot
                    told[row["exec_id"]] = Told(row, version, first, accounts)
    return told


def fill_findings(
    slot: str, told: Mapping[str, Told], fills: Mapping[str, Row], settled: Mapping[str, int]
) -> Iterator[Finding]:
    """Fills first told in a slot that the journal does not have, or has otherwise.

    ``settled`` says when the commission of an execution was last put right, in microseconds since 1970.
    """
    for exec_id, tale in told.items():
        if tale.slot != slot:
            continue
        fill, where = fills.get(exec_id), f"version {tale.version.id} of fills recorded"
        if fill is None:
            row = tale.row
            traded = f"{row['side']} {row['quantity']:g} {row['symbol']} at {row['price']}"
            text = f"fill {exec_id} is not there; {where} {traded}"
            yield Finding("fills", exec_id, None, text)
            continue
        for name in _contradicted(fill, tale, settled.get(exec_id, 0)):
            recorded = tale.row[name] if name in tale.row else ", ".join(sorted(tale.accounts))
            text = f"{name} of fill {exec_id} is {as_told(name, fill[name])}; {where} {as_told(name, recorded)}"
            yield Finding("fills", exec_id, name, text)


def order_findings(slot: str, recordings: Recordings, intents: Mapping[str, Row]) -> Iterator[Finding]:
    """Orders that a frame of ``executions`` tells of and the journal does not have, or has with less."""
    for version in recordings.kept(slot, "executions"):
        if not version.rows or not recordings.is_sound(version):
            continue
        for row in recordings.table(version).to_pylist():
            ref, intent = row["order_ref"], intents.get(row["order_ref"])
            if not row["perm_id"]:
                continue
            where = f"version {version.id} of executions recorded"
            if intent is None:
                yield Finding("intents", ref, None, f"order {ref} is not there; {where} it as {row['status']}")
            elif intent["perm_id"] != row["perm_id"]:
                text = f"perm_id of {ref} is {intent['perm_id']}; {where} {row['perm_id']}"
                yield Finding("intents", ref, "perm_id", text)
            elif intent["filled_quantity"] < row["filled_quantity"]:
                text = (
                    f"filled_quantity of {ref} is {intent['filled_quantity']}; {where} {row['filled_quantity']} already"
                )
                yield Finding("intents", ref, "filled_quantity", text)


def _contradicted(fill: Row, tale: Told, settled_at: int) -> Iterable[str]:
    for name in CONSTANT:
        if not alike(fill[name], tale.row[name]):
            yield name
    commission = tale.row["commission"]
    if commission is not None and not alike(fill["commission"], commission) and settled_at <= tale.version.finished_at:
        yield "commission"
    # Executions of orders that are not ours were once kept without the account they were made in.
    if tale.accounts and fill["account"] is not None and fill["account"] not in tale.accounts:
        yield "account"


def _rows(table: pa.Table) -> list[Row]:
    """The rows with instants as microseconds since 1970."""
    place = table.schema.get_field_index("filled_at")
    return table.set_column(place, "filled_at", table["filled_at"].cast(pa.int64())).to_pylist()


def _accounts(slot: str, recordings: Recordings) -> frozenset[str]:
    """The accounts that were read in a slot."""
    sound = [version for version in recordings.kept(slot, "account") if recordings.is_sound(version)]
    return frozenset(account for version in sound for account in recordings.table(version)["account"].to_pylist())
