"""The tear sheet: one page that shows what an account earned, at what risk, and how well its signals foretold it.

Which sections the page has, in which order, and the headline figures belong here; the ``cards`` of the sections say
what they show, and the page itself is ``tear_sheet.html.j2``. The page loads nothing from anywhere. Where there is
nothing to show it says what is missing. ``quant-pipeline report`` and the end-of-day asset call this.
"""

from __future__ import annotations

import datetime as dt
import math
import os
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from quant_pipeline.errors import HistoryError, UsageError
from quant_pipeline.metrics import cards, figures
from quant_pipeline.metrics.cards import NOT_BUILT, Card, starting_equity, told_once
from quant_pipeline.metrics.readings import Readings, Row, opened
from quant_pipeline.metrics.tables import FEW_TRADES, tone_of

FEW_SESSIONS = 20
"""Of fewer sessions than these no ratio is given, nor by ``performance_summary`` (``few_sessions`` of the dbt project):
the error of a Sharpe ratio of 20 is 3.5 a year."""
SESSIONS_A_YEAR = 252
TOO_FEW = "too few"
UNREALISED = "Unrealised P&L"
DUST = 0.5
NO_ACCOUNT = "account not recorded"


@dataclass(frozen=True)
class Tile:
    """A headline figure; ``note`` says what it rests on, ``faint`` that this is too little."""

    label: str
    value: str
    note: str = ""
    tone: str = ""
    faint: bool = False


@dataclass(frozen=True)
class Headline:
    """An account, the sessions it was measured in, its headline figures, and where they rest on too little.

    ``bridge`` says how the change of equity comes of the trades; it is empty when that is not known.
    """

    account: str
    period: str
    tiles: list[Tile]
    warnings: list[str]
    bridge: str = ""


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
    beside = _beside(out)
    try:
        beside.write_text(page, encoding="utf-8")
        beside.replace(out)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise _not_writable(out, error.strerror) from error
    return out


def refuse_unwritable(out: Path) -> None:
    """Raise ``UsageError`` when no tear sheet can be written to ``out``; nothing is left there."""
    beside = _beside(out)
    try:
        if out.is_dir():
            raise UsageError(f"{out} is a directory; name a file in it, such as --out {out / 'report.html'}.")
        if not out.parent.is_dir():
            raise _not_writable(out, f"there is no directory {out.parent}")
        beside.touch()
        beside.unlink()
    except OSError as error:
        raise _not_writable(out, error.strerror) from error


def _beside(out: Path) -> Path:
    return out.with_name(f".{out.name}.{os.getpid()}")


def _not_writable(out: Path, why: str | None) -> UsageError:
    return UsageError(f"The tear sheet cannot be written to {out} ({why}); mend that or name another file with --out.")


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
    overall, still_open = readings.overall(account), readings.open_result(account)
    return Headline(
        account or NO_ACCOUNT,
        period,
        _tiles(overall, still_open),
        _warnings(overall),
        _bridge(days, overall, still_open),
    )


def _tiles(row: Row, still_open: Row) -> list[Tile]:
    """The headline figures of an account: what comes of its sessions, then what comes of its trades.

    ``row`` is that of all trades in ``performance_summary``, ``still_open`` adds up the open ones; without them the
    figures are dashes.
    """
    sessions, trades = row.get("sessions") or 0, row.get("trades") or 0
    total, won, each = row.get("total_return_pct"), row.get("win_rate"), row.get("expectancy")
    longest = f"longest: {figures.sessions(row.get('max_drawdown_sessions'))}" if sessions else ""
    of_trades = f"of {figures.counted(trades, 'trade')}" if trades else "no closed trade yet"
    r = f"{figures.multiple(row.get('expectancy_r'))} a trade"
    net = row.get("net_pnl") if trades else None
    positions = still_open.get("positions") or 0
    unrealized = still_open.get("unrealized_pnl") if positions else None
    pale = 0 < trades < FEW_TRADES
    return [
        Tile("Total return", figures.signed_percent(total, 2), _a_year(row, sessions), tone_of(total)),
        Tile("Max drawdown", figures.percent(row.get("max_drawdown_pct"), 2), longest),
        _yearly("Sharpe", row.get("sharpe"), sessions, f"± {figures.step(_sharpe_error(row))} standard error"),
        _yearly("Sortino", row.get("sortino"), sessions, "a year"),
        _yearly("Calmar", row.get("calmar"), sessions, "yearly return / drawdown"),
        Tile("Exposure", figures.percent(row.get("average_gross_exposure_pct")), "average gross, of capital"),
        Tile("Net profit", figures.signed_dollars(net), _commission(row) if trades else of_trades, tone_of(net)),
        Tile(UNREALISED, figures.signed_dollars(unrealized), _positions(positions), tone_of(unrealized)),
        Tile("Win rate", figures.share(won), _winners(row) if trades else of_trades, faint=pale),
        Tile("Profit factor", figures.ratio(row.get("profit_factor")), of_trades if pale or not trades else
             "won $ / lost $", faint=pale),
        Tile("Expectancy", figures.signed_dollars(each), r if trades else of_trades, tone_of(each), faint=pale),
        Tile("Average hold", figures.sessions(row.get("average_hold_sessions")),
             figures.hours(row.get("average_hold_hours")) if trades else of_trades),
    ]  # fmt: skip


