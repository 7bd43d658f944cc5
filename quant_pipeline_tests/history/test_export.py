"""The export: every table as it is in the published history, readable with what people have."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from quant_pipeline.errors import HistoryError, UsageError
from quant_pipeline.history import export as exporting
from quant_pipeline.history.columns import columns_of
from quant_pipeline.history.export import Export, Span, export
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline_tests.history.older_layouts import history_of_version_1, journal_of_version_1
from quant_pipeline_tests.history.recorded_frames import MADE, SLOT

LATER = "2026-11-20T10:30"
SIGNAL = {"name": "rsi_14", "value": 28.5, "contribution": 12.25, "text": "RSI 14 at 28.5, it's low"}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history with two slots, orders, scores with their signals, and metrics."""
    home = tmp_path_factory.mktemp("published")
    history_of_version_1(home)
    journal_of_version_1(home)
    history = History(home)
    row = {column.name: [] if column.nested else 1 for column in columns_of("scores")}
    signals = [SIGNAL, {**SIGNAL, "value": None}]
    scores = pd.DataFrame([{**row, "direction": "LONG", "total_score": 61.5, "key_signals": signals}])
    for slot in (SLOT, LATER):
        history.append("scores", scores, slot=slot, **MADE)
    with WorkingFile(home).transaction() as connection:
        connection.execute(
            "CREATE TABLE metrics.trades AS SELECT * FROM (VALUES ('e.1.02', NULL, 1.5), ('e.2.01', "
            f"'{SLOT}', -1.0), ('e.3.01', '{LATER}', 2.5)) AS made(trade_id, entry_slot, r_multiple)"
        )
        connection.execute("COMMENT ON COLUMN metrics.trades.r_multiple IS 'Net P&L as a multiple of the initial risk'")
        connection.execute(
            "CREATE TABLE metrics.daily_metrics AS FROM (VALUES (DATE '2026-11-19'), (DATE '2026-11-20')) AS d(session)"
        )
        connection.execute("CREATE VIEW metrics.best AS SELECT max(r_multiple) AS r_multiple FROM metrics.trades")
    history.mirror_journal(OrderJournal(home))
    return history.publish()


@pytest.fixture(scope="module")
def whole(published: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Export]:
    target = tmp_path_factory.mktemp("exports") / "all"
    return target, export(published, target)


def test_every_table_and_view_comes_back_as_it_is(published: Path, whole: tuple[Path, Export]) -> None:
    target, made = whole
    with duckdb.connect(published, read_only=True) as history:
        relations = history.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() "
            "UNION SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
        assert {table.table for table in made.tables} == {
            f"{'history' if schema == 'main' else schema}.{table}" for schema, table in relations
        } | {"history.bars_as_of"}
        for schema, table in relations:
            file = target / ("history" if schema == "main" else schema) / f"{table}.parquet"
            ours, theirs = f'{schema}."{table}"', f"'{file}'"
            for left, right in ((ours, theirs), (theirs, ours)):
                assert history.execute(f"FROM {left} EXCEPT ALL FROM {right}").fetchall() == [], file
            kinds = [
                [(name, kind) for name, kind, *_ in history.execute(f"DESCRIBE FROM {place}").fetchall()]
                for place in (ours, theirs)
            ]
            assert kinds[0] == kinds[1]


def test_bars_are_there_as_rows_that_were_seen_and_as_the_newest_frame(whole: tuple[Path, Export]) -> None:
    target, _ = whole
    assert len(pd.read_parquet(target / "history" / "bars.parquet")) == 4
    newest = pd.read_parquet(target / "history" / "bars_as_of.parquet")
    assert newest["close"].tolist() == [10.5, 11.5, 11.75]


def test_pandas_reads_every_file_nested_columns_too(whole: tuple[Path, Export]) -> None:
    target, made = whole
    frames = {table.table: pd.read_parquet(target / table.file) for table in made.tables}
    assert {table.table: table.rows for table in made.tables} == {name: len(frame) for name, frame in frames.items()}
    assert [list(signals) for signals in frames["history.scores"]["key_signals"]] == 2 * [
        [SIGNAL, {**SIGNAL, "value": None}]
    ]
    assert str(frames["lineage.materializations"]["started_at"].dt.tz) == "UTC"
    assert json.loads(frames["lineage.settings"]["parameters"].iloc[0]) == {"risk": {"max_positions": 100}}


def test_comments_go_along(whole: tuple[Path, Export]) -> None:
    target, made = whole
    metadata = pq.read_schema(target / "metrics" / "trades.parquet").metadata
    assert metadata[b"comment.r_multiple"] == b"Net P&L as a multiple of the initial risk"
    fills = next(table for table in made.tables if table.table == "journal.fills")
    assert fills.comment == "One row an execution; copied from orders.sqlite"
    assert {column.name: bool(column.comment) for column in fills.columns}["account"]
    assert pq.read_schema(target / fills.file).metadata[b"comment"].decode() == fills.comment
    assert pq.read_metadata(target / fills.file).row_group(0).column(0).compression == "ZSTD"


