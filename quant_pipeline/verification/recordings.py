"""What is recorded of the slots of a session, read in one short turn, and whether it is what was stored then.

The history's turn is held for the reading alone, since trading waits for it; everything is computed afterwards.
``Recordings`` hands out lineage and frames, ``damage`` hashes every frame again and looks at what no hash covers: keys,
order of rows, the marks of the bars, parameters of settings. Deciding again is for ``decisions``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection

from quant_pipeline.frames import FRAMES
from quant_pipeline.history.bars_replay import BarsReplay
from quant_pipeline.history.columns import columns_of, table_hash, to_frame
from quant_pipeline.history.rows import text_of
from quant_pipeline.history.schema import BARS, ORDER_COLUMN
from quant_pipeline.history.schema_version import tables_of
from quant_pipeline.verification.differences import Difference, Kind


@dataclass(frozen=True)
class Recording:
    """One version of a frame as lineage has it; ``inputs`` are ids, ``finished_at`` microseconds since 1970."""

    id: int
    asset: str
    slot: str
    run_id: str
    code_version: str
    settings_hash: str
    data_hash: str
    rows: int
    finished_at: int
    inputs: tuple[int, ...]
    pruned: bool


@dataclass
class Recordings:
    """What is recorded of some slots of one session. Frames are rebuilt when they are first asked for."""

    by_id: dict[int, Recording]
    settings: dict[str, str]
    _tables: dict[str, pa.Table]
    _bars: BarsReplay
    _rebuilt: dict[int, pa.Table] = field(default_factory=dict)
    _frames: dict[int, pd.DataFrame] = field(default_factory=dict)
    _hashes: dict[int, str] = field(default_factory=dict)

    @classmethod
    def read(cls, connection: DuckDBPyConnection, slots: Sequence[str]) -> Recordings:
        """Read all versions of all frames of the slots, and the settings behind them."""
        by_id = {recording.id: recording for recording in _lineage(connection, slots)}
        kept = [one for one in by_id.values() if not one.pruned]
        ids = {asset: [one.id for one in kept if one.asset == asset] for asset in FRAMES}
        hashes = ", ".join({text_of(one.settings_hash) for one in kept}) or "NULL"
        settings = dict(
            connection.execute(
                f"SELECT settings_hash, parameters::VARCHAR FROM lineage.settings WHERE settings_hash IN ({hashes})"
            ).fetchall()
        )
        # A history that an older program wrote last has no table yet for frames that are new.
        there = {name for schema, name in tables_of(connection) if schema == "main"} & set(FRAMES) - {BARS}
        tables = {asset: _rows(connection, asset, ids[asset], slots) for asset in FRAMES if asset in there}
        return cls(by_id, settings, tables, BarsReplay(connection, ids[BARS]))

    def of(self, slot: str) -> list[Recording]:
        """The versions of a slot, oldest first."""
        return [one for one in self.by_id.values() if one.slot == slot]

    def kept(self, slot: str, asset: str) -> list[Recording]:
        """The versions of an asset in a slot whose rows are kept, oldest first."""
        return [one for one in self.of(slot) if one.asset == asset and not one.pruned]

    def table(self, recording: Recording) -> pa.Table:
        """A frame as it is stored, with the columns the asset has today; one that was not recorded is all missing."""
        if recording.id not in self._rebuilt:
            self._rebuilt[recording.id] = self._rebuild(recording)
        return self._rebuilt[recording.id]

    def frame(self, recording: Recording) -> pd.DataFrame:
        """The same as the frame the assets had in hand."""
        if recording.id not in self._frames:
            self._frames[recording.id] = to_frame(recording.asset, self.table(recording))
        return self._frames[recording.id]

    def is_sound(self, recording: Recording) -> bool:
        """Whether a frame still has the hash it was recorded with."""
        if recording.id not in self._hashes:
            self._hashes[recording.id] = table_hash(recording.asset, self.table(recording))
        return self._hashes[recording.id] == recording.data_hash

    def release(self, slot: str) -> None:
        """Let go of the frames of a slot that is done with."""
        for one in self.of(slot):
            self._rebuilt.pop(one.id, None)
            self._frames.pop(one.id, None)

    def damage(self, recording: Recording) -> Iterator[Difference]:
        """Everything about a version that is not as it was stored."""
        table = self.table(recording)
        if table.num_rows != recording.rows:
            yield _damaged(recording, f"{table.num_rows} rows are stored of the {recording.rows} recorded", "rows")
        elif not self.is_sound(recording):
            yield _damaged(recording, "its frame does not have the hash it was recorded with", None)
        yield from self._bars_damage(recording) if recording.asset == BARS else self._key_damage(recording)

    def changed_symbols(self, bars: Recording) -> list[str]:
        """Symbols whose settled bars do not have the hash that was kept of them."""
        return self._bars.changed_symbols(bars.id)

    def settled_dates(self, bars: Recording, symbol: str) -> tuple[dt.date, dt.date]:
        """The first and the last date of a symbol's bars that are not partial."""
        settled = self.table(bars).filter((pc.field("symbol") == symbol) & ~pc.field("partial"))
        dates = settled["date"].to_pylist()
        return dates[0], dates[-1]

    def strays(self, slot: str) -> Iterator[Difference]:
        """Rows that say they are of a slot and belong to no version of it."""
        for asset, table in self._tables.items():
            known = [one.id for one in self.of(slot) if one.asset == asset]
            of_slot = table.filter(pc.field("slot") == slot)
            strays = set(of_slot["materialization_id"].to_pylist()) - set(known)
            for identity in sorted(strays):
                yield Difference(
                    slot, Kind.DAMAGED, asset, "its rows belong to no recorded version of the slot", identity,
                    "materialization_id",
                )  # fmt: skip

    def settings_damage(self, settings_hash: str) -> str | None:
        """What is wrong with the parameters behind a hash, or None."""
        text = self.settings.get(settings_hash)
        if text is None:
            return f"the settings behind {settings_hash} are not recorded"
        canonical = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
        if hashlib.sha256(canonical.encode()).hexdigest()[: len(settings_hash)] != settings_hash:
            return f"the parameters behind {settings_hash} do not have that hash"
        return None

    def _rebuild(self, recording: Recording) -> pa.Table:
        if recording.asset == BARS:
            return self._bars.frame(recording.id)
        own = self._stored(recording)
        columns = {
            column.name: own[column.name] if column.name in own.column_names else pa.nulls(own.num_rows, column.arrow)
            for column in columns_of(recording.asset)
        }
        return pa.table(columns)

    def _stored(self, recording: Recording) -> pa.Table:
        return self._places[recording.asset].get(recording.id, self._tables[recording.asset].slice(0, 0))

    @cached_property
    def _places(self) -> dict[str, dict[int, pa.Table]]:
        """Asset and materialization to its rows, cut out of what was read, in their order."""
        places: dict[str, dict[int, pa.Table]] = {}
        for asset, table in self._tables.items():
            ids = table["materialization_id"].to_numpy()
            starts = np.flatnonzero(np.diff(ids, prepend=-1))
            places[asset] = {
                int(ids[start]): table.slice(start, end - start) for start, end in pairwise([*starts, len(ids)])
            }
        return places

    def _key_damage(self, recording: Recording) -> Iterator[Difference]:
        own = self._stored(recording)
        others = set(own["slot"].to_pylist()) - {recording.slot}
        if others:
            yield _damaged(recording, f"its rows say they are of slot {others.pop()}", "slot")
        if own[ORDER_COLUMN].to_pylist() != list(range(own.num_rows)):
            yield _damaged(recording, "its rows are not numbered as they were", ORDER_COLUMN)

    def _bars_damage(self, recording: Recording) -> Iterator[Difference]:
        yield from (
            _damaged(recording, text, column)
            for column, text in self._bars.faults(recording.id, recording.slot)
            # The hashes of its symbols follow from the bars: of a changed bar they only say whose it is.
            if column != "settled_hash" or self.is_sound(recording)
        )


