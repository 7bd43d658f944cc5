"""``quant-pipeline verify``: a line a slot, what differs below it, and a status that says whether all is well."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline_tests.cli.conftest import SECONDS, Run, assert_refused, clean_environment, command_line
from quant_pipeline_tests.traded_slots import FIRST, SECOND, TradedSlots


@pytest.fixture
def tampered(traded_slots: TradedSlots, tmp_path: Path) -> Path:
    """A home in which one ask of the second slot was changed."""
    home = traded_slots.copy(tmp_path / "tampered")
    with WorkingFile(home).transaction() as connection:
        connection.execute(f"UPDATE quotes SET ask = ask + 0.01 WHERE slot = '{SECOND}' AND row_number = 0")
    return home


def test_all_that_is_recorded_is_verified_with_a_line_each_and_a_total(traded_slots: TradedSlots) -> None:
    done = command_line(traded_slots.home, traded_slots.home.parent)("verify")
    assert done.returncode == 0, done.stderr
    first, second, others, total = done.stdout.splitlines()
    assert first.startswith(f"{FIRST}  ok ")
    assert second.startswith(f"{SECOND}  ok ")
    assert others.startswith(
        "12 versions decided under settings that are not today's, and verified under those of then"
    )
    assert "risk.max_utilization_pct = 50.0, today 90.0" in others
    assert total.startswith("2 slots: ")
    assert "; all is as it was recorded. The metrics were not checked: there are none yet" in total


def test_what_differs_is_named_and_ends_with_status_1(here: Run, tampered: Path) -> None:
    done = here("verify", QUANT_HOME=str(tampered))
    assert done.returncode == 1
    first, second, named, blocked, _, total = done.stdout.splitlines()
    assert "ok" in first
    assert second.startswith(f"{SECOND}  DIFFERS")
    assert named.startswith("  quotes ")
    assert "damaged" in named
    assert blocked == "  therefore not decided again: quality_filter, indicators, scores"
    assert "; 1 difference: 1 damaged. The metrics were not checked: what they are made from is damaged." in total


def test_slots_can_be_chosen(here: Run, tampered: Path) -> None:
    assert here("verify", FIRST, QUANT_HOME=str(tampered)).returncode == 0
    assert here("verify", "--to", FIRST, QUANT_HOME=str(tampered)).returncode == 0
    assert here("verify", "--from", SECOND, QUANT_HOME=str(tampered)).returncode == 1


def test_json_is_one_object(here: Run, tampered: Path) -> None:
    done = here("verify", "--json", QUANT_HOME=str(tampered))
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["ok"], told["totals"]["slots"], told["totals"]["differences"]) == (False, 2, 1)
    assert [slot["ok"] for slot in told["slots"]] == [True, False]
    [difference] = told["slots"][1]["differences"]
    assert (difference["slot"], difference["kind"], difference["asset"]) == (SECOND, "damaged", "quotes")
    assert not told["metrics"]["checked"]
    assert sum(other["versions"] for other in told["other_settings"]) > 0


def test_a_slot_that_is_not_recorded_is_refused(here: Run, tampered: Path) -> None:
    assert_refused(here("verify", "2026-11-23", QUANT_HOME=str(tampered)), 2, "Nothing is recorded of slot 2026-11-23")
    assert_refused(here("verify", "abc", QUANT_HOME=str(tampered)), 2, f"'abc' is no slot; write one like {SECOND}")
    assert_refused(here("verify", QUANT_HOME=str(tampered / "nowhere")), 1, "Nothing is recorded yet")


def test_ctrl_c_ends_it_in_a_sentence(traded_slots: TradedSlots) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "quant_pipeline", "verify", *[FIRST, SECOND]],
        env=clean_environment(traded_slots.home), cwd=traded_slots.home.parent,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stdout is not None
    assert running.stdout.readline().startswith(FIRST)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=SECONDS)
    # It may have been done before the signal came; half an answer and a traceback it must not give.
    assert (running.returncode, errors) in [(130, errors), (0, "")]
    assert "Traceback" not in errors
