"""The metrics against what comes out when they are made again from the same record.

Metrics follow from frames and journal, so nothing but another build can tell whether they are what was built; it goes
on in a private copy and takes some ten seconds. They are compared only when they were made from the record as it is
now: metrics that are older are no damage. Row by row, with the tolerance that sums of a parallel engine need.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quant_pipeline.errors import MetricsError
from quant_pipeline.history import journal_reading
from quant_pipeline.history.metrics_tables import SCHEMA, BuiltRelation, MadeFrom, made_from, read_metrics, record_of
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline.metrics.build import rebuild_metrics
from quant_pipeline.metrics.project import definitions_stamp
from quant_pipeline.settings import MetricsSettings, Settings
from quant_pipeline.verification.differences import Difference, Kind

CLOSE = 1e-9
NAMED = 3
RUN_REPORT = "run quant-pipeline report"


@dataclass(frozen=True)
class MetricsVerdict:
    """What came of verifying the metrics: ``not_checked`` says why they were not compared, else it is None."""

    relations: int = 0
    rows: int = 0
    not_checked: str | None = None
    differences: tuple[Difference, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The verdict as plain values."""
        return {
            "checked": self.not_checked is None, "not_checked": self.not_checked, "relations": self.relations,
            "rows": self.rows, "differences": [difference.as_json() for difference in self.differences],
        }  # fmt: skip


def verify_metrics(settings: Settings) -> MetricsVerdict:
    """Make the metrics again and compare, if they were made from the record as it is now.

    Raises ``HistoryError`` when history or journal cannot be read.
    """
    with WorkingFile(settings.home).reading() as connection, journal_reading.reading(settings.home) as journal:
        stored, source, record = read_metrics(connection), made_from(connection), record_of(connection)
        journaled = journal.last_event_id()
    reason = _why_not(stored, source, record, journaled)
    if reason is not None or source is None:
        return MetricsVerdict(not_checked=reason)
    then = MetricsSettings.model_validate(json.loads(source.variables))
    try:
        built = rebuild_metrics(settings.model_copy(update={"metrics": then}))
    except MetricsError as error:
        return MetricsVerdict(not_checked=str(error).rstrip("."))
    differences = tuple(_differences(stored, built))
    return MetricsVerdict(len(stored), sum(one.row_count or 0 for one in stored), None, differences)


def _why_not(
    stored: Sequence[BuiltRelation], source: MadeFrom | None, record: tuple[int, int, int], journaled: int
) -> str | None:
    if not stored:
        return f"there are none yet; {RUN_REPORT}"
    if source is None:
        return f"they do not say what they were made from; {RUN_REPORT}"
    if source.record != record or journaled > source.last_event_id:
        return f"they are older than the history; {RUN_REPORT}"
    if source.definitions != definitions_stamp():
        return f"they were made by other definitions than this version has; {RUN_REPORT}"
    return None


def _differences(stored: Sequence[BuiltRelation], built: Sequence[BuiltRelation]) -> Iterator[Difference]:
    there, made = ({one.name: one for one in relations} for relations in (stored, built))
    for name in sorted({*there, *made}):
        if name not in there or name not in made:
            text = "it is not there" if name in made else "it is none of the metrics"
            yield _damaged(name, text)
        elif there[name].statement != made[name].statement:
            yield _damaged(name, "its definition is not the one that was built")
        elif there[name].rows is not None:
            yield from _row_differences(there[name], made[name])


def _row_differences(stored: BuiltRelation, built: BuiltRelation) -> Iterator[Difference]:
    """What differs in a table, in one difference that names the first of it."""
    assert stored.rows is not None
    assert built.rows is not None
    names = built.rows.column_names
    there, made = (
        list(zip(*(rows[name].to_pylist() for name in names), strict=True)) for rows in (stored.rows, built.rows)
    )
    width = _key_width(made)
    by_key = {row[:width]: row for row in made}
    missing = dict(by_key)
    told: list[tuple[str, str | None]] = []
    for row in there:
        expected = missing.pop(row[:width], None)
        if expected is None:
            told.append((f"the row {_named(names, row[:width])} does not come out", None))
            continue
        column = next((place for place, value in enumerate(row) if not _alike(value, expected[place])), None)
        if column is not None:
            text = (
                f"{names[column]} of {_named(names, row[:width])} is {row[column]} and comes out as {expected[column]}"
            )
            told.append((text, names[column]))
    told += [(f"the row {_named(names, key)} is not there", None) for key in missing]
    if told:
        text, column = told[0]
        more = f", and {len(told) - 1} more rows differ" if len(told) > 1 else ""
        yield _damaged(stored.name, text + more, column)


def _key_width(rows: Sequence[tuple[object, ...]]) -> int:
    """How many of the first columns name a row."""
    widths = range(1, len(rows[0]) + 1) if rows else range(1)
    return next((width for width in widths if len({row[:width] for row in rows}) == len(rows)), 0)


def _alike(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE) or (math.isnan(one) and math.isnan(other))
    return one == other


def _named(names: Sequence[str], key: Sequence[object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, key, strict=False)) or "of the table"


def _damaged(name: str, text: str, column: str | None = None) -> Difference:
    return Difference("", Kind.DAMAGED, f"{SCHEMA}.{name}", text, column=column)
