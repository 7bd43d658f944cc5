"""The arithmetic of scores on arrays: strengths of signals, components and totals of both directions, for all symbols.

No frames, no prices and no words belong here; what is rated is declared in ``signals``. ``quant_scorer`` calls it, and
so does whoever wants ratings of thousands of symbols at once.

A ramp is a sum of straight pieces, so all ramps of all signals become one list of pieces: each value is cut to the
piece's ends, and one small matrix turns the cut values into components. The pieces lie between the knots of a ramp and
of its mirror image together, so that one cut serves both directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from quant_pipeline.quant.signals import COMPONENTS, Signal

BLOCK = 256
"""Symbols rated at a time: the cut values of so many stay in the cache of a core, whatever the market's size."""

TIE = 1e-9
"""Totals nearer to each other than this are equal: the sums of two directions are rounded differently."""

LONG, SHORT = 0, 1
"""Places of the directions on the first axis of a rating."""


@dataclass(frozen=True)
class Rating:
    """N symbols rated in both directions: ``components`` has shape (2, 5, N), ``totals`` (2, N), LONG first."""

    components: np.ndarray
    totals: np.ndarray

    @property
    def is_long(self) -> np.ndarray:
        """Whether LONG is the better direction, shape (N,); it is where both are equal."""
        return self.totals[SHORT] - self.totals[LONG] <= TIE


@dataclass(frozen=True, eq=False)
class Pieces:
    """The straight pieces of S ramps and of their mirror images, in K rows.

    ``rows`` says which signal a piece belongs to, ``low`` and ``high`` where it begins and ends, shape (K,). With
    values cut to them, ``slopes @ cut + bases`` are the strengths 0-100: shapes (2, S, K) and (2, S, 1).
    """

    rows: np.ndarray
    low: np.ndarray
    high: np.ndarray
    slopes: np.ndarray
    bases: np.ndarray

    @classmethod
    def of(cls, signals: tuple[Signal, ...]) -> Pieces:
        """Cut the ramps of the signals at the knots of both directions."""
        rows: list[int] = []
        low: list[float] = []
        high: list[float] = []
        gains: list[np.ndarray] = []
        bases = np.empty((2, len(signals), 1))
        for row, signal in enumerate(signals):
            knots, strengths = _both_directions(signal)
            gain = np.diff(strengths) / np.diff(knots)
            matters = np.any(gain != 0.0, axis=0)
            rows += [row] * int(np.count_nonzero(matters))
            low += knots[:-1][matters].tolist()
            high += knots[1:][matters].tolist()
            gains.append(gain[:, matters])
            bases[:, row, 0] = strengths[:, 0] - gain @ knots[:-1]
        of_signal = np.array(rows, dtype=np.intp)
        slopes = np.zeros((2, len(signals), len(rows)))
        slopes[:, of_signal, np.arange(len(rows))] = np.concatenate(gains, axis=1)
        return cls(of_signal, np.array(low), np.array(high), slopes, bases)

    def cut(self, values: np.ndarray) -> np.ndarray:
        """Values (S, n) of at most ``BLOCK`` symbols, each cut to the ends of every piece of its signal: (K, n)."""
        low, high = _ends(self, values.shape[1])
        cut = values.take(self.rows, axis=0)
        np.maximum(cut, low, out=cut)
        return np.minimum(cut, high, out=cut)


