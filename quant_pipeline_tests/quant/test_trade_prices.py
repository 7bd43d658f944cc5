"""Prices of a trade: on the tick, on the right side, and as the specification's examples have them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.errors import UsageError
from quant_pipeline.quant.trade_prices import (
    expected_return_pct,
    price_trades,
    target_price,
    to_tick,
    win_probability,
)
from quant_pipeline.settings import ScoringSettings

SETTINGS = ScoringSettings.model_validate({})


@pytest.mark.parametrize(
    ("direction", "entry", "stop", "target"),
    [("LONG", 150.25, 145.80, 161.38), ("SHORT", 185.30, 189.50, 174.80), ("LONG", 405.50, 398.20, 423.75)],
)
def test_the_worked_examples_come_out_exactly(direction: str, entry: float, stop: float, target: float) -> None:
    assert target_price(direction, entry, stop, 2.5) == target


@pytest.mark.parametrize(("direction", "stop"), [("LONG", 101.0), ("LONG", 100.0), ("SHORT", 99.0), ("SHORT", 100.0)])
def test_a_stop_on_the_winning_side_is_refused(direction: str, stop: float) -> None:
    with pytest.raises(UsageError, match="losing side"):
        target_price(direction, 100.0, stop, 2.5)


@given(st.integers(min_value=100, max_value=10_000_000), st.integers(min_value=0, max_value=9))
def test_prices_from_a_dollar_on_are_rounded_half_up_to_the_cent(cents: int, tenths: int) -> None:
    price = (10 * cents + tenths) / 1000
    assert to_tick(np.array([price]))[0] == (cents + (tenths >= 5)) / 100


def test_prices_below_a_dollar_keep_four_decimals() -> None:
    assert to_tick(np.array([0.12345, 0.99994])).tolist() == [0.1235, 0.9999]


def test_the_stop_is_wider_in_a_lively_spell_and_midway_when_that_is_not_known() -> None:
    ratios = np.array([0.5, 1.0, 2.0, np.nan])
    four = np.ones(4)
    trades = price_trades(four > 0, 99.9 * four, 100.0 * four, 2.0 * four, ratios, SETTINGS)
    assert trades.stop.tolist() == [97.0, 96.5, 96.0, 96.5]
    assert trades.entry.tolist() == [100.0] * 4


def test_a_short_enters_at_the_bid_and_a_mid_entry_between() -> None:
    one = np.array([1.0])
    short = price_trades(one < 0, 99.9 * one, 100.1 * one, one, one, SETTINGS)
    assert short.entry.item() == 99.9
    assert short.stop.item() > 99.9 > short.target.item()
    middle = price_trades(one < 0, 99.9 * one, 100.1 * one, one, one, ScoringSettings.model_validate({"entry": "mid"}))
    assert middle.entry.item() == 100.0


def test_at_score_fifty_the_odds_are_a_random_walks_and_nothing_is_expected() -> None:
    probability = win_probability(np.array([50.0]), 2.5, 1.25)
    assert probability[0] == pytest.approx(1 / 3.5)
    one = np.array([1.0])
    trades = price_trades(one > 0, 100.0 * one, 100.0 * one, 2.0 * one, one, SETTINGS)
    assert expected_return_pct(probability, trades)[0] == pytest.approx(0.0, abs=1e-9)


@given(st.floats(min_value=0.5, max_value=10), st.floats(min_value=1, max_value=10))
def test_at_score_fifty_only_the_reward_counts(reward_to_risk: float, factor: float) -> None:
    assert win_probability(np.array([50.0]), reward_to_risk, factor)[0] == pytest.approx(1 / (1 + reward_to_risk))


def test_ten_points_multiply_the_odds_by_the_factor_of_the_settings() -> None:
    low, high = win_probability(np.array([60.0, 70.0]), 2.5, 1.4)
    assert (high / (1 - high)) / (low / (1 - low)) == pytest.approx(1.4)


def test_the_stop_turns_from_near_to_far_between_the_ratios_of_the_settings() -> None:
    settings = ScoringSettings.model_validate({"stop_calm_ratio": 0.5, "stop_lively_ratio": 1.0})
    ratios, four = np.array([0.5, 0.75, 1.0, 3.0]), np.ones(4)
    trades = price_trades(four > 0, 99.9 * four, 100.0 * four, 2.0 * four, ratios, settings)
    assert trades.stop.tolist() == [97.0, 96.5, 96.0, 96.0]


@given(st.floats(min_value=0, max_value=100), st.floats(min_value=0, max_value=100))
def test_the_odds_rise_with_the_score(one: float, other: float) -> None:
    low, high = win_probability(np.array(sorted((one, other))), 2.5, 1.25)
    assert 0.0 < low <= high < 1.0
