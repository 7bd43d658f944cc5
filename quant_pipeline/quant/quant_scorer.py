"""From indicators to scores: both directions, the better one with its prices, and the reasons in words.

A component is the weighted mean of its signals, the total the weighted sum of the components; so every signal has a
contribution in points, and the contributions add up to the total. The signals themselves are declared in ``signals``,
the prices worked out in ``trade_prices``. The ``scores`` asset calls this through the scanner.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from quant_pipeline.quant.signals import COMPONENTS, SIGNALS
from quant_pipeline.quant.trade_prices import expected_return_pct, price_trades, win_probability
from quant_pipeline.settings import ScoringSettings

SCORE_COLUMNS = tuple(f"{component}_score" for component in COMPONENTS)
INDICATORS_USED = tuple(signal.indicator for signal in SIGNALS)
_SIGNAL_WEIGHTS = np.array([signal.weight for signal in SIGNALS])
_MEMBERSHIP = np.array([[signal.component == component for signal in SIGNALS] for component in COMPONENTS], dtype=float)
_DIRECTIONAL = np.array([signal.centre is not None for signal in SIGNALS])


@dataclass(frozen=True)
class KeySignal:
    """One reason of a score: the indicator, its value, the points it contributes and what it says."""

    name: str
    value: float
    contribution: float
    text: str


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
    settings_hash: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> QuantScore:
        """Read a row of a ``scores`` frame, such as ``frame.iloc[0].to_dict()``."""
        components = {name: float(row[f"{name}_score"]) for name in COMPONENTS}
        reasons = tuple(KeySignal(**signal) for signal in row["key_signals"])
        others = {name: row[name] for name in cls.__dataclass_fields__ if name not in ("components", "key_signals")}
        return cls(**others, components=components, key_signals=reasons)


@dataclass(frozen=True)
class QuantScorer:
    """Scores symbols by the settings; ``settings_hash`` is stored beside every score."""

    settings: ScoringSettings
    settings_hash: str = ""

    def score(self, indicators: pd.DataFrame, quotes: pd.DataFrame) -> pd.DataFrame:
        """Score every symbol that has an ATR and a two-sided quote, in its better direction (LONG if they tie).

        Args:
            indicators: An ``indicators`` frame.
            quotes: A ``quotes`` frame.

        Returns:
            A ``scores`` frame, best first, ties by symbol.
        """
        rated, bid, ask = _with_quotes(indicators, quotes)
        long, short = self._rate(rated, short=False), self._rate(rated, short=True)
        is_long = long.total >= short.total
        better, worse = long.where(is_long, short), short.where(is_long, long)
        atr, range_ratio = rated["atr_14"].to_numpy(), rated["volatility_ratio"].to_numpy()
        trades = price_trades(is_long, bid, ask, atr, range_ratio, self.settings)
        probability = win_probability(better.total, self.settings.reward_to_risk)
        scores = pd.DataFrame(
            {
                "symbol": rated["symbol"],
                "direction": np.where(is_long, "LONG", "SHORT"),
                **dict(zip(SCORE_COLUMNS, better.components, strict=True)),
                "total_score": better.total,
                "opposite_score": worse.total,
                **trades,
                "atr": atr,
                "win_probability": probability,
                "expected_return_pct": expected_return_pct(probability, trades),
                "confidence": _confidence(better, worse, self._component_weights),
                "key_signals": _key_signals(better, self.settings.key_signals),
                "settings_hash": self.settings_hash,
            }
        ).astype({"direction": "str", "settings_hash": "str"})
        return scores.sort_values(["total_score", "symbol"], ascending=[False, True], ignore_index=True)

    def contributions(self, indicators: pd.DataFrame, direction: str) -> pd.DataFrame:
        """Points that every signal contributes to every symbol's total score in a direction.

        Returns:
            One row a symbol and one column a signal, named after its indicator; undefined signals contribute 0. Rows
            add up to the total score.
        """
        rating = self._rate(indicators, short=direction == "SHORT")
        return pd.DataFrame(rating.contributions.T, index=pd.Index(indicators["symbol"]), columns=INDICATORS_USED)

    @property
    def _component_weights(self) -> np.ndarray:
        weights = self.settings.weights.model_dump()
        return np.array([weights[component] for component in COMPONENTS])

    def _rate(self, indicators: pd.DataFrame, *, short: bool) -> _Rating:
        values = indicators[list(INDICATORS_USED)].to_numpy(dtype=float).T
        strengths = np.stack([s.strength(v, short=short) for s, v in zip(SIGNALS, values, strict=True)])
        defined = np.isfinite(strengths)
        weights = _SIGNAL_WEIGHTS[:, None] * defined
        in_component = _MEMBERSHIP @ weights
        shares = weights / np.maximum(_MEMBERSHIP.T @ in_component, np.finfo(float).tiny)
        points = shares * np.where(defined, strengths, 0.0)
        contributions = (_MEMBERSHIP.T @ self._component_weights)[:, None] * points
        components = np.clip(_MEMBERSHIP @ points, 0.0, 100.0)
        total = np.clip(contributions.sum(axis=0), 0.0, 100.0)
        return _Rating(values, strengths, contributions, components, total)


@dataclass(frozen=True)
class _Rating:
    """One direction of N symbols rated by S signals in five components.

    ``values``, ``strengths`` and ``contributions`` have shape (S, N), ``components`` (5, N), ``total`` (N,). A
    component without a defined signal is 0: nothing is earned for what is not known.
    """

    values: np.ndarray
    strengths: np.ndarray
    contributions: np.ndarray
    components: np.ndarray
    total: np.ndarray

    def where(self, mine: np.ndarray, other: _Rating) -> _Rating:
        """This rating for the symbols in the mask, the other's for the rest."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)
        return _Rating(*(np.where(mine, own, others) for own, others in pairs))


