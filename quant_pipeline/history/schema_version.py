"""Which layout a history file has, read without knowing what a frame looks like.

The version of the layout and the refusal of files that are not ours, newer than this program or between two versions
belong here; the layout itself is ``schema``'s. It stands apart because ``schema`` needs the frames, whose libraries
take seconds to load, and ``explain`` and ``status`` are to answer at once. ``working_file`` and ``schema`` call it.
"""

from __future__ import annotations

from pathlib import Path

from duckdb import DuckDBPyConnection

from quant_pipeline.errors import HistoryError

SCHEMA_VERSION = 2
ADDED = {2: (("journal", "fills", "account"), ("lineage", "pruned", "materialization_id"))}
"""Version to the columns, as schema, table and name, that a file has from that version on and none has before."""


def refuse_foreign(connection: DuckDBPyConnection, path: Path) -> None:
    """Raise ``HistoryError`` when the open file is of a newer version, or holds something else than a history."""
    tables = tables_of(connection)
    if not tables:
        return
    if ("lineage", "schema_version") not in tables:
        raise HistoryError(f"{path} is not a history of this pipeline; move it away, it was not changed.")
    version = version_of(connection)
    if version > SCHEMA_VERSION:
        raise HistoryError(
            f"The history {path} has layout version {version} and this program knows versions up to {SCHEMA_VERSION}; "
            "run the newer quant-pipeline that wrote it, nothing was changed."
        )


def refuse_half_migrated(connection: DuckDBPyConnection, path: Path) -> None:
    """Raise ``HistoryError`` when the open file has not what its version says, or what only a later one has.

    No migration of ours leaves such a file, so nobody knows what else is amiss in it.
    """
    version = version_of(connection)
    rows = connection.execute(
        "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE database_name = current_database()"
    ).fetchall()
    amiss = [
        f"has no {'.'.join(column)}" if step <= version else f"has {'.'.join(column)} already"
        for step, columns in ADDED.items()
        for column in columns
        if (column in rows) != (step <= version)
    ]
    if amiss or version < 1:
        said = f"says layout version {version}" if version else "says no layout version"
        raise HistoryError(
            f"The history {path} is half-migrated: it {' but '.join([said, *amiss[:1]])}; put a backup in its place "
            "(quant-pipeline restore), nothing was changed."
        )


def tables_of(connection: DuckDBPyConnection) -> set[tuple[str, str]]:
    """Schema and name of every table of the open file."""
    rows = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = current_database()"
    ).fetchall()
    return {(str(schema), str(table)) for schema, table in rows}


def version_of(connection: DuckDBPyConnection) -> int:
    """The layout version of the open file; 0 when it says none."""
    row = connection.execute("SELECT max(version) FROM lineage.schema_version").fetchone()
    return int(row[0]) if row and row[0] is not None else 0
