"""One stored value is changed, in every table there is: the command ends with status 1 and names what was changed.

Real slots, real fills, metrics that dbt built; each case has a copy of its own. Where the order journal and its copy in
the history are both changed alike, only what else was recorded can tell.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from quant_pipeline.cli.commands import commands
from quant_pipeline.frames import CLOSING_FRAMES, FRAMES
from quant_pipeline.history.columns import Column, columns_of
from quant_pipeline.history.metrics_tables import BuiltRelation
from quant_pipeline.history.store import History
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline.metrics.build import build_metrics, rebuild_metrics
from quant_pipeline.settings import Settings
from quant_pipeline.verification import measured
from quant_pipeline_tests.traded_slots import FIRST, SECOND, TradedSlots

pytestmark = pytest.mark.timeout(240)

ENTRY = f"order_ref = (SELECT min(order_ref) FROM intents WHERE slot = '{FIRST}' AND state = 'filled')"
FILL = f"exec_id = (SELECT min(exec_id) FROM fills WHERE order_ref LIKE '{FIRST}%')"
EVENT = f"id = (SELECT min(id) FROM events WHERE kind = '{{}}' AND order_ref LIKE '{FIRST}%')"
NEWEST = "(SELECT {}(id) FROM lineage.materializations WHERE asset = '{}')"
METRICS = {
    "trades": "net_pnl", "daily_metrics": "equity", "performance_summary": "trades", "signal_quality": "signals",
    "slot_health": "slot",
}  # fmt: skip
NOT_VERIFIED = {"lineage.schema_version", "lineage.pruned", "lineage.metrics"}
"""The version of the layout, what was given up and what the metrics were made from: nothing else tells of them."""


@dataclass(frozen=True)
class Measured:
    """A home with two traded slots and their metrics, and what comes out when these are made again."""

    home: Path
    again: list[BuiltRelation]

    def copy(self, home: Path) -> Path:
        """A home of the test's own, with the published history."""
        home.mkdir()
        for file in [*self.home.glob("orders.sqlite*"), self.home / "history.duckdb"]:
            shutil.copy(file, home)
        shutil.copytree(self.home / "working", home / "working", ignore=shutil.ignore_patterns("target"))
        return home


