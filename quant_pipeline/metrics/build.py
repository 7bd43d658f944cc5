"""Building the metrics: dbt works on a private copy of the history, and what it built is taken over when all went well.

dbt holds its file for seconds and writes to it before its tests have run. So it never sees the working file: it gets a
copy, and only when every model was built and every test passed are the metrics of the working file replaced, in one
transaction, and the history published. Whatever goes wrong before that leaves the metrics of before as they were.
``quant-pipeline report`` calls ``build_metrics``; the Dagster asset runs dbt by itself between ``prepare`` and
``PreparedBuild.finish``; ``quant-pipeline verify`` only looks at what would be taken over (``rebuild_metrics``). Only
one build goes on in a home at a time.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from quant_pipeline.errors import MetricsError
from quant_pipeline.history.file_lock import locked
from quant_pipeline.history.metrics_tables import BuiltRelation, MadeFrom, read_built, record_of
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline.metrics.project import (
    MANIFEST,
    build_arguments,
    dbt_environment,
    dbt_program,
    definitions_stamp,
    first_error,
    keep_parsing,
    process_environment,
    recall_parsing,
    variables,
)
from quant_pipeline.settings import Settings

WAIT_SECONDS = 120.0
BUILD_SECONDS = 600.0
RESULTS = "run_results.json"
LOG = "dbt.log"
_FAILURES = frozenset({"error", "fail", "runtime error", "partial success"})
_UNCHANGED = "the metrics of before stand as they were"


@dataclass(frozen=True)
class MetricsBuild:
    """What came of a build: rows of each relation (None for a view), tests that warned, and where it is published.

    ``seconds`` says where the time went: copy, dbt, take_over, publish.
    """

    rows: dict[str, int | None]
    warnings: tuple[str, ...]
    published: Path
    seconds: dict[str, float]


@dataclass(frozen=True)
class PreparedBuild:
    """A copy of the history that dbt is to build the metrics in; run dbt with these, then call ``finish``."""

    history: History
    copy: Path
    target: Path
    arguments: tuple[str, ...]
    variables: str
    _seconds: dict[str, float] = field(default_factory=dict)
    _ready: float = field(default_factory=time.monotonic)

    @property
    def environment(self) -> dict[str, str]:
        """What dbt reads from its environment."""
        return dbt_environment(self.copy, self.target)

    def finish(self, exit_status: int) -> MetricsBuild:
        """Take the metrics over into the history and publish it, if dbt says that all went well.

        Raises ``MetricsError`` that names the first model or test that failed; nothing is changed then.
        """
        ran = time.monotonic()
        built, results = self.built(exit_status)
        self.history.take_over_metrics(built, self._source(results))
        taken = time.monotonic()
        published = self.history.publish()
        seconds = {
            **self._seconds,
            "dbt": ran - self._ready,
            "take_over": taken - ran,
            "publish": time.monotonic() - taken,
        }
        return MetricsBuild(
            rows={relation.name: relation.row_count for relation in built},
            warnings=tuple(_name(result) for result in results if result["status"] == "warn"),
            published=published,
            seconds={step: round(value, 3) for step, value in seconds.items()},
        )

    def built(self, exit_status: int) -> tuple[list[BuiltRelation], list[dict[str, Any]]]:
        """What dbt built in the copy, if it says that all went well, and what it says of each node.

        Raises ``MetricsError`` as ``finish`` does.
        """
        results = _results(self.target)
        if exit_status != 0 or results is None:
            raise MetricsError(_what_failed(results, self.target))
        keep_parsing(self.target)
        try:
            return read_built(self.copy, [str(node["alias"]) for node in self._relations()]), results
        except duckdb.Error as error:
            raise MetricsError(
                f"What dbt built cannot be read ({str(error).splitlines()[0]}); {_UNCHANGED}, build them again."
            ) from error

    def _source(self, results: list[dict[str, Any]]) -> MadeFrom | None:
        """What all relations were made from; None when some were left as an earlier build made them."""
        made = {result["unique_id"] for result in results}
        if not made >= {node["unique_id"] for node in self._relations()}:
            return None
        with duckdb.connect(self.copy, read_only=True) as connection:
            return MadeFrom(*record_of(connection), definitions_stamp(), self.variables)

    def _relations(self) -> list[Mapping[str, Any]]:
        """The tables and views the project has; those of a model that is gone are not among them."""
        manifest = json.loads((self.target / MANIFEST).read_text(encoding="utf-8"))
        return [
            node
            for node in manifest["nodes"].values()
            if node["resource_type"] in {"model", "seed", "snapshot"} and node["config"]["materialized"] != "ephemeral"
        ]


def build_metrics(settings: Settings) -> MetricsBuild:
    """Build the metrics of everything that is recorded, take them over and publish the history.

    Raises ``MetricsError`` when a model or a test failed or dbt did not end in time, and ``HistoryError`` when nothing
    is recorded, the history cannot be had or another build goes on for long; nothing is changed then.
    """
    with prepare(settings) as build:
        return build.finish(_run(build))


def rebuild_metrics(settings: Settings) -> list[BuiltRelation]:
    """What ``build_metrics`` would take over, for those who compare: the record and its metrics stay as they are.

    Raises the same errors.
    """
    with prepare(settings, follow_journal=False) as build:
        return build.built(_run(build))[0]


def _run(build: PreparedBuild) -> int:
    """Run dbt and return its exit status."""
    try:
        finished = subprocess.run(
            [dbt_program(), *build.arguments],
            env=process_environment(build.copy, build.target),
            cwd=build.target,
            capture_output=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MetricsError(
            f"dbt did not build the metrics within {BUILD_SECONDS:g} s; {_UNCHANGED}, see {build.target / LOG}."
        ) from error
    return finished.returncode


@contextmanager
def prepare(settings: Settings, *, follow_journal: bool = True) -> Iterator[PreparedBuild]:
    """A copy of the history, order journal included, for one build; it is gone when the block ends.

    Builds of a home take turns. What dbt compiled and logged stays below ``working/metrics`` until the next one: it
    says what went wrong, and saves the next build the parsing.
    """
    folder = settings.home / "working" / "metrics"
    with WorkingFile(settings.home).reading():
        pass  # nothing is made in a home where nothing is recorded
    with locked(folder / "build.lock", WAIT_SECONDS, f"The metrics of {settings.home} are being built"):
        started = time.monotonic()
        copy, target = folder / "history.duckdb", folder / "target"
        _remove(copy)  # left by a build that was killed
        target.mkdir(exist_ok=True)
        for leftover in (target / RESULTS, target / LOG):
            leftover.unlink(missing_ok=True)
        recall_parsing(target)
        history = History(settings.home)
        if follow_journal:
            _mirror(history, settings)
        try:
            history.copy_to(copy)
            arguments, told = build_arguments(settings), variables(settings)
            yield PreparedBuild(history, copy, target, arguments, told, _seconds={"copy": time.monotonic() - started})
        finally:
            _remove(copy)


def _mirror(history: History, settings: Settings) -> None:
    journal = OrderJournal(settings.home)
    if not journal.path.exists():
        return  # a copy taken elsewhere, or nothing was ever ordered
    try:
        history.mirror_journal(journal)
    finally:
        journal.close()


def _remove(copy: Path) -> None:
    for path in copy.parent.glob(f"{copy.name}*"):
        path.unlink(missing_ok=True)


def _results(target: Path) -> list[dict[str, Any]] | None:
    """What dbt says of each node, in the order they ended; None when it did not get that far."""
    path = target / RESULTS
    return json.loads(path.read_text(encoding="utf-8"))["results"] if path.is_file() else None


def _what_failed(results: list[dict[str, Any]] | None, target: Path) -> str:
    log = target / LOG
    failure = next((result for result in results or () if result["status"] in _FAILURES), None)
    if failure is None:
        words = first_error(log.read_text(encoding="utf-8")) if log.is_file() else ""
        return f"The metrics could not be built: dbt said {words or 'nothing'}; {_UNCHANGED}, its log is {log}."
    kind = failure["unique_id"].partition(".")[0]
    words = " ".join((failure["message"] or failure["status"]).split()).rstrip(".")
    return f"The metrics could not be built: the {kind} {_name(failure)} failed ({words}); {_UNCHANGED}, see {log}."


def _name(result: Mapping[str, Any]) -> str:
    return str(result["unique_id"]).split(".")[2]
