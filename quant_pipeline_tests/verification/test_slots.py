"""Verification finds what was changed, names it, and finds nothing in a record that is as it was made."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from quant_pipeline.assets import order_journaling
from quant_pipeline.errors import HistoryError, UsageError
from quant_pipeline.frames import CLOSING_FRAMES
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline.verification import decisions, journal_replay
from quant_pipeline.verification.differences import Difference, Kind
from quant_pipeline.verification.slots import recorded_slots, verify_foreign_orders, verify_slots
from quant_pipeline_tests.traded_slots import FIRST, SECOND, TradedSlots

OF_SECOND = f"slot = '{SECOND}'"


@pytest.fixture
def home(traded_slots: TradedSlots, tmp_path: Path) -> Path:
    return traded_slots.copy(tmp_path / "home")


def change(home: Path, *statements: str) -> None:
    with WorkingFile(home).transaction() as connection:
        for statement in statements:
            changed = connection.execute(statement).fetchone()
            assert changed is not None
            assert changed[0] > 0, f"{statement} changes nothing"


def change_journal(home: Path, statement: str) -> None:
    with closing(sqlite3.connect(home / "orders.sqlite")) as connection:
        assert connection.execute(statement).rowcount > 0, f"{statement} changes nothing"
        connection.commit()


def differences(home: Path, *slots: str) -> list[Difference]:
    return [found for verdict in verify_slots(home, slots or recorded_slots(home)) for found in verdict.differences]


# ---- a record that is as it was made --------------------------------------------------------------------------------


def test_slots_as_they_were_traded_are_found_to_be_so(traded_slots: TradedSlots) -> None:
    verdicts = {verdict.slot: verdict for verdict in verify_slots(traded_slots.home, [FIRST, SECOND])}
    assert [found for verdict in verdicts.values() for found in verdict.differences] == []
    assert verdicts[FIRST].decided == 8, "the newest version and the one that sent"
    assert verdicts[SECOND].decided == 4
    assert verdicts[FIRST].orders > 0
    assert verify_foreign_orders(traded_slots.home) == []


def test_settings_of_today_do_not_leak_into_what_was_decided(
    traded_slots: TradedSlots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANT_SCORING__THRESHOLD", "80")
    monkeypatch.setenv("QUANT_RISK__MAX_POSITIONS", "2")
    assert differences(traded_slots.home) == []


def test_it_writes_nothing(home: Path) -> None:
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert differences(home) == []
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and path.suffix != "-shm"} == before


def test_a_slot_that_ended_in_the_middle_is_verified_as_far_as_it_went(home: Path) -> None:
    missing = ("sized_orders", "executions", "portfolio_status")
    gone = f"(SELECT id FROM lineage.materializations WHERE {OF_SECOND} AND asset IN {missing})"
    change(
        home,
        *(f"DELETE FROM {asset} WHERE materialization_id IN {gone}" for asset in missing),
        f"DELETE FROM lineage.materializations WHERE id IN {gone}",
        f"DELETE FROM journal.intents WHERE {OF_SECOND}",
        *(f"DELETE FROM journal.{table} WHERE order_ref LIKE '{SECOND}%'" for table in ("events", "fills")),
    )
    change_journal(home, f"DELETE FROM intents WHERE slot = '{SECOND}'")
    change_journal(home, f"DELETE FROM events WHERE order_ref LIKE '{SECOND}%'")
    change_journal(home, f"DELETE FROM fills WHERE order_ref LIKE '{SECOND}%'")
    [verdict] = verify_slots(home, [SECOND])
    assert verdict.differences == ()
    assert verdict.decided == 3


def test_rows_that_were_given_up_are_no_damage(home: Path) -> None:
    ids = f"(SELECT id FROM lineage.materializations WHERE slot = '{SECOND}')"
    change(
        home,
        f"INSERT INTO lineage.pruned SELECT id, now(), 'old' FROM lineage.materializations WHERE slot = '{SECOND}'",
        *(f"DELETE FROM {asset} WHERE materialization_id IN {ids}" for asset in ("quotes", "scores", "sized_orders")),
    )
    [verdict] = verify_slots(home, [SECOND])
    assert verdict.differences == ()
    assert verdict.pruned > 0
    assert verdict.frames == verdict.decided == 0


def test_a_history_that_was_last_written_before_a_frame_was_thought_of_is_verified_as_it_stands(home: Path) -> None:
    with WorkingFile(home).transaction() as connection:
        for asset in CLOSING_FRAMES:
            connection.execute(f"DROP VIEW current.{asset}")
            connection.execute(f"DROP TABLE main.{asset}")
    assert differences(home) == []


# ---- a record that was changed --------------------------------------------------------------------------------------

FIRST_ROW = "rowid = (SELECT min(rowid) FROM {table} WHERE " + OF_SECOND + ")"


# One value of each table, as the command tells of it, is in test_tampering; here is what is special about some.


@dataclass(frozen=True)
class Tampering:
    """A change of one stored value of the second slot, and what is to be named."""

    table: str
    column: str
    value: str
    which: str = FIRST_ROW
    asset: str = ""
    named: str | None = None
    kind: Kind = Kind.DAMAGED

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"

    @property
    def statement(self) -> str:
        return f"UPDATE {self.table} SET {self.column} = {self.value} WHERE {self.which.format(table=self.table)}"


def made(asset: str) -> str:
    return f"{OF_SECOND} AND asset = '{asset}'"


def identity(asset: str) -> str:
    return f"(SELECT max(id) FROM lineage.materializations WHERE {made(asset)})"


def span(column: str, value: str) -> Tampering:
    which = f"rowid = (SELECT min(rowid) FROM bars_frames WHERE materialization_id = {identity('bars')})"
    return Tampering("bars_frames", column, value, which, asset="bars")


HISTORY = [
    Tampering("quotes", "ask_size", "ask_size + 1"),
    Tampering("quotes", "slot", f"'{FIRST}'", named="slot"),
    Tampering("quotes", "row_number", "row_number + 500", named="row_number"),
    Tampering("bars", "close", "close + 0.01"),
    Tampering("bars", "partial", "NOT partial"),
    Tampering("bars", "slot", f"'{FIRST}'", named="slot"),
    Tampering("bars", "source", "'DU0000000'"),
    Tampering("bars", "live", "NOT live", named="live"),
    Tampering("bars", "gone", "true"),
    span("place", "place + 500"),
    span("first_date", "first_date + 3"),
    span("last_date", "last_date + 3"),
    span("live_from", "live_from - 1"),
    span("rows", "rows + 1"),
    span("settled_hash", "'0123456789abcdef01234567'"),
    Tampering("quality_filter", "price", "price + 0.01", named="price"),
    Tampering("indicators", "rsi_14", "rsi_14 + 1e-9", named="rsi_14"),
    Tampering("scores", "total_score", "total_score + 0.1", named="total_score"),
    Tampering("scores", "missing_signals", "['rsi_7']", named="missing_signals"),
    Tampering("sized_orders", "quantity", "quantity + 1", named="quantity"),
    Tampering("sized_orders", "limits", "NULL", named="limits"),
    Tampering("lineage.materializations", "data_hash", "'0123456789abcdef0123456789abcdef'", made("quotes"), "quotes"),
    Tampering("lineage.materializations", "data_hash", "'0123456789abcdef0123456789abcdef'", made("scores"), "scores"),
    Tampering("lineage.materializations", "rows", "rows + 1", made("scores"), "scores", named="rows"),
    Tampering("lineage.materializations", "settings_hash", "'0123456789abcdef'", made("scores"), "scores", "settings"),
    Tampering("lineage.materializations", "slot", f"'{FIRST}'", made("scores"), "scores"),
    Tampering(
        "lineage.inputs", "input_materialization_id",
        "(SELECT min(id) FROM lineage.materializations WHERE asset = 'bars')",
        f"materialization_id = {identity('indicators')} AND input_materialization_id = {identity('bars')}",
        "indicators", "inputs", Kind.INCOMPLETE,
    ),
    Tampering("journal.intents", "price", "price + 0.01", asset="journal.intents", named="price"),
    Tampering(
        "journal.events", "status", "'Filled'",
        f"id = (SELECT min(id) FROM journal.events WHERE order_ref LIKE '{SECOND}%')", "journal.events", "status",
    ),
]  # fmt: skip


@pytest.mark.parametrize("tampering", HISTORY, ids=str)
def test_a_changed_value_of_the_history_is_found_and_named(home: Path, tampering: Tampering) -> None:
    change(home, tampering.statement)
    found = differences(home, SECOND)
    assert found
    first = found[0]
    assert first.slot == SECOND
    assert (tampering.asset or tampering.table) in first.asset
    assert first.kind is tampering.kind
    if tampering.named:
        assert tampering.named in {one.column for one in found}


def test_damage_is_told_once_and_not_again_for_all_that_was_made_from_it(home: Path) -> None:
    change(home, f"UPDATE quotes SET bid = bid - 0.01 WHERE {OF_SECOND}")
    assert [found.asset for found in differences(home, SECOND)] == ["quotes"]


def test_changed_parameters_of_settings_are_found_wherever_they_decided(home: Path) -> None:
    other = "replace(parameters::VARCHAR, '\"threshold\": 60', '\"threshold\": 61')"
    change(home, f"UPDATE lineage.settings SET parameters = {other}")
    found = differences(home, SECOND)
    assert {one.asset for one in found} == set(decisions.INPUTS)
    assert {one.column for one in found} == {"settings"}


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("intents", "quantity", "quantity + 1"),
        ("intents", "price", "price + 0.01"),
        ("intents", "action", "CASE action WHEN 'BUY' THEN 'SELL' ELSE 'BUY' END"),
        ("intents", "symbol", "'OTHER'"),
        ("intents", "leg", "'exit'"),
        ("intents", "order_type", "'MKT'"),
        ("intents", "parent_ref", "'another'"),
        ("intents", "materialization_id", "1"),
        ("intents", "account", "'DU0000000'"),
        ("intents", "tif", "'IOC'"),
        ("intents", "state", "'refused'"),
        ("intents", "order_ref", "order_ref || 'X'"),
        ("events", "text", "'by hand'"),
        ("events", "at", "'2026-11-20T00:00:00.000000+00:00'"),
    ],
)
def test_a_changed_value_of_the_journal_is_found(home: Path, table: str, column: str, value: str) -> None:
    which = f"rowid = (SELECT min(rowid) FROM {table} WHERE order_ref LIKE '{SECOND}%')"
    change_journal(home, f"UPDATE {table} SET {column} = {value} WHERE {which}")
    found = differences(home, SECOND)
    assert found
    assert all("orders.sqlite" in one.asset for one in found)
    assert any(one.column == column or column == "order_ref" for one in found)


def test_a_changed_fill_is_found(home: Path) -> None:
    change_journal(home, "UPDATE fills SET price = price + 0.01 WHERE rowid = (SELECT min(rowid) FROM fills)")
    [found] = differences(home)
    assert (found.asset, found.column) == ("orders.sqlite fills", "price")
    assert "event" in found.text, "the log tells which of the two is wrong"


@pytest.mark.parametrize(
    ("table", "column"),
    [("fills", "filled_at"), ("intents", "updated_at"), ("intents", "created_at"), ("events", "at")],
)
def test_a_changed_time_is_told_as_a_time(home: Path, table: str, column: str) -> None:
    first = f"rowid = (SELECT min(rowid) FROM {table} WHERE order_ref LIKE '{FIRST}%:entry')"
    change_journal(home, f"UPDATE {table} SET {column} = '2026-11-20T15:14:00.250000+00:00' WHERE {first}")
    told = [found.text for found in differences(home) if found.column == column or column == "at"]
    assert told
    assert any("2026-11-20 15:14:00.250000+00:00" in text for text in told)
    assert not any(re.search(r"\d{16}", text) for text in told)


def test_an_order_that_was_added_by_hand_is_found(home: Path) -> None:
    change_journal(
        home,
        "INSERT INTO intents SELECT replace(order_ref, ':entry', ':exit'), account, slot, symbol, 'exit', action, "
        "order_type, quantity, price, tif, parent_ref, 1, created_at, state, perm_id, client_id, order_id, "
        "filled_quantity, average_fill_price, reason, updated_at "
        f"FROM intents WHERE order_ref LIKE '{SECOND}%:entry' LIMIT 1",
    )
    assert any("is no decision of its slot" in one.text for one in differences(home, SECOND))


def test_what_was_journaled_after_the_copy_is_no_difference(home: Path) -> None:
    ref = f"(SELECT min(order_ref) FROM intents WHERE slot = '{SECOND}' AND state = 'working')"
    after = "'2026-11-20T16:00:00.000000+00:00'"
    change_journal(
        home, f"INSERT INTO events (order_ref, at, kind, status) VALUES ({ref}, {after}, 'status', 'Cancelled')"
    )
    change_journal(home, f"UPDATE intents SET state = 'cancelled', updated_at = {after} WHERE order_ref = {ref}")
    assert differences(home, SECOND) == []


# ---- code of another time -------------------------------------------------------------------------------------------


def test_another_decision_by_other_code_is_told_as_such(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(home, f"UPDATE lineage.materializations SET code_version = 'of old' WHERE {OF_SECOND}")
    decide = decisions.QuantMarketScanner.quality_filter
    monkeypatch.setattr(
        decisions.QuantMarketScanner,
        "quality_filter",
        lambda *frames, **more: decide(*frames, **more).assign(price=1.0),
    )
    [found] = differences(home, SECOND)
    assert (found.kind, found.asset, found.column) == (Kind.OTHER_CODE, "quality_filter", "price")


def test_another_decision_by_the_same_code_is_not_excused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = decisions.QuantMarketScanner.scores
    monkeypatch.setattr(
        decisions.QuantMarketScanner, "scores", lambda *frames, **more: decide(*frames, **more).assign(confidence=1.0)
    )
    [found] = differences(home, SECOND)
    assert (found.kind, found.asset, found.column) == (Kind.DECIDES_DIFFERENTLY, "scores", "confidence")
    assert "comes out as 1.0" in found.text


def test_settings_that_this_version_does_not_know_are_said(traded_slots: TradedSlots) -> None:
    parameters = '{"quality": {"of_old": 1}, "scoring": {}, "risk": {}}'
    with pytest.raises(HistoryError, match="of_old"):
        decisions.settings_of(parameters, "hash")


def test_the_words_of_the_broker_mean_here_what_they_mean_to_those_who_act() -> None:
    assert journal_replay.STATE_OF_STATUS == order_journaling.STATE_OF_STATUS
    assert {None, *order_journaling.STATE_OF_MEANING.values()} == set(journal_replay.OF_ERROR)


# ---- which slots ----------------------------------------------------------------------------------------------------


def test_slots_are_chosen_by_key_by_day_and_from_to(traded_slots: TradedSlots) -> None:
    home = traded_slots.home
    assert recorded_slots(home) == recorded_slots(home, ["2026-11-20"]) == [FIRST, SECOND]
    assert recorded_slots(home, [SECOND]) == recorded_slots(home, first=SECOND) == [SECOND]
    assert recorded_slots(home, last=FIRST) == [FIRST]
    assert recorded_slots(home, first="2026-11-20", last="2026-11-20") == [FIRST, SECOND]


def test_a_slot_that_is_not_recorded_is_refused_with_the_newest_that_is(traded_slots: TradedSlots) -> None:
    with pytest.raises(UsageError, match=f"2026-11-23T10:15; the newest recorded is {SECOND}"):
        recorded_slots(traded_slots.home, ["2026-11-23T10:15"])
    with pytest.raises(UsageError, match="No slot is recorded from 2027"):
        recorded_slots(traded_slots.home, first="2027-01-04")


@pytest.mark.parametrize("key", ["abc", "2026", "2026-11-20T10", "2026-11-20T10:15:ZORU:entry", ""])
def test_what_is_no_slot_and_no_day_is_refused_with_how_one_is_written(traded_slots: TradedSlots, key: str) -> None:
    with pytest.raises(UsageError, match=f"'{key}' is no slot; write one like {SECOND}, which is the newest recorded"):
        recorded_slots(traded_slots.home, [key])
