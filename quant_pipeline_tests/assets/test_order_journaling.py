"""What the broker's words mean to the journal, on a real journal file."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from quant_pipeline.assets.order_journaling import (
    journal_reports,
    journal_what_is_known,
    journal_word,
    plan_intents,
    settle_ended,
    state_of,
)
from quant_pipeline.broker.brackets import BracketOrder, BrokerEvent, LegReport, Outcome
from quant_pipeline.broker.error_codes import CODES
from quant_pipeline.broker.reconciliation import HeldPosition, KnownOrder, OrderState
from quant_pipeline.errors import BrokerError
from quant_pipeline.history.order_journal import OrderJournal

AT = dt.datetime(2026, 11, 20, 15, 15, tzinfo=dt.UTC)
BRACKET = BracketOrder("2026-11-20T10:15:AAPL", "AAPL", 265598, "LONG", 10, 150.25, 145.80, 161.38)
ENTRY, TARGET, STOP = (leg.order_ref for leg in BRACKET.legs())
REJECTING = {103, 107, 109, 110, 111, 116, 133, 200, 201, 203, 321, 387, 388, 391, 434, 435, 460, 10006}
CANCELLING = {202}
OPEN = KnownOrder(ENTRY, 501, "open", "AAPL", "BUY", "Submitted", 10, 0, None, 18)


@pytest.fixture
def journal(tmp_path: Path) -> OrderJournal:
    return OrderJournal(tmp_path)


@pytest.fixture
def planned(journal: OrderJournal) -> OrderJournal:
    plan_intents([BRACKET], journal, "DU1", "2026-11-20T10:15", 7)
    return journal


@pytest.fixture
def sending(planned: OrderJournal) -> OrderJournal:
    """The bracket is claimed for sending, and nobody knows what became of it."""
    for order_id, ref in enumerate((ENTRY, TARGET, STOP), start=1):
        planned.mark_sending(ref, 18, order_id)
    return planned


def status(status: str, filled: float | None = None) -> BrokerEvent:
    return BrokerEvent(ENTRY, 501, "status", AT, status, filled=filled)


def error(code: int, text: str = "") -> BrokerEvent:
    return BrokerEvent(ENTRY, 501, "error", AT, "Submitted", code, text)


def at_broker(*orders: KnownOrder) -> OrderState:
    return OrderState(orders, (), (), AT)


def states(journal: OrderJournal) -> list[str]:
    return [found.state if (found := journal.find(ref)) else "absent" for ref in (ENTRY, TARGET, STOP)]


@pytest.mark.parametrize(
    ("said", "filled", "state"),
    [
        ("ApiPending", 0.0, None),
        ("PendingSubmit", 0.0, None),
        ("PreSubmitted", 0.0, "working"),
        ("Submitted", 0.0, "working"),
        ("Submitted", 4.0, "partly_filled"),
        ("PendingCancel", 0.0, "working"),
        ("PendingCancel", 4.0, "partly_filled"),
        ("Filled", 10.0, "filled"),
        ("Cancelled", 0.0, "cancelled"),
        ("Cancelled", 4.0, "cancelled"),
        ("ApiCancelled", 0.0, "cancelled"),
        ("Inactive", 0.0, None),
        ("", None, None),
        ("SomethingNew", 0.0, None),
    ],
)
def test_each_status_means_one_state_or_nothing(said: str, filled: float | None, state: str | None) -> None:
    assert state_of(status(said, filled)) == state


@pytest.mark.parametrize("code", sorted(CODES))
def test_each_code_of_the_table_rejects_cancels_or_means_nothing(code: int) -> None:
    expected = "rejected" if code in REJECTING else "cancelled" if code in CANCELLING else None
    assert state_of(error(code)) == expected


@pytest.mark.parametrize("code", [10349, 399, 404, 2104, 2109])
def test_a_remark_never_ends_an_order(code: int) -> None:
    assert state_of(error(code)) is None


@pytest.mark.parametrize("code", [77_777, 0, 202_202])
def test_a_code_that_is_not_in_the_table_means_nothing(code: int) -> None:
    assert code not in CODES
    assert state_of(error(code)) is None


def test_an_intent_planned_twice_is_one(planned: OrderJournal) -> None:
    dearer = replace(BRACKET, entry=151.0)
    plan_intents([dearer], planned, "DU1", "2026-11-20T10:15", 8)
    assert planned.count() == 3
    assert [order.price for order in planned.for_slot("2026-11-20T10:15")] == [150.25, 161.38, 145.80]
    assert {order.materialization_id for order in planned.for_slot("2026-11-20T10:15")} == {7}


def test_the_intents_of_a_bracket_say_what_is_sent_and_whose_child_it_is(planned: OrderJournal) -> None:
    intents = planned.for_slot("2026-11-20T10:15")
    assert [(order.leg, order.action, order.order_type, order.tif, order.parent_ref) for order in intents] == [
        ("entry", "BUY", "LMT", "DAY", None),
        ("target", "SELL", "LMT", "GTC", ENTRY),
        ("stop", "SELL", "STP", "GTC", ENTRY),
    ]
    assert {(order.account, order.symbol, order.quantity, order.state) for order in intents} == {
        ("DU1", "AAPL", 10, "planned")
    }


def test_words_about_orders_that_are_not_ours_are_not_journaled(planned: OrderJournal) -> None:
    before = planned.changes_since(0).last_event_id
    for ref in ("", "by-hand", "2026-11-20T10:15:MSFT:entry"):
        journal_word(replace(status("Filled", 10.0), order_ref=ref), planned)
    assert planned.changes_since(0).last_event_id == before
    assert states(planned) == ["planned"] * 3


def test_a_word_about_an_order_of_ours_is_journaled_with_all_it_says(sending: OrderJournal) -> None:
    journal_word(replace(status("Submitted", 4.0), remaining=6.0, average_price=150.2), sending)
    order = sending.find(ENTRY)
    assert order is not None
    assert (order.state, order.perm_id, order.filled_quantity, order.average_fill_price) == (
        "partly_filled", 501, 4.0, 150.2,
    )  # fmt: skip
    last = sending.events_of(ENTRY).iloc[-1]
    assert (last["kind"], last["status"], last["remaining"]) == ("status", "Submitted", 6.0)
    assert last["at"].startswith("2026-11-20T15:15:00")


def test_a_rejection_keeps_the_words_of_the_broker(sending: OrderJournal) -> None:
    journal_word(error(201, "Order rejected - reason: no"), sending)
    order = sending.find(ENTRY)
    assert order is not None
    assert (order.state, order.reason) == ("rejected", "Order rejected - reason: no")


@pytest.mark.parametrize("unknown", [False, True])
def test_what_was_perhaps_sent_and_is_not_at_the_broker_is_planned_again(sending: OrderJournal, unknown: bool) -> None:
    if unknown:
        for ref in (ENTRY, TARGET, STOP):
            sending.mark_unknown(ref, "silence")
    assert journal_what_is_known(BRACKET, at_broker(), sending) == []
    assert states(sending) == ["planned"] * 3


@pytest.mark.parametrize(
    ("known", "state"),
    [
        (OPEN, "working"),
        (replace(OPEN, status="PreSubmitted"), "working"),
        (replace(OPEN, filled=4.0, average_price=150.2), "partly_filled"),
        (replace(OPEN, where="completed", status="Filled", filled=10.0, average_price=150.2), "filled"),
        (replace(OPEN, where="completed", status="Cancelled"), "cancelled"),
        (replace(OPEN, where="completed", status="Cancelled", filled=4.0, average_price=150.2), "cancelled"),
        (replace(OPEN, where="completed", status="Inactive"), "rejected"),
        (replace(OPEN, status="Inactive"), "sending"),
        (replace(OPEN, where="executed", status="", quantity=10, filled=10.0, average_price=150.2), "filled"),
        (replace(OPEN, where="executed", status="", quantity=4, filled=4.0, average_price=150.2), "partly_filled"),
    ],
)
def test_what_was_perhaps_sent_and_is_at_the_broker_has_the_brokers_state(
    sending: OrderJournal, known: KnownOrder, state: str
) -> None:
    assert journal_what_is_known(BRACKET, at_broker(known), sending) == [known]
    assert states(sending) == [state, "planned", "planned"]
    order = sending.find(ENTRY)
    assert order is not None
    assert (order.perm_id, order.filled_quantity) == (501, known.filled)


def test_what_was_never_sent_stays_planned_and_what_ended_stays_ended(planned: OrderJournal) -> None:
    planned.record_event(ENTRY, "status", state="filled", status="Filled")
    assert journal_what_is_known(BRACKET, at_broker(), planned) == []
    assert states(planned) == ["filled", "planned", "planned"]


def test_legs_the_journal_does_not_know_are_reported_all_the_same(journal: OrderJournal) -> None:
    assert journal_what_is_known(BRACKET, at_broker(OPEN), journal) == [OPEN]
    assert journal.count() == 0


def test_silence_makes_an_order_unknown_and_not_rejected(sending: OrderJournal) -> None:
    journal_reports([LegReport(ENTRY, Outcome.UNKNOWN), LegReport(TARGET, Outcome.UNKNOWN, text="Why?")], sending)
    assert states(sending) == ["unknown", "unknown", "sending"]
    reasons = [found.reason for ref in (ENTRY, TARGET) if (found := sending.find(ref))]
    assert reasons == ["the broker has not answered yet", "Why?"]


def test_a_leg_that_never_went_out_stays_planned(planned: OrderJournal) -> None:
    journal_reports([LegReport.not_sent(ref, "Trading is halted.") for ref in (ENTRY, TARGET, STOP)], planned)
    assert states(planned) == ["planned"] * 3


def test_a_child_whose_parent_is_gone_is_rejected(sending: OrderJournal) -> None:
    said = LegReport(TARGET, Outcome.REJECTED, 2, code=135, text="Can't find order with id = 1")
    assert state_of(replace(error(135), order_ref=TARGET)) is None, "the code alone is also said in answer to a cancel"
    journal_reports([said], sending)
    order = sending.find(TARGET)
    assert order is not None
    assert (order.state, order.reason) == ("rejected", "Can't find order with id = 1")


@pytest.mark.parametrize("state", ["working", "filled", "cancelled"])
def test_a_report_takes_back_nothing_that_the_broker_said(sending: OrderJournal, state: str) -> None:
    sending.record_event(ENTRY, "status", state=state)
    journal_reports([LegReport(ENTRY, Outcome.REJECTED, code=201, text="late")], sending)
    assert states(sending)[0] == state


@pytest.mark.parametrize("state", ["filled", "cancelled", "rejected"])
def test_an_order_that_has_ended_does_not_become_unknown(sending: OrderJournal, state: str) -> None:
    sending.record_event(ENTRY, "status", state=state)
    journal_reports([LegReport(ENTRY, Outcome.UNKNOWN)], sending)
    assert states(sending)[0] == state


def test_reports_of_orders_that_were_never_planned_change_nothing(journal: OrderJournal) -> None:
    journal_reports([LegReport(ENTRY, Outcome.UNKNOWN), LegReport.not_sent(TARGET, "no")], journal)
    assert journal.count() == 0


@pytest.fixture
def held(sending: OrderJournal) -> OrderJournal:
    """The entry has filled; target and stop were working when the broker was last heard."""
    for perm_id, ref in enumerate((ENTRY, TARGET, STOP), start=501):
        sending.record_event(ref, "status", state="filled" if ref == ENTRY else "working", perm_id=perm_id)
    return sending


def fill_target(journal: OrderJournal) -> None:
    journal.record_event(TARGET, "execution", state="filled", filled=10.0, average_price=161.38)


def settle_by(journal: OrderJournal, *orders: KnownOrder, position: float = 0.0) -> list[str]:
    positions = (HeldPosition("AAPL", 265598, position, 150.25),) if position else ()
    return settle_ended(journal, "DU1", lambda: OrderState(orders, (), positions, AT))


def completed(ref: str, status: str, how: str, perm_id: int = 503) -> KnownOrder:
    return KnownOrder(ref, perm_id, "completed", "AAPL", "SELL", status, 10, 0, None, 18, how)


def test_a_leg_that_the_broker_cancelled_is_cancelled_with_its_words(held: OrderJournal) -> None:
    fill_target(held)
    assert settle_by(held, completed(STOP, "Cancelled", "Cancelled by OCA group")) == [STOP]
    stop = held.find(STOP)
    assert stop is not None
    assert (stop.state, stop.reason) == ("cancelled", "Cancelled by OCA group")


def test_another_day_a_leg_whose_sibling_closed_the_position_is_cancelled_and_says_why(held: OrderJournal) -> None:
    fill_target(held)
    assert settle_by(held) == [STOP]
    stop = held.find(STOP)
    assert stop is not None
    assert stop.state == "cancelled"
    assert stop.reason == f"{TARGET} closed the position, and the broker no longer lists this order"


def test_a_leg_that_vanished_while_shares_are_held_is_unknown_until_they_are_gone(held: OrderJournal) -> None:
    fill_target(held)
    assert settle_by(held, position=10.0) == [STOP]
    assert states(held) == ["filled", "filled", "unknown"]
    before = held.changes_since(0).last_event_id
    assert settle_by(held, position=10.0) == []
    assert held.changes_since(0).last_event_id == before, "what is known to be unknown is not noted again"
    assert settle_by(held) == [STOP]
    assert states(held) == ["filled", "filled", "cancelled"]


def test_legs_that_vanished_together_may_have_filled_and_are_unknown(held: OrderJournal) -> None:
    assert settle_by(held) == [TARGET, STOP]
    assert states(held) == ["filled", "unknown", "unknown"]
    assert settle_by(held, completed(STOP, "Filled", "Filled Size: 10"), replace(OPEN, order_ref=TARGET)) != []
    assert states(held) == ["filled", "working", "filled"]


def test_an_entry_that_vanished_is_never_taken_for_cancelled_nor_sent_again(sending: OrderJournal) -> None:
    sending.record_event(ENTRY, "status", state="working", perm_id=501)
    assert settle_by(sending) == [ENTRY]
    assert states(sending) == ["unknown", "sending", "sending"]
    assert journal_what_is_known(BRACKET, at_broker(), sending) == []
    assert states(sending)[0] == "unknown", "the broker had it, so that it may have filled"


def test_what_the_broker_still_lists_is_left_alone_and_not_noted_again(held: OrderJournal) -> None:
    before = held.changes_since(0).last_event_id
    working = [
        replace(OPEN, order_ref=ref, status=said) for ref, said in ((TARGET, "Submitted"), (STOP, "PreSubmitted"))
    ]
    assert settle_by(held, *working, position=10.0) == []
    assert held.changes_since(0).last_event_id == before


def test_a_reading_that_fails_changes_nothing_and_other_accounts_are_not_asked_about(held: OrderJournal) -> None:
    fill_target(held)
    before = held.changes_since(0).last_event_id

    def fail() -> OrderState:
        raise BrokerError("The connection was lost.")

    with pytest.raises(BrokerError):
        settle_ended(held, "DU1", fail)
    assert settle_ended(held, "DU2", fail) == []
    assert held.changes_since(0).last_event_id == before


def test_an_order_that_was_perhaps_never_taken_is_not_settled_by_silence(sending: OrderJournal) -> None:
    assert settle_by(sending) == []
    assert states(sending) == ["sending"] * 3
