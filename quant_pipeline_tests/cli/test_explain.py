"""``quant-pipeline explain``: what a person reads of an order, and of a stock that came to none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline_tests.cli.conftest import Run, assert_refused, command_line
from quant_pipeline_tests.traded_slots import FIRST, SECOND, TradedSlots

SECTIONS = (
    "Decided", "On the quote", "On daily bars", "With the account", "Quality filter", "Score", "Key signals", "Risk",
    "Orders", "What was said of them", "Fills", "Trade", "Versions",
)  # fmt: skip


@pytest.fixture(scope="module")
def look(traded_slots: TradedSlots) -> Run:
    """``quant-pipeline`` as a process, in the home that was traded in."""
    return command_line(traded_slots.home, traded_slots.home.parent)


@pytest.fixture
def explain(here: Run, traded_slots: TradedSlots) -> Run:
    """``quant-pipeline explain`` in this process, in the same home."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        told = {"QUANT_HOME": str(traded_slots.home), "COLUMNS": "80", **environment}
        return here("explain", *arguments, **told)

    return run


def symbol_where(traded_slots: TradedSlots, table: str, which: str) -> str:
    with WorkingFile(traded_slots.home).reading() as connection:
        row = connection.execute(
            f"SELECT symbol FROM {table} WHERE slot = '{FIRST}' AND {which} ORDER BY materialization_id, row_number"
        ).fetchone()
    assert row is not None
    return row[0]


@pytest.fixture
def symbol(traded_slots: TradedSlots) -> str:
    return symbol_where(traded_slots, "executions", "outcome = 'sent'")


def test_an_order_is_explained_from_its_state_back_to_the_bars_at_80_columns(look: Run, symbol: str) -> None:
    done = look("explain", f"{FIRST}:{symbol}:entry")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{FIRST}:{symbol}  ")
    assert [line for line in lines if line in SECTIONS] == list(SECTIONS)
    assert max(map(len, lines)) <= 80
    assert "Decided again on" in done.stdout
    for leg in ("entry", "target", "stop"):
        assert any(line.split()[:1] == [leg] for line in lines)


def test_json_has_the_same_in_one_object(look: Run, symbol: str) -> None:
    told = json.loads(look("explain", symbol, "--slot", FIRST, "--json").stdout)
    assert told["order_ref"] == f"{FIRST}:{symbol}"
    assert told["explanation"].split()[0] in ("LONG", "SHORT")
    assert {"universe", "quotes", "bars", "account", "sized_orders", "executions"} <= {
        version["asset"] for version in told["versions"]
    }
    assert told["quote"]["quoted_at"].startswith("2026-11-20T15:15:")
    assert len(told["score"]["key_signals"]) == 10
    assert told["settings"]["scoring"]["threshold"] == 60.0
    assert [leg["leg"] for leg in told["legs"]] == ["entry", "target", "stop"]
    assert all(leg["events"] for leg in told["legs"])


def test_a_refused_stock_is_told_with_its_limit_and_how_all_limits_stood(
    explain: Run, traded_slots: TradedSlots
) -> None:
    refused = symbol_where(traded_slots, "sized_orders", "NOT approved AND reason LIKE '%tili%ation%'")
    done = explain(refused, "--slot", FIRST)
    assert "refused by the risk limits: " in " ".join(done.stdout.split())
    [limit] = [line for line in done.stdout.splitlines() if line.startswith("  max_utilization_pct ")]
    assert limit.split()[-1] == "beyond"
    assert "Orders" not in done.stdout.splitlines()


def test_a_stock_below_the_threshold_is_told_so(explain: Run, traded_slots: TradedSlots) -> None:
    below = symbol_where(traded_slots, "scores", "total_score < 60")
    told = json.loads(explain(below, "--slot", FIRST, "--json").stdout)
    assert told["explanation"].endswith("below the threshold of 60: no order.")


def test_a_stock_the_filter_rejected_is_told_with_the_reason(explain: Run, traded_slots: TradedSlots) -> None:
    rejected = symbol_where(traded_slots, "quality_filter", "NOT passed")
    told = json.loads(explain(rejected, "--slot", FIRST, "--json").stdout)
    assert told["explanation"] == f"Rejected by the quality filter: {told['quality']['reason']}."


def test_wrong_names_are_refused_in_a_sentence_that_says_the_nearest(explain: Run, symbol: str) -> None:
    misspelt = symbol[:-1] + "0"
    assert_refused(explain(f"{FIRST}:{misspelt}:entry"), 2, f"{misspelt} was not in the universe", symbol)
    assert_refused(explain(symbol, "--slot", "2026-11-20T10:20"), 2, "Nothing is recorded of slot", FIRST, SECOND)
    assert_refused(explain(FIRST), 2, "no order reference and no symbol")


def test_a_history_that_is_missing_or_a_journal_that_is_gone_is_told(
    explain: Run, traded_slots: TradedSlots, tmp_path: Path, symbol: str
) -> None:
    assert_refused(explain(symbol, QUANT_HOME=str(tmp_path / "nowhere")), 1, "Nothing is recorded yet")
    home = traded_slots.copy(tmp_path / "copy")
    for file in home.glob("orders.sqlite*"):
        file.unlink()
    assert_refused(explain(symbol, QUANT_HOME=str(home)), 1, "orders.sqlite", "is gone", "backup")
    assert not (home / "orders.sqlite").exists()


def test_the_home_of_the_settings_file_is_looked_at(traded_slots: TradedSlots, tmp_path: Path, symbol: str) -> None:
    (tmp_path / "quant_pipeline.toml").write_text(f'home = "{traded_slots.home}"\n', encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUANT_")}
    done = subprocess.run(
        [sys.executable, "-m", "quant_pipeline", "explain", f"{FIRST}:{symbol}"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
