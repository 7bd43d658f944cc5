"""What verification can find: a difference between what is recorded and what ought to be, and the verdict of a slot.

Plain frozen data, and how a value of the journal is told in it; ``recordings``, ``decisions``, ``orders`` and
``measured`` make differences, ``slots`` collects them.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum

from quant_pipeline.history.rows import instant


class Kind(Enum):
    """What a difference means; the value is how it is called."""

    DAMAGED = "damaged"
    """What is stored is not what was recorded: changed by hand, or by a failing disk."""
    DECIDES_DIFFERENTLY = "decides differently"
    """The same code makes something else of the recorded inputs."""
    OTHER_CODE = "decided differently by this version of the code"
    """The code has changed since, and so has its decision. Nothing is wrong with the record."""
    INCOMPLETE = "incomplete"
    """What is needed to decide again was not recorded."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with a row of the journal; ``column`` is None when the row is not there or should not be."""

    table: str
    key: Hashable
    column: str | None
    text: str


@dataclass(frozen=True)
class Difference:
    """One thing that differs: where, and in a sentence what. ``column`` is None where it cannot be said.

    Differences of several slots with the same ``cause`` are one: a changed bar is seen by every slot that read it.
    """

    slot: str
    kind: Kind
    asset: str
    text: str
    materialization_id: int | None = None
    column: str | None = None
    cause: str | None = None

    @property
    def line(self) -> str:
        """The difference as a person reads it."""
        return f"{self.place}: {self.kind.value}; {self.text}"

    @property
    def place(self) -> str:
        """The asset or table, with the version."""
        return self.asset if self.materialization_id is None else f"{self.asset} {self.materialization_id}"

    def as_json(self) -> dict[str, object]:
        """The difference as plain values."""
        return {
            "slot": self.slot, "kind": self.kind.name.lower(), "asset": self.asset, "column": self.column,
            "materialization_id": self.materialization_id, "text": self.text, "cause": self.cause,
        }  # fmt: skip


@dataclass(frozen=True)
class SlotVerdict:
    """What came of verifying one slot.

    ``frames`` were hashed again, ``decided`` made again with the result they had, ``orders`` compared with their
    decision; the rows of ``pruned`` versions are not kept any more. ``newer_columns`` were not recorded in their time.
    ``settings`` has the hash of the settings of every version that was decided again, and ``blocked`` the assets that
    were not decided again since what they were made from is damaged.
    """

    slot: str
    frames: int
    decided: int
    orders: int
    pruned: int
    newer_columns: tuple[str, ...]
    differences: tuple[Difference, ...]
    settings: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The verdict as plain values."""
        return {
            "slot": self.slot, "ok": not self.differences, "frames": self.frames, "decided": self.decided,
            "orders": self.orders, "pruned": self.pruned, "newer_columns": list(self.newer_columns),
            "not_decided_again": list(self.blocked),
            "differences": [difference.as_json() for difference in self.differences],
        }  # fmt: skip


def is_time(column: str) -> bool:
    """Whether a column of the journal holds instants."""
    return column == "at" or column.endswith("_at")


def as_told(column: str, value: object) -> object:
    """A value of the journal as a person reads it: an instant, which is compared in microseconds, as a time in UTC."""
    return instant(value).isoformat(sep=" ") if is_time(column) and isinstance(value, int) else value
