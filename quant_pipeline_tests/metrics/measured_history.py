"""Generated histories with metrics in them, for tests of what reads the metrics.

The layout is the real one and the tables of ``metrics`` have the columns that the marts have by contract; their figures
are made up from a seed, but hang together: what is added up of the trades is added up in SQL here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import yaml
from duckdb import DuckDBPyConnection

from quant_pipeline.automation.sessions import next_session
from quant_pipeline.history import schema
from quant_pipeline.metrics.project import PROJECT

COMPONENTS = ("total", "momentum", "mean_reversion", "volatility", "volume", "microstructure")
CAPITAL = 100_000.0
FIRST = dt.date(2026, 1, 2)

MARTS = PROJECT / "models" / "marts" / "_marts.yml"


@dataclass(frozen=True)
class Scenario:
    """What an account has done: so many sessions, trades closed in each, positions still open, slots a session."""

    account: str = "DU1111111"
    sessions: int = 12
    trades_a_session: int = 3
    open_positions: int = 4
    slots_a_session: int = 6
    seed: int = 7
    symbols: tuple[str, ...] = ("ALFA", "BRVO", "CHRL", "DLTA", "ECHO", "FXTR", "GOLF", "HOTL")


def write_history(path: Path, *scenarios: Scenario) -> Path:
    """Write a history with the metrics of the scenarios; without one, a history in which nothing was measured."""
    connection = duckdb.connect(str(path))
    try:
        schema.ensure(connection)
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "INSERT INTO lineage.materializations VALUES (1, 'account', '2026-01-02T10:15', 'run', '0.1.0', "
            "'0123456789abcdef', 'hash', 0, '2026-01-02 15:15:00+00', '2026-01-02 15:15:01+00')"
        )
        if scenarios:
            for table, columns in contracts().items():
                declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
                connection.execute(f"CREATE TABLE metrics.{table} ({declared})")
        for scenario in scenarios or (Scenario(),):
            connection.execute(_ACCOUNT, [scenario.account])
        for scenario in scenarios:
            _measure(connection, scenario)
    finally:
        connection.close()
    return path


@cache
def contracts() -> dict[str, dict[str, str]]:
    """The tables of ``metrics`` with the names and SQL types of their columns, as dbt enforces them."""
    models = yaml.safe_load(MARTS.read_text(encoding="utf-8"))["models"]
    return {
        model["name"]: {column["name"]: column["data_type"] for column in model["columns"]}
        for model in models
        if model["name"] != "signal_history"
    }


def sessions_from(first: dt.date, count: int) -> list[dt.date]:
    """So many sessions from a day on."""
    days = [first]
    while len(days) < count:
        days.append(next_session(days[-1]).day)
    return days


def _measure(connection: DuckDBPyConnection, scenario: Scenario) -> None:
    numbers = np.random.default_rng(scenario.seed)
    days = sessions_from(FIRST, scenario.sessions)
    _insert(connection, "trades", _trades(scenario, days, numbers))
    _insert(connection, "daily_metrics", _daily(scenario, days, connection, numbers))
    _insert(connection, "signal_quality", _quality(scenario, numbers))
    _insert(connection, "slot_health", _slots(scenario, days, numbers))
    connection.execute(_SUMMARY, {"account": scenario.account})


def _insert(connection: DuckDBPyConnection, table: str, frame: pd.DataFrame) -> None:
    if len(frame):
        connection.register("made_up", frame)
        connection.execute(f"INSERT INTO metrics.{table} BY NAME SELECT * FROM made_up")
        connection.unregister("made_up")


def _trades(scenario: Scenario, days: list[dt.date], numbers: np.random.Generator) -> pd.DataFrame:
    closed = scenario.sessions * scenario.trades_a_session
    rows = closed + scenario.open_positions
    if not rows:
        return pd.DataFrame()
    is_open = np.arange(rows) >= closed
    session = np.where(is_open, len(days) - 1, np.arange(rows) // max(scenario.trades_a_session, 1))
    held = np.minimum(numbers.integers(0, 6, rows), session)
    minutes = numbers.integers(600, 950, rows)
    ends, starts = _instants(days, session, minutes), _instants(days, session - held, minutes)
    side = np.where(numbers.random(rows) < 0.6, 1, -1)
    entry = numbers.uniform(12, 300, rows).round(2)
    risk = (entry * numbers.uniform(0.01, 0.03, rows)).round(2)
    quantity = (4_000 // entry).clip(1)
    reason = numbers.choice(["target", "stop", "exit", "manual"], rows, p=[0.26, 0.56, 0.16, 0.02])
    moved = np.where(reason == "target", 2.5, np.where(reason == "stop", -1.0, numbers.normal(-0.1, 0.6, rows)))
    moved = moved + numbers.normal(0, 0.05, rows)
    ended_by = [None if still else str(leg) for still, leg in zip(is_open, reason, strict=True)]
    pnl = (moved * risk * quantity).round(2)
    initial = (risk * quantity).round(2)
    net = (pnl - 2).round(2)
    symbol = numbers.choice(scenario.symbols, rows)
    refs = [f"{at:%Y-%m-%dT%H:%M}:{name}:entry" for at, name in zip(starts.floor("15min"), symbol, strict=True)]
    best, worst = np.maximum(pnl, 0) + initial * 0.2, np.minimum(pnl, 0) - initial * 0.2
    return pd.DataFrame(
        {
            "trade_id": [f"{scenario.account}.{number:06d}" for number in range(rows)],
            "account": scenario.account, "symbol": symbol, "direction": np.where(side > 0, "LONG", "SHORT"),
            "status": np.where(is_open, "open", "closed"), "entry_order_ref": refs,
            "entry_slot": [ref[:16] for ref in refs], "exit_reason": ended_by,
            "entry_quantity": quantity, "exit_quantity": np.where(is_open, 0, quantity),
            "open_quantity": np.where(is_open, quantity, 0), "entry_price": entry,
            "exit_price": np.where(is_open, np.nan, (entry + side * moved * risk).round(2)),
            "opened_at": starts, "closed_at": pd.Series(ends).mask(is_open), "entry_fills": 1,
            "exit_fills": np.where(is_open, 0, 1), "holding_hours": held * 24.0, "holding_sessions": held,
            "gross_pnl": np.where(is_open, 0.0, pnl), "commission": 2.0,
            "commissions_known": numbers.random(rows) < 0.97,
            "net_pnl": np.where(is_open, -1.0, net), "net_pnl_pct": 100 * net / (entry * quantity),
            "initial_stop": (entry - side * risk).round(2), "initial_target": (entry + side * 2.5 * risk).round(2),
            "initial_risk": initial, "r_multiple": np.where(is_open, np.nan, net / initial),
            "mae": worst, "mfe": best, "mae_r": worst / initial, "mfe_r": best / initial,
            "last_price": np.where(is_open, (entry + side * 0.4 * moved * risk).round(2), np.nan),
            "unrealized_pnl": np.where(is_open, (0.4 * pnl).round(2), np.nan),
        }
    )  # fmt: skip


def _instants(days: list[dt.date], places: np.ndarray, minutes: np.ndarray) -> pd.DatetimeIndex:
    """Minutes of the day on the sessions at the places."""
    midnights = pd.DatetimeIndex([days[place] for place in places])
    return (midnights + pd.to_timedelta(minutes, unit="min")).tz_localize("America/New_York")


def _daily(
    scenario: Scenario, days: list[dt.date], connection: DuckDBPyConnection, numbers: np.random.Generator
) -> pd.DataFrame:
    closed = connection.execute(
        "SELECT CAST(closed_at AS DATE) AS session, sum(net_pnl) AS pnl, count(*) AS trades FROM metrics.trades "
        "WHERE account = ? AND status = 'closed' GROUP BY ALL", [scenario.account]
    ).df()  # fmt: skip
    by_day = {at.date(): (pnl, trades) for at, pnl, trades in closed.itertuples(index=False)}
    pnl = np.array([by_day.get(day, (0.0, 0))[0] for day in days]) + numbers.normal(0, 900, len(days))
    if scenario.slots_a_session == 1:
        pnl[0] = 0.0  # a single reading has no other to be measured from
    equity = CAPITAL + pnl.cumsum()
    returns = 100 * pnl / np.concatenate([[CAPITAL], equity[:-1]])
    if scenario.slots_a_session == 1:
        pnl[0] = returns[0] = np.nan
    top = np.maximum.accumulate(np.maximum(equity, CAPITAL))
    fall = 100 * (equity / top - 1)
    since = np.zeros(len(days), dtype=int)
    for at in range(len(days)):
        since[at] = since[at - 1] + 1 if fall[at] < 0 else 0
    long, short = numbers.uniform(20_000, 50_000, len(days)), numbers.uniform(8_000, 30_000, len(days))
    trades = [by_day.get(day, (0.0, 0))[1] for day in days]
    return pd.DataFrame(
        {
            "account": scenario.account, "session": days, "equity": equity, "capital": equity, "pnl": pnl,
            "return_pct": returns, "cumulative_return_pct": 100 * (equity / CAPITAL - 1), "drawdown_pct": fall,
            "max_drawdown_pct": np.minimum.accumulate(fall), "drawdown_sessions": since, "deployed": long + short,
            "long_value": long, "short_value": short, "gross_exposure_pct": 100 * (long + short) / equity,
            "net_exposure_pct": 100 * (long - short) / equity, "open_positions": 20, "trades_opened": trades,
            "trades_closed": trades, "commission": 2.0, "traded_value": 80_000.0, "turnover_pct": 80.0,
            "slots": scenario.slots_a_session,
        }
    )  # fmt: skip


def _quality(scenario: Scenario, numbers: np.random.Generator) -> pd.DataFrame:
    trades = scenario.sessions * scenario.trades_a_session
    rows = [
        {
            "account": scenario.account, "component": component, "bin_low": low, "bin_high": low + 10,
            "signals": 20 * trades, "orders": 2 * trades, "filled": trades, "trades": int(trades * weight),
            "win_rate": numbers.uniform(0.3, 0.5), "average_r": numbers.normal(0.1, 0.15),
            "expectancy": numbers.normal(8, 9), "net_pnl": numbers.normal(800, 900),
            "predicted_win_probability": 0.20 + low / 500, "hit_target_share": numbers.uniform(0.22, 0.42),
        }
        for component in COMPONENTS
        for low, weight in zip((40.0, 50.0, 60.0, 70.0, 80.0), (0.05, 0.1, 0.5, 0.3, 0.05), strict=True)
        if trades and (component != "total" or low >= 60)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _slots(scenario: Scenario, days: list[dt.date], numbers: np.random.Generator) -> pd.DataFrame:
    slots = [
        f"{day}T{(570 + 15 * at) // 60:02d}:{(570 + 15 * at) % 60:02d}"
        for day in days
        for at in range(scenario.slots_a_session)
    ]
    count = len(slots)
    passed = numbers.integers(78, 91, count)
    scored = passed - numbers.integers(0, 3, count)
    above = numbers.integers(40, 60, count)
    approved = numbers.integers(0, 8, count)
    return pd.DataFrame(
        {
            "slot": slots, "account": scenario.account, "scanned": 100, "passed_quality": passed,
            "share_passed": passed / 100, "scored": scored, "above_threshold": above, "approved": approved,
            "legs_sent": approved * 3, "legs_already_working": 0, "legs_refused": numbers.integers(0, 2, count) * 3,
            "rejected": 100 - passed, "refused": above - approved,
            "top_rejection": numbers.choice(["spread # % is not below # %", "price # is not above #"], count),
            "top_limit": numbers.choice(["max_utilization_pct", "allow_duplicate_symbols"], count),
            "top_refusal": "the stock cannot be borrowed <now & then>", "observe_seconds": numbers.gamma(4, 0.4, count),
            "decide_seconds": 0.1, "act_seconds": numbers.gamma(3, 0.2, count), "measure_seconds": 0.3,
            "run_seconds": numbers.gamma(5, 0.5, count),
        }
    )  # fmt: skip


_ACCOUNT = """
    INSERT INTO main.account BY NAME
    SELECT 1 AS materialization_id, '2026-01-02T10:15' AS slot, 0 AS row_number, ? AS account,
        100000.0 AS net_liquidation, 100000.0 AS capital, 0.0 AS deployed, 100000.0 AS available,
        '2026-01-02 15:15:00+00'::TIMESTAMPTZ AS read_at"""
_SUMMARY = """
    INSERT INTO metrics.performance_summary BY NAME
    WITH trades AS (SELECT *, status = 'closed' AS done FROM metrics.trades WHERE account = $account),
    scoped AS (
        SELECT 'all' AS scope, 'all' AS value, * FROM trades
        UNION ALL SELECT 'direction', direction, * FROM trades
        UNION ALL SELECT 'exit_reason', exit_reason, * FROM trades WHERE done),
    scopes AS (SELECT scope, value FROM scoped UNION SELECT 'all', 'all'),
    counted AS (
        SELECT scope, value, count(*) FILTER (done) AS trades, count(*) FILTER (NOT done) AS open_trades,
            count(*) FILTER (done AND net_pnl > 0) AS winners, count(*) FILTER (done AND net_pnl < 0) AS losers,
            sum(net_pnl) FILTER (done AND net_pnl > 0) AS gross_profit,
            sum(net_pnl) FILTER (done AND net_pnl < 0) AS gross_loss,
            avg(net_pnl) FILTER (done AND net_pnl > 0) AS average_win,
            avg(net_pnl) FILTER (done AND net_pnl < 0) AS average_loss,
            max(net_pnl) FILTER (done) AS largest_win, min(net_pnl) FILTER (done) AS largest_loss,
            avg(net_pnl) FILTER (done) AS expectancy, avg(r_multiple) AS average_r, avg(r_multiple) AS expectancy_r,
            avg(holding_hours) FILTER (done) AS average_hold_hours,
            avg(holding_sessions) FILTER (done) AS average_hold_sessions,
            sum(net_pnl) FILTER (done) AS net_pnl, sum(commission) FILTER (done) AS commission
        FROM scoped GROUP BY scope, value),
    ratios AS (
        SELECT 'all' AS scope, count(*) AS sessions, 100 * (product(1 + return_pct / 100) - 1) AS total_return_pct,
            stddev_samp(return_pct) * sqrt(252) AS volatility_pct, max(drawdown_sessions) AS max_drawdown_sessions,
            sqrt(252) * avg(return_pct) / nullif(stddev_samp(return_pct), 0) AS sharpe,
            sqrt(252) * avg(return_pct) / nullif(sqrt(avg(least(return_pct, 0) ** 2)), 0) AS sortino,
            min(drawdown_pct) AS max_drawdown_pct, avg(gross_exposure_pct) AS average_gross_exposure_pct
        FROM metrics.daily_metrics WHERE account = $account)
    SELECT $account AS account, coalesce(trades, 0) AS trades, coalesce(winners, 0) AS winners,
        coalesce(losers, 0) AS losers, coalesce(open_trades, 0) AS open_trades, coalesce(net_pnl, 0) AS net_pnl,
        coalesce(gross_profit, 0) AS gross_profit, coalesce(gross_loss, 0) AS gross_loss,
        coalesce(commission, 0) AS commission, winners / nullif(trades, 0) AS win_rate,
        gross_profit / abs(gross_loss) AS profit_factor, total_return_pct AS annual_return_pct,
        total_return_pct / nullif(-max_drawdown_pct, 0) AS calmar, 80.0 AS turnover_pct,
        * EXCLUDE (trades, winners, losers, open_trades, net_pnl, gross_profit, gross_loss, commission)
    FROM scopes LEFT JOIN counted USING (scope, value) LEFT JOIN ratios USING (scope)"""
_ACCOUNT = """
    INSERT INTO main.account BY NAME
    SELECT 1 AS materialization_id, '2026-01-02T10:15' AS slot, 0 AS row_number, ? AS account,
        100000.0 AS net_liquidation, 100000.0 AS capital, 0.0 AS deployed, 100000.0 AS available,
        '2026-01-02 15:15:00+00'::TIMESTAMPTZ AS read_at"""
