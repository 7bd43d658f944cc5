"""Entry, stop and target of a trade, on the exchange's price grid, and what the trade is expected to bring.

Only the arithmetic of prices belongs here; the direction and the score come from ``quant_scorer``, which calls it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quant_pipeline.errors import UsageError
from quant_pipeline.settings import ScoringSettings


@dataclass(frozen=True)
class TradePrices:
    """Prices of N trades in dollars, on the tick, each of shape (N,)."""

    entry: np.ndarray
    stop: np.ndarray
    target: np.ndarray


def to_tick(price: np.ndarray) -> np.ndarray:
    """Prices rounded half up to the tick: a cent from one dollar on, a hundredth of a cent below (SEC Rule 612).

    A price a hair below the half, such as 161.37499999999997 from 150.25 + 2.5 x 4.45, is the half it stands for.
    """
    per_dollar = np.where(price >= 1.0, 100.0, 10_000.0)
    return np.floor(np.round(price * per_dollar, 6) + 0.5) / per_dollar


def target_price(direction: str, entry: float, stop: float, reward_to_risk: float) -> float:
    """Price at which a trade has earned ``reward_to_risk`` times what it risks, on the tick.

    Raises:
        UsageError: The stop does not lie on the losing side of the entry.
    """
    if (stop >= entry) if direction == "LONG" else (stop <= entry):
        raise UsageError(f"A {direction} at {entry:g} cannot have its stop at {stop:g}; put it on the losing side.")
    return float(_target(np.array(entry), np.array(stop), reward_to_risk))


def price_trades(
    long: np.ndarray,
    bid: np.ndarray,
    ask: np.ndarray,
    atr: np.ndarray,
    range_ratio: np.ndarray,
    settings: ScoringSettings,
) -> TradePrices:
    """Entry, stop and target of N trades.

    Args:
        long: Whether each trade is LONG, shape (N,), as are the others.
        bid: Best bid in dollars.
        ask: Best ask in dollars.
        atr: Average true range in dollars.
        range_ratio: Range against its own year; where it is NaN the stop is midway between its bounds.
        settings: Stop bounds and where between them a stop lies, reward to risk, where to enter.
    """
    touch = np.where(long, ask, bid)
    entry = to_tick(touch if settings.entry == "touch" else (bid + ask) / 2.0)
    liveliness = np.interp(range_ratio, [settings.stop_calm_ratio, settings.stop_lively_ratio], [0.0, 1.0])
    liveliness = np.where(np.isnan(liveliness), 0.5, liveliness)
    distance = (settings.stop_atr_min + (settings.stop_atr_max - settings.stop_atr_min) * liveliness) * atr
    stop = to_tick(np.where(long, entry - distance, entry + distance))
    return TradePrices(entry, stop, _target(entry, stop, settings.reward_to_risk))


def win_probability(score: np.ndarray, reward_to_risk: float, odds_per_ten_points: float) -> np.ndarray:
    """Probability that the target is reached before the stop, 0-1.

    A random walk reaches +R before -1 with probability 1 / (1 + R); that is the answer at score 50, and each ten points
    more or less multiply or divide the odds by ``odds_per_ten_points``.
    """
    odds = np.exp(math.log(odds_per_ten_points) * (score - 50.0) / 10.0) / reward_to_risk
    return odds / (1.0 + odds)


def expected_return_pct(probability: np.ndarray, trades: TradePrices) -> np.ndarray:
    """Probability x reward less the rest x risk, in percent of the entry, before costs."""
    reward = np.abs(trades.target - trades.entry)
    risk = np.abs(trades.entry - trades.stop)
    return 100.0 * (probability * reward - (1.0 - probability) * risk) / trades.entry


def _target(entry: np.ndarray, stop: np.ndarray, reward_to_risk: float) -> np.ndarray:
    return to_tick(entry + reward_to_risk * (entry - stop))
