"""The acting stage: the only code that sends orders.

Before anything is sent, everything the broker knows is read (open orders of all clients, executions, completed orders,
positions); a read that fails ends the asset, since unknown is not empty. Only what the broker does not have is sent,
and each intent is in the journal before it is on the wire. From the reading to the last word one process has the turn:
an order that another one is about to send looks like one that was never taken. There is no retry policy here on
purpose: a rerun reconciles first. The reasons not to send are in ``order_guards``, what the broker's words mean to the
journal in ``order_journaling``.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import dagster as dg
import pandas as pd

from quant_pipeline import frames
from quant_pipeline.assets.order_explanation import order_explanation
from quant_pipeline.assets.order_guards import (
    account_refusal,
    bracket_refusal,
    doubled_refusal,
    ended_refusal,
    journal_refusal,
    partial_refusal,
    slot_refusal,
    taken_refusal,
)
from quant_pipeline.assets.order_journaling import (
    journal_reports,
    journal_what_is_known,
    journal_word,
    plan_intents,
    settle,
)
from quant_pipeline.assets.slot_asset import slot_asset
from quant_pipeline.assets.slot_run import SlotRun
from quant_pipeline.automation.slots import Slot
from quant_pipeline.broker.brackets import BracketOrder, Outcome
from quant_pipeline.broker.orders import OrderDesk
from quant_pipeline.broker.reconciliation import read_order_state
from quant_pipeline.broker.session import BrokerSession, Role, connect
from quant_pipeline.errors import HistoryError
from quant_pipeline.history.file_lock import locked
from quant_pipeline.history.order_journal import JournaledOrder, OrderJournal

TURN_SECONDS = 60.0


@dataclass(frozen=True)
class Verdict:
    """What is sent, what is at the broker already, and what is refused with its reason, by ``SLOT:SYMBOL``."""

    to_send: tuple[BracketOrder, ...]
    already_working: frozenset[str]
    refused: dict[str, str]


@slot_asset("act")
def executions(
    context: dg.AssetExecutionContext,
    slot_run: dg.ResourceParam[SlotRun],
    sized_orders: pd.DataFrame,
    universe: pd.DataFrame,
    quotes: pd.DataFrame,
) -> pd.DataFrame:
    """A bracket for each approved order: limit entry, stop-loss and profit target as its children."""
    slot = slot_run.begin(context)
    brackets = brackets_of(sized_orders, universe)
    if not brackets and not slot_run.journal.unsettled():
        return frames.empty("executions")
    over = slot_refusal(slot, slot_run.now())
    if over:
        context.log.info(f"Nothing is sent: {over}.")
        told = _report(brackets, _when_over(brackets, over, slot_run.journal), {}, slot_run.journal)
        _explain(context, slot_run, sized_orders, told)
        return told
    with _turn(slot_run), connect(slot_run.settings, Role.ORDERS, address=slot_run.address) as session:
        verdict = judge(brackets, quotes, slot, session, slot_run)
        not_sent = send(verdict.to_send, session, slot_run, slot)
    told = _report(brackets, verdict, not_sent, slot_run.journal)
    _explain(context, slot_run, sized_orders, told)
    return told


def brackets_of(sized_orders: pd.DataFrame, universe: pd.DataFrame) -> list[BracketOrder]:
    """The approved orders as brackets, in the order they were approved in."""
    con_ids = dict(zip(universe["symbol"], universe["con_id"], strict=True))
    return [
        BracketOrder(
            order_ref=order["order_ref"].removesuffix(":entry"),
            symbol=order["symbol"],
            con_id=con_ids[order["symbol"]],
            direction=order["direction"],
            quantity=order["quantity"],
            entry=order["entry_price"],
            stop=order["stop_price"],
            target=order["target_price"],
        )
        for order in sized_orders.to_dict("records")
        if order["approved"]
    ]


def judge(
    brackets: Sequence[BracketOrder], quotes: pd.DataFrame, slot: Slot, session: BrokerSession, slot_run: SlotRun
) -> Verdict:
    """Compare what was decided with what the broker has, and ask the guards about the rest."""
    settings, journal = slot_run.settings, slot_run.journal
    state = read_order_state(session)
    settle(journal, session.account, state)
    now = session.now()
    skew = abs((now - dt.datetime.now(dt.UTC)).total_seconds())
    blocked = (
        slot_refusal(slot, now)
        or account_refusal(settings, session.account, is_paper=session.is_paper, clock_skew=skew)
        or doubled_refusal(state)
    )
    quote_of = quotes.set_index("symbol").to_dict("index")
    to_send, working, refused = [], set(), {}
    for bracket in brackets:
        known = journal_what_is_known(bracket, state, journal)
        if len(known) == len(bracket.legs()):
            working.add(bracket.order_ref)
            continue
        reason = (
            partial_refusal(bracket, known)
            or next(filter(None, (journal_refusal(journal.find(leg.order_ref)) for leg in bracket.legs())), None)
            or ended_refusal(known)
            or blocked
            or taken_refusal(bracket, state)
            or bracket_refusal(bracket, quote_of[bracket.symbol], now, settings.execution)
        )
        if reason:
            refused[bracket.order_ref] = reason
        else:
            to_send.append(bracket)
    return Verdict(tuple(to_send), frozenset(working), refused)


def send(brackets: Sequence[BracketOrder], session: BrokerSession, slot_run: SlotRun, slot: Slot) -> dict[str, str]:
    """Journal the intents of all brackets, then send them; every word of the broker is journaled as it comes.

    Returns the legs that never went on the wire, with the reason.
    """
    if not brackets:
        return {}
    journal = slot_run.journal
    decided = slot_run.input_of("executions", "sized_orders")
    plan_intents(brackets, journal, session.account, slot.key, decided.id)

    def claim(order_ref: str, order_id: int) -> None:
        journal.mark_sending(order_ref, session.client_id, order_id)

    reports = OrderDesk(session).place_brackets(
        brackets, on_sending=claim, on_event=lambda event: journal_word(event, journal)
    )
    journal_reports(reports, journal)
    return {report.order_ref: report.text for report in reports if report.outcome is Outcome.NOT_SENT}


def _explain(
    context: dg.AssetExecutionContext, slot_run: SlotRun, sized_orders: pd.DataFrame, told: pd.DataFrame
) -> None:
    """Show why the orders were sent beside what became of them; that it cannot be shown takes nothing from them."""
    decided = slot_run.input_of("executions", "sized_orders")
    try:
        context.add_output_metadata(order_explanation(slot_run.history, decided, sized_orders, told))
    except HistoryError as error:
        context.log.warning(f"The orders are not explained here: {error}")


def _when_over(brackets: Sequence[BracketOrder], reason: str, journal: OrderJournal) -> Verdict:
    """Nothing is sent for a slot that is over; what was sent while it went on is still told as it is."""
    sent = {
        bracket.order_ref
        for bracket in brackets
        if all(_was_taken(journal.find(leg.order_ref)) for leg in bracket.legs())
    }
    refused = {bracket.order_ref: reason for bracket in brackets if bracket.order_ref not in sent}
    return Verdict((), frozenset(sent), refused)


def _turn(slot_run: SlotRun) -> AbstractContextManager[None]:
    return locked(slot_run.settings.home / "working" / "sending.lock", TURN_SECONDS, "Orders are being sent")


def _report(
    brackets: Sequence[BracketOrder], verdict: Verdict, not_sent: Mapping[str, str], journal: OrderJournal
) -> pd.DataFrame:
    """The ``executions`` frame: a row a leg, with what the journal knows of it."""
    rows = []
    for bracket in brackets:
        refusal = verdict.refused.get(bracket.order_ref)
        for leg in bracket.legs():
            entry = journal.find(leg.order_ref)
            rows.append(
                {
                    "order_ref": leg.order_ref,
                    "symbol": bracket.symbol,
                    "leg": leg.leg,
                    "action": leg.action,
                    "order_type": leg.order_type,
                    "price": leg.price,
                    "quantity": bracket.quantity,
                    "perm_id": (entry.perm_id if entry else None) or 0,
                    "status": entry.state if entry else "refused",
                    "filled_quantity": entry.filled_quantity if entry else 0.0,
                    "average_fill_price": entry.average_fill_price if entry else None,
                    "outcome": _outcome(entry, refusal, bracket.order_ref in verdict.already_working),
                    "reason": refusal or not_sent.get(leg.order_ref) or (entry.reason if entry else None),
                }
            )
    return pd.DataFrame(rows) if rows else frames.empty("executions")


def _outcome(entry: JournaledOrder | None, refusal: str | None, already_working: bool) -> str:
    if already_working:
        return "already_working"
    return "refused" if refusal or not _was_taken(entry) else "sent"


def _was_taken(entry: JournaledOrder | None) -> bool:
    return entry is not None and entry.state not in ("planned", "rejected", "refused")
