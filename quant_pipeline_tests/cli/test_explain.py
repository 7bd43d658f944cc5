"""``quant-pipeline explain``: what a person reads of an order, and of a stock that came to none."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
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
    again = " ".join(done.stdout.split("Decided again on")[1].split("\n\n")[0].split())
    assert "shares instead of" in again
    assert "risk.max_position_pct 5 -> 3" in again
    for leg in ("entry", "target", "stop"):
        assert any(line.split()[:1] == [leg] for line in lines)


def section(printed: str, title: str) -> list[str]:
    return printed.partition(f"\n{title}\n")[2].partition("\n\n")[0].splitlines()


def test_both_clocks_are_told_with_their_day(explain: Run, symbol: str) -> None:
    printed = explain(f"{FIRST}:{symbol}").stdout
    head, *events, note = section(printed, "What was said of them")
    assert head.split()[:2] == ["time", "by"]
    assert all(re.match(r"  \d\d-\d\d \d\d:\d\d:\d\d (us|broker|recorded) ", event) for event in events)
    assert all(event.startswith("  11-20 10:1") for event in events if " broker " in event)
    assert note.strip() == "In the exchange's time zone; broker by its clock, us and recorded by ours."
    assert re.search(r"quoted at +2026-11-20 10:1\d:\d\d EST, ", printed)
    _, *versions = section(printed, "Versions")
    assert versions
    assert all(re.search(r"\b[0-9a-f]{32} +[\d,]+ \d\d-\d\d \d\d:\d\d:\d\d *$", line) for line in versions)


def test_a_fill_is_told_with_the_time_the_broker_gave_it_and_what_was_read_later_is_marked(
    explain: Run, traded_slots: TradedSlots, tmp_path: Path
) -> None:
    home = traded_slots.copy(tmp_path / "home")
    with closing(sqlite3.connect(home / "orders.sqlite")) as journal:
        [ref] = journal.execute("SELECT order_ref FROM fills WHERE order_ref LIKE ? || ':%:entry'", (FIRST,)).fetchone()
        journal.execute("UPDATE fills SET filled_at = '2026-11-20T15:15:44+00:00' WHERE order_ref = ?", (ref,))
        journal.execute(
            "INSERT INTO events (order_ref, at, kind, status) VALUES (?, '2026-12-01T12:00:00+00:00', 'reconciled', "
            "'Filled')", (ref,),
        )  # fmt: skip
        journal.commit()
    events = section(explain(ref, QUANT_HOME=str(home)).stdout, "What was said of them")
    fills = [event.split() for event in events if event.split()[4:5] == ["fill"]]
    assert fills
    assert all(fill[:4] == ["11-20", "10:15:44", "broker", "entry"] for fill in fills)
    assert ["12-01", "07:00:00", "recorded", "entry", "reconciled"] in [event.split()[:5] for event in events]


def test_of_an_order_that_ended_unfilled_no_execution_is_awaited(
    explain: Run, traded_slots: TradedSlots, tmp_path: Path
) -> None:
    home = traded_slots.copy(tmp_path / "home")
    with closing(sqlite3.connect(home / "orders.sqlite")) as journal:
        [ref] = journal.execute("SELECT order_ref FROM fills WHERE order_ref LIKE ? || ':%:entry'", (FIRST,)).fetchone()
        journal.execute("DELETE FROM fills WHERE order_ref = ?", (ref,))
        journal.commit()
        assert "None read yet" in explain(ref, QUANT_HOME=str(home)).stdout
        journal.execute("UPDATE intents SET state = 'cancelled', filled_quantity = 0 WHERE order_ref = ?", (ref,))
        journal.commit()
    assert section(explain(ref, QUANT_HOME=str(home)).stdout, "Fills")[0].strip() == "It ended unfilled."


def test_a_symbol_alone_is_told_by_its_order_and_in_a_sentence_by_its_newest_slot(explain: Run, symbol: str) -> None:
    printed = explain(symbol).stdout
    head = " ".join(printed.partition("\n\n")[0].split())
    newest = json.loads(explain(symbol, "--slot", SECOND, "--json").stdout)["explanation"]
    assert head.startswith(f"{FIRST}:{symbol} LONG") or head.startswith(f"{FIRST}:{symbol} SHORT")
    assert f"In its newest slot, {SECOND}: {newest}" in head
    assert "Trade" in printed.splitlines()
    told = json.loads(explain(symbol, "--json").stdout)
    assert (told["slot"], told["newest"]) == (FIRST, {"slot": SECOND, "explanation": newest})
    assert json.loads(explain(f"{FIRST}:{symbol}", "--json").stdout)["newest"] is None


@pytest.fixture
def measured(traded_slots: TradedSlots, tmp_path: Path) -> tuple[Path, str]:
    """A copy of the home with an open trade of 100 shares, of which 40 went out at 12, and the order that opened it."""
    home = traded_slots.copy(tmp_path / "measured")
    with closing(sqlite3.connect(home / "orders.sqlite")) as journal:
        ref, account, opened_at = journal.execute(
            "SELECT order_ref, account, filled_at FROM fills WHERE order_ref LIKE ? || ':%:entry'", (FIRST,)
        ).fetchone()
        journal.execute("UPDATE fills SET quantity = 100, price = 10.0, commission = 1.25 WHERE order_ref = ?", (ref,))
        journal.commit()
    bought = ref.split(":")[2]
    with WorkingFile(home).transaction() as connection:
        connection.execute(f"UPDATE quotes SET last = 13.0 WHERE symbol = '{bought}'")
        connection.execute("CREATE SCHEMA IF NOT EXISTS metrics")
        connection.execute(
            f"CREATE TABLE metrics.trades AS SELECT '{ref}' AS entry_order_ref, '{account}' AS account, "
            f"'{bought}' AS symbol, 'open' AS status, 'LONG' AS direction, NULL::VARCHAR AS exit_reason, "
            "100e0 AS entry_quantity, 40e0 AS exit_quantity, 60e0 AS open_quantity, 10e0 AS entry_price, "
            f"12e0 AS exit_price, TIMESTAMPTZ '{opened_at}' AS opened_at, NULL::TIMESTAMPTZ AS closed_at, "
            "80e0 AS gross_pnl, 2.5e0 AS commission, true AS commissions_known, 77.5e0 AS net_pnl, NULL::DOUBLE AS "
            "r_multiple, -5e0 AS mae, 120e0 AS mfe, 11e0 AS last_price, 60e0 AS unrealized_pnl"
        )
    return home, ref


def test_an_open_trade_is_told_with_what_is_held_at_the_last_price_and_what_is_gone(
    explain: Run, measured: tuple[Path, str]
) -> None:
    home, ref = measured
    told = [" ".join(line.split()) for line in section(explain(ref, QUANT_HOME=str(home)).stdout, "Trade")]
    assert f"unrealised +$180.00 on 60 shares at 13.00 in slot {SECOND}" in told
    assert "realised +$77.50: +$80.00 on 40 shares gone, less $2.50 commission" in told
    assert "out 12.00 on average; still open" in told
    assert not any(line.startswith("P&L") for line in told)


def test_a_commission_is_told_with_its_amount(explain: Run, measured: tuple[Path, str]) -> None:
    home, ref = measured
    printed = explain(ref, QUANT_HOME=str(home)).stdout
    [said] = [line for line in section(printed, "What was said of them") if " commission " in line]
    assert said.split()[-1] == "$1.25"
    assert any("$1.25" in line for line in section(printed, "Fills"))


def test_fills_after_a_trade_was_measured_are_told(explain: Run, measured: tuple[Path, str]) -> None:
    home, ref = measured
    with closing(sqlite3.connect(home / "orders.sqlite")) as journal:
        journal.execute("UPDATE fills SET quantity = 200 WHERE order_ref = ?", (ref,))
        journal.commit()
    assert "There were fills since; quant-pipeline report" in explain(ref, QUANT_HOME=str(home)).stdout


def test_an_exit_is_told_as_one(explain: Run, measured: tuple[Path, str]) -> None:
    home, ref = measured
    exit_ref = ref.removesuffix("entry") + "exit"
    with closing(sqlite3.connect(home / "orders.sqlite")) as journal:
        journal.execute("DELETE FROM intents WHERE parent_ref = ?", (ref,))
        journal.execute(
            "UPDATE intents SET order_ref = ?, leg = 'exit', action = 'SELL', order_type = 'MKT', price = NULL, "
            "quantity = 60 WHERE order_ref = ?", (exit_ref, ref),
        )  # fmt: skip
        journal.commit()
    done = explain(exit_ref, QUANT_HOME=str(home))
    assert "Exit of a position: SELL 60 shares at the market." in " ".join(done.stdout.split())


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
    assert_refused(explain("foo:bar"), 2, "'foo:bar' is no order reference and no symbol; write one like 2026-11-20T")


def test_a_history_that_is_missing_is_told(explain: Run, tmp_path: Path, symbol: str) -> None:
    assert_refused(explain(symbol, QUANT_HOME=str(tmp_path / "nowhere")), 1, "Nothing is recorded yet")


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["tables", "json"])
def test_when_the_journal_is_gone_its_copy_answers_and_that_is_said(
    explain: Run, traded_slots: TradedSlots, tmp_path: Path, symbol: str, options: list[str]
) -> None:
    home = traded_slots.copy(tmp_path / "copy")
    for file in home.glob("orders.sqlite*"):
        file.unlink()
    done = explain(f"{FIRST}:{symbol}", *options, QUANT_HOME=str(home))
    assert_refused(done, 1, "told from the copy of the journal in the history", "orders.sqlite", "is gone", "backup")
    assert f"{FIRST}:{symbol}" in done.stdout
    assert "planned" in done.stdout
    assert not (home / "orders.sqlite").exists()


def test_the_home_of_the_settings_file_is_looked_at(traded_slots: TradedSlots, tmp_path: Path, symbol: str) -> None:
    (tmp_path / "quant_pipeline.toml").write_text(f'home = "{traded_slots.home}"\n', encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUANT_")}
    done = subprocess.run(
        [sys.executable, "-m", "quant_pipeline", "explain", f"{FIRST}:{symbol}"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
