"""The frame of indicators: its contract, what is undefined in it, and the answer for one symbol."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from quant_pipeline import frames
from quant_pipeline.errors import UsageError
from quant_pipeline.quant.indicators.table import INDICATORS
from quant_pipeline.quant.technical_indicators import NAMES, TechnicalIndicators
from quant_pipeline_tests.quant.market_data import bars_from, flat_bars, market, quotes_for, walk


def test_a_value_is_defined_from_its_warm_up_on_and_not_before() -> None:
    for indicator in INDICATORS:
        if indicator.group == "microstructure":
            continue
        enough, short = (
            TechnicalIndicators().latest(bars_from("X", walk(indicator.warm_up - lack, seed=1)))[indicator.name].iloc[0]
            for lack in (0, 1)
        )
        assert np.isfinite(enough), indicator.name
        assert np.isnan(short), indicator.name


def test_flat_prices_and_no_volume_leave_neither_gaps_nor_infinities() -> None:
    bars = flat_bars("FLAT", 260, volume=0.0)
    values = TechnicalIndicators().latest(bars, quotes_for(bars)).drop(columns="symbol").iloc[0]
    assert np.isfinite(values).all(), values[~np.isfinite(values)]
    assert values["zscore_20"] == 0.0
    assert values["bb_width"] == 0.0
    assert values["volume_ratio"] == 0.0


def test_a_bar_without_a_price_leaves_the_other_bars_as_they_are() -> None:
    whole = bars_from("GAP", walk(200, seed=9))
    holed = pd.concat([whole.iloc[:120], whole.iloc[[120]].assign(close=np.nan), whole.iloc[121:]])
    without = pd.concat([whole.iloc[:120], whole.iloc[121:]])
    pd.testing.assert_frame_equal(TechnicalIndicators().latest(holed), TechnicalIndicators().latest(without))


def test_one_symbol_does_not_depend_on_its_company() -> None:
    bars, quotes = market(6)
    alone = bars.loc[bars["symbol"] == "S003"]
    together = TechnicalIndicators().latest(bars, quotes).query("symbol == 'S003'").reset_index(drop=True)
    pd.testing.assert_frame_equal(TechnicalIndicators().latest(alone, quotes), together, rtol=1e-12)


def test_the_order_of_rows_is_of_no_account() -> None:
    bars, quotes = market(5)
    shuffled = TechnicalIndicators().latest(bars.sample(frac=1, random_state=1), quotes.sample(frac=1, random_state=2))
    pd.testing.assert_frame_equal(shuffled, TechnicalIndicators().latest(bars, quotes))


def test_the_frame_keeps_its_contract() -> None:
    bars, quotes = market(4)
    made = TechnicalIndicators().latest(bars, quotes)
    assert tuple(made.columns) == ("symbol", *NAMES)
    pd.testing.assert_frame_equal(frames.validate("indicators", made), made)


def test_no_symbols_give_an_empty_frame_that_keeps_its_contract() -> None:
    bars, quotes = market(2)
    assert frames.validate("indicators", TechnicalIndicators().latest(bars, quotes, pd.Index([]))).empty


def test_a_partial_bar_is_compared_at_the_volume_of_a_whole_day() -> None:
    bars = bars_from("DAY", walk(60, seed=2), volume=np.full(60, 1_000_000.0))
    partial = bars.copy()
    partial.loc[59, ["volume", "partial"]] = [500_000.0, True]
    at_half_volume = 0.5439
    ratio = TechnicalIndicators(session_progress=at_half_volume).latest(partial)["volume_ratio"].iloc[0]
    assert ratio == pytest.approx(1.0, abs=0.02)


def test_the_answer_for_one_symbol_names_what_is_undefined() -> None:
    answer = TechnicalIndicators().of("YOUNG", bars_from("YOUNG", walk(60, seed=3)))
    assert answer.as_of.isoformat() == "2026-11-20"
    assert {"sma_200", "high_52w_pct", "spread_pct"} <= set(answer.undefined)
    assert set(answer.values) | set(answer.undefined) == set(NAMES)
    assert 0.0 <= answer.values["rsi_14"] <= 100.0


def test_a_symbol_without_bars_is_named() -> None:
    with pytest.raises(UsageError, match="no bars of NONE"):
        TechnicalIndicators().of("NONE", bars_from("YOUNG", walk(60)))


def test_the_history_has_a_row_a_bar_and_ends_with_the_latest_values() -> None:
    young, old = bars_from("YOUNG", walk(40, seed=1)), bars_from("OLD", walk(300, seed=2))
    bars = pd.concat([young, old]).sample(frac=1, random_state=3)
    history = TechnicalIndicators().history(bars)
    assert history.groupby("symbol").size().to_dict() == {"OLD": 300, "YOUNG": 40}
    assert history["date"].to_numpy().tolist() == [*old["date"].to_numpy().tolist(), *young["date"].to_numpy().tolist()]
    last = history.groupby("symbol", as_index=False).last(skipna=False).drop(columns="date")
    latest = TechnicalIndicators().latest(bars).loc[:, list(last.columns)]
    pd.testing.assert_frame_equal(last, latest, rtol=1e-9, atol=1e-9)


def test_the_history_of_no_bars_is_empty() -> None:
    nothing = TechnicalIndicators().history(bars_from("ANY", walk(40)).iloc[:0])
    assert nothing.empty
    assert {"symbol", "date", "rsi_14"} <= set(nothing.columns)


def test_bars_of_a_file_need_not_say_that_they_are_whole() -> None:
    bars = bars_from("FILE", walk(60))
    pd.testing.assert_frame_equal(
        TechnicalIndicators().latest(bars.drop(columns="partial")), TechnicalIndicators().latest(bars)
    )


def test_a_missing_column_is_named() -> None:
    with pytest.raises(UsageError, match="no column volume"):
        TechnicalIndicators().latest(bars_from("FILE", walk(60)).drop(columns="volume"))


def test_importing_the_frames_does_not_compile_anything() -> None:
    """A command that only shows something must not wait for numba."""
    shown = "import sys, quant_pipeline.frames; print('numba' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "False"
