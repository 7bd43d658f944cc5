"""The decisions: indicators, scores and sizes, as pure functions of frames.

Nothing here reads a broker, a clock, a file or a database, and nothing sends. The names below are what the assets and
research use; they load on first use, because the frames need the indicator table and nothing else of this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quant_pipeline.quant.book import PortfolioPosition
    from quant_pipeline.quant.portfolio_metrics import PortfolioMetrics
    from quant_pipeline.quant.portfolio_risk_manager import PortfolioRiskManager
    from quant_pipeline.quant.quant_scanner import QuantMarketScanner, QuantScan, run_quant_scan
    from quant_pipeline.quant.quant_scorer import QuantScore, QuantScorer
    from quant_pipeline.quant.technical_indicators import IndicatorResponse, TechnicalIndicators

__all__ = [
    "IndicatorResponse",
    "PortfolioMetrics",
    "PortfolioPosition",
    "PortfolioRiskManager",
    "QuantMarketScanner",
    "QuantScan",
    "QuantScore",
    "QuantScorer",
    "TechnicalIndicators",
    "run_quant_scan",
]

_HOMES = {
    "IndicatorResponse": "technical_indicators",
    "PortfolioMetrics": "portfolio_metrics",
    "PortfolioPosition": "book",
    "PortfolioRiskManager": "portfolio_risk_manager",
    "QuantMarketScanner": "quant_scanner",
    "QuantScan": "quant_scanner",
    "QuantScore": "quant_scorer",
    "QuantScorer": "quant_scorer",
    "TechnicalIndicators": "technical_indicators",
    "run_quant_scan": "quant_scanner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
