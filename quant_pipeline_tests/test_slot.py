"""One whole slot after another on the paper gateway's default market: the real client, Dagster, DuckDB and SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from quant_pipeline.cli.run_slot import SlotReport, run_slot
from quant_pipeline.errors import NotRecordedError, SlotError
from quant_pipeline.history.store import History
from quant_pipeline.paper_gateway import embedded
from quant_pipeline.settings import Settings, load_settings

FIRST, SECOND, NEVER_OBSERVED, FUTURE = (
    "2026-11-20T10:15",
    "2026-11-20T10:30",
    "2026-11-20T10:00",
    "2026-11-20T15:45",
)
pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Morning:
    """Two slots on one book, the first of them run twice; then the first again when it was over."""

    settings: Settings
    first: SlotReport
    first_again: SlotReport
    second: SlotReport
    first_when_over: SlotReport

    @property
    def published(self) -> Path:
        return self.settings.home / "history.duckdb"


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Morning]:
    settings = load_settings(home=tmp_path_factory.mktemp("home"), broker={"messages_per_second": 0})
    try:
        embedded.ensure_running(settings, at=datetime.fromisoformat(FIRST))
        first = run_slot(settings, FIRST)
        first_again = run_slot(settings, FIRST)
        embedded.ensure_running(settings, at=datetime.fromisoformat(SECOND))
        second = run_slot(settings, SECOND)
        yield Morning(settings, first, first_again, second, run_slot(settings, FIRST))
    finally:
        embedded.stop(settings.home)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def legs(report: SlotReport, outcome: str) -> set[str]:
    """The order references of a slot's executions that came out like this."""
    return set(report.frames["executions"].query("outcome == @outcome")["order_ref"])


def test_the_funnel_of_the_default_market_is_the_specified_one(morning: Morning) -> None:
    funnel = morning.first.funnel
    assert funnel.scanned == 100
    assert funnel.quoted >= funnel.passed_quality
    assert 80 <= funnel.passed_quality <= 90
    assert funnel.scored == funnel.passed_quality
    assert 50 <= funnel.above_threshold <= 60
    assert 40 <= funnel.approved <= 50
    assert funnel.orders_sent == len(legs(morning.first, "sent")) >= 3 * 40
    # On a slow machine the clock has moved on, and a guard may stop a bracket at the last moment: all of it.
    assert funnel.orders_sent == 3 * funnel.approved - len(legs(morning.first, "refused"))
    assert funnel.orders_sent % 3 == 0


def test_no_more_than_nine_tenths_of_the_capital_are_deployed(morning: Morning) -> None:
    for report in (morning.first, morning.second):
        portfolio = report.portfolio
        assert 0 < portfolio["deployed"] <= 0.9 * portfolio["capital"]
        approved = report.frames["sized_orders"].query("approved")
        for order in approved.to_dict("records"):
            assert order["position_value"] <= 0.05 * portfolio["capital"] * 1.01
            assert order["risk_amount"] <= 0.01 * portfolio["capital"] * 1.01


def test_every_bracket_has_an_entry_a_stop_and_a_target_on_the_right_sides(morning: Morning) -> None:
    prices = {row["order_ref"]: row["price"] for row in records(morning.first.frames["executions"])}
    approved = [order for order in records(morning.first.frames["sized_orders"]) if order["approved"]]
    assert len(prices) == 3 * len(approved) > 0
    for order in approved:
        entry, stop, target = (prices[f"{FIRST}:{order['symbol']}:{leg}"] for leg in ("entry", "stop", "target"))
        assert (stop < entry < target) if order["direction"] == "LONG" else (stop > entry > target)


def test_every_rejection_has_its_reason(morning: Morning) -> None:
    rejected = [row for row in records(morning.first.frames["quality_filter"]) if not row["passed"]]
    rejected += [row for row in records(morning.first.frames["sized_orders"]) if not row["approved"]]
    assert len(rejected) > 10
    assert all(isinstance(row["reason"], str) and row["reason"] for row in rejected)


def test_the_same_slot_run_twice_sends_nothing_the_second_time(morning: Morning) -> None:
    assert not legs(morning.first, "sent") & legs(morning.first_again, "sent")
    # What a guard stopped the first time may go the second time; nothing else is left to send.
    assert morning.first_again.funnel.orders_sent <= len(legs(morning.first, "refused"))


def test_a_second_slot_opens_no_symbol_twice(morning: Morning) -> None:
    opened = set(morning.first.frames["executions"].query("outcome == 'sent'")["symbol"])
    sent = set(morning.second.frames["executions"].query("outcome == 'sent'")["symbol"])
    assert not opened & sent
    scored_again = [row for row in records(morning.second.frames["sized_orders"]) if row["symbol"] in opened]
    assert scored_again
    assert all("already held or on order" in row["reason"] for row in scored_again)


def test_the_broker_has_one_order_for_each_reference_that_was_sent(morning: Morning) -> None:
    with sqlite3.connect(morning.settings.home / "orders.sqlite") as journal:
        rows = journal.execute("SELECT order_ref, perm_id, state FROM intents").fetchall()
    reports = (morning.first, morning.first_again, morning.second)
    assert len(rows) == sum(report.funnel.orders_sent for report in reports)
    assert len({perm_id for _, perm_id, _ in rows}) == len(rows)
    assert {state for *_, state in rows} <= {"working", "partly_filled", "filled", "cancelled"}


