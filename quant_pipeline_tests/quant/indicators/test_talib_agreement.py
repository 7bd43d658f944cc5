"""The indicators are what TA-Lib says they are, or what a plain reference says where TA-Lib has none, at every bar.

Agreement is within 1e-9 of the larger of the value and the column's scale. The scale of a column in dollars is the
highest price the symbol has had so far, since that is what sums and recursions have had to carry; that of any other
column is 1, its own unit. So a percentage is held to nine decimals even near zero, and nothing is measured against the
prices of another symbol or of the future.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from quant_pipeline.quant.indicators.history import indicator_history
from quant_pipeline.quant.indicators.latest import latest_values
from quant_pipeline.quant.indicators.panel import BarPanel, QuotePanel
from quant_pipeline.quant.indicators.table import INDICATORS, Indicator
from quant_pipeline_tests.quant.indicators.bar_sets import BAR_SETS, bars_on_a_grid
from quant_pipeline_tests.quant.indicators.talib_oracle import EXACT, ORACLES, REFERENCES, TALIB, Bars
from quant_pipeline_tests.quant.market_data import real_daily_bars

TOLERANCE = 1e-9
FROM_BARS = {at: indicator for at, indicator in enumerate(INDICATORS) if indicator.group != "microstructure"}


def test_every_column_that_comes_from_bars_has_one_oracle() -> None:
    assert set(ORACLES) == {indicator.name for indicator in FROM_BARS.values()}
    assert not set(TALIB) & set(REFERENCES)


def test_every_indicator_that_names_a_function_of_talib_is_held_against_it() -> None:
    assert {indicator.name for indicator in INDICATORS if indicator.talib} <= set(TALIB)


@pytest.mark.parametrize("name", BAR_SETS)
def test_the_latest_values_agree(name: str) -> None:
    bars = BAR_SETS[name]()
    panel = _panel(bars)
    latest = latest_values(panel, QuotePanel.unknown(len(panel.symbols)))
    _assert_agreement(bars, panel, latest[:, None, :])


@pytest.mark.parametrize("name", BAR_SETS)
def test_every_bar_of_the_full_history_agrees(arithmetic, name: str) -> None:
    bars = BAR_SETS[name]()
    panel = _panel(bars)
    _assert_agreement(bars, panel, indicator_history(panel, arithmetic=arithmetic).array())


@settings(max_examples=15)
@given(bars=bars_on_a_grid())
def test_generated_bars_agree(evaluate, bars: pd.DataFrame) -> None:
    panel = _panel(bars)
    values = evaluate(panel, QuotePanel.unknown(len(panel.symbols)))
    _assert_agreement(bars, panel, values if values.ndim == 3 else values[:, None, :])


def test_the_latest_values_agree_on_real_bars() -> None:
    bars = _real_bars(15)
    panel = _panel(bars)
    latest = latest_values(panel, QuotePanel.unknown(len(panel.symbols)))
    _assert_agreement(bars, panel, latest[:, None, :])


def test_every_bar_of_the_full_history_agrees_on_real_bars(arithmetic) -> None:
    bars = _real_bars(6)
    panel = _panel(bars)
    _assert_agreement(bars, panel, indicator_history(panel, arithmetic=arithmetic).array())


def _panel(bars: pd.DataFrame) -> BarPanel:
    return BarPanel.from_frame(bars, pd.Index(sorted(bars["symbol"].unique()), dtype="str"))


def _real_bars(symbols: int) -> pd.DataFrame:
    """Two years of as many symbols, spread over the alphabet."""
    bars = real_daily_bars()
    names = sorted(bars["symbol"].unique())
    chosen = bars["symbol"].isin(names[:: max(len(names) // symbols, 1)])
    return bars.loc[chosen & (bars["date"] >= bars["date"].max() - pd.Timedelta(days=730))]


def _assert_agreement(bars: pd.DataFrame, panel: BarPanel, values: np.ndarray) -> None:
    """``values`` has shape (columns, rows, N): the last rows of every symbol's history."""
    rows = values.shape[1]
    for at, symbol in enumerate(panel.symbols):
        own = Bars.from_frame(bars.loc[bars["symbol"] == symbol])
        scale = np.maximum.accumulate(own.high)
        shown = min(rows, len(own.close))
        for column, indicator in FROM_BARS.items():
            ours = values[column, rows - shown :, at]
            assert np.isnan(values[column, : rows - shown, at]).all(), (symbol, indicator.name, "before the first bar")
            _assert_column(indicator, own, ours, scale, symbol)


def _assert_column(indicator: Indicator, bars: Bars, ours: np.ndarray, prices: np.ndarray, symbol: str) -> None:
    with np.errstate(all="ignore"):
        theirs = ORACLES[indicator.name](bars)[-len(ours) :]
    scale = prices[-len(ours) :] if indicator.unit == "$" else 1.0
    off = _differ(ours, theirs, scale)
    if off.any() and indicator.name in EXACT:
        exact = EXACT[indicator.name](bars)[-len(ours) :]
        off = _differ(ours, exact, scale) | (off & ~_differ(theirs, exact, scale))
    first = int(np.argmax(off))
    assert not off.any(), (
        f"{indicator.name} of {symbol}, {np.count_nonzero(off)} of {len(off)} bars, first {len(off) - first} bars from "
        f"the end: {ours[first]!r} is not {theirs[first]!r}"
    )


def _differ(ours: np.ndarray, theirs: np.ndarray, scale: np.ndarray | float) -> np.ndarray:
    """Where only one is undefined, or both are not and lie apart."""
    undefined = np.isnan(theirs)
    apart = np.abs(ours - theirs) > TOLERANCE * np.maximum(np.abs(theirs), scale)
    return (undefined != np.isnan(ours)) | (~undefined & apart)
