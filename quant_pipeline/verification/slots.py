"""Verifying slots: session by session, each read in one short turn and judged slot by slot.

``verify_slots`` is what the command calls. Every recorded frame is hashed again; the deciding versions that matter (the
newest of each asset, and the whole chain behind what was sent) are made again; orders and fills are compared with all
that tells of them. What follows from damage is not told twice: a version with a damaged input is not decided again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from quant_pipeline.errors import UsageError
from quant_pipeline.history import journal_reading
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline.verification import journal_replay, recorded_fills
from quant_pipeline.verification.damage import Witnesses
from quant_pipeline.verification.decisions import INPUTS, DecisionMaker, missing_inputs
from quant_pipeline.verification.differences import Difference, Finding, Kind, SlotVerdict
from quant_pipeline.verification.orders import Orders, copy_differences, decision_findings
from quant_pipeline.verification.recorded_fills import Told, told_fills
from quant_pipeline.verification.recordings import Recording, Recordings

SESSION_CHARACTERS = len("2026-11-20")
SLOT_OR_DAY = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d)?")


def recorded_slots(
    home: Path, chosen: Sequence[str] = (), *, first: str | None = None, last: str | None = None
) -> list[str]:
    """The recorded slots in order: all of them, or the chosen and those from ``first`` to ``last``.

    A session's day stands for all its slots. Raises ``UsageError`` for what is no slot and no day, and when nothing is
    recorded of what was chosen.
    """
    with WorkingFile(home).reading() as connection, journal_reading.reading(home) as journal:
        recorded = {
            slot for (slot,) in connection.execute("SELECT DISTINCT slot FROM lineage.materializations").fetchall()
        }
        recorded |= {intent["slot"] for intent in journal.rows("intents", "GROUP BY slot")}
    for key in (*chosen, *(bound for bound in (first, last) if bound is not None)):
        if SLOT_OR_DAY.fullmatch(key) is None:
            raise UsageError(
                f"{key!r} is no slot; write one like {max(recorded, default='2026-11-20T10:15')}, which is the newest "
                "recorded, or a day like 2026-11-20."
            )
    for key in chosen:
        if not any(slot.startswith(key) for slot in recorded):
            raise UsageError(
                f"Nothing is recorded of slot {key}; the newest recorded is {max(recorded, default='none')}."
            )
    wanted = {slot for slot in recorded if any(slot.startswith(key) for key in chosen)} if chosen else recorded
    within = sorted(slot for slot in wanted if (first or "") <= slot and (last is None or slot[: len(last)] <= last))
    if not within:
        raise UsageError(f"No slot is recorded from {first or 'the beginning'} to {last or 'the end'}.")
    return within


@dataclass
class _Verification:
    """What is carried from slot to slot: settings that were built, witnesses, and what has been told of the journal."""

    maker: DecisionMaker
    witnesses: Witnesses
    told: set[tuple[str, object, str | None]] = field(default_factory=set)

    def is_new(self, finding: Finding) -> bool:
        """Whether a row has not been told of in this column, nor as one that is not there at all."""
        if {(finding.table, finding.key, finding.column), (finding.table, finding.key, None)} & self.told:
            return False
        self.told.add((finding.table, finding.key, finding.column))
        return True


def verify_slots(home: Path, slots: Sequence[str]) -> Iterator[SlotVerdict]:
    """The verdict of each slot, in order. Raises ``HistoryError`` when history or journal cannot be read."""
    working_file, verification = WorkingFile(home), _Verification(DecisionMaker(), Witnesses(home))
    for _, session in groupby(sorted(slots), key=lambda slot: slot[:SESSION_CHARACTERS]):
        of_session = list(session)
        with working_file.reading() as connection, journal_reading.reading(home) as journal:
            recordings = Recordings.read(connection, of_session)
            told = told_fills(of_session, recordings)
            orders = Orders.read(journal, connection, of_session[0], of_session[-1], list(told))
        for slot in of_session:
            yield _verify(slot, recordings, orders, told, verification)
            recordings.release(slot)


def verify_foreign_orders(home: Path) -> list[Difference]:
    """What differs about orders that are not ours, which belong to no slot, and what the whole log leaves out."""
    with WorkingFile(home).reading() as connection, journal_reading.reading(home) as journal:
        orders, gaps = Orders.read_foreign(journal, connection), journal.gaps()
    verification = _Verification(DecisionMaker(), Witnesses(home))
    found = [_of_gap(first, last) for first, last in gaps]
    return found + _journal_differences("", orders, (), verification)


def _of_gap(first: int, last: int) -> Difference:
    which = f"event {first} is" if first == last else f"events {first} to {last} are"
    text = f"{which} not there; the log counts without a gap"
    return Difference("", Kind.DAMAGED, "orders.sqlite events", text, column="id")


def _verify(
    slot: str, recordings: Recordings, orders: Orders, told: dict[str, Told], verification: _Verification
) -> SlotVerdict:
    recorded = recordings.of(slot)
    kept = [one for one in recorded if not one.pruned]
    intents = orders.intents_of(slot)
    differences = [difference for one in kept for difference in recordings.damage(one)]
    differences += recordings.strays(slot)
    unsound = {difference.materialization_id for difference in differences}
    settings, newer, not_again = list[str](), set[str](), dict[str, None]()
    for one in _that_matter(kept, intents, recordings):
        blocked = _why_not_again(one, recordings, unsound)
        if blocked is not None:
            differences += blocked
            not_again[one.asset] = None
            continue
        again = verification.maker.again(one, recordings)
        newer |= set(again.newer_columns)
        if again.difference is None:
            settings.append(one.settings_hash)
        if again.damage is not None:
            differences = [_located(found, one.id, *again.damage) for found in differences]
        elif again.difference is not None and one.id not in unsound:
            differences.append(again.difference)
    differences = [_placed(found, recordings, verification.witnesses) for found in differences]
    findings = [
        *decision_findings(slot, intents, recordings),
        *recorded_fills.order_findings(slot, recordings, orders.of_slot("intents", slot)),
        *recorded_fills.fill_findings(slot, told, orders.journal["fills"], orders.settled),
    ]
    differences += _journal_differences(slot, orders, findings, verification)
    return SlotVerdict(
        slot, len(kept), len(settings), len(intents), len(recorded) - len(kept), tuple(sorted(newer)),
        tuple(differences), tuple(settings), tuple(not_again),
    )  # fmt: skip


def _journal_differences(
    slot: str, orders: Orders, findings: Sequence[Finding], verification: _Verification
) -> list[Difference]:
    """What is wrong with the rows of a slot's orders, each told once: by what ought to be, else by the copy."""
    intents, events, fills = (orders.of_slot(table, slot) for table in ("intents", "events", "fills"))
    found = [
        *findings,
        *journal_replay.intent_findings(intents, events.values()),
        *journal_replay.fill_findings(fills, intents, events.values()),
    ]
    told = [(one, orders.as_difference(slot, one)) for one in found]
    return [difference for one, difference in [*told, *copy_differences(slot, orders)] if verification.is_new(one)]


