"""Every schema of the history in tables: what ``quant-pipeline schema`` prints and what ``docs/schema.md`` holds.

Only the layout belongs here. What is listed is read from an empty history that is made for the purpose, so that the
page says what the file says of itself; the metrics are listed from the descriptions that dbt puts into the file. A test
keeps page and command equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import duckdb
import yaml

from quant_pipeline.frames import FRAMES
from quant_pipeline.history import schema
from quant_pipeline.metrics.project import PROJECT

INTRODUCTION = """# The tables of the history

What `history.duckdb` holds, schema by schema; the file says the same of itself (`FROM duckdb_columns()`).
[The history](history.md) tells how to read it. Times are UTC, a `slot` is the start of its quarter of an hour in
exchange time, prices are dollars a share, percentages are 0-100.
"""

SCHEMAS = {
    "history": (
        "All versions of every frame. The tables stand in the file's main schema; `history` is the name the file gives "
        "the database. `history.bars_as_of(slot)` is the whole bars frame of a slot."
    ),
    "current": (
        "Views with the columns of the tables of `history`: the newest version of each slot, whether or not it sent "
        "anything; of bars the newest known of each day."
    ),
    "lineage": "What made each version, when, from what, and under which settings.",
    "journal": "A copy of the order journal (`orders.sqlite`), as it was when the file was published.",
    "metrics": "What came of it all, made by dbt after the close and by `quant-pipeline report`.",
}


@dataclass(frozen=True)
class Relation:
    """A table or view: its name, what it is, and its columns as name, type and meaning."""

    name: str
    description: str
    columns: tuple[tuple[str, str, str], ...]


def schema_reference() -> str:
    """The page as Markdown."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("ATTACH ':memory:' AS history")
        connection.execute("USE history")
        schema.ensure(connection)
        recorded = {name: list(_relations(connection, name)) for name in ("main", "lineage", "journal")}
    relations = {
        "history": recorded["main"],
        "current": [],
        "lineage": recorded["lineage"],
        "journal": recorded["journal"],
        "metrics": list(_metrics()),
    }
    return "\n".join([INTRODUCTION, *(_schema(name, meaning, relations[name]) for name, meaning in SCHEMAS.items())])


def _relations(connection: duckdb.DuckDBPyConnection, name: str) -> Iterator[Relation]:
    """Assets in the order of the pipeline, what is no asset behind them."""
    columns: dict[str, list[tuple[str, str, str]]] = {}
    for table, *column in connection.execute(
        "SELECT table_name, column_name, data_type, coalesce(comment, '') FROM duckdb_columns() "
        "WHERE schema_name = ? AND database_name = 'history' ORDER BY table_name, column_index",
        [name],
    ).fetchall():
        columns.setdefault(table, []).append((column[0], column[1], column[2]))
    comments = connection.execute(
        "SELECT table_name, comment FROM duckdb_tables() WHERE schema_name = $name AND database_name = 'history' "
        "UNION ALL SELECT view_name, comment FROM duckdb_views() "
        "WHERE schema_name = $name AND database_name = 'history'",
        {"name": name},
    ).fetchall()
    places = {asset: place for place, asset in enumerate(FRAMES)}
    for table, comment in sorted(comments, key=lambda row: (places.get(row[0], len(places)), row[0])):
        yield Relation(table, comment or "", tuple(columns[table]))


def _metrics() -> Iterator[Relation]:
    for path in sorted((PROJECT / "models" / "marts").rglob("*.yml")):
        for model in yaml.safe_load(path.read_text(encoding="utf-8")).get("models", []):
            columns = tuple(
                (column["name"], str(column.get("data_type", "")).upper(), _one_line(column["description"]))
                for column in model["columns"]
            )
            yield Relation(model["name"], _one_line(model["description"]), columns)


def _schema(name: str, meaning: str, relations: Iterable[Relation]) -> str:
    return "\n".join([f"## {name}\n\n{meaning}\n", *(_table(name, relation) for relation in relations)])


def _table(schema_name: str, relation: Relation) -> str:
    rows = "\n".join(f"| `{name}` | {_type(kind)} | {_cell(meaning)} |" for name, kind, meaning in relation.columns)
    return f"""### {schema_name}.{relation.name}

{relation.description}

| column | type | meaning |
|---|---|---|
{rows}
"""


def _type(kind: str) -> str:
    return kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ").replace("|", "\\|")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.split())
