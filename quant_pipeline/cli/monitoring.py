"""``quant-pipeline status``: the monitoring panel, live from the broker or as last recorded.

Reading and choosing the source belong here; what the figures mean is ``PortfolioMetrics``' business, how they look is
``panels``'. What talks to the broker takes seconds to load and is imported where it is needed, so that the panel as
recorded is there at once.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from quant_pipeline.automation.sessions import EXCHANGE_TIME
from quant_pipeline.cli.panels import console, portfolio_panel, row_of
from quant_pipeline.errors import BrokerError, HistoryError
from quant_pipeline.history.journal_reading import lost_journal, refuse_lost_journal
from quant_pipeline.history.newest_status import newest_status
from quant_pipeline.paper_gateway import embedded
from quant_pipeline.settings import Settings

if TYPE_CHECKING:
    from quant_pipeline.broker.session import BrokerSession

REFRESH_SECONDS = 5.0


@dataclass(frozen=True)
class Panel:
    """A row of the ``portfolio_status`` frame and where it comes from.

    ``account`` is known of a live panel, ``slot`` of a recorded one; ``note`` says what a reader must know beside it.
    """

    status: dict[str, Any]
    account: str | None = None
    slot: str | None = None
    note: str = ""

    @property
    def title(self) -> str:
        """What stands above the panel."""
        at = self.status["observed_at"].astimezone(EXCHANGE_TIME)
        whose = f"Account {self.account}, {at:%Y-%m-%d}" if self.account else f"As recorded in slot {self.slot}"
        note = f" ({self.note})" if self.note else ""
        return f"{whose} at {at:%H:%M:%S %Z}{note}"

    def as_json(self) -> dict[str, Any]:
        """The object ``status --json`` prints; what is not known is null."""
        source = {"source": "live" if self.account else "recorded", "account": self.account, "slot": self.slot}
        return {**source, **_without_nan(self.status), "observed_at": self.status["observed_at"].isoformat()}


def print_status(settings: Settings, *, as_json: bool) -> None:
    """Print the panel once.

    Raises ``HistoryError`` after it when the order journal is gone: what the panel shows is so, but not the whole.
    """
    panel = next(panels(settings))
    if as_json:
        click.echo(json.dumps(panel.as_json()))
    else:
        console().print(portfolio_panel(panel.status, panel.title))
    refuse_lost_journal(settings.home)


def watch_status(settings: Settings) -> None:
    """Show the panel and refresh it until Ctrl-C; a broker that goes away is waited for."""
    with Live(console=console(), auto_refresh=False) as live:
        try:
            for panel in panels(settings):
                live.update(_watched(panel, lost_journal(settings.home)), refresh=True)
                time.sleep(REFRESH_SECONDS)
        except KeyboardInterrupt:
            return


def panels(settings: Settings) -> Iterator[Panel]:
    """The panel of now, and again whenever the next one is asked for.

    Live where a broker is configured or the embedded gateway runs, else the last one recorded. Raises ``BrokerError``
    or ``HistoryError`` when there is nothing to show at first; later the last panel stays, with a note.
    """
    last: Panel | None = None
    while True:
        try:
            if settings.embedded and embedded.running(settings.home) is None:
                last = _recorded_panel(settings)
                yield last
                continue
            from quant_pipeline.broker.session import Role, connect

            with connect(settings, Role.STATUS) as broker:
                while True:
                    last = _live_panel(broker, settings)
                    yield last
        except BrokerError:
            if last is None:
                raise
            yield replace(last, note="the broker does not answer")


def _watched(panel: Panel, fault: str | None) -> RenderableType:
    shown = portfolio_panel(panel.status, panel.title)
    return Group(shown, Text(fault, style="yellow")) if fault else shown


def _without_nan(value: Any) -> Any:
    """The value with None, which JSON has, for every NaN, which it has not."""
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _live_panel(broker: BrokerSession, settings: Settings) -> Panel:
    from quant_pipeline.broker.account import read_account
    from quant_pipeline.quant import PortfolioMetrics

    reading = read_account(broker, settings)
    metrics = PortfolioMetrics.from_frames(
        reading.account, reading.portfolio, reading.working_orders, top=settings.monitoring.top_positions
    )
    return Panel(row_of(metrics.to_frame(broker.now().astimezone(dt.UTC))), account=broker.account)


def _recorded_panel(settings: Settings) -> Panel:
    recorded = newest_status(settings.home) if settings.home.exists() else None
    if recorded is None:
        raise HistoryError(
            "There is nothing to show yet: no gateway is running and no slot was recorded; start with "
            "quant-pipeline run."
        )
    slot, status = recorded
    return Panel(status, slot=slot, note="no gateway")
