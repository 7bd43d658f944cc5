"""Frames picked from one reading of a session's bars are the frames a query rebuilds one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_pipeline.history import bars
from quant_pipeline.history.bars_replay import BarsReplay
from quant_pipeline.history.store import History
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline_tests.history.recorded_frames import MADE, bars_of

DAYS = ("2026-11-16", "2026-11-17", "2026-11-18", "2026-11-19")
PRICES = st.sampled_from([9.5, 10.0, 10.5])


@st.composite
def sessions(draw: st.DrawFn) -> list[tuple[str, dict[str, dict[str, float | None]]]]:
    """Frames of a few sessions: bars appear, change, vanish; the last one of each stock is partial or not."""
    frames = []
    for day in range(2, len(DAYS) + 1):
        for quarter in range(draw(st.integers(1, 2))):
            frame: dict[str, dict[str, float | None]] = {}
            for symbol in draw(st.permutations(["A", "B", "C"])):
                known = draw(st.lists(st.sampled_from(DAYS[: day - 1]), unique=True, max_size=3))
                bars_of_stock: dict[str, float | None] = {date: draw(PRICES) for date in sorted(known)}
                if draw(st.booleans()):
                    bars_of_stock[DAYS[day - 1] + draw(st.sampled_from(["", "*"]))] = draw(PRICES)
                if bars_of_stock:
                    frame[symbol] = bars_of_stock
            frames.append((f"{DAYS[day - 1]}T10:{15 * quarter:02d}", frame))
    return frames


@settings(max_examples=8)
@given(frames=sessions())
def test_each_frame_is_what_the_history_rebuilds(
    tmp_path_factory: pytest.TempPathFactory, frames: list[tuple[str, dict[str, dict[str, float | None]]]]
) -> None:
    home = tmp_path_factory.mktemp("replay")
    history = History(home)
    made = [history.append("bars", bars_of(**frame), slot=slot, source="DU1", **MADE) for slot, frame in frames]
    with WorkingFile(home).reading() as connection:
        replay = BarsReplay(connection, [one.id for one in made])
        for one in made:
            assert replay.frame(one.id).equals(bars.read(connection, one.id))
            assert list(replay.faults(one.id, one.slot)) == []


def test_accounts_do_not_mix(tmp_path: Path) -> None:
    history = History(tmp_path)
    first = history.append("bars", bars_of(A={"2026-11-18": 10.0}), slot="2026-11-19T10:15", source="DU1", **MADE)
    other = history.append("bars", bars_of(A={"2026-11-18": 11.0}), slot="2026-11-19T10:15", source="DU2", **MADE)
    with WorkingFile(tmp_path).reading() as connection:
        replay = BarsReplay(connection, [first.id, other.id])
    assert replay.frame(first.id)["close"].to_pylist() == [10.0]
    assert replay.frame(other.id)["close"].to_pylist() == [11.0]


def test_a_history_without_bars_has_no_frames(tmp_path: Path) -> None:
    history = History(tmp_path)
    empty = history.append("bars", bars_of(), slot="2026-11-19T10:15", source="DU1", **MADE)
    with WorkingFile(tmp_path).reading() as connection:
        replay = BarsReplay(connection, [empty.id])
    assert replay.frame(empty.id).num_rows == 0
    assert list(replay.faults(empty.id, "2026-11-19T10:15")) == []
