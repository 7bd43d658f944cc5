"""What the terminal shows: the funnel, the portfolio panel, a bracket, timings.

Rendering only, with rich: everything here takes figures that others computed and gives something to print. Readable at
80 columns and without colour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    # Only named here: run_slot loads Dagster and frames load pandas, which a panel that was recorded does not need.
    import pandas as pd

    from quant_pipeline.cli.run_slot import Funnel, SlotReport

COLUMNS = 80
PANEL_WIDTH = 78
BAR_WIDTH = 36
SLOWEST = 4
UNKNOWN = "unknown"
# Words of capitals are symbols; a limit's name, such as max_position_pct, must stay apart from another's.
NAMES_AND_FIGURES = re.compile(r"\b[A-Z][A-Z.]*\b|-?\$?[\d,.:-]*\d")
FUNNEL_STEPS = (
    ("scanned", "most active stocks"),
    ("quoted", "with a two-sided quote"),
    ("passed_quality", "passed the quality filter"),
    ("scored", "scored"),
    ("above_threshold", "at or above the threshold"),
    ("approved", "approved by the risk limits"),
)


def row_of(frame: pd.DataFrame) -> dict[str, Any]:
    """The only row of a ``portfolio_status`` frame."""
    return {str(name): value for name, value in frame.to_dict("records")[0].items()}


def console() -> Console:
    """A console on stdout, never narrower than what the panels are made for."""
    return Console(width=max(COLUMNS, Console().width))


def funnel_panel(report: SlotReport) -> RenderableType:
    """The funnel as bars, from scanned to approved, and what was sent."""
    funnel = report.funnel
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    table.add_column(width=BAR_WIDTH)
    table.add_column()
    for name, words in FUNNEL_STEPS:
        count = getattr(funnel, name)
        table.add_row(str(count), _bar(count, funnel), words)
    table.add_row(str(funnel.orders_sent), "", "orders sent, three a bracket", style="bold")
    at_broker = len(report.frames["executions"].query("outcome == 'already_working'"))
    if at_broker:
        table.add_row(str(at_broker), "", "were with the broker already")
    return Panel(table, title=f"Slot {report.slot}", title_align="left", width=PANEL_WIDTH)


def rejections_table(report: SlotReport) -> RenderableType:
    """Why stocks fell out, with how many, over all stages."""
    reasons = [
        *_reasons("filter", report.frames["quality_filter"]),
        *_reasons("risk", report.frames["sized_orders"]),
        *_reasons("sending", report.frames["executions"].query("outcome == 'refused'")),
    ]
    if not reasons:
        return Text("Nothing was rejected.")
    table = Table(box=None, width=PANEL_WIDTH)
    table.add_column("stage", header_style="dim")
    table.add_column("stocks", justify="right", header_style="dim")
    table.add_column("reason", header_style="dim", ratio=1)
    for row in reasons:
        table.add_row(*row)
    return Group(Text("Not taken, and why", style="bold"), table)


def portfolio_panel(status: Mapping[str, Any], title: str) -> RenderableType:
    """The monitoring panel; ``status`` is a row of the ``portfolio_status`` frame."""
    figures = Table.grid(padding=(0, 3))
    sides: tuple[Literal["left", "right"], ...] = ("left", "right", "left", "right")
    for side in sides:
        figures.add_column(justify=side, no_wrap=True)
    day, loss = status["daily_pnl"], f"{status['total_risk_pct']:.2f} %"
    rows = (
        ("capital", dollars(status["capital"]), "open positions", f"{status['positions']}"),
        ("deployed", dollars(status["deployed"]), "long / short", f"{status['long']} / {status['short']}"),
        ("available", dollars(status["available"]), "entries waiting", f"{status['working_entries']}"),
        ("utilisation", percent(status["utilization_pct"]), "loss if all stops hit", dollars(status["total_risk"])),
        ("gross exposure", percent(status["gross_exposure_pct"]), "that loss in %", loss),
        ("net exposure", _signed_percent(status["net_exposure_pct"], 1), "long value", dollars(status["long_value"])),
        ("unrealised P&L", _coloured(signed_dollars(status["unrealized_pnl"])),
         "short value", dollars(status["short_value"])),
        ("day's P&L", _coloured(signed_dollars(day)),
         "day's P&L in %", _signed_percent(_share(day, status["capital"]), 2)),
    )  # fmt: skip
    for row in rows:
        figures.add_row(*row)
    parts: list[RenderableType] = [figures]
    shown = status["open_positions"]
    if len(shown):
        parts += [Text(), _positions_table(shown)]
        parts.append(Text("Entry is the average cost, commission included.", style="dim"))
    if len(shown) < status["positions"]:
        parts.append(Text(f"The best {len(shown)} by P&L of {status['positions']} positions.", style="dim"))
    worst = status.get("worst_positions")  # a panel may have been recorded before they were
    if worst is not None and len(worst):
        parts.append(_worst_text(worst))
    return Panel(Group(*parts), title=title, title_align="left", width=PANEL_WIDTH)


def bracket_table(legs: pd.DataFrame, title: str) -> RenderableType:
    """The three legs of one bracket, from rows with the columns of ``executions``."""
    symbol = legs["symbol"].iloc[0]
    table = Table(box=None)
    for name in ("leg", "action", "type", "price", "shares", "status", "permanent id"):
        table.add_column(
            name, justify="right" if name in {"price", "shares", "permanent id"} else "left", header_style="dim"
        )
    for leg in legs.to_dict("records"):
        table.add_row(
            leg["leg"],
            leg["action"],
            leg["order_type"],
            price(leg["price"]),
            f"{leg['quantity']:,}",
            leg["status"],
            str(leg["perm_id"]) if leg["perm_id"] else "none",
        )
    return Group(Text(f"{title}: {symbol}", style="bold"), table)


def timings_text(timings: Mapping[str, float]) -> RenderableType:
    """How long the slot took and which assets took the most of it."""
    slowest = sorted(((seconds, asset) for asset, seconds in timings.items() if asset != "total"), reverse=True)
    named = ", ".join(f"{asset} {seconds:.1f}" for seconds, asset in slowest[:SLOWEST])
    return Text(f"The slot took {timings['total']:.1f} s" + (f" (longest: {named})." if named else "."))


def _positions_table(positions: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    for name in ("symbol", "side", "shares", "entry", "current", "stop", "target", "P&L", "%"):
        side = "left" if name in {"symbol", "side"} else "right"
        table.add_column(name, justify=side, header_style="dim", no_wrap=True)
    for position in positions:
        table.add_row(
            position["symbol"],
            position["direction"],
            f"{abs(position['quantity']):,.0f}",
            price(position["entry"]),
            price(position["current"]),
            price(position["stop"]),
            price(position["target"]),
            _coloured(_signed(position["unrealized_pnl"], 2)),
            _coloured(_signed(position["unrealized_pct"], 1)),
        )
    return table


def _worst_text(positions: Iterable[Mapping[str, Any]]) -> Text:
    """The positions that lose most, beside those that gain most."""
    told = [Text(f"{one['symbol']} ") + _coloured(_signed(one["unrealized_pnl"], 2)) for one in positions]
    return Text("The worst: ") + Text(", ").join(told) + Text(".")


def _reasons(stage: str, frame: pd.DataFrame) -> Iterable[tuple[str, str, str]]:
    """Stocks whose reasons differ in names and figures only are counted as one; the first stands for them."""
    alike: dict[str, list[str]] = {}
    for reason in frame.dropna(subset=["reason"]).drop_duplicates(["symbol", "reason"])["reason"]:
        alike.setdefault(NAMES_AND_FIGURES.sub("#", reason), []).append(reason)
    for group in sorted(alike.values(), key=len, reverse=True):
        yield stage, str(len(group)), ("e.g. " if len(set(group)) > 1 else "") + group[0]


def _is_nan(value: float) -> bool:
    return value != value


def _bar(count: int, funnel: Funnel) -> Text:
    return Text("█" * round(BAR_WIDTH * count / max(funnel.scanned, 1)), style="cyan")


def dollars(amount: float | None) -> str:
    """Dollars and cents, ``unknown`` where missing."""
    return UNKNOWN if amount is None or _is_nan(amount) else f"${amount:,.2f}"


def signed_dollars(amount: float | None) -> str:
    """Dollars and cents with their sign; what rounds to nothing has none."""
    text = _signed(amount, 2)
    if text == UNKNOWN:
        return text
    return f"{text[0]}${text[1:]}" if text[0] in "+-" else f"${text}"


def percent(share: float | None) -> str:
    """One digit after the point, ``unknown`` where missing."""
    return UNKNOWN if share is None or _is_nan(share) else f"{share:.1f} %"


def _signed_percent(share: float, digits: int) -> str:
    text = _signed(share, digits)
    return text if text == UNKNOWN else f"{text} %"


def _share(part: float | None, whole: float) -> float:
    return 100.0 * part / whole if part is not None and whole > 0 else float("nan")


def _signed(value: float | None, digits: int) -> str:
    """The figure with its sign; what rounds to nothing has none."""
    if value is None or _is_nan(value):
        return UNKNOWN
    text = f"{value:+,.{digits}f}"
    return text if any(digit in "123456789" for digit in text) else text[1:]


def _coloured(text: str) -> Text:
    style = {"+": "green", "-": "red"}.get(text[0], "")
    return Text(text, style=style)


def price(value: float | None) -> str:
    """A price as the market writes it, ``none`` where there is none."""
    return "none" if value is None or _is_nan(value) else f"{value:,.2f}"
