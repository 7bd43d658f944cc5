"""What holds of the indicators whatever the bars: never infinite, no NaN after the warm-up, one answer from both sides.

The latest values are the last row of the full history, and what a symbol gets does not depend on its company.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from quant_pipeline.quant.indicators.history import IndicatorHistory, indicator_history
from quant_pipeline.quant.indicators.latest import latest_values
from quant_pipeline.quant.indicators.panel import BarPanel, QuotePanel
from quant_pipeline.quant.indicators.table import INDICATORS
from quant_pipeline_tests.quant.indicators.bar_sets import BAR_SETS, LENGTHS, LONG_LENGTHS, any_bars, bars_on_a_grid
from quant_pipeline_tests.quant.market_data import bars_from, quotes_for, walk

TOLERANCE = 1e-9
FROM_BARS = np.array([indicator.group != "microstructure" for indicator in INDICATORS])
IN_DOLLARS = np.array([indicator.unit == "$" for indicator in INDICATORS])
WARM_UP = np.array([indicator.warm_up for indicator in INDICATORS])
MANY = 300
"""Symbols that no block of a cache's size holds."""


@given(bars=any_bars())
def test_nothing_is_ever_infinite(evaluate, bars: pd.DataFrame) -> None:
    panel = panel_of(bars)
    assert not np.isinf(evaluate(panel, QuotePanel.unknown(len(panel.symbols)))).any()


@given(bars=bars_on_a_grid())
def test_the_latest_values_are_the_last_row_of_the_history(arithmetic, bars: pd.DataFrame) -> None:
    _assert_same_last_row(bars, arithmetic)


@pytest.mark.parametrize("name", BAR_SETS)
def test_the_latest_values_are_the_last_row_of_the_history_on(arithmetic, name: str) -> None:
    _assert_same_last_row(BAR_SETS[name](), arithmetic)


@pytest.mark.parametrize("name", BAR_SETS)
def test_from_its_warm_up_on_every_value_is_defined_and_none_before(arithmetic, name: str) -> None:
    bars = BAR_SETS[name]()
    panel = panel_of(bars)
    history = indicator_history(panel, arithmetic=arithmetic).array()[FROM_BARS]
    place = np.arange(1, len(panel.close) + 1)[:, None] - (len(panel.close) - panel.lengths)
    np.testing.assert_array_equal(np.isfinite(history), place >= WARM_UP[FROM_BARS, None, None])


def test_quotes_are_known_of_the_latest_bar_only() -> None:
    bars = bars_from("Q", walk(60))
    panel = panel_of(bars)
    history = indicator_history(panel, QuotePanel.from_frame(quotes_for(bars), panel.symbols)).array()[~FROM_BARS]
    assert np.isfinite(history[:, -1]).all()
    assert np.isnan(history[:, :-1]).all()


def test_a_symbol_does_not_depend_on_its_company(evaluate) -> None:
    """Among symbols of many lengths and many more than a block, first, last and in between, or alone."""
    lengths = np.resize((*LENGTHS, *LONG_LENGTHS), MANY)
    bars = pd.concat([bars_from(f"S{at:03d}", walk(int(n), seed=at), seed=at) for at, n in enumerate(lengths)])
    together = panel_of(bars)
    among = evaluate(together, QuotePanel.unknown(MANY))
    for at in (0, 43, 127, 128, 200, MANY - 1):
        alone = evaluate(panel_of(bars.loc[bars["symbol"] == together.symbols[at]]), QuotePanel.unknown(1))
        mine = among[..., at]
        rows = mine if mine.ndim == 1 else mine[:, -int(lengths[at]) :]
        _assert_close(rows, alone[..., 0], float(np.nanmax(together.high[:, at])), at)


def test_the_order_of_the_symbols_is_of_no_account(evaluate) -> None:
    bars = BAR_SETS["histories about a year"]()
    panel = panel_of(bars)
    symbols = panel.symbols[::-1]
    turned = evaluate(BarPanel.from_frame(bars, symbols), QuotePanel.unknown(len(symbols)))
    _assert_close(turned[..., ::-1], evaluate(panel, QuotePanel.unknown(len(symbols))), 1.0, "turned")


def test_bars_that_lack_a_price_are_as_if_they_were_not_there(evaluate) -> None:
    bars = BAR_SETS["gaps"]()
    holed, whole = panel_of(bars), panel_of(bars.dropna())
    quotes = QuotePanel.unknown(2)
    np.testing.assert_array_equal(evaluate(holed, quotes), evaluate(whole, quotes))


def test_the_history_is_written_where_it_is_asked_for(arithmetic) -> None:
    panel = panel_of(pd.concat([bars_from("LONG", walk(80)), bars_from("SHORT", walk(30))]))
    into = IndicatorHistory.empty(panel)
    into.blocks[:] = 7.0
    written = indicator_history(panel, into=into, arithmetic=arithmetic)
    assert written is into
    np.testing.assert_array_equal(into.array(), indicator_history(panel, arithmetic=arithmetic).array())


def test_a_history_gives_its_columns_and_its_symbols_whatever_the_blocks() -> None:
    bars = pd.concat([bars_from(f"S{at:03d}", walk(300, seed=at), seed=at) for at in range(MANY)])
    history = indicator_history(panel_of(bars))
    values = history.array()
    assert history.blocks.shape[0] > 1
    assert values.shape == (len(INDICATORS), 300, MANY)
    np.testing.assert_array_equal(history.column("rsi_14"), values[[each.name for each in INDICATORS].index("rsi_14")])
    for symbol in (0, MANY // 2, MANY - 1):
        np.testing.assert_array_equal(history.of(symbol), values[:, :, symbol])


def test_no_symbols_and_no_bars_are_no_error(evaluate) -> None:
    bars = bars_from("ONE", walk(30))
    nobody = BarPanel.from_frame(bars, pd.Index([], dtype="str"))
    nothing = evaluate(nobody, QuotePanel.unknown(0))
    assert (nothing.shape[0], nothing.shape[-1]) == (len(INDICATORS), 0)
    stranger = BarPanel.from_frame(bars, pd.Index(["ONE", "TWO"], dtype="str"))
    assert np.isnan(evaluate(stranger, QuotePanel.unknown(2))[..., 1]).all()


def panel_of(bars: pd.DataFrame) -> BarPanel:
    """The panel of all symbols of a frame."""
    return BarPanel.from_frame(bars, pd.Index(sorted(bars["symbol"].unique()), dtype="str"))


def _assert_same_last_row(bars: pd.DataFrame, arithmetic: ModuleType) -> None:
    panel = panel_of(bars)
    quotes = QuotePanel.from_frame(quotes_for(bars.dropna()), panel.symbols)
    latest, last = latest_values(panel, quotes), indicator_history(panel, quotes, arithmetic=arithmetic).array()[:, -1]
    for at, symbol in enumerate(panel.symbols):
        _assert_close(last[:, at], latest[:, at], float(np.nanmax(panel.high[:, at])), symbol)


def _assert_close(ours: np.ndarray, theirs: np.ndarray, price: float, about: object) -> None:
    """Columns first: undefined together, else within the tolerance of the larger of value and scale."""
    scale = np.where(IN_DOLLARS, price, 1.0).reshape(-1, *[1] * (ours.ndim - 1))
    off = np.isnan(ours) != np.isnan(theirs)
    off |= np.abs(ours - theirs) > TOLERANCE * np.maximum(np.abs(theirs), scale)
    names = [INDICATORS[column].name for column in np.unique(np.nonzero(off)[0])]
    assert not names, (about, names, ours[off][:3], theirs[off][:3])
