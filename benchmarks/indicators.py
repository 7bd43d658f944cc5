"""How fast the indicators are: beside TA-Lib called symbol by symbol, and beside a mere copy of their output.

What is measured and how belongs here; the contender is ``talib_indicators``, and what becomes of the figures (targets,
tables, ``latest.json``, the README) is ``indicator_report``'s. ``make bench`` runs it in one to two minutes; for a
quick look ``.venv/bin/python -m benchmarks.indicators --quick``, which writes nothing.

Figures are CPU time of one thread (``time.process_time``), so that other work on the machine counts for little; BLAS
and OpenMP are held to one thread. After a warm-up all contenders run once a round, in turn, and the median of the
rounds counts. Inputs and preallocated outputs have been touched before, so that nobody pays for the page faults of
another.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import os
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import talib
from rich.console import Console

from benchmarks.indicator_report import LATEST_JSON, README, rich_table, rounded, update_readme, write_result
from benchmarks.talib_indicators import (
    BAR_COLUMNS,
    LEAN_COLUMNS,
    all_columns,
    symbol_bars,
    talib_columns,
    write_history,
    write_latest,
)
from quant_pipeline.quant import run_quant_scan
from quant_pipeline.quant.indicators import rolling
from quant_pipeline.quant.indicators.history import IndicatorHistory, indicator_history, quickest
from quant_pipeline.quant.indicators.latest import latest_values
from quant_pipeline.quant.indicators.panel import BarPanel, QuotePanel
from quant_pipeline.quant.quant_scorer import QuantScorer
from quant_pipeline.quant.technical_indicators import NAMES
from quant_pipeline.settings import Settings
from quant_pipeline_tests.quant.market_data import SLOT, account_of, market, orders_of, portfolio_of, universe_of

Job = Callable[[], object]
Milliseconds = dict[str, float]

SEED = 20261122
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL", "VECLIB_MAXIMUM")}

ROUNDS = {(100, 252): 15, (1000, 252): 9, (8000, 252): 5, (500, 1260): 9}
LATEST_SHAPES = ((100, 252), (1000, 252), (8000, 252))
HISTORY_SHAPES = ((100, 252), (1000, 252), (8000, 252), (500, 1260))
DECIDE_ROUNDS = 21
TURN_SECONDS = 0.2
MOST_RUNS = 10_000
QUICK_ROUNDS = 3


def synthetic_panel(symbols: int, bars: int, *, mixed: bool = False) -> BarPanel:
    """Random walks from a seed; ``mixed`` gives every third symbol a shorter history, as live universes have them."""
    random = np.random.default_rng(SEED)
    shape = (bars, symbols)
    closes = random.uniform(5.0, 400.0, symbols) * np.exp(np.cumsum(random.normal(0.0, 0.02, shape), axis=0))
    opens = closes * np.exp(random.normal(0.0, 0.004, shape))
    highs = np.maximum(opens, closes) * (1.0 + random.uniform(0.0, 0.01, shape))
    lows = np.minimum(opens, closes) * (1.0 - random.uniform(0.0, 0.01, shape))
    volumes = random.integers(1_000_000, 5_000_000, shape).astype(float)
    lengths = np.full(symbols, bars)
    if mixed:
        lengths[::3] = random.integers(20, bars, len(lengths[::3]))
        for field in (opens, highs, lows, closes, volumes):
            field[np.arange(bars)[:, None] < bars - lengths] = np.nan
    dates = pd.bdate_range(end="2026-11-20", periods=bars).to_numpy(dtype="datetime64[D]")
    return BarPanel(
        symbols=pd.Index([f"S{at:05d}" for at in range(symbols)]),
        open=opens,
        high=highs,
        low=lows,
        close=closes,
        volume=volumes,
        dates=np.where(np.isnan(closes), np.datetime64("NaT"), dates[:, None]),
        lengths=lengths,
        partial=np.zeros(symbols, dtype=bool),
    )


def medians(jobs: dict[str, Job], rounds: int) -> Milliseconds:
    """Median CPU milliseconds of every job; the jobs take turns, after one turn that does not count.

    In its turn a job runs as often as fills ``TURN_SECONDS``, as ``timeit`` has it: what is timed is the work, not the
    state in which the job before it left caches and clock rate.
    """
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    often = dict.fromkeys(jobs, 1)
    for _ in range(rounds + 1):
        for name, job in jobs.items():
            if often[name] > 1:
                job()
            started = time.process_time()
            for _run in range(often[name]):
                job()
            seconds = (time.process_time() - started) / often[name]
            spent[name].append(1000.0 * seconds)
            often[name] = max(min(round(TURN_SECONDS / max(seconds, 1e-6)), MOST_RUNS), 1)
    return {name: statistics.median(times[1:]) for name, times in spent.items()}


def time_latest(panel: BarPanel, rounds: int) -> Milliseconds:
    """The latest values, their scores, TA-Lib's ways to the same values, and the copy of a full history."""
    bars, quotes = symbol_bars(panel), quotes_of(panel)
    rows, symbols = panel.close.shape
    history, copied = np.ones((len(NAMES), rows, symbols)), np.ones((len(NAMES), rows, symbols))
    full = history[: len(BAR_COLUMNS)].reshape(len(BAR_COLUMNS), symbols, rows)
    lean = history[: len(LEAN_COLUMNS)].reshape(len(LEAN_COLUMNS), symbols, rows)
    latest = np.ones((len(BAR_COLUMNS), symbols))
    jobs: dict[str, Job] = {
        "ours": lambda: latest_values(panel, quotes),
        "scoring": scoring_of(panel, quotes),
        "floor": lambda: np.copyto(copied, history),
        "talib": lambda: write_history(bars, all_columns, full),
        "talib_lean": lambda: write_history(bars, talib_columns, lean),
    }
    if np.all(panel.lengths == rows):
        jobs["talib_handles"] = lambda: write_latest(bars, latest)
    return medians(jobs, rounds)


