"""The year the benchmark measures on: written in bulk, it says what appending slot by slot would have left."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from benchmarks.generated_year import Bulk, Making, Year, append
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History, data_hash

SLOTS = 3
WHEN_IT_WAS_STORED = ("finished_at", "since")


def contents(home: Path) -> dict[str, list[str]]:
    """All rows of all tables but for when they were stored."""
    with duckdb.connect(History(home).publish(), read_only=True) as reader:
        tables = reader.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
        return {
            f"{schema}.{name}": sorted(
                repr(row)
                for row in reader.execute(
                    f'SELECT COLUMNS(name -> name NOT IN {WHEN_IT_WAS_STORED}) FROM {schema}."{name}"'
                ).fetchall()
            )
            for schema, name in tables
        }


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    in_bulk, appended = (tmp_path_factory.mktemp(name) for name in ("bulk", "appended"))
    year = Year(in_bulk, sessions=1, seed=3)
    bulk = Bulk(in_bulk, year.market)
    for slot in next(year.sessions())[:SLOTS]:
        year.play(slot, bulk.store)
    bulk.write()
    year.life.close()

    def store(history: History, asset: str, table: pa.Table, making: Making) -> int:
        return append(history, asset, table, making).id

    year = Year(appended, sessions=1, seed=3)
    for slot in next(year.sessions())[:SLOTS]:
        year.play(slot, partial(store, History(appended)))
    year.life.close()
    for home in (in_bulk, appended):
        History(home).mirror_journal(OrderJournal(home))
    return in_bulk, appended


def test_written_in_bulk_it_is_what_appending_would_have_left(homes: tuple[Path, Path]) -> None:
    in_bulk, appended = map(contents, homes)
    assert in_bulk == appended
    assert len(in_bulk["journal.fills"]) > 0


def test_its_frames_read_back_as_they_were_hashed(homes: tuple[Path, Path]) -> None:
    history = History(homes[0])
    last = max(slots_in(homes[0]))
    for asset in ("bars", "indicators", "scores", "sized_orders", "executions"):
        found = history.recorded(asset, last)
        assert found is not None
        made, frame = found
        assert len(frame) == made.rows > 0
        assert data_hash(asset, frame) == made.data_hash


def slots_in(home: Path) -> list[str]:
    with duckdb.connect(History(home).publish(), read_only=True) as reader:
        return [row[0] for row in reader.execute("SELECT DISTINCT slot FROM lineage.materializations").fetchall()]
