"""What a year in the history costs beside what it may cost: bytes a slot, milliseconds of whatever is done with it.

``python -m benchmarks.history_year [--home DIR] [--sessions 252]``; without ``--home`` a year is generated first, which
takes a quarter of an hour (``generated_year``). The home is copied, never changed. What is appended is the year's last
session, which is taken out of it first; it takes turns with appending the same to a history that is new, so that what
else the machine does weighs on both; the ratio is of medians. Wall time and the time of the processor stand side by
side: where they differ, the machine was busy.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import duckdb
import pandas as pd

from benchmarks.generated_market import ACCOUNT
from benchmarks.generated_year import INPUTS, SESSIONS, generate
from quant_pipeline.history.store import History, Materialization
from quant_pipeline.history.working_file import WorkingFile

Result = TypeVar("Result")

BYTES_A_SLOT = 100_000
APPEND_MS, APPEND_RATIO, AS_OF_MS = 50, 1.5, 200
PROCESS_MS, BUILD_MS = 1000, 15_000
WARM_UP, COMPARED, READINGS = 2, 8, 5
BUILD = "from quant_pipeline.metrics.build import build_metrics; from quant_pipeline.settings import load_settings; "
BUILD += "build_metrics(load_settings())"


@dataclass
class Times:
    """Seconds by the clock on the wall and by the processor's, those of processes that ended included."""

    taken: list[tuple[float, float]] = field(default_factory=list)

    def time(self, work: Callable[[], Result]) -> Result:
        """Do something and note how long it took."""
        wall, processor = time.perf_counter(), _processor_seconds()
        result = work()
        self.taken.append((time.perf_counter() - wall, _processor_seconds() - processor))
        return result

    @property
    def wall(self) -> float:
        """Median milliseconds by the clock on the wall."""
        return statistics.median(wall for wall, _ in self.taken) * 1e3

    @property
    def processor(self) -> float:
        """Median milliseconds of the processor."""
        return statistics.median(processor for _, processor in self.taken) * 1e3


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="a home that holds a generated year; it is copied")
    parser.add_argument(
        "--sessions", type=int, default=SESSIONS, help="sessions of the year to generate without --home"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        year = Path(scratch) / "year"
        if options.home is None:
            year.mkdir()
            generate(year, sessions=options.sessions)
        else:
            shutil.copytree(options.home, year)
        history = History(year)
        slots = measure_size(history)
        measure_readings(history, slots)
        measure_processes(history)
        measure_appends(history, History(Path(scratch) / "new"), slots)
        measure_upkeep(history)


def measure_size(history: History) -> list[str]:
    """Bytes a slot, by tables too; returns the recorded slots."""
    size = history.published.stat().st_size
    with duckdb.connect(history.published, read_only=True) as reader:
        found = reader.execute("SELECT DISTINCT slot FROM lineage.materializations ORDER BY slot").fetchall()
        versions = reader.execute("SELECT count(*) FROM lineage.materializations").fetchall()[0][0]
    slots = [slot for (slot,) in found]
    print(f"{len(slots)} slots from {slots[0]} to {slots[-1]}, {versions:,} versions, {size / 1e6:.1f} MB")
    _line("bytes a slot", size / len(slots) / 1e3, "kB", BYTES_A_SLOT / 1e3)
    return slots


def measure_readings(history: History, slots: list[str]) -> None:
    """Frames as of the first, the middle and the last slot, and what else assets ask for."""
    for place, slot in (("first", slots[0]), ("middle", slots[len(slots) // 2]), ("last", slots[-1])):
        for asset in ("bars", "indicators", "scores"):
            made = history.latest(asset, slot)
            assert made is not None, (asset, slot)
            _reading(f"{asset} as of the {place} slot", partial(history.frame, made.id), AS_OF_MS)
    executions = history.latest("executions", slots[-1])
    assert executions is not None
    _reading("latest", lambda: history.latest("scores", slots[-1]))
    _reading("recorded", lambda: history.recorded("scores", slots[-1]))
    _reading("newest", lambda: history.newest("portfolio_status"))
    _reading("chain of executions", lambda: history.chain(executions.id))
    source = history.frame(history.chain(executions.id)[1].id)["account"].iloc[0]
    _reading("kept bars", lambda: history.kept_bars(source, slots[-1]))


def measure_processes(history: History) -> None:
    """Commands as a person runs them, whole processes."""
    with duckdb.connect(history.published, read_only=True) as reader:
        found = reader.execute("SELECT order_ref FROM journal.intents WHERE leg = 'entry' ORDER BY slot DESC LIMIT 1")
        ((order_ref,),) = found.fetchall()
    command = [sys.executable, "-m", "quant_pipeline"]
    _process("explain", [*command, "explain", order_ref], history.home, PROCESS_MS)
    _process("status", [*command, "status", "--json"], history.home, PROCESS_MS)
    # The first time dbt parses the project too.
    _process("metrics built the first time", [sys.executable, "-c", BUILD], history.home, BUILD_MS, times=1)
    _process("metrics built again", [sys.executable, "-c", BUILD], history.home, BUILD_MS, times=3)


def measure_appends(history: History, new: History, slots: list[str]) -> None:
    """The first slots of the last session once more, to the year without that session and to a new history in turn."""
    took: dict[str, tuple[Times, Times]] = defaultdict(lambda: (Times(), Times()))
    session = [slot for slot in slots if slot[:10] == slots[-1][:10]]
    for index, frames in enumerate(_taken_out(history, session)):
        counts = index >= WARM_UP
        for made, frame in frames:
            for one, times in zip((history, new), took[made.asset], strict=True):
                _append_again(one, made, frame, times if counts else Times())
        for one, times in zip((history, new), took["publish"], strict=True):
            (times if counts else Times()).time(one.publish)
    for asset in (*INPUTS, "publish"):
        old, fresh = took[asset]
        ratio = old.processor / fresh.processor
        limited = asset != "publish"
        _line(f"append {asset}" if limited else asset, old.wall, "ms", APPEND_MS if limited else None, old.processor)
        _line("  in a new history", fresh.wall, "ms", APPEND_MS if limited else None, fresh.processor)
        _line("  ratio", ratio, "", APPEND_RATIO if limited else None)


def measure_upkeep(history: History) -> None:
    """Writing the file anew."""
    times = Times()
    done = times.time(history.compact)
    _line("compaction", times.wall, "ms", None, times.processor)
    print(f"  {done.bytes_before / 1e6:.1f} MB before, {done.bytes_after / 1e6:.1f} MB after")


def _taken_out(history: History, session: list[str]) -> list[list[tuple[Materialization, pd.DataFrame]]]:
    """The frames of the first slots of a session; all that was recorded since it began is gone then."""
    frames = [
        [found for asset in INPUTS if (found := history.recorded(asset, slot)) is not None]
        for slot in session[: WARM_UP + COMPARED]
    ]
    tables = [f'main."{asset}"' for asset in INPUTS] + ["main.bars_frames", "lineage.inputs"]
    with WorkingFile(history.home).transaction() as connection:
        ((first,),) = connection.execute(
            "SELECT min(id) FROM lineage.materializations WHERE slot >= ?", [session[0]]
        ).fetchall()
        for table in tables:
            connection.execute(f"DELETE FROM {table} WHERE materialization_id >= ?", [first])
        connection.execute("DELETE FROM lineage.materializations WHERE id >= ?", [first])
    history.publish()
    return frames


def _append_again(history: History, made: Materialization, frame: pd.DataFrame, times: Times) -> None:
    # Histories number their versions apart, and what one was made from is checked.
    inputs = [found.id for name in INPUTS[made.asset] if (found := history.latest(name, made.slot)) is not None]
    times.time(
        lambda: history.append(
            made.asset, frame, slot=made.slot, run_id=made.run_id, code_version=made.code_version,
            settings_hash=made.settings_hash, inputs=inputs, started_at=made.started_at,
            source=ACCOUNT if made.asset == "bars" else None,
        )
    )  # fmt: skip


def _reading(name: str, work: Callable[[], object], limit: float | None = None) -> None:
    times = Times()
    for _ in range(READINGS):
        times.time(work)
    _line(name, times.wall, "ms", limit, times.processor)


def _process(name: str, command: list[str], home: Path, limit: float, times: int = READINGS) -> None:
    taken = Times()
    for _ in range(times):
        environment = {**os.environ, "QUANT_HOME": str(home)}
        done = taken.time(
            partial(subprocess.run, command, env=environment, capture_output=True, text=True, check=False)
        )
        if done.returncode:
            print(f"{name:<36} failed: {done.stderr.strip().splitlines()[-1:]}")
            return
    _line(name, taken.wall, "ms", limit, taken.processor)


def _processor_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _line(name: str, value: float, unit: str, limit: float | None, processor: float | None = None) -> None:
    said = f"{name:<36} {value:>9,.1f} {unit:<2}"
    said += f" {processor:>9,.1f} of the processor" if processor is not None else ""
    print(said + (f"  (limit {limit:,g}{'' if value <= limit else ', NOT KEPT'})" if limit is not None else ""))


if __name__ == "__main__":
    main()
