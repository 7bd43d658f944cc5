"""``quant-pipeline gateway``: a paper gateway of its own, for any TWS client."""

from __future__ import annotations

import datetime as dt
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from quant_pipeline.automation.sessions import EXCHANGE_TIME
from quant_pipeline.broker.session import Role, connect
from quant_pipeline.paper_gateway import embedded
from quant_pipeline.settings import Settings
from quant_pipeline_tests.cli.conftest import SECONDS, SLOT, Run, assert_refused, clean_environment


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A gateway in the foreground and the port it says it listens on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "quant_pipeline", "gateway", *arguments],
        cwd=home.parent,
        env=clean_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first_line = process.stdout.readline()
        assert first_line.startswith("listening on 127.0.0.1:"), process.communicate(timeout=SECONDS)
        yield process, int(first_line.rpartition(":")[2])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=SECONDS)


def test_it_serves_the_market_clock_and_book_it_was_asked_for_until_ctrl_c(home: Path, tmp_path: Path) -> None:
    book = tmp_path / "elsewhere"
    options = ("--home", str(book), "--at", SLOT, "--speed", "60", "--seed", "3")
    with serving(home, *options) as (process, port):
        settings = Settings(home=tmp_path / "unused", ib_host="127.0.0.1", ib_port=port)
        with connect(settings, Role.DOCTOR) as broker:
            first = broker.now().astimezone(EXCHANGE_TIME)
            account = broker.account
        process.send_signal(signal.SIGINT)
        rest, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert rest == "", "the one line is all that stdout has"
    assert "Traceback" not in log
    assert "seed 3" in log
    start = dt.datetime.fromisoformat(SLOT).replace(tzinfo=EXCHANGE_TIME)
    assert start <= first
    assert (book / "gateway" / account / "book.sqlite").exists()
    assert not (home / "gateway").exists(), "QUANT_HOME is not where the book was asked to be"


def test_it_listens_on_the_port_it_was_given_and_stop_ends_it(home: Path, here: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving(home, "--port", str(port)) as (process, listening):
        assert listening == port
        # As a shell does: a process that has ended is only gone when its parent has taken note.
        with ThreadPoolExecutor() as parent:
            status = parent.submit(process.wait, SECONDS)
            assert here("gateway", "--stop").stdout == "gateway stopped\n"
            assert status.result() == 0
    assert here("gateway", "--stop").stdout == "no gateway is running\n"


def test_a_second_gateway_on_the_same_book_is_refused(home: Path, quant_pipeline: Run) -> None:
    with serving(home):
        assert_refused(quant_pipeline("gateway"), 2, "gateway")


def test_other_commands_find_the_one_that_runs_in_their_home(home: Path, here: Run) -> None:
    with serving(home, "--at", SLOT) as (process, port):
        found = embedded.running(home)
        assert found is not None
        assert (found.pid, found.port) == (process.pid, port)
        done = here("doctor")
        assert f"connected to 127.0.0.1:{port}" in done.stdout


def test_minute_bars_alone_are_refused(here: Run) -> None:
    assert_refused(here("gateway", "--minute-bars", "minutes.parquet"), 2, "--minute-bars needs --bars")


def test_a_time_outside_the_calendar_is_refused_in_one_sentence(quant_pipeline: Run) -> None:
    assert_refused(quant_pipeline("gateway", "--at", "1999-01-04T10:15"), 2, "outside the exchange calendar")
