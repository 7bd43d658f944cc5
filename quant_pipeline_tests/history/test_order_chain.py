"""A decision is explained from what was recorded: the version that sent, its whole chain, the journal's word."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from quant_pipeline.errors import HistoryError, UsageError
from quant_pipeline.history.order_chain import Asked, OrderChain, parse_asked, read_chain
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline_tests.traded_slots import FIRST, SECOND, TradedSlots


def chain_of(home: Path, asked: str, slot: str | None = None) -> OrderChain:
    return read_chain(home, parse_asked(asked, slot))


def symbol_where(home: Path, query: str) -> str:
    """The first symbol of the first slot that a query finds in the rows of the version that sent."""
    with WorkingFile(home).reading() as connection:
        row = connection.execute(f"{query} ORDER BY materialization_id, row_number LIMIT 1").fetchone()
    assert row is not None, query
    return row[0]


@pytest.fixture(scope="module")
def sent(traded_slots: TradedSlots) -> OrderChain:
    symbol = symbol_where(
        traded_slots.home, f"SELECT symbol FROM executions WHERE slot = '{FIRST}' AND outcome = 'sent'"
    )
    return chain_of(traded_slots.home, f"{FIRST}:{symbol}:entry")


# ---- what is asked for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("2026-11-20T10:15:ZORU:entry", Asked("ZORU", FIRST, "entry")),
        ("2026-11-20T10:15:ZORU", Asked("ZORU", FIRST)),
        ("2026-11-20T10:15:BRK B:stop", Asked("BRK B", FIRST, "stop")),
        (" zoru ", Asked("ZORU", None)),
    ],
)
def test_a_reference_of_a_leg_or_a_bracket_or_a_symbol_is_understood(text: str, asked: Asked) -> None:
    assert parse_asked(text) == asked


@pytest.mark.parametrize(
    "text", ["", "2026-11-20T10:15", "2026-11-20T10:15:", "foo:bar", "2026-11-20", "2026-11-20T10:15:ZORU:buy"]
)
def test_what_names_no_order_and_no_symbol_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no order reference and no symbol"):
        parse_asked(text)


def test_a_reference_and_another_slot_contradict_each_other() -> None:
    with pytest.raises(UsageError, match="leave --slot out"):
        parse_asked(f"{FIRST}:ZORU", SECOND)


def test_a_slot_that_is_not_recorded_is_refused_with_the_nearest(traded_slots: TradedSlots) -> None:
    with pytest.raises(UsageError, match=f"the nearest recorded: {FIRST} and {SECOND}"):
        chain_of(traded_slots.home, "ZORU", "2026-11-20T10:20")
    with pytest.raises(UsageError, match="is not a slot"):
        chain_of(traded_slots.home, "ZORU", "10:15")


def test_a_symbol_outside_the_universe_is_refused_with_those_like_it(
    traded_slots: TradedSlots, sent: OrderChain
) -> None:
    misspelt = sent.symbol[:-1] + "0"
    with pytest.raises(UsageError, match=f"{misspelt} was not in the universe of slot {FIRST}.*{sent.symbol}"):
        chain_of(traded_slots.home, f"{FIRST}:{misspelt}:entry")
    with pytest.raises(UsageError, match="in the universe of no recorded slot"):
        chain_of(traded_slots.home, misspelt)


def test_a_quote_in_a_symbol_is_only_a_character(traded_slots: TradedSlots) -> None:
    with pytest.raises(UsageError, match="in the universe of no recorded slot"):
        chain_of(traded_slots.home, "X' OR ''='")


def test_a_symbol_alone_is_explained_by_its_newest_order(traded_slots: TradedSlots, sent: OrderChain) -> None:
    ordered = chain_of(traded_slots.home, sent.symbol)
    assert (ordered.slot, ordered.legs) == (FIRST, sent.legs)
    assert ordered.newest is not None
    assert (ordered.newest.slot, ordered.newest.legs) == (SECOND, ())
    assert ordered.newest == chain_of(traded_slots.home, sent.symbol, SECOND)
    assert chain_of(traded_slots.home, sent.order_ref).newest is None
    assert any(f"{FIRST}:{sent.symbol}:entry" in note for note in ordered.newest.notes)


def test_an_order_that_never_went_out_is_not_the_newest_order(
    traded_slots: TradedSlots, sent: OrderChain, tmp_path: Path
) -> None:
    home = traded_slots.copy(tmp_path / "home")
    with closing(sqlite3.connect(home / "orders.sqlite")) as journal:
        journal.execute("UPDATE intents SET state = 'refused' WHERE symbol = ?", (sent.symbol,))
        journal.commit()
    assert chain_of(home, sent.symbol).slot == SECOND


def test_a_symbol_that_was_never_ordered_is_explained_where_it_was_decided_last(traded_slots: TradedSlots) -> None:
    symbol = symbol_where(
        traded_slots.home,
        f"SELECT symbol FROM quality_filter WHERE slot = '{SECOND}' AND NOT passed "
        f"AND symbol NOT IN (SELECT symbol FROM executions)",
    )
    chain = chain_of(traded_slots.home, symbol)
    assert (chain.slot, chain.newest) == (SECOND, None)


# ---- an order that was sent -----------------------------------------------------------------------------------------


def test_the_version_that_sent_counts_and_not_the_newest(traded_slots: TradedSlots, sent: OrderChain) -> None:
    newest = History(traded_slots.home).latest("sized_orders", FIRST)
    assert newest is not None
    assert sent.sent
    assert sent.decided.materialization_id == sent.legs[0]["materialization_id"] < newest.id
    assert sent.settings == traded_slots.settings[FIRST].decision_parameters


def test_a_later_decision_is_told_with_the_settings_that_differ(traded_slots: TradedSlots, sent: OrderChain) -> None:
    [note] = sent.notes
    newest = History(traded_slots.home).latest("sized_orders", FIRST)
    assert newest is not None
    again = History(traded_slots.home).frame(newest.id).set_index("symbol").loc[sent.symbol, "quantity"]
    assert note.startswith("Decided again on")
    assert f"(sized_orders {newest.id}): {again} shares instead of {sent.legs[0]['quantity']:.0f}" in note
    assert "risk.max_position_pct 5 -> 3" in note
    assert "risk.max_utilization_pct 50 -> 90" in note
    assert "Code" not in note
    assert "observations" not in note


def test_a_later_decision_on_other_observations_is_told_with_them(
    traded_slots: TradedSlots, sent: OrderChain, tmp_path: Path
) -> None:
    home = traded_slots.copy(tmp_path / "home")
    with WorkingFile(home).transaction() as connection:
        for asset in ("account", "portfolio"):
            connection.execute(
                "UPDATE lineage.inputs SET input_materialization_id = (SELECT max(id) FROM lineage.materializations "
                f"WHERE asset = '{asset}' AND slot = '{SECOND}') WHERE materialization_id = (SELECT max(id) FROM "
                f"lineage.materializations WHERE asset = 'sized_orders' AND slot = '{FIRST}') AND "
                f"input_materialization_id IN (SELECT id FROM lineage.materializations WHERE asset = '{asset}')"
            )
    [note] = chain_of(home, sent.order_ref).notes
    assert "On later observations (account, portfolio). Settings then -> now: " in note
    assert note.endswith("Both may be the cause.")


def test_a_later_decision_that_comes_to_the_same_is_not_worth_a_word(traded_slots: TradedSlots) -> None:
    below_twice = symbol_where(
        traded_slots.home, f"SELECT symbol FROM scores WHERE slot = '{FIRST}' AND total_score < 60"
    )
    notes = chain_of(traded_slots.home, below_twice, FIRST).notes
    assert [note for note in notes if "again" in note] == []


def test_every_link_is_the_row_of_the_version_it_names(traded_slots: TradedSlots, sent: OrderChain) -> None:
    history = History(traded_slots.home)
    rows = {
        "universe": sent.universe, "quotes": sent.quote, "quality_filter": sent.quality, "scores": sent.score,
        "sized_orders": sent.sized_order,
    }  # fmt: skip
    chain = {one.asset: one for one in sent.versions}
    for asset, row in rows.items():
        assert row is not None
        version = chain[asset]
        frame = history.frame(version.materialization_id)
        of_symbol = frame.loc[frame["symbol"] == sent.symbol].astype(object)
        [recorded] = of_symbol.where(of_symbol.notna(), None).to_dict("records")
        assert {name: row[name] for name in recorded} == recorded
        assert version.rows == len(frame)
    assert sent.account is not None
    assert sent.account["capital"] == history.frame(chain["account"].materialization_id)["capital"].iloc[0]


def test_the_bars_are_those_of_the_frame_it_was_decided_on(traded_slots: TradedSlots, sent: OrderChain) -> None:
    version = next(one for one in sent.versions if one.asset == "bars")
    frame = History(traded_slots.home).frame(version.materialization_id)
    bars = frame.loc[frame["symbol"] == sent.symbol].reset_index(drop=True)
    complete = bars.loc[~bars["partial"]]
    assert sent.bars is not None
    assert sent.bars["bars"] == len(bars)
    assert (sent.bars["first"], sent.bars["last"]) == tuple(f"{bars['date'].iloc[at]:%Y-%m-%d}" for at in (0, -1))
    assert sent.bars["last_complete"] == f"{complete['date'].iloc[-1]:%Y-%m-%d}"
    for name in ("open", "high", "low", "close", "volume", "partial"):
        assert sent.bars["last_bar"][name] == bars[name].iloc[-1]


def test_the_contributions_add_up_to_the_score(sent: OrderChain) -> None:
    assert sent.score is not None
    assert sent.settings is not None
    weights = sent.settings["scoring"]["weights"]
    total = sum(weight * sent.score[f"{component}_score"] for component, weight in weights.items())
    assert total == pytest.approx(sent.score["total_score"])
    assert len(sent.score["key_signals"]) == 10


def test_every_word_of_the_broker_is_there_from_the_journal(traded_slots: TradedSlots, sent: OrderChain) -> None:
    assert [leg["leg"] for leg in sent.legs] == ["entry", "target", "stop"]
    with closing(sqlite3.connect(traded_slots.home / "orders.sqlite")) as journal:
        for leg in sent.legs:
            ids = journal.execute(
                "SELECT id FROM events WHERE order_ref = ? ORDER BY id", (leg["order_ref"],)
            ).fetchall()
            assert [(event["id"],) for event in leg["events"]] == ids
            assert leg["events"][0]["kind"] == "planned"


def test_the_fill_of_an_entry_is_there_with_its_commission(traded_slots: TradedSlots) -> None:
    with closing(sqlite3.connect(traded_slots.home / "orders.sqlite")) as journal:
        ref, exec_id = journal.execute("SELECT order_ref, exec_id FROM fills WHERE order_ref LIKE '%:entry'").fetchone()
    filled = chain_of(traded_slots.home, ref)
    assert exec_id in {fill["exec_id"] for fill in filled.fills}
    assert all(fill["commission"] > 0 for fill in filled.fills)


def test_the_trade_is_told_once_trades_are_measured(
    traded_slots: TradedSlots, sent: OrderChain, tmp_path: Path
) -> None:
    assert (sent.trades_measured, sent.trade) == (False, None)
    home = traded_slots.copy(tmp_path / "home")
    with WorkingFile(home).transaction() as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS metrics")
        connection.execute(
            f"CREATE TABLE metrics.trades AS SELECT '{sent.order_ref}:entry' AS entry_order_ref, 12.5 AS net_pnl, "
            "TIMESTAMPTZ '2026-11-20 15:15:09+00' AS opened_at"
        )
    measured = chain_of(home, sent.order_ref)
    assert measured.trade is not None
    assert float(measured.trade["net_pnl"]) == 12.5
    assert measured.trade["opened_at"].isoformat() == "2026-11-20T15:15:09+00:00"


def test_the_trade_of_an_exit_is_the_one_that_was_opened_before(
    traded_slots: TradedSlots, sent: OrderChain, tmp_path: Path
) -> None:
    home = traded_slots.copy(tmp_path / "home")
    account = sent.legs[0]["account"]
    with closing(sqlite3.connect(home / "orders.sqlite")) as journal:
        journal.execute(
            "UPDATE intents SET leg = 'exit', order_ref = slot || ':' || symbol || ':exit', parent_ref = NULL "
            "WHERE rowid = (SELECT min(rowid) FROM intents WHERE slot = ?)", (SECOND,)
        )  # fmt: skip
        journal.execute("DELETE FROM intents WHERE slot = ? AND leg <> 'exit'", (SECOND,))
        journal.commit()
        symbol = journal.execute("SELECT symbol FROM intents WHERE slot = ?", (SECOND,)).fetchone()[0]
    earlier, later = f"2026-11-19T10:15:{symbol}:entry", f"{SECOND}:{symbol}:entry"
    with WorkingFile(home).transaction() as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS metrics")
        connection.execute("CREATE TABLE metrics.trades (entry_order_ref VARCHAR, account VARCHAR, symbol VARCHAR)")
        before = f"2026-11-18T10:15:{symbol}:entry"
        for entry, whose in ((earlier, account), (before, account), (earlier, "DU1"), (later, account)):
            connection.execute(f"INSERT INTO metrics.trades VALUES ('{entry}', '{whose}', '{symbol}')")
    trade = chain_of(home, f"{SECOND}:{symbol}:exit").trade
    assert trade == {"entry_order_ref": earlier, "account": account, "symbol": symbol}


def test_the_last_price_is_the_newest_quote_of_the_symbol(traded_slots: TradedSlots, sent: OrderChain) -> None:
    history = History(traded_slots.home)
    newest = history.latest("quotes", SECOND)
    assert newest is not None
    quotes = history.frame(newest.id).set_index("symbol")
    assert sent.last_price == {"price": quotes.loc[sent.symbol, "last"], "slot": SECOND}


# ---- what was not sent ----------------------------------------------------------------------------------------------


def test_a_refused_symbol_has_the_limit_that_bound(traded_slots: TradedSlots) -> None:
    symbol = symbol_where(traded_slots.home, f"SELECT symbol FROM sized_orders WHERE slot = '{FIRST}' AND NOT approved")
    refused = chain_of(traded_slots.home, symbol, FIRST)
    assert not refused.sent
    assert refused.sized_order is not None
    assert refused.sized_order["reason"]
    assert refused.sized_order["limits"]
    assert refused.decided.settings_hash == traded_slots.settings[FIRST].decision_hash


def test_a_symbol_below_the_threshold_has_a_score_and_no_order(traded_slots: TradedSlots) -> None:
    symbol = symbol_where(traded_slots.home, f"SELECT symbol FROM scores WHERE slot = '{FIRST}' AND total_score < 60")
    below = chain_of(traded_slots.home, symbol, FIRST)
    assert below.score is not None
    assert below.sized_order is None
    assert below.legs == ()


def test_a_symbol_the_filter_rejected_has_its_reason_and_no_score(traded_slots: TradedSlots) -> None:
    symbol = symbol_where(traded_slots.home, f"SELECT symbol FROM quality_filter WHERE slot = '{FIRST}' AND NOT passed")
    rejected = chain_of(traded_slots.home, symbol, FIRST)
    assert rejected.quality is not None
    assert rejected.quality["reason"]
    assert rejected.score is None


def test_a_slot_that_ended_early_is_explained_as_far_as_it_went(traded_slots: TradedSlots, tmp_path: Path) -> None:
    home = traded_slots.copy(tmp_path / "home")
    with WorkingFile(home).transaction() as connection:
        late = "asset NOT IN ('universe', 'quotes', 'bars', 'quality_filter', 'indicators')"
        connection.execute(f"DELETE FROM lineage.materializations WHERE slot = '{SECOND}' AND {late}")
    with closing(sqlite3.connect(home / "orders.sqlite")) as journal:
        journal.execute(f"DELETE FROM intents WHERE slot = '{SECOND}'")
        journal.commit()
    symbol = symbol_where(home, f"SELECT symbol FROM indicators WHERE slot = '{SECOND}'")
    early = chain_of(home, symbol, SECOND)
    assert early.decided.asset == "indicators"
    assert early.quote is not None
    assert (early.score, early.account) == (None, None)


# ---- what cannot be read --------------------------------------------------------------------------------------------


def test_of_a_lost_journal_the_copy_in_the_history_answers_and_none_is_made(
    traded_slots: TradedSlots, sent: OrderChain, tmp_path: Path
) -> None:
    home = traded_slots.copy(tmp_path / "home")
    with closing(OrderJournal(home)) as journal:
        History(home).mirror_journal(journal)
    unordered = symbol_where(home, f"SELECT symbol FROM quality_filter WHERE slot = '{FIRST}' AND NOT passed")
    asked = [(sent.order_ref, None), (sent.symbol, None), (unordered, FIRST)]
    told = [chain_of(home, *each) for each in asked]
    for file in home.glob("orders.sqlite*"):
        file.unlink()
    assert [chain_of(home, *each) for each in asked] == told
    assert list(home.glob("orders.sqlite*")) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [("PRAGMA user_version = 99", "layout version 99"), ("PRAGMA user_version = 0", "not an order journal")],
)
def test_a_journal_of_another_kind_is_refused(
    traded_slots: TradedSlots, sent: OrderChain, tmp_path: Path, change: str, words: str
) -> None:
    home = traded_slots.copy(tmp_path / "home")
    with closing(sqlite3.connect(home / "orders.sqlite")) as journal:
        journal.execute(change)
    with pytest.raises(HistoryError, match=words):
        chain_of(home, sent.order_ref)


def test_a_damaged_journal_is_refused(traded_slots: TradedSlots, sent: OrderChain, tmp_path: Path) -> None:
    home = traded_slots.copy(tmp_path / "home")
    (home / "orders.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(HistoryError, match="cannot be read"):
        chain_of(home, sent.order_ref)


def test_without_a_history_it_says_how_to_start_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="Nothing is recorded yet"):
        chain_of(tmp_path / "home", "ZORU")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("module", ["order_chain", "newest_status"])
def test_nothing_that_takes_seconds_is_loaded(traded_slots: TradedSlots, sent: OrderChain, module: str) -> None:
    work = {
        "order_chain": f"read_chain(home, parse_asked({sent.order_ref!r}))",
        "newest_status": "newest_status(home)",
    }
    script = (
        f"import sys; from pathlib import Path; from quant_pipeline.history.{module} import *; "
        f"home = Path({str(traded_slots.home)!r}); {work[module]}; "
        "print(*{'pandas', 'numpy', 'pandera', 'pyarrow', 'dagster', 'ib_insync', 'pytz'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []
