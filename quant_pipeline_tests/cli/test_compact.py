"""``quant-pipeline compact`` as a person runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_pipeline.cli.compact import compact_history
from quant_pipeline.errors import HistoryError
from quant_pipeline.history.store import History
from quant_pipeline.settings import RetentionSettings, Settings
from quant_pipeline_tests.history.recorded_frames import MADE, indicators


def test_it_says_what_was_given_up_and_what_the_file_takes_now(tmp_path: Path) -> None:
    history = History(tmp_path)
    for day in (18, 19, 20):
        history.append("indicators", indicators(5), slot=f"2026-11-{day}T10:15", **MADE)
    said: list[str] = []
    compact_history(Settings(home=tmp_path, retention=RetentionSettings(keep_sessions=1)), said.append)
    assert said[0] == "2 versions of frames from before 2026-11-20 given up, 10 rows"
    assert "written anew: " in said[1]
    assert history.published.exists()


def test_it_gives_nothing_up_unless_the_settings_say_so(tmp_path: Path) -> None:
    history = History(tmp_path)
    made = [history.append("indicators", indicators(5), slot=f"2026-11-{day}T10:15", **MADE) for day in (19, 20)]
    said: list[str] = []
    compact_history(Settings(home=tmp_path), said.append)
    assert len(said) == 1
    assert [len(history.frame(one.id)) for one in made] == [5, 5]


def test_a_home_without_a_history_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="Nothing is recorded yet; start with quant-pipeline run"):
        compact_history(Settings(home=tmp_path), lambda _: None)
    assert list(tmp_path.iterdir()) == []
