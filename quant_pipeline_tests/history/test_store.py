"""Frames in, frames out: versions, lineage, settings, and what is refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quant_pipeline.errors import HistoryError
from quant_pipeline.frames import FRAMES, empty
from quant_pipeline.history.store import History, data_hash
from quant_pipeline_tests.history.recorded_frames import MADE, SLOT, STARTED, frames_of, indicators, quality_filter

ASSETS = [asset for asset in FRAMES if asset != "bars"]


@pytest.fixture(scope="module")
def shared_history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return History(tmp_path_factory.mktemp("home"))


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(case=st.sampled_from(ASSETS).flatmap(lambda asset: st.tuples(st.just(asset), frames_of(asset))))
def test_any_frame_comes_back_exactly(shared_history: History, case: tuple[str, pd.DataFrame]) -> None:
    asset, frame = case
    made = shared_history.append(asset, frame, slot=SLOT, **MADE)
    back = shared_history.frame(made.id)
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    assert data_hash(asset, back) == made.data_hash
    assert made.rows == len(frame)


@pytest.mark.parametrize("asset", FRAMES)
def test_a_frame_without_rows_is_recorded_too(shared_history: History, asset: str) -> None:
    source = "DU1" if asset == "bars" else None
    made = shared_history.append(asset, empty(asset), slot="2026-11-20T09:30", source=source, **MADE)
    recorded = shared_history.recorded(asset, "2026-11-20T09:30")
    assert recorded is not None
    assert recorded[0] == made
    pd.testing.assert_frame_equal(recorded[1], empty(asset))


def test_the_order_of_rows_is_kept(history: History) -> None:
    frame = quality_filter(*(f"S{index * 7919 % 3000}" for index in range(3000)))
    made = history.append("quality_filter", frame, slot=SLOT, **MADE)
    pd.testing.assert_frame_equal(history.frame(made.id), frame)


def test_zeros_of_either_sign_keep_their_hash_when_the_file_is_compressed(history: History) -> None:
    frame = quality_filter("A", "B").assign(price=[-0.0, 0.0])
    made = [history.append("quality_filter", part, slot=SLOT, **MADE) for part in (frame, frame.iloc[::-1])]
    history.publish()  # which is when DuckDB compresses what was appended
    for materialization in made:
        back = history.frame(materialization.id)
        assert not np.signbit(back["price"]).any()
        assert data_hash("quality_filter", back) == materialization.data_hash


def test_a_rerun_adds_a_version_and_erases_none(history: History) -> None:
    first = history.append("quality_filter", quality_filter("AAPL"), slot=SLOT, **MADE)
    second = history.append("quality_filter", quality_filter("MSFT"), slot=SLOT, **{**MADE, "run_id": "rerun"})
    assert second.id > first.id
    assert history.frame(first.id)["symbol"].tolist() == ["AAPL"]
    assert history.latest("quality_filter", SLOT) == second
    assert history.latest("quality_filter", SLOT, run_id="run") == first
    assert history.latest("quality_filter", SLOT, run_id="unheard of") == second


def test_what_made_a_frame_is_read_back(history: History) -> None:
    before = dt.datetime.now(dt.UTC)
    made = history.append("quality_filter", quality_filter("AAPL"), slot=SLOT, **MADE)
    assert history.latest("quality_filter", SLOT) == made
    assert (made.asset, made.slot, made.run_id, made.code_version, made.settings_hash) == (
        "quality_filter", SLOT, "run", "1", "abc",
    )  # fmt: skip
    assert made.started_at == STARTED
    assert before - dt.timedelta(seconds=1) < made.finished_at <= dt.datetime.now(dt.UTC)


def test_nothing_is_found_where_nothing_was_recorded(history: History) -> None:
    assert history.latest("scores", SLOT) is None
    assert history.recorded("scores", SLOT) is None
    assert history.latest_before("scores", SLOT) is None
    with pytest.raises(HistoryError, match="no materialization 17"):
        history.frame(17)


def test_the_newest_up_to_a_slot_is_found_by_slot_then_version(history: History) -> None:
    later = history.append("quality_filter", quality_filter("C"), slot="2026-11-20T10:30", **MADE)
    history.append("quality_filter", quality_filter("A"), slot="2026-11-19T15:45", **MADE)
    rerun = history.append("quality_filter", quality_filter("B"), slot="2026-11-19T15:45", **MADE)
    assert history.latest_before("quality_filter", "2026-11-20T10:15") == rerun
    assert history.latest_before("quality_filter", "2026-11-20T10:30") == later
    assert history.latest_before("quality_filter", "2026-11-19T15:30") is None


def test_lineage_leads_back_through_every_stage(history: History) -> None:
    def record(asset: str, *inputs: int) -> int:
        return history.append(asset, empty(asset), slot=SLOT, **{**MADE, "inputs": inputs}).id

    universe = record("universe")
    quotes = record("quotes", universe)
    record("quotes", universe)
    scores = record("scores", quotes, universe, quotes)
    orders = record("sized_orders", scores)
    assert [made.id for made in history.inputs_of(scores)] == [universe, quotes]
    assert [made.id for made in history.chain(orders)] == [universe, quotes, scores, orders]


def test_an_input_nobody_recorded_is_refused_and_nothing_is_stored(history: History) -> None:
    with pytest.raises(HistoryError, match=r"inputs \[99\] are not in the history"):
        history.append("scores", empty("scores"), slot=SLOT, **{**MADE, "inputs": [99]})
    assert history.latest("scores", SLOT) is None


def test_a_frame_that_breaks_its_contract_is_refused_and_nothing_is_stored(history: History) -> None:
    broken = quality_filter("AAPL").drop(columns="price")
    with pytest.raises(HistoryError, match="quality_filter"):
        history.append("quality_filter", broken, slot=SLOT, **MADE)
    assert history.latest("quality_filter", SLOT) is None


def test_settings_are_kept_once_and_read_back(history: History) -> None:
    history.record_settings("abc", {"risk": {"max_positions": 100}, "capital_cap": None})
    history.record_settings("abc", {"risk": {"max_positions": 100}, "capital_cap": None})
    assert history.settings("abc") == {"risk": {"max_positions": 100}, "capital_cap": None}
    assert history.settings("unknown") is None
    with duckdb.connect(history.publish(), read_only=True) as reader:
        assert reader.execute("SELECT count(*), any_value(parameters->>'$.risk.max_positions') FROM lineage.settings"
                              ).fetchone() == (1, "100")  # fmt: skip


def test_a_home_that_moves_on_in_another_object_is_seen(history: History, tmp_path: Path) -> None:
    made = History(tmp_path).append("indicators", indicators(3), slot=SLOT, **MADE)
    assert history.latest("indicators", SLOT) == made
