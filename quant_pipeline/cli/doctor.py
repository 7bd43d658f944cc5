"""``quant-pipeline doctor``: what is wrong with the set-up and what to do about it.

Each check answers with one finding and never raises; a check that builds on one that failed is left out.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from quant_pipeline.automation.sessions import EXCHANGE_TIME, next_session, session_at
from quant_pipeline.broker.session import Role, connect
from quant_pipeline.errors import QuantPipelineError
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline.settings import Settings, load_settings

PACKAGES = ("dagster", "ib_insync", "duckdb", "pandas", "numpy", "pandera")


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    subject: str
    healthy: bool
    text: str


def examine() -> list[Finding]:
    """Run all checks in order."""
    try:
        settings = load_settings()
    except QuantPipelineError as error:
        return [_versions(), Finding("settings", False, str(error))]
    kind = "embedded paper gateway" if settings.embedded else f"{settings.ib_host}:{settings.ib_port}"
    findings = [
        _versions(),
        Finding("settings", True, f"home {settings.home}, broker {kind}, {'LIVE' if settings.live else 'paper'}"),
        _calendar(),
    ]
    findings += _broker(settings)
    findings += [
        _asked("history", lambda: f"{History(settings.home).count():,} materializations"),
        _asked("journal", lambda: f"{OrderJournal(settings.home).count():,} order intents"),
    ]
    return findings


def _versions() -> Finding:
    try:
        found = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    except PackageNotFoundError as error:
        return Finding("versions", False, f"{error.name} is not installed; run make again.")
    try:
        version("ib_async")
    except PackageNotFoundError:
        return Finding("versions", True, found)
    return Finding("versions", False, "ib_async is installed beside ib_insync; they cannot share an environment.")


def _calendar() -> Finding:
    return _asked(
        "calendar", lambda: f"the next session opens on {next_session(dt.date.today()).opens:%Y-%m-%d at %H:%M %Z}"  # noqa: DTZ011 - any day near the present will do
    )  # fmt: skip


def _broker(settings: Settings) -> list[Finding]:
    try:
        with connect(settings, Role.DOCTOR) as broker:
            now = broker.now()
            account, paper = broker.account, broker.is_paper
    except QuantPipelineError as error:
        return [Finding("broker", False, str(error))]
    armed = paper or (settings.live and settings.account == account)
    kind = "paper" if paper else "live and armed" if armed else "live, not armed: nothing will be sent"
    findings = [Finding("broker", True, f"connected, account {account} ({kind})")]
    skew = abs((now - dt.datetime.now(dt.UTC)).total_seconds())
    at = now.astimezone(EXCHANGE_TIME)
    market = "open" if session_at(now) else "closed"
    if settings.embedded:
        findings.append(Finding("clock", True, f"{at:%Y-%m-%d %H:%M:%S} on the paper gateway, market {market}"))
    else:
        allowed = settings.execution.max_clock_skew_seconds
        advice = "" if skew <= allowed else "; set this machine's clock (NTP), trading is blocked until then"
        findings.append(
            Finding("clock", skew <= allowed, f"{at:%Y-%m-%d %H:%M:%S}, market {market}, skew {skew:.1f} s{advice}")
        )
    return findings


def _asked(subject: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, ask())
    except (QuantPipelineError, sqlite3.Error, OSError) as error:
        return Finding(subject, False, str(error))
