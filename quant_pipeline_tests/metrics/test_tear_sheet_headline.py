"""The headline of the tear sheet: its figures are those of the tables, and those that rest on too little say so."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from quant_pipeline.metrics import figures
from quant_pipeline.metrics.project import PROJECT
from quant_pipeline.metrics.tear_sheet import FEW_SESSIONS, headlines
from quant_pipeline_tests.metrics.made_sheet import NORMAL, Sheet, made_sheet
from quant_pipeline_tests.metrics.measured_history import Scenario

Make = Callable[..., Sheet]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A function that writes a history of some scenarios, changes it with SQL, and makes the page of it."""
    return lambda *scenarios, change="": made_sheet(tmp_path_factory.mktemp("sheet"), *scenarios, change=change)


@pytest.fixture(scope="module")
def sheet(make: Make) -> Sheet:
    return make(NORMAL)


def test_the_headline_figures_are_those_of_the_performance_summary(sheet: Sheet) -> None:
    row = sheet.sql("SELECT * FROM metrics.performance_summary WHERE scope = 'all'")[0]
    unrealized = sheet.sql("SELECT sum(unrealized_pnl) AS sum FROM metrics.trades WHERE status = 'open'")[0]["sum"]
    assert {label: value for label, (value, _) in sheet.tiles.items()} == {
        "Total return": figures.signed_percent(row["total_return_pct"], 2),
        "Max drawdown": figures.percent(row["max_drawdown_pct"], 2),
        "Sharpe": figures.ratio(row["sharpe"]),
        "Sortino": figures.ratio(row["sortino"]),
        "Calmar": figures.ratio(row["calmar"]),
        "Exposure": figures.percent(row["average_gross_exposure_pct"]),
        "Net profit": figures.signed_dollars(row["net_pnl"]),
        "Unrealised P&L": figures.signed_dollars(unrealized),
        "Win rate": figures.share(row["win_rate"]),
        "Profit factor": figures.ratio(row["profit_factor"]),
        "Expectancy": figures.signed_dollars(row["expectancy"]),
        "Average hold": figures.sessions(row["average_hold_sessions"]),
    }
    assert sheet.tiles["Expectancy"][1] == f"{figures.multiple(row['expectancy_r'])} a trade"
    assert row["trades"] == 120
    assert figures.MISSING not in {value for value, _ in sheet.tiles.values()}


def test_the_command_line_is_told_the_same_figures(sheet: Sheet) -> None:
    [headline] = headlines(sheet.history)
    assert {tile.label: tile.value for tile in headline.tiles} == {
        label: value for label, (value, _) in sheet.tiles.items()
    }


def test_ratios_of_a_year_are_not_given_of_few_sessions(make: Make, sheet: Sheet) -> None:
    few = make(Scenario(sessions=FEW_SESSIONS - 1))
    ratios = ("Sharpe", "Sortino", "Calmar")
    assert {few.tiles[name] for name in ratios} == {("too few", "19 sessions")}
    assert few.tiles["Total return"][1] == "in 19 sessions", "not carried on for a year"
    enough = make(Scenario(sessions=FEW_SESSIONS))
    for page in (enough, sheet):
        row = page.sql("SELECT * FROM metrics.performance_summary WHERE scope = 'all'")[0]
        assert [page.tiles[name][0] for name in ratios] == [figures.ratio(row[name.lower()]) for name in ratios]


def test_the_summary_holds_ratios_back_as_long_as_the_page_does() -> None:
    project = (PROJECT / "dbt_project.yml").read_text(encoding="utf-8")
    assert re.findall(r"^  few_sessions: (\d+)$", project, flags=re.MULTILINE) == [str(FEW_SESSIONS)]


def test_a_sharpe_ratio_stands_with_its_standard_error(make: Make) -> None:
    # Lo (2002): the root of (1 + half the squared ratio of a day) / sessions, for a year.
    page = make(Scenario(), change="UPDATE metrics.performance_summary SET sessions = 252, sharpe = 2.0")
    assert page.tiles["Sharpe"] == ("2.00", "± 1 standard error")
    page = make(Scenario(), change="UPDATE metrics.performance_summary SET sessions = 63, sharpe = 12.0")
    assert page.tiles["Sharpe"] == ("12.00", "± 2.3 standard error")


def test_only_a_whole_year_has_a_return_of_a_year(make: Make) -> None:
    change = "UPDATE metrics.performance_summary SET sessions = {}, annual_return_pct = 8.25"
    assert make(Scenario(), change=change.format(251)).tiles["Total return"][1] == "in 251 sessions"
    assert (
        make(Scenario(), change=change.format(252)).tiles["Total return"][1] == figures.signed_percent(8.25) + " a year"
    )


def test_what_rests_on_few_trades_is_grey_and_what_rests_on_many_is_not(make: Make) -> None:
    few = make(Scenario(sessions=29, trades_a_session=1))
    enough = make(Scenario(sessions=30, trades_a_session=1))
    grey = re.compile(r'<dt>([^<]*)</dt><dd class="value faint">')
    assert grey.findall(few.html) == ["Win rate", "Profit factor", "Expectancy"]
    assert grey.findall(enough.html) == []
    assert few.tiles["Profit factor"][1] == "of 29 trades"
    assert '<td class="faint">' in few.section("Trades and exposure")


def test_that_there_is_too_little_is_said_once(make: Make, sheet: Sheet) -> None:
    few = make(Scenario(sessions=4, trades_a_session=1))
    [headline] = headlines(few.history)
    assert headline.warnings == [
        "4 sessions: too few for Sharpe, Sortino and Calmar, which need 20",
        "4 closed trades: too few to tell skill from luck, so what rests on fewer than 30 is grey",
    ]
    assert [few.html.count(warning) for warning in headline.warnings] == [1, 1]
    assert headlines(sheet.history)[0].warnings == []
    assert "too few" not in sheet.html


def test_the_unrealised_profit_stands_beside_the_net_profit_and_both_add_up_to_the_equity(make: Make) -> None:
    page = make(
        Scenario(sessions=2, trades_a_session=1, open_positions=2),
        change="UPDATE metrics.trades SET unrealized_pnl = 250, net_pnl = -50 WHERE status = 'open';"
        "UPDATE metrics.performance_summary SET net_pnl = 1000;"
        "UPDATE metrics.daily_metrics SET equity = 100000, pnl = -100 WHERE session = '2026-01-02';"
        "UPDATE metrics.daily_metrics SET equity = 101600 WHERE session = '2026-01-05'",
    )
    labels = list(page.tiles)
    assert labels.index("Unrealised P&L") == labels.index("Net profit") + 1
    assert page.tiles["Unrealised P&L"] == ("+$500", "2 open positions, before commission, not in net profit")
    assert headlines(page.history)[0].bridge == (
        "Equity +$1,500 = net profit of closed trades +$1,000, open positions +$500 unrealised and −$100 realised "
        "(commission, parts closed), other +$100 (prices of another moment, interest, cash moved)."
    )
    assert headlines(page.history)[0].bridge in page.html.replace("\N{WORD JOINER}", "")
