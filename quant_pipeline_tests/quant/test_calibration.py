"""On three years of real bars the funnel has the width the specification asks for, in both directions.

The days are those of ``docs/funnel.md``: every 5th session, the 100 most active stocks, through filter and scorer.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quant_pipeline_tests.quant.market_data import real_daily_bars
from quant_pipeline_tests.quant.market_days import MarketDay, by_quarter, market_days


@pytest.fixture(scope="module")
def days() -> list[MarketDay]:
    return list(market_days(real_daily_bars().sort_values("date", kind="stable"), "2016-01-01", "2018-12-31"))


def test_every_5th_session_of_three_years_is_looked_at(days: list[MarketDay]) -> None:
    assert len(days) == 151
    assert {day.scanned for day in days} == {100}


def test_the_filter_leaves_80_to_90_on_the_median_day(days: list[MarketDay]) -> None:
    assert 80 <= np.median([day.passed for day in days]) <= 90


def test_every_symbol_that_passes_is_scored(days: list[MarketDay]) -> None:
    assert [len(day.scores) for day in days] == [day.passed for day in days]


def test_the_median_day_has_50_to_60_symbols_above_the_threshold(days: list[MarketDay]) -> None:
    assert 50 <= np.median([len(day.above) for day in days]) <= 60


def test_both_directions_occur_in_every_quarter(days: list[MarketDay]) -> None:
    quarters = by_quarter(days)
    assert quarters.index.tolist() == pd.period_range("2016Q1", "2018Q4", freq="Q").tolist()
    assert np.all(quarters[["long", "short"]] > 0)


def test_no_symbol_is_always_or_never_above_the_threshold(days: list[MarketDay]) -> None:
    """The width of the funnel comes from what stocks do, not from which stocks they are."""
    scored = pd.concat([day.scores["symbol"] for day in days]).value_counts()
    above = pd.concat([day.above["symbol"] for day in days]).value_counts().reindex(scored.index, fill_value=0)
    often = (scored >= 30).to_numpy()
    share = above.to_numpy()[often] / scored.to_numpy()[often]
    assert len(share) > 100
    assert np.all((share > 0.05) & (share < 0.95))
