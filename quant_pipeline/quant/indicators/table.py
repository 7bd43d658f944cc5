"""The indicators, declared once: name, group, inputs, warm-up, unit, formula in words and as code, and source.

The columns of the ``indicators`` frame, its documentation, both evaluations and the tests follow this table in its
order. What a formula may ask of the bars is in ``evaluation``, how it is answered in ``latest`` and ``history``, and
how a value is scored in ``signals``. ``technical_indicators`` hands the table out.

Prices are dollars, volumes shares; ``C``, ``H``, ``L``, ``V`` are close, high, low and volume of a daily bar, ``t`` is
the bar itself; the volume of today's is paced while its session lasts (``volume_curve``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from quant_pipeline.quant.indicators.evaluation import OBV_BARS, SLOPE_BARS, YEAR, Evaluation, Formula

Group = Literal["momentum", "volatility", "trend", "volume", "mean_reversion", "microstructure"]

YEAR_WARM_UP = 240
"""Bars that make a year: holidays and the odd missing bar leave a calendar year of history a little short of 252."""


@dataclass(frozen=True)
class Indicator:
    """One column: what it is, what it needs and where its formula comes from.

    ``warm_up`` is the number of bars below which the value is undefined; ``talib`` names the function of TA-Lib that
    must agree with it, where there is one. ``compute`` is the formula.
    """

    name: str
    group: Group
    inputs: tuple[str, ...]
    warm_up: int
    unit: str
    formula: str
    compute: Formula
    source: str
    talib: str | None = None

    @property
    def description(self) -> str:
        """One line for the schema of the frame."""
        return f"{self.formula} [{self.unit}]"


_C = ("close",)
_HLC = ("high", "low", "close")
_CV = ("close", "volume")
_HLCV = ("high", "low", "close", "volume")
_WILDER = "Wilder, New Concepts in Technical Trading Systems (1978)"
_BOLLINGER = "Bollinger, Bollinger on Bollinger Bands (2001)"
_KELTNER = "Raschke, after Keltner (1960)"
_TALIB = "seeded as TA-Lib seeds it"
_OWN = "this project: scale-free, so that stocks compare"


def _rsi(bars: int) -> Indicator:
    return Indicator(
        f"rsi_{bars}", "momentum", _C, bars + 1, "0-100",
        f"Relative strength index: Wilder's mean of {bars} gains in percent of gains plus losses",
        lambda b: b.percent(*b.gains(bars)), _WILDER, "RSI",
    )  # fmt: skip


def _roc(bars: int) -> Indicator:
    return Indicator(
        f"roc_{bars}", "momentum", _C, bars + 1, "%", f"Rate of change: 100 (C / C[t-{bars}] - 1)",
        lambda b: b.change_pct(b.close, b.close_ago(bars)),
        "Murphy, Technical Analysis of the Financial Markets (1999)", "ROC",
    )  # fmt: skip


def _atr(bars: int) -> Indicator:
    return Indicator(
        f"atr_{bars}", "volatility", _HLC, bars + 1, "$",
        f"Average true range: Wilder's mean of {bars} true ranges", lambda b: b.atr(bars), _WILDER, "ATR",
    )  # fmt: skip


def _ema(bars: int) -> Indicator:
    return Indicator(
        f"ema_{bars}", "trend", _C, bars, "$",
        f"Exponential mean of C with weight 2/({bars}+1), {_TALIB}", lambda b: b.ema(bars), "Murphy (1999)", "EMA",
    )  # fmt: skip


def _sma(bars: int) -> Indicator:
    return Indicator(
        f"sma_{bars}", "trend", _C, bars, "$", f"Mean of the last {bars} C", lambda b: b.sma(bars), "Murphy (1999)",
        "SMA",
    )  # fmt: skip


def _ema_slope(bars: int) -> Indicator:
    return _slope("ema", bars, lambda b: (b.ema(bars), b.ema(bars, SLOPE_BARS)))


def _sma_slope(bars: int) -> Indicator:
    return _slope("sma", bars, lambda b: (b.sma(bars), b.sma(bars, SLOPE_BARS)))


def _slope(kind: str, bars: int, now_and_then: Callable[[Evaluation], tuple[np.ndarray, np.ndarray]]) -> Indicator:
    return Indicator(
        f"{kind}_{bars}_slope", "trend", _HLC, bars + SLOPE_BARS, "ATR/bar",
        f"Change of {kind}_{bars} over {SLOPE_BARS} bars, a bar, in units of atr_14",
        lambda b: b.in_atr(*now_and_then(b), 1.0 / SLOPE_BARS), _OWN,
    )  # fmt: skip


def _zscore(bars: int) -> Indicator:
    return Indicator(
        f"zscore_{bars}", "mean_reversion", _C, bars, "standard deviations",
        f"(C - mean of the last {bars} C) / their population standard deviation; 0 where C did not move",
        lambda b: b.ratio(b.above_mean(bars), b.deviation(bars)), _BOLLINGER,
    )  # fmt: skip


def _price_vs_sma(bars: int) -> Indicator:
    return Indicator(
        f"price_vs_sma_{bars}", "mean_reversion", _C, bars, "%", f"100 (C / sma_{bars} - 1)",
        lambda b: b.change_pct(b.close, b.sma(bars)), "Murphy (1999)",
    )  # fmt: skip


INDICATORS: tuple[Indicator, ...] = (
    _rsi(7),
    _rsi(14),
    _rsi(21),
    Indicator(
        "macd", "momentum", _C, 34, "$", f"EMA(12) - EMA(26) of C, {_TALIB}", lambda b: b.macd()[0], "Appel (1979)",
        "MACD",
    ),
    Indicator("macd_signal", "momentum", _C, 34, "$", "EMA(9) of macd", lambda b: b.macd()[1], "Appel (1979)", "MACD"),
    Indicator(
        "macd_hist", "momentum", _C, 34, "$", "macd - macd_signal", lambda b: b.macd()[0] - b.macd()[1],
        "Aspray (1986)", "MACD",
    ),
    Indicator(
        "macd_hist_atr", "momentum", _HLC, 34, "ATR", "macd_hist in units of atr_14",
        lambda b: b.in_atr(*b.macd()), _OWN,
    ),
    Indicator(
        "stoch_k", "momentum", _HLC, 18, "0-100",
        "Stochastic %K(14,3): mean of 3 places of C in the range of 14 bars", lambda b: b.stochastic()[0],
        "Lane (1984)", "STOCH",
    ),
    Indicator(
        "stoch_d", "momentum", _HLC, 18, "0-100", "Stochastic %D: mean of 3 %K", lambda b: b.stochastic()[1],
        "Lane (1984)", "STOCH",
    ),
    Indicator(
        "williams_r_14", "momentum", _HLC, 14, "-100-0",
        "Williams %R: C below the high of 14 bars in percent of their range",
        lambda b: b.percent(b.close - b.highest(14), b.highest(14) - b.lowest(14)), "Williams (1973)", "WILLR",
    ),
    _roc(5),
    _roc(10),
    _roc(20),
    Indicator(
        "adx_14", "momentum", _HLC, 28, "0-100", "Wilder's mean of 14 directional indices DX",
        lambda b: b.directional()[2], _WILDER, "ADX",
    ),
    Indicator(
        "plus_di_14", "momentum", _HLC, 15, "0-100", "Smoothed rises of H in percent of the smoothed true range",
        lambda b: b.directional()[0], _WILDER, "PLUS_DI",
    ),
    Indicator(
        "minus_di_14", "momentum", _HLC, 15, "0-100", "Smoothed falls of L in percent of the smoothed true range",
        lambda b: b.directional()[1], _WILDER, "MINUS_DI",
    ),
    Indicator(
        "di_spread_14", "momentum", _HLC, 15, "points", "plus_di_14 - minus_di_14",
        lambda b: b.directional()[0] - b.directional()[1], _WILDER,
    ),
    _atr(14),
    _atr(21),
    Indicator(
        "atr_pct_14", "volatility", _HLC, 15, "%", "atr_14 in percent of C (TA-Lib: NATR)",
        lambda b: b.percent(b.atr(14), b.close), _WILDER, "NATR",
    ),
    Indicator(
        "atr_trend", "volatility", _HLC, 22, "ratio", "atr_14 / atr_21: above 1 while ranges widen",
        lambda b: b.ratio(b.atr(14), b.atr(21)), _OWN,
    ),
    Indicator(
        "bb_upper", "volatility", _C, 20, "$", "sma_20 + 2 population standard deviations of 20 C",
        lambda b: b.sma(20) + 2.0 * b.deviation(20), _BOLLINGER, "BBANDS",
    ),
    Indicator(
        "bb_lower", "volatility", _C, 20, "$", "sma_20 - 2 population standard deviations of 20 C",
        lambda b: b.sma(20) - 2.0 * b.deviation(20), _BOLLINGER, "BBANDS",
    ),
    Indicator(
        "bb_width", "volatility", _C, 20, "%", "100 (bb_upper - bb_lower) / sma_20",
        lambda b: 4.0 * b.percent(b.deviation(20), b.sma(20)), _BOLLINGER,
    ),
    Indicator(
        "bb_pct_b", "volatility", _C, 20, "ratio",
        "(C - bb_lower) / (bb_upper - bb_lower); 0.5 where C did not move",
        lambda b: 0.5 + 0.25 * b.ratio(b.above_mean(20), b.deviation(20)), _BOLLINGER,
    ),
    Indicator(
        "volatility_20", "volatility", _C, 21, "% a year",
        "Sample standard deviation of 20 log returns, annualised by the root of 252",
        lambda b: 100.0 * math.sqrt(YEAR) * b.return_deviation(20), "Hull, Options, Futures (2017)",
    ),
    Indicator(
        "volatility_ratio", "volatility", _HLC, YEAR_WARM_UP // 2, "ratio",
        "atr_14 over the mean true range of the last 252 bars (half a year at least): above 1 in a lively spell",
        lambda b: b.ratio(b.atr(14), b.mean_range_of_year()), _OWN,
    ),
    Indicator(
        "keltner_upper", "volatility", _HLC, 20, "$", "EMA(20) of C + 2 ATR(10)",
        lambda b: b.ema(20) + 2.0 * b.atr(10), _KELTNER,
    ),
    Indicator("keltner_middle", "volatility", _C, 20, "$", "EMA(20) of C", lambda b: b.ema(20), _KELTNER, "EMA"),
    Indicator(
        "keltner_lower", "volatility", _HLC, 20, "$", "EMA(20) of C - 2 ATR(10)",
        lambda b: b.ema(20) - 2.0 * b.atr(10), _KELTNER,
    ),
    Indicator(
        "keltner_position", "volatility", _HLC, 20, "ratio",
        "(C - keltner_middle) / (2 ATR(10)): 1 at the upper channel, -1 at the lower",
        lambda b: b.distance(b.close, b.ema(20), 2.0 * b.atr(10)), _OWN,
    ),
    Indicator(
        "donchian_upper", "volatility", ("high",), 20, "$", "Highest H of 20 bars", lambda b: b.highest(20),
        "Donchian (1960)", "MAX",
    ),
    Indicator(
        "donchian_lower", "volatility", ("low",), 20, "$", "Lowest L of 20 bars", lambda b: b.lowest(20),
        "Donchian (1960)", "MIN",
    ),
    Indicator(
        "donchian_position", "volatility", _HLC, 20, "0-1",
        "Place of C in the Donchian channel; 0.5 where the channel has no width",
        lambda b: b.place(b.close, b.lowest(20), b.highest(20)), "Donchian (1960)",
    ),
    _ema(9),
    _ema(21),
    _ema(50),
    Indicator(
        "ema_9_vs_21", "trend", _HLC, 21, "ATR", "ema_9 - ema_21 in units of atr_14",
        lambda b: b.in_atr(b.ema(9), b.ema(21)), _OWN,
    ),
    _sma(20),
    _sma(50),
    _sma(200),
    _ema_slope(21),
    _sma_slope(20),
    _sma_slope(50),
    _sma_slope(200),
    Indicator(
        "volume_ratio", "volume", ("volume",), 21, "ratio",
        "V over the mean V of the 20 bars before; 0 where nothing was traded then",
        lambda b: b.ratio(b.volume, b.usual_volume(20)), "Murphy (1999)",
    ),
    Indicator(
        "volume_spike", "volume", ("volume",), 21, "standard deviations",
        "V less the mean of the 20 bars before, over their standard deviation; 0 where it is 0",
        lambda b: b.distance(b.volume, b.usual_volume(20), b.volume_deviation(20)), "Murphy (1999)",
    ),
    Indicator(
        "cmf_20", "volume", _HLCV, 20, "-1-1",
        "Chaikin money flow: volume-weighted place of C in its bar's range over 20 bars",
        lambda b: b.ratio(b.accumulated(20), b.mean_volume(20)), "Chaikin (1980s)",
    ),
    Indicator(
        "obv_slope_20", "volume", _CV, 20, "mean volumes/bar",
        "Least-squares slope of on-balance volume over 20 bars, over their mean V",
        lambda b: b.ratio(b.balance_slope(), b.mean_volume(OBV_BARS)), "Granville (1963)", "OBV",
    ),
    Indicator(
        "mfi_14", "volume", _HLCV, 15, "0-100",
        "Money flow index: share of 14 bars' typical price x V that came on rising typical prices",
        lambda b: b.percent(*b.money_flows(14)), "Quong and Soudack (1989)", "MFI",
    ),
    Indicator(
        "dollar_volume_20", "volume", _CV, 21, "$m a day", "Mean V of the 20 bars before x C / 1e6",
        lambda b: b.usual_volume(20) * b.close / 1e6, "Murphy (1999)",
    ),
    _zscore(10),
    _zscore(20),
    _zscore(50),
    _price_vs_sma(20),
    _price_vs_sma(50),
    _price_vs_sma(200),
    Indicator(
        "sma_50_distance", "mean_reversion", _HLC, 50, "ATR", "C - sma_50 in units of atr_14",
        lambda b: b.in_atr(b.close, b.sma(50)), _OWN,
    ),
    Indicator(
        "high_52w_pct", "mean_reversion", ("high", "close"), YEAR_WARM_UP, "%",
        "C against the highest H of up to 252 bars: 0 at the high, negative below",
        lambda b: b.change_pct(b.close, b.highest(YEAR)), "George and Hwang (2004)",
    ),
    Indicator(
        "low_52w_pct", "mean_reversion", ("low", "close"), YEAR_WARM_UP, "%",
        "C against the lowest L of up to 252 bars: 0 at the low, positive above",
        lambda b: b.change_pct(b.close, b.lowest(YEAR)), "George and Hwang (2004)",
    ),
    Indicator(
        "range_52w_position", "mean_reversion", _HLC, YEAR_WARM_UP, "0-1",
        "Place of C in the range of up to 252 bars; 0.5 where the range is nothing",
        lambda b: b.place(b.close, b.lowest(YEAR), b.highest(YEAR)),
        "George and Hwang (2004)",
    ),
    Indicator(
        "spread_pct", "microstructure", ("bid", "ask"), 0, "%", "Bid-ask spread in percent of the mid",
        lambda b: 200.0 * b.ratio(b.ask - b.bid, b.ask + b.bid, np.nan),
        "Harris, Trading and Exchanges (2003)",
    ),
    Indicator(
        "quote_imbalance", "microstructure", ("bid_size", "ask_size"), 0, "-1-1",
        "(bid size - ask size) / (bid size + ask size); 0 where both are 0",
        lambda b: b.ratio(b.bid_size - b.ask_size, b.bid_size + b.ask_size), "Cont, Kukanov and Stoikov (2014)",
    ),
)  # fmt: skip
"""All indicators, in the order of their columns."""

NAMES = tuple(indicator.name for indicator in INDICATORS)
"""The names of the columns, in their order."""

WARM_UPS = np.array([indicator.warm_up for indicator in INDICATORS])
"""Bars below which each column is undefined, shape (C,)."""