def _placed(found: Difference, recordings: Recordings, witnesses: Witnesses) -> Difference:
    """The damage of a frame with what witnesses say of where it is."""
    damaged = recordings.by_id.get(found.materialization_id or 0)
    if damaged is None or found.column is not None or found.kind is not Kind.DAMAGED:
        return found
    place = witnesses.place(damaged, recordings)
    return found if place is None else replace(found, text=place.text, column=place.column, cause=place.cause)


def _that_matter(kept: Sequence[Recording], intents: Sequence[dict], recordings: Recordings) -> list[Recording]:
    """The deciding versions that are the newest of their asset or were sent for, with all that is behind them."""
    newest = {one.asset: one.id for one in kept}
    wanted = {newest[asset] for asset in INPUTS if asset in newest} | {
        intent["materialization_id"] for intent in intents
    }
    reached: set[int] = set()
    while wanted:
        reached |= wanted
        behind = {
            one for identity in wanted if identity in recordings.by_id for one in recordings.by_id[identity].inputs
        }
        wanted = behind - reached
    return [one for one in kept if one.id in reached and one.asset in INPUTS]


def _why_not_again(one: Recording, recordings: Recordings, unsound: set[int | None]) -> list[Difference] | None:
    """None when a version can be decided again; else what there is to say about that, which may be said already."""
    missing = missing_inputs(one, recordings)
    if missing is not None:
        return [Difference(one.slot, Kind.INCOMPLETE, one.asset, missing, one.id, "inputs")]
    faulty = recordings.settings_damage(one.settings_hash)
    if faulty is not None:
        return [Difference(one.slot, Kind.DAMAGED, one.asset, faulty, one.id, "settings")]
    if any(identity in unsound or recordings.by_id[identity].pruned for identity in one.inputs):
        return []
    return None


def _located(found: Difference, damaged: int, where: str, column: str | None) -> Difference:
    """The damage of a frame with what deciding again says of where it is."""
    if found.materialization_id != damaged or found.column is not None:
        return found
    return replace(found, text=f"{found.text}: {where}", column=column)
