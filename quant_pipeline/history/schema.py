"""The tables and views of the history, derived from the frames.

What exists in the file and what it is called belong here, with the version of all that and the steps from an older
version; what its comments say is in ``schema_comments``. Reading and writing rows is for ``store`` and ``bars``.
``working_file`` calls this when it opens a file.

The tables of the assets stand in the file's main schema on purpose: the published file is called ``history.duckdb``,
DuckDB names a database after its file, and so ``history.scores`` is the table of that name. A schema called
``history`` in it would make every such name ambiguous.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from duckdb import DuckDBPyConnection

from quant_pipeline.frames import FRAMES
from quant_pipeline.history.columns import columns_of
from quant_pipeline.history.journal_tables import JOURNAL_TABLES
from quant_pipeline.history.migration_copy import keep_history
from quant_pipeline.history.schema_comments import COMMENTS
from quant_pipeline.history.schema_version import SCHEMA_VERSION, refuse_half_migrated, tables_of, version_of

_PRUNED = "CREATE TABLE lineage.pruned (materialization_id BIGINT, pruned_at TIMESTAMP WITH TIME ZONE, reason VARCHAR)"
MIGRATIONS: dict[int, tuple[str, ...]] = {
    2: (
        "CREATE SCHEMA IF NOT EXISTS metrics",
        _PRUNED,
        "ALTER TABLE journal.fills ADD COLUMN account VARCHAR",
        # As the journal's own migration has it: fills of orders that are not ours stay without an account.
        "UPDATE journal.fills SET account = intents.account FROM journal.intents "
        "WHERE fills.order_ref = intents.order_ref",
        "ALTER TABLE main.bars_frames ADD COLUMN settled_hash VARCHAR",
    ),
}
"""Version to the statements that lead to it from the one before; a new file is made as they would leave it."""

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
    "CREATE SCHEMA metrics",
    "CREATE SEQUENCE lineage.materialization_ids",
    "CREATE TABLE lineage.schema_version (version INTEGER, since TIMESTAMP WITH TIME ZONE DEFAULT now())",
    """CREATE TABLE lineage.materializations (
        id BIGINT NOT NULL, asset VARCHAR NOT NULL, slot VARCHAR NOT NULL, run_id VARCHAR NOT NULL,
        code_version VARCHAR NOT NULL, settings_hash VARCHAR NOT NULL, data_hash VARCHAR NOT NULL, rows BIGINT NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE NOT NULL, finished_at TIMESTAMP WITH TIME ZONE NOT NULL)""",
    "CREATE TABLE lineage.inputs (materialization_id BIGINT NOT NULL, input_materialization_id BIGINT NOT NULL)",
    "CREATE TABLE lineage.settings (settings_hash VARCHAR NOT NULL, parameters JSON NOT NULL)",
    _PRUNED,
    """CREATE VIEW lineage.latest AS
        SELECT asset, slot, max(id) AS materialization_id FROM lineage.materializations GROUP BY asset, slot""",
    """CREATE TABLE main.bars_frames (
        materialization_id BIGINT NOT NULL, source VARCHAR NOT NULL, symbol VARCHAR NOT NULL, place INTEGER NOT NULL,
        first_date DATE NOT NULL, last_date DATE NOT NULL, live_from DATE, rows INTEGER NOT NULL,
        settled_hash VARCHAR)""",
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


def ensure(connection: DuckDBPyConnection) -> bool:
    """Bring the open file to the present layout, whole or not at all; say whether it was empty before.

    A copy of a file of an older version is kept beside it (``migration_copy``). Raises ``HistoryError`` for a file that
    is between two versions.
    """
    new = not tables_of(connection)
    if not new:
        path = _path_of(connection)
        refuse_half_migrated(connection, path)
        keep_history(connection, path, version_of(connection))
    connection.execute("BEGIN")
    try:
        if new:
            _create(connection)
        else:
            _migrate(connection)
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
    _note_version(connection, SCHEMA_VERSION)


def _migrate(connection: DuckDBPyConnection) -> None:
    for version in range(version_of(connection) + 1, SCHEMA_VERSION + 1):
        for statement in MIGRATIONS[version]:
            connection.execute(statement)
        _note_version(connection, version)


def _note_version(connection: DuckDBPyConnection, version: int) -> None:
    connection.execute("INSERT INTO lineage.schema_version (version) VALUES (?)", [version])
    if version == SCHEMA_VERSION:
        for target, comment in COMMENTS.items():
            _comment(connection, target, comment)


def _path_of(connection: DuckDBPyConnection) -> Path:
    row = connection.execute("SELECT path FROM duckdb_databases() WHERE database_name = current_database()").fetchone()
    assert row is not None
    return Path(row[0])


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
