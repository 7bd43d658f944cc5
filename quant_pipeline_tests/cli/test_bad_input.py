"""What a person reads when they ask for something that cannot be: one sentence and exit status 1 or 2."""

from __future__ import annotations

import datetime as dt
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from quant_pipeline.paper_gateway import embedded

Run = Callable[..., subprocess.CompletedProcess[str]]
SECONDS = 100


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    try:
        yield home
    finally:
        embedded.stop(home)


@pytest.fixture
def quant_pipeline(home: Path, tmp_path: Path) -> Run:
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUANT_")}
        return subprocess.run(
            [sys.executable, "-m", "quant_pipeline", *arguments],
            cwd=tmp_path,
            env={**inherited, "QUANT_HOME": str(home), **environment},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return run


def assert_refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert done.returncode == status, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


def daily_bars(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame) -> Path:
    days = pd.bdate_range("2017-01-03", "2018-03-02").date
    price = pd.Series(range(len(days)), dtype=float) * 0.1 + 50
    frame = pd.DataFrame(
        {
            "symbol": "ABCD",
            "date": days,
            "open": price,
            "high": price + 1,
            "low": price - 1,
            "close": price + 0.5,
            "volume": 1_000_000,
        }
    )
    change(frame).to_parquet(path)
    return path


@pytest.mark.parametrize(
    ("slot", "words"),
    [
        ("yesterday", "'yesterday' is not a slot"),
        ("2026-11-22T10:15", "no session on 2026-11-22"),
        ("2026-11-20T10:17", "start every 15 minutes"),
    ],
)
def test_an_unknown_slot_is_wrong_usage(quant_pipeline: Run, home: Path, slot: str, words: str) -> None:
    assert_refused(quant_pipeline("run", "--slot", slot), 2, words)
    assert not home.exists()


def test_a_slot_that_was_never_observed_fails_with_one_sentence(quant_pipeline: Run) -> None:
    assert_refused(quant_pipeline("run", "--slot", "2019-03-05T10:15", "--json"), 1, "is over and was never observed")


def test_a_missing_bars_file_is_named(quant_pipeline: Run, tmp_path: Path) -> None:
    done = quant_pipeline("run", "--at", "2018-02-20T10:15", "--bars", str(tmp_path / "nowhere.parquet"), "--json")
    assert_refused(done, 2, "nowhere.parquet")


def test_minute_bars_without_daily_bars_are_wrong_usage(quant_pipeline: Run) -> None:
    assert_refused(quant_pipeline("run", "--minute-bars", "m.parquet", "--json"), 2, "--minute-bars needs --bars")


def without_a_column(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="volume")


def with_a_missing_price(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[100, "close"] = float("nan")
    return frame


def with_the_high_below_the_low(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[100, "high"] = frame.loc[100, "low"] - 1
    return frame


def with_a_day_twice(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame.iloc[:101], frame.iloc[100:]], ignore_index=True)


def in_no_order(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[::-1].reset_index(drop=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_a_column, ["volume"]),
        (with_a_missing_price, ["ABCD", "close"]),
        (with_the_high_below_the_low, ["ABCD", "high"]),
        (with_a_day_twice, ["ABCD", "twice"]),
        (in_no_order, ["ABCD", "sort the file"]),
    ],
)
def test_bars_that_cannot_be_are_refused_with_the_column_or_the_day(
    quant_pipeline: Run, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], words: list[str]
) -> None:
    path = daily_bars(tmp_path / "bars.parquet", change)
    done = quant_pipeline("run", "--at", "2018-02-20T10:15", "--bars", str(path), "--json")
    assert_refused(done, 2, "bars.parquet", *words)


def test_a_port_in_use_is_named(quant_pipeline: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert_refused(quant_pipeline("gateway", "--port", port), 2, port, "in use")


def test_a_refused_connection_says_where_and_what_to_do(quant_pipeline: Run) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = str(closed.getsockname()[1])
    done = quant_pipeline("run", "--json", QUANT_IB_HOST="127.0.0.1", QUANT_IB_PORT=port)
    assert_refused(done, 1, f"127.0.0.1:{port}")


def test_contradicting_settings_are_wrong_usage(quant_pipeline: Run) -> None:
    assert_refused(quant_pipeline("run", "--json", QUANT_LIVE="true"), 2, "live = true needs the account")


def test_a_gateway_killed_in_mid_slot_fails_the_slot_and_leaves_nothing_half_written(
    quant_pipeline: Run, home: Path, tmp_path: Path
) -> None:
    at = (dt.date(2026, 11, 20).isoformat() + "T10:15",)
    process = subprocess.Popen(
        [sys.executable, "-m", "quant_pipeline", "run", "--at", *at],
        cwd=tmp_path,
        env={**os.environ, "QUANT_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "universe:" in line:
            break
    running = embedded.running(home)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert len(errors.strip().splitlines()) == 1, errors
    assert "gateway" in errors.lower() or "broker" in errors.lower()
    assert not (home / "history.duckdb").exists()
    again = quant_pipeline("run", "--at", at[0], "--json")
    assert again.returncode == 0, again.stderr
