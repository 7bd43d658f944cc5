"""What docs/gateway.md says is so: its commands start, its snippets run in the client they are for, its tables hold."""

from __future__ import annotations

import datetime as dt
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

from quant_pipeline.automation.sessions import sessions_between
from quant_pipeline.cli.gateway_command import faults_listed
from quant_pipeline.paper_gateway.exchange.orders import OrderType, TimeInForce
from quant_pipeline.paper_gateway.faults.fault import CATALOGUE, Fault, read_faults
from quant_pipeline.paper_gateway.service_limits import ServiceLimits
from quant_pipeline_tests.docs.test_readme import ROOT, blocks, commands_in
from quant_pipeline_tests.paper_gateway.clients.environments import CLIENTS, FOLDER, environment

PAGE = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")
COMMANDS = list(dict.fromkeys(commands_in(PAGE)))
SERVING = [each for each in COMMANDS if "gateway --" in each and "--list-faults" not in each]
PORT = "4002"
SECONDS = 60
STEPS = "import subprocess"
SNIPPETS = {re.findall(r"\w+", body)[1]: body for body in blocks(PAGE, "python")}
PYTHON_OF = {"ib_insync": None, "ib_async": "ib_async-2.1.0.lock", "ibapi": "ibapi-10.50.2.lock"}
BAR = {"open": 50.0, "high": 51.0, "low": 49.0, "close": 50.5, "volume": 900_000}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone's folder, as far as the page needs one: the environment, bars and faults."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / ".venv").symlink_to(Path(sys.prefix))
    days = sessions_between(dt.date(2017, 12, 1), dt.date(2018, 2, 20))
    pd.DataFrame([{"symbol": "AAA", "date": day, **BAR} for day in days]).to_parquet(folder / "daily.parquet")
    starts = pd.date_range("2018-02-20 09:30", periods=390, freq="min").as_unit("us")
    pd.DataFrame([{"symbol": "AAA", "ts": start, **BAR} for start in starts]).to_parquet(folder / "minutes.parquet")
    (example,) = blocks(PAGE, "toml")
    (folder / "faults.toml").write_text(example, encoding="utf-8")
    return folder


@contextmanager
def serving(folder: Path, command: str, home: Path) -> Iterator[str]:
    """A gateway as the page starts it, on a free port and in a home of its own; its port."""
    arguments = [part if part != PORT else "0" for part in shlex.split(command)]
    process = subprocess.Popen(
        [str(folder / arguments[0]), *arguments[1:], "--home", str(home)],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on 127.0.0.1:"), process.communicate(timeout=SECONDS)
        yield line.rstrip().rpartition(":")[2]
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


def test_every_command_is_tried_here() -> None:
    others = {
        "make run",  # CI starts from a clean clone
        ".venv/bin/quant-pipeline gateway --list-faults",
        ".venv/bin/python -m benchmarks.gateway_replay",
        ".venv/bin/python -m benchmarks.gateway",
    }
    assert set(COMMANDS) == {*SERVING, *others}
    assert len(SERVING) == 8


@pytest.mark.parametrize("command", SERVING)
def test_the_gateway_starts_as_the_page_starts_it(folder: Path, tmp_path: Path, command: str) -> None:
    with serving(folder, command, tmp_path / "home") as port:
        assert int(port) > 0


@pytest.mark.parametrize("module", ["benchmarks.gateway_replay", "benchmarks.gateway"])
def test_the_measurements_start(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert "usage: " in done.stdout


def test_the_clients_of_the_table_are_those_that_are_tested() -> None:
    said = re.findall(r"^\| ib\S*,? ?[^|]*\| (\d+) \| ([\d.]+) \|$", PAGE, flags=re.MULTILINE)
    assert [(str(client.version), client.name.rpartition("-")[2]) for client in CLIENTS] == said


@pytest.mark.parametrize("library", PYTHON_OF)
def test_the_snippet_of_a_client_runs_with_it(folder: Path, tmp_path: Path, library: str) -> None:
    lock = PYTHON_OF[library]
    python = sys.executable if lock is None else str(environment(FOLDER / "locks" / lock))
    with serving(folder, SERVING[0], tmp_path / "home") as port:
        done = subprocess.run(
            [python, "-c", SNIPPETS[library].replace(PORT, port)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    expected = {"ib_insync": "Filled", "ib_async": "BarData(", "ibapi": "exchange time"}
    assert expected[library] in done.stdout, done.stdout + done.stderr


def test_the_snippet_that_moves_the_clock_runs(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SNIPPETS["subprocess"]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line]
    assert lines[0].startswith("listening on 127.0.0.1:")
    assert lines[1:] == ["at 2018-02-20T10:16:00-05:00", "at 2018-02-20T10:30:00-05:00"]


def table(heading: str) -> list[list[str]]:
    rows = PAGE[PAGE.index(heading) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]


def test_the_table_of_faults_is_the_catalogue(folder: Path) -> None:
    said = {name.strip("`"): says for name, says in table("| fault | what it does |")}
    assert said == {name: kind.says for name, kind in CATALOGUE.items()}
    done = subprocess.run(
        [folder / ".venv/bin/quant-pipeline", "gateway", "--list-faults"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert done.stdout == faults_listed()
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(CATALOGUE)


def test_the_faults_that_are_shown_are_read(folder: Path) -> None:
    assert [fault.what for fault in read_faults(folder / "faults.toml").faults] == [
        "lose_ack",
        "late_commission",
        "connectivity_lost",
    ]
    named = re.findall(r"`(\w+)`", PAGE[PAGE.index("Further entries:") :].partition("\n\n")[0])
    entries = {field.name for field in fields(Fault)}
    assert set(named) - {"place_order", "history", "quote", "any"} <= entries


def test_the_table_of_limits_is_that_of_the_service() -> None:
    said = {name.strip("`"): default for name, default, _ in table("| limit | default |")}
    defaults = {field.name: field.default for field in fields(ServiceLimits)}
    assert said == {name: "off" if value is False else str(value) for name, value in defaults.items()}


def test_the_order_types_are_those_there_are() -> None:
    types, _, times = PAGE[PAGE.index("Types `LMT`") :].partition("\n\n")[0].partition("times in force")
    assert set(re.findall(r"`([A-Z ]+)`", types)) == set(OrderType)
    assert set(re.findall(r"`([A-Z]+)`", times)) == set(TimeInForce)
