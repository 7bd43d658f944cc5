"""Reasons in plain words: every one that the pipeline gives, masked as the metrics mask it, can be read."""

from __future__ import annotations

import math
import re

import pytest

from quant_pipeline.metrics.reasons import LIMITS, in_words
from quant_pipeline.quant.quote_quality import QuoteReading, quote_fault
from quant_pipeline.settings import QualitySettings, RiskSettings


def masked(reason: str) -> str:
    """As ``slot_health`` counts it."""
    return re.sub(r"\d[\d.,]*", "#", reason)


def test_every_fault_of_a_quote_reads_as_words() -> None:
    sound = {
        "bid": 99.99, "ask": 100.01, "last": 100.0, "bid_size": 5.0, "ask_size": 5.0, "halted": False,
        "age_seconds": 1.0,
    }  # fmt: skip
    faults = {
        "trading is halted": {"halted": True},
        "one-sided quote": {"ask": math.nan},
        "crossed quote": {"bid": 101.0},
        "no last price": {"last": math.nan},
        "quote too old": {"age_seconds": 10_000.0},
        "price too low": {"bid": 0.999, "ask": 1.0, "last": 1.0},
        "spread too wide": {"bid": 90.0, "ask": 110.0},
    }
    for words, change in faults.items():
        reason = quote_fault(QuoteReading(**(sound | change)), QualitySettings())
        assert reason is not None
        assert in_words(masked(reason)) == words


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("44 completed bars, 60 are needed", "too few completed bars"),
        ("1 completed bar, 60 are needed", "too few completed bars"),
        ("the last bar is of 2026-11-01, more than 7 days ago", "bars too old"),
        ("bar of 2026-11-01 has no close", "a figure missing in a bar"),
        ("bar of 2026-11-01 has volume -5", "an impossible bar"),
        ("bar of 2026-11-01 is impossible: high 3.00, low 4.00, high 3.00", "an impossible bar"),
        ("close went from 9.00 to 90.00 on 2026-11-01, like a 1:10 reverse split that the bars are not adjusted for",
         "bars not adjusted for a split"),
        ("last price 9.00 against a close of 90.00 on 2026-11-01, like a 10:1 split", "last price moved as in a split"),
        ("average true range 0.0010: too small for a stop", "average true range too small for a stop"),
        ("quote 301 s old, 300 s allowed", "quote too old"),
        ("quote missing, 300 s allowed", "no quote"),
        ("price 10.001 is off the tick grid of 0.01", "price off the tick grid"),
        ("slot over since 10:30, the broker's clock says 11-20 10:31", "slot over"),
        ("the clocks of broker and machine differ by 2.5 s", "clocks of broker and machine differ"),
    ],
)  # fmt: skip
def test_a_reason_with_figures_reads_as_words(reason: str, words: str) -> None:
    assert in_words(masked(reason)) == words


def test_a_reason_that_nobody_put_into_words_keeps_its_own_with_dots_for_figures() -> None:
    assert in_words(masked("moon of 2026-11-20 rose at 10:15 for $3.50")) == "moon of … rose at … for …"
    assert in_words("no shares to short") == "no shares to short"


def test_every_limit_that_can_refuse_an_order_has_words_and_is_a_setting() -> None:
    settings = set(RiskSettings.model_fields)
    assert set(LIMITS) <= settings
    assert {name for name in settings if name.startswith(("max_", "min_", "allow_"))} <= set(LIMITS)
    assert in_words("max_positions") == "as many positions as allowed (max_positions)"
