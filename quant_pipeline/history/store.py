"""The history: every version of every frame, with the lineage that leads from an order back to its bars.

``History`` is what the assets, the command line and the reports talk to: append a frame, read one back, ask what it was
made from, publish. It holds no connection; each call has its turn at the working file (``working_file``) and is one
transaction. How a frame becomes columns is in ``columns``, what the tables are in ``schema``, how bars are kept in
``bars``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from duckdb import DuckDBPyConnection

from quant_pipeline.errors import HistoryError
from quant_pipeline.frames import validate
from quant_pipeline.history import bars, mirror
from quant_pipeline.history.columns import columns_of, data_hash, table_hash, to_arrow, to_frame
from quant_pipeline.history.compaction import Compaction, compact, unused_pct
from quant_pipeline.history.metrics_tables import BuiltRelation, MadeFrom, copy_to, take_over
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.publish import publish
from quant_pipeline.history.retention import Pruned, orders_decided_by, prune, refuse_pruned
from quant_pipeline.history.schema import BARS, ORDER_COLUMN
from quant_pipeline.history.working_file import WAIT_SECONDS, WorkingFile
from quant_pipeline.settings import RetentionSettings

__all__ = ["History", "Materialization", "data_hash"]

_FIELDS = (
    "id, asset, slot, run_id, code_version, settings_hash, data_hash, rows, epoch_us(started_at), epoch_us(finished_at)"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Materialization:
    """One version of an asset's frame: what made it, when (UTC), how many rows it has and the hash of its data."""

    id: int
    asset: str
    slot: str
    run_id: str
    code_version: str
    settings_hash: str
    data_hash: str
    rows: int
    started_at: dt.datetime
    finished_at: dt.datetime


