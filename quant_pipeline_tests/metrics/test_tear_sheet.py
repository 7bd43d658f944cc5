"""The tear sheet: its figures are those of the tables, and where there are none it says what is missing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import duckdb
import pytest

from quant_pipeline.errors import HistoryError, UsageError
from quant_pipeline.metrics import cards, figures, tables
from quant_pipeline.metrics.tear_sheet import headlines, refuse_unwritable, write_tear_sheet
from quant_pipeline_tests.metrics.made_sheet import NORMAL, Sheet, made_sheet
from quant_pipeline_tests.metrics.measured_history import Scenario, write_history

HOSTILE = "<script>alert('&')</script>"

Make = Callable[..., Sheet]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A function that writes a history of some scenarios, changes it with SQL, and makes the page of it."""
    return lambda *scenarios, change="": made_sheet(tmp_path_factory.mktemp("sheet"), *scenarios, change=change)


@pytest.fixture(scope="module")
def sheet(make: Make) -> Sheet:
    return make(NORMAL)


def test_the_closed_trades_are_all_there_newest_first(sheet: Sheet) -> None:
    trades = sheet.sql("SELECT * FROM metrics.trades WHERE status = 'closed' ORDER BY closed_at DESC, trade_id")
    shown = sheet.rows("Closed trades")
    assert [(cells[0], cells[5], cells[-1]) for cells in shown] == [
        (trade["symbol"], figures.instant(trade["closed_at"]), trade["entry_order_ref"]) for trade in trades
    ]
    starred = [
        f"{figures.signed_money(row['net_pnl'])}{'' if row['commissions_known'] else '<small>*</small>'}"
        for row in trades
    ]
    assert [cells[2] for cells in shown] == starred
    assert any(name.endswith("</small>") for name in starred), "the footnote is to be seen"


def test_the_open_positions_are_those_of_the_trades(sheet: Sheet) -> None:
    trades = sheet.sql("SELECT * FROM metrics.trades WHERE status = 'open' ORDER BY unrealized_pnl DESC, symbol")
    assert [(cells[0], cells[2]) for cells in sheet.rows("Open positions")] == [
        (trade["symbol"], figures.signed_money(trade["unrealized_pnl"])) for trade in trades
    ]


def test_the_returns_of_a_month_and_a_year_are_those_of_their_sessions(sheet: Sheet) -> None:
    days = sheet.sql("SELECT session, return_pct FROM metrics.daily_metrics WHERE return_pct IS NOT NULL")
    january = math.prod(1 + day["return_pct"] / 100 for day in days if day["session"].month == 1)
    year = math.prod(1 + day["return_pct"] / 100 for day in days)
    [cells] = sheet.rows("Returns")
    assert cells[0] == "2026"
    assert cells[1] == figures.signed_plain_percent(100 * (january - 1))
    assert cells[13] == figures.signed_plain_percent(100 * (year - 1))
    assert cells[3:13] == [""] * 10


def test_the_pictures_say_in_words_what_they_show(sheet: Sheet) -> None:
    exits = sheet.sql("SELECT * FROM metrics.performance_summary WHERE scope = 'exit_reason' AND value = 'stop'")[0]
    best = sheet.sql(
        "SELECT symbol, sum(net_pnl) AS net FROM metrics.trades WHERE status = 'closed' GROUP BY ALL ORDER BY net DESC"
    )[0]
    scores = sheet.sql("SELECT * FROM metrics.signal_quality WHERE component = 'total' AND bin_low = 60")[0]
    titles = [unescape(title) for title in re.findall(r'role="img" aria-label="(.*?)"', sheet.html)]
    says = "\n".join(titles)
    assert len(titles) == 9
    assert f"by stop {figures.signed_dollars(exits['net_pnl'])}" in says
    assert f"Profit by symbol: {best['symbol']} {figures.signed_dollars(best['net'])}" in says
    assert (
        f"60–70: predicted {figures.share(scores['predicted_win_probability'])}, "
        f"realised {figures.share(scores['hit_target_share'])} of {scores['trades']} trades"
    ) in says


