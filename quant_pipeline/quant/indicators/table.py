"""The indicators, declared once: name, group, inputs, warm-up, unit, formula and source.

The columns of the ``indicators`` frame, its documentation and the tests follow this table in its order. How a value is
computed belongs in ``latest_values`` and how it is scored in ``signals``. ``technical_indicators`` hands the table out.

Prices are dollars, volumes shares; ``C``, ``H``, ``L``, ``V`` are close, high, low and volume of a daily bar, ``t`` is
the latest bar, whose volume is paced while its session lasts (``volume_curve``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["momentum", "volatility", "trend", "volume", "mean_reversion", "microstructure"]

YEAR = 252
"""Sessions of a year: annualises volatility and bounds the 52-week windows."""

YEAR_WARM_UP = 240
"""Bars that make a year: holidays and the odd missing bar leave a calendar year of history a little short of 252."""

SLOPE_BARS = 5
"""A slope is taken over a week of bars."""


@dataclass(frozen=True)
class Indicator:
    """One column: what it is, what it needs and where its formula comes from.

    ``warm_up`` is the number of bars below which the value is undefined; ``talib`` names the function of TA-Lib that
    must agree with it, where there is one.
    """

    name: str
    group: Group
    inputs: tuple[str, ...]
    warm_up: int
    unit: str
    formula: str
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
        f"Relative strength index: Wilder's mean of {bars} gains in percent of gains plus losses", _WILDER, "RSI",
    )  # fmt: skip


def _roc(bars: int) -> Indicator:
    return Indicator(
        f"roc_{bars}", "momentum", _C, bars + 1, "%", f"Rate of change: 100 (C / C[t-{bars}] - 1)",
        "Murphy, Technical Analysis of the Financial Markets (1999)", "ROC",
    )  # fmt: skip


def _atr(bars: int) -> Indicator:
    return Indicator(
        f"atr_{bars}", "volatility", _HLC, bars + 1, "$",
        f"Average true range: Wilder's mean of {bars} true ranges", _WILDER, "ATR",
    )  # fmt: skip


def _ema(bars: int) -> Indicator:
    return Indicator(
        f"ema_{bars}", "trend", _C, bars, "$",
        f"Exponential mean of C with weight 2/({bars}+1), {_TALIB}", "Murphy (1999)", "EMA",
    )  # fmt: skip


def _sma(bars: int) -> Indicator:
    return Indicator(f"sma_{bars}", "trend", _C, bars, "$", f"Mean of the last {bars} C", "Murphy (1999)", "SMA")


def _slope(kind: str, bars: int) -> Indicator:
    return Indicator(
        f"{kind}_{bars}_slope", "trend", _HLC, bars + SLOPE_BARS, "ATR/bar",
        f"Change of {kind}_{bars} over {SLOPE_BARS} bars, a bar, in units of atr_14", _OWN,
    )  # fmt: skip


def _zscore(bars: int) -> Indicator:
    return Indicator(
        f"zscore_{bars}", "mean_reversion", _C, bars, "standard deviations",
        f"(C - sma_{bars}) / population standard deviation of the last {bars} C; 0 where C did not move", _BOLLINGER,
    )  # fmt: skip


def _price_vs_sma(bars: int) -> Indicator:
    return Indicator(
        f"price_vs_sma_{bars}", "mean_reversion", _C, bars, "%", f"100 (C / sma_{bars} - 1)", "Murphy (1999)"
    )


INDICATORS: tuple[Indicator, ...] = (
    _rsi(7),
    _rsi(14),
    _rsi(21),
    Indicator("macd", "momentum", _C, 34, "$", f"EMA(12) - EMA(26) of C, {_TALIB}", "Appel (1979)", "MACD"),
    Indicator("macd_signal", "momentum", _C, 34, "$", "EMA(9) of macd", "Appel (1979)", "MACD"),
    Indicator("macd_hist", "momentum", _C, 34, "$", "macd - macd_signal", "Aspray (1986)", "MACD"),
    Indicator("macd_hist_atr", "momentum", _HLC, 34, "ATR", "macd_hist in units of atr_14", _OWN),
    Indicator(
        "stoch_k", "momentum", _HLC, 18, "0-100",
        "Stochastic %K(14,3): mean of 3 places of C in the range of 14 bars", "Lane (1984)", "STOCH",
    ),
    Indicator("stoch_d", "momentum", _HLC, 18, "0-100", "Stochastic %D: mean of 3 %K", "Lane (1984)", "STOCH"),
    Indicator(
        "williams_r_14", "momentum", _HLC, 14, "-100-0",
        "Williams %R: C below the high of 14 bars in percent of their range", "Williams (1973)", "WILLR",
    ),
    _roc(5),
    _roc(10),
    _roc(20),
    Indicator("adx_14", "momentum", _HLC, 28, "0-100", "Wilder's mean of 14 directional indices DX", _WILDER, "ADX"),
    Indicator("plus_di_14", "momentum", _HLC, 15, "0-100", "Smoothed rises in % of the range", _WILDER, "PLUS_DI"),
    Indicator("minus_di_14", "momentum", _HLC, 15, "0-100", "Smoothed falls in % of the range", _WILDER, "MINUS_DI"),
    Indicator("di_spread_14", "momentum", _HLC, 15, "points", "plus_di_14 - minus_di_14", _WILDER),
    _atr(14),
    _atr(21),
    Indicator("atr_pct_14", "volatility", _HLC, 15, "%", "atr_14 in percent of C (TA-Lib: NATR)", _WILDER, "NATR"),
    Indicator("atr_trend", "volatility", _HLC, 22, "ratio", "atr_14 / atr_21: above 1 while ranges widen", _OWN),
    Indicator("bb_upper", "volatility", _C, 20, "$", "sma_20 + 2 standard deviations", _BOLLINGER, "BBANDS"),
    Indicator("bb_lower", "volatility", _C, 20, "$", "sma_20 - 2 standard deviations", _BOLLINGER, "BBANDS"),
    Indicator("bb_width", "volatility", _C, 20, "%", "100 (bb_upper - bb_lower) / sma_20", _BOLLINGER),
    Indicator(
        "bb_pct_b", "volatility", _C, 20, "ratio",
        "(C - bb_lower) / (bb_upper - bb_lower); 0.5 where C did not move", _BOLLINGER,
    ),
    Indicator(
        "volatility_20", "volatility", _C, 21, "% a year",
        "Sample standard deviation of 20 log returns, annualised by the root of 252", "Hull, Options, Futures (2017)",
    ),
    Indicator(
        "volatility_ratio", "volatility", _HLC, YEAR_WARM_UP // 2, "ratio",
        "atr_14 over the mean true range of the last 252 bars (half a year at least): above 1 in a lively spell", _OWN,
    ),
    Indicator("keltner_upper", "volatility", _HLC, 20, "$", "EMA(20) of C + 2 ATR(10)", _KELTNER),
    Indicator("keltner_middle", "volatility", _C, 20, "$", "EMA(20) of C", _KELTNER, "EMA"),
    Indicator("keltner_lower", "volatility", _HLC, 20, "$", "EMA(20) of C - 2 ATR(10)", _KELTNER),
    Indicator(
        "keltner_position", "volatility", _HLC, 20, "ratio",
        "(C - keltner_middle) / (2 ATR(10)): 1 at the upper channel, -1 at the lower", _OWN,
    ),
    Indicator("donchian_upper", "volatility", ("high",), 20, "$", "Highest H of 20 bars", "Donchian (1960)", "MAX"),
    Indicator("donchian_lower", "volatility", ("low",), 20, "$", "Lowest L of 20 bars", "Donchian (1960)", "MIN"),
    Indicator(
        "donchian_position", "volatility", _HLC, 20, "0-1",
        "Place of C in the Donchian channel; 0.5 where the channel has no width", "Donchian (1960)",
    ),
    _ema(9),
    _ema(21),
    _ema(50),
    Indicator("ema_9_vs_21", "trend", _HLC, 21, "ATR", "ema_9 - ema_21 in units of atr_14", _OWN),
    _sma(20),
    _sma(50),
    _sma(200),
    _slope("ema", 21),
    _slope("sma", 20),
    _slope("sma", 50),
    _slope("sma", 200),
    Indicator(
        "volume_ratio", "volume", ("volume",), 21, "ratio",
        "V over the mean V of the 20 bars before; 0 where nothing was traded then", "Murphy (1999)",
    ),
    Indicator(
        "volume_spike", "volume", ("volume",), 21, "standard deviations",
        "V less the mean of the 20 bars before, over their standard deviation; 0 where it is 0", "Murphy (1999)",
    ),
    Indicator(
        "cmf_20", "volume", _HLCV, 20, "-1-1",
        "Chaikin money flow: volume-weighted place of C in its bar's range over 20 bars", "Chaikin (1980s)",
    ),
    Indicator(
        "obv_slope_20", "volume", _CV, 20, "mean volumes/bar",
        "Least-squares slope of on-balance volume over 20 bars, over their mean V", "Granville (1963)", "OBV",
    ),
    Indicator(
        "mfi_14", "volume", _HLCV, 15, "0-100",
        "Money flow index: share of 14 bars' typical price x V that came on rising typical prices",
        "Quong and Soudack (1989)", "MFI",
    ),
    Indicator(
        "dollar_volume_20", "volume", _CV, 21, "$m a day", "Mean V of the 20 bars before x C / 1e6", "Murphy (1999)"
    ),
    _zscore(10),
    _zscore(20),
    _zscore(50),
    _price_vs_sma(20),
    _price_vs_sma(50),
    _price_vs_sma(200),
    Indicator("sma_50_distance", "mean_reversion", _HLC, 50, "ATR", "C - sma_50 in units of atr_14", _OWN),
    Indicator(
        "high_52w_pct", "mean_reversion", ("high", "close"), YEAR_WARM_UP, "%",
        "C against the highest H of up to 252 bars: 0 at the high, negative below", "George and Hwang (2004)",
    ),
    Indicator(
        "low_52w_pct", "mean_reversion", ("low", "close"), YEAR_WARM_UP, "%",
        "C against the lowest L of up to 252 bars: 0 at the low, positive above", "George and Hwang (2004)",
    ),
    Indicator(
        "range_52w_position", "mean_reversion", _HLC, YEAR_WARM_UP, "0-1",
        "Place of C in the range of up to 252 bars; 0.5 where the range is nothing", "George and Hwang (2004)",
    ),
    Indicator(
        "spread_pct", "microstructure", ("bid", "ask"), 0, "%",
        "Bid-ask spread in percent of the mid", "Harris, Trading and Exchanges (2003)",
    ),
    Indicator(
        "quote_imbalance", "microstructure", ("bid_size", "ask_size"), 0, "-1-1",
        "(bid size - ask size) / (bid size + ask size); 0 where both are 0", "Cont, Kukanov and Stoikov (2014)",
    ),
)  # fmt: skip
"""All indicators, in the order of their columns."""
