"""The benchmark compares like with like, and the README shows what it measured. No time is asserted."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.indicator_report import (
    LATEST_JSON,
    README,
    README_END,
    README_START,
    markdown,
    read_result,
    rounded,
    rows,
    shown_in,
    update_readme,
)
from benchmarks.indicators import HISTORY_SHAPES, LATEST_SHAPES, extra_memory_mb, quotes_of, synthetic_panel
from benchmarks.talib_indicators import (
    BAR_COLUMNS,
    LEAN_COLUMNS,
    all_columns,
    symbol_bars,
    talib_columns,
    write_history,
    write_latest,
)
from quant_pipeline.quant.indicators.history import indicator_history
from quant_pipeline.quant.indicators.latest import latest_values
from quant_pipeline.quant.indicators.panel import BarPanel
from quant_pipeline.quant.indicators.table import INDICATORS

NAMES = [indicator.name for indicator in INDICATORS]
SYMBOLS, BARS = 6, 300


@pytest.fixture(scope="module", params=[False, True], ids=["one length", "mixed lengths"])
def panel(request: pytest.FixtureRequest) -> BarPanel:
    return synthetic_panel(SYMBOLS, BARS, mixed=request.param)


def test_the_contender_computes_what_we_compute(panel: BarPanel) -> None:
    theirs = np.full((len(BAR_COLUMNS), SYMBOLS, BARS), np.nan)
    write_history(symbol_bars(panel), all_columns, theirs)
    ours = indicator_history(panel, quotes_of(panel)).array()
    for column, name in enumerate(BAR_COLUMNS):
        _assert_equal(ours[NAMES.index(name)].T, theirs[column], name)


def test_the_lean_contender_computes_the_columns_that_talib_has(panel: BarPanel) -> None:
    theirs = np.full((len(LEAN_COLUMNS), SYMBOLS, BARS), np.nan)
    write_history(symbol_bars(panel), talib_columns, theirs)
    ours = indicator_history(panel, quotes_of(panel)).array()
    for column, name in enumerate(LEAN_COLUMNS):
        _assert_equal(ours[NAMES.index(name)].T, theirs[column], name)
    assert {indicator.name for indicator in INDICATORS if indicator.talib} <= set(LEAN_COLUMNS)


def test_the_contender_with_handles_computes_our_latest_values() -> None:
    panel = synthetic_panel(SYMBOLS, BARS)
    theirs = np.full((len(BAR_COLUMNS), SYMBOLS), np.nan)
    write_latest(symbol_bars(panel), theirs)
    ours = latest_values(panel, quotes_of(panel))
    for column, name in enumerate(BAR_COLUMNS):
        _assert_equal(ours[NAMES.index(name)], theirs[column], name)


def test_the_contenders_name_their_columns_in_the_order_they_are_written() -> None:
    bars = symbol_bars(synthetic_panel(1, BARS))[0]
    assert tuple(all_columns(bars)) == BAR_COLUMNS == tuple(name for name in NAMES if name in BAR_COLUMNS)
    assert tuple(talib_columns(bars)) == LEAN_COLUMNS


def test_memory_is_what_is_allocated_beyond_the_result() -> None:
    million = 1_000_000 // 8
    assert extra_memory_mb(lambda: np.ones(million)) == pytest.approx(0.0, abs=0.1)
    assert extra_memory_mb(lambda: np.ones(3 * million)[:million].copy()) == pytest.approx(3.0, abs=0.1)


def test_the_readme_shows_what_was_measured_last() -> None:
    assert shown_in(README) == markdown(read_result(LATEST_JSON))


def test_every_shape_that_has_a_target_was_measured() -> None:
    result = read_result(LATEST_JSON)
    latest = {f"{symbols}x{bars}" for symbols, bars in LATEST_SHAPES}
    history = {f"{symbols}x{bars}" for symbols, bars in HISTORY_SHAPES}
    assert set(result["latest_vs_talib"]) == set(result["latest_vs_floor"]) == set(result["scoring_share"]) == latest
    assert set(result["history_vs_talib"]) == history
    assert result == rounded(result)


def test_a_missed_target_is_shown_as_missed() -> None:
    result = read_result(LATEST_JSON)
    result["latest_vs_talib"] = {"100x252": 24.9, "1000x252": 25.0}
    met = [row.met for row in rows(result) if row.measured == "latest / TA-Lib"]
    assert met == [False, True]


def test_the_table_replaces_the_one_before_and_nothing_else(tmp_path) -> None:
    result = read_result(LATEST_JSON)
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{README_START}\nold\n{README_END}\nafter\n", encoding="utf-8")
    update_readme(result, readme)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{README_START}\n| measured")
    assert text.endswith(f"{README_END}\nafter\n")
    assert "old" not in text


def _assert_equal(ours: np.ndarray, theirs: np.ndarray, name: str) -> None:
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs), err_msg=name)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9, err_msg=name)
