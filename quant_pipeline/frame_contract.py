"""Whether a frame keeps its contract as it is, said in a moment.

pandera says what is wrong with a frame and puts types right, at a third of a millisecond a column: twenty for the
indicators of a slot, whatever the number of rows. Nearly every frame is right as it comes. What is asked here is only
that question, with the checks that ``frames`` uses; whatever is not known to be right goes to pandera. ``frames`` calls
this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandas.api.types import pandas_dtype

BREAKS: dict[str, Callable[[pd.Series, Mapping[str, Any]], pd.Series]] = {
    "greater_than": lambda values, bounds: values <= bounds["min_value"],
    "greater_than_or_equal_to": lambda values, bounds: values < bounds["min_value"],
    "less_than_or_equal_to": lambda values, bounds: values > bounds["max_value"],
    "isin": lambda values, bounds: ~values.isin(list(bounds["allowed_values"])) & values.notna(),
}
"""Name of a check to what breaks it; a missing value breaks none."""


def keeps_contract(schema: pa.DataFrameSchema, frame: pd.DataFrame) -> bool:
    """Whether pandera would return the frame with the types and values it has; False where that takes pandera to say.

    The schema is one that names all columns in order, as those of ``frames`` do.
    """
    declared = [_dtype_named(str(column.dtype)) for column in schema.columns.values()]
    if list(frame.columns) != list(schema.columns) or list(frame.dtypes) != declared:
        return False
    missing = frame.isna().any(axis=0).to_numpy()
    for (name, column), incomplete in zip(schema.columns.items(), missing, strict=True):
        if incomplete and not column.nullable:
            return False
        if (column.unique or column.checks) and not _in_order(column, pd.Series(frame[name])):
            return False
    return not (schema.unique and bool(frame.duplicated(list(schema.unique)).any()))


def _in_order(column: pa.Column, values: pd.Series) -> bool:
    if column.unique and not values.is_unique:
        return False
    return not any(
        check.name not in BREAKS or bool(BREAKS[check.name](values, check.statistics).any()) for check in column.checks
    )


@cache
def _dtype_named(name: str) -> Any:
    # pandera calls it after its storage; what it makes of it is the plain type of pandas.
    return pandas_dtype("str" if name == "string[pyarrow]" else name)