def test_the_curve_begins_before_the_first_session_so_that_its_loss_is_seen(make: Make) -> None:
    loss = "UPDATE metrics.daily_metrics SET equity = 97500, pnl = -2500, drawdown_pct = -2.5"
    page = make(Scenario(sessions=1), change=loss)
    returns = page.section("Returns")
    assert "from $100,000 before the first session to $97,500 on 2026-01-02" in returns
    assert "$100,000 → $97,500; dotted: the equity before the first session" in returns
    assert returns.count(">start</text>") == 2, "in the equity and in the drawdown"
    assert "There is one session so far" not in returns


def test_where_the_equity_before_the_first_session_was_not_read_the_curve_begins_with_its_end(make: Make) -> None:
    page = make(Scenario(sessions=3, slots_a_session=1))
    returns = page.section("Returns")
    assert "dotted: the first session&#39;s end" in returns
    assert ">start</text>" not in returns
    assert headlines(page.history)[0].bridge == ""


def test_without_trades_the_rest_is_shown_and_the_trades_are_said_to_be_missing(make: Make) -> None:
    idle = make(Scenario(trades_a_session=0, open_positions=0))
    assert idle.tiles["Win rate"] == (figures.MISSING, "no closed trade yet")
    assert "There is no closed trade yet." in idle.section("Trades and exposure")
    assert "No trade has been closed yet." in idle.section("Closed trades")
    assert "No position is open." in idle.section("Open positions")
    assert 'aria-label="Equity at' in idle.section("Returns")
    assert 'aria-label="Exposure in' in idle.section("Trades and exposure")


def test_a_single_reading_gives_no_curves(make: Make) -> None:
    day = make(Scenario(sessions=1, slots_a_session=1))
    assert "Equity, Drawdown, Monthly returns, %" in day.section("Returns")
    assert "There is one session so far; a curve needs two." in day.section("Returns")
    assert "<svg" not in day.section("Returns")
    assert day.rows("Slots")[0][0] == "2026-01-02", "a table needs one session only"


def test_without_metrics_every_section_says_so_once(make: Make) -> None:
    unbuilt = make()
    assert unbuilt.html.count(cards.NOT_BUILT) == 7, "in each of six sections and at the top"
    assert "Account DU1111111" in unbuilt.html
    assert "<svg" not in unbuilt.html


def test_the_exposure_says_of_what_moment_it_is(make: Make) -> None:
    says = "At the close of each session, or at its last reading where the close was not read; short below zero."
    assert says in make(NORMAL).section("Trades and exposure")


def test_sessions_without_a_reading_of_positions_leave_a_gap_in_the_exposure_only(make: Make) -> None:
    gap = "UPDATE metrics.daily_metrics SET {} = NULL WHERE session = '2026-01-06'"
    names = ("long_value", "short_value", "gross_exposure_pct", "net_exposure_pct", "open_positions")
    page = make(Scenario(), change="; ".join(gap.format(name) for name in names))
    assert 'aria-label="Exposure in' in page.html


def test_two_accounts_have_a_part_each_and_share_nothing(make: Make) -> None:
    theirs = Scenario(account="U2222222", seed=9, sessions=40, symbols=("XRAY", "YANK"))
    both = make(NORMAL, theirs)
    first, second = both.html.split('<article class="account"')[1:]
    assert "Account DU1111111" in first
    assert "XRAY" not in first
    assert "Account U2222222" in second
    assert "ALFA" not in second
    assert 'href="#a1">DU1111111</a>' in both.html
    alone = make(NORMAL).html.split('<article class="account"')[1].partition("</article>")[0]
    assert first.partition("</article>")[0] == alone, "what others do changes nothing of an account's part"
    ids = re.findall(r' id="([^"]*)"', both.html)
    assert len(ids) == len(set(ids)) > 10
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', both.html)) <= set(ids)


