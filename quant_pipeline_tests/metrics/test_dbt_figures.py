"""The figures of the marts beside those of others: a ledger in plain Python, and empyrical for the returns."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import empyrical
import numpy as np
import pandas as pd
import pytest

from quant_pipeline.metrics.tear_sheet import FEW_SESSIONS
from quant_pipeline_tests.metrics.plain_ledger import Trade, keep
from quant_pipeline_tests.metrics.recorded_trading import DESK, NEW_YORK, SESSIONS, SLOT, Trading, record_trading
from quant_pipeline_tests.metrics.running_dbt import build

REAL_BARS = Path(__file__).parents[2].parent / "shared" / "data" / "us_daily.parquet"
REAL_SYMBOLS = ("SBUX", "SLB", "STX", "PYPL")
RISK_FREE_PCT = 2.0
RISK_FREE = RISK_FREE_PCT / 100 / 252
CAP = 120_000.0


@dataclass(frozen=True)
class Measured:
    """What was recorded, its marts, and the daily returns of the accounts that were given a series of equity."""

    trading: Trading
    ledger: dict[str, Trade]
    marts: duckdb.DuckDBPyConnection
    returns: dict[str, pd.Series]

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        found = self.marts.execute(sql, list(parameters))
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    scratch = tmp_path_factory.mktemp("figures")
    trading = record_trading(scratch / "home", seed=20261123)
    curves = {**random_curves(), **real_curves()}
    returns = record_curves(trading.published, curves)
    variables = f"{{risk_free_rate_pct: {RISK_FREE_PCT}}}"
    build(scratch, trading.published, "--exclude-resource-type", "unit_test", "--vars", variables)
    with duckdb.connect(trading.published, read_only=True) as marts:
        yield Measured(trading, keep(trading.fills), marts, returns)


def random_curves() -> dict[str, pd.Series]:
    """Equity by session: a quiet account, a wild one, one above its cap, one that only wins, one that stands still."""
    chance = np.random.default_rng(11)
    days = pd.bdate_range("2024-01-02", periods=260)
    daily = {
        "quiet": chance.normal(0.0004, 0.004, 260),
        "wild": chance.standard_t(3, 260) * 0.02,
        "capped": chance.normal(0.002, 0.01, 260),
        "winner": np.abs(chance.normal(0.001, 0.001, 260)),
        "still": np.zeros(260),
        "short": chance.normal(0, 0.01, 3),
    }
    return {name: pd.Series(100_000.0 * np.cumprod(1 + r), days[: len(r)]) for name, r in daily.items()}


def real_curves() -> dict[str, pd.Series]:
    """Equity that follows the closes of real stocks; none where the file is not there."""
    if not REAL_BARS.exists():
        return {}
    bars = duckdb.execute(
        f"SELECT symbol, date, close FROM '{REAL_BARS}' WHERE symbol IN {REAL_SYMBOLS} ORDER BY date"
    ).df()
    return {
        str(symbol): pd.Series(of["close"].to_numpy() * 1000.0, pd.DatetimeIndex(of["date"]))
        for symbol, of in bars.groupby("symbol")
    }


def record_curves(history: Path, curves: dict[str, pd.Series]) -> dict[str, pd.Series]:
    """Write a reading of the account a session into the history, all at once, and return its returns on capital."""
    readings = pd.concat(
        pd.DataFrame({"account": name, "day": curve.index, "equity": curve.to_numpy()})
        for name, curve in curves.items()
    )
    readings["capital"] = np.where(
        readings["account"] == "capped", readings["equity"].clip(upper=CAP), readings["equity"]
    )
    with duckdb.connect(history) as connection:
        connection.register("readings", readings)
        connection.execute(
            "CREATE TEMP TABLE numbered AS SELECT 1000000 + row_number() OVER () AS id, account, "
            "strftime(day, '%Y-%m-%d') || 'T15:45' AS slot, day::TIMESTAMPTZ AS read_at, equity, capital FROM readings"
        )
        connection.execute(
            "INSERT INTO lineage.materializations "
            "SELECT id, 'account', slot, account, '1', 's', 'd', 1, read_at, read_at FROM numbered"
        )
        connection.execute(
            "INSERT INTO main.account BY NAME SELECT id AS materialization_id, slot, 0 AS row_number, account, "
            "equity AS net_liquidation, capital, 0.0 AS deployed, capital AS available, read_at FROM numbered"
        )
    by_account = {name: of.set_index("day") for name, of in readings.groupby("account")}
    return {str(name): (of["equity"].diff() / of["capital"].shift()).iloc[1:] for name, of in by_account.items()}


def by_empyrical(name: str, returns: pd.Series, **given: float) -> float:
    return float(getattr(empyrical, name)(returns, **given))


def near(value: object, expected: float) -> bool:
    """Equal to 1e-9; what empyrical says is infinite or not a number has no value in the marts."""
    if not math.isfinite(expected):
        return value is None
    return isinstance(value, float) and math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9)


def test_every_trade_is_the_one_of_the_ledger(measured: Measured) -> None:
    found = {row["trade_id"]: row for row in measured.rows("SELECT * FROM metrics.trades")}
    assert found.keys() == measured.ledger.keys()
    assert len(found) > 300
    for trade in measured.ledger.values():
        row = found[trade.trade_id]
        exact = {
            "account": trade.account, "symbol": trade.symbol, "direction": trade.direction,
            "status": "closed" if trade.closed_at else "open", "opened_at": trade.opened_at,
            "closed_at": trade.closed_at, "entry_fills": trade.entry_fills, "exit_fills": trade.exit_fills,
            "commissions_known": trade.commissions_known,
        }  # fmt: skip
        assert {name: row[name] for name in exact} == exact
        figures = {
            "entry_quantity": trade.entered, "exit_quantity": trade.exited, "open_quantity": trade.held,
            "entry_price": trade.entry_value / trade.entered, "gross_pnl": trade.gross, "net_pnl": trade.net,
            "commission": trade.commission, "net_pnl_pct": 100 * trade.net / trade.entry_value,
        }  # fmt: skip
        wrong = {
            name: (row[name], float(value)) for name, value in figures.items() if not near(row[name], float(value))
        }
        assert wrong == {}, trade.trade_id
        if trade.exited:
            assert near(row["exit_price"], float(trade.exit_value / trade.exited))


def test_profits_are_the_cash_that_came_in_and_what_is_held(measured: Measured) -> None:
    sums = measured.rows(
        "SELECT account, symbol, sum(net_pnl) + coalesce(sum(unrealized_pnl), 0) AS profit, "
        "sum(CASE direction WHEN 'LONG' THEN open_quantity ELSE -open_quantity END) AS position, "
        "coalesce(sum(CASE direction WHEN 'LONG' THEN 1 ELSE -1 END * open_quantity * last_price), 0) AS worth "
        "FROM metrics.trades GROUP BY account, symbol"
    )
    for row in sums:
        own = [
            fill for fill in measured.trading.fills if (fill.account, fill.symbol) == (row["account"], row["symbol"])
        ]
        signed = [(1 if fill.side == "BUY" else -1) * fill.quantity for fill in own]
        cash = sum(-shares * fill.price - (fill.commission or 0.0) for shares, fill in zip(signed, own, strict=True))
        assert math.isclose(row["position"], sum(signed), abs_tol=1e-9)
        assert math.isclose(row["profit"], cash + row["worth"], rel_tol=1e-9, abs_tol=1e-7)


def test_excursions_are_those_of_the_prices_seen_while_held(measured: Measured) -> None:
    rows = measured.rows("SELECT trade_id, mae, mfe, last_price, entry_price, entry_quantity FROM metrics.trades")
    for row in rows:
        trade = measured.ledger[row["trade_id"]]
        seen = prices_seen(trade, measured.trading)
        moves = [trade.sign * (price - row["entry_price"]) * row["entry_quantity"] for price in seen]
        assert near(row["mae"], min(0.0, *moves)), trade.trade_id
        assert near(row["mfe"], max(0.0, *moves)), trade.trade_id
        assert (row["last_price"] is None) == (trade.closed_at is not None)


def prices_seen(trade: Trade, trading: Trading) -> list[float]:
    ended = trade.closed_at or dt.datetime.max.replace(tzinfo=dt.UTC)
    marks = [
        mark.price
        for mark in trading.seen
        if mark.symbol == trade.symbol and mark.account in (None, trade.account)
        if trade.opened_at <= mark.at <= ended
    ]
    first, last = trade.opened_at.astimezone(NEW_YORK).date(), ended.astimezone(NEW_YORK).date()
    whole = [
        extreme
        for (symbol, session), extremes in trading.whole_sessions.items()
        if symbol == trade.symbol and first < session < last
        for extreme in extremes
    ]
    return [*trade.prices, *marks, *whole]


def test_brackets_are_told_from_their_entry_to_their_end(measured: Measured) -> None:
    told = measured.rows(
        "SELECT symbol, direction, status, entry_order_ref, entry_slot, exit_reason, holding_sessions, initial_stop, "
        "initial_risk, round(r_multiple, 6) AS r FROM metrics.trades WHERE account = ? ORDER BY trade_id",
        DESK,
    )
    alfa_risk = (60 * 100.0 + 30 * 100.5) - 90 * 96.0
    alfa_net = 90 * 111.0 - (60 * 100.0 + 30 * 100.5) - 3
    brvo_net = 50 * 80.0 - 20 * 82.0 - 30 * 82.1 - 3
    assert told == [
        {"symbol": "ALFA", "direction": "LONG", "status": "closed", "entry_order_ref": f"{SLOT}:ALFA:entry",
         "entry_slot": SLOT, "exit_reason": "target", "holding_sessions": 2, "initial_stop": 96.0,
         "initial_risk": pytest.approx(alfa_risk), "r": round(alfa_net / alfa_risk, 6)},
        {"symbol": "BRVO", "direction": "SHORT", "status": "closed", "entry_order_ref": f"{SLOT}:BRVO:entry",
         "entry_slot": SLOT, "exit_reason": "stop", "holding_sessions": 1, "initial_stop": 82.0, "initial_risk": 100.0,
         "r": round(brvo_net / 100, 6)},
        {"symbol": "CHRL", "direction": "LONG", "status": "closed", "entry_order_ref": f"{SLOT}:CHRL:entry",
         "entry_slot": SLOT, "exit_reason": "manual", "holding_sessions": 1, "initial_stop": 48.0, "initial_risk": 20.0,
         "r": round((10 - 1 - 0.4) / 20, 6)},
        {"symbol": "CHRL", "direction": "SHORT", "status": "open", "entry_order_ref": None, "entry_slot": None,
         "exit_reason": None, "holding_sessions": 4, "initial_stop": None, "initial_risk": None, "r": None},
    ]  # fmt: skip


def test_days_count_the_trades_and_fills_of_their_account(measured: Measured) -> None:
    days = measured.rows("SELECT * FROM metrics.daily_metrics WHERE account = ? ORDER BY session", DESK)
    assert [(day["session"], day["trades_opened"], day["trades_closed"], day["slots"]) for day in days] == [
        (SESSIONS[0], 3, 0, 3), (SESSIONS[1], 1, 2, 3), (SESSIONS[2], 0, 1, 3), (SESSIONS[3], 0, 0, 3),
        (SESSIONS[4], 0, 0, 3), (SESSIONS[5], 0, 0, 3),
    ]  # fmt: skip
    assert days[2]["traded_value"] == 90 * 111.0
    assert all(near(day["turnover_pct"], 100 * day["traded_value"] / day["capital"]) for day in days)
    assert all(
        near(day["gross_exposure_pct"] * day["capital"] / 100, day["long_value"] + day["short_value"]) for day in days
    )


def test_returns_compound_and_fall_as_empyrical_says(measured: Measured) -> None:
    for account, returns in measured.returns.items():
        days = measured.rows("SELECT * FROM metrics.daily_metrics WHERE account = ? ORDER BY session", account)
        assert days[0]["return_pct"] is None
        assert all(near(day["return_pct"], 100 * r) for day, r in zip(days[1:], returns, strict=True)), account
        growth = pd.Series(empyrical.cum_returns(returns))
        assert all(near(day["cumulative_return_pct"], 100 * g) for day, g in zip(days[1:], growth, strict=True)), (
            account
        )
        for length in range(2, len(returns), 37):
            lowest = by_empyrical("max_drawdown", returns.iloc[:length])
            assert near(days[length]["max_drawdown_pct"], 100 * lowest), account


def test_ratios_are_those_of_empyrical(measured: Measured) -> None:
    for account, returns in measured.returns.items():
        (summary,) = measured.rows("SELECT * FROM metrics.performance_summary WHERE account = ?", account)
        deepest = by_empyrical("max_drawdown", returns)
        expected = {
            "total_return_pct": 100 * by_empyrical("cum_returns_final", returns),
            "annual_return_pct": 100 * by_empyrical("annual_return", returns),
            "max_drawdown_pct": 100 * deepest,
            "volatility_pct": 100 * by_empyrical("annual_volatility", returns),
            "sharpe": by_empyrical("sharpe_ratio", returns, risk_free=RISK_FREE),
            "sortino": by_empyrical("sortino_ratio", returns, required_return=RISK_FREE),
            "calmar": by_empyrical("calmar_ratio", returns),
        }
        if summary["sessions"] < FEW_SESSIONS:
            expected |= dict.fromkeys(("annual_return_pct", "volatility_pct", "sharpe", "sortino", "calmar"), math.nan)
        wrong = {name: (summary[name], value) for name, value in expected.items() if not near(summary[name], value)}
        assert wrong == {}, account
        assert summary["sessions"] == len(returns) + 1
        assert (summary["calmar"] is None) == (deepest == 0 or summary["sessions"] < FEW_SESSIONS)


def test_ratios_to_date_are_those_of_the_returns_so_far(measured: Measured) -> None:
    for account in ("quiet", "wild"):
        returns = measured.returns[account]
        days = measured.rows("SELECT * FROM metrics.daily_metrics WHERE account = ? ORDER BY session", account)
        for length in (2, 3, 20, 100):
            so_far = returns.iloc[:length]
            assert near(days[length]["sharpe"], by_empyrical("sharpe_ratio", so_far, risk_free=RISK_FREE))
            assert near(days[length]["sortino"], by_empyrical("sortino_ratio", so_far, required_return=RISK_FREE))
            assert near(days[length]["volatility_pct"], 100 * by_empyrical("annual_volatility", so_far))


def test_an_account_that_stands_still_has_no_ratio(measured: Measured) -> None:
    (summary,) = measured.rows("SELECT * FROM metrics.performance_summary WHERE account = 'still'")
    assert (summary["sharpe"], summary["calmar"], summary["volatility_pct"]) == (None, None, 0.0)
    assert summary["total_return_pct"] == 0.0


def test_the_summary_is_the_sum_of_its_trades(measured: Measured) -> None:
    for row in measured.rows("SELECT * FROM metrics.performance_summary WHERE scope = 'all' AND trades > 0"):
        closed = [t for t in measured.ledger.values() if t.account == row["account"] and t.closed_at]
        nets = [float(trade.net) for trade in closed]
        profit, loss = sum(net for net in nets if net > 0), sum(net for net in nets if net < 0)
        assert (row["trades"], row["winners"]) == (len(nets), sum(net > 0 for net in nets))
        assert near(row["gross_profit"], profit)
        assert near(row["gross_loss"], loss)
        assert near(row["expectancy"], sum(nets) / len(nets))
        assert row["profit_factor"] is None if loss == 0 else near(row["profit_factor"], profit / -loss)
