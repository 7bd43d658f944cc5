"""Which code made a result: a short hash over the rooms of the package that the result depends on.

The assets record it with every frame, and ``verification`` asks whether what it decides again was decided by today's
code. Nothing else belongs here.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parent

ROOMS_OF_STAGE = {
    "observe": ("broker",),
    "decide": ("quant",),
    "act": ("broker", "assets"),
    "measure": ("broker", "quant"),
}
"""The rooms whose code an asset's result depends on, by stage."""


@lru_cache
def code_version(stage: str) -> str:
    """Twelve hex digits that change when the code of a room that the stage depends on changes."""
    digest = hashlib.sha256()
    for room in sorted(ROOMS_OF_STAGE[stage]):
        for path in sorted((PACKAGE / room).rglob("*.py")):
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