def _with_quotes(indicators: pd.DataFrame, quotes: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The rows that can be priced, with bid and ask; the quality filter has withheld the rest with a reason."""
    sides = quotes.drop_duplicates("symbol").set_index("symbol")[["bid", "ask"]].reindex(indicators["symbol"])
    bid, ask = sides.to_numpy(dtype=float, na_value=np.nan).T
    priced = np.isfinite(bid) & np.isfinite(ask) & (indicators["atr_14"].to_numpy(dtype=float) > 0.0)
    return indicators.loc[priced].reset_index(drop=True), bid[priced], ask[priced]


def _confidence(better: _Rating, worse: _Rating, component_weights: np.ndarray) -> np.ndarray:
    """How far the evidence agrees, 0-100, whatever the score is made of.

    The share of the directional weight whose signals say more for this direction than for the other (equal ones count
    half), times the share of all weight that is defined. A high score from three signals that shout against five that
    disagree has a low confidence; a modest score on which all agree has a high one.
    """
    weights = (_SIGNAL_WEIGHTS * (_MEMBERSHIP.T @ component_weights))[:, None]
    defined = np.isfinite(better.strengths)
    directional = weights * (defined & _DIRECTIONAL[:, None])
    preference = 0.5 + 0.5 * np.sign(np.where(defined, better.strengths - worse.strengths, 0.0))
    agreement = (directional * preference).sum(axis=0) / np.maximum(directional.sum(axis=0), np.finfo(float).tiny)
    completeness = (weights * defined).sum(axis=0) / weights.sum()
    return 100.0 * np.clip(agreement * completeness, 0.0, 1.0)


def _key_signals(rating: _Rating, count: int) -> list[list[dict[str, Any]]]:
    """The largest contributions of each symbol in words; equal ones in the order of the table."""
    points = np.where(np.isfinite(rating.values), rating.contributions, -np.inf)
    ranked = np.argsort(-points, axis=0, kind="stable")[:count]
    return [
        [
            {
                "name": SIGNALS[signal].indicator,
                "value": value,
                "contribution": contribution,
                "text": SIGNALS[signal].text(value),
            }
            for signal, value, contribution in zip(
                signals, rating.values[signals, symbol].tolist(), points[signals, symbol].tolist(), strict=True
            )
            if math.isfinite(value)
        ]
        for symbol, signals in enumerate(ranked.T)
    ]