def time_history(panel: BarPanel, rounds: int) -> Milliseconds:
    """Every bar's values, with numba if it is there and without, beside TA-Lib's and a copy; into arrays that exist."""
    bars, quotes = symbol_bars(panel), quotes_of(panel)
    rows, symbols = panel.close.shape
    ours, plain = IndicatorHistory.empty(panel), IndicatorHistory.empty(panel, rolling)
    ours.blocks[:] = 1.0
    plain.blocks[:] = 1.0
    other = np.ones((len(NAMES), rows, symbols))
    copied = np.ones_like(other)
    full = other[: len(BAR_COLUMNS)].reshape(len(BAR_COLUMNS), symbols, rows)
    lean = other[: len(LEAN_COLUMNS)].reshape(len(LEAN_COLUMNS), symbols, rows)
    return medians(
        {
            "ours": lambda: indicator_history(panel, quotes, ours),
            "ours_numpy": lambda: indicator_history(panel, quotes, plain, rolling),
            "floor": lambda: np.copyto(copied, other),
            "talib": lambda: write_history(bars, all_columns, full),
            "talib_lean": lambda: write_history(bars, talib_columns, lean),
        },
        rounds,
    )


def scoring_of(panel: BarPanel, quotes: QuotePanel) -> Job:
    """The rating of every symbol in both directions, from the panel's latest values as they come."""
    values = latest_values(panel, quotes)
    scorer = QuantScorer(Settings.model_validate({}).scoring)
    rows = [NAMES.index(signal.indicator) for signal in scorer.signals]
    return lambda: scorer.rate(values[rows])


def quotes_of(panel: BarPanel) -> QuotePanel:
    """A two-sided quote around every latest close."""
    close, sizes = panel.close[-1], np.random.default_rng(SEED).integers(1, 30, (2, len(panel.symbols))) * 100.0
    return QuotePanel(bid=close * 0.9998, ask=close * 1.0002, bid_size=sizes[0], ask_size=sizes[1])


def time_decide(rounds: int) -> float:
    """Median CPU milliseconds of the decide stages of a slot of 100 symbols, frames in and frames out."""
    bars, quotes = market(100, 252, seed=SEED)
    frames = {
        "universe": universe_of(quotes),
        "quotes": quotes,
        "bars": bars,
        "account": account_of(),
        "portfolio": portfolio_of(),
        "working_orders": orders_of(),
    }
    settings = Settings.model_validate({})
    return medians({"decide": lambda: run_quant_scan(settings, **frames, slot_key=SLOT, session_progress=0.5)}, rounds)[
        "decide"
    ]


