"""The monitoring panel's figures."""

from __future__ import annotations

import math

import pytest

from quant_pipeline import frames
from quant_pipeline.quant import PortfolioMetrics, PortfolioPosition
from quant_pipeline_tests.quant.market_data import OBSERVED_AT, account_of, orders_of, portfolio_of


def test_the_specifications_example_comes_out_exactly() -> None:
    position = PortfolioPosition("AAPL", 90, 150.25, 153.40)
    assert position.unrealized_pnl == 283.50
    assert position.unrealized_pct == 2.1


def test_a_short_position_gains_when_the_price_falls() -> None:
    position = PortfolioPosition("TSLA", -100, 50.0, 48.0, stop=51.0, protected=100)
    assert (position.direction, position.unrealized_pnl, position.unrealized_pct) == ("SHORT", 200.0, 4.0)
    assert position.risk == 300.0


@pytest.fixture
def metrics() -> PortfolioMetrics:
    portfolio = portfolio_of(("LOSS", 100, 50.0, 49.0), ("GAIN", -50, 40.0, 38.0), ("GONE", 0, 10.0, 12.0))
    orders = orders_of(
        (11, 10, "LOSS", "SELL", "STP", 47.0, 100),
        (12, 10, "LOSS", "SELL", "LMT", 57.5, 100),
        (21, 0, "WAIT", "BUY", "LMT", 20.0, 100),
        (22, 21, "WAIT", "SELL", "STP", 19.0, 100),
        (23, 21, "WAIT", "SELL", "LMT", 22.5, 100),
    )
    return PortfolioMetrics.from_frames(account_of(100_000, deployed=8_800, daily_pnl=-120.5), portfolio, orders)


def test_positions_entries_and_risk_are_counted(metrics: PortfolioMetrics) -> None:
    assert (metrics.positions, metrics.long, metrics.short, metrics.working_entries) == (2, 1, 1, 1)
    assert metrics.total_risk == 100 * 2.0 + 50 * 38.0 + 100 * 1.0
    assert metrics.total_risk_pct == pytest.approx(2.2)
    assert metrics.utilization_pct == pytest.approx(8.8)
    assert metrics.unrealized_pnl == 0.0


def test_exposure_counts_working_entries_and_the_days_result_comes_from_the_account(metrics: PortfolioMetrics) -> None:
    assert (metrics.long_value, metrics.short_value) == (100 * 49.0 + 100 * 20.0, 50 * 38.0)
    assert metrics.gross_exposure_pct == pytest.approx(8.8)
    assert metrics.net_exposure_pct == pytest.approx(5.0)
    assert metrics.daily_pnl == -120.5
    row = frames.validate("portfolio_status", metrics.to_frame(OBSERVED_AT)).iloc[0]
    assert (row["long_value"], row["short_value"], row["daily_pnl"]) == (6900.0, 1900.0, -120.5)
    assert (row["gross_exposure_pct"], row["net_exposure_pct"]) == (pytest.approx(8.8), pytest.approx(5.0))


def test_a_book_that_is_net_short_has_a_negative_net_exposure_and_a_day_that_is_not_known_stays_so() -> None:
    short = PortfolioMetrics.from_frames(
        account_of(daily_pnl=math.nan), portfolio_of(("S", -100, 50.0, 60.0)), orders_of()
    )
    assert short.net_exposure_pct == -6.0
    row = frames.validate("portfolio_status", short.to_frame(OBSERVED_AT)).iloc[0]
    assert math.isnan(row["daily_pnl"])


def test_open_positions_come_best_first_with_their_working_exits(metrics: PortfolioMetrics) -> None:
    gain, loss = metrics.open_positions
    assert (gain.symbol, gain.stop, gain.target) == ("GAIN", None, None)
    assert (loss.symbol, loss.stop, loss.target) == ("LOSS", 47.0, 57.5)


def test_of_those_that_are_not_listed_the_worst_three_are() -> None:
    many = portfolio_of(*((f"S{n:02}", 10, 20.0, 20.0 + n) for n in range(14)))

    def worst(top: int) -> list[str]:
        metrics = PortfolioMetrics.from_frames(account_of(), many, orders_of(), top=top)
        return [position.symbol for position in metrics.worst_positions]

    assert worst(10) == ["S00", "S01", "S02"]
    assert worst(12) == ["S00", "S01"]
    assert worst(14) == []


def test_only_the_top_positions_are_listed() -> None:
    many = portfolio_of(*((f"S{n}", 10, 20.0, 20.0 + n) for n in range(15)))
    listed = PortfolioMetrics.from_frames(account_of(), many, orders_of(), top=3).open_positions
    assert [position.symbol for position in listed] == ["S14", "S13", "S12"]


def test_the_panel_keeps_its_contract_full_and_empty(metrics: PortfolioMetrics) -> None:
    row = frames.validate("portfolio_status", metrics.to_frame(OBSERVED_AT)).iloc[0]
    assert [position["symbol"] for position in row["open_positions"]] == ["GAIN", "LOSS"]
    assert set(row["open_positions"][0]) == {
        "symbol", "direction", "quantity", "entry", "current", "stop", "target", "unrealized_pnl", "unrealized_pct"
    }  # fmt: skip
    empty = PortfolioMetrics.from_frames(account_of(0.0), portfolio_of(), orders_of())
    frames.validate("portfolio_status", empty.to_frame(OBSERVED_AT))
    assert empty.utilization_pct == 0.0
