"""The panels: readable at 80 columns whatever the figures, and reasons told once."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from quant_pipeline.cli import panels
from quant_pipeline.cli.run_slot import Funnel, SlotReport


def shown(panel: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(panel)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def report(**frames: pd.DataFrame) -> SlotReport:
    reasons = pd.DataFrame({"symbol": pd.Series(dtype=str), "reason": pd.Series(dtype=str)})
    refused = reasons.assign(outcome=pd.Series(dtype=str))
    empty = {"quality_filter": reasons, "sized_orders": reasons, "executions": refused}
    return SlotReport("2026-11-20T10:15", "run", Funnel(100, 99, 88, 88, 55, 44, 132), {"total": 3.0}, empty | frames)


def position(**changes: Any) -> dict[str, Any]:
    return {
        "symbol": "AAPL",
        "direction": "LONG",
        "quantity": 90.0,
        "entry": 150.25,
        "current": 153.40,
        "stop": 145.80,
        "target": 161.38,
        "unrealized_pnl": 283.5,
        "unrealized_pct": 2.1,
    } | changes


def status(**changes: Any) -> dict[str, Any]:
    return {
        "capital": 100_000.0,
        "deployed": 13_806.0,
        "available": 86_194.0,
        "utilization_pct": 13.8,
        "positions": 1,
        "long": 1,
        "short": 0,
        "working_entries": 0,
        "total_risk": 684.0,
        "total_risk_pct": 0.684,
        "unrealized_pnl": 283.5,
        "daily_pnl": -1_250.0,
        "long_value": 13_806.0,
        "short_value": 0.0,
        "gross_exposure_pct": 13.806,
        "net_exposure_pct": 13.806,
        "open_positions": [position()],
    } | changes


def test_the_worked_example_is_shown_to_the_cent() -> None:
    text = shown(panels.portfolio_panel(status(), "Portfolio"))
    row = next(line for line in text.splitlines() if "AAPL" in line)
    assert row.strip("│ ").split() == [
        "AAPL", "LONG", "90", "150.25", "153.40", "145.80", "161.38", "+283.50", "+2.1",
    ]  # fmt: skip
    assert "+$283.50" in text


def test_exposure_and_the_days_result_are_shown_with_their_signs() -> None:
    short = status(long_value=0.0, short_value=13_806.0, net_exposure_pct=-13.806)
    rows = [line.strip("│ ").split("   ") for line in shown(panels.portfolio_panel(short, "Portfolio")).splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert ["gross exposure", "13.8 %", "that loss in %", "0.68 %"] in cells
    assert ["net exposure", "-13.8 %", "long value", "$0.00"] in cells
    assert ["unrealised P&L", "+$283.50", "short value", "$13,806.00"] in cells
    assert ["day's P&L", "-$1,250.00", "day's P&L in %", "-1.25 %"] in cells


def test_what_was_not_recorded_or_not_said_is_unknown_and_not_zero() -> None:
    missing = dict.fromkeys(
        ("daily_pnl", "long_value", "short_value", "gross_exposure_pct", "net_exposure_pct"), float("nan")
    )
    text = shown(panels.portfolio_panel(status(**missing), "Portfolio"))
    assert text.count("unknown") == 6
    assert "nan" not in text


def test_a_position_without_stop_or_target_says_so() -> None:
    text = shown(panels.portfolio_panel(status(open_positions=[position(stop=None, target=float("nan"))]), "Portfolio"))
    assert text.count("none") == 2


def test_a_result_that_rounds_to_nothing_has_no_sign() -> None:
    nothing = position(unrealized_pnl=-0.001, unrealized_pct=-0.0)
    text = shown(panels.portfolio_panel(status(unrealized_pnl=-0.0, open_positions=[nothing]), "Portfolio"))
    assert "-0.0" not in text
    assert "+0.0" not in text
    assert "$0.00" in text


def test_it_says_how_many_positions_are_not_listed() -> None:
    assert "The best 1 by P&L of 48 positions." in shown(panels.portfolio_panel(status(positions=48), "Portfolio"))
    assert "largest" not in shown(panels.portfolio_panel(status(), "Portfolio"))


def test_the_worst_positions_are_not_hidden_behind_the_best() -> None:
    losers = [position(symbol=symbol, unrealized_pnl=-pnl) for symbol, pnl in
              (("BRK.B", 999_999.99), ("GOOGL", 888_888.88), ("ZORUX", 777_777.77))]  # fmt: skip
    text = shown(panels.portfolio_panel(status(positions=48, worst_positions=losers), "Portfolio"))
    assert "│ The worst: BRK.B -999,999.99, GOOGL -888,888.88, ZORUX -777,777.77. " in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "The worst" not in shown(panels.portfolio_panel(status(worst_positions=None), "Portfolio"))


@given(
    price=st.floats(0.01, 9_999.99),
    quantity=st.integers(-99_999, 99_999),
    profit=st.floats(-999_999.0, 999_999.0),
    capital=st.floats(0.0, 99_999_999.0),
)
def test_no_figure_is_cut_or_wrapped_at_80_columns(price: float, quantity: int, profit: float, capital: float) -> None:
    held = position(
        symbol="BRK.B", direction="SHORT", quantity=float(quantity), entry=price, current=price, stop=price,
        target=price, unrealized_pnl=profit, unrealized_pct=-99.9,
    )  # fmt: skip
    figures = status(
        capital=capital, deployed=capital, long_value=capital, short_value=capital, daily_pnl=-capital,
        unrealized_pnl=-capital, total_risk=capital, gross_exposure_pct=399.9, net_exposure_pct=-399.9,
    )  # fmt: skip
    text = shown(panels.portfolio_panel({**figures, "open_positions": [held]}, "Portfolio"))
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert text.count(f"${capital:,.2f}") >= 5
    assert "-399.9 %" in text
    row = next(line for line in lines if "BRK.B" in line).split()
    assert row.count(f"{price:,.2f}") == 4
    assert f"{abs(quantity):,}" in row
    assert "-99.9" in row


def test_the_funnel_draws_its_bars_in_proportion() -> None:
    bars = [line.count("█") for line in shown(panels.funnel_panel(report())).splitlines() if "█" in line]
    assert bars == sorted(bars, reverse=True)
    assert bars[0] == panels.BAR_WIDTH
    assert bars[-1] == round(panels.BAR_WIDTH * 0.44)


def test_orders_that_were_there_before_are_not_passed_over() -> None:
    legs = pd.DataFrame({"symbol": ["AA"] * 3, "reason": [None] * 3, "outcome": ["already_working"] * 3})
    lines = shown(panels.funnel_panel(report(executions=legs))).splitlines()
    assert lines[-2].strip("│ ").split()[0] == "3"
    assert "were with the broker already" in lines[-2]
    assert "already" not in shown(panels.funnel_panel(report()))


def test_reasons_that_differ_in_figures_and_names_are_counted_as_one() -> None:
    rejected = pd.DataFrame(
        {
            "symbol": ["AA", "BB", "CC", "DD", "EE"],
            "reason": [
                "spread 0.20 % is not below 0.15 %",
                "spread 0.31 % is not below 0.15 %",
                "trading is halted",
                None,
                "allow_duplicate_symbols: AAPL is already held or on order",
            ],
        }
    )
    lines = shown(panels.rejections_table(report(quality_filter=rejected))).splitlines()[2:]
    assert [line.split()[:2] for line in lines] == [["filter", "2"], ["filter", "1"], ["filter", "1"]]
    assert "e.g. spread 0.20 % is not below 0.15 %" in lines[0]
    assert "e.g." not in lines[1]


def test_limits_of_different_names_stay_apart() -> None:
    refused = pd.DataFrame(
        {
            "symbol": ["AA", "BB"],
            "reason": ["max_position_pct: 5 % is the limit", "max_total_risk_pct: 20 % is the limit"],
        }
    )
    text = shown(panels.rejections_table(report(sized_orders=refused)))
    assert "max_position_pct" in text
    assert "max_total_risk_pct" in text


def test_a_bracket_that_is_not_sent_counts_as_one_stock_not_as_three_orders() -> None:
    legs = pd.DataFrame({"symbol": ["AA"] * 3, "reason": ["no shares to short"] * 3, "outcome": ["refused"] * 3})
    text = shown(panels.rejections_table(report(executions=legs)))
    assert text.splitlines()[-1].split()[:2] == ["sending", "1"]


def test_when_nothing_was_rejected_it_says_that() -> None:
    assert shown(panels.rejections_table(report())).strip() == "Nothing was rejected."


def test_the_timings_name_the_longest_assets() -> None:
    text = shown(panels.timings_text({"quotes": 2.0, "bars": 3.0, "scores": 0.1, "fills": 0.2, "a": 0.0, "total": 6.0}))
    assert text.strip() == "The slot took 6.0 s (longest: bars 3.0, quotes 2.0, fills 0.2, scores 0.1)."
