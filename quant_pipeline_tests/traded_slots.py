"""A home with a real past: two slots traded at a paper gateway, the first of them decided again under other settings.

Made once for all tests that look back at it; a test that changes something takes a copy.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from quant_pipeline.settings import Settings
from quant_pipeline_tests.assets.decided_slot import materialise
from quant_pipeline_tests.broker.conftest import running_gateway

FIRST, SECOND = "2026-11-20T10:15", "2026-11-20T10:30"
HALF = {"max_utilization_pct": 50.0}
SMALLER = {"max_position_pct": 3.0}
STOCKS = {"size": 40}
"""Enough for every kind of fill and refusal; a hundred copies of the home are verified."""


@dataclass(frozen=True)
class TradedSlots:
    """The home, the settings each slot was traded under, and those the first was decided again under."""

    home: Path
    settings: dict[str, Settings]
    other_settings: Settings

    def copy(self, home: Path) -> Path:
        """A home of the test's own with the same history and journal."""
        shutil.copytree(self.home / "working", home / "working")
        for file in self.home.glob("orders.sqlite*"):
            shutil.copy(file, home)
        return home


def trade(folder: Path) -> TradedSlots:
    """Trade the two slots; 10:15 is decided again while it is 10:30, so that nothing is sent for it.

    The first uses half of the capital only, so that there is something left for the second.
    """
    home = folder / "home"
    with running_gateway(folder / "gateway") as gateway:
        first = gateway.settings(home=home, risk=HALF, universe=STOCKS)
        materialise(first, slot=FIRST)
    with running_gateway(folder / "gateway", at=f"{SECOND}:00") as gateway:
        other = gateway.settings(home=home, risk=SMALLER, universe=STOCKS)
        second = gateway.settings(home=home, universe=STOCKS)
        materialise(other, slot=FIRST)
        materialise(second, slot=SECOND)
    return TradedSlots(home, {FIRST: first, SECOND: second}, other)
