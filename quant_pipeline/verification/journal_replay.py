"""What the log of the order journal makes of each order and fill, against what the journal says of them.

The log is only ever added to, and every state, filled quantity and average price came of its words. So they are made
again from it, word by word, by the rules in ``journal_tables``; a row that says something else was changed after it was
written. Whether the fills are those that the broker told is for ``recorded_fills``, whether the orders are those that
were decided for ``orders``. No broker is asked: what its words mean for an order stands below, held to the meaning that
``act`` gives them by a test. Where a word can mean several things (an error, whose code is not looked up here), each of
them is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from quant_pipeline.history.journal_tables import NEXT_BY_BROKER, NEXT_BY_US
from quant_pipeline.history.rows import Row
from quant_pipeline.verification.differences import Finding, as_told

STATE_OF_STATUS = {
    "PreSubmitted": "working",
    "Submitted": "working",
    "PendingCancel": "working",
    "Filled": "filled",
    "Cancelled": "cancelled",
    "ApiCancelled": "cancelled",
}
"""What a status of the broker means for an order; any other means nothing."""
OF_ERROR = (None, "rejected", "cancelled")
RECORDED = ("fill", "commission", "account")
"""Kinds of events that came of recording executions; they name the execution, the broker's own words do not."""
CLOSE = 1e-9


@dataclass(frozen=True)
class Standing:
    """How an order stands after some words of the log; the time is when its state or its fills last changed."""

    state: str
    reason: str | None
    filled_quantity: float
    average_fill_price: float | None
    perm_id: int | None
    created_at: int
    updated_at: int


def intent_findings(intents: Mapping[str, Row], events: Iterable[Row]) -> Iterator[Finding]:
    """Orders that do not stand as their events have them, and orders that only the events know."""
    words = by_order(events)
    for ref in sorted({*intents, *words}):
        intent = intents.get(ref)
        if intent is None:
            yield Finding("intents", ref, None, f"order {ref} has events in the log and is not there")
            continue
        ends = standings(words.get(ref, []), intent)
        if not ends:
            yield Finding("intents", ref, None, f"order {ref} has no event that says it was planned")
        elif not any(_stands(intent, end) for end in ends):
            yield _first_contradiction(intent, ends)


def standings(events: Sequence[Row], intent: Row) -> set[Standing]:
    """Every way an order can stand after its events, oldest first; empty when they do not begin with its planning."""
    if not events or events[0]["kind"] != "planned":
        return set()
    planned_at = events[0]["at"]
    ends = {Standing("planned", None, 0.0, None, None, planned_at, planned_at)}
    fills: dict[str, tuple[float, float]] = {}
    for event in events[1:]:
        if event["exec_id"] is not None and event["kind"] in RECORDED:
            fills[event["exec_id"]] = (event["filled"], event["average_price"])
            total = _that_count(fills)
            ends = {_with_fills(end, event["at"], intent["quantity"], *total) for end in ends}
        elif event["kind"] in NEXT_BY_US:
            ends = {replace(end, state=event["kind"], reason=event["text"], updated_at=event["at"]) for end in ends}
        else:
            ends = {_after(end, event, state) for end in ends for state in _meanings(event, intent)}
    return ends


def fill_findings(fills: Mapping[str, Row], intents: Mapping[str, Row], events: Iterable[Row]) -> Iterator[Finding]:
    """Fills that are not as the log and their order have them, and fills that only the log knows."""
    journaled = {event["exec_id"]: event for event in events if event["kind"] == "fill"}
    for exec_id in sorted({*fills, *journaled}):
        fill, event = fills.get(exec_id), journaled.get(exec_id)
        if fill is None:
            assert event is not None
            text = f"fill {exec_id} is not there; event {event['id']} journaled {_shares(event)}"
            yield Finding("fills", exec_id, None, text)
        elif event is None:
            yield Finding("fills", exec_id, None, f"fill {exec_id} was never journaled: no event of the log names it")
        else:
            yield from _against_event(fill, event)
            yield from _against_order(fill, intents.get(fill["order_ref"]))
    for exec_id, newest in corrections(fills).items():
        if fills[exec_id]["corrected_by"] != newest:
            text = f"corrected_by of fill {exec_id} is {fills[exec_id]['corrected_by']}; by the ids it is {newest}"
            yield Finding("fills", exec_id, "corrected_by", text)


def corrections(exec_ids: Iterable[str]) -> dict[str, str | None]:
    """Execution id to the one that replaces it: the last of those that differ in the last part only."""
    newest: dict[str, str] = {}
    known = list(exec_ids)
    for exec_id in known:
        execution = exec_id.rpartition(".")[0] or exec_id
        newest[execution] = max(newest.get(execution, ""), exec_id)
    ends = {exec_id: newest[exec_id.rpartition(".")[0] or exec_id] for exec_id in known}
    return {exec_id: end if end != exec_id else None for exec_id, end in ends.items()}