class History:
    """The recorded frames below a home directory.

    Safe to use from several threads and processes at once: calls queue, at most ``wait_seconds`` each. Every method
    raises ``HistoryError`` when the working file cannot be had, is gone, damaged, or of a newer version.
    """

    def __init__(self, home: Path, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self.home = home
        self.published = home / "history.duckdb"
        self._file = WorkingFile(home, wait_seconds=wait_seconds)
        self.working = self._file.path

    def append(
        self,
        asset: str,
        frame: pd.DataFrame,
        *,
        slot: str,
        run_id: str,
        code_version: str,
        settings_hash: str,
        inputs: Sequence[int],
        started_at: dt.datetime,
        source: str | None = None,
    ) -> Materialization:
        """Store a frame as a new version, rows and lineage in one transaction, whole or not at all.

        ``inputs`` are the ids of the materializations it was made from, ``started_at`` is aware, and ``source`` is the
        account that bars were read through (needed for bars, unknown to the others).

        Raises ``HistoryError`` when the frame breaks its contract or an input is not recorded.
        """
        if (source is None) == (asset == BARS):
            raise ValueError("source is the account that bars were read through: give it for bars and for nothing else")
        columns_of(asset)
        table = to_arrow(asset, validate(asset, frame))
        made = {
            "asset": asset,
            "slot": slot,
            "run_id": run_id,
            "code_version": code_version,
            "settings_hash": settings_hash,
            "data_hash": table_hash(asset, table),
            "rows": table.num_rows,
            "started_at": _whole_microseconds(started_at),
        }
        with self._file.transaction() as connection:
            _refuse_unknown(connection, inputs)
            identity = _next_id(connection)
            if source is None:
                _insert_rows(connection, asset, table, identity, slot)
            else:
                bars.append(connection, table, identity=identity, slot=slot, source=source)
            materialization = Materialization(
                id=identity, finished_at=_whole_microseconds(dt.datetime.now(dt.UTC)), **made
            )
            _insert_lineage(connection, materialization, inputs)
        return materialization

    def latest(self, asset: str, slot: str, *, run_id: str | None = None) -> Materialization | None:
        """The newest materialization of an asset in a slot; one made by ``run_id`` goes before all others."""
        with self._file.transaction() as connection:
            return _latest(connection, asset, slot, run_id)

    def latest_before(self, asset: str, slot: str) -> Materialization | None:
        """The newest materialization of an asset in the last slot, up to and including ``slot``, that has one."""
        with self._file.transaction() as connection:
            found = _materializations(
                connection, "WHERE asset = ? AND slot <= ? ORDER BY slot DESC, id DESC LIMIT 1", [asset, slot]
            )
        return found[0] if found else None

    def frame(self, materialization_id: int) -> pd.DataFrame:
        """The frame of a materialization as it was validated: types, values and order of rows."""
        with self._file.transaction() as connection:
            materialization = _by_id(connection, materialization_id)
            table = _read_rows(connection, materialization)
        return to_frame(materialization.asset, table)

    def recorded(self, asset: str, slot: str) -> tuple[Materialization, pd.DataFrame] | None:
        """The newest materialization of an asset in a slot with its frame, or None when there is none."""
        with self._file.transaction() as connection:
            materialization = _latest(connection, asset, slot, None)
            if materialization is None:
                return None
            table = _read_rows(connection, materialization)
        return materialization, to_frame(asset, table)

    def newest(self, asset: str) -> tuple[Materialization, pd.DataFrame] | None:
        """The materialization of an asset that was made last, of whatever slot, with its frame."""
        with self._file.transaction() as connection:
            found = _materializations(connection, "WHERE asset = ? ORDER BY id DESC LIMIT 1", [asset])
            if not found:
                return None
            table = _read_rows(connection, found[0])
        return found[0], to_frame(asset, table)

    def count(self) -> int:
        """How many materializations are recorded."""
        with self._file.transaction() as connection:
            row = connection.execute("SELECT count(*) FROM lineage.materializations").fetchone()
        return row[0] if row else 0

    def recorded_anything(self) -> bool:
        """Whether there is a history at all, asked without making one."""
        return any(path.exists() for path in (self.working, self._file.log, self.published)) and self.count() > 0

    def kept_bars(self, source: str, slot: str) -> pd.DataFrame:
        """The newest bar of every symbol and date that ``source`` had given up to and including ``slot``."""
        with self._file.transaction() as connection:
            table = bars.kept(connection, source=source, slot=slot)
        return to_frame(BARS, table)

    def inputs_of(self, materialization_id: int) -> list[Materialization]:
        """The materializations that one was made from, by id."""
        with self._file.transaction() as connection:
            _by_id(connection, materialization_id)
            return _materializations(
                connection,
                "WHERE id IN (SELECT input_materialization_id FROM lineage.inputs WHERE materialization_id = ?) "
                "ORDER BY id",
                [materialization_id],
            )

    def chain(self, materialization_id: int) -> list[Materialization]:
        """All that led to a materialization, however far back, by id; itself last."""
        with self._file.transaction() as connection:
            _by_id(connection, materialization_id)
            return _materializations(
                connection,
                """WHERE id IN (
                    WITH RECURSIVE led(id) AS (
                        SELECT ?::BIGINT UNION SELECT input_materialization_id FROM lineage.inputs
                        JOIN led ON materialization_id = led.id)
                    SELECT id FROM led) ORDER BY id""",
                [materialization_id],
            )

    def record_settings(self, settings_hash: str, parameters: Mapping[str, object]) -> None:
        """Keep the parameters behind a settings hash; once for each hash."""
        text = json.dumps(parameters, sort_keys=True)
        with self._file.transaction() as connection:
            connection.execute(
                "INSERT INTO lineage.settings SELECT $hash, $text "
                "WHERE NOT EXISTS (FROM lineage.settings WHERE settings_hash = $hash)",
                {"hash": settings_hash, "text": text},
            )

    def settings(self, settings_hash: str) -> dict[str, object] | None:
        """The parameters behind a settings hash, or None when they were not recorded."""
        with self._file.transaction() as connection:
            row = connection.execute(
                "SELECT parameters FROM lineage.settings WHERE settings_hash = ?", [settings_hash]
            ).fetchone()
        return json.loads(row[0]) if row else None

    def mirror_journal(self, journal: OrderJournal) -> int:
        """Bring the tables ``journal.*`` up to the order journal and return how many of its events were new."""
        with self._file.transaction() as connection:
            return mirror.follow(connection, journal)

    def copy_to(self, target: Path) -> None:
        """Make ``target`` a copy of the history as it is now, for the caller alone; nobody is held up meanwhile."""
        copy_to(self._file, target)

    def take_over_metrics(self, built: Sequence[BuiltRelation], source: MadeFrom | None = None) -> None:
        """Replace the tables and views ``metrics.*`` by what dbt built, all of them or none; note what from."""
        with self._file.transaction() as connection:
            take_over(connection, built, source)

    def prune(self, keep_sessions: int, journal: OrderJournal) -> Pruned:
        """Give up the large frames of all but the last sessions; see ``retention``. Orders' chains always stay."""
        with self._file.transaction() as connection:
            sent = orders_decided_by(connection)
            mirror.follow(connection, journal)
            return prune(connection, keep_sessions, dt.datetime.now(dt.UTC), sent)

    def compact(self) -> Compaction:
        """Write the working file anew, without the room that was given up; see ``compaction``."""
        return compact(self._file)

    def prune_and_compact(
        self, settings: RetentionSettings, journal: OrderJournal
    ) -> tuple[Pruned | None, Compaction | None]:
        """What the settings ask for at the end of a day; None for what was not due."""
        pruned = self.prune(settings.keep_sessions, journal) if settings.keep_sessions else None
        due = unused_pct(self._file) > settings.compact_above_pct
        return pruned, self.compact() if due else None

    def publish(self) -> Path:
        """Put a copy of the history where people read it, by atomic rename, and return its path."""
        return publish(self._file, self.published)


def _next_id(connection: DuckDBPyConnection) -> int:
    row = connection.execute("SELECT nextval('lineage.materialization_ids')").fetchone()
    assert row is not None
    return int(row[0])


def _insert_rows(connection: DuckDBPyConnection, asset: str, table: pa.Table, identity: int, slot: str) -> None:
    batch = table.append_column(ORDER_COLUMN, pa.array(np.arange(table.num_rows, dtype=np.int32)))
    connection.register("batch", batch)
    try:
        connection.execute(
            f'INSERT INTO "{asset}" BY NAME SELECT ? AS materialization_id, ? AS slot, * FROM batch', [identity, slot]
        )
    finally:
        connection.unregister("batch")


def _read_rows(connection: DuckDBPyConnection, materialization: Materialization) -> pa.Table:
    if materialization.asset == BARS:
        table = bars.read(connection, materialization.id)
    else:
        names = ", ".join(column.quoted for column in columns_of(materialization.asset))
        table = connection.execute(
            f'SELECT {names} FROM "{materialization.asset}" WHERE materialization_id = ? ORDER BY {ORDER_COLUMN}',
            [materialization.id],
        ).to_arrow_table()
    if table.num_rows != materialization.rows:
        refuse_pruned(connection, materialization.id, materialization.asset, materialization.slot)
        raise HistoryError(
            f"The history holds {table.num_rows} of the {materialization.rows} rows of {materialization.asset} "
            f"{materialization.slot} (materialization {materialization.id}); restore a backup."
        )
    return table


def _insert_lineage(connection: DuckDBPyConnection, made: Materialization, inputs: Sequence[int]) -> None:
    connection.execute(
        "INSERT INTO lineage.materializations "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, make_timestamptz(?), make_timestamptz(?))",
        [
            made.id,
            made.asset,
            made.slot,
            made.run_id,
            made.code_version,
            made.settings_hash,
            made.data_hash,
            made.rows,
            _epoch_microseconds(made.started_at),
            _epoch_microseconds(made.finished_at),
        ],
    )
    connection.execute("INSERT INTO lineage.inputs SELECT ?, unnest(?::BIGINT[])", [made.id, sorted(set(inputs))])