def test_slots_in_which_no_account_was_read_are_told_of_the_only_account_but_not_of_one_of_two(make: Make) -> None:
    lost = "UPDATE metrics.slot_health SET account = NULL WHERE slot LIKE '2026-01-05%'"
    alone = make(Scenario(sessions=3), change=lost)
    assert "2026-01-05" in {cells[0] for cells in alone.rows("Slots")}
    other = Scenario(account="U2222222", sessions=1)
    assert "2026-01-05" not in {cells[0] for cells in make(Scenario(sessions=3), other, change=lost).rows("Slots")}


def test_names_that_look_like_html_stay_words(make: Make) -> None:
    name = HOSTILE.replace("'", "''")
    hostile = make(
        Scenario(),
        change=f"UPDATE metrics.trades SET symbol = '{name}', exit_reason = '{name}', entry_order_ref = '{name}';"
        f"UPDATE metrics.performance_summary SET value = '{name}' WHERE scope = 'exit_reason';"
        f"UPDATE metrics.slot_health SET top_rejection = '{name}', top_limit = '{name}';"
        f"UPDATE metrics.signal_quality SET component = '{name}' WHERE component = 'volume'",
    )
    assert "<script" not in hostile.html
    assert hostile.rows("Closed trades")[0][0] == HOSTILE
    assert "alert(" in hostile.section("Trades and exposure")


def test_a_dollar_sign_in_a_name_is_no_formula(make: Make) -> None:
    page = make(Scenario(symbols=("$A$", "B_{2}", "C^D")))
    assert all(f">{name}</text>" in page.html for name in ("$A$", "B_{2}", "C^D"))


def test_a_year_fits_and_says_how_to_get_the_trades_it_leaves_out(make: Make) -> None:
    year = make(Scenario(sessions=252, trades_a_session=24, slots_a_session=26, open_positions=60))
    assert len(year.html.encode()) < 3_000_000
    assert len(year.rows("Closed trades")) == cards.TRADES_IN_PAGE < 6048
    assert "The newest of 6,048 trades first" in year.section("Closed trades")
    assert f"The next {cards.TRADES_IN_PAGE - cards.TRADES_SHOWN} trades" in year.section("Closed trades")
    query = unescape(re.findall("<code>(.*?)</code>", year.section("Closed trades"))[0])
    assert len(year.sql(query)) == 6048


def test_the_same_history_gives_the_same_page(sheet: Sheet, tmp_path: Path) -> None:
    again = write_tear_sheet(sheet.history, tmp_path / "again.html").read_text(encoding="utf-8")
    made = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d exchange time")
    assert made.sub("", again) == made.sub("", sheet.html)


def test_what_was_held_back_is_told_in_plain_words_and_counted_by_what_it_is(sheet: Sheet) -> None:
    section = sheet.section("Slots")
    held = sheet.sql("SELECT sum(rejected) AS rejected, sum(refused) AS refused FROM metrics.slot_health")[0]
    assert "#" not in re.sub(r"&#\d+;|\(#|href=\"#", "", section)
    assert "spread too wide" in section
    assert "already held or on order (allow_duplicate_symbols)" in section
    assert "capital fully deployed (max_utilization_pct)" in section
    assert f"the quality filter rejected a stock {figures.count(held['rejected'])} times" in section
    assert f"the risk limits refused an order {figures.count(held['refused'])} times" in section
    assert "A stock counts in every slot." in section


