"""``quant-pipeline report``: the metrics are built, the page is written, the headline figures are said."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import duckdb
import pytest

from quant_pipeline_tests.cli.conftest import Run, assert_refused
from quant_pipeline_tests.metrics import recorded_trading
from quant_pipeline_tests.metrics.measured_history import Scenario, write_history


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published history whose metrics were built before."""
    path = tmp_path_factory.mktemp("measured") / "history.duckdb"
    return write_history(path, Scenario(), Scenario(account="U2222222", seed=9, sessions=70))


@pytest.fixture
def measured_home(home: Path, measured: Path) -> Path:
    """A home with a copy of that history."""
    home.mkdir()
    shutil.copy(measured, home)
    return home


@pytest.mark.parametrize("arguments", [(), ("--no-build",)])
def test_before_the_first_run_it_says_how_to_start_and_makes_nothing(
    here: Run, home: Path, arguments: tuple[str, ...]
) -> None:
    done = here("report", *arguments)
    assert_refused(done, 1, "quant-pipeline run")
    assert done.stdout == "", "nothing is announced that cannot be done"
    assert not home.exists()


def test_where_the_page_is_to_go_is_looked_at_before_anything_is_built(
    here: Run, measured_home: Path, tmp_path: Path
) -> None:
    for out in (tmp_path / "no such folder" / "page.html", tmp_path):
        done = here("report", "--out", str(out))
        assert_refused(done, 2, str(out), "--out")
        assert done.stdout == ""
    (measured_home / "report.html").mkdir()
    done = here("report")
    assert_refused(done, 2, "report.html is a directory")
    assert done.stdout == ""


@pytest.mark.timeout(240)
def test_it_builds_the_metrics_of_what_is_recorded_and_writes_the_page(
    here: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded_trading, "RANDOM_ACCOUNTS", 2)
    recorded_trading.record_trading(home, seed=3)
    done = here("report", "--out", str(tmp_path / "sheet.html"))
    assert done.returncode == 0, done.stderr
    assert "Building the metrics" in done.stdout.splitlines()[0]
    assert f"The tear sheet is {tmp_path / 'sheet.html'}" in done.stdout
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    with duckdb.connect(str(home / "history.duckdb"), read_only=True) as published:
        accounts = [name for (name,) in published.execute("SELECT DISTINCT account FROM metrics.trades").fetchall()]
        orders = published.execute(
            "SELECT account, entry_order_ref FROM metrics.trades WHERE entry_order_ref IS NOT NULL"
        ).fetchall()
    parts = {
        re.findall(r"<h2>Account (.*?)</h2>", part)[0]: part for part in page.split('<article class="account"')[1:]
    }
    assert set(accounts) <= set(parts)
    assert len(accounts) > 1
    assert orders
    assert all(f">{order_ref}</td>" in parts[account] for account, order_ref in orders)
    assert all(f"Account {account}" in done.stdout for account in accounts)


def test_without_building_it_takes_the_metrics_as_they_are(here: Run, measured_home: Path) -> None:
    done = here("report", "--no-build")
    assert done.returncode == 0, done.stderr
    assert "Building" not in done.stdout
    assert (measured_home / "report.html").is_file()
    assert "Account DU1111111, 2026-01-02 to 2026-01-20, 12 sessions" in done.stdout
    assert "Account U2222222" in done.stdout
    assert done.stdout.count("12 sessions: too few for Sharpe, Sortino and Calmar") == 1
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if "tear sheet is" not in line)


def test_it_says_which_profit_is_after_commission(here: Run, measured_home: Path) -> None:
    says = "Net profit is after commission, unrealised P&L before it."
    assert here("report", "--no-build").stdout.count(says) == 2, "once an account"


def test_the_page_is_written_without_the_journal_and_it_is_said_that_it_is_gone(here: Run, measured_home: Path) -> None:
    (measured_home / "working").mkdir()
    (measured_home / "working" / "orders.exists").touch()
    done = here("report", "--no-build")
    assert_refused(done, 1, "orders.sqlite is gone; restore a backup")
    assert "The tear sheet is " in done.stdout
    assert not (measured_home / "orders.sqlite").exists()


def test_the_figures_it_says_are_those_of_the_page(here: Run, measured_home: Path) -> None:
    said = here("report", "--no-build").stdout
    page = (measured_home / "report.html").read_text(encoding="utf-8")
    values = re.findall(r'<dd class="value[^"]*">(.*?)</dd>', page)
    assert len(values) == 24
    assert [value for value in values if value not in said] == []


def test_what_cannot_be_written_or_read_is_said_in_a_sentence(here: Run, measured_home: Path, tmp_path: Path) -> None:
    away = str(tmp_path / "no such folder" / "page.html")
    assert_refused(here("report", "--no-build", "--out", away), 2, away, "--out")
    (measured_home / "history.duckdb").write_bytes(b"no database" * 1000)
    assert_refused(here("report", "--no-build"), 1, "history.duckdb", "cannot be read")
    shutil.rmtree(measured_home)
    assert_refused(here("report", "--no-build"), 1, "There is no history")
