"""``quant-pipeline doctor``: what it finds on a healthy set-up and on damaged ones."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from quant_pipeline_tests.cli.conftest import Run


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[bool, str]]:
    """Subject to whether it is well and what was said."""
    found = {}
    for line in done.stdout.splitlines():
        verdict, subject, text = line.split(maxsplit=2)
        assert verdict in {"ok", "PROBLEM"}
        found[subject] = verdict == "ok", text
    return found


def test_on_a_fresh_machine_all_is_well_and_no_gateway_is_left_running(quant_pipeline: Run) -> None:
    done = quant_pipeline("doctor")
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    found = findings(done)
    assert " ".join(found) == "versions settings limits home calendar broker clock history journal"
    assert all(healthy for healthy, _ in found.values())
    assert "started for this check" in found["broker"][1]
    assert quant_pipeline("gateway", "--stop").stdout == "no gateway is running\n"


def test_a_broker_that_refuses_is_named_and_the_other_checks_go_on(here: Run) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = str(closed.getsockname()[1])
    done = here("doctor", QUANT_IB_HOST="127.0.0.1", QUANT_IB_PORT=port)
    assert done.returncode == 1
    found = findings(done)
    healthy, text = found["broker"]
    assert not healthy
    assert f"Nothing listens at 127.0.0.1:{port}; start TWS or IB Gateway" in text
    assert found["history"] == (True, "nothing recorded yet")
    assert "clock" not in found, "without a broker there is no clock to judge"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("capital = = 3\n", "is not valid TOML"),
        ("[risk]\nmax_positons = 3\n", "risk.max_positons is not known"),
        ("[risk]\nmax_positions = 0\n", "risk.max_positions cannot be used"),
    ],
)
def test_a_damaged_settings_file_is_the_problem_that_is_named(here: Run, home: Path, written: str, words: str) -> None:
    home.mkdir()
    (home / "quant_pipeline.toml").write_text(written)
    done = here("doctor")
    assert done.returncode == 1
    found = findings(done)
    assert list(found) == ["versions", "settings"], "nothing else can be judged without settings"
    healthy, text = found["settings"]
    assert not healthy
    assert words in text


def test_limits_that_no_order_can_keep_are_told_in_one_line(here: Run) -> None:
    done = here("doctor", QUANT_RISK__MAX_NET_EXPOSURE_PCT="3", QUANT_IB_HOST="127.0.0.1", QUANT_IB_PORT="1")
    assert done.returncode == 1
    healthy, text = findings(done)["limits"]
    assert not healthy
    assert text.startswith("risk.max_net_exposure_pct leaves 3 % of capital, but one order is worth 5 % or more")


def test_a_damaged_history_and_a_damaged_journal_are_told_apart(here: Run, home: Path) -> None:
    (home / "working").mkdir(parents=True)
    (home / "working" / "history.duckdb").write_bytes(b"not a database" * 1000)
    done = here("doctor")
    assert done.returncode == 1
    found = findings(done)
    assert not found["history"][0]
    assert found["journal"][0]


def test_a_home_that_cannot_be_used_is_named(here: Run, home: Path) -> None:
    home.write_text("a file where a folder should be")
    done = here("doctor")
    assert done.returncode == 1
    healthy, text = findings(done)["home"]
    assert not healthy
    assert "QUANT_HOME" in text