def test_a_slot_that_is_over_decides_the_same_and_sends_nothing(morning: Morning) -> None:
    history = History(morning.settings.home)
    over, before = morning.first_when_over, morning.first_again
    assert over.funnel.orders_sent == 0
    for asset in ("universe", "quotes", "quality_filter", "scores", "sized_orders"):
        then = history.latest(asset, FIRST, run_id=before.run_id)
        now = history.latest(asset, FIRST, run_id=over.run_id)
        assert then is not None
        assert now is not None
        assert then.data_hash == now.data_hash, asset


def test_what_was_observed_of_a_past_slot_is_not_recorded_again(morning: Morning) -> None:
    with duckdb.connect(morning.published, read_only=True) as connection:
        observed = connection.execute(
            "SELECT count(*) FROM lineage.materializations "
            "WHERE run_id = ? AND asset IN ('universe', 'quotes', 'bars')",
            [morning.first_when_over.run_id],
        ).fetchone()
    assert observed == (0,)


def test_a_past_slot_that_was_never_observed_says_so(morning: Morning) -> None:
    with pytest.raises(NotRecordedError, match=f"Slot {NEVER_OBSERVED} is over and was never observed"):
        run_slot(morning.settings, NEVER_OBSERVED)


def test_a_slot_that_has_not_begun_says_what_time_it_is(morning: Morning) -> None:
    with pytest.raises(SlotError, match=f"Slot {FUTURE} has not begun: the broker's clock says 2026-11-20 10:3"):
        run_slot(morning.settings, FUTURE)


def test_lineage_leads_from_an_order_to_the_bars_behind_it(morning: Morning) -> None:
    with duckdb.connect(morning.published, read_only=True) as connection:
        chain = connection.execute(
            """
            WITH RECURSIVE behind(id) AS (
                SELECT materialization_id FROM history.executions WHERE slot = ? AND outcome = 'sent'
                UNION
                SELECT input_materialization_id FROM lineage.inputs JOIN behind ON materialization_id = behind.id
            )
            SELECT asset, slot, run_id, data_hash FROM behind JOIN lineage.materializations USING (id)
            """,
            [FIRST],
        ).df()
    expected = {"executions", "sized_orders", "scores", "indicators", "quality_filter", "bars", "quotes", "universe"}
    assert expected | {"account", "portfolio", "working_orders"} == set(chain["asset"])
    assert set(chain["slot"]) == {FIRST}
    assert all(chain["data_hash"])


def test_every_version_is_kept_and_the_current_view_shows_the_latest(morning: Morning) -> None:
    with duckdb.connect(morning.published, read_only=True) as connection:
        versions = connection.execute(
            "SELECT count(DISTINCT materialization_id) FROM history.scores WHERE slot = ?", [FIRST]
        ).fetchone()
        current = connection.execute("SELECT DISTINCT materialization_id FROM current.scores WHERE slot = ?", [FIRST])
        shown = current.fetchall()
        newest = connection.execute("SELECT max(materialization_id) FROM history.scores WHERE slot = ?", [FIRST])
        assert versions == (3,)
        assert shown == newest.fetchall()


def test_of_the_stocks_seen_before_the_second_slot_adds_only_todays_bar(morning: Morning) -> None:
    with duckdb.connect(morning.published, read_only=True) as connection:
        added = connection.execute(
            """
            SELECT symbol, count(*), bool_and(partial) FROM history.bars WHERE slot = ?
            AND symbol IN (SELECT symbol FROM history.bars WHERE slot = ?) GROUP BY symbol
            """,
            [SECOND, FIRST],
        ).fetchall()
    assert len(added) > 80
    assert {(count, partial) for _, count, partial in added} == {(1, True)}


def test_a_reader_that_keeps_the_published_history_open_does_not_disturb_a_run(morning: Morning) -> None:
    with duckdb.connect(morning.published, read_only=True) as reader:
        before = reader.execute("SELECT count(*) FROM history.scores").fetchone()
        assert run_slot(morning.settings, FIRST).funnel.orders_sent == 0
        assert reader.execute("SELECT count(*) FROM history.scores").fetchone() == before
    with duckdb.connect(morning.published, read_only=True) as reader:
        after = reader.execute("SELECT count(*) FROM history.scores").fetchone()
    assert before is not None
    assert after is not None
    assert after[0] > before[0]


def test_the_scores_explain_themselves(morning: Morning) -> None:
    scores = records(morning.first.frames["scores"])
    assert {score["direction"] for score in scores} == {"LONG", "SHORT"}
    for score in scores:
        assert len(score["key_signals"]) == 10
        assert all(set(signal) == {"name", "value", "contribution", "text"} for signal in score["key_signals"])
        assert score["total_score"] >= score["opposite_score"]


def test_what_was_sent_while_a_slot_went_on_is_still_told_when_it_is_over(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, broker={"messages_per_second": 0}, universe={"size": 12})
    try:
        embedded.ensure_running(settings, at=datetime.fromisoformat(FIRST))
        sent = run_slot(settings, FIRST).frames["executions"]
        embedded.ensure_running(settings, at=datetime.fromisoformat(SECOND))
        over = run_slot(settings, FIRST).frames["executions"]
    finally:
        embedded.stop(settings.home)
    assert set(sent["outcome"]) == {"sent"}
    assert set(over["outcome"]) == {"already_working"}
    assert list(over["perm_id"]) == list(sent["perm_id"])
