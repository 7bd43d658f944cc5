"""What ``quant-pipeline run`` prints for a person: a line for each asset, then the panels and where to look next.

Choosing what is shown belongs here; how it looks is ``panels``' business, and the figures come from ``run_slot``.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pandas as pd
from rich.console import RenderableType
from rich.text import Text

from quant_pipeline.automation.sessions import EXCHANGE_TIME, next_session
from quant_pipeline.automation.slots import KEY_FORMAT, parse_slot
from quant_pipeline.cli import panels
from quant_pipeline.cli.run_slot import SlotReport
from quant_pipeline.history.order_journal import JournaledOrder, OrderJournal
from quant_pipeline.settings import Settings

COMMAND = "quant-pipeline"


def print_report(report: SlotReport, settings: Settings) -> None:
    """Print the funnel, what was not taken and why, the portfolio, one bracket, timings and where to look next."""
    console = panels.console()
    status = panels.row_of(report.frames["portfolio_status"])
    at = status["observed_at"].astimezone(EXCHANGE_TIME)
    console.print()
    console.print(panels.funnel_panel(report))
    console.print(panels.rejections_table(report))
    console.print()
    console.print(panels.portfolio_panel(status, f"Portfolio, {at:%Y-%m-%d %H:%M:%S} in exchange time"))
    console.print()
    console.print(_one_bracket(report, settings))
    console.print()
    console.print(panels.timings_text(report.timings))
    console.print("Where to look next:")
    for subject, place in _places(report, settings):
        console.print(f"  {subject:<10}{place}", soft_wrap=True, highlight=False)


def progress_line(seconds: float, asset: str, text: str, home: Path) -> str:
    """What is said when an asset has been stored."""
    return f"  {seconds:5.1f} s  {asset:<18} {text.replace(str(home), shown_path(home))}"


def shown_path(path: Path) -> str:
    """A path as one would type it here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _one_bracket(report: SlotReport, settings: Settings) -> RenderableType:
    executions = report.frames["executions"]
    sent = executions.query("outcome == 'sent'")["symbol"].unique()
    if len(sent):
        return panels.bracket_table(executions.query("symbol == @sent[0]"), f"One bracket of {len(sent)}")
    earlier = _journaled_bracket(OrderJournal(settings.home).for_slot(report.slot))
    if earlier is None:
        return Text("No order was sent in this slot.")
    return panels.bracket_table(earlier, "Nothing was sent in this run; a bracket that this slot sent before")


def _journaled_bracket(orders: list[JournaledOrder]) -> pd.DataFrame | None:
    """The legs of the first bracket that the broker has had, in the columns of ``executions``."""
    known = [order.symbol for order in orders if order.perm_id]
    if not known:
        return None
    legs = [order for order in orders if order.symbol == known[0]]
    return pd.DataFrame(
        {
            "symbol": [leg.symbol for leg in legs],
            "leg": [leg.leg for leg in legs],
            "action": [leg.action for leg in legs],
            "order_type": [leg.order_type for leg in legs],
            "price": [leg.price for leg in legs],
            "quantity": [int(leg.quantity) for leg in legs],
            "status": [leg.state for leg in legs],
            "perm_id": [leg.perm_id or 0 for leg in legs],
        }
    )


def _places(report: SlotReport, settings: Settings) -> list[tuple[str, str]]:
    command = _as_typed()
    places = [
        ("history", f"{shown_path(settings.home / 'history.duckdb')}   open it with anything, as long as you like"),
        ("panel", f"{command} status"),
        ("UI", f"{command} up   then http://127.0.0.1:3000"),
    ]
    if settings.embedded:
        places.append(("next slot", f"{command} run --at {_slot_after(report.slot)}"))
    return places


def _slot_after(key: str) -> str:
    slot = parse_slot(key)
    following = slot.ends if slot.ends < slot.session.closes else next_session(slot.session.day).opens
    return following.strftime(KEY_FORMAT)


def _as_typed() -> str:
    """This command as it can be typed here again: its bare name where that finds it, else its path."""
    program = Path(sys.argv[0]).absolute()
    if program.name != COMMAND:
        return f"{Path(sys.executable).name} -m quant_pipeline"
    return COMMAND if shutil.which(COMMAND) == str(program) else shown_path(program)
