"""The reasons of a score in words: its largest contributions with their values, and what it had to do without.

Only the wording belongs here; the contributions come from ``ratings``, what the words are from ``signals``.
``quant_scorer`` calls it for every row of the ``scores`` frame.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from quant_pipeline.quant.signals import Signal


@dataclass(frozen=True)
class KeySignal:
    """One reason of a score: the indicator, its value, the points it contributes and what it says."""

    name: str
    value: float
    contribution: float
    text: str


def text_of(signal: Signal, value: float) -> str:
    """The value in words, such as ``RSI(14) 28.4: oversold``."""
    bounds, texts = _wording(signal)
    return texts[bisect_right(bounds, value)] % value


def key_signals(
    signals: tuple[Signal, ...], values: np.ndarray, contributions: np.ndarray, count: int
) -> list[list[dict[str, Any]]]:
    """The largest contributions of each symbol in words, largest first, equal ones in the order of the signals.

    Args:
        signals: The S signals.
        values: Their indicators, shape (S, N); an undefined one is no reason.
        contributions: Points they contribute to the totals, shape (S, N); a signal without weight is no reason either.
        count: How many reasons to give at most.

    Returns:
        For each of N symbols a list of mappings with the fields of ``KeySignal``.
    """
    weighed = np.array([signal.weight > 0.0 for signal in signals])
    defined = ~np.isnan(values.T) & weighed
    points = np.where(defined, contributions.T, -np.inf)
    ranked = np.argsort(-points, axis=1, kind="stable")[:, :count]
    names = [signal.indicator for signal in signals]
    wording = [_wording(signal) for signal in signals]
    reasons = []
    for places, of_symbol, known, earned in zip(
        ranked.tolist(),
        np.take_along_axis(values.T, ranked, axis=1).tolist(),
        np.take_along_axis(defined, ranked, axis=1).sum(axis=1).tolist(),
        np.take_along_axis(points, ranked, axis=1).tolist(),
        strict=True,
    ):
        reasons.append(
            [
                {
                    "name": names[place],
                    "value": value,
                    "contribution": contribution,
                    "text": wording[place][1][bisect_right(wording[place][0], value)] % value,
                }
                for place, value, contribution in zip(places[:known], of_symbol, earned, strict=False)
            ]
        )
    return reasons


def missing_signals(signals: tuple[Signal, ...], values: np.ndarray) -> list[list[str]]:
    """Names of the indicators that each of N symbols has no value of, in the order of the signals."""
    missing: list[list[str]] = [[] for _ in range(values.shape[1])]
    for symbol, place in np.argwhere(np.isnan(values.T)).tolist():
        missing[symbol].append(signals[place].indicator)
    return missing


@cache
def _wording(signal: Signal) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """The finite bounds of the words, and the text for a value between two of them, as a format."""
    bounds = tuple(bound for bound, _ in signal.words[:-1])
    texts = (f"{signal.label} @{signal.unit}: {words}" for _, words in signal.words)
    return bounds, tuple(text.replace("%", "%%").replace("@", f"%.{signal.digits}f") for text in texts)
