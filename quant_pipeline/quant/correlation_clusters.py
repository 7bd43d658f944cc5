"""Which stocks move together, and how much of the book would be in one group of them.

Correlation of daily returns and the clusters it makes belong here, as plain arithmetic on arrays. What is committed
comes from ``book``, and whether a cluster is too large is for ``portfolio_risk_manager`` to say, the only caller.

**A cluster** is a connected component (single linkage) of the graph of what is committed. Two stocks have an edge where
their returns, each with the sign of its direction, have a correlation at or above the threshold: a SHORT in a stock
that moves with a LONG is no edge, a SHORT in one that moves against it is. Unknown is not empty: a stock whose bars are
not known counts in every cluster, and two stocks that have too few bars in common have an edge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

STILL = 1e-12
"""Returns that vary less than this do not vary, and nothing is correlated with them."""

DECIMALS = 9
"""Correlations are rounded to these, so that noise of the arithmetic does not decide at the threshold."""


@dataclass(frozen=True)
class ClusterValue:
    """Dollars in one cluster with one more order, and the symbols of what is committed in it.

    ``members`` has a symbol for each commitment, so that one which is held and on order is there twice; ``unknown`` is
    how many count, the order among them, because their bars are unknown.
    """

    value: float
    members: tuple[str, ...]
    unknown: int

    @property
    def stocks(self) -> int:
        """How many commitments it has, the order included."""
        return len(self.members) + 1


@dataclass(frozen=True)
class DailyCloses:
    """Logarithms of completed daily closes, shape (T, N): a row a date, a column a symbol; NaN for none."""

    logs: np.ndarray
    columns: dict[str, int]

    @classmethod
    def from_frame(cls, bars: pd.DataFrame, symbols: Iterable[str]) -> DailyCloses:
        """Read the ``bars`` frame for the given symbols; rows in any order, partial and impossible bars left out."""
        names = sorted(set(symbols))
        columns = pd.Index(names, dtype="str").get_indexer(pd.Index(bars["symbol"]))
        closes = bars["close"].to_numpy(dtype=float, na_value=np.nan)
        kept = (columns >= 0) & np.isfinite(closes) & (closes > 0.0) & ~bars["partial"].to_numpy(dtype=bool)
        dates, rows = np.unique(bars["date"].to_numpy()[kept], return_inverse=True)
        logs = np.full((len(dates), len(names)), np.nan)
        logs[rows, columns[kept]] = np.log(closes[kept])
        return cls(logs, {name: column for column, name in enumerate(names)})


class CorrelationClusters:
    """The clusters of what is committed, one commitment after another.

    Directions are signs: 1 is LONG, -1 is SHORT. Values are positive dollars.
    """

    def __init__(self, closes: DailyCloses, *, correlation: float, returns: int) -> None:
        self._closes = closes
        self._present = np.isfinite(closes.logs)
        self._threshold = correlation
        self._bars = returns + 1
        self._known = {symbol: column for symbol, column in closes.columns.items() if self._tells(column)}
        self._symbols: list[str] = []
        self._columns: list[int] = []
        self._signs: list[int] = []
        self._values: list[float] = []
        self._clusters: list[int] = []
        self._unknown: list[tuple[str, float]] = []
        self._answered: tuple[object, set[int]] = (None, set())

    def commit(self, symbol: str, sign: int, value: float) -> None:
        """Count a position, a working entry or an approved order from now on."""
        column = self._known.get(symbol)
        if column is None:
            self._unknown.append((symbol, value))
            return
        joined = self._joined(column, sign)
        cluster = len(self._clusters)
        self._clusters = [cluster if each in joined else each for each in self._clusters]
        self._symbols.append(symbol)
        self._columns.append(column)
        self._signs.append(sign)
        self._values.append(value)
        self._clusters.append(cluster)

    def value_with(self, symbol: str, sign: int, value: float) -> ClusterValue:
        """The largest cluster that one more order of this value would count in."""
        column = self._known.get(symbol)
        if column is None:
            sizes = (self._size({cluster}) for cluster in sorted(set(self._clusters)))
            known, members = max(sizes, key=lambda size: (size[0], len(size[1])), default=(0.0, ()))
        else:
            known, members = self._size(self._joined(column, sign))
        everywhere = tuple(name for name, _ in self._unknown)
        counted = known + sum(dollars for _, dollars in self._unknown) + value
        return ClusterValue(counted, members + everywhere, len(everywhere) + (column is None))

    def _size(self, clusters: set[int]) -> tuple[float, tuple[str, ...]]:
        """Dollars and symbols of the commitments in some clusters together."""
        places = [place for place, cluster in enumerate(self._clusters) if cluster in clusters]
        return sum(self._values[place] for place in places), tuple(self._symbols[place] for place in places)

    def _tells(self, column: int) -> bool:
        """Whether the bars of a column are enough to tell how it moves."""
        rows = np.flatnonzero(self._present[:, column])[-self._bars :]
        return len(rows) == self._bars and bool(np.diff(self._closes.logs[rows, column]).std() > STILL)

    def _joined(self, column: int, sign: int) -> set[int]:
        """The clusters that a stock has an edge to; what was asked last is asked again when it is committed."""
        question = (column, sign, len(self._clusters))
        if self._answered[0] != question:
            signs = np.array(self._signs, dtype=float)
            together = sign * signs * self._correlations(column, np.array(self._columns, dtype=int))
            apart = np.round(together, DECIMALS) < self._threshold
            edges = {cluster for cluster, is_apart in zip(self._clusters, apart, strict=True) if not is_apart}
            self._answered = (question, edges)
        return self._answered[1]

    def _correlations(self, column: int, others: np.ndarray) -> np.ndarray:
        """Correlations of one column with others, shape of ``others``, over the latest bars common to each pair.

        NaN where there are too few of these, or where one of the two did not move in them.
        """
        logs, present = self._closes.logs, self._present
        rows = np.flatnonzero(present[:, column])[-self._bars :]
        # Where the other has all the latest bars of this one, these are the latest in common: nearly everywhere.
        at_once = present[rows[:, None], others].all(axis=0)
        found = np.full(len(others), np.nan)
        found[at_once] = _correlation(logs[rows, column], logs[rows[:, None], others[at_once]])
        for place in np.flatnonzero(~at_once):
            common = np.flatnonzero(present[:, column] & present[:, others[place]])[-self._bars :]
            if len(common) == self._bars:
                found[place] = _correlation(logs[common, column], logs[common][:, others[[place]]])[0]
        return found


def _correlation(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Pearson's correlation of the steps of one series (T,) with those of others (T, M); NaN without movement."""
    steps, their_steps = np.diff(one), np.diff(others, axis=0)
    steps, their_steps = steps - steps.mean(), their_steps - their_steps.mean(axis=0)
    spread = np.sqrt((steps**2).sum() * (their_steps**2).sum(axis=0))
    still = STILL**2 * len(steps)
    return np.divide(steps @ their_steps, spread, out=np.full(len(spread), np.nan), where=spread > still)
