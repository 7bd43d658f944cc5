"""One whole slot after another on the paper gateway's default market: the real client, Dagster, DuckDB and SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

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


def test_the_funnel_of_the_default_market_is_the_specified_one(morning: Morning) -> None:
    funnel = morning.first.funnel
    assert funnel.scanned == 100
    assert funnel.quoted >= funnel.passed_quality
    assert 80 <= funnel.passed_quality <= 90
    assert funnel.scored == funnel.passed_quality
    assert 50 <= funnel.above_threshold <= 60
    assert 40 <= funnel.approved <= 50
    assert funnel.orders_sent == 3 * funnel.approved


def test_no_more_than_nine_tenths_of_the_capital_are_deployed(morning: Morning) -> None:
    for report in (morning.first, morning.second):
        portfolio = report.portfolio
        assert 0 < portfolio["deployed"] <= 0.9 * portfolio["capital"] * 1.01  # prices move between the two readings
        approved = report.frames["sized_orders"].query("approved")
        assert approved["position_value"].max() <= 0.05 * portfolio["capital"]
        assert approved["risk_amount"].max() <= 0.01 * portfolio["capital"]


def test_every_bracket_has_an_entry_a_stop_and_a_target_on_the_right_sides(morning: Morning) -> None:
    legs = morning.first.frames["executions"].pivot(index="symbol", columns="leg", values="price")
    direction = morning.first.frames["sized_orders"].set_index("symbol")["direction"].reindex(legs.index)
    long, short = legs[direction == "LONG"], legs[direction == "SHORT"]
    assert len(long) + len(short) == morning.first.funnel.approved
    assert ((long["stop"] < long["entry"]) & (long["entry"] < long["target"])).all()
    assert ((short["stop"] > short["entry"]) & (short["entry"] > short["target"])).all()


def test_every_rejection_has_its_reason(morning: Morning) -> None:
    assert morning.first.frames["quality_filter"].query("not passed")["reason"].str.len().min() > 0
    assert morning.first.frames["sized_orders"].query("not approved")["reason"].str.len().min() > 0


def test_the_same_slot_run_twice_sends_nothing_the_second_time(morning: Morning) -> None:
    assert morning.first_again.funnel.orders_sent == 0
    first = set(morning.first.frames["executions"]["order_ref"])
    again = morning.first_again.frames["executions"].query("outcome == 'sent'")["order_ref"]
    assert not first & set(again)


def test_a_second_slot_opens_no_symbol_twice(morning: Morning) -> None:
    opened = set(morning.first.frames["executions"]["symbol"])
    sent = set(morning.second.frames["executions"].query("outcome == 'sent'")["symbol"])
    assert not opened & sent
    refused = morning.second.frames["sized_orders"].query("not approved").set_index("symbol")["reason"]
    assert refused.reindex(sorted(opened & set(refused.index))).notna().all()


def test_the_broker_has_one_order_for_each_reference_that_was_sent(morning: Morning) -> None:
    with sqlite3.connect(morning.settings.home / "orders.sqlite") as journal:
        rows = journal.execute("SELECT order_ref, perm_id, state FROM intents").fetchall()
    assert len(rows) == morning.first.funnel.orders_sent + morning.second.funnel.orders_sent
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
            "SELECT count(*) FROM lineage.materializations WHERE run_id = ? AND asset IN ('universe', 'quotes', 'bars')",
            [morning.first_when_over.run_id],
        ).fetchone()
    assert observed == (0,)


def test_a_past_slot_that_was_never_observed_says_so(morning: Morning) -> None:
    with pytest.raises(NotRecordedError, match=f"Slot {NEVER_OBSERVED} is over and its universe was never recorded"):
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
    assert chain["data_hash"].notna().all()


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


def test_the_bars_of_the_second_slot_were_topped_up_and_not_fetched_again(morning: Morning) -> None:
    with duckdb.connect(morning.published, read_only=True) as connection:
        new = connection.execute("SELECT slot, count(*) FROM history.bars GROUP BY slot ORDER BY slot").fetchall()
    first, second = dict(new)[FIRST], dict(new)[SECOND]
    assert first > 20_000
    assert second < first / 20


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
    scores: pd.DataFrame = morning.first.frames["scores"]
    assert (scores["key_signals"].map(len) == 10).all()
    best = scores.iloc[0]
    assert all({"name", "value", "contribution", "text"} == set(signal) for signal in best["key_signals"])
    assert best["total_score"] >= best["opposite_score"]
    assert set(scores["direction"]) == {"LONG", "SHORT"}
