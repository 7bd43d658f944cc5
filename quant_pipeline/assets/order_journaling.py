"""What goes into the order journal: intents before they are sent, and what the broker's words mean for them.

The journal keeps states of its own; this module translates the broker's statuses and codes into them, once. It sends
nothing and decides nothing; ``act`` calls it, and ``measure`` for what became of orders after they were sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from quant_pipeline.broker.brackets import BracketOrder, BrokerEvent, LegReport, Outcome
from quant_pipeline.broker.error_codes import Meaning, meaning_for_order
from quant_pipeline.broker.reconciliation import KnownOrder, OrderState
from quant_pipeline.history.journal_tables import NEXT_BY_US
from quant_pipeline.history.order_journal import Intent, JournaledOrder, OrderJournal

STATE_OF_STATUS = {
    "PreSubmitted": "working",
    "Submitted": "working",
    "PendingCancel": "working",
    "Filled": "filled",
    "Cancelled": "cancelled",
    "ApiCancelled": "cancelled",
}
"""The broker's status to the journal's state; any other status says nothing about what becomes of the order."""

VANISHED = "The broker lists it neither as open nor as ended, and does not say what became of it"
"""Why an order the broker had is unknown: what ended on an earlier day is in none of its lists."""

STATE_OF_MEANING = {Meaning.REJECTED: "rejected", Meaning.CANCELLED: "cancelled"}


def plan_intents(
    brackets: Sequence[BracketOrder], journal: OrderJournal, account: str, slot: str, materialization_id: int
) -> None:
    """Write down what is about to be sent, all of it in one transaction; what is there already stays as it is."""
    journal.plan(
        Intent(
            order_ref=leg.order_ref,
            account=account,
            slot=slot,
            symbol=bracket.symbol,
            leg=leg.leg,
            action=leg.action,
            order_type=leg.order_type,
            quantity=bracket.quantity,
            price=leg.price,
            tif=leg.time_in_force,
            parent_ref=None if leg.is_entry else f"{bracket.order_ref}:entry",
            materialization_id=materialization_id,
        )
        for bracket in brackets
        for leg in bracket.legs()
    )


def journal_word(event: BrokerEvent, journal: OrderJournal) -> None:
    """Append one word of the broker about an order of ours. Orders of others are not journaled."""
    if journal.find(event.order_ref) is None:
        return
    journal.record_event(
        event.order_ref,
        event.kind,
        state=state_of(event),
        at=event.at,
        status=event.status or None,
        code=event.code,
        text=event.text or None,
        perm_id=event.perm_id or None,
        filled=event.filled,
        remaining=event.remaining,
        average_price=event.average_price,
    )


def state_of(event: BrokerEvent) -> str | None:
    """The journal's state that an event puts an order into, or None when it means nothing for the state."""
    if event.kind == "error":
        return STATE_OF_MEANING.get(meaning_for_order(event.code or 0))
    return _state(event.status, event.filled or 0.0)


def journal_reports(reports: Iterable[LegReport], journal: OrderJournal) -> None:
    """Note what the waiting ended with for legs whose state no single word of the broker has settled.

    A leg that never went on the wire stays planned: another run may send it.
    """
    for report in reports:
        entry = journal.find(report.order_ref)
        if entry is None:
            continue
        if report.outcome is Outcome.UNKNOWN and "unknown" in NEXT_BY_US[entry.state]:
            journal.mark_unknown(report.order_ref, report.text or "the broker has not answered yet")
        elif report.outcome is Outcome.REJECTED and entry.state == "sending":
            journal.record_event(
                report.order_ref, "report", state="rejected", code=report.code, text=report.text or None
            )


def settle(journal: OrderJournal, account: str, state: OrderState) -> None:
    """Bring every order of the account whose fate is open in line with a complete reading of the broker.

    What was cut short in an earlier slot is settled here, whatever this slot sends.
    """
    for entry in journal.unsettled():
        if entry.account == account:
            _settle(entry, state.find(entry.order_ref), journal)


