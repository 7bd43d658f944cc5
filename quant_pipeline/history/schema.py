"""The tables and views of the history, derived from the frames.

What exists in the file, what it is called and what its comments say belong here, with the version of all that and the
steps from an older version. Reading and writing rows is for ``store`` and ``bars``. ``working_file`` calls this when it
opens a file.

The tables of the assets stand in the file's main schema on purpose: the published file is called ``history.duckdb``,
DuckDB names a database after its file, and so ``history.scores`` is the table of that name. A schema called
``history`` in it would make every such name ambiguous.
"""

from __future__ import annotations

from collections.abc import Iterable

from duckdb import DuckDBPyConnection

from quant_pipeline.frames import FRAMES
from quant_pipeline.history.columns import columns_of
from quant_pipeline.history.journal_tables import JOURNAL_TABLES
from quant_pipeline.history.schema_version import SCHEMA_VERSION, tables_of, version_of

MIGRATIONS: dict[int, tuple[str, ...]] = {}
"""Version to the statements that lead to it from the one before."""

MATERIALIZATION_ID = "materialization_id"
ORDER_COLUMN = "row_number"
BARS = "bars"

_KEYS = (
    (MATERIALIZATION_ID, "BIGINT", "The materialization that holds the row: lineage.materializations.id"),
    ("slot", "VARCHAR", "Start of the slot in exchange time"),
)
_ORDER = (ORDER_COLUMN, "INTEGER", "Place of the row in its frame, from 0")
_BARS_KEYS = (
    (MATERIALIZATION_ID, "BIGINT", "The materialization that saw the bar first, or saw it changed"),
    ("slot", "VARCHAR", "The slot that saw it first, or saw it changed, in exchange time"),
    ("source", "VARCHAR", "Account it was read through"),
)
_BARS_END = (
    ("live", "BOOLEAN", "Partial, and no final bar of the date had been seen; not live is final in this sense"),
    ("gone", "BOOLEAN", "The broker no longer gave this bar; its other values are missing"),
)
_BARS_MARKS = tuple(name for name, _, _ in _BARS_END)

_LINEAGE = (
    "CREATE SCHEMA lineage",
    "CREATE SCHEMA current",
    "CREATE SCHEMA journal",
    "CREATE SEQUENCE lineage.materialization_ids",
    "CREATE TABLE lineage.schema_version (version INTEGER, since TIMESTAMP WITH TIME ZONE DEFAULT now())",
    """CREATE TABLE lineage.materializations (
        id BIGINT NOT NULL, asset VARCHAR NOT NULL, slot VARCHAR NOT NULL, run_id VARCHAR NOT NULL,
        code_version VARCHAR NOT NULL, settings_hash VARCHAR NOT NULL, data_hash VARCHAR NOT NULL, rows BIGINT NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE NOT NULL, finished_at TIMESTAMP WITH TIME ZONE NOT NULL)""",
    "CREATE TABLE lineage.inputs (materialization_id BIGINT NOT NULL, input_materialization_id BIGINT NOT NULL)",
    "CREATE TABLE lineage.settings (settings_hash VARCHAR NOT NULL, parameters JSON NOT NULL)",
    """CREATE VIEW lineage.latest AS
        SELECT asset, slot, max(id) AS materialization_id FROM lineage.materializations GROUP BY asset, slot""",
    """CREATE TABLE main.bars_frames (
        materialization_id BIGINT NOT NULL, source VARCHAR NOT NULL, symbol VARCHAR NOT NULL, place INTEGER NOT NULL,
        first_date DATE NOT NULL, last_date DATE NOT NULL, live_from DATE, rows INTEGER NOT NULL)""",
)
_NEWEST_BARS = "SELECT source, symbol, date, max(materialization_id) AS materialization_id FROM main.bars GROUP BY ALL"
_BARS_AS_OF = """CREATE OR REPLACE MACRO main.bars_as_of(as_of_slot) AS TABLE
    WITH seen AS (
        SELECT bars_frames.* FROM main.bars_frames SEMI JOIN (
            SELECT max_by(id, (slot, id)) AS materialization_id FROM lineage.materializations
            WHERE asset = 'bars' AND slot <= as_of_slot) AS newest USING (materialization_id)),
    newest AS (
        SELECT any_value(place) AS place, source, symbol, date, max(bars.materialization_id) AS materialization_id
        FROM main.bars JOIN seen USING (source, symbol)
        WHERE bars.materialization_id <= seen.materialization_id AND date <= last_date
            AND date >= CASE WHEN live THEN live_from ELSE first_date END
        GROUP BY source, symbol, date)
    SELECT bars.* EXCLUDE (live, gone) FROM main.bars JOIN newest USING (source, symbol, date, materialization_id)
    WHERE NOT gone ORDER BY place, date"""
