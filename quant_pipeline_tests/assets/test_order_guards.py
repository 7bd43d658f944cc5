"""Each guard refuses with its reason, and lets pass what is exactly at its limit."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from quant_pipeline.automation.slots import parse_slot
from quant_pipeline.broker.brackets import BracketOrder
from quant_pipeline.broker.reconciliation import HeldPosition, KnownOrder, OrderState
from quant_pipeline.history.journal_tables import STATES
from quant_pipeline.history.order_journal import JournaledOrder
from quant_pipeline.settings import ExecutionSettings, Settings, load_settings

NOW = dt.datetime(2026, 11, 20, 15, 20, tzinfo=dt.UTC)
LIMITS = ExecutionSettings(max_quote_age_seconds=300.0, max_clock_skew_seconds=2.0)
LONG = BracketOrder("2026-11-20T10:15:AAPL", "AAPL", 265598, "LONG", 10, 150.25, 145.80, 161.38)
SHORT = BracketOrder("2026-11-20T10:15:AAPL", "AAPL", 265598, "SHORT", 10, 185.30, 189.50, 174.80)
ENTRY = KnownOrder("2026-11-20T10:15:AAPL:entry", 1, "open", "AAPL", "BUY", "Submitted", 10, 0, None, 18)
JOURNALED = JournaledOrder(
    "2026-11-20T10:15:AAPL:entry", "DU1", "2026-11-20T10:15", "AAPL", "entry", "BUY", "LMT", 10, 150.25, "DAY", None, 1,
    NOW, "planned", None, None, None, 0, None, None, NOW,
)  # fmt: skip


def quote(**said: Any) -> dict[str, Any]:
    whole = {"bid": 150.24, "ask": 150.26, "halted": False, "shortable": True, "quoted_at": NOW}
    return {**whole, **said}


def refusal(bracket: BracketOrder = LONG, **said: Any) -> str | None:
    return bracket_refusal(bracket, quote(**said), NOW, LIMITS)


def at_broker(*orders: KnownOrder, positions: tuple[HeldPosition, ...] = ()) -> OrderState:
    return OrderState(orders, (), positions, NOW)


def live(account: str | None = "U1234567") -> Settings:
    return load_settings(ib_host="127.0.0.1", ib_port=7496, live=account is not None, account=account)


@pytest.mark.parametrize("bracket", [LONG, SHORT])
def test_a_bracket_with_a_fresh_two_sided_quote_is_let_pass(bracket: BracketOrder) -> None:
    assert refusal(bracket) is None


def test_a_quote_may_be_as_old_as_the_limit_and_no_older() -> None:
    assert refusal(quoted_at=NOW - dt.timedelta(seconds=300)) is None
    assert refusal(quoted_at=NOW - dt.timedelta(seconds=300.5)) == "quote 300 s old, 300 s allowed"
    assert refusal(quoted_at=NOW - dt.timedelta(minutes=20)) == "quote 1200 s old, 300 s allowed"


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_quote_without_its_time_is_refused(missing: object) -> None:
    assert refusal(quoted_at=missing) == "quote missing, 300 s allowed"


@pytest.mark.parametrize(
    ("bid", "ask"), [(150.26, 150.26), (150.27, 150.26), (float("nan"), 150.26), (150.24, float("nan"))]
)
def test_a_crossed_locked_or_one_sided_quote_is_refused(bid: float, ask: float) -> None:
    assert refusal(bid=bid, ask=ask) == f"quote crossed or one-sided: {bid} / {ask}"


def test_a_quote_one_tick_wide_is_let_pass() -> None:
    assert refusal(bid=150.25, ask=150.26) is None


def test_a_halted_stock_is_refused() -> None:
    assert refusal(halted=True) == "trading in the stock is halted"


@pytest.mark.parametrize(
    ("shortable", "reason"),
    [(False, "no shares to short"), (None, "not known whether there are shares to short")],
)
def test_shares_to_borrow_matter_to_a_short_bracket_only(shortable: bool | None, reason: str) -> None:
    assert refusal(SHORT, shortable=shortable) == reason
    assert refusal(LONG, shortable=shortable) is None


@pytest.mark.parametrize("leg", ["entry", "stop", "target"])
def test_each_price_of_a_bracket_must_be_on_the_tick_grid(leg: str) -> None:
    off = replace(LONG, **{leg: getattr(LONG, leg) + 0.005})
    assert refusal(off) == f"price {getattr(off, leg)} is off the tick grid of 0.01"


@given(entry=st.integers(200, 100_000_000), distance=st.integers(1, 99))
def test_whole_cents_are_on_the_grid_of_a_dollar_and_more(entry: int, distance: int) -> None:
    bracket = replace(LONG, entry=entry / 100, stop=(entry - distance) / 100, target=(entry + distance) / 100)
    assert refusal(bracket) is None


@given(entry=st.integers(2_000_000, 1_000_000_000), off=st.integers(1, 99))
def test_a_hundredth_of_a_cent_is_off_the_grid_of_a_dollar_and_more(entry: int, off: int) -> None:
    price = (entry // 100 * 100 + off) / 10_000
    refused = refusal(replace(LONG, entry=price, stop=100.0, target=200_000.0))
    assert refused == f"price {price} is off the tick grid of 0.01"


@given(entry=st.integers(2, 9_999))
def test_a_hundredth_of_a_cent_is_the_tick_below_a_dollar(entry: int) -> None:
    whole = replace(LONG, entry=entry / 10_000, stop=(entry - 1) / 10_000, target=5.0)
    assert refusal(whole) is None
    off = replace(whole, entry=whole.entry - 0.00005)
    assert refusal(off) == f"price {off.entry} is off the tick grid of 0.0001"


def test_the_tick_changes_at_exactly_one_dollar() -> None:
    assert refusal(replace(LONG, entry=1.0, stop=0.9999, target=1.01)) is None
    assert refusal(replace(LONG, entry=1.0001, stop=0.9999, target=1.01)) is not None


def test_a_paper_account_needs_no_arming_and_no_clock() -> None:
    assert account_refusal(live(None), "DU1234567", is_paper=True, clock_skew=86_400.0) is None


def test_an_account_that_is_not_paper_is_refused_until_it_is_armed() -> None:
    refused = account_refusal(live(None), "U1234567", is_paper=False, clock_skew=0.0)
    assert refused == "account U1234567 is not a paper account and live trading is not armed (live = true, account)"
    assert account_refusal(live(), "U1234567", is_paper=False, clock_skew=0.0) is None


def test_an_armed_account_is_not_another_one() -> None:
    refused = account_refusal(live(), "U7654321", is_paper=False, clock_skew=0.0)
    assert refused == "the broker reports account U7654321, the settings name U1234567"


def test_a_live_account_stands_a_skew_of_the_limit_and_no_more() -> None:
    assert account_refusal(live(), "U1234567", is_paper=False, clock_skew=2.0) is None
    refused = account_refusal(live(), "U1234567", is_paper=False, clock_skew=2.1)
    assert refused == "the clocks of broker and machine differ by 2.1 s"


def test_a_slot_is_refused_from_its_very_end() -> None:
    slot = parse_slot("2026-11-20T10:15")
    assert slot_refusal(slot, slot.ends - dt.timedelta(seconds=1)) is None
    refused = slot_refusal(slot, slot.ends.astimezone(dt.UTC))
    assert refused == "slot over since 10:30, the broker's clock says 11-20 10:30"


@pytest.mark.parametrize("state", ["filled", "cancelled", "rejected", "refused"])
def test_what_has_ended_is_not_sent_again(state: str) -> None:
    told = replace(JOURNALED, state=state, reason="No.")
    assert journal_refusal(told) == f"{state} before (No.), and nothing is sent twice"
    silent = replace(JOURNALED, state=state)
    assert journal_refusal(silent) == f"{state} before (by the broker), and nothing is sent twice"


def test_only_what_is_new_or_planned_may_be_sent() -> None:
    assert journal_refusal(None) is None
    assert {state for state in STATES if journal_refusal(replace(JOURNALED, state=state)) is None} == {"planned"}


@pytest.mark.parametrize("state", ["working", "partly_filled"])
def test_an_order_that_worked_and_is_not_at_the_broker_is_looked_for_and_not_sent_again(state: str) -> None:
    refused = journal_refusal(replace(JOURNALED, state=state))
    assert refused is not None
    assert refused.startswith(state.replace("_", " "))
    assert "not at the broker" in refused


def test_one_reference_on_two_open_orders_stops_everything() -> None:
    assert doubled_refusal(at_broker(ENTRY, replace(ENTRY, perm_id=2, where="completed"))) is None
    refused = doubled_refusal(at_broker(ENTRY, replace(ENTRY, perm_id=2)))
    assert refused == f"two open orders at the broker carry the reference {ENTRY.order_ref}; cancel one of them there"


def test_a_bracket_of_which_a_part_lives_is_left_to_a_person() -> None:
    cancelled = replace(ENTRY, where="completed", status="Cancelled")
    assert partial_refusal(LONG, []) is None
    assert partial_refusal(LONG, [cancelled]) is None
    for alive in (ENTRY, replace(cancelled, filled=10.0), replace(ENTRY, where="executed", status="", filled=4.0)):
        assert partial_refusal(LONG, [alive]) == "only 1 of 3 legs are at the broker; end them there by hand"


def test_a_bracket_of_which_the_broker_lists_only_ended_legs_is_not_sent_again() -> None:
    assert ended_refusal([]) is None
    cancelled = replace(ENTRY, where="completed", status="Cancelled")
    assert ended_refusal([cancelled]) == "Cancelled at the broker before, and nothing is sent twice"


def test_a_stock_that_is_held_or_ordered_by_now_is_left_alone() -> None:
    other = HeldPosition("MSFT", 2, 100.0, 400.0)
    ended = replace(ENTRY, where="completed")
    assert taken_refusal(LONG, at_broker(ended, replace(ENTRY, symbol="MSFT"), positions=(other,))) is None
    ordered = taken_refusal(LONG, at_broker(replace(ENTRY, order_ref="")))
    assert ordered == "an order in the stock appeared at the broker after the decision"
    short = HeldPosition("AAPL", 1, -30.0, 150.0)
    held = taken_refusal(LONG, at_broker(positions=(short,)))
    assert held == "a position of -30 shares appeared at the broker after the decision"