def by_order(events: Iterable[Row]) -> dict[str, list[Row]]:
    """Events of orders of ours by reference, oldest first."""
    words: dict[str, list[Row]] = {}
    for event in events:
        if event["order_ref"] is not None:
            words.setdefault(event["order_ref"], []).append(event)
    return {ref: sorted(of_order, key=lambda event: event["id"]) for ref, of_order in words.items()}


def _meanings(event: Row, intent: Row) -> set[str | None]:
    """The states that a word of the broker can put an order into; None: it means nothing."""
    kind, filled = event["kind"], event["filled"] or 0.0
    if kind == "error":
        return set(OF_ERROR)
    if kind == "report":
        return {"rejected"}
    state = STATE_OF_STATUS.get(event["status"] or "")
    state = "partly_filled" if state == "working" and filled > 0 else state
    if kind != "reconciled":
        return {state}
    # What a reading of the broker's lists means depends on the list, which the log does not name.
    if event["status"] == "Inactive":
        return {None, "rejected"}
    silent = {"cancelled"} if event["status"] is None else set[str]()
    filling = {"filled" if filled >= intent["quantity"] else "partly_filled"} if filled else set[str]()
    return {state, *silent, *filling}


def _after(end: Standing, event: Row, state: str | None) -> Standing:
    if state is not None and state in NEXT_BY_BROKER[end.state]:
        reason = event["text"] if state in ("cancelled", "rejected") else None
        end = replace(end, state=state, reason=reason, updated_at=event["at"])
    if event["perm_id"]:
        end = replace(end, perm_id=event["perm_id"])
    return _raised(end, event["at"], event["filled"] or 0.0, event["average_price"])


def _with_fills(end: Standing, at: int, wanted: float, filled: float, average: float) -> Standing:
    state = "filled" if filled >= wanted else "partly_filled"
    if state in NEXT_BY_BROKER[end.state]:
        end = replace(end, state=state, reason=None, updated_at=at)
    return _raised(end, at, filled, average)


def _raised(end: Standing, at: int, filled: float, average: float | None) -> Standing:
    """Filled quantities never shrink."""
    if not filled or filled < end.filled_quantity:
        return end
    average = end.average_fill_price if average is None else average
    return replace(end, filled_quantity=filled, average_fill_price=average, updated_at=at)


def _that_count(fills: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """Shares and average price of the fills that no other one corrects."""
    counted = [fills[exec_id] for exec_id, newest in corrections(fills).items() if newest is None]
    shares = math.fsum(quantity for quantity, _ in counted)
    return shares, math.fsum(quantity * price for quantity, price in counted) / shares if shares else 0.0


_OUTCOME = ("state", "filled_quantity", "average_fill_price", "perm_id", "reason", "created_at", "updated_at")


def _stands(intent: Row, end: Standing) -> bool:
    return all(alike(intent[name], getattr(end, name)) for name in _OUTCOME)


def _first_contradiction(intent: Row, ends: Iterable[Standing]) -> Finding:
    """What differs from the nearest of the ways an order can stand."""
    nearest = max(ends, key=lambda end: sum(alike(intent[name], getattr(end, name)) for name in _OUTCOME))
    name = next(name for name in _OUTCOME if not alike(intent[name], getattr(nearest, name)))
    ref, made = intent["order_ref"], getattr(nearest, name)
    stands, ought = as_told(name, intent[name]), as_told(name, made)
    return Finding("intents", ref, name, f"{name} of {ref} is {stands}; by its events and fills it is {ought}")


def _against_event(fill: Row, event: Row) -> Iterator[Finding]:
    said = {
        "order_ref": event["order_ref"], "perm_id": event["perm_id"], "quantity": event["filled"],
        "price": event["average_price"],
    }  # fmt: skip
    for name, journaled in said.items():
        if not alike(fill[name], journaled):
            text = f"{name} of fill {fill['exec_id']} is {fill[name]}; event {event['id']} journaled {journaled}"
            yield Finding("fills", fill["exec_id"], name, text)


def _against_order(fill: Row, intent: Row | None) -> Iterator[Finding]:
    if intent is None:
        return
    for name, of_order in (("symbol", "symbol"), ("side", "action"), ("account", "account")):
        if fill[name] != intent[of_order]:
            text = f"{name} of fill {fill['exec_id']} is {fill[name]}; its order {intent['order_ref']} is for "
            yield Finding("fills", fill["exec_id"], name, f"{text}{intent[of_order]}")


def alike(one: object, other: object) -> bool:
    """Whether two values are the same but for the last digits of a sum."""
    if isinstance(one, float) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=CLOSE)
    return one == other


def _shares(event: Row) -> str:
    return f"{event['filled']:g} at {event['average_price']} for {event['order_ref'] or 'an order that is not ours'}"
