"""The tear sheet: one page that shows what an account earned, at what risk, and how well its signals foretold it.

Which sections the page has, in which order, and the headline figures belong here; the ``cards`` of the sections say
what they show, and the page itself is ``tear_sheet.html.j2``. The page loads nothing from anywhere. Where there is
nothing to show it says what is missing. ``quant-pipeline report`` and the end-of-day asset call this.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from quant_pipeline.errors import HistoryError, UsageError
from quant_pipeline.metrics import cards, figures
from quant_pipeline.metrics.cards import NOT_BUILT, Card, told_once, too_few
from quant_pipeline.metrics.readings import Readings, Row, opened
from quant_pipeline.metrics.tables import FEW_TRADES, tone_of

FEW_SESSIONS = 60
NO_ACCOUNT = "account not recorded"


@dataclass(frozen=True)
class Tile:
    """A headline figure; ``note`` says what it rests on or why it means little."""

    label: str
    value: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Headline:
    """An account, the sessions it was measured in, its headline figures, and where they rest on too little."""

    account: str
    period: str
    tiles: list[Tile]
    warnings: list[str]


@dataclass(frozen=True)
class AccountSheet:
    """All that the page shows of an account; ``ident`` is its anchor."""

    ident: str
    headline: Headline
    sections: list[tuple[str, list[Card]]] = field(default_factory=list)


def write_tear_sheet(history: Path, out: Path) -> Path:
    """Write the tear sheet of a published history, or of any copy of one, to ``out`` and return that.

    The file is replaced whole or not at all. Raises ``HistoryError`` when the history cannot be read or holds no
    account, ``UsageError`` when ``out`` cannot be written.
    """
    with opened(history) as readings:
        page = _page(readings, dt.datetime.now(dt.UTC))
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        beside.write_text(page, encoding="utf-8")
        beside.replace(out)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UsageError(
            f"The tear sheet cannot be written to {out} ({error.strerror}); mend that or name another file with --out."
        ) from error
    return out


def headlines(history: Path) -> list[Headline]:
    """The headline figures of each account, as the tear sheet has them."""
    with opened(history) as readings:
        return [_headline(readings, account) for account in _accounts(readings)]


def _page(readings: Readings, made_at: dt.datetime) -> str:
    accounts = _accounts(readings)
    sheets = [_sheet(readings, account, number) for number, account in enumerate(accounts, start=1)]
    environment = Environment(
        loader=PackageLoader("quant_pipeline.metrics", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("tear_sheet.html.j2").render(
        sheets=sheets,
        made_at=figures.instant(made_at),
        latest=readings.latest(),
        layout=readings.layout,
        version=version("quant-pipeline"),
        not_built="" if readings.built else NOT_BUILT,
    )


def _accounts(readings: Readings) -> list[str | None]:
    accounts = readings.accounts()
    if not accounts:
        raise HistoryError("No account was recorded yet, so there is nothing to report; start with quant-pipeline run.")
    return accounts


def _sheet(readings: Readings, account: str | None, number: int) -> AccountSheet:
    name = f"a{number}"
    return AccountSheet(
        name,
        _headline(readings, account),
        [
            ("Returns", told_once(cards.returns(readings, account, name))),
            ("Trades and exposure", told_once(cards.trades(readings, account, name))),
            ("Signals", told_once(cards.signals(readings, account, name))),
            ("Open positions", [cards.open_positions(readings, account)]),
            ("Closed trades", [cards.closed_trades(readings, account)]),
            ("Slots", told_once(cards.slots(readings, account, name))),
        ],
    )


def _headline(readings: Readings, account: str | None) -> Headline:
    days = readings.days(account)
    period = "no session measured yet"
    if days:
        first, last = figures.day(days[0]["session"]), figures.day(days[-1]["session"])
        period = f"{first} to {last}, {figures.sessions(len(days))}" if len(days) > 1 else f"{first}, 1 session"
    overall = readings.overall(account)
    few_sessions = too_few(overall.get("sessions") or 0, FEW_SESSIONS, "session")
    few_trades = too_few(overall.get("trades") or 0, FEW_TRADES, "closed trade")
    warnings = [warning for warning in (few_sessions, few_trades) if warning]
    return Headline(account or NO_ACCOUNT, period, _tiles(overall, few_sessions, few_trades), warnings)


def _tiles(row: Row, few_sessions: str, few_trades: str) -> list[Tile]:
    """The headline figures of the row of all trades in ``performance_summary``; without one they are dashes."""
    # A few sessions carried on for a year would be a fantasy.
    a_year = few_sessions or f"{figures.signed_percent(row.get('annual_return_pct'))} a year"
    longest = f"longest: {figures.sessions(row.get('max_drawdown_sessions'))}" if row.get("sessions") else few_sessions
    traded = bool(row.get("trades"))
    total, won, each = row.get("total_return_pct"), row.get("win_rate"), row.get("expectancy")
    held, hours = figures.sessions(row.get("average_hold_sessions")), figures.hours(row.get("average_hold_hours"))
    net = row.get("net_pnl") if traded else None
    return [
        Tile("Total return", figures.signed_percent(total, 2), a_year, tone_of(total)),
        Tile("Sharpe", figures.ratio(row.get("sharpe")), few_sessions),
        Tile("Sortino", figures.ratio(row.get("sortino")), few_sessions),
        Tile("Calmar", figures.ratio(row.get("calmar")), few_sessions),
        Tile("Max drawdown", figures.percent(row.get("max_drawdown_pct"), 2), longest),
        Tile("Win rate", figures.share(won), few_trades or _of_trades(row)),
        Tile("Profit factor", figures.ratio(row.get("profit_factor")), few_trades or "won $ / lost $"),
        Tile("Expectancy", figures.signed_dollars(each), few_trades or "a trade", tone_of(each)),
        Tile("Expectancy, R", figures.multiple(row.get("expectancy_r")), few_trades or "a trade"),
        Tile("Average hold", held, hours if traded else few_trades),
        Tile("Net profit", figures.signed_dollars(net), _commission(row) if traded else few_trades, tone_of(net)),
        Tile("Exposure", figures.percent(row.get("average_gross_exposure_pct")), "average gross, of capital"),
    ]  # fmt: skip


def _of_trades(row: Row) -> str:
    return f"{figures.count(row.get('winners'))} of {figures.counted(row.get('trades'), 'trade')}"


def _commission(row: Row) -> str:
    return f"closed trades, after {figures.dollars(row.get('commission') or 0.0)} commission"
