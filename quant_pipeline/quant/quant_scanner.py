"""The decide stages of a slot: quality filter, indicators, scores, sized orders, each a pure function of frames.

The assets call one method a stage; ``run_quant_scan`` runs them all, for research and tests. Nothing here reads a
broker, a clock or a file: the same frames and settings give the same orders, whatever the order of their rows. Each
stage's own arithmetic is in the module named after it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quant_pipeline.quant.bar_quality import BarRequirements, bar_faults
from quant_pipeline.quant.indicators.latest import average_true_range
from quant_pipeline.quant.indicators.panel import BarPanel
from quant_pipeline.quant.portfolio_risk_manager import PortfolioRiskManager
from quant_pipeline.quant.quant_scorer import QuantScorer
from quant_pipeline.quant.quote_quality import QuoteReading, quote_fault, read_quotes
from quant_pipeline.quant.technical_indicators import TechnicalIndicators
from quant_pipeline.settings import Settings

ATR_BARS = 14
TICK = 0.01
TARGET_ROOM = 0.95
"""A SHORT's target must stay above zero, with room for rounding and for the quote to lie away from the close."""


@dataclass(frozen=True)
class QuantScan:
    """What a scan decided, stage by stage."""

    quality_filter: pd.DataFrame
    indicators: pd.DataFrame
    scores: pd.DataFrame
    sized_orders: pd.DataFrame

    @property
    def funnel(self) -> dict[str, int]:
        """How many symbols were left after each stage."""
        return {
            "scanned": len(self.quality_filter),
            "passed_quality": int(np.count_nonzero(self.quality_filter["passed"])),
            "scored": len(self.scores),
            "above_threshold": len(self.sized_orders),
            "approved": int(np.count_nonzero(self.sized_orders["approved"])),
        }


@dataclass(frozen=True)
class QuantMarketScanner:
    """The stages under one set of settings."""

    settings: Settings

    def quality_filter(self, universe: pd.DataFrame, quotes: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
        """Which symbols of the universe may be scored, and the first reason of those that may not.

        Returns:
            A ``quality_filter`` frame in the order of the universe's ranks.
        """
        symbols = list(universe.sort_values("rank")["symbol"].astype(str))
        readings = read_quotes(quotes)
        reasons = {symbol: quote_fault(readings.get(symbol), self.settings.quality) for symbol in symbols}
        tradable = [symbol for symbol, reason in reasons.items() if reason is None]
        required = BarRequirements(
            min_completed_bars=max(self.settings.quality.min_history_bars, ATR_BARS + 1),
            today=_day_of(quotes),
            last_prices={symbol: readings[symbol].last for symbol in tradable},
        )
        faults = bar_faults(bars, tradable, required)
        sound = [symbol for symbol in tradable if symbol not in faults]
        reasons |= faults | self._range_faults(bars, sound, readings)
        return pd.DataFrame(
            {
                "symbol": pd.Series(symbols, dtype="str"),
                "price": [readings[symbol].last if symbol in readings else np.nan for symbol in symbols],
                "spread_pct": [readings[symbol].spread_pct if symbol in readings else np.nan for symbol in symbols],
                "passed": pd.Series([reasons[symbol] is None for symbol in symbols], dtype=bool),
                "reason": pd.Series([reasons[symbol] for symbol in symbols], dtype="str"),
            }
        ).astype({"price": float, "spread_pct": float})

    def indicators(
        self, quality_filter: pd.DataFrame, quotes: pd.DataFrame, bars: pd.DataFrame, session_progress: float
    ) -> pd.DataFrame:
        """Indicators of the symbols that passed, sorted by symbol; ``session_progress`` (0-1) paces partial volume."""
        passed = pd.Index(quality_filter.loc[quality_filter["passed"], "symbol"])
        return TechnicalIndicators(session_progress).latest(bars, quotes, passed)

    def scores(self, indicators: pd.DataFrame, quotes: pd.DataFrame) -> pd.DataFrame:
        """Scores of all symbols with indicators, best first."""
        return QuantScorer(self.settings.scoring, self.settings.decision_hash).score(indicators, quotes)

    def sized_orders(
        self,
        scores: pd.DataFrame,
        account: pd.DataFrame,
        portfolio: pd.DataFrame,
        working_orders: pd.DataFrame,
        bars: pd.DataFrame,
        slot_key: str,
    ) -> pd.DataFrame:
        """Orders for the scores at or above the threshold, approved or refused, best first."""
        offered = scores.loc[scores["total_score"] >= self.settings.scoring.threshold]
        manager = PortfolioRiskManager(self.settings.risk)
        return manager.size(offered, account, portfolio, working_orders, bars, slot_key)

    def _range_faults(
        self, bars: pd.DataFrame, symbols: list[str], readings: dict[str, QuoteReading]
    ) -> dict[str, str]:
        """Symbols that move too little for a stop to differ from the entry, or too much for a target to exist."""
        scoring = self.settings.scoring
        panel = BarPanel.from_frame(bars, pd.Index(symbols, dtype="str"))
        faults = {}
        for symbol, atr in zip(symbols, average_true_range(panel, ATR_BARS), strict=True):
            if atr * scoring.stop_atr_min < TICK:
                faults[symbol] = f"average true range {atr:.4f}: too small for a stop"
            farthest = scoring.stop_atr_max * max(scoring.reward_to_risk, 1.0) * atr
            if farthest > TARGET_ROOM * readings[symbol].bid:
                share = 100.0 * atr / readings[symbol].last
                faults[symbol] = f"average true range {share:.1f} % of the price: too large for stop and target"
        return faults


def run_quant_scan(
    settings: Settings,
    *,
    universe: pd.DataFrame,
    quotes: pd.DataFrame,
    bars: pd.DataFrame,
    account: pd.DataFrame,
    portfolio: pd.DataFrame,
    working_orders: pd.DataFrame,
    slot_key: str,
    session_progress: float,
) -> QuantScan:
    """All decide stages in a row, on the frames the observe stage recorded."""
    scanner = QuantMarketScanner(settings)
    quality_filter = scanner.quality_filter(universe, quotes, bars)
    indicators = scanner.indicators(quality_filter, quotes, bars, session_progress)
    scores = scanner.scores(indicators, quotes)
    sized_orders = scanner.sized_orders(scores, account, portfolio, working_orders, bars, slot_key)
    return QuantScan(quality_filter, indicators, scores, sized_orders)


def _day_of(quotes: pd.DataFrame) -> dt.date | None:
    """The exchange's day the quotes were read on, or None without quotes."""
    if quotes.empty:
        return None
    return quotes["observed_at"].dt.tz_convert("America/New_York").dt.date.max()
