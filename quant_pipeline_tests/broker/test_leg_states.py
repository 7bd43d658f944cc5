"""What is known of a leg, whatever the order in which the broker says it."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.broker.brackets import BracketOrder, Outcome
from quant_pipeline.broker.leg_states import LegState, OrderLedger
from quant_pipeline.broker.wire import CommissionMessage, ErrorMessage, ExecutionMessage, Message, StatusMessage

CLIENT, ORDER, PERM = 18, 7, 1_800_000_001
REF = "2026-11-20T10:15:AAPL:entry"


def status(state: str, filled: float = 0.0) -> StatusMessage:
    return StatusMessage(ORDER, CLIENT, PERM, state, filled, 10 - filled, 20.0 if filled else 0.0, "")


def execution(number: int, quantity: float, cumulative: float) -> ExecutionMessage:
    at = dt.datetime(2026, 11, 20, 15, 15, number, tzinfo=dt.UTC)
    exec_id = f"0000e0d5.{number:08x}.01.01"
    return ExecutionMessage(
        exec_id, ORDER, CLIENT, PERM, REF, "DU1", "AAPL", "BUY", quantity, 20.0, cumulative, 20.0, at
    )  # fmt: skip


def heard(*messages: Message) -> LegState:
    ledger = OrderLedger(CLIENT)
    leg = ledger.expect(REF, ORDER)
    for message in messages:
        ledger.note(message)
    return leg


FILL_STORY: list[Message] = [
    status("PreSubmitted"),
    status("Submitted"),
    execution(1, 4, 4),
    status("Submitted", filled=4),
    execution(2, 6, 10),
    status("Filled", filled=10),
    CommissionMessage("0000e0d5.00000001.01.01", 1.0),
]


@given(st.permutations(FILL_STORY), st.lists(st.sampled_from(FILL_STORY), max_size=5))
def test_a_fill_ends_filled_in_every_order_and_with_every_repetition(order: list[Message], more: list[Message]) -> None:
    leg = heard(*order, *more)
    assert (leg.outcome, leg.filled, leg.perm_id) == (Outcome.FILLED, 10, PERM)


def test_nothing_said_is_unknown_and_not_rejected() -> None:
    leg = heard()
    assert leg.outcome is Outcome.UNKNOWN
    assert not leg.acknowledged


@pytest.mark.parametrize("code", [399, 2109, 10349, 404, 99_999])
def test_a_remark_or_an_unknown_code_does_not_end_an_order(code: int) -> None:
    assert heard(status("Submitted"), ErrorMessage(ORDER, code, "said")).outcome is Outcome.WORKING
    assert heard(ErrorMessage(ORDER, code, "said")).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("code", [110, 200, 201, 203, 321])
def test_a_refusal_is_a_rejection_with_the_brokers_words(code: int) -> None:
    report = heard(ErrorMessage(ORDER, code, "no")).report()
    assert (report.outcome, report.code, report.text) == (Outcome.REJECTED, code, "no")


@pytest.mark.parametrize("code", [10147, 10148])
def test_a_cancel_that_comes_too_late_changes_nothing(code: int) -> None:
    leg = heard(status("Submitted"), ErrorMessage(ORDER, code, "late"), status("Filled", filled=10))
    assert leg.outcome is Outcome.FILLED


def test_a_child_whose_parent_is_not_there_is_not_there_itself() -> None:
    assert heard(ErrorMessage(ORDER, 135, "Can't find order with id = 6")).outcome is Outcome.REJECTED


def test_a_fill_after_a_cancel_is_a_fill() -> None:
    leg = heard(status("Cancelled"), ErrorMessage(ORDER, 202, "Order Canceled"), status("Filled", filled=10))
    assert (leg.outcome, leg.filled) == (Outcome.FILLED, 10)


def test_another_clients_order_with_the_same_id_is_not_ours() -> None:
    stranger = StatusMessage(ORDER, CLIENT + 5, PERM + 1, "Filled", 10, 0, 20.0, "")
    assert heard(stranger).outcome is Outcome.UNKNOWN


def test_a_commission_finds_its_order_through_the_execution() -> None:
    ledger = OrderLedger(CLIENT)
    ledger.expect(REF, ORDER)
    ledger.note(execution(1, 10, 10))
    event = ledger.note(CommissionMessage("0000e0d5.00000001.01.02", 1.0))
    assert event is not None
    assert (event.order_ref, event.perm_id, event.commission) == (REF, PERM, 1.0)


def test_a_brackets_legs_are_sent_entry_first_and_stop_last() -> None:
    legs = BracketOrder("S:AAPL", "AAPL", 1, "SHORT", 10, 185.30, 189.50, 174.80).legs()
    assert [(leg.leg, leg.action, leg.order_type, leg.time_in_force, leg.is_last) for leg in legs] == [
        ("entry", "SELL", "LMT", "DAY", False),
        ("target", "BUY", "LMT", "GTC", False),
        ("stop", "BUY", "STP", "GTC", True),
    ]


@pytest.mark.parametrize(("stop", "target"), [(151.0, 161.0), (145.0, 150.0), (-1.0, 161.0)])
def test_a_bracket_on_the_wrong_side_of_its_entry_cannot_be_made(stop: float, target: float) -> None:
    with pytest.raises(ValueError, match="bracket"):
        BracketOrder("S:AAPL", "AAPL", 1, "LONG", 10, 150.25, stop, target)
