"""What the terminal shows: the funnel, the portfolio panel, a bracket, timings.

Rendering only, with rich: everything here takes figures that others computed and gives something to print. Readable at
80 columns and without colour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pandas as pd
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from quant_pipeline.cli.run_slot import Funnel, SlotReport

BAR_WIDTH = 36
NAMES_AND_FIGURES = re.compile(r"\b[A-Z]{1,5}\b|-?\$?[\d,.]*\d")
FUNNEL_STEPS = (
    ("scanned", "most active stocks"),
    ("quoted", "two-sided quote"),
    ("passed_quality", "passed the filter"),
    ("scored", "scored"),
    ("above_threshold", "at or above the threshold"),
    ("approved", "approved by the risk limits"),
)


def funnel_panel(report: SlotReport) -> RenderableType:
    """The funnel as bars, from scanned to approved, and what was sent."""
    funnel = report.funnel
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    table.add_column()
    table.add_column(style="dim")
    for name, words in FUNNEL_STEPS:
        count = getattr(funnel, name)
        table.add_row(str(count), _bar(count, funnel), words)
    table.add_row(str(funnel.orders_sent), "", "orders sent, three to a bracket")
    return Panel(table, title=f"Slot {report.slot}", title_align="left", width=78)


def rejections_table(report: SlotReport) -> RenderableType:
    """Why stocks fell out, with how many, over all stages."""
    reasons = [
        *_reasons("filter", report.frames["quality_filter"]),
        *_reasons("risk", report.frames["sized_orders"]),
        *_reasons("sending", report.frames["executions"].query("outcome == 'refused'")),
    ]
    if not reasons:
        return Text("Nothing was rejected.", style="dim")
    table = Table(title="Not taken, and why", title_justify="left", box=None, padding=(0, 1))
    table.add_column("stage")
    table.add_column("stocks", justify="right")
    table.add_column("reason")
    for row in reasons:
        table.add_row(*row)
    return table


def portfolio_panel(status: Mapping[str, Any], title: str) -> RenderableType:
    """The monitoring panel; ``status`` is a row of the ``portfolio_status`` frame."""
    figures = Table.grid(padding=(0, 3))
    sides: tuple[Literal["left", "right"], ...] = ("left", "right", "left", "right")
    for side in sides:
        figures.add_column(justify=side)
    figures.add_row("capital", _dollars(status["capital"]), "open positions", f"{status['positions']}")
    figures.add_row("deployed", _dollars(status["deployed"]), "long / short", f"{status['long']} / {status['short']}")
    figures.add_row("available", _dollars(status["available"]), "entries waiting", f"{status['working_entries']}")
    figures.add_row(
        "utilisation", f"{status['utilization_pct']:.1f} %", "risk if all stops hit", _dollars(status["total_risk"])
    )
    figures.add_row(
        "unrealised P&L",
        _dollars(status["unrealized_pnl"], signed=True),
        "in percent",
        f"{status['total_risk_pct']:.2f} %",
    )
    parts: list[RenderableType] = [figures]
    if len(status["open_positions"]):
        parts += [Text(), _positions_table(status["open_positions"])]
    return Panel(Group(*parts), title=title, title_align="left", width=78)


def bracket_table(legs: pd.DataFrame) -> RenderableType:
    """The three legs of one bracket, as the broker has them."""
    symbol = legs["symbol"].iloc[0]
    table = Table(title=f"One bracket of them: {symbol}", title_justify="left", box=None, padding=(0, 1))
    for name in ("leg", "action", "type", "price", "shares", "status", "permanent id"):
        table.add_column(name, justify="right" if name in {"price", "shares", "permanent id"} else "left")
    for leg in legs.to_dict("records"):
        table.add_row(
            leg["leg"],
            leg["action"],
            leg["order_type"],
            f"{leg['price']:,.2f}",
            str(leg["quantity"]),
            leg["status"],
            str(leg["perm_id"]),
        )
    return table


def _positions_table(positions: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 1))
    for name in ("symbol", "side", "shares", "entry", "current", "stop", "target", "P&L", "%"):
        table.add_column(name, justify="left" if name in {"symbol", "side"} else "right")
    for position in positions:
        table.add_row(
            position["symbol"],
            position["direction"],
            f"{position['quantity']:,.0f}",
            f"{position['entry']:,.2f}",
            f"{position['current']:,.2f}",
            _price(position["stop"]),
            _price(position["target"]),
            f"{position['unrealized_pnl']:+,.2f}",
            f"{position['unrealized_pct']:+.1f}",
        )
    return table


def _reasons(stage: str, frame: pd.DataFrame) -> Iterable[tuple[str, str, str]]:
    """Reasons that differ in names and figures only are counted as one; the first stands for them."""
    alike: dict[str, list[str]] = {}
    for reason in frame["reason"].dropna():
        alike.setdefault(NAMES_AND_FIGURES.sub("#", reason), []).append(reason)
    for group in sorted(alike.values(), key=len, reverse=True):
        yield stage, str(len(group)), group[0] + (", and alike" if len(set(group)) > 1 else "")


def _bar(count: int, funnel: Funnel) -> Text:
    return Text("█" * round(BAR_WIDTH * count / max(funnel.scanned, 1)), style="cyan")


def _dollars(amount: float, *, signed: bool = False) -> str:
    return f"${amount:+,.2f}".replace("$+", "+$").replace("$-", "-$") if signed else f"${amount:,.2f}"


def _price(price: float | None) -> str:
    return "none" if price is None or pd.isna(price) else f"{price:,.2f}"
