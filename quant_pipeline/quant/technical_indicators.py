"""The technical indicators as frames: of a slot, of one symbol, and of every bar there is.

This is what the ``indicators`` asset runs and what research asks. What the indicators are is declared in
``indicators.table``, how they are computed in ``indicators.latest`` and ``indicators.history``; which symbols may be
scored is the quality filter's matter.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quant_pipeline.errors import UsageError
from quant_pipeline.quant.indicators.history import indicator_history
from quant_pipeline.quant.indicators.latest import latest_values
from quant_pipeline.quant.indicators.panel import BarPanel, QuotePanel
from quant_pipeline.quant.indicators.table import INDICATORS, NAMES, Indicator

__all__ = ["INDICATORS", "NAMES", "Indicator", "IndicatorResponse", "TechnicalIndicators"]


@dataclass(frozen=True)
class IndicatorResponse:
    """The indicators of one symbol.

    ``values`` holds what is defined, ``undefined`` names the rest in the order of the table. ``as_of`` is the session
    of the latest bar.
    """

    symbol: str
    as_of: dt.date
    values: dict[str, float]
    undefined: tuple[str, ...]


@dataclass(frozen=True)
class TechnicalIndicators:
    """Indicators from daily bars and quotes.

    ``session_progress`` (0-1) is how much of today's session has passed; the volume of bars marked partial is brought
    to a whole day's by it.
    """

    session_progress: float = 1.0

    def latest(
        self, bars: pd.DataFrame, quotes: pd.DataFrame | None = None, symbols: pd.Index | None = None
    ) -> pd.DataFrame:
        """The latest value of every indicator.

        Args:
            bars: A ``bars`` frame, rows in any order.
            quotes: A ``quotes`` frame; without one the microstructure indicators are undefined.
            symbols: The symbols to answer for; by default all that have bars.

        Returns:
            An ``indicators`` frame, sorted by symbol: NaN where a window is not filled, never infinite.
        """
        wanted = pd.Index(sorted(bars["symbol"].unique() if symbols is None else symbols), dtype="str")
        panel = BarPanel.from_frame(bars, wanted).paced(self.session_progress)
        values = latest_values(panel, _quotes_of(quotes, wanted))
        return pd.concat([wanted.to_frame(index=False, name="symbol"), pd.DataFrame(values.T, columns=NAMES)], axis=1)

    def history(self, bars: pd.DataFrame, symbols: pd.Index | None = None) -> pd.DataFrame:
        """Every indicator at every bar, for research.

        Args:
            bars: A ``bars`` frame, rows in any order.
            symbols: The symbols to answer for; by default all that have bars.

        Returns:
            Columns ``symbol``, ``date`` and one an indicator, sorted by symbol and date, one row a bar that has all its
            values: NaN where a window is not filled, never infinite. Quotes have no history, so the microstructure
            indicators are left out.
        """
        wanted = pd.Index(sorted(bars["symbol"].unique() if symbols is None else symbols), dtype="str")
        panel = BarPanel.from_frame(bars, wanted).paced(self.session_progress)
        values, place = indicator_history(panel), np.repeat(np.arange(len(wanted)), panel.lengths)
        each = [values.of(symbol)[:, len(panel.dates) - length :] for symbol, length in enumerate(panel.lengths)]
        from_bars = [indicator.group != "microstructure" for indicator in INDICATORS]
        columns = np.concatenate([np.empty((len(NAMES), 0)), *each], axis=1)[from_bars]
        return pd.DataFrame(
            {
                "symbol": wanted[place],
                "date": panel.dates.T[~np.isnat(panel.dates.T)].astype("datetime64[us]"),
                **dict(zip(np.array(NAMES)[from_bars], columns, strict=True)),
            }
        )

    def of(self, symbol: str, bars: pd.DataFrame, quotes: pd.DataFrame | None = None) -> IndicatorResponse:
        """The indicators of one symbol. Raises ``UsageError`` when it has no bars."""
        own = bars.loc[bars["symbol"] == symbol]
        if own.empty:
            raise UsageError(f"There are no bars of {symbol}; fetch its history first or check the symbol.")
        row = self.latest(own, quotes).iloc[0]
        values = {name: float(row[name]) for name in NAMES if not np.isnan(row[name])}
        undefined = tuple(name for name in NAMES if name not in values)
        return IndicatorResponse(symbol, own["date"].dt.date.max(), values, undefined)


def _quotes_of(quotes: pd.DataFrame | None, symbols: pd.Index) -> QuotePanel:
    return QuotePanel.unknown(len(symbols)) if quotes is None else QuotePanel.from_frame(quotes, symbols)
