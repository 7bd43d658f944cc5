"""On three years of real bars the funnel has the width the specification asks for, in both directions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quant_pipeline.quant import QuantScorer, TechnicalIndicators
from quant_pipeline.settings import ScoringSettings
from quant_pipeline_tests.quant.market_data import quotes_for, real_daily_bars

PASSING_THE_FILTER = 85


@pytest.fixture(scope="module")
def passing() -> pd.DataFrame:
    """Symbols above the threshold on every 5th session of 2016-2018: day, direction, count."""
    bars = real_daily_bars().sort_values("date", kind="stable")
    sessions = sorted(bars.loc[bars["date"] >= "2016-01-04", "date"].unique())[::5]
    return pd.concat([_above_threshold(bars, day) for day in sessions], ignore_index=True)


def test_the_median_day_has_fifty_to_sixty_symbols_above_the_threshold(passing: pd.DataFrame) -> None:
    assert 50 <= np.median(passing["day"].value_counts()) <= 60


def test_both_directions_occur_in_every_quarter(passing: pd.DataFrame) -> None:
    quarter = passing["day"].dt.to_period("Q")
    counts = pd.crosstab(quarter, passing["direction"])
    assert counts.shape == (12, 2)
    assert counts.to_numpy().min() > 0


def _above_threshold(bars: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    """Scores of the day's most active stocks, a random 85 of the top 100 as after the quality filter."""
    days = bars["date"].to_numpy()
    first = np.searchsorted(days, np.datetime64(day) - np.timedelta64(365, "D"), side="right")
    year = bars.iloc[first : np.searchsorted(days, np.datetime64(day), side="right")]
    counts = year["symbol"].value_counts()
    today = year.loc[(year["date"] == day) & year["symbol"].isin(counts.index[counts > 60])]
    active = today.assign(turnover=today["close"] * today["volume"]).nlargest(100, "turnover")
    chosen = active.sample(PASSING_THE_FILTER, random_state=np.random.default_rng(day.toordinal()))
    own = year.loc[year["symbol"].isin(chosen["symbol"].to_list())]
    quotes = quotes_for(own, seed=day.toordinal())
    scoring = ScoringSettings.model_validate({})
    scores = QuantScorer(scoring).score(TechnicalIndicators().latest(own, quotes), quotes)
    return scores.loc[scores["total_score"] >= scoring.threshold, ["symbol", "direction"]].assign(day=day)
