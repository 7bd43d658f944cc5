"""The latest value of every indicator, for all symbols at once.

One function a group of the indicator table; each returns arrays of shape (N,) by name. What the indicators are belongs
in ``indicator_table``, the arithmetic they share in ``rolling``. Windows that are not filled may come out as anything
here: ``latest_values`` masks them by the declared warm-up, in one place. ``technical_indicators`` calls it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd

from quant_pipeline.quant.indicators.panel import BarPanel
from quant_pipeline.quant.indicators.rolling import (
    ema_weights,
    lagged,
    macd_weights,
    ratio,
    sma_weights,
    weighted,
    wilder_mean_of_known,
    wilder_sums,
    wilder_weights,
)
from quant_pipeline.quant.indicators.table import INDICATORS, SLOPE_BARS, YEAR

Values = dict[str, np.ndarray]

MFI_MINIMUM_FLOW = 1.0
"""Below a dollar of money flow TA-Lib calls the money flow index 0."""


def latest_values(panel: BarPanel, quotes: pd.DataFrame) -> np.ndarray:
    """Every indicator at the latest bar.

    Args:
        panel: Bars of N symbols, volume already paced.
        quotes: ``bid``, ``ask``, ``bid_size``, ``ask_size`` in the order of the panel's symbols; NaN where unknown.

    Returns:
        Shape (len(INDICATORS), N) in the order of ``INDICATORS``; NaN where undefined, never infinite.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shared = _Shared(panel)
        values = (
            _momentum(panel, shared)
            | _volatility(panel, shared)
            | _trend(panel, shared)
            | _volume(panel)
            | _mean_reversion(panel, shared)
            | _microstructure(quotes)
        )
    result = np.stack([values[indicator.name] for indicator in INDICATORS])
    warm_up = np.array([indicator.warm_up for indicator in INDICATORS])
    result[(panel.lengths < warm_up[:, None]) | ~np.isfinite(result)] = np.nan
    return result


def average_true_range(panel: BarPanel, bars: int) -> np.ndarray:
    """Average true range in dollars, shape (N,); NaN where the history is shorter than ``bars`` + 1."""
    lengths = np.maximum(panel.lengths - 1, 0)
    return weighted(_true_range(panel), lengths, lambda length: wilder_weights(length, bars)[None])[0]


