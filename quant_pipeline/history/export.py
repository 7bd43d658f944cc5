"""Export: the published history as Parquet, one file a table in a folder a schema, for other tools and other places.

Which tables and views are written, which of their rows belong to a span of slots, and what their files say of
themselves belong here. Only the published copy is read, so that nobody is held up. ``quant-pipeline export`` calls
this.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from quant_pipeline.errors import HistoryError, UsageError
from quant_pipeline.history.schema_version import refuse_foreign, version_of

MANIFEST = "manifest.json"
SCHEMAS = ("history", "current", "lineage", "journal", "metrics")
MAIN = "main"
"""What the file calls the schema that people know as ``history``."""
BARS_AS_OF = "bars_as_of"
_KIND = "quant-pipeline export"
# With DuckDB's own 122 880 rows the files are as large and a year's indicators take a third more memory and time.
_ROW_GROUP = 32768
_WHOLE_PAST = ("bars", BARS_AS_OF)
"""Kept from the first slot on: the bars of a slot are made of rows that earlier ones saw."""


@dataclass(frozen=True)
class Span:
    """The slots that are wanted, both ends included; None is the first or the last there is."""

    first: str | None = None
    last: str | None = None

    def of(self, column: str, *, whole_past: bool = False) -> str:
        """The condition on a column of slot keys."""
        first = None if whole_past else self.first
        sides = (f"{column} >= '{first}'" if first else "", f"{column} <= '{self.last}'" if self.last else "")
        return " AND ".join(side for side in sides if side) or "true"


@dataclass(frozen=True)
class Column:
    """A column of a file, with what the history says of it."""

    name: str
    type: str
    comment: str | None


@dataclass(frozen=True)
class ExportedTable:
    """One Parquet file: the table or view it comes from, its rows, and what the history says of it."""

    table: str
    file: str
    rows: int
    bytes: int
    comment: str | None
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Export:
    """What was exported, as the manifest says it too."""

    kind: str
    made_at: str
    program: str
    layout: int
    first_slot: str | None
    last_slot: str | None
    tables: tuple[ExportedTable, ...]


def export(
    published: Path,
    target: Path,
    *,
    span: Span = Span(),
    wanted: Sequence[str] = (),
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda table: None,
) -> Export:
    """Write the tables and views of a published history below ``target`` and return what was written.

    Without ``wanted``, names of schemas (``metrics``) or tables (``history.scores``), all of them are. With a span,
    rows of other slots are left out: by the slot of the row, of its order or of its materialization; rows that belong
    to no slot stay, and so do the bars that the first slots were made of. ``progress`` hears of each table before it is
    written.

    Raises ``UsageError`` when the folder holds something, or with ``overwrite`` something else than an export, or when
    there is no such table; ``HistoryError`` when nothing is published or it cannot be written. The folder is there
    whole or as it was.
    """
    _refuse_occupied(target, overwrite)
    if not published.is_file():
        raise HistoryError(f"There is no published history {published}; quant-pipeline run makes one after every slot.")
    try:
        with _opened(published) as connection, _folder_beside(target) as folder:
            made = Export(
                kind=_KIND,
                made_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
                program=version("quant-pipeline"),
                layout=version_of(connection),
                **_slots_of(connection, span),
                tables=tuple(_write_all(connection, folder, span, wanted, progress)),
            )
            (folder / MANIFEST).write_text(json.dumps(asdict(made), indent=2), encoding="utf-8")
            _put_in_place(folder, target)
            return made
    except (OSError, duckdb.IOException) as error:
        raise HistoryError(
            f"The export {target} could not be written ({str(error).partition(chr(10))[0]}); nothing of it is there, "
            "free space or name another place with --out."
        ) from error


def _write_all(
    connection: DuckDBPyConnection, folder: Path, span: Span, wanted: Sequence[str], progress: Callable[[str], None]
) -> Iterator[ExportedTable]:
    for schema, table in _chosen(_relations(connection), wanted):
        progress(f"{schema}.{table}")
        yield _write(connection, folder, schema, table, span)


def _write(connection: DuckDBPyConnection, folder: Path, schema: str, table: str, span: Span) -> ExportedTable:
    if table == BARS_AS_OF:
        slot = _last_slot_with_bars(connection, span)
        comment, described = f"The whole bars frame of slot {slot}", "bars"
        query = f"FROM main.{BARS_AS_OF}('{slot}')"
    else:
        comment, described = _comment_of(connection, schema, table), table
        query = f'FROM {_in_file(schema)}."{table}" WHERE {_condition(connection, schema, table, span)}'
    comments = _column_comments(connection, schema, described)
    shape = connection.execute(f"DESCRIBE {query}").fetchall()
    columns = tuple(Column(name, kind, comments.get(name)) for name, kind, *_ in shape)
    file = f"{schema}/{table}.parquet"
    (folder / schema).mkdir(exist_ok=True)
    row = connection.execute(
        f"COPY ({query}) TO {_literal(str(folder / file))} "
        f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP}, KV_METADATA {{{_spoken(comment, columns)}}})"
    ).fetchone()
    assert row is not None
    return ExportedTable(f"{schema}.{table}", file, row[0], (folder / file).stat().st_size, comment, columns)


def _condition(connection: DuckDBPyConnection, schema: str, table: str, span: Span) -> str:
    """Which rows of a table belong to the slots that are wanted, by the first of these columns that it has."""
    if span == Span():
        return "true"
    columns = {row[0] for row in connection.execute(f'DESCRIBE {_in_file(schema)}."{table}"').fetchall()}
    orders = f"SELECT order_ref FROM journal.intents WHERE {span.of('slot')}"
    conditions = {
        "slot": span.of("slot", whole_past=table in _WHOLE_PAST),
        "entry_slot": f"(entry_slot IS NULL OR {span.of('entry_slot')})",
        "session": Span(span.first and span.first[:10], span.last and span.last[:10]).of('"session"'),
        "materialization_id": "materialization_id IN "
        f"(SELECT id FROM lineage.materializations WHERE {span.of('slot', whole_past=table == 'bars_frames')})",
        "order_ref": f"(order_ref IS NULL OR order_ref IN ({orders}) "
        "OR order_ref NOT IN (SELECT order_ref FROM journal.intents))",
    }
    return next((condition for column, condition in conditions.items() if column in columns), "true")


def _relations(connection: DuckDBPyConnection) -> list[tuple[str, str]]:
    """Schema and name of all there is to export, in the order of the schemas."""
    rows = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = current_database() "
        "UNION SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = current_database()"
    ).fetchall()
    found = {("history" if schema == MAIN else schema, table) for schema, table in rows}
    if _last_slot_with_bars(connection, Span()) is not None:
        found.add(("history", BARS_AS_OF))
    return sorted((pair for pair in found if pair[0] in SCHEMAS), key=lambda pair: (SCHEMAS.index(pair[0]), pair[1]))


def _chosen(relations: list[tuple[str, str]], wanted: Sequence[str]) -> list[tuple[str, str]]:
    for name in wanted:
        if not any(name in (schema, f"{schema}.{table}") for schema, table in relations):
            schemas = ", ".join(dict.fromkeys(schema for schema, _ in relations))
            raise UsageError(
                f"There is no {name!r} in the published history; write a schema ({schemas}) or a table like "
                "history.scores."
            )
    return [pair for pair in relations if not wanted or pair[0] in wanted or ".".join(pair) in wanted]


def _slots_of(connection: DuckDBPyConnection, span: Span) -> dict[str, str | None]:
    row = connection.execute(
        f"SELECT min(slot), max(slot) FROM lineage.materializations WHERE {span.of('slot')}"
    ).fetchone()
    assert row is not None
    if row[0] is None and span != Span():
        raise UsageError("No slot of that span is recorded; quant-pipeline status says which is the last.")
    return {"first_slot": row[0], "last_slot": row[1]}


def _last_slot_with_bars(connection: DuckDBPyConnection, span: Span) -> str | None:
    row = connection.execute(
        f"SELECT max(slot) FROM lineage.materializations WHERE asset = 'bars' AND {span.of('slot', whole_past=True)}"
    ).fetchone()
    return row[0] if row else None


def _comment_of(connection: DuckDBPyConnection, schema: str, table: str) -> str | None:
    row = connection.execute(
        "SELECT comment FROM duckdb_tables() "
        "WHERE database_name = current_database() AND schema_name = $schema AND table_name = $table "
        "UNION ALL SELECT comment FROM duckdb_views() "
        "WHERE database_name = current_database() AND schema_name = $schema AND view_name = $table",
        {"schema": _in_file(schema), "table": table},
    ).fetchone()
    return row[0] if row else None


def _column_comments(connection: DuckDBPyConnection, schema: str, table: str) -> dict[str, str | None]:
    rows = connection.execute(
        "SELECT column_name, comment FROM duckdb_columns() "
        "WHERE database_name = current_database() AND schema_name = ? AND table_name = ?",
        [_in_file(schema), table],
    ).fetchall()
    return dict(rows)


def _spoken(comment: str | None, columns: Sequence[Column]) -> str:
    """The comments as Parquet's metadata: ``comment`` of the table, ``comment.<column>`` of a column."""
    said = {"comment": comment, **{f"comment.{column.name}": column.comment for column in columns}}
    return ", ".join(f'"{key}": {_literal(text)}' for key, text in said.items() if text) or "comment: ''"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _in_file(schema: str) -> str:
    return MAIN if schema == "history" else schema


