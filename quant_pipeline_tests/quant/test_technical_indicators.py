"""The indicators agree with TA-Lib, know when they are undefined, and are never infinite."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import talib

from quant_pipeline import frames
from quant_pipeline.errors import UsageError
from quant_pipeline.quant.indicators.table import INDICATORS
from quant_pipeline.quant.technical_indicators import NAMES, TechnicalIndicators
from quant_pipeline_tests.quant.market_data import (
    bars_from,
    flat_bars,
    market,
    quotes_for,
    real_daily_bars,
    walk,
)

Oracle = Callable[[dict[str, np.ndarray]], np.ndarray]

ORACLES: dict[str, Oracle] = {
    **{f"rsi_{n}": lambda b, n=n: talib.RSI(b["close"], n) for n in (7, 14, 21)},
    **{
        name: lambda b, at=at: talib.MACD(b["close"], 12, 26, 9)[at]
        for at, name in enumerate(("macd", "macd_signal", "macd_hist"))
    },
    **{
        name: lambda b, at=at: talib.STOCH(
            b["high"], b["low"], b["close"], 14, 3, talib.MA_Type.SMA, 3, talib.MA_Type.SMA
        )[at]
        for at, name in enumerate(("stoch_k", "stoch_d"))
    },
    "williams_r_14": lambda b: talib.WILLR(b["high"], b["low"], b["close"], 14),
    **{f"roc_{n}": lambda b, n=n: talib.ROC(b["close"], n) for n in (5, 10, 20)},
    "adx_14": lambda b: talib.ADX(b["high"], b["low"], b["close"], 14),
    "plus_di_14": lambda b: talib.PLUS_DI(b["high"], b["low"], b["close"], 14),
    "minus_di_14": lambda b: talib.MINUS_DI(b["high"], b["low"], b["close"], 14),
    **{f"atr_{n}": lambda b, n=n: talib.ATR(b["high"], b["low"], b["close"], n) for n in (14, 21)},
    "atr_pct_14": lambda b: talib.NATR(b["high"], b["low"], b["close"], 14),
    "bb_upper": lambda b: talib.BBANDS(b["close"], 20, 2, 2)[0],
    "bb_lower": lambda b: talib.BBANDS(b["close"], 20, 2, 2)[2],
    "keltner_middle": lambda b: talib.EMA(b["close"], 20),
    "donchian_upper": lambda b: talib.MAX(b["high"], 20),
    "donchian_lower": lambda b: talib.MIN(b["low"], 20),
    **{f"ema_{n}": lambda b, n=n: talib.EMA(b["close"], n) for n in (9, 21, 50)},
    **{f"sma_{n}": lambda b, n=n: talib.SMA(b["close"], n) for n in (20, 50, 200)},
    "mfi_14": lambda b: talib.MFI(b["high"], b["low"], b["close"], b["volume"], 14),
    "obv_slope_20": lambda b: (
        talib.LINEARREG_SLOPE(talib.OBV(b["close"], b["volume"]), 20) / talib.SMA(b["volume"], 20)
    ),
}

SUBTRACTIVE_VARIANCE = {"bb_upper", "bb_lower"}
"""TA-Lib takes the variance as mean square less squared mean, and loses digits after a large jump."""


def test_every_indicator_that_names_a_talib_function_has_its_oracle() -> None:
    assert {indicator.name for indicator in INDICATORS if indicator.talib} == set(ORACLES)


@pytest.mark.parametrize("length", [252, 230, 120, 60, 40, 21, 15, 5, 1])
def test_agrees_with_talib_on_random_walks_of_any_length(length: int) -> None:
    bars = pd.concat([bars_from(f"W{seed:02d}", walk(length, seed=seed), seed=seed) for seed in range(8)])
    _assert_agreement(bars)


def test_agrees_with_talib_when_lengths_are_mixed() -> None:
    lengths = [252, 60, 35, 34, 33, 28, 27, 16, 15, 14, 3]
    bars = pd.concat([bars_from(f"M{n:03d}", walk(n, seed=n), seed=n) for n in lengths])
    _assert_agreement(bars)


def test_agrees_with_talib_below_a_dollar() -> None:
    bars = pd.concat([bars_from(f"P{seed}", walk(252, start=0.004, seed=seed), seed=seed) for seed in range(5)])
    _assert_agreement(bars)


def test_agrees_with_talib_through_jumps_of_a_hundred_thousand_times() -> None:
    closes = walk(252, seed=3)
    closes[100:] *= 1e5
    closes[180:] /= 1e5
    _assert_agreement(pd.concat([bars_from("UP", closes, seed=1), bars_from("CALM", walk(252, seed=4), seed=2)]))


def test_agrees_with_talib_where_prices_stand_still() -> None:
    stopped = np.concatenate([walk(150, seed=5), np.full(102, 40.0)])
    started = np.concatenate([np.full(150, 40.0), walk(102, start=40.0, seed=6)])
    bars = pd.concat(
        [
            flat_bars("FLAT", 252),
            bars_from("STOP", stopped),
            bars_from("START", started),
            flat_bars("NOVOL", 252, volume=0),
        ]
    )
    stood = bars["symbol"].eq("STOP") & (bars["close"] == 40.0)
    for field in ("open", "high", "low"):
        bars.loc[stood, field] = 40.0
    _assert_agreement(bars)


def test_agrees_with_talib_on_real_bars() -> None:
    bars = real_daily_bars()
    _assert_agreement(bars.loc[bars["date"].between("2017-12-01", "2018-12-31")])


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


def _assert_agreement(bars: pd.DataFrame) -> None:
    """Within 1e-9 of the larger of the value and the column's scale, symbol by symbol, undefined where TA-Lib is."""
    ours = TechnicalIndicators().latest(bars).set_index("symbol")
    for symbol, own in bars.groupby("symbol", sort=False):
        traded = np.any(own["volume"] > 0)
        for name, oracle in ORACLES.items():
            if name == "obv_slope_20" and not traded:
                continue  # the oracle divides nothing by nothing
            theirs, mine = _last(oracle, own), float(ours[name].to_numpy()[ours.index.get_loc(symbol)])
            assert np.isnan(theirs) == np.isnan(mine), (symbol, name, theirs, mine)
            tolerance = 1e-9 if name not in SUBTRACTIVE_VARIANCE else 1e-7
            allowed = tolerance * max(abs(theirs), _scale(bars, name))
            assert np.isnan(theirs) or abs(theirs - mine) <= allowed, (symbol, name, theirs, mine)


def _last(oracle: Oracle, bars: pd.DataFrame) -> float:
    columns = {field: bars[field].to_numpy(dtype=float) for field in ("open", "high", "low", "close", "volume")}
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(oracle(columns)[-1])


def _scale(bars: pd.DataFrame, name: str) -> float:
    """The scale of a column in dollars is the prices'; a percentage or a ratio is held to the digit itself."""
    unit = next(indicator.unit for indicator in INDICATORS if indicator.name == name)
    return float(bars["close"].to_numpy().max()) if unit == "$" else 1.0
