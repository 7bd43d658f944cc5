"""The contender: the indicators of the table by TA-Lib, called symbol by symbol, as one would who has no panel.

It is written to be hard to beat: inputs are contiguous float64 arrays prepared outside the timing, a series that
several columns need is computed once a symbol, TA-Lib's own function is used wherever it has one, NumPy in between
where that is quicker, and results go to an array that exists already. It is even spared the care for denominators that
are zero, which the product takes. ``indicators`` (the benchmark) times it, and a test holds that it computes the same
values.

Three variants: ``all_columns`` computes what the product computes, ``talib_columns`` only what TA-Lib has a function
for, and ``latest_columns`` the latest value alone, from TA-Lib's streaming handles opened on no more history than
needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import talib
from talib import MA_Type, stream

from quant_pipeline.quant.indicators.panel import BarPanel
from quant_pipeline.quant.indicators.table import INDICATORS, SLOPE_BARS, YEAR, YEAR_WARM_UP

Columns = dict[str, np.ndarray]

BAR_COLUMNS = tuple(indicator.name for indicator in INDICATORS if indicator.group != "microstructure")
"""What can be computed from bars, in the order of the table; quotes have no history."""

LEAN_COLUMNS = (
    "rsi_7",
    "rsi_14",
    "rsi_21",
    "macd",
    "macd_signal",
    "macd_hist",
    "stoch_k",
    "stoch_d",
    "williams_r_14",
    "roc_5",
    "roc_10",
    "roc_20",
    "adx_14",
    "plus_di_14",
    "minus_di_14",
    "atr_14",
    "atr_21",
    "atr_pct_14",
    "bb_upper",
    "bb_lower",
    "keltner_middle",
    "donchian_upper",
    "donchian_lower",
    "ema_9",
    "ema_21",
    "ema_50",
    "sma_20",
    "sma_50",
    "sma_200",
    "volume_ratio",
    "cmf_20",
    "obv_slope_20",
    "mfi_14",
)
"""What TA-Lib has a function for."""

ANNUAL_SAMPLE = 100.0 * math.sqrt(YEAR * 20 / 19)
"""From TA-Lib's population deviation of 20 returns to a sample's, in percent a year."""


@dataclass(frozen=True)
class SymbolBars:
    """Bars of one symbol as TA-Lib wants them: contiguous, oldest first, shape (T,), without NaN."""

    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray


def symbol_bars(panel: BarPanel) -> list[SymbolBars]:
    """The panel cut into symbols, each with the bars it has."""
    rows = len(panel.close)
    fields = [np.ascontiguousarray(field.T) for field in (panel.high, panel.low, panel.close, panel.volume)]
    return [
        SymbolBars(*(np.ascontiguousarray(field[at, rows - length :]) for field in fields))
        for at, length in enumerate(panel.lengths)
    ]


def write_history(bars: list[SymbolBars], columns_of: Callable[[SymbolBars], Columns], out: np.ndarray) -> None:
    """Compute the columns of every symbol into ``out``, shape (columns, N, T); a shorter history ends at the right."""
    for at, own in enumerate(bars):
        length = len(own.close)
        for place, values in zip(out[:, at, out.shape[2] - length :], columns_of(own).values(), strict=True):
            place[:] = values


def write_latest(bars: list[SymbolBars], out: np.ndarray) -> None:
    """Compute the latest values of every symbol into ``out``, shape (columns, N); a year of history each is needed."""
    for at, own in enumerate(bars):
        out[:, at] = latest_columns(own)


def talib_columns(bars: SymbolBars) -> Columns:
    """The lean variant: only the columns that TA-Lib has a function for."""
    high, low, close, volume = bars.high, bars.low, bars.close, bars.volume
    macd, macd_signal, macd_hist = talib.MACD(close, 12, 26, 9)
    stoch_k, stoch_d = talib.STOCH(high, low, close, 14, 3, MA_Type.SMA, 3, MA_Type.SMA)
    bb_upper, _, bb_lower = talib.BBANDS(close, 20, 2.0, 2.0)
    atr_14 = talib.ATR(high, low, close, 14)
    return {
        "rsi_7": talib.RSI(close, 7),
        "rsi_14": talib.RSI(close, 14),
        "rsi_21": talib.RSI(close, 21),
        "macd": macd,
        "macd_signal": macd_signal,
        "macd_hist": macd_hist,
        "stoch_k": stoch_k,
        "stoch_d": stoch_d,
        "williams_r_14": talib.WILLR(high, low, close, 14),
        "roc_5": talib.ROC(close, 5),
        "roc_10": talib.ROC(close, 10),
        "roc_20": talib.ROC(close, 20),
        "adx_14": talib.ADX(high, low, close, 14),
        "plus_di_14": talib.PLUS_DI(high, low, close, 14),
        "minus_di_14": talib.MINUS_DI(high, low, close, 14),
        "atr_14": atr_14,
        "atr_21": talib.ATR(high, low, close, 21),
        "atr_pct_14": atr_14 / close * 100.0,
        "bb_upper": bb_upper,
        "bb_lower": bb_lower,
        "keltner_middle": talib.EMA(close, 20),
        "donchian_upper": talib.MAX(high, 20),
        "donchian_lower": talib.MIN(low, 20),
        "ema_9": talib.EMA(close, 9),
        "ema_21": talib.EMA(close, 21),
        "ema_50": talib.EMA(close, 50),
        "sma_20": talib.SMA(close, 20),
        "sma_50": talib.SMA(close, 50),
        "sma_200": talib.SMA(close, 200),
        "volume_ratio": talib.RVOL(volume, 20),
        "cmf_20": talib.CMF(high, low, close, volume, 20),
        "obv_slope_20": talib.LINEARREG_SLOPE(talib.OBV(close, volume), 20) / talib.SMA(volume, 20),
        "mfi_14": talib.MFI(high, low, close, volume, 14),
    }


def all_columns(bars: SymbolBars) -> Columns:
    """Every column that bars give, in the order of the table."""
    high, low, close, volume = bars.high, bars.low, bars.close, bars.volume
    macd, macd_signal, macd_hist = talib.MACD(close, 12, 26, 9)
    stoch_k, stoch_d = talib.STOCH(high, low, close, 14, 3, MA_Type.SMA, 3, MA_Type.SMA)
    plus_di, minus_di = talib.PLUS_DI(high, low, close, 14), talib.MINUS_DI(high, low, close, 14)
    true_range = talib.TRANGE(high, low, close)
    atr_10 = talib.ATR(high, low, close, 10)
    atr_14 = talib.ATR(high, low, close, 14)
    atr_21 = talib.ATR(high, low, close, 21)
    ema_9, ema_20 = talib.EMA(close, 9), talib.EMA(close, 20)
    ema_21, ema_50 = talib.EMA(close, 21), talib.EMA(close, 50)
    sma_10, sma_20 = talib.SMA(close, 10), talib.SMA(close, 20)
    sma_50, sma_200 = talib.SMA(close, 50), talib.SMA(close, 200)
    deviation_10, deviation_20 = talib.STDDEV(close, 10, 1.0), talib.STDDEV(close, 20, 1.0)
    deviation_50 = talib.STDDEV(close, 50, 1.0)
    above_20, above_50 = close - sma_20, close - sma_50
    two_deviations, four_deviations = 2.0 * deviation_20, 4.0 * deviation_20
    keltner_width, above_keltner = 2.0 * atr_10, close - ema_20
    donchian_upper, donchian_lower = talib.MAX(high, 20), talib.MIN(low, 20)
    usual_volume, volume_deviation = talib.SMA(volume, 20), talib.STDDEV(volume, 20, 1.0)
    usual_before = _before(usual_volume, 1)
    highest, lowest = _year_extremes(high, low)
    five_atr = SLOPE_BARS * atr_14
    return {
        "rsi_7": talib.RSI(close, 7),
        "rsi_14": talib.RSI(close, 14),
        "rsi_21": talib.RSI(close, 21),
        "macd": macd,
        "macd_signal": macd_signal,
        "macd_hist": macd_hist,
        "macd_hist_atr": macd_hist / atr_14,
        "stoch_k": stoch_k,
        "stoch_d": stoch_d,
        "williams_r_14": talib.WILLR(high, low, close, 14),
        "roc_5": talib.ROC(close, 5),
        "roc_10": talib.ROC(close, 10),
        "roc_20": talib.ROC(close, 20),
        "adx_14": talib.ADX(high, low, close, 14),
        "plus_di_14": plus_di,
        "minus_di_14": minus_di,
        "di_spread_14": plus_di - minus_di,
        "atr_14": atr_14,
        "atr_21": atr_21,
        "atr_pct_14": atr_14 / close * 100.0,
        "atr_trend": atr_14 / atr_21,
        "bb_upper": sma_20 + two_deviations,
        "bb_lower": sma_20 - two_deviations,
        "bb_width": four_deviations / sma_20 * 100.0,
        "bb_pct_b": above_20 / four_deviations + 0.5,
        "volatility_20": talib.STDDEV(np.log(close / _before(close, 1)), 20, ANNUAL_SAMPLE),
        "volatility_ratio": atr_14 / _mean_of_year(true_range),
        "keltner_upper": ema_20 + keltner_width,
        "keltner_middle": ema_20,
        "keltner_lower": ema_20 - keltner_width,
        "keltner_position": above_keltner / keltner_width,
        "donchian_upper": donchian_upper,
        "donchian_lower": donchian_lower,
        "donchian_position": (close - donchian_lower) / (donchian_upper - donchian_lower),
        "ema_9": ema_9,
        "ema_21": ema_21,
        "ema_50": ema_50,
        "ema_9_vs_21": (ema_9 - ema_21) / atr_14,
        "sma_20": sma_20,
        "sma_50": sma_50,
        "sma_200": sma_200,
        "ema_21_slope": (ema_21 - _before(ema_21, SLOPE_BARS)) / five_atr,
        "sma_20_slope": (sma_20 - _before(sma_20, SLOPE_BARS)) / five_atr,
        "sma_50_slope": (sma_50 - _before(sma_50, SLOPE_BARS)) / five_atr,
        "sma_200_slope": (sma_200 - _before(sma_200, SLOPE_BARS)) / five_atr,
        "volume_ratio": volume / usual_before,
        "volume_spike": (volume - usual_before) / _before(volume_deviation, 1),
        "cmf_20": talib.CMF(high, low, close, volume, 20),
        "obv_slope_20": talib.LINEARREG_SLOPE(talib.OBV(close, volume), 20) / usual_volume,
        "mfi_14": talib.MFI(high, low, close, volume, 14),
        "dollar_volume_20": usual_before * close / 1e6,
        "zscore_10": (close - sma_10) / deviation_10,
        "zscore_20": above_20 / deviation_20,
        "zscore_50": above_50 / deviation_50,
        "price_vs_sma_20": above_20 / sma_20 * 100.0,
        "price_vs_sma_50": above_50 / sma_50 * 100.0,
        "price_vs_sma_200": close / sma_200 * 100.0 - 100.0,
        "sma_50_distance": above_50 / atr_14,
        "high_52w_pct": close / highest * 100.0 - 100.0,
        "low_52w_pct": close / lowest * 100.0 - 100.0,
        "range_52w_position": (close - lowest) / (highest - lowest),
    }


def latest_columns(bars: SymbolBars) -> tuple[float, ...]:
    """The latest value of every column that bars give, in the order of the table."""
    high, low, close, volume = bars.high, bars.low, bars.close, bars.volume
    last, traded = close.item(-1), volume.item(-1)
    macd, macd_signal, macd_hist = stream.MACD(close, 12, 26, 9).value
    stoch_k, stoch_d = stream.STOCH(high[-18:], low[-18:], close[-18:], 14).value
    plus_di, minus_di = stream.PLUS_DI(high, low, close, 14).value, stream.MINUS_DI(high, low, close, 14).value
    true_range = float(talib.TRANGE(high, low, close)[1:][-YEAR:].mean())
    atr_10 = stream.ATR(high, low, close, 10).value
    atr_14 = stream.ATR(high, low, close, 14).value
    atr_21 = stream.ATR(high, low, close, 21).value
    ema_9, ema_20 = stream.EMA(close, 9).value, stream.EMA(close, 20).value
    ema_21, ema_50 = stream.EMA(close, 21).value, stream.EMA(close, 50).value
    sma_10, sma_20 = stream.SMA(close[-10:], 10).value, stream.SMA(close[-20:], 20).value
    sma_50, sma_200 = stream.SMA(close[-50:], 50).value, stream.SMA(close[-200:], 200).value
    before = close[:-SLOPE_BARS]
    ema_21_before, sma_20_before = stream.EMA(before, 21).value, stream.SMA(before[-20:], 20).value
    sma_50_before, sma_200_before = stream.SMA(before[-50:], 50).value, stream.SMA(before[-200:], 200).value
    deviation_10 = stream.STDDEV(close[-10:], 10, 1.0).value
    deviation_20 = stream.STDDEV(close[-20:], 20, 1.0).value
    deviation_50 = stream.STDDEV(close[-50:], 50, 1.0).value
    donchian_upper, donchian_lower = stream.MAX(high[-20:], 20).value, stream.MIN(low[-20:], 20).value
    usual_before = stream.SMA(volume[-21:-1], 20).value
    volume_deviation = stream.STDDEV(volume[-21:-1], 20, 1.0).value
    logarithms = np.log(close[-21:])
    balance = talib.OBV(close[-20:], volume[-20:])
    highest, lowest = float(high[-YEAR:].max()), float(low[-YEAR:].min())
    five_atr = SLOPE_BARS * atr_14
    return (
        stream.RSI(close, 7).value,
        stream.RSI(close, 14).value,
        stream.RSI(close, 21).value,
        macd,
        macd_signal,
        macd_hist,
        macd_hist / atr_14,
        stoch_k,
        stoch_d,
        stream.WILLR(high[-14:], low[-14:], close[-14:], 14).value,
        stream.ROC(close[-6:], 5).value,
        stream.ROC(close[-11:], 10).value,
        stream.ROC(close[-21:], 20).value,
        stream.ADX(high, low, close, 14).value,
        plus_di,
        minus_di,
        plus_di - minus_di,
        atr_14,
        atr_21,
        atr_14 / last * 100.0,
        atr_14 / atr_21,
        sma_20 + 2.0 * deviation_20,
        sma_20 - 2.0 * deviation_20,
        4.0 * deviation_20 / sma_20 * 100.0,
        (last - sma_20) / (4.0 * deviation_20) + 0.5,
        stream.STDDEV(logarithms[1:] - logarithms[:-1], 20, ANNUAL_SAMPLE).value,
        atr_14 / true_range,
        ema_20 + 2.0 * atr_10,
        ema_20,
        ema_20 - 2.0 * atr_10,
        (last - ema_20) / (2.0 * atr_10),
        donchian_upper,
        donchian_lower,
        (last - donchian_lower) / (donchian_upper - donchian_lower),
        ema_9,
        ema_21,
        ema_50,
        (ema_9 - ema_21) / atr_14,
        sma_20,
        sma_50,
        sma_200,
        (ema_21 - ema_21_before) / five_atr,
        (sma_20 - sma_20_before) / five_atr,
        (sma_50 - sma_50_before) / five_atr,
        (sma_200 - sma_200_before) / five_atr,
        traded / usual_before,
        (traded - usual_before) / volume_deviation,
        stream.CMF(high[-20:], low[-20:], close[-20:], volume[-20:], 20).value,
        stream.LINEARREG_SLOPE(balance, 20).value / stream.SMA(volume[-20:], 20).value,
        stream.MFI(high[-15:], low[-15:], close[-15:], volume[-15:], 14).value,
        usual_before * last / 1e6,
        (last - sma_10) / deviation_10,
        (last - sma_20) / deviation_20,
        (last - sma_50) / deviation_50,
        last / sma_20 * 100.0 - 100.0,
        last / sma_50 * 100.0 - 100.0,
        last / sma_200 * 100.0 - 100.0,
        (last - sma_50) / atr_14,
        last / highest * 100.0 - 100.0,
        last / lowest * 100.0 - 100.0,
        (last - lowest) / (highest - lowest),
    )


def _before(values: np.ndarray, bars: int) -> np.ndarray:
    """The series as it was some bars ago."""
    earlier = np.empty_like(values)
    earlier[:bars] = np.nan
    earlier[bars:] = values[:-bars]
    return earlier


def _year_extremes(high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Highest high and lowest low of up to a year, where there are bars enough to call it one."""
    highest, lowest = np.maximum.accumulate(high), np.minimum.accumulate(low)
    if len(high) > YEAR:
        highest[YEAR:], lowest[YEAR:] = talib.MAX(high, YEAR)[YEAR:], talib.MIN(low, YEAR)[YEAR:]
    highest[: YEAR_WARM_UP - 1] = lowest[: YEAR_WARM_UP - 1] = np.nan
    return highest, lowest


def _mean_of_year(true_range: np.ndarray) -> np.ndarray:
    """Mean true range of up to a year; the first bar has no true range."""
    means = np.empty_like(true_range)
    means[: YEAR_WARM_UP // 2 - 1] = np.nan
    sums = np.cumsum(true_range[1 : YEAR + 1])
    first = YEAR_WARM_UP // 2 - 1
    means[first : YEAR + 1] = sums[first - 1 :] / np.arange(first, len(sums) + 1)
    if len(true_range) > YEAR + 1:
        means[YEAR + 1 :] = talib.SMA(true_range, YEAR)[YEAR + 1 :]
    return means