_COMMENTS = {
    "TABLE lineage.schema_version": "Versions of this file's layout and since when; the highest holds",
    "TABLE lineage.materializations": "One row a version of a frame: what made it, when, and the hash of its data",
    "COLUMN lineage.materializations.id": "Rises with every frame stored",
    "COLUMN lineage.materializations.slot": "Start of the slot in exchange time",
    "COLUMN lineage.materializations.run_id": "The Dagster run that made it",
    "COLUMN lineage.materializations.settings_hash": "The settings that decided: lineage.settings",
    "COLUMN lineage.materializations.data_hash": "Hash of the frame: equal hashes, equal frames",
    "COLUMN lineage.materializations.rows": "Rows of the frame",
    "TABLE lineage.inputs": "Which materializations a materialization was made from",
    "TABLE lineage.settings": "The parameters behind a settings_hash",
    "VIEW lineage.latest": "The newest materialization of each asset and slot",
    "TABLE journal.intents": "One row an order we meant to send, and what became of it; copied from orders.sqlite",
    "TABLE journal.events": "Everything that happened to orders, oldest first; copied from orders.sqlite",
    "TABLE journal.fills": "One row an execution; copied from orders.sqlite",
    "TABLE main.bars_frames": "Which dates of which symbols a bars frame spans, in what order",
}


def ensure(connection: DuckDBPyConnection) -> bool:
    """Bring the open file to the present layout, whole or not at all; say whether it was empty before."""
    connection.execute("BEGIN")
    try:
        new = not tables_of(connection)
        if new:
            _create(connection)
        for version in range(version_of(connection) + 1, SCHEMA_VERSION + 1):
            for statement in MIGRATIONS[version]:
                connection.execute(statement)
            connection.execute("INSERT INTO lineage.schema_version (version) VALUES (?)", [version])
        _follow_frames(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return new


def table_columns(asset: str) -> tuple[tuple[str, str, str], ...]:
    """Name, SQL type and description of every column of an asset's table."""
    own = tuple((column.name, column.sql, column.description) for column in columns_of(asset))
    return (*_BARS_KEYS, *own, *_BARS_END) if asset == BARS else (*_KEYS, _ORDER, *own)


def _create(connection: DuckDBPyConnection) -> None:
    for statement in _LINEAGE:
        connection.execute(statement)
    for table, columns in JOURNAL_TABLES.items():
        connection.execute(f"CREATE TABLE journal.{table} ({_declared(columns.items())})")
    for target, comment in _COMMENTS.items():
        _comment(connection, target, comment)
    connection.execute("INSERT INTO lineage.schema_version (version) VALUES (?)", [SCHEMA_VERSION])


def _follow_frames(connection: DuckDBPyConnection) -> None:
    """Tables for the assets and columns that the frames have and the file does not."""
    rows = connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() "
        "WHERE database_name = current_database() AND schema_name = 'main'"
    ).fetchall()
    there = {(str(table), str(column)) for table, column in rows}
    for asset in FRAMES:
        wanted = table_columns(asset)
        missing = [column for column in wanted if (asset, column[0]) not in there]
        if not missing:
            continue
        if len(missing) == len(wanted):
            declared = _declared((name, sql) for name, sql, _ in wanted)
            connection.execute(f'CREATE TABLE main."{asset}" ({declared})')
            _comment(connection, f'TABLE main."{asset}"', f"{FRAMES[asset].description} Every version is kept.")
        else:
            for name, sql, _ in missing:
                connection.execute(f'ALTER TABLE main."{asset}" ADD COLUMN "{name}" {sql}')
        for name, _, description in missing:
            _comment(connection, f'COLUMN main."{asset}"."{name}"', description)
        _create_view(connection, asset)
        if asset == BARS:
            connection.execute(_BARS_AS_OF)
            _comment(connection, "MACRO TABLE main.bars_as_of", "The bars frame that was the newest in a slot")


def _create_view(connection: DuckDBPyConnection, asset: str) -> None:
    body = _newest_bars() if asset == BARS else _latest_rows(asset)
    connection.execute(f'CREATE OR REPLACE VIEW current."{asset}" AS {body}')
    newest = "the newest known" if asset == BARS else "the newest version of each slot"
    _comment(connection, f'VIEW current."{asset}"', f"{FRAMES[asset].description} Here: {newest}.")
    for name, _, description in table_columns(asset):
        if name not in _BARS_MARKS:
            _comment(connection, f'COLUMN current."{asset}"."{name}"', description)


def _latest_rows(asset: str) -> str:
    names = ", ".join(f'asset_rows."{name}"' for name, _, _ in table_columns(asset))
    return (
        f'SELECT {names} FROM main."{asset}" AS asset_rows SEMI JOIN '
        f"(SELECT materialization_id FROM lineage.latest WHERE asset = '{asset}') AS newest USING (materialization_id)"
    )


def _newest_bars() -> str:
    names = ", ".join(f'"{name}"' for name, _, _ in table_columns(BARS) if name not in _BARS_MARKS)
    key = "materialization_id, source, symbol, date"
    return f"SELECT {names} FROM main.bars SEMI JOIN ({_NEWEST_BARS}) AS newest USING ({key}) WHERE NOT gone"


def _declared(columns: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f'"{name}" {sql}' for name, sql in columns)


def _comment(connection: DuckDBPyConnection, target: str, text: str) -> None:
    connection.execute(f"COMMENT ON {target} IS '{text.replace(chr(39), chr(39) * 2)}'")