@contextmanager
def _opened(published: Path) -> Iterator[DuckDBPyConnection]:
    try:
        connection = duckdb.connect(published, read_only=True)
    except duckdb.Error as error:
        raise HistoryError(
            f"The published history {published} cannot be read ({str(error).partition(chr(10))[0]}); "
            "quant-pipeline run publishes it anew, nothing was exported."
        ) from error
    with connection:
        refuse_foreign(connection, published)
        yield connection


def _refuse_occupied(target: Path, overwrite: bool) -> None:
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file; name a folder with --out.")
    if not target.exists() or not any(target.iterdir()):
        return
    if not overwrite:
        raise UsageError(f"{target} holds something already; name an empty folder, or add --overwrite to replace it.")
    if not _is_export(target):
        raise UsageError(f"{target} holds something else than an export and is not replaced; name another folder.")


def _is_export(folder: Path) -> bool:
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["kind"] == _KIND
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _put_in_place(folder: Path, target: Path) -> None:
    before = folder.with_name(f"{folder.name}.before")
    shutil.rmtree(before, ignore_errors=True)
    if target.exists():
        target.replace(before)
    folder.replace(target)
    shutil.rmtree(before, ignore_errors=True)


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """A folder beside the target for as long as it takes; what a killed process left there goes first."""
    folder = target.with_name(f".{target.name}.exporting")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
