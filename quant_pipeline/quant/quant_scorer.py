"""From indicators to scores: both directions, the better one with its prices, and the reasons in words.

A component is the weighted mean of its signals, the total the weighted sum of the components; so every signal has a
contribution in points, and the contributions add up to the total. The signals are declared in ``signals``, added up in
``ratings``, put into words in ``key_signals``; the prices are worked out in ``trade_prices``. What belongs here is the
frame they come together in. The ``scores`` asset calls this through the scanner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from quant_pipeline.quant.key_signals import KeySignal, key_signals, missing_signals
from quant_pipeline.quant.ratings import LONG, SHORT, Rater, Rating, rater
from quant_pipeline.quant.signals import COMPONENTS, SIGNAL_NAMES, Signal, signals_in_force
from quant_pipeline.quant.trade_prices import expected_return_pct, price_trades, win_probability
from quant_pipeline.settings import ScoringSettings

SCORE_COLUMNS = tuple(f"{component}_score" for component in COMPONENTS)
ATR, RANGE_RATIO = "atr_14", "volatility_ratio"
"""The indicators that the stop's distance is taken from."""


@dataclass(frozen=True)
class QuantScore:
    """One row of the ``scores`` frame."""

    symbol: str
    direction: str
    components: Mapping[str, float]
    total_score: float
    opposite_score: float
    entry_price: float
    stop_price: float
    target_price: float
    atr: float
    win_probability: float
    expected_return_pct: float
    confidence: float
    key_signals: tuple[KeySignal, ...]
    missing_signals: tuple[str, ...]
    settings_hash: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> QuantScore:
        """Read a row of a ``scores`` frame, such as ``frame.iloc[0].to_dict()``."""
        plain = {name: row[name] for name in cls.__dataclass_fields__ if name in row}
        return cls(
            **plain
            | {
                "components": {name: float(row[f"{name}_score"]) for name in COMPONENTS},
                "key_signals": tuple(KeySignal(**signal) for signal in row["key_signals"]),
                "missing_signals": tuple(row["missing_signals"]),
            }
        )


@dataclass(frozen=True)
class QuantScorer:
    """Scores symbols by the settings; ``settings_hash`` is stored beside every score."""

    settings: ScoringSettings
    settings_hash: str = ""

    @property
    def signals(self) -> tuple[Signal, ...]:
        """The signals as the settings have them, in the order of the rows that ``rate`` takes."""
        return self._rater.signals

    def score(self, indicators: pd.DataFrame, quotes: pd.DataFrame) -> pd.DataFrame:
        """Score every symbol that has an ATR and a two-sided quote, in its better direction (LONG if they tie).

        Args:
            indicators: An ``indicators`` frame.
            quotes: A ``quotes`` frame.

        Returns:
            A ``scores`` frame, best first, ties by symbol. ``missing_signals`` names what a score did without.
        """
        # Not a frame is touched between here and the result: at a hundred symbols pandas would cost most of the time.
        symbols = indicators["symbol"].to_list()
        bid, ask = _sides_of(quotes, symbols)
        values, atr, range_ratio = _values_of(indicators), *_columns(indicators, ATR, RANGE_RATIO)
        rating = self.rate(values)
        is_long = rating.is_long
        total, opposite = np.where(is_long, rating.totals, rating.totals[::-1])
        priced = np.flatnonzero(np.isfinite(bid) & np.isfinite(ask) & (atr > 0.0)).tolist()
        best = sorted(priced, key=lambda place: (-total[place], symbols[place]))

        values, is_long, total, atr = values[:, best], is_long[best], total[best], atr[best]
        long, short = self._rater.strengths(values)
        mine, other = np.where(is_long, long, short), np.where(is_long, short, long)
        points = self._rater.contributions(values, mine)
        trades = price_trades(is_long, bid[best], ask[best], atr, range_ratio[best], self.settings)
        probability = win_probability(total, self.settings.reward_to_risk, self.settings.odds_per_ten_points)
        return pd.DataFrame(
            {
                "symbol": pd.Series([symbols[place] for place in best], dtype="str"),
                "direction": pd.Series(np.where(is_long, "LONG", "SHORT"), dtype="str"),
                **dict(zip(SCORE_COLUMNS, np.where(is_long, *rating.components[:, :, best]), strict=True)),
                "total_score": total,
                "opposite_score": opposite[best],
                "entry_price": trades.entry,
                "stop_price": trades.stop,
                "target_price": trades.target,
                "atr": atr,
                "win_probability": probability,
                "expected_return_pct": expected_return_pct(probability, trades),
                "confidence": self._rater.confidence(values, mine, other),
                "key_signals": _lists(key_signals(self.signals, values, points, self.settings.key_signals)),
                "missing_signals": _lists(missing_signals(self.signals, values)),
                "settings_hash": pd.Series([self.settings_hash] * len(best), dtype="str"),
            }
        )

    def rate(self, values: np.ndarray) -> Rating:
        """Components and totals of N symbols in both directions, from an array and without words.

        Args:
            values: One row an indicator in the order of ``signals``, shape (S, N); NaN where undefined.

        Returns:
            The rating: components (2, 5, N), totals (2, N), and which direction is the better one.
        """
        return self._rater.rate(values)

    def contributions(self, indicators: pd.DataFrame, direction: str) -> pd.DataFrame:
        """Points that every signal contributes to every symbol's total score in a direction.

        Returns:
            One row a symbol and one column a signal, named after its indicator; undefined signals contribute 0. Rows
            add up to the total score.
        """
        values = _values_of(indicators)
        strengths = self._rater.strengths(values)[LONG if direction == "LONG" else SHORT]
        points = self._rater.contributions(values, strengths)
        return pd.DataFrame(points.T, index=pd.Index(indicators["symbol"]), columns=SIGNAL_NAMES)

    @cached_property
    def _rater(self) -> Rater:
        weights = self.settings.weights.model_dump()
        return rater(signals_in_force(self.settings.signals), tuple(weights[component] for component in COMPONENTS))


def _values_of(indicators: pd.DataFrame) -> np.ndarray:
    """The indicators that are scored, shape (S, N); NaN where there is no finite number."""
    values = indicators[list(SIGNAL_NAMES)].to_numpy(dtype=float).T
    return np.where(np.isfinite(values), values, np.nan)


def _columns(frame: pd.DataFrame, *names: str) -> list[np.ndarray]:
    return [frame[name].to_numpy(dtype=float, na_value=np.nan) for name in names]


def _sides_of(quotes: pd.DataFrame, symbols: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Bid and ask of the symbols, NaN where there is none; the quality filter has withheld such with a reason."""
    row_of = {symbol: row for row, symbol in enumerate(quotes["symbol"].to_list())}
    rows = [row_of.get(symbol, -1) for symbol in symbols]
    bid, ask = (np.append(side, np.nan)[rows] for side in _columns(quotes, "bid", "ask"))
    return bid, ask


def _lists(each: list[list[Any]]) -> pd.Series:
    return pd.Series(each, dtype=object)