@pytest.fixture(scope="session")
def measured_slots(traded_slots: TradedSlots, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    home = traded_slots.copy(tmp_path_factory.mktemp("measured") / "home")
    read_the_close(home)
    build_metrics(Settings(home=home))
    return Measured(home, rebuild_metrics(Settings(home=home)))


def read_the_close(home: Path) -> None:
    """Let the account at the close be what the second slot read: its session is not over."""
    history = History(home)
    for asset in CLOSING_FRAMES:
        recorded = history.recorded(asset.removeprefix("closing_"), SECOND)
        assert recorded is not None
        made, frame = recorded
        history.append(
            asset,
            frame,
            slot=SECOND,
            run_id=made.run_id,
            code_version=made.code_version,
            settings_hash=made.settings_hash,
            inputs=[],
            started_at=made.started_at,
        )


@pytest.fixture
def home(measured_slots: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy; dbt, which takes ten seconds, has made its metrics again already."""
    monkeypatch.setattr(measured, "rebuild_metrics", lambda settings: measured_slots.again)
    return measured_slots.copy(tmp_path / "home")


def verify(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(commands, ["verify", *arguments], env={"QUANT_HOME": str(home)})


def change_history(home: Path, statement: str) -> None:
    with WorkingFile(home).transaction() as connection:
        changed = connection.execute(statement).fetchone()
        assert changed is not None
        assert changed[0] == 1, f"{statement} changes {changed[0]} rows"


def change_journal(home: Path, statement: str) -> None:
    with closing(sqlite3.connect(home / "orders.sqlite")) as connection:
        assert connection.execute(statement).rowcount == 1, statement
        connection.commit()


def change_both(home: Path, table: str, statement: str) -> None:
    """Change journal and copy alike; ``statement`` is written for the journal."""
    change_journal(home, statement)
    mirrored = statement
    for name in ("intents", "events", "fills"):
        mirrored = mirrored.replace(f"FROM {name} ", f"FROM journal.{name} ").replace(
            f"UPDATE {name} ", f"UPDATE journal.{name} "
        )
    change_history(home, mirrored)
    assert f"journal.{table}" in mirrored


def assert_told(told: Result, *named: str) -> None:
    """Something differs, and the first line that says what names it."""
    assert told.exit_code == 1, told.output
    [first, *_] = [line for line in told.output.splitlines() if line.startswith("  ")]
    assert [part for part in named if part not in first] == [], told.output


# ---- a record that is as it was made --------------------------------------------------------------------------------


def test_nothing_is_found_where_nothing_was_changed(home: Path) -> None:
    told = verify(home)
    assert told.exit_code == 0, told.output
    assert "6 tables and views made again" in told.output
    assert told.output.splitlines()[-1].endswith("all is as it was recorded.")


# ---- frames and lineage ---------------------------------------------------------------------------------------------


def other_value(column: Column) -> str:
    if column.sql in ("DOUBLE", "BIGINT"):
        return f"{column.quoted} + 1"
    return f"NOT {column.quoted}" if column.sql == "BOOLEAN" else f"{column.quoted} || 'X'"


def one_value(home: Path, asset: str) -> tuple[str, str] | None:
    """A column of an asset that has a value in the second slot, with the place of that value."""
    with WorkingFile(home).reading() as connection:
        for column in columns_of(asset):
            if column.name in ("symbol", "date", "exec_id", "order_ref", "perm_id") or column.nested:
                continue
            if not column.sql.startswith(("DOUBLE", "BIGINT", "BOOLEAN", "VARCHAR")):
                continue
            found = connection.execute(
                f"SELECT min(rowid) FROM \"{asset}\" WHERE slot = '{SECOND}' AND {column.quoted} IS NOT NULL"
            ).fetchone()
            if found is not None and found[0] is not None:
                return (
                    column.name,
                    f'UPDATE "{asset}" SET {column.quoted} = {other_value(column)} WHERE rowid = {found[0]}',
                )
    return None


@pytest.mark.parametrize("asset", sorted(FRAMES))
def test_a_value_of_a_frame(home: Path, asset: str) -> None:
    found = one_value(home, asset)
    assert found is not None, f"the second slot has no row of {asset}"
    column, statement = found
    change_history(home, statement)
    assert_told(verify(home), f"{asset} ", "damaged", column)


def test_a_decision_that_was_sent_and_says_what_no_decision_can(home: Path) -> None:
    sent = f"materialization_id IN (SELECT materialization_id FROM journal.intents WHERE slot = '{SECOND}')"
    with WorkingFile(home).reading() as connection:
        [(place,)] = connection.execute(f"SELECT min(rowid) FROM sized_orders WHERE approved AND {sent}").fetchall()
    change_history(home, f"UPDATE sized_orders SET direction = 'SHORTX' WHERE rowid = {place}")
    assert_told(verify(home), "sized_orders ", "damaged", "direction")


def test_a_bar_is_named_once_with_its_symbol_and_date(home: Path) -> None:
    row = "symbol = (SELECT min(symbol) FROM bars) AND date = DATE '2026-11-18'"
    with WorkingFile(home).reading() as connection:
        [(symbol,)] = connection.execute(f"SELECT symbol FROM bars WHERE {row}").fetchall()
    change_history(home, f"UPDATE bars SET close = close * 1.01 WHERE {row}")
    told = verify(home)
    assert_told(told, f"close of {symbol} 2026-11-18 is ")
    lines = [line for line in told.output.splitlines() if line.startswith("  ")]
    assert len(lines) == 3, "what was changed, what was therefore not decided again, and the other slot"
    assert lines[1].startswith("  therefore not decided again: quality_filter, indicators")
    assert lines[2].endswith(f": as in {FIRST}")
    assert "1 difference: 1 damaged" in told.output.splitlines()[-1]


def test_a_settled_bar_is_named_by_its_symbol_where_there_is_no_published_copy(home: Path) -> None:
    (home / "history.duckdb").unlink()
    with WorkingFile(home).reading() as connection:
        [(symbol,)] = connection.execute("SELECT min(symbol) FROM bars").fetchall()
    change_history(home, f"UPDATE bars SET volume = volume + 1 WHERE symbol = '{symbol}' AND date = DATE '2026-11-18'")
    assert_told(verify(home), f"a bar of {symbol} between 2025-", "and 2026-11-19 was changed")


def test_the_bar_of_the_day_is_held_against_its_quote(home: Path) -> None:
    (home / "history.duckdb").unlink()
    with WorkingFile(home).reading() as connection:
        [(symbol, place)] = connection.execute(
            f"SELECT symbol, rowid FROM bars WHERE partial AND slot = '{SECOND}' ORDER BY symbol LIMIT 1"
        ).fetchall()
    change_history(home, f"UPDATE bars SET high = high + 1 WHERE rowid = {place}")
    assert_told(verify(home), f"high of {symbol} 2026-11-20 is ", "and its quote said ")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (
            "UPDATE bars_frames SET place = place + 500 WHERE rowid = (SELECT min(rowid) FROM bars_frames)",
            ("bars ", "damaged"),
        ),
        (
            f"UPDATE lineage.materializations SET data_hash = '0' WHERE slot = '{SECOND}' AND asset = 'quotes'",
            ("quotes ", "does not have the hash"),
        ),
        (
            f"UPDATE lineage.inputs SET input_materialization_id = {NEWEST.format('min', 'bars')} WHERE "
            f"input_materialization_id = {NEWEST.format('max', 'bars')} AND "
            f"materialization_id = {NEWEST.format('max', 'indicators')}",
            ("indicators ", "lineage names"),
        ),
        (
            "UPDATE lineage.settings SET parameters = replace(parameters::VARCHAR, '\"threshold\": 60', "
            "'\"threshold\": 61') WHERE settings_hash = (SELECT settings_hash FROM lineage.materializations "
            f"WHERE slot = '{SECOND}' LIMIT 1)",
            ("quality_filter ", "the parameters behind "),
        ),
    ],
    ids=["bars_frames", "lineage.materializations", "lineage.inputs", "lineage.settings"],
)  # fmt: skip
def test_a_value_of_what_stands_beside_the_frames(home: Path, statement: str, named: tuple[str, ...]) -> None:
    change_history(home, statement)
    assert_told(verify(home), *named)


# ---- the journal, and its copy --------------------------------------------------------------------------------------

OTHER = {
    "fills": {
        "order_ref": "order_ref || 'X'", "perm_id": "perm_id + 1", "symbol": "'OTHER'", "quantity": "quantity + 1",
        "side": "CASE side WHEN 'BUY' THEN 'SELL' ELSE 'BUY' END", "price": "price + 0.01",
        "commission": "commission + 0.01", "filled_at": "'2026-11-20 15:00:00.000001+00:00'",
        "corrected_by": "exec_id || 'X'", "account": "'DU0000000'",
    },
    "intents": {
        "account": "'DU0000000'", "symbol": "'OTHER'", "leg": "'exit'", "slot": f"'{SECOND}'", "order_type": "'MKT'",
        "action": "CASE action WHEN 'BUY' THEN 'SELL' ELSE 'BUY' END", "quantity": "quantity + 1",
        "price": "price + 0.01", "tif": "'GTC'", "parent_ref": "'another'", "materialization_id": "1",
        "created_at": "'2026-11-20 15:00:00.000001+00:00'", "state": "'cancelled'", "perm_id": "perm_id + 1",
        "filled_quantity": "filled_quantity - 1", "average_fill_price": "average_fill_price - 0.01",
        "reason": "'by hand'", "updated_at": "'2026-11-20 15:00:00.000001+00:00'",
    },
}  # fmt: skip
"""Table to column to another value, as both engines write it; the ids of the connection that sent are not verified."""


def in_both() -> Iterator[tuple[str, str, str]]:
    for table, columns in OTHER.items():
        for column, value in columns.items():
            yield table, column, value


@pytest.mark.parametrize(("table", "column", "value"), list(in_both()))
def test_a_value_changed_in_the_journal_and_its_copy_alike(home: Path, table: str, column: str, value: str) -> None:
    which = {"fills": FILL, "intents": ENTRY}[table]
    change_both(home, table, f"UPDATE {table} SET {column} = {value} WHERE {which}")
    named = "fill " if column == "order_ref" else column
    assert_told(verify(home), f"orders.sqlite {table}", named)


@pytest.mark.parametrize(("table", "which"), [("fills", FILL), ("intents", ENTRY)])
def test_a_row_taken_out_of_the_journal_and_its_copy_alike(home: Path, table: str, which: str) -> None:
    change_both(home, table, f"DELETE FROM {table} WHERE {which}")
    assert_told(verify(home), f"orders.sqlite {table} and journal.{table}", "is not there")


def test_a_fill_taken_out_with_all_that_the_journal_has_of_it_stands_in_the_frames(home: Path) -> None:
    with closing(sqlite3.connect(home / "orders.sqlite")) as connection:
        [(exec_id,)] = connection.execute(f"SELECT exec_id FROM fills WHERE {FILL}").fetchall()
    for table in ("fills", "events"):
        change_both(home, table, f"DELETE FROM {table} WHERE exec_id = '{exec_id}'")
    told = verify(home)
    assert f"fill {exec_id} is not there; version " in told.output
    assert "of fills recorded" in told.output
    assert "the log counts without a gap" in told.output


@pytest.mark.parametrize(
    ("column", "value", "kind", "named"),
    [
        ("filled", "filled + 1", "fill", ("orders.sqlite intents", "filled_quantity of ")),
        ("average_price", "average_price + 1", "fill", ("orders.sqlite intents", "average_fill_price of ")),
        ("perm_id", "perm_id + 1", "fill", ("orders.sqlite fills", "perm_id of fill ")),
        ("exec_id", "exec_id || 'X'", "fill", ("orders.sqlite fills", "fill ")),
        ("at", "'2026-11-20 15:00:00.000001+00:00'", "planned", ("orders.sqlite intents", "created_at of ")),
        ("kind", "'word'", "planned", ("orders.sqlite intents", "no event that says it was planned")),
    ],
)  # fmt: skip
def test_an_event_changed_in_the_journal_and_its_copy_alike(
    home: Path, column: str, value: str, kind: str, named: tuple[str, ...]
) -> None:
    change_both(home, "events", f'UPDATE events SET "{column}" = {value} WHERE {EVENT.format(kind)}')
    assert_told(verify(home), *named)


def test_an_event_taken_out_of_the_journal_and_its_copy_alike(home: Path) -> None:
    change_both(home, "events", f"DELETE FROM events WHERE {EVENT.format('open_order')}")
    assert_told(verify(home), "orders.sqlite events", "is not there; the log counts without a gap")


@pytest.mark.parametrize(("table", "column"), [("intents", "price"), ("events", "text"), ("fills", "price")])
@pytest.mark.parametrize("side", ["orders.sqlite", "history"])
def test_a_value_changed_on_one_side_alone(home: Path, side: str, table: str, column: str) -> None:
    where = {"intents": ENTRY, "events": EVENT.format("planned"), "fills": FILL}[table]
    value = "'by hand'" if column == "text" else f"{column} + 1"
    statement = f"UPDATE {table} SET {column} = {value} WHERE {where}"
    if side == "history":
        change_history(home, statement.replace("UPDATE ", "UPDATE journal.").replace("FROM ", "FROM journal."))
    else:
        change_journal(home, statement)
    assert_told(verify(home), table, f"{column} of ")


# ---- the metrics ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("table", "column"), METRICS.items())
def test_a_value_of_the_metrics(home: Path, table: str, column: str) -> None:
    value = f"{column} || 'X'" if column == "slot" else f"coalesce({column}, 0) + 1"
    change_history(
        home, f"UPDATE metrics.{table} SET {column} = {value} WHERE rowid = (SELECT min(rowid) FROM metrics.{table})"
    )
    told = verify(home)
    assert_told(told, f"metrics.{table}: damaged", column)
    assert "not checked" not in told.output


def test_a_row_taken_out_of_the_metrics(home: Path) -> None:
    change_history(home, "DELETE FROM metrics.slot_health WHERE slot = (SELECT max(slot) FROM metrics.slot_health)")
    assert_told(verify(home), f"metrics.slot_health: damaged; the row slot {SECOND} is not there")


def test_a_view_that_says_something_else(home: Path) -> None:
    with WorkingFile(home).transaction() as connection:
        connection.execute("CREATE OR REPLACE VIEW metrics.signal_history AS SELECT 1 AS slot")
    assert_told(verify(home), "metrics.signal_history: damaged; its definition")


def test_metrics_that_are_older_than_the_history_are_not_called_damaged(home: Path) -> None:
    with WorkingFile(home).transaction() as connection:
        connection.execute("UPDATE lineage.metrics SET last_event_id = last_event_id - 1")
        connection.execute("UPDATE metrics.daily_metrics SET equity = equity + 1")
    told = verify(home)
    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[-1].endswith(
        "The metrics were not checked: they are older than the history; run quant-pipeline report."
    )


def test_metrics_are_left_out_when_only_some_slots_are_verified_unless_asked_for(home: Path) -> None:
    change_history(home, "UPDATE metrics.daily_metrics SET equity = equity + 1 WHERE slots > 0")
    told = verify(home, SECOND)
    assert told.exit_code == 0, told.output
    assert "The metrics were not checked: only some slots were verified" in told.output.splitlines()[-1]
    assert verify(home, "--no-metrics").exit_code == 0
    assert_told(verify(home, SECOND, "--metrics"), "metrics.daily_metrics: damaged; equity of account ")


# ---- all of them ----------------------------------------------------------------------------------------------------


def test_no_table_is_left_out(home: Path) -> None:
    with WorkingFile(home).reading() as connection:
        rows = connection.execute(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE database_name = current_database()"
        ).fetchall()
    covered = {f"main.{asset}" for asset in FRAMES} | {f"metrics.{table}" for table in METRICS}
    covered |= {"journal.intents", "journal.events", "journal.fills", "main.bars_frames"}
    covered |= {"lineage.materializations", "lineage.inputs", "lineage.settings"}
    assert {name for (name,) in rows} == covered | NOT_VERIFIED
