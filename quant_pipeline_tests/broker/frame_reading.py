"""Two words for assertions about frames, typed where pandas leaves open what an expression is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def every(condition: Any) -> bool:
    """Whether a condition holds for each value of a column or frame; never for none at all."""
    values = np.asarray(condition, dtype=bool)
    assert values.size, "the condition was put to no value"
    return bool(values.all())


def rows(frame: pd.DataFrame, condition: Any) -> pd.DataFrame:
    """The rows of a frame for which a condition holds, numbered anew."""
    return pd.DataFrame(frame.loc[condition]).reset_index(drop=True)
