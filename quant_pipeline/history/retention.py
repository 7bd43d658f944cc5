"""Retention: how long frames are kept, and how those that are not are given up.

Nothing is given up unless ``retention.keep_sessions`` says so. Then the large frames of slots before the last so many
sessions go (``PRUNED_ASSETS``; what trades and daily metrics are reckoned from always stays), but for every version in
the chain of an order of ours: what an order was decided on stays as long as the history. Lineage stays too, and
``lineage.pruned`` says what went, when and why. The space is given back by ``compaction``. ``History.prune`` calls this
within its transaction, when the mirror of the journal is up to date.

Bars rows serve many frames. One goes when it has a successor, no kept frame saw it without its successor, and no slot
that is kept could ask for what was known before the successor came.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from quant_pipeline.errors import PrunedError
from quant_pipeline.history.schema import BARS

PRUNED_ASSETS = ("universe", "quality_filter", "working_orders", BARS, "indicators", "scores")
REASON = "retention.keep_sessions = {}"

_FIRST_KEPT = """
    SELECT DISTINCT slot[:10] AS session FROM lineage.materializations ORDER BY session DESC LIMIT 1 OFFSET $before"""

_GOING = """
CREATE OR REPLACE TEMP TABLE going AS
WITH RECURSIVE needed(id) AS (
    SELECT materialization_id FROM journal.intents UNION SELECT unnest($sent::BIGINT[])
    UNION SELECT input_materialization_id FROM lineage.inputs JOIN needed ON materialization_id = needed.id)
SELECT id, asset, rows FROM lineage.materializations
WHERE slot < $first_kept AND rows > 0 AND list_contains($assets, asset)
    AND id NOT IN (SELECT id FROM needed) AND id NOT IN (SELECT materialization_id FROM lineage.pruned)
"""

# A kept frame sees the newest row of a bar that is not newer than the frame: a row serves the frames from its own
# materialization up to its successor's.
_BARS_GOING = """
DELETE FROM bars WHERE rowid IN (
    WITH succession AS (
        SELECT rowid AS place, source, slot, materialization_id,
            lead(materialization_id) OVER later AS successor, lead(slot) OVER later AS successor_slot
        FROM bars WINDOW later AS (PARTITION BY source, symbol, date ORDER BY materialization_id)),
    frames AS (SELECT DISTINCT source, materialization_id FROM bars_frames)
    SELECT place FROM succession ASOF LEFT JOIN frames
        ON succession.source = frames.source AND succession.materialization_id <= frames.materialization_id
    WHERE successor IS NOT NULL AND coalesce(frames.materialization_id >= successor, true)
        AND slot <= successor_slot AND successor_slot < $first_kept)
"""


@dataclass(frozen=True)
class Pruned:
    """What was given up: how many versions with how many rows, all of slots before ``first_kept`` (None: kept all)."""

    versions: int
    rows: int
    first_kept: str | None


def orders_decided_by(connection: DuckDBPyConnection) -> list[int]:
    """The materializations that the orders in the mirror of the journal were decided by.

    Taken before the mirror follows the journal: a journal that lost its orders must not cost what led to them.
    """
    rows = connection.execute("SELECT DISTINCT materialization_id FROM journal.intents").fetchall()
    return [identity for (identity,) in rows]


def prune(connection: DuckDBPyConnection, keep_sessions: int, at: dt.datetime, sent: Sequence[int] = ()) -> Pruned:
    """Give up the frames of all but the last ``keep_sessions`` recorded sessions; ``at`` is noted with each.

    ``sent`` are materializations that orders were decided by, besides those the mirror of the journal has now.
    """
    if keep_sessions < 1:
        raise ValueError("at least one session is kept")
    row = connection.execute(_FIRST_KEPT, {"before": keep_sessions - 1}).fetchone()
    if row is None:
        return Pruned(0, 0, None)
    connection.execute(_GOING, {"first_kept": row[0], "assets": list(PRUNED_ASSETS), "sent": list(sent)})
    try:
        versions, rows = connection.execute("SELECT count(*), coalesce(sum(rows), 0)::BIGINT FROM going").fetchall()[0]
        if versions:
            _give_up(connection, row[0], REASON.format(keep_sessions), at)
    finally:
        connection.execute("DROP TABLE IF EXISTS going")
    return Pruned(versions, rows, row[0])


def refuse_pruned(connection: DuckDBPyConnection, identity: int, asset: str, slot: str) -> None:
    """Raise ``PrunedError`` when the frame of a materialization was given up."""
    row = connection.execute(
        "SELECT strftime(pruned_at AT TIME ZONE 'UTC', '%Y-%m-%d'), reason FROM lineage.pruned "
        "WHERE materialization_id = ?",
        [identity],
    ).fetchone()
    if row is not None:
        raise PrunedError(
            f"The frame of {asset} {slot} (materialization {identity}) was pruned on {row[0]} by {row[1]}; only its "
            "lineage is still there, look for the frame in a backup."
        )


def _give_up(connection: DuckDBPyConnection, first_kept: str, reason: str, at: dt.datetime) -> None:
    connection.execute(
        "INSERT INTO lineage.pruned (materialization_id, pruned_at, reason) "
        "SELECT id, make_timestamptz(?), ? FROM going ORDER BY id",
        [int(at.timestamp() * 1_000_000), reason],
    )
    for asset in PRUNED_ASSETS:
        table = "bars_frames" if asset == BARS else asset
        connection.execute(
            f'DELETE FROM "{table}" WHERE materialization_id IN (SELECT id FROM going WHERE asset = ?)', [asset]
        )
    connection.execute(_BARS_GOING, {"first_kept": first_kept})
    # The newest frame of a symbol may be among those given up, and an older one does not say what is known.
    connection.execute(
        "UPDATE bars_frames SET settled_hash = NULL WHERE settled_hash IS NOT NULL AND materialization_id IN "
        "(SELECT id FROM lineage.materializations WHERE slot < ?)",
        [first_kept],
    )
