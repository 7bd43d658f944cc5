"""The usual course of a session's volume, on its own and against real minute bars."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.errors import UsageError
from quant_pipeline.quant.indicators.volume_curve import CLOSING_AUCTION, paced_volume, usual_volume_share
from quant_pipeline.quant.technical_indicators import TechnicalIndicators
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


def test_a_normal_day_has_a_volume_ratio_near_one_at_every_slot_of_real_sessions() -> None:
    """Every symbol-day stands after 20 days of its own volume: nothing but the course of the day is measured."""
    traded = _real_cumulative_volume()
    for minutes in range(0, 390, 15):
        so_far = traded[minutes - 1] if minutes else np.zeros_like(traded[-1])
        ratio = _volume_ratios(before=traded[-1], so_far=so_far, session_progress=minutes / 390)
        assert np.median(ratio) == pytest.approx(1.0, abs=0.15), minutes


def test_a_day_of_twice_the_volume_has_a_ratio_near_two_at_every_slot() -> None:
    traded = _real_cumulative_volume()
    for minutes in range(15, 390, 15):
        ratio = _volume_ratios(traded[-1] / 2.0, traded[minutes - 1], minutes / 390)
        assert np.median(ratio) == pytest.approx(2.0, rel=0.15), minutes


def _volume_ratios(before: np.ndarray, so_far: np.ndarray, session_progress: float) -> np.ndarray:
    """Volume ratios of stocks with 20 days of a volume each and a partial bar of what was traded so far."""
    count = len(before)
    dates = pd.bdate_range("2018-02-01", periods=21).as_unit("us")
    bars = pd.DataFrame(
        {
            "symbol": np.repeat([f"S{place:04d}" for place in range(count)], 21),
            "date": np.tile(dates, count),
            **dict.fromkeys(("open", "high", "low", "close"), 100.0),
            "volume": np.column_stack([np.repeat(before[:, None], 20, axis=1), so_far]).ravel(),
            "partial": np.tile(np.arange(21) == 20, count),
        }
    )
    return TechnicalIndicators(session_progress).latest(bars)["volume_ratio"].to_numpy()


@lru_cache(maxsize=1)
def _real_cumulative_volume() -> np.ndarray:
    """Shares traded by the end of each minute of the session, shape (391, symbol-days)."""
    path = REAL_DATA / "us_minute.parquet"
    if not path.is_file():
        pytest.skip("the real minute bars are not on this machine")
    bars = pd.read_parquet(path, columns=["symbol", "ts", "volume"])
    day = bars["ts"].dt.normalize()
    minute = ((bars["ts"] - day).dt.total_seconds() // 60 - 570).astype(int)
    traded = bars.assign(day=day, minute=minute).pivot_table(
        index="minute", columns=["symbol", "day"], values="volume", aggfunc="sum", fill_value=0
    )
    return traded.reindex(range(391), fill_value=0).cumsum().to_numpy(dtype=float)