def _yearly(label: str, value: float | None, sessions: int, note: str) -> Tile:
    """A ratio of a year, which a few sessions cannot give."""
    if sessions >= FEW_SESSIONS:
        return Tile(label, figures.ratio(value), note if figures.known(value) else "not defined")
    return Tile(label, TOO_FEW if sessions else figures.MISSING, figures.sessions(sessions), faint=bool(sessions))


def _a_year(row: Row, sessions: int) -> str:
    # A part of a year is not carried on for the whole: GIPS forbids it, and a few good days would be a fantasy.
    if sessions < SESSIONS_A_YEAR:
        return f"in {figures.sessions(sessions)}" if sessions else "no session yet"
    return f"{figures.signed_percent(row.get('annual_return_pct'))} a year"


def _sharpe_error(row: Row) -> float:
    """Standard error of a yearly Sharpe ratio of independent daily returns (Lo, Financial Analysts Journal, 2002)."""
    ratio, sessions = row.get("sharpe") or 0.0, max(row.get("sessions") or 0, 1)
    return round(math.sqrt((SESSIONS_A_YEAR + ratio**2 / 2) / sessions), 1)


def _warnings(row: Row) -> list[str]:
    sessions, trades = row.get("sessions") or 0, row.get("trades") or 0
    warnings = []
    if 0 < sessions < FEW_SESSIONS:
        warnings.append(
            f"{figures.sessions(sessions)}: too few for Sharpe, Sortino and Calmar, which need {FEW_SESSIONS}"
        )
    if 0 < trades < FEW_TRADES:
        counted = figures.counted(trades, "closed trade")
        warnings.append(f"{counted}: too few to tell skill from luck, so what rests on fewer than {FEW_TRADES} is grey")
    return warnings


def _bridge(days: list[Row], row: Row, still_open: Row) -> str:
    """How the change of equity comes of closed trades, of open positions and of what no trade explains."""
    start = starting_equity(days)
    if start is None or not still_open:
        return ""
    change, closed = days[-1]["equity"] - start, row.get("net_pnl") or 0.0
    unrealized, realized = still_open["unrealized_pnl"] or 0.0, still_open["net_pnl"] or 0.0
    rest = change - closed - unrealized - realized
    other = f", other {figures.signed_dollars(rest)} (prices of another moment, interest, cash moved)"
    other = other if abs(rest) >= DUST else ""
    return (
        f"Equity {figures.signed_dollars(change)} = net profit of closed trades {figures.signed_dollars(closed)}, "
        f"open positions {figures.signed_dollars(unrealized)} unrealised "
        f"and {figures.signed_dollars(realized)} realised (commission, parts closed){other}."
    )


def _positions(number: int) -> str:
    if not number:
        return "no open position"
    return f"{figures.counted(number, 'open position')}, before commission, not in net profit"


def _winners(row: Row) -> str:
    return f"{figures.count(row.get('winners'))} of {figures.counted(row.get('trades'), 'trade')}"


def _commission(row: Row) -> str:
    return f"closed trades, after {figures.dollars(row.get('commission') or 0.0)} commission"
