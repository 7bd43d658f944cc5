"""Each limit passes at its value and refuses a cent beyond it, with its name, the figure in dollars and in percent."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_pipeline.errors import SettingsError
from quant_pipeline.quant.risk_limits import DECIMALS
from quant_pipeline.settings import load_settings
from quant_pipeline_tests.quant.market_data import account_of, orders_of, portfolio_of
from quant_pipeline_tests.quant.risk_room import allowed_by, figure_of, moving, offers, refusal, size

FIFTY_LONG = offers(("NEW", 80, 100.0, 98.0))
FIFTY_SHORT = offers(("NEW", 80, 100.0, 102.0))
STEPS = np.random.default_rng(1).normal(0.0, 0.02, (2, 61))
CENT = 0.01


@dataclass(frozen=True)
class Case:
    """One limit: inputs that meet it exactly when nothing is added, and exceed it by what is."""

    limit: str
    words: str
    settings: dict[str, Any] = field(default_factory=dict)
    rows: pd.DataFrame = field(default_factory=lambda: FIFTY_LONG)
    held: float = 0.0
    """Dollars in a position in HELD without a stop; negative is short."""
    waiting: float = 0.0
    """Dollars in a working entry into WAIT without a stop; negative is a SELL."""
    deployed: float = 0.0
    daily_pnl: float = 0.0
    bars: pd.DataFrame = field(default_factory=lambda: moving())
    adds_to: str = "held"

    def inputs(self, excess: float) -> dict[str, Any]:
        """What ``size`` takes; ``excess`` dollars are added to the figure of ``adds_to``."""
        figures = {"held": self.held, "waiting": self.waiting, "deployed": self.deployed, "daily_pnl": self.daily_pnl}
        if self.adds_to in figures:
            figures[self.adds_to] += math.copysign(excess, figures[self.adds_to])
        held, waiting = figures["held"], figures["waiting"]
        side = math.copysign(1, held)
        portfolio = portfolio_of(("HELD", side, abs(held), abs(held))) if held else portfolio_of()
        action = "BUY" if waiting > 0 else "SELL"
        working = orders_of((7, 0, "WAIT", action, "LMT", abs(waiting), 1)) if waiting else orders_of()
        rows = self.rows
        if self.adds_to in rows:
            rows = rows.assign(**{self.adds_to: rows[self.adds_to] + excess})
        account = account_of(deployed=figures["deployed"], daily_pnl=figures["daily_pnl"])
        wide = {"sizing_capital": "total", "max_total_risk_pct": 100.0, "max_utilization_pct": 100.0}
        limits = {**wide, "utilization_reserve_pct": 0.0, **self.settings}
        return {
            "rows": rows,
            "account": account,
            "portfolio": portfolio,
            "working": working,
            "bars": self.bars,
        } | limits


CASES = {
    "risk of a trade": Case(
        "max_risk_per_trade_pct",
        "one share risks $1,000.01 (1.00 % of capital), more than 1 % of the total capital ($1,000.00)",
        {"max_position_pct": 100.0}, offers(("NEW", 80, 2000.0, 3000.0)).assign(target_price=0.5),
        adds_to="stop_price",
    ),
    "value of a symbol": Case(
        "max_position_pct",
        "one share at $5,000.01 (5.00 % of capital) is more than 5 % of the total capital ($5,000.00)",
        rows=offers(("NEW", 80, 5000.0, 4999.0)), adds_to="entry_price",
    ),
    "total risk": Case(
        "max_total_risk_pct",
        "$20,000.01 (20.00 % of capital) would be at risk in all, the limit is 20 % ($20,000.00)",
        {"max_total_risk_pct": 20.0}, held=19_900.0,
    ),
    "total risk of entries": Case(
        "max_total_risk_pct", "$20,000.01 (20.00 % of capital)", {"max_total_risk_pct": 20.0}, waiting=-19_900.0,
        adds_to="waiting",
    ),
    "utilisation": Case(
        "max_utilization_pct",
        "$90,000.01 (90.00 % of capital) would be deployed, the limit is 90 % ($90,000.00)",
        {"max_utilization_pct": 90.0}, deployed=85_000.0, adds_to="deployed",
    ),
    "utilisation by the book": Case(
        "max_utilization_pct", "$90,000.01 (90.00 % of capital)", {"max_utilization_pct": 90.0}, held=85_000.0
    ),
    "reserve": Case(
        "max_utilization_pct",
        "$89,750.01 (89.75 % of capital) would be deployed, "
        "the limit is 90 % less 0.25 % kept in reserve ($89,750.00)",
        {"max_utilization_pct": 90.0, "utilization_reserve_pct": 0.25}, deployed=84_750.0, adds_to="deployed",
    ),
    "gross": Case(
        "max_gross_exposure_pct",
        "$50,000.01 (50.00 % of capital) would be long and short together, the limit is 50 % ($50,000.00)",
        {"max_gross_exposure_pct": 50.0}, held=-15_000.0, waiting=30_000.0,
    ),
    "gross of entries": Case(
        "max_gross_exposure_pct", "$50,000.01", {"max_gross_exposure_pct": 50.0}, held=30_000.0, waiting=-15_000.0,
        adds_to="waiting",
    ),
    "net long": Case(
        "max_net_exposure_pct",
        "$10,000.01 (10.00 % of capital) would be net long, the limit is 10 % ($10,000.00)",
        {"max_net_exposure_pct": 10.0}, held=25_000.0, waiting=-20_000.0,
    ),
    "net short": Case(
        "max_net_exposure_pct",
        "$10,000.01 (10.00 % of capital) would be net short, the limit is 10 % ($10,000.00)",
        {"max_net_exposure_pct": 10.0}, FIFTY_SHORT, held=20_000.0, waiting=-25_000.0, adds_to="waiting",
    ),
    "daily loss": Case(
        "max_daily_loss_pct",
        "$3,000.01 (3.00 % of capital) were lost today, the limit is 3 % ($3,000.00)",
        daily_pnl=-3000.0, adds_to="daily_pnl",
    ),
    "cluster": Case(
        "max_cluster_pct",
        "$12,000.01 (12.00 % of capital) would be in NEW and what moves with it (2 in all, with HELD), "
        "the limit is 12 % ($12,000.00)",
        {"max_cluster_pct": 12.0}, held=7_000.0, waiting=9_000.0,
        bars=moving(("NEW", STEPS[0]), ("HELD", STEPS[0]), ("WAIT", STEPS[1])),
    ),
    "least value": Case(
        "min_position_value", "$99.99 (0.10 % of capital) is below $100.00",
        {"max_position_pct": 0.1}, offers(("NEW", 80, 100.0, 98.0)), adds_to="least",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_limit_passes_at_its_value_and_refuses_a_cent_beyond(case: Case) -> None:
    at_the_limit, beyond = case.inputs(0.0), case.inputs(CENT)
    if case.adds_to == "least":
        beyond["rows"] = offers(("NEW", 80, 99.99, 98.0))
    passes, refuses = size(**at_the_limit), size(**beyond)
    assert passes["reason"].isna().item()
    assert figure_of(passes, case.limit) == allowed_by(passes, case.limit)
    reason = refuses["reason"].item()
    assert reason.startswith(f"{case.limit}: {case.words}"), reason
    away = figure_of(refuses, case.limit) - allowed_by(refuses, case.limit)
    assert 0 < (-away if case.adds_to == "least" else away) <= max(CENT, 10.0**-DECIMALS) + 1e-9


def test_the_last_place_for_a_position_can_be_taken_and_one_more_not() -> None:
    book = {"portfolio": portfolio_of(("HELD", 10, 20, 20)), "working": orders_of((1, 0, "WAIT", "BUY", "LMT", 20, 10))}
    assert np.all(size(FIFTY_LONG, max_positions=3, **book)["approved"])
    assert refusal(FIFTY_LONG, max_positions=2, **book) == "max_positions: 2 of 2 positions are taken"


def test_orders_approved_before_take_places_too() -> None:
    three = offers(*((name, 80, 100.0, 98.0) for name in ("AAA", "BBB", "CCC")))
    assert size(three, max_positions=2)["reason"].to_list()[2] == "max_positions: 2 of 2 positions are taken"


@pytest.mark.parametrize(
    ("side", "limits", "reason"),
    [
        (1, {"max_total_risk_pct": 0.2}, "max_total_risk_pct: $300.00 (0.30 % of capital)"),
        (1, {"max_utilization_pct": 12.0}, "max_utilization_pct: $15,000.00 (15.00 % of capital)"),
        (1, {"max_gross_exposure_pct": 12.0}, "max_gross_exposure_pct: $15,000.00 (15.00 % of capital)"),
        (-1, {"max_gross_exposure_pct": 12.0}, "max_gross_exposure_pct: $15,000.00 (15.00 % of capital)"),
        (1, {"max_net_exposure_pct": 12.0}, "max_net_exposure_pct: $15,000.00 (15.00 % of capital) would be net long"),
        (
            -1,
            {"max_net_exposure_pct": 12.0},
            "max_net_exposure_pct: $15,000.00 (15.00 % of capital) would be net short",
        ),
    ],
)
def test_what_was_approved_before_counts_towards_each_limit(side: int, limits: dict[str, Any], reason: str) -> None:
    three = offers(*((name, 80, 100.0, 100.0 - 2 * side) for name in ("AAA", "BBB", "CCC")))
    made = size(three, sizing_capital="total", **limits)
    assert made["approved"].to_list() == [True, True, False]
    assert made["reason"].iloc[2].startswith(reason)


@pytest.mark.parametrize("sizing", ["available", "total"])
def test_the_size_is_cut_to_the_risk_of_a_trade_and_the_value_of_a_symbol(sizing: str) -> None:
    made = size(offers(("AAA", 80, 100.0, 50.0)), max_position_pct=100.0, sizing_capital=sizing)
    assert made["risk_amount"].item() == 1000.0
    made = size(offers(("AAA", 80, 100.0, 49.99)), max_position_pct=100.0, sizing_capital=sizing)
    assert made["quantity"].item() == 19
    assert size(offers(("AAA", 80, 100.01, 99.0)), sizing_capital=sizing)["quantity"].item() == 49


def test_exposure_is_taken_of_the_book_and_utilisation_of_the_account_where_it_says_more() -> None:
    account = account_of(deployed=60_000.0)
    assert np.all(size(FIFTY_LONG, account, max_gross_exposure_pct=10.0)["approved"])
    assert refusal(FIFTY_LONG, account, max_utilization_pct=60.0).startswith("max_utilization_pct: $62,000.00")


def test_an_order_that_brings_the_net_exposure_down_is_not_refused_for_it() -> None:
    limits: dict[str, Any] = {"max_net_exposure_pct": 10.0, "max_total_risk_pct": 100.0}
    long_book, short_book = portfolio_of(("HELD", 100, 600, 600)), portfolio_of(("HELD", -100, 600, 600))
    assert np.all(size(FIFTY_SHORT, portfolio=long_book, **limits)["approved"])
    assert np.all(size(FIFTY_LONG, portfolio=short_book, **limits)["approved"])
    assert refusal(FIFTY_LONG, portfolio=long_book, **limits).startswith("max_net_exposure_pct: $62,000.00")
    assert refusal(FIFTY_SHORT, portfolio=short_book, **limits).endswith(
        "would be net short, the limit is 10 % ($10,000.00)"
    )


def test_an_order_that_only_turns_the_net_exposure_round_is_held_against_the_limit() -> None:
    held = portfolio_of(("HELD", 1, 2_500, 2_500))
    limits: dict[str, Any] = {"max_net_exposure_pct": 1.0, "max_total_risk_pct": 100.0, "sizing_capital": "total"}
    assert refusal(FIFTY_SHORT, portfolio=held, **limits).startswith("max_net_exposure_pct: $2,500.00")


@pytest.mark.parametrize("known", [0.0, 5_000.0, -2_999.99])
def test_a_day_without_too_large_a_loss_lets_orders_pass(known: float) -> None:
    assert np.all(size(FIFTY_LONG, account_of(daily_pnl=known))["approved"])


@pytest.mark.parametrize("result", [math.nan, math.inf, -math.inf])
def test_while_the_days_result_is_not_known_every_offer_is_refused(result: float) -> None:
    unknown = account_of(daily_pnl=result)
    made = size(offers(("AAA", 80, 100.0, 98.0), ("BBB", 70, 50.0, 49.0)), unknown)
    assert math.isnan(figure_of(made, "max_daily_loss_pct"))
    said = "max_daily_loss_pct: the day's profit and loss is not known, so that its limit cannot be checked"
    assert made["reason"].to_list() == [said, said]
    assert np.all(size(FIFTY_LONG, unknown, max_daily_loss_pct=None)["approved"])


def test_a_loss_beyond_the_limit_refuses_every_offer_and_none_when_switched_off() -> None:
    lost = account_of(daily_pnl=-50_000.0)
    made = size(offers(("AAA", 80, 100.0, 98.0), ("BBB", 70, 50.0, 49.0)), lost)
    assert all(reason.startswith("max_daily_loss_pct: $50,000.00 (50.00 % of capital)") for reason in made["reason"])
    assert np.all(size(FIFTY_LONG, lost, max_daily_loss_pct=None)["approved"])


@pytest.mark.parametrize("word", ["off", "OFF", "none", "null"])
def test_the_environment_can_switch_a_limit_off(monkeypatch: pytest.MonkeyPatch, tmp_path, word: str) -> None:
    monkeypatch.setenv("QUANT_RISK__MAX_DAILY_LOSS_PCT", word)
    monkeypatch.setenv("QUANT_RISK__MAX_CLUSTER_PCT", "25")
    risk = load_settings(home=tmp_path).risk
    assert (risk.max_daily_loss_pct, risk.max_cluster_pct) == (None, 25.0)


@pytest.mark.parametrize(
    "values",
    [
        {"max_gross_exposure_pct": 400.01}, {"max_net_exposure_pct": 100.01}, {"max_daily_loss_pct": -1},
        {"max_daily_loss_pct": "of"}, {"max_daily_loss_pct": math.nan}, {"max_cluster_pct": 101},
        {"cluster_correlation": 0}, {"cluster_bars": 9},
    ],
)  # fmt: skip
def test_limits_that_make_no_sense_are_refused(tmp_path, values: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=f"risk.{next(iter(values))} cannot be used"):
        load_settings(home=tmp_path, risk=values)


def test_the_new_limits_leave_the_specified_ones_to_bind_by_default() -> None:
    book = portfolio_of(*((f"H{n}", 100, 49.0, 49.0) for n in range(20)))
    stops = orders_of(*((n + 1, 99, f"H{n}", "SELL", "STP", 48.9, 100) for n in range(20)))
    assert refusal(FIFTY_LONG, account_of(), book, stops).startswith("max_utilization_pct")
