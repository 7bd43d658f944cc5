"""The metrics in the history: a copy for dbt to work on, and what it built there taken over into the working file.

dbt holds the file it works on for seconds, so it never gets the working file. Copying holds nobody up, as publishing
does not; what was built is read from the copy before the working file is asked for, so that the taking over is one
short transaction. Which relations the metrics have is dbt's business; when they are built is ``metrics.build``'s.
``History`` calls this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import duckdb
import pyarrow as pa
from duckdb import DuckDBPyConnection

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.open_file_copy import copy_open_file
from quant_pipeline.history.schema_version import tables_of
from quant_pipeline.history.working_file import WorkingFile

SCHEMA = "metrics"
MADE_FROM = "lineage.metrics"
_NOTE_COMMENTS = {
    f"TABLE {MADE_FROM}": "What metrics.* were made from, in one row; not there when they were made in parts",
    f"COLUMN {MADE_FROM}.made_at": "When they were taken over into the history",
    f"COLUMN {MADE_FROM}.last_materialization_id": "The last version of a frame there was",
    f"COLUMN {MADE_FROM}.last_event_id": "The last event of the order journal there was",
    f"COLUMN {MADE_FROM}.pruned": "How many versions had been given up",
    f"COLUMN {MADE_FROM}.definitions": "Hash of the dbt project and its version",
    f"COLUMN {MADE_FROM}.variables": "The settings they depend on, as JSON",
}


@dataclass(frozen=True)
class BuiltRelation:
    """A table or view of the metrics: the statement that makes it, its comments, and a table's rows."""

    name: str
    statement: str
    comments: tuple[str, ...]
    rows: pa.Table | None

    @property
    def row_count(self) -> int | None:
        """Rows of a table; None for a view."""
        return None if self.rows is None else self.rows.num_rows


@dataclass(frozen=True)
class MadeFrom:
    """What metrics were made from: the same record, definitions and variables (JSON) make the same metrics again.

    The record by its last materialization, the last event of the order journal and how many versions it has given up.
    """

    last_materialization_id: int
    last_event_id: int
    pruned: int
    definitions: str
    variables: str

    @property
    def record(self) -> tuple[int, int, int]:
        """The state of the record."""
        return self.last_materialization_id, self.last_event_id, self.pruned


def copy_to(file: WorkingFile, target: Path) -> None:
    """Make ``target`` a copy of the history as it is now, for this process alone."""
    with file.checkpoints():
        descriptor = file.checkpoint()
        try:
            copy_open_file(descriptor, target)
        except OSError as error:
            target.unlink(missing_ok=True)
            raise HistoryError(
                f"The history could not be copied to {target} ({error.strerror}); nothing was changed, free space or "
                "mend the cause and run it again."
            ) from error
        finally:
            file.release(descriptor)


def read_built(copy: Path, names: Sequence[str]) -> list[BuiltRelation]:
    """What dbt built in a copy, of the relations ``names``: tables first, views in the order they were made in."""
    with duckdb.connect(copy, read_only=True) as connection:
        return [relation for relation in read_metrics(connection) if relation.name in set(names)]


def read_metrics(connection: DuckDBPyConnection) -> list[BuiltRelation]:
    """The metrics of the open file: tables first, views in the order they were made in."""
    return [
        BuiltRelation(
            name,
            statement,
            _comments(connection, kind, name, comment),
            connection.table(f'{SCHEMA}."{name}"').to_arrow_table() if kind == "TABLE" else None,
        )
        for kind, name, statement, comment in _relations(connection)
    ]


def record_of(connection: DuckDBPyConnection) -> tuple[int, int, int]:
    """The state of the record in the open file, as ``MadeFrom`` has it."""
    row = connection.execute(
        "SELECT (SELECT coalesce(max(id), 0) FROM lineage.materializations), "
        "(SELECT coalesce(max(id), 0) FROM journal.events), (SELECT count(*) FROM lineage.pruned)"
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def made_from(connection: DuckDBPyConnection) -> MadeFrom | None:
    """What the metrics of the open history were made from; None when it was not noted."""
    schema, _, table = MADE_FROM.partition(".")
    if (schema, table) not in tables_of(connection):
        return None
    row = connection.execute(
        f"SELECT {', '.join(field.name for field in fields(MadeFrom))} FROM {MADE_FROM}"
    ).fetchone()
    return MadeFrom(*row) if row is not None else None


def take_over(connection: DuckDBPyConnection, built: Sequence[BuiltRelation], source: MadeFrom | None = None) -> None:
    """Replace the metrics of the open history by what was built; relations that are not among it are dropped.

    ``source`` is noted beside them; None when they were not all made from the same record.
    """
    _note(connection, source)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    for kind, name, _, _ in _relations(connection):
        connection.execute(f'DROP {kind} {SCHEMA}."{name}"')
    for relation in built:
        connection.execute(relation.statement)
        if relation.rows is not None:
            connection.register("built", relation.rows)
            try:
                connection.execute(f'INSERT INTO {SCHEMA}."{relation.name}" BY NAME FROM built')
            finally:
                connection.unregister("built")
        for comment in relation.comments:
            connection.execute(comment)


def _note(connection: DuckDBPyConnection, source: MadeFrom | None) -> None:
    connection.execute(f"DROP TABLE IF EXISTS {MADE_FROM}")
    if source is None:
        return
    connection.execute(
        f"CREATE TABLE {MADE_FROM} (made_at TIMESTAMP WITH TIME ZONE, last_materialization_id BIGINT, "
        "last_event_id BIGINT, pruned BIGINT, definitions VARCHAR, variables VARCHAR)"
    )
    connection.execute(f"INSERT INTO {MADE_FROM} VALUES (now(), ?, ?, ?, ?, ?)", list(astuple(source)))
    for target, comment in _NOTE_COMMENTS.items():
        connection.execute(f"COMMENT ON {target} IS '{comment}'")


def _relations(connection: DuckDBPyConnection) -> list[tuple[str, str, str, str | None]]:
    """Kind, name, statement and comment of every relation of the metrics in the open file."""
    return connection.execute(
        """
        SELECT kind, name, sql, comment FROM (
            SELECT 'TABLE' AS kind, table_name AS name, sql, comment, table_oid AS oid, database_name, schema_name
            FROM duckdb_tables()
            UNION ALL
            SELECT 'VIEW', view_name, sql, comment, view_oid, database_name, schema_name FROM duckdb_views())
        WHERE database_name = current_database() AND schema_name = ? ORDER BY kind, oid
        """,
        [SCHEMA],
    ).fetchall()


def _comments(connection: DuckDBPyConnection, kind: str, name: str, comment: str | None) -> tuple[str, ...]:
    columns = connection.execute(
        "SELECT column_name, comment FROM duckdb_columns() WHERE database_name = current_database() "
        "AND schema_name = ? AND table_name = ? AND comment IS NOT NULL ORDER BY column_index",
        [SCHEMA, name],
    ).fetchall()
    targets = [(f'{kind} {SCHEMA}."{name}"', comment)] if comment else []
    targets += [(f'COLUMN {SCHEMA}."{name}"."{column}"', text) for column, text in columns]
    return tuple(f"COMMENT ON {target} IS '{text.replace(chr(39), chr(39) * 2)}'" for target, text in targets)
