"""What a person reads when they ask for something that cannot be: one sentence and exit status 1 or 2."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from quant_pipeline.paper_gateway import embedded
from quant_pipeline_tests.cli.conftest import SECONDS, SLOT, Run, assert_refused, clean_environment


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
def test_an_unknown_slot_is_wrong_usage(here: Run, home: Path, slot: str, words: str) -> None:
    assert_refused(here("run", "--slot", slot), 2, words)
    assert not home.exists()


def test_a_time_at_which_the_exchange_is_closed_is_wrong_usage(here: Run, home: Path) -> None:
    assert_refused(here("run", "--at", "2018-02-24T10:15"), 2, "The exchange is closed at 2018-02-24 10:15")
    assert not home.exists()


@pytest.mark.usefixtures("first")
def test_a_slot_that_was_never_observed_fails_with_one_sentence(trader: Run) -> None:
    assert_refused(trader("run", "--slot", "2019-03-05T10:15", "--json"), 1, "is over and was never observed")


def test_a_missing_bars_file_is_named(here: Run, tmp_path: Path) -> None:
    done = here("run", "--at", "2018-02-20T10:15", "--bars", str(tmp_path / "nowhere.parquet"), "--json")
    assert_refused(done, 2, "nowhere.parquet")


def test_minute_bars_without_daily_bars_are_wrong_usage(here: Run) -> None:
    assert_refused(here("run", "--minute-bars", "m.parquet", "--json"), 2, "--minute-bars needs --bars")


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
    here: Run, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], words: list[str]
) -> None:
    path = daily_bars(tmp_path / "bars.parquet", change)
    done = here("run", "--at", "2018-02-20T10:15", "--bars", str(path), "--json")
    assert_refused(done, 2, "bars.parquet", *words)


def test_a_port_in_use_is_named(here: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert_refused(here("gateway", "--port", port), 2, port, "in use")


def test_a_refused_connection_says_where_and_what_to_do(here: Run) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = str(closed.getsockname()[1])
    done = here("run", "--json", QUANT_IB_HOST="127.0.0.1", QUANT_IB_PORT=port)
    assert_refused(done, 1, f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sell"], ["No such command 'sell'", "quant-pipeline --help"]),
        (["run", "--fast"], ["--fast", "quant-pipeline run --help"]),
        (["run", "--at", "tomorrow"], ["'tomorrow' is not a time", "2026-11-20T10:15"]),
        (["gateway", "--speed", "-1"], ["--speed", "x>=0"]),
        (["status", "--watch", "--json"], ["--watch and --json"]),
    ],
)
def test_wrong_usage_is_one_sentence_that_points_to_the_help(here: Run, arguments: list[str], words: list[str]) -> None:
    assert_refused(here(*arguments), 2, *words)


def test_options_of_the_paper_gateway_are_refused_for_a_real_broker(here: Run) -> None:
    done = here("run", "--at", SLOT, "--json", QUANT_IB_HOST="127.0.0.1", QUANT_IB_PORT="7497")
    assert_refused(done, 2, "--at", "unset QUANT_IB_HOST and QUANT_IB_PORT")


@pytest.mark.parametrize("command", ["run", "status"])
def test_a_home_that_is_no_folder_is_named(here: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    done = here(command, "--json")
    assert done.returncode in {1, 2}
    assert_refused(done, done.returncode, str(tmp_path / "home"))


def test_debug_shows_where_an_error_was_raised(quant_pipeline: Run) -> None:
    done = quant_pipeline("run", "--slot", "yesterday", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "SlotError: 'yesterday' is not a slot" in done.stderr


def test_contradicting_settings_are_wrong_usage(here: Run) -> None:
    assert_refused(here("run", "--json", QUANT_LIVE="true"), 2, "live = true needs the account")


def run_in_mid_slot(home: Path, folder: Path) -> subprocess.Popen[str]:
    """``quant-pipeline run`` in a session of its own, once it has told of its first asset."""
    process = subprocess.Popen(
        [sys.executable, "-m", "quant_pipeline", "run", "--at", SLOT],
        cwd=folder,
        env=clean_environment(home, QUANT_BROKER__MESSAGES_PER_SECOND="0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "universe " in line:
            break
    return process


def test_an_interrupted_run_says_so_in_one_line_and_publishes_nothing(home: Path, tmp_path: Path) -> None:
    process = run_in_mid_slot(home, tmp_path)
    errors = ""
    for _ in range(20):  # Dagster may miss one between two steps; a person presses again
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to every process that belongs to the command
        with contextlib.suppress(subprocess.TimeoutExpired):
            _, errors = process.communicate(timeout=1.5)
            break
    assert process.returncode == 130
    assert errors.strip().startswith("quant-pipeline: Interrupted"), errors
    assert len(errors.strip().splitlines()) == 1, errors
    assert not (home / "history.duckdb").exists()


def test_ctrl_c_pressed_again_on_the_way_out_changes_nothing(home: Path, tmp_path: Path) -> None:
    process = run_in_mid_slot(home, tmp_path)
    assert process.stderr is not None
    said: list[str] = []
    reader = threading.Thread(target=said.extend, args=(iter(process.stderr.readline, ""),))
    reader.start()
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        os.killpg(process.pid, signal.SIGINT)
        # Until it has heard, as a person presses; then faster, for leaving takes a moment only.
        time.sleep(0.05 if "".join(said).strip() else 0.4)
    reader.join(SECONDS)
    assert process.returncode == 130
    assert "".join(said).strip().startswith("quant-pipeline: Interrupted"), said
    assert len("".join(said).strip().splitlines()) == 1, said


def test_a_gateway_killed_in_mid_slot_fails_the_slot_and_leaves_nothing_half_written(
    quant_pipeline: Run, home: Path, tmp_path: Path
) -> None:
    process = run_in_mid_slot(home, tmp_path)
    running = embedded.running(home)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert len(errors.strip().splitlines()) == 1, errors
    assert "gateway" in errors.lower() or "broker" in errors.lower()
    assert not (home / "history.duckdb").exists()
    again = quant_pipeline(
        "run", "--at", SLOT, "--json", QUANT_BROKER__MESSAGES_PER_SECOND="0", QUANT_UNIVERSE__SIZE="12"
    )
    assert again.returncode == 0, again.stderr
