"""Frames for the tests of the history: any valid frame of any asset (hypothesis), and a few made by hand."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

from quant_pipeline.frames import FRAMES, validate
from quant_pipeline.history.columns import Column, columns_of

SLOT = "2026-11-20T10:15"
STARTED = dt.datetime(2026, 11, 20, 15, 15, 0, 123456, tzinfo=dt.UTC)
MADE = {"run_id": "run", "code_version": "1", "settings_hash": "abc", "inputs": (), "started_at": STARTED}
"""What ``append`` wants to know besides the frame and its slot."""

_NUMBERS = st.one_of(
    st.floats(allow_nan=False),
    st.sampled_from([0.1, -0.0, 0.0, 5e-324, 1.7976931348623157e308, math.inf, 99.99, 1 / 3]),
)
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_INSTANTS = st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC))


@st.composite
def frames_of(draw: st.DrawFn, asset: str, max_rows: int = 4) -> pd.DataFrame:
    """Any valid frame of an asset but ``bars``, rows none to ``max_rows``."""
    rows = draw(st.integers(0, max_rows))
    values = {}
    for column in columns_of(asset):
        declared = FRAMES[asset].columns[column.name]
        some = st.lists(_values(column, declared), min_size=rows, max_size=rows, unique=declared.unique)
        values[column.name] = draw(some)
    return validate(asset, pd.DataFrame(values, columns=list(values)))


def bars_of(**symbols: dict[str, float | None]) -> pd.DataFrame:
    """A bars frame from symbol to date to close; a date that ends in ``*`` is that of a partial bar."""
    rows = [
        {"symbol": symbol, "date": pd.Timestamp(date.rstrip("*")), "open": 10.0, "high": 12.0, "low": 9.0,
         "close": close, "volume": 1000.0, "partial": date.endswith("*")}
        for symbol, bars in symbols.items()
        for date, close in bars.items()
    ]  # fmt: skip
    return validate("bars", pd.DataFrame(rows, columns=list(FRAMES["bars"].columns)))


def quality_filter(*symbols: str, price: float = 10.0) -> pd.DataFrame:
    """A quality filter that all symbols pass."""
    return validate(
        "quality_filter",
        pd.DataFrame({"symbol": symbols, "price": price, "spread_pct": 0.1, "passed": True, "reason": None}),
    )


def indicators(rows: int, seed: int = 0) -> pd.DataFrame:
    """A frame of indicators with values nothing can compress."""
    random = np.random.default_rng(seed)
    names = [column.name for column in columns_of("indicators")]
    values = {name: random.normal(size=rows) for name in names[1:]}
    return validate("indicators", pd.DataFrame({"symbol": [f"S{index}" for index in range(rows)], **values}))


def _values(column: Column, declared: Any) -> st.SearchStrategy[Any]:
    statistics = {name: value for check in declared.checks for name, value in check.statistics.items()}
    if "allowed_values" in statistics:
        return st.sampled_from(statistics["allowed_values"])
    values = _values_of_type(column.arrow)
    if pa.types.is_floating(column.arrow):
        strict = any(check.name == "greater_than" for check in declared.checks)
        low, high = statistics.get("min_value", -math.inf), statistics.get("max_value", math.inf)
        values = values.filter(lambda value: low <= value <= high and not (strict and value == low))
    if pa.types.is_integer(column.arrow):
        values = st.integers(statistics.get("min_value", -(2**63)), 2**63 - 1)
    return st.one_of(st.none(), values) if declared.nullable else values


def _values_of_type(kind: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_list(kind):
        return st.lists(_values_of_type(kind.value_type), max_size=3)
    if pa.types.is_struct(kind):
        return st.fixed_dictionaries({field.name: _values_of_type(field.type) for field in kind})
    if pa.types.is_floating(kind):
        return _NUMBERS
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_timestamp(kind):
        return _INSTANTS
    return _TEXT