@dataclass(frozen=True)
class _Shared:
    """What more than one group needs."""

    panel: BarPanel

    @cached_property
    def means(self) -> Values:
        """Exponential and plain means of the close, and where they stood a slope's length ago."""
        rows = weighted(self.panel.close, self.panel.lengths, _mean_weights)
        return dict(zip(_MEAN_NAMES, rows, strict=True))

    @cached_property
    def true_range(self) -> np.ndarray:
        """True ranges, shape (T - 1, N)."""
        return _true_range(self.panel)

    @cached_property
    def atr(self) -> dict[int, np.ndarray]:
        """Average true range by its length in bars."""
        lengths = np.maximum(self.panel.lengths - 1, 0)
        return dict(zip(_ATR_BARS, weighted(self.true_range, lengths, _atr_weights), strict=True))

    def spread_of(self, bars: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and population standard deviation of the last closes.

        Taken about the latest close, so that closes that did not move deviate by exactly nothing.
        """
        latest = self.panel.close[-1]
        deviations = self.panel.close[-bars:] - latest
        return latest + deviations.mean(axis=0), deviations.std(axis=0)


def _true_range(panel: BarPanel) -> np.ndarray:
    previous = panel.close[:-1]
    return np.maximum(panel.high[1:], previous) - np.minimum(panel.low[1:], previous)


_ATR_BARS = (10, 14, 21)
_RSI_BARS = (7, 14, 21)
_EMA_BARS = (9, 20, 21, 50)
_SMA_BARS = (20, 50, 200)
_MEAN_NAMES = (
    *(f"ema_{bars}" for bars in _EMA_BARS),
    *(f"sma_{bars}" for bars in _SMA_BARS),
    "ema_21_before",
    *(f"sma_{bars}_before" for bars in _SMA_BARS),
    "macd",
    "macd_signal",
)


@lru_cache(maxsize=512)
def _mean_weights(length: int) -> np.ndarray:
    return np.vstack(
        [
            *(ema_weights(length, bars) for bars in _EMA_BARS),
            *(sma_weights(length, bars) for bars in _SMA_BARS),
            lagged(ema_weights, length, 21, SLOPE_BARS),
            *(lagged(sma_weights, length, bars, SLOPE_BARS) for bars in _SMA_BARS),
            macd_weights(length),
        ]
    )


@lru_cache(maxsize=512)
def _atr_weights(length: int) -> np.ndarray:
    return np.vstack([wilder_weights(length, bars) for bars in _ATR_BARS])


@lru_cache(maxsize=512)
def _rsi_weights(length: int) -> np.ndarray:
    return np.vstack([wilder_weights(length, bars) for bars in _RSI_BARS])


def _momentum(panel: BarPanel, shared: _Shared) -> Values:
    macd, signal = shared.means["macd"], shared.means["macd_signal"]
    stoch_k, stoch_d = _stochastic(panel)
    highest, lowest = panel.high[-14:].max(axis=0), panel.low[-14:].min(axis=0)
    return {
        **_relative_strength(panel),
        "macd": macd,
        "macd_signal": signal,
        "macd_hist": macd - signal,
        "macd_hist_atr": ratio(macd - signal, shared.atr[14]),
        "stoch_k": stoch_k,
        "stoch_d": stoch_d,
        "williams_r_14": -100.0 * ratio(highest - panel.close[-1], highest - lowest),
        **{f"roc_{bars}": _change_pct(panel.close, bars) for bars in (5, 10, 20)},
        **_directional_movement(panel, shared.true_range),
    }


def _relative_strength(panel: BarPanel) -> Values:
    change = np.diff(panel.close, axis=0)
    lengths = np.maximum(panel.lengths - 1, 0)
    gains = weighted(np.maximum(change, 0.0), lengths, _rsi_weights)
    losses = weighted(np.maximum(-change, 0.0), lengths, _rsi_weights)
    return {f"rsi_{bars}": 100.0 * ratio(gains[row], gains[row] + losses[row]) for row, bars in enumerate(_RSI_BARS)}


def _stochastic(panel: BarPanel) -> tuple[np.ndarray, np.ndarray]:
    """%K(14, 3) and %D(3); the last five raw places are all they need."""
    rows = len(panel.close)
    places = []
    for end in range(rows - 4, rows + 1):
        lowest = panel.low[end - 14 : end].min(axis=0)
        highest = panel.high[end - 14 : end].max(axis=0)
        places.append(100.0 * ratio(panel.close[end - 1] - lowest, highest - lowest))
    slow = [np.mean(places[first : first + 3], axis=0) for first in range(3)]
    return slow[-1], np.mean(slow, axis=0)


def _directional_movement(panel: BarPanel, true_range: np.ndarray) -> Values:
    """Wilder's directional indicators, as TA-Lib starts them (sums of 13, the 14th bar the first to be smoothed)."""
    bars = 14
    up, down = np.diff(panel.high, axis=0), -np.diff(panel.low, axis=0)
    plus_move = np.where((up > down) & (up > 0.0), up, 0.0)
    minus_move = np.where((down > up) & (down > 0.0), down, 0.0)
    lengths = np.maximum(panel.lengths - 1, 0)
    sums = wilder_sums(np.stack([true_range, plus_move, minus_move], axis=1), lengths, bars)
    ranges = sums[:, 0]
    plus, minus = 100.0 * ratio(sums[:, 1], ranges), 100.0 * ratio(sums[:, 2], ranges)
    known = (np.abs(ranges) >= 1e-14) & (np.abs(plus + minus) >= 1e-14)
    index = 100.0 * ratio(np.abs(plus - minus), plus + minus)
    return {
        "adx_14": wilder_mean_of_known(index, known, np.maximum(lengths - bars + 1, 0), bars),
        "plus_di_14": plus[-1],
        "minus_di_14": minus[-1],
        "di_spread_14": plus[-1] - minus[-1],
    }


def _volatility(panel: BarPanel, shared: _Shared) -> Values:
    close = panel.close[-1]
    middle, deviation = shared.spread_of(20)
    returns = np.diff(np.log(panel.close[-21:]), axis=0)
    keltner_middle, keltner_width = shared.means["ema_20"], 2.0 * shared.atr[10]
    highest, lowest = panel.high[-20:].max(axis=0), panel.low[-20:].min(axis=0)
    year = shared.true_range[-YEAR:]
    mean_range = np.nansum(year, axis=0) / np.maximum(np.isfinite(year).sum(axis=0), 1)
    return {
        "atr_14": shared.atr[14],
        "atr_21": shared.atr[21],
        "atr_pct_14": 100.0 * ratio(shared.atr[14], close),
        "atr_trend": ratio(shared.atr[14], shared.atr[21]),
        "bb_upper": middle + 2.0 * deviation,
        "bb_lower": middle - 2.0 * deviation,
        "bb_width": 100.0 * ratio(4.0 * deviation, middle),
        "bb_pct_b": 0.5 + ratio(close - middle, 4.0 * deviation),
        "volatility_20": 100.0 * np.sqrt(YEAR) * returns.std(axis=0, ddof=1),
        "volatility_ratio": ratio(shared.atr[14], mean_range),
        "keltner_upper": keltner_middle + keltner_width,
        "keltner_middle": keltner_middle,
        "keltner_lower": keltner_middle - keltner_width,
        "keltner_position": ratio(close - keltner_middle, keltner_width),
        "donchian_upper": highest,
        "donchian_lower": lowest,
        "donchian_position": ratio(close - lowest, highest - lowest, otherwise=0.5),
    }


def _trend(panel: BarPanel, shared: _Shared) -> Values:
    means, atr = shared.means, shared.atr[14]

    def slope(name: str) -> np.ndarray:
        return ratio((means[name] - means[f"{name}_before"]) / SLOPE_BARS, atr)

    return {
        **{name: means[name] for name in ("ema_9", "ema_21", "ema_50", "sma_20", "sma_50", "sma_200")},
        "ema_9_vs_21": ratio(means["ema_9"] - means["ema_21"], atr),
        **{f"{name}_slope": slope(name) for name in ("ema_21", "sma_20", "sma_50", "sma_200")},
    }


def _volume(panel: BarPanel) -> Values:
    volume = panel.volume
    before = volume[-21:-1]
    usual = before.mean(axis=0)
    place = ratio(2.0 * panel.close[-20:] - panel.high[-20:] - panel.low[-20:], panel.high[-20:] - panel.low[-20:])
    traded = volume[-20:].sum(axis=0)
    return {
        "volume_ratio": ratio(volume[-1], usual),
        "volume_spike": ratio(volume[-1] - usual, before.std(axis=0)),
        "cmf_20": ratio((place * volume[-20:]).sum(axis=0), traded),
        "obv_slope_20": ratio(_obv_slope(panel), traded / 20.0),
        "mfi_14": _money_flow_index(panel),
        "dollar_volume_20": usual * panel.close[-1] / 1e6,
    }


def _obv_slope(panel: BarPanel) -> np.ndarray:
    """Slope in shares a bar; where on-balance volume starts does not change it, so 19 changes are enough."""
    signed = np.sign(np.diff(panel.close[-20:], axis=0)) * panel.volume[-19:]
    balance = np.concatenate([np.zeros((1, signed.shape[1])), np.cumsum(signed, axis=0)])
    place = np.arange(20) - 9.5
    return place @ balance / (place @ place)


def _money_flow_index(panel: BarPanel) -> np.ndarray:
    typical = (panel.high[-15:] + panel.low[-15:] + panel.close[-15:]) / 3.0
    change = np.diff(typical, axis=0)
    flow = typical[1:] * panel.volume[-14:]
    rising = np.where(change > 0.0, flow, 0.0).sum(axis=0)
    falling = np.where(change < 0.0, flow, 0.0).sum(axis=0)
    total = rising + falling
    return np.where(total < MFI_MINIMUM_FLOW, 0.0, 100.0 * ratio(rising, total))


def _mean_reversion(panel: BarPanel, shared: _Shared) -> Values:
    close = panel.close[-1]
    highest, lowest = np.fmax.reduce(panel.high[-YEAR:]), np.fmin.reduce(panel.low[-YEAR:])
    return {
        **{f"zscore_{bars}": _zscore(close, *shared.spread_of(bars)) for bars in (10, 20, 50)},
        **{f"price_vs_sma_{bars}": 100.0 * ratio(close, shared.means[f"sma_{bars}"]) - 100.0 for bars in _SMA_BARS},
        "sma_50_distance": ratio(close - shared.means["sma_50"], shared.atr[14]),
        "high_52w_pct": 100.0 * ratio(close, highest) - 100.0,
        "low_52w_pct": 100.0 * ratio(close, lowest) - 100.0,
        "range_52w_position": ratio(close - lowest, highest - lowest, otherwise=0.5),
    }


def _microstructure(quotes: pd.DataFrame) -> Values:
    bid, ask = quotes["bid"].to_numpy(), quotes["ask"].to_numpy()
    bid_size, ask_size = quotes["bid_size"].to_numpy(), quotes["ask_size"].to_numpy()
    return {
        "spread_pct": spread_pct(bid, ask),
        "quote_imbalance": ratio(bid_size - ask_size, bid_size + ask_size),
    }


def spread_pct(bid: np.ndarray, ask: np.ndarray) -> np.ndarray:
    """Bid-ask spread in percent of the mid."""
    return 100.0 * ratio(ask - bid, (ask + bid) / 2.0, otherwise=np.nan)


def _zscore(close: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    return ratio(close - mean, deviation)


def _change_pct(close: np.ndarray, bars: int) -> np.ndarray:
    return 100.0 * ratio(close[-1], close[-1 - bars]) - 100.0