@dataclass(frozen=True)
class Rater:
    """Rates symbols by signals and by the weights of the components.

    ``signals`` and ``component_weights`` (5,) say by what; ``rater`` works the rest out of them. ``membership`` (5, S)
    says which signal counts in which component, ``weights`` (S,) how much within it; ``points`` (10, K) turns cut
    values into the components of both directions, and ``start`` (10, 1) is what to add.
    """

    signals: tuple[Signal, ...]
    component_weights: np.ndarray
    weights: np.ndarray
    membership: np.ndarray
    pieces: Pieces
    points: np.ndarray
    start: np.ndarray

    def rate(self, values: np.ndarray) -> Rating:
        """Components and totals of N symbols in both directions.

        Args:
            values: The indicators of the signals, one row a signal in their order, shape (S, N); NaN where undefined.

        Returns:
            The rating. The weight of undefined signals goes to the others of their component; a component without any
            defined signal is 0, since nothing is earned for what is not known.
        """
        count = values.shape[1]
        components = np.empty((2 * len(COMPONENTS), count))
        for first in range(0, count, BLOCK):
            block = slice(first, first + BLOCK)
            np.matmul(self.points, self.pieces.cut(values[:, block]), out=components[:, block])
        components += self.start
        components = components.reshape(2, len(COMPONENTS), count)
        # One undefined value makes all components of its symbol NaN: zero times NaN is NaN.
        incomplete = np.flatnonzero(np.isnan(components[LONG, 0]))
        if incomplete.size:
            components[:, :, incomplete] = self._rate_incomplete(values[:, incomplete])
        np.maximum(components, 0.0, out=components)
        np.minimum(components, 100.0, out=components)
        return Rating(components, self.component_weights @ components)

    def strengths(self, values: np.ndarray) -> np.ndarray:
        """Strengths 0-100 of the signals for LONG and SHORT, shape (2, S, N); NaN where the value is."""
        undefined = np.isnan(values)
        known = np.where(undefined, 0.0, values)
        strengths = np.empty((2, *values.shape))
        for first in range(0, values.shape[1], BLOCK):
            block = slice(first, first + BLOCK)
            strengths[:, :, block] = self.pieces.slopes @ self.pieces.cut(known[:, block])
        strengths += self.pieces.bases
        strengths[:, undefined] = np.nan
        return np.clip(strengths, 0.0, 100.0, out=strengths)

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Weight of every signal within its component, shape (S, N): 0 where undefined, the others share it."""
        weights = self.weights[:, None] * np.isfinite(values)
        in_component = self.membership.T @ (self.membership @ weights)
        return np.divide(weights, in_component, out=np.zeros_like(weights), where=in_component > 0.0)

    def contributions(self, values: np.ndarray, strengths: np.ndarray) -> np.ndarray:
        """Points that the signals add to the total, of the shape of ``strengths``; 0 where undefined.

        ``strengths`` may be those of one direction, (S, N), or of both, (2, S, N).
        """
        of_signal = self.membership.T @ self.component_weights
        return of_signal[:, None] * self.shares(values) * np.nan_to_num(strengths)

    def confidence(self, values: np.ndarray, mine: np.ndarray, other: np.ndarray) -> np.ndarray:
        """How far the evidence agrees, 0-100, shape (N,), whatever the score is made of.

        The share of the weight of directional signals that say more for this direction than for the other (equal ones
        count half), times the share of all weight that is defined. A high score from three signals that shout against
        five that disagree has a low confidence; a modest score on which all agree has a high one.

        Args:
            values: The indicators, shape (S, N).
            mine: Strengths of the signals for the direction asked about, shape (S, N).
            other: The same for the other direction.
        """
        weights = self.weights * (self.membership.T @ self.component_weights)
        directional = weights * [signal.centre is not None for signal in self.signals]
        defined = np.isfinite(values)
        for_mine = 0.5 + 0.5 * np.sign(np.nan_to_num(mine - other).round(9))
        considered = directional @ defined
        agreeing = directional @ (defined * for_mine)
        agreement = np.divide(agreeing, considered, out=np.zeros_like(considered), where=considered > 0.0)
        return 100.0 * np.clip(agreement * (weights @ defined) / weights.sum(), 0.0, 1.0)

    def _rate_incomplete(self, values: np.ndarray) -> np.ndarray:
        return self.membership @ (self.shares(values) * np.nan_to_num(self.strengths(values)))


@lru_cache(maxsize=16)
def _ends(pieces: Pieces, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the pieces for so many symbols, contiguous, which is three times as quick as one end for all."""
    width = np.ones(count)
    return np.outer(pieces.low, width), np.outer(pieces.high, width)


@lru_cache(maxsize=4)
def rater(signals: tuple[Signal, ...], component_weights: tuple[float, ...]) -> Rater:
    """A rater by signals whose weights add up to 1 in each component, and by the components' weights in their order."""
    pieces = Pieces.of(signals)
    weights = np.array([signal.weight for signal in signals])
    membership = np.array([[signal.component == component for signal in signals] for component in COMPONENTS], float)
    weighted = membership * weights
    return Rater(
        signals=signals,
        component_weights=np.array(component_weights),
        weights=weights,
        membership=membership,
        pieces=pieces,
        points=(weighted @ pieces.slopes).reshape(2 * len(COMPONENTS), -1),
        start=(weighted @ pieces.bases).reshape(2 * len(COMPONENTS), 1),
    )


def _both_directions(signal: Signal) -> tuple[np.ndarray, np.ndarray]:
    """Knots (k,) of the ramp and of its mirror image together, and the strengths (2, k) for LONG and SHORT there."""
    at, strength = (np.array(each, dtype=float) for each in zip(*signal.ramp, strict=True))
    if signal.centre is None:
        return at, np.stack([strength, strength])
    # Rounded, so that a knot and the mirror image of another are the same number where they should be.
    mirrored = 2.0 * signal.centre - at[::-1]
    knots = np.unique(np.concatenate([at, mirrored]).round(12))
    return knots, np.stack([np.interp(knots, at, strength), np.interp(knots, mirrored, strength[::-1])])
