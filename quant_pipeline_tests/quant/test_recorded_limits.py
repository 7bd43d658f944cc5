"""Every row records every limit in force with its figure, and the record agrees with what was decided."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quant_pipeline import frames
from quant_pipeline.history.store import History, data_hash
from quant_pipeline.quant.risk_limits import DECIMALS, Judgement, no_room
from quant_pipeline.settings import RiskSettings
from quant_pipeline_tests.history.recorded_frames import MADE
from quant_pipeline_tests.quant.market_data import SLOT, account_of, orders_of, portfolio_of
from quant_pipeline_tests.quant.risk_room import (
    NO_BARS,
    NO_ORDERS,
    NONE,
    allowed_by,
    figure_of,
    limits_of,
    offers,
    size,
    sized,
)
from quant_pipeline_tests.quant.test_risk_invariants import (
    Commitment,
    Inputs,
    anything,
    clusters_with,
    entries_of,
    positions_of,
)

STEP = 10.0**-DECIMALS
ORDER = [
    "max_daily_loss_pct", "allow_duplicate_symbols", "max_positions", "max_position_pct", "max_risk_per_trade_pct",
    "min_position_value", "max_total_risk_pct", "max_utilization_pct", "max_gross_exposure_pct", "max_net_exposure_pct",
    "max_cluster_pct",
]  # fmt: skip
SIZELESS = 3
"""So many of them, the first ones, need no size."""
ONE = offers(("NEW", 80, 100.0, 98.0))
LONG_BOOK = portfolio_of(("HELD", 100, 600.0, 600.0))


def holds(limit: dict[str, Any]) -> bool:
    """Whether the record says that the limit lets the order pass."""
    if limit["limit"].startswith("min_"):
        return limit["figure"] >= limit["allowed"]
    return limit["figure"] <= limit["allowed"]


def test_an_approved_order_records_how_far_each_limit_was_from_binding() -> None:
    book = portfolio_of(("LONG", 50, 90.0, 100.0), ("SHORT", -20, 100.0, 100.0))
    stops = orders_of((1, 9, "LONG", "SELL", "STP", 97.0, 50), (2, 9, "SHORT", "BUY", "STP", 105.0, 20))
    made = size(ONE, account_of(deployed=7_000.0, daily_pnl=-500.0), book, stops, max_cluster_pct=40.0)
    told = [tuple(limit.values()) for limit in limits_of(made).values()]
    assert told == [
        ("max_daily_loss_pct", 0.5, 3.0, "% of capital"),
        ("allow_duplicate_symbols", 1.0, 1.0, "positions"),
        ("max_positions", 3.0, 100.0, "positions"),
        ("max_position_pct", 4.6, 4.65, "% of capital"),
        ("max_risk_per_trade_pct", 0.092, 0.93, "% of capital"),
        ("min_position_value", 4600.0, 100.0, "$"),
        ("max_total_risk_pct", 0.342, 20.0, "% of capital"),
        ("max_utilization_pct", 11.6, 89.75, "% of capital"),
        ("max_gross_exposure_pct", 11.6, 100.0, "% of capital"),
        ("max_net_exposure_pct", 7.6, 100.0, "% of capital"),
        ("max_cluster_pct", 11.6, 40.0, "% of capital"),
    ]


def test_a_refused_order_records_the_limits_that_come_after_the_one_that_bound() -> None:
    made = size(ONE, account_of(daily_pnl=-9_000.0), portfolio_of(("NEW", 50, 100.0, 100.0)), sizing_capital="total")
    assert made["reason"].item().startswith("max_daily_loss_pct")
    told = {name: limit["figure"] for name, limit in limits_of(made).items()}
    assert told == {
        "max_daily_loss_pct": 9.0, "allow_duplicate_symbols": 2.0, "max_positions": 1.0, "max_position_pct": 5.0,
        "max_risk_per_trade_pct": 0.1, "min_position_value": 5000.0, "max_total_risk_pct": 5.1,
        "max_utilization_pct": 10.0, "max_gross_exposure_pct": 10.0, "max_net_exposure_pct": 10.0,
    }  # fmt: skip


def test_a_symbol_that_is_committed_already_takes_no_second_place_and_a_leg_left_over_none() -> None:
    held = size(ONE, portfolio=portfolio_of(("NEW", 5, 20.0, 20.0)))
    assert (figure_of(held, "allow_duplicate_symbols"), figure_of(held, "max_positions")) == (2.0, 1.0)
    leg = orders_of((2, 1, "NEW", "SELL", "STP", 20.0, 5))
    left_over = size(ONE, portfolio=portfolio_of(("HELD", 5, 20.0, 20.0)), working=leg)
    assert (figure_of(left_over, "allow_duplicate_symbols"), figure_of(left_over, "max_positions")) == (2.0, 2.0)


def test_a_limit_that_is_off_is_not_recorded() -> None:
    assert list(limits_of(size(ONE))) == ORDER[:-1]
    assert list(limits_of(size(ONE, max_daily_loss_pct=None))) == ORDER[1:-1]
    assert list(limits_of(size(ONE, max_cluster_pct=50.0))) == ORDER


def test_a_days_gain_is_a_loss_below_zero_and_an_unknown_day_is_not_known() -> None:
    assert figure_of(size(ONE, account_of(daily_pnl=250.0)), "max_daily_loss_pct") == -0.25
    flat = figure_of(size(ONE, account_of(daily_pnl=0.0)), "max_daily_loss_pct")
    assert (flat, math.copysign(1.0, flat)) == (0.0, 1.0)
    unknown = size(ONE, account_of(daily_pnl=math.nan))
    assert math.isnan(figure_of(unknown, "max_daily_loss_pct"))
    assert figure_of(unknown, "max_position_pct") == 5.0


def test_an_order_too_small_for_one_share_is_judged_as_one_share() -> None:
    made = size(offers(("NEW", 80, 7000.0, 6000.0)), max_total_risk_pct=0.5)
    assert made["reason"].item().startswith("max_position_pct")
    assert (figure_of(made, "max_position_pct"), allowed_by(made, "max_position_pct")) == (7.0, 5.0)
    assert (figure_of(made, "max_risk_per_trade_pct"), allowed_by(made, "max_risk_per_trade_pct")) == (1.0, 1.0)
    assert (figure_of(made, "max_total_risk_pct"), allowed_by(made, "max_total_risk_pct")) == (1.0, 0.5)


def test_what_makes_the_size_is_recorded_of_the_capital_that_sizing_goes_by() -> None:
    half = account_of(deployed=50_000.0)
    assert allowed_by(size(ONE, half), "max_position_pct") == 2.5
    assert allowed_by(size(ONE, half), "max_risk_per_trade_pct") == 0.5
    assert allowed_by(size(ONE, half, sizing_capital="total"), "max_position_pct") == 5.0
    nothing_left = size(ONE, account_of(deployed=100_000.0))
    assert (figure_of(nothing_left, "max_position_pct"), allowed_by(nothing_left, "max_position_pct")) == (0.1, 0.0)


def test_what_an_order_that_brings_the_net_exposure_down_may_come_to_is_what_it_was() -> None:
    wide: dict[str, Any] = {"max_net_exposure_pct": 10.0, "max_total_risk_pct": 100.0, "sizing_capital": "total"}
    down = size(offers(("NEW", 80, 100.0, 102.0)), portfolio=LONG_BOOK, **wide)
    assert down["approved"].item()
    assert (figure_of(down, "max_net_exposure_pct"), allowed_by(down, "max_net_exposure_pct")) == (55.0, 60.0)
    up = size(ONE, portfolio=LONG_BOOK, **wide)
    assert (figure_of(up, "max_net_exposure_pct"), allowed_by(up, "max_net_exposure_pct")) == (65.0, 10.0)
    within = size(offers(("NEW", 80, 100.0, 102.0)), portfolio=LONG_BOOK, max_total_risk_pct=100.0)
    assert allowed_by(within, "max_net_exposure_pct") == 100.0


def test_a_reserve_larger_than_the_limit_allows_nothing() -> None:
    made = size(ONE, max_utilization_pct=0.1)
    assert made["reason"].item().endswith("the limit is 0.1 % less 0.25 % kept in reserve ($0.00)")
    assert allowed_by(made, "max_utilization_pct") == 0.0


@pytest.mark.parametrize(
    ("account", "portfolio", "change"),
    [
        ({"capital": math.nan}, NONE, {}),
        ({"capital": 0.0}, NONE, {}),
        ({"available": math.inf}, NONE, {}),
        ({"deployed": -1.0}, NONE, {}),
        ({}, LONG_BOOK.assign(market_price=math.nan), {}),
        ({}, NONE, {"direction": "FLAT"}),
        ({}, NONE, {"stop_price": 101.0}),
        ({}, NONE, {"total_score": math.nan}),
    ],
)
def test_without_a_size_the_figures_that_need_one_are_not_known(
    account: dict[str, float], portfolio: pd.DataFrame, change: dict[str, object]
) -> None:
    made = sized(ONE.assign(**change), account_of().assign(**account), portfolio, NO_ORDERS, NO_BARS)
    limits = list(limits_of(made).values())
    assert [limit["limit"] for limit in limits] == ORDER[:-1]
    assert [math.isnan(limit["figure"]) for limit in limits[SIZELESS:]] == [True] * 7
    assert [limit["allowed"] for limit in limits] == [3.0, 1.0, 100.0, 5.0, 1.0, 100.0, 20.0, 89.75, 100.0, 100.0]
    assert limits[1]["figure"] == 1.0
    assert limits[2]["figure"] == 1.0 + len(portfolio)


def test_the_limit_a_refusal_names_is_the_one_that_does_not_reach_for_a_share() -> None:
    # Less than a share by less than dust, and by dust but not by a hair of a share.
    hairs: tuple[tuple[float, str, dict[str, Any]], ...] = (
        (100.0, "max_position_pct", {"max_position_pct": 0.1 - 5e-10}),
        (5_000.0, "max_risk_per_trade_pct", {"max_position_pct": 5.0 - 2.5e-9, "max_risk_per_trade_pct": 0.0}),
    )
    for entry, named, limits in hairs:
        made = size(offers(("NEW", 80, entry, 0.98 * entry)), sizing_capital="total", min_position_value=0, **limits)
        assert made["reason"].item().startswith(named)
        assert [name for name, limit in limits_of(made).items() if not holds(limit)] == [named]


def test_a_figure_that_only_dust_puts_above_its_limit_passes_and_is_recorded_at_it() -> None:
    entry, stop, shares = 10.3, 10.0, 485
    assert shares * (entry - stop) > 145.5 == 0.1455 / 100 * 100_000
    made = size(offers(("NEW", 80, entry, stop)), max_total_risk_pct=0.1455)
    assert made["quantity"].item() == shares
    assert holds(limits_of(made)["max_total_risk_pct"])
    apart = Judgement("max_total_risk_pct", 2.0005 + 1e-9, 2.0005 - 1e-9, "").record()
    assert apart["figure"] == apart["allowed"] == 2.0


FIGURES = st.floats(0.0, 500.0)


@given(FIGURES, FIGURES | st.just(0.0), st.booleans())
@example(3.0 + 1e-12, 3.0, False)
@example(3.0 - 1e-12, 3.0, True)
@example(0.0, 0.0, False)
def test_rounding_moves_no_figure_to_the_other_side_of_its_limit(figure: float, allowed: float, least: bool) -> None:
    refused = figure < allowed if least else figure > allowed
    limit = "min_position_value" if least else "max_position_pct"
    made = Judgement(limit, figure, allowed, "", "no" if refused else None, least).record()
    assert holds(made) is not refused
    assert abs(made["figure"] - figure) <= 2 * STEP
    assert abs(made["allowed"] - allowed) <= STEP / 2 + 1e-9
    for each in ("figure", "allowed"):
        assert made[each] == round(made[each], DECIMALS)


@settings(max_examples=60)
@given(anything())
def test_the_reason_is_the_first_recorded_limit_that_does_not_hold(inputs: Inputs) -> None:
    made = inputs.size()
    rules = inputs.rules
    off = {name for name in ("max_daily_loss_pct", "max_cluster_pct") if getattr(rules, name) is None}
    for row in made.to_dict("records"):
        assert [limit["limit"] for limit in row["limits"]] == [name for name in ORDER if name not in off]
        failing = [limit["limit"] for limit in row["limits"] if not holds(limit)]
        assert pd.isna(row["reason"]) == row["approved"] == (not failing)
        named = "" if row["approved"] else row["reason"].split(":")[0]
        if named in ORDER:
            assert named == failing[0]
        elif named:
            unknown = [math.isnan(limit["figure"]) for limit in row["limits"]]
            assert all(unknown[SIZELESS - ("max_daily_loss_pct" in off) :])


@settings(max_examples=60)
@given(anything())
def test_every_recorded_figure_is_what_the_raw_frames_come_to_with_the_order(inputs: Inputs) -> None:
    account, rules = inputs.account.to_dict("records")[0], inputs.rules
    committed = [*positions_of(inputs), *entries_of(inputs)]
    available = min(account["available"], account["capital"] - max(account["deployed"], sum(c[2] for c in committed)))
    busy = set(inputs.portfolio["symbol"][inputs.portfolio["quantity"] != 0]) | set(inputs.working["symbol"])
    added = 0.0
    for row in inputs.size().to_dict("records"):
        limits = {limit["limit"]: limit for limit in row["limits"]}
        assert limits["allow_duplicate_symbols"]["figure"] == 1 + (row["symbol"] in busy)
        if not math.isnan(limits["max_position_pct"]["figure"]):
            base = account["capital"] if rules.sizing_capital == "total" else max(available - added, 0.0)
            order = order_of(row, base, rules)
            left = max(account["deployed"], sum(c[2] for c in committed) - added) + added
            for name, figure in figures_with(order, committed, left, account, inputs):
                assert limits[name]["figure"] == pytest.approx(figure, abs=2.1 * STEP), name
            for name in ("max_position_pct", "max_risk_per_trade_pct"):
                allowed = getattr(rules, name) * base / account["capital"]
                assert limits[name]["allowed"] == pytest.approx(allowed, abs=STEP), name
            if row["approved"]:
                committed, added = [*committed, order], added + order[2]
                busy.add(row["symbol"])


def order_of(row: dict[Any, Any], base: float, rules: RiskSettings) -> Commitment:
    """The offer of a row as it is sized, or one share of it."""
    entry, away = row["entry_price"], abs(row["entry_price"] - row["stop_price"])
    by_value, by_risk = rules.max_position_pct / 100 * base / entry, rules.max_risk_per_trade_pct / 100 * base / away
    shares = max(math.floor(min(by_value, by_risk) + 1e-9), 1)
    return row["symbol"], 1.0 if row["direction"] == "LONG" else -1.0, shares * entry, shares * away


def figures_with(
    order: Commitment, committed: list[Commitment], deployed: float, account: dict[Any, Any], inputs: Inputs
) -> Iterator[tuple[str, float]]:
    """The figure of each limit with one more order, from what is committed before it."""
    symbol, sign, value, risk = order
    percent = account["capital"] / 100
    book = [(name, side, dollars) for name, side, dollars, _ in committed]
    if math.isfinite(account["daily_pnl"]) and inputs.rules.max_daily_loss_pct is not None:
        yield "max_daily_loss_pct", -account["daily_pnl"] / percent
    yield "max_positions", len({symbol, *(name for name, *_ in book)})
    yield "max_position_pct", value / percent
    yield "max_risk_per_trade_pct", risk / percent
    yield "min_position_value", value
    yield "max_total_risk_pct", (risk + sum(each for *_, each in committed)) / percent
    yield "max_utilization_pct", (deployed + value) / percent
    yield "max_gross_exposure_pct", (value + sum(dollars for _, _, dollars in book)) / percent
    yield "max_net_exposure_pct", abs(sign * value + sum(side * dollars for _, side, dollars in book)) / percent
    if inputs.rules.max_cluster_pct is not None:
        yield "max_cluster_pct", max(clusters_with([(symbol, sign, value)], book, inputs)) / percent


def test_the_history_gives_the_limits_back_as_they_were_judged(tmp_path) -> None:
    two = offers(("NEW", 80, 100.0, 98.0), ("BBB", 70, 50.0, 49.0))
    made = size(two, account_of(daily_pnl=math.nan), max_cluster_pct=1.0)
    history = History(tmp_path)
    version = history.append("sized_orders", made, slot=SLOT, **MADE)
    back = history.frame(version.id)
    pd.testing.assert_frame_equal(back, made, check_exact=True)
    assert data_hash("sized_orders", back) == version.data_hash
    assert math.isnan(figure_of(back, "max_daily_loss_pct", 1))


def test_the_contract_takes_orders_from_before_limits_were_recorded() -> None:
    old = size(ONE).assign(limits=None)
    assert frames.validate("sized_orders", old)["limits"].isna().to_numpy().all()


DEFAULTS = RiskSettings.model_validate({})


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_net_exposure_pct": 3.0}, "risk.max_net_exposure_pct leaves 3 % of capital, but one order is worth 5 %"),
        ({"max_gross_exposure_pct": 4.9}, "risk.max_gross_exposure_pct leaves 4.9 %"),
        ({"max_utilization_pct": 5.2}, "risk.max_utilization_pct leaves 4.95 %"),
        ({"max_utilization_pct": 0.1}, "risk.max_utilization_pct leaves 0 %"),
        ({"max_cluster_pct": 0.0}, "risk.max_cluster_pct leaves 0 %"),
        ({"max_total_risk_pct": 0.0}, "risk.max_total_risk_pct leaves 0 % of capital, but one order risks 0.05 %"),
        ({"max_position_pct": 0.0}, "risk.max_position_pct is 0"),
        ({"max_risk_per_trade_pct": 0.0}, "risk.max_risk_per_trade_pct is 0"),
        ({"min_position_value": 5_001.0}, "risk.min_position_value is $5,001.00"),
        ({"max_position_pct": 50.0, "max_net_exposure_pct": 4.0}, "one order is worth 5 % or more"),
    ],
)
def test_limits_that_leave_no_room_for_any_order_are_told(limits: dict[str, Any], words: str) -> None:
    told = no_room(RiskSettings.model_validate(limits), 100_000.0)
    assert told is not None
    assert words in told
    assert told.endswith(".")
    every = offers(*((f"S{stop}", 80, 100.0, 100.0 - stop) for stop in (1.0, 2.0, 5.0, 10.0, 19.99)))
    assert not np.any(size(every, **limits)["approved"])


@pytest.mark.parametrize(
    "limits",
    [
        {}, {"max_net_exposure_pct": 5.0}, {"max_utilization_pct": 5.25}, {"max_daily_loss_pct": 0.0},
        {"max_risk_per_trade_pct": 0.1, "max_net_exposure_pct": 3.0}, {"min_position_value": 5_000.0},
        {"max_total_risk_pct": 0.05},
    ],
)  # fmt: skip
def test_limits_with_room_for_an_order_approve_one(limits: dict[str, Any]) -> None:
    assert no_room(RiskSettings.model_validate(limits), 100_000.0) is None
    every = offers(*((f"S{stop}", 80, 10.0, 10.0 - stop) for stop in (0.1, 0.5, 1.0)))
    assert np.any(size(every, **limits)["approved"])


def test_without_a_known_capital_the_least_value_is_not_judged() -> None:
    assert no_room(RiskSettings.model_validate({"min_position_value": 1e9}), None) is None
    assert no_room(DEFAULTS, None) is None
