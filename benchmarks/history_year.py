"""What a year in the history costs beside what it may cost: bytes a slot, milliseconds of whatever is done with it.

``python -m benchmarks.history_year [--home DIR] [--sessions 252]``; without ``--home`` a year is generated first, which
takes a quarter of an hour (``generated_year``). The home is copied, never changed. Appends to the year take turns with
appends of the same frames to a history that is new, so that what else the machine does weighs on both; the ratio is of
medians. Wall time and the time of the processor stand side by side: where they differ, the machine was busy.
"""

from __future__ import annotations

import argparse
import datetime as dt
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
import pyarrow as pa

from benchmarks.generated_year import INPUTS, SESSIONS, Making, Year, append, generate
from quant_pipeline.automation.sessions import next_session
from quant_pipeline.history.store import History

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
        measure_appends(history, History(Path(scratch) / "new"), slots[-1])
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


def measure_appends(history: History, new: History, last_slot: str) -> None:
    """The slots of a session more, to the year and to a new history in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        day = next_session(dt.date.fromisoformat(last_slot[:10])).day
        year = Year(Path(scratch), 1, seed=11, last_day=day)
        took: dict[str, tuple[Times, Times]] = defaultdict(lambda: (Times(), Times()))
        for slots in year.sessions():
            for index, slot in enumerate(slots[: WARM_UP + COMPARED]):
                counts = index >= WARM_UP
                year.play(slot, partial(_append_to_both, (history, new), took, counts))
                for one, times in zip((history, new), took["publish"], strict=True):
                    (times if counts else Times()).time(one.publish)
        year.life.close()
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


def _append_to_both(
    histories: tuple[History, History], took: dict[str, tuple[Times, Times]], counts: bool, asset: str, table: pa.Table,
    making: Making,
) -> int:  # fmt: skip
    ids = []
    for index, history in enumerate(histories):
        # The two number their versions apart, and what one was made from is checked in either.
        inputs = [made.id for name in INPUTS[asset] if (made := history.latest(name, making.slot)) is not None]
        own = Making(making.slot, making.run_id, making.code_version, making.settings_hash, tuple(inputs),
                     making.started_at)  # fmt: skip
        times = took[asset][index] if counts else Times()
        ids.append(append(history, asset, table, own, times.time).id)
    return ids[0]


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
