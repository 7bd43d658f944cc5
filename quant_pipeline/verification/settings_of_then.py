"""Which settings the decisions were verified under: always those they were recorded with, which may not be today's.

A decision is made again under the settings of its time, so another limit today is no difference. That has to be said,
or a person who has just changed a limit would read the verdict as one about the new limit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant_pipeline.history.rows import text_of
from quant_pipeline.history.working_file import WorkingFile
from quant_pipeline.settings import Settings

NAMED = 3


@dataclass(frozen=True)
class OtherSettings:
    """Settings that are not today's: their hash, how many versions they decided, and in what they differ."""

    settings_hash: str
    versions: int
    changes: tuple[str, ...]

    @property
    def line(self) -> str:
        """The settings as a person reads of them."""
        more = f" and {len(self.changes) - NAMED} more" if len(self.changes) > NAMED else ""
        changed = f" ({', '.join(self.changes[:NAMED])}{more})" if self.changes else ""
        return f"{self.versions:,} under {self.settings_hash}{changed}"

    def as_json(self) -> dict[str, object]:
        """The settings as plain values."""
        return {"settings_hash": self.settings_hash, "versions": self.versions, "changes": list(self.changes)}


def other_settings(home: Path, today: Settings, decided: Mapping[str, int]) -> list[OtherSettings]:
    """Settings that are not today's, of the hashes with how many versions each has decided; the most used first.

    Raises ``HistoryError`` when the history cannot be read.
    """
    others = sorted(set(decided) - {today.decision_hash}, key=lambda one: (-decided[one], one))
    if not others:
        return []
    parameters = _recorded(home, others)
    return [OtherSettings(one, decided[one], tuple(_changes(parameters.get(one), today))) for one in others]


def _recorded(home: Path, hashes: Sequence[str]) -> dict[str, dict[str, Any]]:
    with WorkingFile(home).reading() as connection:
        rows = connection.execute(
            "SELECT settings_hash, parameters::VARCHAR FROM lineage.settings "
            f"WHERE settings_hash IN ({', '.join(map(text_of, hashes))})"
        ).fetchall()
    return {settings_hash: json.loads(text) for settings_hash, text in rows}


def _changes(then: dict[str, Any] | None, today: Settings) -> Iterator[str]:
    if then is None:
        return
    was, now = dict(_flat(then)), dict(_flat(json.loads(json.dumps(today.decision_parameters))))
    for name in sorted({*was, *now}):
        if name not in was:
            yield f"without {name}"
        elif name not in now:
            yield f"{name} = {was[name]}, which is no setting any more"
        elif was[name] != now[name]:
            yield f"{name} = {was[name]}, today {now[name]}"


def _flat(parameters: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, object]]:
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value
