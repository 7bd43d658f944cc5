"""The usual course of a session's volume, on its own and against real minute bars."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.errors import UsageError
from quant_pipeline.quant.indicators.volume_curve import CLOSING_AUCTION, paced_volume, usual_volume_share
from quant_pipeline_tests.quant.market_data import REAL_DATA

PROGRESS = st.floats(min_value=0.0, max_value=1.0)


@given(PROGRESS, PROGRESS)
def test_the_share_rises_with_the_session(one: float, other: float) -> None:
    earlier, later = sorted((one, other))
    assert 0.0 < usual_volume_share(earlier) <= usual_volume_share(later) <= 1.0


def test_the_closing_auction_comes_at_the_close() -> None:
    assert usual_volume_share(1.0 - 1e-12) == pytest.approx(1.0 - CLOSING_AUCTION)
    assert usual_volume_share(1.0) == 1.0


def test_both_ends_of_the_day_are_busier_than_its_middle() -> None:
    quarter = 15 / 390
    first = usual_volume_share(quarter)
    middle = usual_volume_share(0.5 + quarter / 2) - usual_volume_share(0.5 - quarter / 2)
    last = usual_volume_share(1.0) - usual_volume_share(1.0 - quarter)
    assert first > 2 * middle
    assert last > 2 * middle


def test_progress_outside_the_session_counts_as_its_ends() -> None:
    assert usual_volume_share(-1.0) == usual_volume_share(0.0)
    assert usual_volume_share(7.0) == 1.0


def test_progress_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(UsageError, match="session progress"):
        usual_volume_share(math.nan)


def test_before_the_first_minute_has_passed_a_day_counts_as_usual() -> None:
    assert paced_volume(np.array([0.0, 9e9]), np.array([5.0, 7.0]), 0.001).tolist() == [5.0, 7.0]


def test_a_normal_day_has_a_volume_ratio_near_one_at_every_slot_of_the_real_sessions() -> None:
    shares = _real_cumulative_shares()
    for minutes in [1, 5, *range(15, 390, 15)]:
        ratio = shares[minutes - 1] / usual_volume_share(minutes / 390)
        assert np.median(ratio) == pytest.approx(1.0, abs=0.15 if minutes >= 5 else 0.2), minutes


def _real_cumulative_shares() -> np.ndarray:
    """Share of the day's volume traded by the end of each minute, shape (391, symbol-days)."""
    path = REAL_DATA / "us_minute.parquet"
    if not path.is_file():
        pytest.skip("the real minute bars are not on this machine")
    bars = pd.read_parquet(path, columns=["symbol", "ts", "volume"])
    day = bars["ts"].dt.normalize()
    minute = ((bars["ts"] - day).dt.total_seconds() // 60 - 570).astype(int)
    traded = bars.assign(day=day, minute=minute).pivot_table(
        index="minute", columns=["symbol", "day"], values="volume", aggfunc="sum", fill_value=0
    )
    cumulative = traded.reindex(range(391), fill_value=0).cumsum()
    return (cumulative / cumulative.iloc[-1]).to_numpy()
