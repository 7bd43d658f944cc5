"""``quant-pipeline run``: what it prints for people and for programs, and that the two agree with the history."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest

from quant_pipeline_tests.cli.conftest import SLOT, Run

FUNNEL = ("scanned", "quoted", "passed_quality", "scored", "above_threshold", "approved", "orders_sent")
AMOUNTS = ("capital", "deployed", "available", "total_risk", "unrealized_pnl")
COUNTS = ("positions", "long", "short")
OBSERVED = {"universe", "quotes", "bars", "account", "portfolio", "working_orders", "fills"}
DECIDED = {"quality_filter", "indicators", "scores", "sized_orders"}
ASSETS = {*OBSERVED, *DECIDED, "executions", "portfolio_status", "published_history"}


@pytest.fixture(scope="module")
def again(first: subprocess.CompletedProcess[str], trader: Run) -> subprocess.CompletedProcess[str]:
    return trader("run", "--slot", SLOT, "--at", "2026-11-20T10:30")


@pytest.fixture(scope="module")
def as_json(again: subprocess.CompletedProcess[str], trader: Run) -> subprocess.CompletedProcess[str]:
    return trader("run", "--slot", SLOT, "--json")


@pytest.fixture(scope="module")
def report(as_json: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return json.loads(as_json.stdout)


def test_a_run_succeeds_and_keeps_stderr_for_errors(first: subprocess.CompletedProcess[str]) -> None:
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""


def test_everything_it_prints_keeps_to_80_columns(first: subprocess.CompletedProcess[str], traded_home: Path) -> None:
    too_wide = [line for line in first.stdout.splitlines() if len(line) > 80 and str(traded_home) not in line]
    assert too_wide == []


def test_every_asset_is_named_as_it_is_stored(first: subprocess.CompletedProcess[str]) -> None:
    named = re.findall(r"^ +\d+\.\d s  (\w+) ", first.stdout, flags=re.MULTILINE)
    assert set(named) == ASSETS
    assert len(named) == len(ASSETS)


def test_the_funnel_that_is_printed_is_the_one_in_the_history(
    first: subprocess.CompletedProcess[str], as_json: subprocess.CompletedProcess[str], traded_home: Path
) -> None:
    with duckdb.connect(str(traded_home / "history.duckdb"), read_only=True) as history:
        row = history.execute(
            """WITH first_run AS (
                SELECT run_id FROM lineage.materializations WHERE asset = 'universe' ORDER BY id LIMIT 1),
            made AS (SELECT id FROM lineage.materializations SEMI JOIN first_run USING (run_id))
            SELECT
                (SELECT count(*) FROM history.universe WHERE materialization_id IN (FROM made)),
                (SELECT count(*) FROM history.quotes
                    WHERE bid IS NOT NULL AND ask IS NOT NULL AND materialization_id IN (FROM made)),
                (SELECT count(*) FROM history.quality_filter WHERE passed AND materialization_id IN (FROM made)),
                (SELECT count(*) FROM history.scores WHERE materialization_id IN (FROM made)),
                (SELECT count(*) FROM history.scores WHERE total_score >= 60 AND materialization_id IN (FROM made)),
                (SELECT count(*) FROM history.sized_orders WHERE approved AND materialization_id IN (FROM made)),
                (SELECT count(*) FROM history.executions WHERE outcome = 'sent' AND materialization_id IN (FROM made))
            """
        ).fetchone()
    assert as_json.returncode == 0
    assert figures_of_the_funnel(first.stdout) == list(row or ())


def figures_of_the_funnel(output: str) -> list[int]:
    panel = output[output.index("╭─ Slot") : output.index("Not taken")]
    return [int(line.strip("│ ").split()[0]) for line in panel.splitlines() if line.startswith("│")]


def test_the_default_market_fills_the_funnel_as_the_specification_has_it(
    first: subprocess.CompletedProcess[str],
) -> None:
    scanned, quoted, passed, scored, above, approved, sent = figures_of_the_funnel(first.stdout)
    assert scanned == 100
    assert 80 <= passed <= 90
    assert quoted >= passed == scored
    # 50-60 in the first seconds of the slot; a slow machine reads its quotes later, when a few more may pass.
    assert 50 <= above <= 65
    assert 40 <= approved <= 50
    assert 0 < sent <= 3 * approved


def test_it_shows_the_portfolio_one_bracket_the_timings_and_where_to_look_next(
    first: subprocess.CompletedProcess[str],
) -> None:
    output = first.stdout
    for words in ("capital", "deployed", "available", "long / short", "loss if all stops hit", "unrealised P&L"):
        assert words in output
    assert re.search(r"symbol +side +shares +entry +current +stop +target +P&L +%", output)
    bracket = output[output.index("One bracket of") : output.index("The slot took")]
    assert re.findall(r"^ (entry|stop|target) +(?:BUY|SELL) +(?:LMT|STP) ", bracket, flags=re.MULTILINE) == [
        "entry",
        "target",
        "stop",
    ]
    assert re.search(r"The slot took \d+\.\d s \(longest: \w+ \d", output)
    assert "history.duckdb" in output
    assert "run --at 2026-11-20T10:30" in output


def test_a_slot_that_is_over_decides_the_same_and_sends_nothing(
    first: subprocess.CompletedProcess[str], again: subprocess.CompletedProcess[str]
) -> None:
    assert again.returncode == 0, again.stderr
    *decided, sent, with_the_broker = figures_of_the_funnel(again.stdout)
    *decided_first, sent_first = figures_of_the_funnel(first.stdout)
    assert decided == decided_first
    assert (sent, with_the_broker) == (0, sent_first)


def test_when_nothing_is_sent_it_shows_a_bracket_that_the_slot_sent_before(
    again: subprocess.CompletedProcess[str],
) -> None:
    assert "Nothing was sent in this run; a bracket that this slot sent before" in again.stdout


def test_json_is_one_object_and_nothing_else(as_json: subprocess.CompletedProcess[str]) -> None:
    assert as_json.stdout.count("\n") == 1
    assert as_json.stderr == ""


def test_json_has_the_slot_the_run_and_the_funnel_in_whole_numbers(report: dict[str, Any]) -> None:
    assert list(report) == ["slot", "run_id", "funnel", "portfolio", "timings"]
    assert report["slot"] == SLOT
    assert re.fullmatch(r"[0-9a-f-]{36}", report["run_id"])
    assert tuple(report["funnel"]) == FUNNEL
    assert all(type(count) is int for count in report["funnel"].values())


def test_json_has_the_portfolio_in_dollars_and_counts(report: dict[str, Any]) -> None:
    portfolio = report["portfolio"]
    assert set(portfolio) == {*AMOUNTS, *COUNTS}
    assert all(type(portfolio[name]) is float for name in AMOUNTS)
    assert all(type(portfolio[name]) is int for name in COUNTS)
    assert portfolio["positions"] == portfolio["long"] + portfolio["short"] > 0
    assert portfolio["deployed"] + portfolio["available"] == pytest.approx(portfolio["capital"], abs=0.02)


def test_json_has_the_seconds_of_every_asset_and_of_the_whole(report: dict[str, Any]) -> None:
    timings = report["timings"]
    assert set(timings) == {*ASSETS, "total"}
    assert all(type(seconds) is float for seconds in timings.values())
    assert timings["total"] >= max(seconds for asset, seconds in timings.items() if asset != "total")


def test_json_agrees_with_the_history(report: dict[str, Any], traded_home: Path) -> None:
    with duckdb.connect(str(traded_home / "history.duckdb"), read_only=True) as history:
        made = history.execute(
            "SELECT asset, rows FROM lineage.materializations WHERE run_id = ?", [report["run_id"]]
        ).fetchall()
        capital = history.execute("SELECT capital FROM current.portfolio_status WHERE slot = ?", [SLOT]).fetchone()
    rows = dict(made)
    assert "universe" not in rows, "what was observed is read back, not recorded again"
    assert rows["scores"] == report["funnel"]["scored"]
    assert capital is not None
    assert capital[0] == pytest.approx(report["portfolio"]["capital"], abs=0.01)
