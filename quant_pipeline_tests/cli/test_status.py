"""``quant-pipeline status``: live, as recorded, and before there is anything to show."""

from __future__ import annotations

import json
import math
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quant_pipeline.cli.monitoring import Panel
from quant_pipeline_tests.cli.conftest import SECONDS, SLOT, Run, assert_refused, clean_environment
from quant_pipeline_tests.history.recorded_frames import STARTED


def test_before_the_first_run_it_says_how_to_start_and_makes_nothing(here: Run, home: Path) -> None:
    assert_refused(here("status"), 1, "nothing to show yet", "quant-pipeline run")
    assert not home.exists()


@pytest.mark.usefixtures("first")
def test_live_it_shows_the_account_with_its_positions(trader: Run) -> None:
    done = trader("status")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "Account DU" in done.stdout
    assert "open positions" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


@pytest.mark.usefixtures("first")
def test_as_json_it_says_that_it_is_live(trader: Run) -> None:
    panel = json.loads(trader("status", "--json").stdout)
    assert panel["source"] == "live"
    assert panel["account"].startswith("DU")
    assert panel["positions"] == panel["long"] + panel["short"] > 0
    assert panel["gross_exposure_pct"] > 0
    assert panel["long_value"] + panel["short_value"] == pytest.approx(panel["deployed"])
    assert isinstance(panel["daily_pnl"], float)
    assert {"symbol", "entry", "current", "stop", "target", "unrealized_pnl"} <= set(panel["open_positions"][0])


def test_as_json_what_is_not_known_is_null_and_nothing_is_renamed() -> None:
    position = {"symbol": "A", "stop": math.nan, "target": 12.5}
    row = {"capital": 1e5, "positions": 1, "daily_pnl": math.nan, "open_positions": [position]}
    panel = Panel({**row, "observed_at": STARTED}, account="DU1").as_json()
    text = json.dumps(panel, allow_nan=False)
    assert json.loads(text) == {
        "source": "live", "account": "DU1", "slot": None, "capital": 1e5, "positions": 1, "daily_pnl": None,
        "open_positions": [{"symbol": "A", "stop": None, "target": 12.5}], "observed_at": STARTED.isoformat(),
    }  # fmt: skip


@pytest.mark.usefixtures("first")
def test_watching_in_a_terminal_goes_on_until_ctrl_c_and_ends_well(traded_home: Path) -> None:
    terminal, end_of_child = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "quant_pipeline", "status", "--watch"],
        env=clean_environment(traded_home),
        cwd=traded_home.parent,
        stdout=end_of_child,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(end_of_child)
    shown = ""
    while "Account DU" not in shown:
        ready, _, _ = select.select([terminal], [], [], SECONDS)
        assert ready, f"nothing but {shown!r} was shown"
        shown += os.read(terminal, 4096).decode(errors="replace")
    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=SECONDS)
    os.close(terminal)
    assert watching.returncode == 0
    assert errors == ""


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"]], ids=" ".join)
def test_when_the_journal_is_gone_it_shows_what_is_recorded_and_says_so(
    here: Run, traded_home: Path, home: Path, arguments: list[str]
) -> None:
    shutil.copytree(traded_home / "working", home / "working")
    done = here(*arguments)
    assert_refused(done, 1, f"The order journal {home / 'orders.sqlite'} is gone; restore a backup of it")
    assert SLOT in done.stdout
    assert not (home / "orders.sqlite").exists()


@pytest.mark.usefixtures("first")
def test_without_a_gateway_it_shows_what_the_last_slot_recorded(trader: Run) -> None:
    assert trader("gateway", "--stop").stdout == "gateway stopped\n"
    panel = trader("status")
    assert panel.returncode == 0, panel.stderr
    assert f"As recorded in slot {SLOT} at 10:15:" in panel.stdout
    assert "EST (no gateway)" in panel.stdout
    as_json = json.loads(trader("status", "--json").stdout)
    assert (as_json["source"], as_json["slot"], as_json["account"]) == ("recorded", SLOT, None)
    assert trader("gateway", "--stop").stdout == "no gateway is running\n", "status must not have started one"
