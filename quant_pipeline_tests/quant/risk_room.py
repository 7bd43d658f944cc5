"""What tests of the risk manager share: offers, bars that move together or apart, and one call that sizes them.

Only inputs are made here; what must hold of the answers is in the tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from quant_pipeline import frames
from quant_pipeline.quant import PortfolioRiskManager
from quant_pipeline.settings import RiskSettings
from quant_pipeline_tests.quant.market_data import SLOT, TODAY, account_of, orders_of, portfolio_of

NONE = portfolio_of()
NO_ORDERS = orders_of()
NO_BARS = frames.empty("bars")
DATES = pd.bdate_range(end=TODAY, periods=300).to_numpy().astype("datetime64[us]")
OFFERED = ["symbol", "direction", "total_score", "entry_price", "stop_price", "target_price"]


def offers(*rows: tuple[str, float, float, float]) -> pd.DataFrame:
    """Score rows of (symbol, score, entry, stop); the direction follows from the stop."""
    return pd.DataFrame(
        [
            {
                "symbol": symbol,
                "direction": "LONG" if stop <= entry else "SHORT",
                "total_score": score,
                "entry_price": entry,
                "stop_price": stop,
                "target_price": max(entry + 2.5 * (entry - stop), 0.01),
            }
            for symbol, score, entry, stop in rows
        ],
        columns=OFFERED,
    )


def size(
    rows: pd.DataFrame,
    account: pd.DataFrame | None = None,
    portfolio: pd.DataFrame = NONE,
    working: pd.DataFrame = NO_ORDERS,
    bars: pd.DataFrame = NO_BARS,
    **limits: object,
) -> pd.DataFrame:
    """What the risk manager says of the offers, in frames that keep their contract."""
    made = sized(rows, account_of() if account is None else account, portfolio, working, bars, **limits)
    return frames.validate("sized_orders", made)


def sized(
    rows: pd.DataFrame,
    account: pd.DataFrame,
    portfolio: pd.DataFrame,
    working: pd.DataFrame,
    bars: pd.DataFrame,
    **limits: object,
) -> pd.DataFrame:
    """The same for frames that need not keep theirs."""
    manager = PortfolioRiskManager(RiskSettings.model_validate(limits))
    return manager.size(rows, account, portfolio, working, bars, SLOT)


def refusal(*args: Any, **kwargs: Any) -> str:
    """The reason the only offer is refused; takes what ``size`` takes."""
    (row,) = size(*args, **kwargs).to_dict("records")
    assert not row["approved"]
    assert row["quantity"] == row["risk_amount"] == row["position_value"] == 0
    return row["reason"]


def limits_of(made: pd.DataFrame, row: int = 0) -> dict[str, dict[str, Any]]:
    """The recorded limits of a row by their names."""
    return {each["limit"]: each for each in made["limits"].iloc[row]}


def figure_of(made: pd.DataFrame, limit: str, row: int = 0) -> float:
    """The figure a row records beside a limit."""
    return limits_of(made, row)[limit]["figure"]


def allowed_by(made: pd.DataFrame, limit: str, row: int = 0) -> float:
    """What a row records as allowed by a limit."""
    return limits_of(made, row)[limit]["allowed"]


def moving(*series: tuple[str, np.ndarray], partial_last: bool = False) -> pd.DataFrame:
    """A ``bars`` frame from (symbol, daily log returns), the last bar on ``TODAY``; NaN leaves a day out."""
    if not series:
        return NO_BARS
    there = [np.concatenate([[True], np.isfinite(returns)]) for _, returns in series]
    dates = [DATES[-len(mask) :][mask] for mask in there]
    closes = [
        50.0 * np.exp(np.concatenate([[0.0], np.nan_to_num(returns)]).cumsum())[mask]
        for (_, returns), mask in zip(series, there, strict=True)
    ]
    close = np.concatenate(closes)
    date = np.concatenate(dates)
    return pd.DataFrame(
        {
            "symbol": pd.Series(
                np.repeat([symbol for symbol, _ in series], [len(each) for each in dates]), dtype="str"
            ),
            "date": date,
            **dict.fromkeys(("open", "high", "low", "close"), close),
            "volume": 1e6,
            "partial": partial_last & (date == DATES[-1]),
        }
    )
