"""Both kinds of arithmetic for full histories, and every evaluation of the table; numba's are skipped without numba."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from quant_pipeline.quant.indicators.history import indicator_history
from quant_pipeline.quant.indicators.latest import latest_values


@pytest.fixture(scope="session", params=["rolling", "compiled"])
def arithmetic(request: pytest.FixtureRequest) -> ModuleType:
    """What works the full history out."""
    return _module(request.param)


@pytest.fixture(scope="session", params=["latest", "rolling", "compiled"])
def evaluate(request: pytest.FixtureRequest) -> Callable[..., np.ndarray]:
    """From a panel and its quotes to values, of the latest bar or of all."""
    if request.param == "latest":
        return latest_values
    arithmetic = _module(request.param)
    return lambda panel, quotes: indicator_history(panel, quotes, arithmetic=arithmetic).array()


def _module(name: str) -> ModuleType:
    if name == "compiled":
        pytest.importorskip("numba", reason="the extra 'fast' is not installed")
    return importlib.import_module(f"quant_pipeline.quant.indicators.{name}")