def settle_ended(journal: OrderJournal, account: str, read: Callable[[], OrderState]) -> list[str]:
    """Settle the orders that the broker had taken and no longer has open; return the references that changed.

    One leg of a bracket that fills has the broker cancel the other, while nobody listens. ``read`` gives a complete
    reading of the broker or raises, and then nothing changes. It is called after the journal was looked at, so that
    an order that another process sends meanwhile is not missed in an older reading.

    The broker's word settles an order. Of one that it no longer mentions, its silence says enough only where a sibling
    has closed the position; any other, which may have filled, becomes unknown and is looked for again the next time.
    """
    taken = [entry for entry in journal.open_intents(account) if entry.perm_id is not None]
    if not taken:
        return []
    state = read()
    silent, settled = [], []
    for entry in taken:
        order = state.find(entry.order_ref)
        if order is None:
            silent.append(entry)
        elif _has_news(order, entry):
            _settle(entry, order, journal)
            settled.append(entry.order_ref)
    return settled + [entry.order_ref for entry in silent if _settle_silent(entry, state, journal)]


def journal_what_is_known(bracket: BracketOrder, state: OrderState, journal: OrderJournal) -> list[KnownOrder]:
    """The bracket's legs that the broker has, with the journal brought in line with what it says.

    ``state`` is a complete reading of the broker, so a leg that was perhaps sent and is not in it was not taken.
    """
    known = []
    for leg in bracket.legs():
        order, entry = state.find(leg.order_ref), journal.find(leg.order_ref)
        if order is not None:
            known.append(order)
        if entry is not None:
            _settle(entry, order, journal)
    return known


def _settle(entry: JournaledOrder, order: KnownOrder | None, journal: OrderJournal) -> None:
    if order is not None:
        journal.record_event(
            entry.order_ref,
            "reconciled",
            state=_state_of_known(order, entry.quantity),
            status=order.status or None,
            text=order.how_it_ended or None,
            perm_id=order.perm_id,
            filled=order.filled or None,
            average_price=order.average_price,
        )
    elif entry.state == "sending" or (entry.state == "unknown" and entry.perm_id is None):
        journal.mark_absent(entry.order_ref)  # one the broker gave an id to was taken, whatever became of it


def _has_news(order: KnownOrder, entry: JournaledOrder) -> bool:
    state = _state_of_known(order, entry.quantity)
    return state not in (None, entry.state) or order.filled > entry.filled_quantity


def _settle_silent(entry: JournaledOrder, state: OrderState, journal: OrderJournal) -> bool:
    """Settle an order that a complete reading does not mention; say whether that changed anything."""
    now = journal.find(entry.order_ref)
    if now is None or now.state != entry.state or entry.state not in ("working", "partly_filled", "unknown"):
        return False
    closer = _filled_sibling(entry, journal)
    if closer is not None and state.position(entry.symbol) == 0:
        reason = f"{closer} closed the position, and the broker no longer lists this order"
        journal.record_event(entry.order_ref, "reconciled", state="cancelled", text=reason)
        return True
    if entry.state != "unknown":
        journal.mark_unknown(entry.order_ref, VANISHED)
    return entry.state != "unknown"


def _filled_sibling(entry: JournaledOrder, journal: OrderJournal) -> str | None:
    """The other child of the same bracket, where it is filled; an entry has no sibling."""
    siblings = journal.for_slot(entry.slot) if entry.parent_ref is not None else []
    return next(
        (other.order_ref for other in siblings if other.parent_ref == entry.parent_ref and other.state == "filled"),
        None,
    )


def _state_of_known(order: KnownOrder, wanted: float) -> str | None:
    if order.where == "executed":
        return "filled" if order.filled >= wanted else "partly_filled"
    if order.where == "completed" and order.status == "Inactive":
        return "rejected"  # among the open orders Inactive is neither live nor surely dead
    return _state(order.status, order.filled)


def _state(status: str, filled: float) -> str | None:
    state = STATE_OF_STATUS.get(status)
    return "partly_filled" if state == "working" and filled > 0 else state
