"""Verifying slots: session by session, each read in one short turn and judged slot by slot.

``verify_slots`` is what the command calls. Every recorded frame is hashed again; the deciding versions that matter (the
newest of each asset, and the whole chain behind what was sent) are made again; orders are compared. What follows from
damage is not told twice: a version with a damaged input is not decided again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from quant_pipeline.errors import UsageError
from quant_pipeline.history import journal_reading
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline.verification.decisions import INPUTS, DecisionMaker, missing_inputs
from quant_pipeline.verification.differences import Difference, Kind, SlotVerdict
from quant_pipeline.verification.orders import Orders, copy_differences, decision_differences
from quant_pipeline.verification.recordings import Recording, Recordings

SESSION_CHARACTERS = len("2026-11-20")


def recorded_slots(
    home: Path, chosen: Sequence[str] = (), *, first: str | None = None, last: str | None = None
) -> list[str]:
    """The recorded slots in order: all of them, or the chosen and those from ``first`` to ``last``.

    A session's day stands for all its slots. Raises ``UsageError`` when nothing is recorded of what was chosen.
    """
    with WorkingFile(home).reading() as connection, journal_reading.reading(home) as journal:
        recorded = {
            slot for (slot,) in connection.execute("SELECT DISTINCT slot FROM lineage.materializations").fetchall()
        }
        recorded |= {intent["slot"] for intent in journal.rows("intents", "GROUP BY slot")}
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


def verify_slots(home: Path, slots: Sequence[str]) -> Iterator[SlotVerdict]:
    """The verdict of each slot, in order. Raises ``HistoryError`` when history or journal cannot be read."""
    working_file, maker = WorkingFile(home), DecisionMaker()
    for _, session in groupby(sorted(slots), key=lambda slot: slot[:SESSION_CHARACTERS]):
        of_session = list(session)
        with working_file.reading() as connection, journal_reading.reading(home) as journal:
            recordings = Recordings.read(connection, of_session)
            orders = Orders.read(journal, connection, of_session[0], of_session[-1])
        for slot in of_session:
            yield _verify(slot, recordings, orders, maker)
            recordings.release(slot)


def verify_foreign_orders(home: Path) -> list[Difference]:
    """Where journal and copy differ about orders that are not ours, which belong to no slot."""
    with WorkingFile(home).reading() as connection, journal_reading.reading(home) as journal:
        return list(copy_differences("", Orders.read_foreign(journal, connection)))


def _verify(slot: str, recordings: Recordings, orders: Orders, maker: DecisionMaker) -> SlotVerdict:
    recorded = recordings.of(slot)
    kept = [one for one in recorded if not one.pruned]
    intents = orders.intents_of(slot)
    differences = [difference for one in kept for difference in recordings.damage(one)]
    differences += recordings.strays(slot)
    unsound = {difference.materialization_id for difference in differences}
    decided, newer = 0, set[str]()
    for one in _that_matter(kept, intents, recordings):
        blocked = _why_not_again(one, recordings, unsound)
        if blocked is not None:
            differences += blocked
            continue
        again = maker.again(one, recordings)
        newer |= set(again.newer_columns)
        decided += again.difference is None
        if again.damage is not None:
            differences = [_located(found, one.id, *again.damage) for found in differences]
        elif again.difference is not None and one.id not in unsound:
            differences.append(again.difference)
    differences += decision_differences(slot, intents, recordings)
    differences += copy_differences(slot, orders)
    return SlotVerdict(
        slot, len(kept), decided, len(intents), len(recorded) - len(kept), tuple(sorted(newer)), tuple(differences)
    )


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