def _refuse_unknown(connection: DuckDBPyConnection, inputs: Sequence[int]) -> None:
    if not inputs:
        return
    # Values that stand in the query let DuckDB leave nearly the whole table unread.
    listed = ", ".join(str(int(identity)) for identity in inputs)
    rows = connection.execute(f"SELECT id FROM lineage.materializations WHERE id IN ({listed})").fetchall()
    recorded = {identity for (identity,) in rows}
    unknown = [identity for identity in inputs if identity not in recorded]
    if unknown:
        raise HistoryError(f"The inputs {unknown} are not in the history; record them before what is made from them.")


def _latest(connection: DuckDBPyConnection, asset: str, slot: str, run_id: str | None) -> Materialization | None:
    found = _materializations(
        connection,
        "WHERE asset = ? AND slot = ? ORDER BY run_id IS NOT DISTINCT FROM ? DESC, id DESC LIMIT 1",
        [asset, slot, run_id],
    )
    return found[0] if found else None


def _by_id(connection: DuckDBPyConnection, materialization_id: int) -> Materialization:
    found = _materializations(connection, "WHERE id = ?", [materialization_id])
    if not found:
        raise HistoryError(f"There is no materialization {materialization_id} in the history.")
    return found[0]


def _materializations(connection: DuckDBPyConnection, which: str, parameters: list[object]) -> list[Materialization]:
    rows = connection.execute(f"SELECT {_FIELDS} FROM lineage.materializations {which}", parameters).fetchall()
    return [Materialization(*row[:-2], *(_from_epoch(value) for value in row[-2:])) for row in rows]


def _whole_microseconds(moment: dt.datetime) -> dt.datetime:
    return _from_epoch(_epoch_microseconds(moment))


def _epoch_microseconds(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def _from_epoch(microseconds: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=microseconds)