def test_the_foot_says_when_and_of_what_the_page_was_made(make: Make) -> None:
    decided = (
        "INSERT INTO lineage.materializations VALUES (2, 'sized_orders', '2026-01-02T10:15', 'run', 'ababababab', "
        "'5e771295', 'hash', 0, '2026-01-02 15:15:02+00', '2026-01-02 15:15:03+00'), "
        "(3, 'portfolio_status', '2026-01-02T10:30', 'run', 'cdcdcdcdcd', 'f00d', 'hash', 0, "
        "'2026-01-02 15:30:02+00', '2026-01-02 15:30:03+00')"
    )
    foot = re.sub("<[^>]*>", "", make(Scenario(), change=decided).html.partition("<footer>")[2])
    assert re.search(r"Made\d{4}-\d\d-\d\d \d\d:\d\d exchange time \(New York\), by quant-pipeline \d", foot)
    assert "up to slot 2026-01-02T10:30" in foot
    assert "version ababababab, which made sized_orders of slot 2026-01-02T10:15" in foot, "not what measured it"
    assert "hash 5e771295" in foot
    assert "Historylayout 2" in foot


def test_nothing_of_the_page_comes_from_elsewhere(sheet: Sheet) -> None:
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?!#|data:,)[^\"'#]", sheet.html)
    assert "http:" not in sheet.html
    assert "https:" not in sheet.html


def test_a_page_that_cannot_be_written_is_refused_and_nothing_is_left_over(sheet: Sheet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name another file with --out"):
        write_tear_sheet(sheet.history, tmp_path / "no such folder" / "page.html")
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        write_tear_sheet(sheet.history, tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_page_that_could_not_be_written_is_known_before_it_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory", encoding="utf-8")
    for out, sentence in (
        (tmp_path, "is a directory; name a file in it"),
        (tmp_path / "missing" / "page.html", "there is no directory"),
        (tmp_path / "file" / "page.html", "there is no directory"),
        (tmp_path / f"{'long' * 70}.html", "cannot be written"),
    ):
        with pytest.raises(UsageError, match=sentence):
            refuse_unwritable(out)
    refuse_unwritable(tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_history_that_is_missing_damaged_foreign_newer_or_empty_leaves_the_page_of_before(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("before", encoding="utf-8")
    damaged, foreign, newer = (tmp_path / f"{name}.duckdb" for name in ("damaged", "foreign", "newer"))
    damaged.write_bytes(b"no database" * 1000)
    with duckdb.connect(str(foreign)) as connection:
        connection.execute("CREATE TABLE somebody_elses (thing INTEGER)")
    with duckdb.connect(str(write_history(newer))) as connection:
        connection.execute("INSERT INTO lineage.schema_version (version) VALUES (999)")
    unread = write_history(tmp_path / "unread.duckdb")
    with duckdb.connect(str(unread)) as connection:
        connection.execute("DELETE FROM main.account; DELETE FROM lineage.materializations")
    for history, sentence in (
        (tmp_path / "missing.duckdb", "There is no history at"),
        (damaged, "cannot be read"),
        (foreign, "is not a history"),
        (newer, "999"),
        (unread, "No account was recorded yet"),
    ):
        with pytest.raises(HistoryError, match=sentence):
            write_tear_sheet(history, page)
    assert page.read_text(encoding="utf-8") == "before"


def test_the_history_is_only_read(sheet: Sheet, tmp_path: Path) -> None:
    before = sheet.history.read_bytes()
    write_tear_sheet(sheet.history, tmp_path / "page.html")
    assert sheet.history.read_bytes() == before
    assert [path.name for path in sheet.history.parent.iterdir() if path.suffix != ".html"] == [sheet.history.name]


def test_heat_is_pale_where_trades_are_few() -> None:
    quality = [
        {"component": "total", "bin_low": 60.0, "bin_high": 70.0, "trades": trades, "average_r": average}
        for trades, average in ((tables.FEW_TRADES - 1, 3.0),)
    ]
    quality += [{"component": "total", "bin_low": 70.0, "bin_high": 80.0, "trades": 500, "average_r": -0.2}]
    [(_, few, many)] = tables.quality_by_component(quality).rows
    assert (few.text, few.strength, few.tone) == ("+3.00", 0.0, "gain")
    assert (many.strength, many.tone) == (1.0, "loss")
