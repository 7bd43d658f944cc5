"""What a paper gateway starts with where nothing else is said.

Apart from ``options``, since the settings name the same values and must not load a gateway for them.
"""

from __future__ import annotations

DEFAULT_SEED = 7
"""Of the synthetic market."""

STARTING_CASH = 100_000.0
"""Dollars in a new book."""
