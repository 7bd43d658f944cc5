"""``quant-pipeline status``: the monitoring panel, live from the broker or as last recorded.

Reading and choosing the source belong here; what the figures mean is ``PortfolioMetrics``' business, how they look is
``panels``'.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import click
import pandas as pd
from rich.console import Console
from rich.live import Live

from quant_pipeline.automation.sessions import EXCHANGE_TIME
from quant_pipeline.broker.account import read_account
from quant_pipeline.broker.session import BrokerSession, Role, connect
from quant_pipeline.cli.panels import portfolio_panel
from quant_pipeline.errors import HistoryError
from quant_pipeline.history.store import History
from quant_pipeline.paper_gateway import embedded
from quant_pipeline.quant import PortfolioMetrics
from quant_pipeline.settings import Settings

REFRESH_SECONDS = 5.0


@dataclass(frozen=True)
class Panel:
    """A row of the ``portfolio_status`` frame and where it comes from."""

    status: dict[str, Any]
    source: str


def print_status(settings: Settings, *, as_json: bool) -> None:
    """Print the panel once."""
    panel = current_panel(settings)
    if as_json:
        click.echo(json.dumps({"source": panel.source, **panel.status}, default=str))
    else:
        _console().print(portfolio_panel(panel.status, panel.source))


def watch_status(settings: Settings) -> None:
    """Show the panel and refresh it until Ctrl-C."""
    with connect(settings, Role.STATUS) as broker, Live(console=_console(), auto_refresh=False) as live:
        try:
            while True:
                panel = _live_panel(broker, settings)
                live.update(portfolio_panel(panel.status, panel.source), refresh=True)
                time.sleep(REFRESH_SECONDS)
        except KeyboardInterrupt:
            return


def current_panel(settings: Settings) -> Panel:
    """Live where a broker is configured or the embedded gateway runs, else the last one recorded."""
    if settings.embedded and embedded.running(settings.home) is None:
        return _recorded_panel(settings)
    with connect(settings, Role.STATUS) as broker:
        return _live_panel(broker, settings)


def _live_panel(broker: BrokerSession, settings: Settings) -> Panel:
    reading = read_account(broker, settings)
    now = broker.now()
    metrics = PortfolioMetrics.from_frames(
        reading.account, reading.portfolio, reading.working_orders, top=settings.monitoring.top_positions
    )
    at = now.astimezone(EXCHANGE_TIME)
    return Panel(
        row_of(metrics.to_frame(now)),
        f"Account {broker.account}, {at:%Y-%m-%d %H:%M:%S} in exchange time",
    )


def row_of(frame: pd.DataFrame) -> dict[str, Any]:
    """The only row of a ``portfolio_status`` frame."""
    return {str(name): value for name, value in frame.to_dict("records")[0].items()}


def _recorded_panel(settings: Settings) -> Panel:
    recorded = History(settings.home).newest("portfolio_status")
    if recorded is None:
        raise HistoryError("There is no portfolio yet: no gateway runs and no slot was recorded; quant-pipeline run.")
    materialization, frame = recorded
    return Panel(row_of(frame), f"As recorded in slot {materialization.slot} (no gateway is running)")


def _console() -> Console:
    return Console(width=max(80, Console().width))
