"""Why the orders of a slot were sent, as metadata of ``executions`` in the Dagster UI.

Two small tables: the versions the orders come from, and a line an order with its score, its strongest signals and the
limit that was nearest. ``quant-pipeline explain`` tells the whole story of one of them. Nothing is decided here, and
``act`` calls it once the orders are out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from quant_pipeline.history.store import History, Materialization

SIGNALS_SHOWN = 3
LEAST = "min_position_value"
"""The one limit that a figure must not fall below."""


def order_explanation(
    history: History, decided: Materialization, sized_orders: pd.DataFrame, executions: pd.DataFrame
) -> dict[str, dg.MetadataValue]:
    """The versions behind the orders, and why each was sent or not, as metadata.

    Raises ``HistoryError`` when the history cannot be read.
    """
    chain = history.chain(decided.id)
    scores = next((one for one in reversed(chain) if one.asset == "scores"), None)
    score_of = {} if scores is None else history.frame(scores.id).set_index("symbol").to_dict("index")
    return {
        "decided by": dg.MetadataValue.md(_versions(chain)),
        "why these orders": dg.MetadataValue.md(_orders(sized_orders, executions, score_of)),
        **{f"from {one.asset}": dg.MetadataValue.int(one.id) for one in chain},
    }


def _versions(chain: Sequence[Materialization]) -> str:
    rows = [(one.asset, one.id, one.data_hash, one.rows, one.code_version, one.settings_hash) for one in chain]
    return _table(("asset", "materialization", "data hash", "rows", "code", "settings"), rows)


def _orders(sized_orders: pd.DataFrame, executions: pd.DataFrame, score_of: Mapping[Any, Mapping[Any, Any]]) -> str:
    entries = executions[executions["leg"] == "entry"].set_index("symbol").to_dict("index")
    rows = [
        (
            f"`{order['order_ref'].removesuffix(':entry')}`",
            f"{order['direction']} {order['quantity']} at {order['entry_price']:.2f}",
            f"{order['stop_price']:.2f} / {order['target_price']:.2f}",
            *_score(score_of.get(order["symbol"])),
            _nearest_limit(order["limits"]),
            _outcome(entries[order["symbol"]]),
        )
        for order in sized_orders.to_dict("records")
        if order["symbol"] in entries
    ]
    names = ("order", "entry", "stop / target", "score", "strongest signals", "nearest limit", "outcome")
    return f"{_table(names, rows)}\n\nThe whole chain of one: `quant-pipeline explain ORDER`"


def _score(score: Mapping[Any, Any] | None) -> tuple[str, str]:
    if score is None:
        return "", ""
    strongest = "; ".join(signal["text"] for signal in score["key_signals"][:SIGNALS_SHOWN])
    return f"{score['total_score']:.1f}", strongest


def _nearest_limit(limits: Sequence[Mapping[str, Any]] | None) -> str:
    """The limit of which the largest share was used up."""
    used = [(share, limit) for limit in limits or () if (share := _share_used(limit)) is not None]
    if not used:
        return ""
    _, limit = max(used, key=lambda one: one[0])
    return f"{limit['limit']} {limit['figure']:.2f} of {limit['allowed']:.2f} {limit['unit']}"


def _share_used(limit: Mapping[str, Any]) -> float | None:
    figure, allowed = limit["figure"], limit["allowed"]
    if not (math.isfinite(figure) and math.isfinite(allowed) and figure > 0 and allowed > 0):
        return None
    # A stock that is not held takes the only place it may have, which says nothing.
    if limit["limit"] == "allow_duplicate_symbols":
        return None
    return allowed / figure if limit["limit"] == LEAST else figure / allowed


def _outcome(entry: Mapping[Any, Any]) -> str:
    reason = f": {entry['reason']}" if isinstance(entry["reason"], str) else ""
    return f"{entry['outcome'].replace('_', ' ')}{reason}"


def _table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
