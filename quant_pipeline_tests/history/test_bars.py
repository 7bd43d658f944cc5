"""Bars kept by what changed: every slot's frame can be rebuilt exactly."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_pipeline.errors import HistoryError
from quant_pipeline.frames import FRAMES, validate
from quant_pipeline.history import bars as bars_module
from quant_pipeline.history.store import History, Materialization, data_hash
from quant_pipeline_tests.history.recorded_frames import MADE, bars_of

PAPER, REAL = "DU1234567", "U7654321"
MORNING, NOON, NEXT = "2026-11-20T09:30", "2026-11-20T12:00", "2026-11-23T09:30"


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def record(history: History, frame: pd.DataFrame, slot: str, source: str = PAPER) -> Materialization:
    return history.append("bars", frame, slot=slot, source=source, **MADE)


def stored_rows(history: History, where: str = "true") -> list[tuple[object, ...]]:
    with duckdb.connect(history.publish(), read_only=True) as reader:
        return reader.execute(
            f"SELECT slot, symbol, strftime(date, '%m-%d'), close, partial, gone FROM history.bars WHERE {where} "
            "ORDER BY materialization_id, symbol, date"
        ).fetchall()


def test_only_what_is_new_or_changed_is_stored_and_every_frame_is_rebuilt(history: History) -> None:
    frames = {
        MORNING: bars_of(
            MSFT={"2026-11-19": 50.0, "2026-11-20*": 51.0}, AAPL={"2026-11-19": 10.0, "2026-11-20*": 10.1}
        ),
        NOON: bars_of(AAPL={"2026-11-19": 10.0, "2026-11-20*": 10.2}, MSFT={"2026-11-19": 50.0, "2026-11-20*": 51.0}),
        NEXT: bars_of(AAPL={"2026-11-20": 10.3, "2026-11-23*": 10.4}, NVDA={"2026-11-20": 99.0}),
    }
    made = {slot: record(history, frame, slot) for slot, frame in frames.items()}
    for slot, frame in frames.items():
        back = history.frame(made[slot].id)
        pd.testing.assert_frame_equal(back, frame)
        assert data_hash("bars", back) == made[slot].data_hash
    assert stored_rows(history, f"slot > '{MORNING}'") == [
        (NOON, "AAPL", "11-20", 10.2, True, False),
        (NEXT, "AAPL", "11-20", 10.3, False, False),
        (NEXT, "AAPL", "11-23", 10.4, True, False),
        (NEXT, "NVDA", "11-20", 99.0, False, False),
    ]


def test_a_bar_that_vanishes_leaves_a_row_that_says_so_and_may_return(history: History) -> None:
    whole = bars_of(AAPL={"2026-11-17": 1.0, "2026-11-18": 2.0, "2026-11-19": 3.0})
    gap = bars_of(AAPL={"2026-11-17": 1.0, "2026-11-19": 3.0})
    made = [record(history, frame, slot) for slot, frame in ((MORNING, whole), (NOON, gap), (NEXT, whole))]
    for materialization, frame in zip(made, (whole, gap, whole), strict=True):
        pd.testing.assert_frame_equal(history.frame(materialization.id), frame)
    assert stored_rows(history, f"slot > '{MORNING}'") == [
        (NOON, "AAPL", "11-18", None, None, True),
        (NEXT, "AAPL", "11-18", 2.0, False, False),
    ]


def test_bars_before_or_after_a_frame_are_not_taken_for_vanished(history: History) -> None:
    record(history, bars_of(AAPL={"2026-11-17": 1.0, "2026-11-18": 2.0, "2026-11-19": 3.0}), MORNING)
    record(history, bars_of(AAPL={"2026-11-18": 2.0}), NOON)
    assert len(stored_rows(history)) == 3
    assert len(history.kept_bars(PAPER, NOON)) == 3


def test_a_split_changes_the_past_without_touching_what_was_seen(history: History) -> None:
    before = bars_of(AAPL={"2026-11-18": 100.0, "2026-11-19": 104.0})
    after = bars_of(AAPL={"2026-11-18": 50.0, "2026-11-19": 52.0})
    made = record(history, before, MORNING), record(history, after, NOON)
    pd.testing.assert_frame_equal(history.frame(made[0].id), before)
    pd.testing.assert_frame_equal(history.frame(made[1].id), after)


YESTERDAY: dict[str, float | None] = {
    "2026-11-16": 1.0, "2026-11-17": 2.0, "2026-11-18": 3.0, "2026-11-19": 4.0, "2026-11-20*": 5.0,
}  # fmt: skip
TODAY: dict[str, float | None] = {
    "2026-11-17": 2.0, "2026-11-18": 3.0, "2026-11-19": 4.0, "2026-11-20": 5.5, "2026-11-23*": 6.0,
}  # fmt: skip
DONE_AND_BEGUN = [(NEXT, "AAPL", "11-20", 5.5, False, False), (NEXT, "AAPL", "11-23", 6.0, True, False)]


@pytest.mark.parametrize(
    ("past", "row"),
    [
        ({"2026-11-17": 2.5}, (NEXT, "AAPL", "11-17", 2.5, False, False)),
        ({"2026-11-18": np.nan}, (NEXT, "AAPL", "11-18", None, False, False)),
        ({"2026-11-18": None}, (NEXT, "AAPL", "11-18", None, None, True)),
        ({"2026-11-18": None, "2026-11-18*": 3.0}, (NEXT, "AAPL", "11-18", 3.0, True, False)),
    ],
    ids=["changed", "missing", "gone", "partial"],
)
def test_a_session_later_the_past_is_still_compared(
    history: History, past: dict[str, float | None], row: tuple[object, ...]
) -> None:
    given = {date: close for date, close in sorted((TODAY | past).items()) if close is not None}
    frames = bars_of(AAPL=YESTERDAY, MSFT=YESTERDAY), bars_of(AAPL={**given}, MSFT=TODAY)
    record(history, frames[0], MORNING)
    made = record(history, frames[1], NEXT)
    assert stored_rows(history, f"slot = '{NEXT}' AND symbol = 'AAPL'") == [row, *DONE_AND_BEGUN]
    assert len(stored_rows(history, f"slot = '{NEXT}' AND symbol = 'MSFT'")) == len(DONE_AND_BEGUN)
    pd.testing.assert_frame_equal(history.frame(made.id), frames[1])


def test_a_session_later_an_unchanged_past_is_not_read_again(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    record(history, bars_of(AAPL=YESTERDAY), MORNING)
    reading = "SELECT error('read before ' || $since || $source || $symbols[1])"
    monkeypatch.setattr(bars_module, "_SETTLED_BEFORE", reading)
    record(history, bars_of(AAPL=TODAY), NEXT)
    assert stored_rows(history, f"slot = '{NEXT}'") == DONE_AND_BEGUN
    with pytest.raises(duckdb.Error, match="read before 2026-11-23"):
        record(history, bars_of(AAPL=TODAY | {"2026-11-17": 2.5}), "2026-11-24T09:30")


def test_a_zero_that_changes_its_sign_is_no_change(history: History) -> None:
    made = [record(history, bars_of(AAPL={"2026-11-19": close}), NOON) for close in (0.0, -0.0)]
    assert made[0].data_hash == made[1].data_hash
    assert len(stored_rows(history)) == 1


def test_two_accounts_never_mix(history: History) -> None:
    paper = bars_of(AAPL={"2026-11-19": 10.0, "2026-11-20*": 10.1})
    real = bars_of(AAPL={"2026-11-19": 250.0})
    made = record(history, paper, MORNING, PAPER), record(history, real, MORNING, REAL)
    pd.testing.assert_frame_equal(history.frame(made[0].id), paper)
    pd.testing.assert_frame_equal(history.frame(made[1].id), real)
    pd.testing.assert_frame_equal(history.kept_bars(REAL, NOON), real)
    assert history.kept_bars("U0", NOON).empty


def test_a_bar_that_two_accounts_agree_on_is_kept_for_both(history: History) -> None:
    bars = bars_of(AAPL={"2026-11-19": 10.0, "2026-11-20*": 10.1})
    record(history, bars, MORNING, PAPER)
    record(history, bars, MORNING, REAL)
    for source in (PAPER, REAL):
        pd.testing.assert_frame_equal(history.kept_bars(source, NOON), bars)


def test_a_final_bar_that_was_partial_again_in_between_is_final_for_people_too(history: History) -> None:
    final, partial = bars_of(AAPL={"2026-11-19": 10.0}), bars_of(AAPL={"2026-11-19*": 10.0})
    for slot, frame in ((MORNING, final), (NOON, partial), (NEXT, final)):
        record(history, frame, slot)
    with duckdb.connect(history.publish(), read_only=True) as reader:
        assert reader.execute("SELECT partial FROM current.bars").fetchall() == [(False,)]


def test_kept_bars_are_the_newest_known_up_to_the_slot(history: History) -> None:
    record(history, bars_of(AAPL={"2026-11-19": 10.0, "2026-11-20*": 10.1}, MSFT={"2026-11-20*": 51.0}), MORNING)
    record(history, bars_of(AAPL={"2026-11-19": 10.0, "2026-11-20*": 10.2}), NOON)
    record(history, bars_of(AAPL={"2026-11-20": 10.3, "2026-11-23*": 10.4}), NEXT)
    pd.testing.assert_frame_equal(
        history.kept_bars(PAPER, NOON),
        bars_of(AAPL={"2026-11-19": 10.0, "2026-11-20*": 10.2}, MSFT={"2026-11-20*": 51.0}),
    )
    # What was still partial when its session ended is not known any better now, so it is not offered as kept.
    pd.testing.assert_frame_equal(
        history.kept_bars(PAPER, NEXT), bars_of(AAPL={"2026-11-19": 10.0, "2026-11-20": 10.3, "2026-11-23*": 10.4})
    )
    assert history.kept_bars(PAPER, "2026-11-19T15:45").empty


def test_people_see_the_newest_bars_and_any_slots_frame(history: History) -> None:
    morning = bars_of(MSFT={"2026-11-20*": 51.0}, AAPL={"2026-11-19": 10.0, "2026-11-20*": 10.1})
    record(history, morning, MORNING)
    record(history, bars_of(AAPL={"2026-11-19": 10.0, "2026-11-20": 10.3}), NEXT)
    with duckdb.connect(history.publish(), read_only=True) as reader:
        newest = reader.execute("SELECT symbol, day(date), close FROM current.bars ORDER BY symbol, date").fetchall()
        then = reader.execute(f"SELECT symbol, day(date), close FROM history.bars_as_of('{NOON}')").fetchall()
    assert newest == [("AAPL", 19, 10.0), ("AAPL", 20, 10.3), ("MSFT", 20, 51.0)]
    assert then == [("MSFT", 20, 51.0), ("AAPL", 19, 10.0), ("AAPL", 20, 10.1)]


def test_bars_out_of_order_are_refused(history: History) -> None:
    for disorder in (
        bars_of(AAPL={"2026-11-20": 1.0, "2026-11-19": 2.0}),
        pd.concat(
            [bars_of(AAPL={"2026-11-19": 1.0}), bars_of(B={"2026-11-19": 1.0}), bars_of(AAPL={"2026-11-20": 1.0})]
        ),
    ):
        with pytest.raises(HistoryError, match="grouped by symbol, oldest first"):
            record(history, disorder, MORNING)
    assert history.latest("bars", MORNING) is None


def test_bars_need_their_account(history: History) -> None:
    with pytest.raises(ValueError, match="source"):
        history.append("bars", bars_of(AAPL={"2026-11-19": 1.0}), slot=MORNING, **MADE)


_CLOSES = st.sampled_from([1.0, 1.5, 0.0, -0.0, np.nan])
_SYMBOL_BARS = st.dictionaries(st.integers(1, 6), st.tuples(_CLOSES, st.booleans()), max_size=6)
_FRAMES = st.dictionaries(st.sampled_from("ABC"), _SYMBOL_BARS, max_size=3)
_READINGS = st.lists(st.tuples(_FRAMES, st.sampled_from([PAPER, REAL]), st.integers(9, 12)), min_size=1, max_size=6)


@settings(max_examples=25)
@given(readings=_READINGS)
def test_whatever_the_broker_gives_in_whatever_order_every_frame_is_rebuilt(
    readings: list[tuple[dict[str, dict[int, tuple[float, bool]]], str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    history = History(tmp_path_factory.mktemp("home"))
    made = []
    for symbols, source, hour in readings:
        rows = [
            {"symbol": symbol, "date": pd.Timestamp(2026, 11, day), "open": 1.0, "high": 1.0, "low": 1.0,
             "close": close, "volume": 1.0, "partial": partial}
            for symbol, bars in symbols.items() for day, (close, partial) in sorted(bars.items())
        ]  # fmt: skip
        frame = validate("bars", pd.DataFrame(rows, columns=list(FRAMES["bars"].columns)))
        made.append((frame, record(history, frame, f"2026-11-06T{hour:02d}:30", source)))
    for frame, materialization in made:
        back = history.frame(materialization.id)
        pd.testing.assert_frame_equal(back, frame)
        assert data_hash("bars", back) == materialization.data_hash