def extra_memory_mb(job: Callable[[], np.ndarray]) -> float:
    """What a job allocates at its peak beyond the array it returns, in MB, as ``tracemalloc`` sees it."""
    job()
    tracemalloc.start()
    try:
        result = job()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (peak - result.nbytes) / 1e6


def measure(*, quick: bool, console: Console) -> dict[str, Any]:
    """Everything, in the form of ``latest.json``; ``quick`` takes few rounds and leaves the 8 000 symbols out."""
    milliseconds: dict[str, dict[str, Milliseconds]] = {"latest": {}, "history": {}}
    for kind, shapes, timer in (("latest", LATEST_SHAPES, time_latest), ("history", HISTORY_SHAPES, time_history)):
        for symbols, bars in shapes:
            if quick and symbols > 1000:
                continue
            console.print(f"[dim]{kind} {symbols} x {bars}[/dim]")
            rounds = QUICK_ROUNDS if quick else ROUNDS[symbols, bars]
            milliseconds[kind][f"{symbols}x{bars}"] = timer(synthetic_panel(symbols, bars), rounds)
    console.print("[dim]mixed lengths, decide stages, memory[/dim]")
    mixed = time_latest(synthetic_panel(100, 252, mixed=True), QUICK_ROUNDS if quick else ROUNDS[100, 252])
    large = synthetic_panel(1000 if quick else 8000, 252)
    quotes, shape = quotes_of(large), f"{len(large.symbols)}x{len(large.close)}"
    return rounded(
        {
            "milliseconds": milliseconds,
            **ratios(milliseconds["latest"], milliseconds["history"]),
            "mixed_lengths": {
                "milliseconds": {"100x252": mixed},
                "latest_vs_talib": {"100x252": mixed["talib"] / mixed["ours"]},
            },
            "decide_ms": time_decide(QUICK_ROUNDS if quick else DECIDE_ROUNDS),
            "extra_memory_mb": {
                "latest": {shape: extra_memory_mb(lambda: latest_values(large, quotes))},
                "history": {shape: extra_memory_mb(lambda: indicator_history(large, quotes).blocks)},
            },
            "machine": machine(),
            "taken_on": dt.datetime.now(dt.UTC).date().isoformat(),
            "unit": "milliseconds of CPU time, one thread, medians of interleaved runs",
        }
    )


def ratios(latest: dict[str, Milliseconds], history: dict[str, Milliseconds]) -> dict[str, dict[str, float]]:
    """Ratios by shape: above 1 in ``..._vs_talib...`` is faster than TA-Lib, the others are shares of our own time."""

    def by_shape(times: dict[str, Milliseconds], upper: str, lower: str) -> dict[str, float]:
        return {shape: spent[upper] / spent[lower] for shape, spent in times.items()}

    return {
        "latest_vs_talib": by_shape(latest, "talib", "ours"),
        "latest_vs_talib_lean": by_shape(latest, "talib_lean", "ours"),
        "latest_vs_talib_handles": by_shape(latest, "talib_handles", "ours"),
        "latest_vs_floor": by_shape(latest, "ours", "floor"),
        "scoring_share": by_shape(latest, "scoring", "ours"),
        "history_vs_talib": by_shape(history, "talib", "ours"),
        "history_numpy_vs_talib": by_shape(history, "talib", "ours_numpy"),
        "history_vs_talib_lean": by_shape(history, "talib_lean", "ours"),
        "history_vs_floor": by_shape(history, "ours", "floor"),
    }


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else ())
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": importlib.metadata.version("numba") if quickest() is not rolling else None,
        "talib": talib.__version__,
    }


def main() -> None:
    """Measure, print the table and, unless quick, write ``latest.json`` and the README's table."""
    parser = argparse.ArgumentParser(description="Time the indicators beside TA-Lib and beside a mere copy.")
    parser.add_argument("--quick", action="store_true", help="few rounds, no 8 000 symbols, nothing written")
    options = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # The libraries read these when numpy is imported, which has happened.
        os.execve(
            sys.executable, [sys.executable, "-m", "benchmarks.indicators", *sys.argv[1:]], os.environ | ONE_THREAD
        )
    console = Console(width=None if sys.stdout.isatty() else 100)
    result = measure(quick=options.quick, console=console)
    console.print(rich_table(result))
    if not options.quick:
        write_result(result, LATEST_JSON)
        update_readme(result, README)
        console.print(f"Written to {LATEST_JSON.name} and to the README.")


if __name__ == "__main__":
    main()
