"""Why stocks, orders and legs were held back, in plain words.

``slot_health`` counts reasons that say the same together: it puts a ``#`` for their figures, and of the risk limits it
keeps the name of the setting. What a person reads instead belongs here; which reasons are shown is for ``cards``. A
reason nobody has put into words yet keeps its own, with dots for its figures.
"""

from __future__ import annotations

import re

from quant_pipeline.metrics.figures import text

FIGURE = "#"
DOTS = "…"

LIMITS = {
    "allow_duplicate_symbols": "already held or on order",
    "max_positions": "as many positions as allowed",
    "max_position_pct": "one position too large",
    "max_risk_per_trade_pct": "risk of one trade too large",
    "min_position_value": "position too small",
    "max_total_risk_pct": "risk of all positions too large",
    "max_utilization_pct": "capital fully deployed",
    "max_gross_exposure_pct": "gross exposure too large",
    "max_net_exposure_pct": "net exposure too large",
    "max_cluster_pct": "too much in stocks that move together",
    "max_daily_loss_pct": "loss of the day too large",
}
"""Settings of ``[risk]`` that refuse orders, and what they say of one."""

_WORDS = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        ("spread .* is not below", "spread too wide"),
        ("price .* is not above", "price too low"),
        ("price .* is off the tick grid", "price off the tick grid"),
        ("completed bars?[,#].*needed", "too few completed bars"),
        ("the last bar is of", "bars too old"),
        ("quote (is )?# s old", "quote too old"),
        ("quote missing", "no quote"),
        ("^one-sided quote", "one-sided quote"),
        ("^crossed quote", "crossed quote"),
        ("^quote crossed or one-sided", "crossed or one-sided quote"),
        ("^two bars of", "two bars of one day"),
        ("^bar of .* has no ", "a figure missing in a bar"),
        ("^bar of .* (has|is impossible)", "an impossible bar"),
        ("that the bars are not adjusted for", "bars not adjusted for a split"),
        ("^last price .* like a ", "last price moved as in a split"),
        ("too small for a stop", "average true range too small for a stop"),
        ("too large for stop and target", "average true range too large for stop and target"),
        ("is not a paper account", "not a paper account, and live trading is not armed"),
        ("^the broker reports account", "not the account the settings name"),
        ("clocks of broker and machine differ", "clocks of broker and machine differ"),
        ("^slot over since", "slot over"),
        ("^only .* legs are at the broker", "a part of the legs at the broker already"),
        ("^a position of .* appeared", "a position appeared after the decision"),
    )
)
_FIGURES = re.compile(rf"[-+$]?{FIGURE}(?:[-:/.,T ]*{FIGURE})*")


def in_words(reason: object) -> str:
    """A reason of ``slot_health`` as a person would say it; a limit keeps its name behind the words."""
    if isinstance(reason, str) and reason in LIMITS:
        return f"{LIMITS[reason]} ({reason})"
    said = text(reason)
    return next((words for pattern, words in _WORDS if pattern.search(said)), _FIGURES.sub(DOTS, said))
