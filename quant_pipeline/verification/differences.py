"""What verification can find: a difference between what is recorded and what ought to be, and the verdict of a slot.

Plain frozen data; ``recordings``, ``decisions`` and ``orders`` make differences, ``slots`` collects them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


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
class Difference:
    """One thing that differs: where, and in a sentence what. ``column`` is None where it cannot be said."""

    slot: str
    kind: Kind
    asset: str
    text: str
    materialization_id: int | None = None
    column: str | None = None

    @property
    def line(self) -> str:
        """The difference as a person reads it."""
        version = f" {self.materialization_id}" if self.materialization_id is not None else ""
        return f"{self.asset}{version}: {self.kind.value}; {self.text}"

    def as_json(self) -> dict[str, object]:
        """The difference as plain values."""
        return {
            "slot": self.slot, "kind": self.kind.name.lower(), "asset": self.asset, "column": self.column,
            "materialization_id": self.materialization_id, "text": self.text,
        }  # fmt: skip


@dataclass(frozen=True)
class SlotVerdict:
    """What came of verifying one slot.

    ``frames`` were hashed again, ``decided`` made again with the result they had, ``orders`` compared with their
    decision; the rows of ``pruned`` versions are not kept any more. ``newer_columns`` were not recorded in their time.
    """

    slot: str
    frames: int
    decided: int
    orders: int
    pruned: int
    newer_columns: tuple[str, ...]
    differences: tuple[Difference, ...]

    def as_json(self) -> dict[str, object]:
        """The verdict as plain values."""
        return {
            "slot": self.slot, "ok": not self.differences, "frames": self.frames, "decided": self.decided,
            "orders": self.orders, "pruned": self.pruned, "newer_columns": list(self.newer_columns),
            "differences": [difference.as_json() for difference in self.differences],
        }  # fmt: skip