def test_the_manifest_says_what_was_written(whole: tuple[Path, Export]) -> None:
    target, made = whole
    said = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    assert (said["kind"], said["layout"], said["first_slot"], said["last_slot"]) == (
        "quant-pipeline export", 2, SLOT, LATER,
    )  # fmt: skip
    assert [(table["table"], table["rows"]) for table in said["tables"]] == [
        (table.table, table.rows) for table in made.tables
    ]
    files = {str(path.relative_to(target)) for path in target.rglob("*.parquet")}
    assert files == {table["file"] for table in said["tables"]}
    assert all((target / table["file"]).stat().st_size == table["bytes"] for table in said["tables"])


def test_a_span_leaves_out_what_belongs_to_other_slots(published: Path, tmp_path: Path) -> None:
    made = export(published, tmp_path / "later", span=Span(first=LATER))
    rows = {table.table: table.rows for table in made.tables}
    assert (made.first_slot, made.last_slot) == (LATER, LATER)
    assert rows["history.scores"] == rows["current.scores"] == 1
    assert rows["history.quality_filter"] == rows["journal.intents"] == rows["lineage.inputs"] == 0
    assert rows["lineage.settings"] == 1
    trades = pd.read_parquet(tmp_path / "later" / "metrics" / "trades.parquet")
    assert trades["trade_id"].tolist() == ["e.1.02", "e.3.01"]
    # What was made by hand belongs to no slot.
    assert pd.read_parquet(tmp_path / "later" / "journal" / "fills.parquet")["exec_id"].tolist() == ["m.1.01"]
    # The frame of the later slot is made of bars that the earlier one saw.
    assert rows["history.bars"] == 4
    assert rows["history.bars_as_of"] == 3
    earlier = export(published, tmp_path / "earlier", span=Span(last=SLOT), wanted=["history", "metrics.daily_metrics"])
    rows = {table.table: table.rows for table in earlier.tables}
    assert rows["history.bars"] == rows["history.bars_as_of"] == 2
    assert rows["history.scores"] == 1
    assert rows["metrics.daily_metrics"] == 2
    assert not any(name.startswith(("journal", "lineage", "current")) for name in rows)


def test_tables_can_be_chosen(published: Path, tmp_path: Path) -> None:
    made = export(published, tmp_path / "some", wanted=["metrics", "history.scores"])
    assert [table.table for table in made.tables] == [
        "history.scores", "metrics.best", "metrics.daily_metrics", "metrics.trades",
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"There is no 'score' .*\(history, current, lineage, journal, metrics\)"):
        export(published, tmp_path / "none", wanted=["score"])
    with pytest.raises(UsageError, match="No slot of that span is recorded"):
        export(published, tmp_path / "none", span=Span(first="2027-01-04T09:30"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["some"]


def test_a_folder_with_something_in_it_is_left_alone(published: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    export(published, target, wanted=["journal"])
    with pytest.raises(UsageError, match=r"holds something already; .* --overwrite"):
        export(published, target)
    assert not (target / "history").exists()
    export(published, target, wanted=["metrics"], overwrite=True)
    assert sorted(path.name for path in target.iterdir()) == ["manifest.json", "metrics"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]
    for name in ("diary.txt", "manifest.json"):
        other = tmp_path / name.partition(".")[0]
        other.mkdir()
        (other / name).write_text("{}", encoding="utf-8")
        with pytest.raises(UsageError, match="something else than an export and is not replaced"):
            export(published, other, overwrite=True)
        assert (other / name).read_text(encoding="utf-8") == "{}"
    with pytest.raises(UsageError, match="is a file"):
        export(published, tmp_path / "diary" / "diary.txt")


def test_without_a_published_history_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="There is no published history"):
        export(tmp_path / "history.duckdb", tmp_path / "out")
    (tmp_path / "history.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(HistoryError, match=r"published history .* cannot be read"):
        export(tmp_path / "history.duckdb", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["history.duckdb"]


def test_an_export_that_was_killed_leaves_the_one_before(published: Path, tmp_path: Path) -> None:
    target = tmp_path / "all"
    export(published, target, wanted=["journal"])
    process = multiprocessing.get_context("forkserver").Process(target=export_and_die, args=(published, target))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert sorted(path.name for path in target.iterdir()) == ["journal", "manifest.json"]
    export(published, target, wanted=["metrics"], overwrite=True)
    assert sorted(path.name for path in target.iterdir()) == ["manifest.json", "metrics"]
    assert [path.name for path in tmp_path.iterdir()] == ["all"]


def export_and_die(published: Path, target: Path) -> None:
    exporting._put_in_place = lambda folder, target: os.kill(os.getpid(), signal.SIGKILL)
    export(published, target, overwrite=True)
