"""``quant-pipeline doctor``: what is wrong with the set-up and what to do about it.

Each check answers with one finding and never raises; checks that build on one that failed are left out. A gateway
that had to be started for a check is ended again.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from quant_pipeline.automation.sessions import EXCHANGE_TIME, next_session, session_at
from quant_pipeline.broker.session import BrokerSession, Role, connect
from quant_pipeline.errors import QuantPipelineError
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline.paper_gateway import embedded
from quant_pipeline.quant.risk_limits import no_room
from quant_pipeline.settings import Settings, load_settings

PACKAGES = ("dagster", "ib_insync", "duckdb", "pandas", "numpy", "pandera")


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    subject: str
    healthy: bool
    text: str

    @property
    def line(self) -> str:
        """The finding as a person reads it."""
        return f"{'ok' if self.healthy else 'PROBLEM':<9}{self.subject:<10}{self.text}"


def examine() -> Iterator[Finding]:
    """Run all checks in order, each when it is asked for."""
    yield _versions()
    try:
        settings = load_settings()
    except QuantPipelineError as error:
        yield Finding("settings", False, str(error))
        return
    broker = "the embedded paper gateway" if settings.embedded else f"{settings.ib_host}:{settings.ib_port}"
    armed = f"armed for live account {settings.account}" if settings.live else "paper only"
    yield Finding("settings", True, f"broker is {broker}, {armed}")
    yield _limits(settings)
    home = _home(settings)
    yield home
    yield _asked("calendar", _next_opening)
    if settings.embedded and not home.healthy:
        return
    yield from _broker(settings)
    if home.healthy:
        yield _asked("history", lambda: _recorded(settings))
        yield _asked("journal", lambda: _journaled(settings))


def _versions() -> Finding:
    try:
        found = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    except PackageNotFoundError as error:
        return Finding("versions", False, f"{error.name} is not installed; run make again.")
    try:
        version("ib_async")
    except PackageNotFoundError:
        return Finding("versions", True, found)
    return Finding("versions", False, "ib_async is installed beside ib_insync; uninstall it, they share a folder.")


def _limits(settings: Settings) -> Finding:
    risk = settings.risk
    stops_all = no_room(risk, settings.capital_cap)
    if stops_all is not None:
        return Finding("limits", False, stops_all)
    return Finding(
        "limits",
        True,
        f"one order may be worth {risk.max_position_pct:g} % of capital and lose {risk.max_risk_per_trade_pct:g} % at "
        "its stop; the book has room for it",
    )


def _home(settings: Settings) -> Finding:
    home = settings.home
    if not home.exists():
        parent = next(folder for folder in home.parents if folder.exists())
        if os.access(parent, os.W_OK):
            return Finding("home", True, f"{home} (will be made)")
        return Finding("home", False, f"{home} cannot be made in {parent}; set QUANT_HOME to a folder you may write.")
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        return Finding("home", False, f"{home} is no folder you may write to; set QUANT_HOME to another.")
    return Finding("home", True, str(home))


def _next_opening() -> str:
    today = dt.datetime.now(EXCHANGE_TIME).date()
    return f"the next session after today opens on {next_session(today).opens:%Y-%m-%d at %H:%M %Z}"


def _broker(settings: Settings) -> list[Finding]:
    found_running = not settings.embedded or embedded.running(settings.home) is not None
    try:
        with connect(settings, Role.DOCTOR) as broker:
            return [_connection(broker, found_running), _clock(broker)]
    except (QuantPipelineError, OSError) as error:
        return [Finding("broker", False, str(error))]
    finally:
        if not found_running:
            embedded.stop(settings.home)


def _connection(broker: BrokerSession, found_running: bool) -> Finding:
    settings = broker.settings
    if broker.is_paper:
        kind = "paper"
    elif settings.live and settings.account == broker.account:
        kind = "live and armed"
    else:
        kind = "live but not armed, so nothing will be sent; see live and account in docs/settings.md"
    started = "" if found_running else "; started for this check"
    return Finding("broker", True, f"connected to {broker.address}, account {broker.account} ({kind}){started}")


def _clock(broker: BrokerSession) -> Finding:
    now = broker.now()
    at = now.astimezone(EXCHANGE_TIME)
    shown = f"{at:%Y-%m-%d %H:%M:%S} in exchange time, market {'open' if session_at(now) else 'closed'}"
    if broker.settings.embedded:
        return Finding("clock", True, shown)
    skew = abs((now - dt.datetime.now(dt.UTC)).total_seconds())
    allowed = broker.settings.execution.max_clock_skew_seconds
    if skew <= allowed:
        return Finding("clock", True, f"{shown}, {skew:.1f} s from this machine's")
    advice = f"this machine's differs by {skew:.1f} s and {allowed:g} s are allowed: set it (NTP), trading is blocked"
    return Finding("clock", False, f"{shown}; {advice}.")


def _recorded(settings: Settings) -> str:
    if not settings.home.exists():
        return "nothing recorded yet"
    history = History(settings.home)
    newest = history.newest("portfolio_status")
    return f"{history.count():,} materializations" + (f", the last slot is {newest[0].slot}" if newest else "")


def _journaled(settings: Settings) -> str:
    if not settings.home.exists():
        return "no order intents yet"
    return f"{OrderJournal(settings.home).count():,} order intents"


def _asked(subject: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, ask())
    except (QuantPipelineError, OSError) as error:
        return Finding(subject, False, str(error))