def _lineage(connection: DuckDBPyConnection, slots: Sequence[str]) -> list[Recording]:
    rows = connection.execute(
        f"""SELECT id, asset, slot, run_id, code_version, settings_hash, data_hash, rows,
            epoch_us(finished_at),
            coalesce(list_sort(list(input_materialization_id) FILTER (input_materialization_id IS NOT NULL)), []),
            id IN (SELECT materialization_id FROM lineage.pruned)
        FROM lineage.materializations LEFT JOIN lineage.inputs ON materialization_id = id
        WHERE slot IN ({_listed(slots)}) GROUP BY ALL ORDER BY id"""
    ).fetchall()
    return [Recording(*lineage, inputs=tuple(inputs), pruned=pruned) for *lineage, inputs, pruned in rows]


def _rows(connection: DuckDBPyConnection, asset: str, ids: Sequence[int], slots: Sequence[str]) -> pa.Table:
    """The rows that say they are of the slots, and those of the versions that say otherwise."""
    listed = ", ".join(map(str, ids)) or "NULL"
    # Bounds beside the lists: by them DuckDB skips the blocks of other sessions unread.
    of_slots = f"slot BETWEEN {text_of(min(slots))} AND {text_of(max(slots))} AND slot IN ({_listed(slots)})"
    of_versions = f"materialization_id BETWEEN {min(ids, default=0)} AND {max(ids, default=0)}"
    return connection.execute(
        f'SELECT * FROM "{asset}" WHERE {of_slots} UNION ALL '
        f'SELECT * FROM "{asset}" WHERE {of_versions} AND materialization_id IN ({listed}) AND NOT ({of_slots}) '
        f"ORDER BY materialization_id, {ORDER_COLUMN}"
    ).to_arrow_table()


def _listed(slots: Sequence[str]) -> str:
    return ", ".join(map(text_of, slots)) or "NULL"


def _damaged(recording: Recording, text: str, column: str | None) -> Difference:
    return Difference(recording.slot, Kind.DAMAGED, recording.asset, text, recording.id, column)
