"""How a session's volume is usually spread over the day, to compare a partial day with whole ones.

Only the curve and its use on a partial day's volume belong here; which bars are partial is the ``bars`` frame's to say,
and how far the session has come is the caller's. ``bar_panel`` calls it.

The curve is an opening auction, a density that falls from the open and rises into the close, and a closing auction. Its
constants were fitted to the median cumulative volume of 1 040 symbol-days (104 US stocks, the ten sessions from
2018-02-16 to 2018-03-02, minute bars): at every quarter of an hour the fit lies within 4 % of that median. Progress is
a share of the session's length, so that a half day has the same shape.
"""

from __future__ import annotations

import math

import numpy as np

from quant_pipeline.errors import UsageError

OPENING_AUCTION = 0.0065
CLOSING_AUCTION = 0.042
MORNING_DENSITY, MORNING_DECAY = 1.4, 0.083
AFTERNOON_DENSITY, AFTERNOON_DECAY = 3.3, 0.044

FIRST_MINUTE = 1 / 390
"""Before this progress a partial day's volume says nothing."""


def usual_volume_share(session_progress: float) -> float:
    """The share of a day's volume that has usually been traded at a point of the session.

    Args:
        session_progress: Elapsed share of the session, 0 at the open to 1 at the close; values outside count as these.

    Returns:
        A share, rising from the opening auction's at 0 to 1 at the close, where the closing auction is in it.

    Raises:
        UsageError: The progress is not a number.
    """
    if math.isnan(session_progress):
        raise UsageError("The session progress is not a number; give the elapsed share of the session, 0 to 1.")
    if session_progress >= 1.0:
        return 1.0
    progress = max(session_progress, 0.0)
    even_density = 1.0 - OPENING_AUCTION - CLOSING_AUCTION - _ends_of_day(1.0)
    return OPENING_AUCTION + even_density * progress + _ends_of_day(progress)


def paced_volume(traded: np.ndarray, usual: np.ndarray, session_progress: float) -> np.ndarray:
    """What a partial day's volume comes to at the close if the day goes on as days usually do.

    In the first minute, when nothing can be said yet, it is the usual volume.

    Args:
        traded: Shares traded in the session so far, one a symbol.
        usual: Shares of a usual day, one a symbol.
        session_progress: Elapsed share of the session, 0-1.

    Returns:
        Shares of the whole day, one a symbol.
    """
    if session_progress < FIRST_MINUTE:
        return usual.copy()
    return traded / usual_volume_share(session_progress)


def _ends_of_day(progress: float) -> float:
    """Share from the extra density of morning and afternoon, the integral of two exponentials."""
    morning = MORNING_DENSITY * MORNING_DECAY * (1.0 - math.exp(-progress / MORNING_DECAY))
    afternoon = math.exp(-(1.0 - progress) / AFTERNOON_DECAY) - math.exp(-1.0 / AFTERNOON_DECAY)
    return morning + AFTERNOON_DENSITY * AFTERNOON_DECAY * afternoon
