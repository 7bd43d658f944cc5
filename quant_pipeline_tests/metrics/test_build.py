"""Building the metrics: the real dbt on a copy, and nothing changed unless all of it went well."""

from __future__ import annotations

import fcntl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from quant_pipeline.errors import HistoryError, MetricsError
from quant_pipeline.history.store import History
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline.metrics import build, project
from quant_pipeline.metrics.build import MetricsBuild, build_metrics, prepare
from quant_pipeline.settings import Settings
from quant_pipeline_tests.metrics.small_project import append, record, write_project

OLD = "CREATE TABLE metrics.counts AS SELECT 1 AS of_before; CREATE VIEW metrics.gone AS SELECT 2"


pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True)
class Built:
    """A home after a build on a history with older metrics, while another version was recorded."""

    settings: Settings
    result: MetricsBuild
    files_during: set[str]
    versions_in_the_copy: int

    @property
    def work(self) -> Path:
        return self.settings.home / "working" / "metrics"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("build")
    settings = record(folder / "home")
    with_old_metrics(settings)
    left_by_a_crash = folder / "home" / "working" / "metrics" / "history.duckdb.wal"
    left_by_a_crash.parent.mkdir(parents=True)
    left_by_a_crash.write_bytes(b"half a log")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(project, "PROJECT", write_project(folder / "small"))
        with prepare(settings) as prepared:
            files_during = {path.name for path in prepared.copy.parent.iterdir()}
            append(History(settings.home))
            dbt = subprocess.run(
                [project.dbt_program(), *prepared.arguments], check=False, timeout=90,
                env=project.process_environment(prepared.copy, prepared.target), cwd=folder, capture_output=True,
            )  # fmt: skip
            with duckdb.connect(prepared.copy, read_only=True) as copy:
                versions = copy.execute("SELECT max(versions) FROM metrics.counts").fetchone()
            result = prepared.finish(dbt.returncode)
    return Built(settings, result, files_during, versions[0] if versions else -1)


def with_old_metrics(settings: Settings) -> None:
    with WorkingFile(settings.home).transaction() as connection:
        connection.execute(OLD)


def metrics_of(settings: Settings) -> dict[str, list[tuple[object, ...]]]:
    """Every relation of the metrics in the working file, by name, with its rows."""
    with WorkingFile(settings.home).transaction() as connection:
        names = connection.execute(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_catalog = 'history' AND table_schema = 'metrics' ORDER BY ALL"
        ).fetchall()
        return {name: connection.execute(f"FROM metrics.{name}").fetchall() for (name,) in names}


def test_what_dbt_built_replaces_what_was_there(built: Built) -> None:
    assert metrics_of(built.settings) == {"counts": [("quality_filter", 1)], "busiest": [("quality_filter",)]}
    assert built.result.rows == {"counts": 1, "busiest": None}


def test_what_was_built_is_published_with_its_explanations(built: Built) -> None:
    with duckdb.connect(built.result.published, read_only=True) as reader:
        assert reader.execute("FROM metrics.busiest").fetchall() == [("quality_filter",)]
        explained = reader.execute(
            "SELECT comment FROM duckdb_tables() WHERE schema_name = 'metrics' UNION ALL "
            "SELECT comment FROM duckdb_views() WHERE schema_name = 'metrics' UNION ALL "
            "SELECT comment FROM duckdb_columns() WHERE schema_name = 'metrics' AND column_name = 'asset' "
            "AND table_name = 'counts'"
        ).fetchall()
    assert explained == [
        ("How often each asset was stored; it's counted.",),
        ("Those that were stored at all.",),
        ("Name of the asset.",),
    ]


def test_recording_goes_on_while_dbt_works_and_is_not_lost(built: Built) -> None:
    assert built.versions_in_the_copy == 1, "the copy is of the moment when the build began"
    assert History(built.settings.home).count() == 2


def test_the_copy_is_there_for_the_build_only_and_so_is_what_a_crash_left(built: Built) -> None:
    assert built.files_during == {"history.duckdb", "build.lock", "target"}
    assert {path.name for path in built.work.iterdir()} == {"build.lock", "target"}


def test_the_frames_keep_their_small_row_groups(built: Built) -> None:
    with duckdb.connect(built.result.published, read_only=True) as reader:
        groups = reader.execute(
            "SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('main.quality_filter')"
        ).fetchone()
    assert groups is not None
    assert groups[0] > 1


def test_a_failed_test_is_named_and_the_metrics_of_before_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = record(tmp_path / "home")
    with_old_metrics(settings)
    failing = write_project(tmp_path / "small", test="select * from {{ ref('counts') }}")
    monkeypatch.setattr(project, "PROJECT", failing)
    with pytest.raises(MetricsError, match=r"the test no_count_is_negative failed \(Got 1 result.*stand as they were"):
        build_metrics(settings)
    assert metrics_of(settings) == {"counts": [(1,)], "gone": [(2,)]}
    assert not (settings.home / "history.duckdb").exists()
    assert not (settings.home / "working" / "metrics" / "history.duckdb").exists()


def test_a_model_that_cannot_be_built_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = record(tmp_path / "home")
    monkeypatch.setattr(project, "PROJECT", write_project(tmp_path / "small", counts="select no_such_column"))
    with pytest.raises(MetricsError, match=r"the model counts failed \(.*no_such_column.*stand as they were") as said:
        build_metrics(settings)
    assert "\n" not in str(said.value)


def test_a_project_that_cannot_be_read_is_told_in_dbts_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = record(tmp_path / "home")
    monkeypatch.setattr(project, "PROJECT", write_project(tmp_path / "small", counts="select {{ 1"))
    with pytest.raises(MetricsError, match=r"Compilation Error.*counts.*its log is .*dbt\.log\.$") as said:
        build_metrics(settings)
    assert "\n" not in str(said.value)


def test_of_two_builds_at_once_one_waits_for_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = record(tmp_path / "home")
    monkeypatch.setattr(build, "WAIT_SECONDS", 30.0)
    order: list[str] = []

    def second() -> None:
        with prepare(settings):
            order.append("second")

    with prepare(settings):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(timeout=0.5)
        order.append("first")
    waiting.join(timeout=30)
    assert order == ["first", "second"]


def test_a_build_that_goes_on_for_too_long_refuses_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = record(tmp_path / "home")
    monkeypatch.setattr(build, "WAIT_SECONDS", 0.1)
    lock = settings.home / "working" / "metrics" / "build.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(HistoryError, match=r"metrics of .*home are being built by another process"):
            build_metrics(settings)


def test_without_a_record_there_is_nothing_to_measure_and_nothing_is_made(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(HistoryError, match="Nothing is recorded yet; start with quant-pipeline run"):
        build_metrics(Settings(home=home))
    assert not home.exists()
