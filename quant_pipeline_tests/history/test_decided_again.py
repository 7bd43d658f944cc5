"""A later decision is told where it comes to another order, in a sentence with what is behind it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quant_pipeline.history.decided_again import MOST_SETTINGS, Decision, other_outcome
from quant_pipeline.history.rows import Row

ORDER = {
    "direction": "LONG", "quantity": 1_110, "entry_price": 45.17, "stop_price": 43.48, "target_price": 49.4,
    "approved": True, "reason": None, "limits": [{"limit": "max_positions", "figure": 1.0}],
}  # fmt: skip
REFUSED = {**ORDER, "quantity": 0, "approved": False, "reason": "max_positions: 5 of 5 positions are taken"}
SETTINGS: Row = {
    "capital_cap": None,
    "risk": {"max_position_pct": 5.0, "allow_duplicate_symbols": False},
    "scoring": {"entry": "touch", "signals": {"rsi_7": {"ramp": [[25.0, 100.0]], "weight": 0.25}}},
}
OBSERVED = {"account": "a1", "bars": "b1", "portfolio": "p1", "quotes": "q1"}
MOVED = {**OBSERVED, "account": "a2", "portfolio": "p2"}
FIRST = Decision(ORDER, "aaaa", SETTINGS, "1111", OBSERVED)


@pytest.mark.parametrize(
    ("was", "now"),
    [(ORDER, ORDER), (ORDER, {**ORDER, "limits": []}), (REFUSED, {**REFUSED, "reason": "other"}), (None, REFUSED),
     (REFUSED, None), (None, None)],
)  # fmt: skip
def test_the_same_order_or_no_order_both_times_is_not_told(was: Row | None, now: Row | None) -> None:
    later = Decision(now, "bbbb", {**SETTINGS, "capital_cap": 1.0}, "2222", MOVED)
    assert other_outcome("ZORU", replace(FIRST, order=was), later) is None


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        (ORDER, {**ORDER, "quantity": 66}, "66 shares instead of 1,110."),
        (ORDER, {**ORDER, "stop_price": 43.0, "target_price": 50.6},
         "stop at 43.00 instead of 43.48, target at 50.60 instead of 49.40."),
        (ORDER, {**ORDER, "direction": "SHORT"}, "SHORT instead of LONG."),
        (ORDER, REFUSED, "no order, refused by max_positions: 5 of 5 positions are taken."),
        (ORDER, None, "no order, ZORU was not offered to the risk limits."),
        (REFUSED, ORDER, "an order, LONG 1,110 shares at 45.17."),
        (None, ORDER, "an order, LONG 1,110 shares at 45.17."),
    ],
)  # fmt: skip
def test_another_order_is_told(was: Row | None, now: Row | None, told: str) -> None:
    assert other_outcome("ZORU", replace(FIRST, order=was), replace(FIRST, order=now)) == told


def test_every_setting_that_differs_is_named_with_what_it_was_and_is() -> None:
    settings = {
        "capital_cap": 1_234_567.0,
        "risk": {"max_position_pct": 3.5, "allow_duplicate_symbols": True},
        "scoring": {"entry": "mid", "signals": {"rsi_7": {"ramp": [[20.0, 100.0]], "weight": 0.25}}},
    }
    assert other_outcome("ZORU", FIRST, Decision(REFUSED, "bbbb", settings, "1111", OBSERVED)) == (
        "no order, refused by max_positions: 5 of 5 positions are taken. Settings then -> now: "
        "capital_cap none -> 1234567, risk.max_position_pct 5 -> 3.5, "
        "risk.allow_duplicate_symbols false -> true, scoring.entry touch -> mid, "
        "scoring.signals.rsi_7.ramp (other points)."
    )


def test_of_many_settings_the_rest_is_counted() -> None:
    names = [f"setting_{number}" for number in range(MOST_SETTINGS + 3)]
    then, now = ({"risk": dict.fromkeys(names, value)} for value in (1, 2))
    told = other_outcome("ZORU", Decision(ORDER, "a", then, "1", {}), Decision(None, "b", now, "1", {}))
    assert told is not None
    assert told.count(" 1 -> 2") == MOST_SETTINGS
    assert told.endswith("and 3 more, see lineage.settings.")


def test_settings_that_were_not_recorded_and_other_code_are_said() -> None:
    later = Decision(None, "bbbb", None, "2222", OBSERVED)
    assert other_outcome("ZORU", FIRST, later) == (
        "no order, ZORU was not offered to the risk limits. Other settings (bbbb); which differ was not recorded. "
        "Code then -> now: 1111 -> 2222. Both may be the cause."
    )


def test_later_observations_are_the_cause_where_nothing_else_is_other() -> None:
    later = replace(FIRST, order=REFUSED, observed=MOVED)
    assert other_outcome("ZORU", FIRST, later) == (
        "no order, refused by max_positions: 5 of 5 positions are taken. On later observations (account, portfolio)."
    )


def test_settings_are_not_blamed_alone_for_what_later_observations_may_have_done() -> None:
    settings = {**SETTINGS, "capital_cap": 1.0}
    later = replace(FIRST, order=None, settings_hash="bbbb", settings=settings, observed={**OBSERVED, "bars": "b2"})
    assert other_outcome("ZORU", FIRST, later) == (
        "no order, ZORU was not offered to the risk limits. On later observations (bars). "
        "Settings then -> now: capital_cap none -> 1. Both may be the cause."
    )
    three = other_outcome("ZORU", FIRST, replace(later, code_version="2222"))
    assert three is not None
    assert three.endswith("Code then -> now: 1111 -> 2222. Each of them may be the cause.")
