"""The command line as a user has it: a process of its own, a home of its own, and no gateway left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quant_pipeline.cli.main import run_command
from quant_pipeline.paper_gateway import embedded

Run = Callable[..., subprocess.CompletedProcess[str]]
SECONDS = 100
SLOT = "2026-11-20T10:15"


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user who has set QUANT_HOME, a terminal of 80 columns and nothing else of ours."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("QUANT_", "DAGSTER_", "FORCE_COLOR"))
    }
    return {**inherited, "QUANT_HOME": str(home), "COLUMNS": "80", **more}


def command_line(home: Path, folder: Path) -> Run:
    """A function that runs ``quant-pipeline`` with a home, in a folder."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "quant_pipeline", *arguments],
            cwd=folder,
            env=clean_environment(home, **environment),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return run


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home of one test."""
    home = tmp_path / "home"
    try:
        yield home
    finally:
        embedded.stop(home)


@pytest.fixture
def quant_pipeline(home: Path, tmp_path: Path) -> Run:
    """``quant-pipeline`` with the home of the test."""
    return command_line(home, tmp_path)


@pytest.fixture
def here(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The same in this process, which saves the imports, for what is refused before anything is started."""
    for name in [name for name in os.environ if name.startswith(("QUANT_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("QUANT_HOME", str(home))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as during:
            for name, value in environment.items():
                during.setenv(name, value)
            status = run_command(list(arguments))
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def traded_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which the slot of 10:15 is run once and looked at by several tests."""
    home = tmp_path_factory.mktemp("traded") / "home"
    try:
        yield home
    finally:
        embedded.stop(home)


@pytest.fixture(scope="session")
def trader(traded_home: Path) -> Run:
    """``quant-pipeline`` with that home and without the throttle that IB asks for."""
    run = command_line(traded_home, traded_home.parent)

    def unthrottled(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run(*arguments, **{"QUANT_BROKER__MESSAGES_PER_SECOND": "0", **environment})

    return unthrottled


@pytest.fixture(scope="session")
def first(trader: Run) -> subprocess.CompletedProcess[str]:
    """What the first run of the slot printed for a person."""
    return trader("run", "--at", SLOT)


def assert_refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """Assert that a command ended with the status and one sentence on stderr that holds the words."""
    assert done.returncode == status, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]
