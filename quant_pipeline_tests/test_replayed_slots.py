"""Slots on real bars of February 2018, where they are at hand: real prices, and a reason for every stock left out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from quant_pipeline.cli.run_slot import SlotReport, run_slot
from quant_pipeline.paper_gateway import embedded
from quant_pipeline.settings import load_settings

DATA = Path(__file__).parents[1].parent / "shared" / "data"
DAILY, MINUTES = DATA / "us_daily.parquet", DATA / "us_minute.parquet"
SLOTS = ("2018-02-20T10:15", "2018-02-20T14:00", "2018-02-22T11:30")

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not MINUTES.is_file(), reason="the real bars are not at hand; nothing a user needs depends on them"
    ),
]


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SlotReport]]:
    settings = load_settings(home=tmp_path_factory.mktemp("home"), broker={"messages_per_second": 0})
    reports = {}
    try:
        for slot in SLOTS:
            embedded.ensure_running(settings, at=datetime.fromisoformat(slot), bars=DAILY, minute_bars=MINUTES)
            reports[slot] = run_slot(settings, slot)
        yield reports
    finally:
        embedded.stop(settings.home)


@pytest.fixture(scope="module")
def minutes() -> pd.DataFrame:
    return pd.read_parquet(MINUTES)


@pytest.mark.parametrize("slot", SLOTS)
def test_entries_are_at_prices_that_traded_around_the_slot(
    week: dict[str, SlotReport], minutes: pd.DataFrame, slot: str
) -> None:
    starts = pd.Timestamp(slot)
    around = minutes[(minutes["ts"] >= starts) & (minutes["ts"] < starts + pd.Timedelta(minutes=15))]
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for symbol, lowest, highest in zip(around["symbol"], around["low"], around["high"], strict=True):
        low[symbol] = min(float(lowest), low.get(symbol, float("inf")))
        high[symbol] = max(float(highest), high.get(symbol, 0.0))
    scores = week[slot].frames["scores"].to_dict("records")
    assert len(scores) > 80
    for score in scores:
        symbol, entry = score["symbol"], score["entry_price"]
        assert low[symbol] * 0.998 <= entry <= high[symbol] * 1.002, symbol
        assert abs(entry - score["target_price"]) == pytest.approx(2.5 * abs(entry - score["stop_price"]), abs=0.0051)


@pytest.mark.parametrize("slot", SLOTS)
def test_every_stock_left_out_has_its_reason(week: dict[str, SlotReport], slot: str) -> None:
    quality = week[slot].frames["quality_filter"].to_dict("records")
    assert len(quality) == 100
    assert all(isinstance(row["reason"], str) for row in quality if not row["passed"])
    sized = week[slot].frames["sized_orders"].to_dict("records")
    assert all(isinstance(row["reason"], str) for row in sized if not row["approved"])


def test_the_first_slot_of_the_week_sends_brackets_and_the_limits_hold_all_week(week: dict[str, SlotReport]) -> None:
    first = week[SLOTS[0]]
    assert 40 <= first.funnel.approved <= 50
    assert first.funnel.orders_sent == 3 * first.funnel.approved
    for report in week.values():
        portfolio = report.portfolio
        assert portfolio["deployed"] <= 0.92 * portfolio["capital"]
        assert portfolio["total_risk"] <= 0.2 * portfolio["capital"]
        assert portfolio["positions"] == portfolio["long"] + portfolio["short"]


def test_both_directions_occur(week: dict[str, SlotReport]) -> None:
    assert {row["direction"] for report in week.values() for row in report.frames["scores"].to_dict("records")} == {
        "LONG",
        "SHORT",
    }
