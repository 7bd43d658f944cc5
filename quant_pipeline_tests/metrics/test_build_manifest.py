"""dbt's manifest is made once for each state of the project, outside the source tree, and says what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from quant_pipeline.errors import MetricsError
from quant_pipeline.metrics import project
from quant_pipeline.metrics.project import PARSED, build_arguments, keep_parsing, manifest_path, recall_parsing
from quant_pipeline.settings import load_settings
from quant_pipeline_tests.metrics.small_project import write_project


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of the test's own, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = write_project(tmp_path / "small")
    monkeypatch.setattr(project, "PROJECT", folder)
    return folder


def test_the_project_is_parsed_once_and_again_when_a_file_changes(small: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in small.rglob("*") if path.is_file()}
    first = manifest_path()
    made_at = first.stat().st_mtime_ns
    assert "model.small.counts" in json.loads(first.read_text(encoding="utf-8"))["nodes"]
    assert manifest_path() == first
    assert first.stat().st_mtime_ns == made_at
    assert {path: path.read_bytes() for path in small.rglob("*") if path.is_file()} == before
    (small / "models" / "more.sql").write_text("select 1 as one", encoding="utf-8")
    second = manifest_path()
    assert second != first
    assert "model.small.more" in json.loads(second.read_text(encoding="utf-8"))["nodes"]
    (small / "models" / "more.sql").unlink()
    assert manifest_path() == first, "the state of before is still known"
    assert {path.name for path in second.parents[1].iterdir()} == {first.parent.name, second.parent.name, "parse.lock"}


def test_a_project_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "PROJECT", tmp_path / "nowhere")
    with pytest.raises(MetricsError, match="nowhere is not there; install quant-pipeline from a whole clone"):
        manifest_path()


def test_a_cache_that_cannot_be_written_is_said(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    with pytest.raises(MetricsError, match=r"cannot be used .*set XDG_CACHE_HOME to another"):
        manifest_path()


def test_what_one_build_parsed_the_first_build_of_another_home_begins_with(small: Path, tmp_path: Path) -> None:
    one, another, third = (tmp_path / name for name in ("one", "another", "third"))
    for target in (one, another, third):
        target.mkdir()
    recall_parsing(another)
    assert list(another.iterdir()) == [], "nothing was parsed yet"
    (one / PARSED).write_bytes(b"parsed")
    keep_parsing(one)
    recall_parsing(another)
    assert (another / PARSED).read_bytes() == b"parsed"
    (another / PARSED).write_bytes(b"parsed with other settings")
    recall_parsing(another)
    assert (another / PARSED).read_bytes() == b"parsed with other settings"
    (small / "models" / "more.sql").write_text("select 1 as one", encoding="utf-8")
    recall_parsing(third)
    assert list(third.iterdir()) == [], "it is of other files"


@pytest.mark.usefixtures("small")
def test_a_cache_that_cannot_be_written_costs_a_build_nothing_but_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / PARSED).write_bytes(b"parsed")
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    keep_parsing(tmp_path)
    (tmp_path / PARSED).unlink()
    recall_parsing(tmp_path)
    assert not (tmp_path / PARSED).exists()


def test_the_settings_reach_the_models_and_change_no_decision(tmp_path: Path) -> None:
    usual = load_settings(home=tmp_path)
    other = load_settings(home=tmp_path, metrics={"risk_free_rate_pct": 4.5})
    arguments = build_arguments(other)
    told = json.loads(arguments[arguments.index("--vars") + 1])
    assert told == {"risk_free_rate_pct": 4.5, "sessions_per_year": 252}
    assert other.decision_hash == usual.decision_hash


def test_another_dbt_projects_environment_does_not_reach_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBT_TARGET", "production")
    environment = project.process_environment(tmp_path / "h.duckdb", tmp_path / "target")
    assert "DBT_TARGET" not in environment
    assert environment["QUANT_HISTORY"] == str(tmp_path / "h.duckdb")


def test_dbt_keeps_what_it_compiles_where_it_may_not_beside_the_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    (tmp_path / "compiled_once.py").write_text("", encoding="utf-8")
    environment = project.process_environment(tmp_path / "h.duckdb", tmp_path / "target")
    command = [sys.executable, "-c", "import compiled_once"]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, timeout=60)
    assert [path.name.partition(".")[0] for path in tmp_path.rglob("compiled_once*.pyc")] == ["compiled_once"]
    assert not (tmp_path / "__pycache__").exists()


def test_where_bytecode_goes_is_else_left_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    environment = project.process_environment(tmp_path / "h.duckdb", tmp_path / "target")
    assert not {"PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"} & environment.keys()
