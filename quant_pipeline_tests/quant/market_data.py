"""Frames for the tests of the quant room: synthetic bars and quotes from a seed, and the real data where it is.

Only the making of inputs belongs here; what must hold of the outputs is in the tests.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quant_pipeline import frames

OBSERVED_AT = dt.datetime(2026, 11, 20, 15, 15, tzinfo=dt.UTC)
TODAY = pd.Timestamp("2026-11-20")
SLOT = "2026-11-20T10:15"
REAL_DATA = Path(__file__).parents[2].parent / "shared" / "data"


def real_daily_bars() -> pd.DataFrame:
    """The real daily bars as a ``bars`` frame without partial bars; skips the test where they are absent."""
    return _real_daily_bars().copy()


@lru_cache(maxsize=1)
def _real_daily_bars() -> pd.DataFrame:
    path = REAL_DATA / "us_daily.parquet"
    if not path.is_file():
        pytest.skip("the real daily bars are not on this machine")
    raw = pd.read_parquet(path)
    return frames.validate("bars", raw.assign(date=pd.to_datetime(raw["date"]), partial=False))


def bars_from(symbol: str, closes: np.ndarray, *, seed: int = 0, volume: np.ndarray | None = None) -> pd.DataFrame:
    """Daily bars around the given closes, the last one on ``TODAY``."""
    rng = np.random.default_rng(seed)
    count = len(closes)
    opens = closes * np.exp(rng.normal(0.0, 0.004, count))
    highs = np.maximum(opens, closes) * (1.0 + rng.uniform(0.0, 0.01, count))
    lows = np.minimum(opens, closes) * (1.0 - rng.uniform(0.0, 0.01, count))
    shares = rng.integers(1_000_000, 5_000_000, count).astype(float) if volume is None else volume
    return _frame(symbol, opens, highs, lows, closes, shares)


def walk(count: int, *, start: float = 100.0, drift: float = 0.0, daily: float = 0.02, seed: int = 0) -> np.ndarray:
    """Closes of a geometric random walk."""
    steps = np.random.default_rng(seed).normal(drift, daily, count)
    return start * np.exp(np.cumsum(steps))


def flat_bars(symbol: str, count: int, *, price: float = 50.0, volume: float = 1e6) -> pd.DataFrame:
    """Bars of a stock that did not move at all."""
    level = np.full(count, price)
    return _frame(symbol, level, level, level, level, np.full(count, volume))


def market(count: int = 12, length: int = 260, *, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bars and quotes of a small market of random walks."""
    rng = np.random.default_rng(seed)
    names = [f"S{index:03d}" for index in range(count)]
    bars = pd.concat(
        [
            bars_from(
                name, walk(length, start=rng.uniform(20, 300), drift=rng.normal(0, 0.002), seed=seed + at), seed=at
            )
            for at, name in enumerate(names)
        ],
        ignore_index=True,
    )
    return frames.validate("bars", bars), quotes_for(bars, seed=seed)


def quotes_for(bars: pd.DataFrame, *, seed: int = 0, spread_pct: float = 0.04) -> pd.DataFrame:
    """A fresh quote around the last close of every symbol."""
    rng = np.random.default_rng(seed)
    last = bars.sort_values("date").groupby("symbol", as_index=False).last()
    half = last["close"] * spread_pct / 200.0
    return frames.validate(
        "quotes",
        pd.DataFrame(
            {
                "symbol": last["symbol"],
                "bid": last["close"] - half,
                "ask": last["close"] + half,
                "last": last["close"],
                "bid_size": rng.integers(1, 30, len(last)) * 100.0,
                "ask_size": rng.integers(1, 30, len(last)) * 100.0,
                "open": last["open"],
                "high": last["high"],
                "low": last["low"],
                "previous_close": last["close"],
                "volume": last["volume"],
                "halted": False,
                "shortable": True,
                "quoted_at": OBSERVED_AT - pd.Timedelta(seconds=2),
                "observed_at": OBSERVED_AT,
            }
        ),
    )


def universe_of(quotes: pd.DataFrame) -> pd.DataFrame:
    """A ``universe`` frame in the order of the quotes."""
    rank = np.arange(1, len(quotes) + 1)
    columns = {
        "rank": rank,
        "symbol": quotes["symbol"],
        "con_id": rank,
        "exchange": "SMART",
        "scan_code": "MOST_ACTIVE",
    }
    return frames.validate("universe", pd.DataFrame(columns))


def account_of(capital: float = 100_000.0, deployed: float = 0.0, daily_pnl: float = 0.0) -> pd.DataFrame:
    """An ``account`` frame."""
    row = {
        "account": "DU1",
        "net_liquidation": capital,
        "capital": capital,
        "deployed": deployed,
        "available": max(capital - deployed, 0.0),
        "realized_pnl": 0.0,
        "unrealized_pnl": 0.0,
        "daily_pnl": daily_pnl,
        "read_at": OBSERVED_AT,
    }
    return frames.validate("account", pd.DataFrame([row]))


def portfolio_of(*positions: tuple[str, float, float, float]) -> pd.DataFrame:
    """A ``portfolio`` frame of (symbol, quantity, average price, market price)."""
    rows = [
        {
            "symbol": symbol,
            "con_id": place,
            "quantity": quantity,
            "average_price": average,
            "market_price": price,
            "market_value": quantity * price,
            "unrealized_pnl": quantity * (price - average),
        }
        for place, (symbol, quantity, average, price) in enumerate(positions, start=1)
    ]
    return frames.validate("portfolio", pd.DataFrame(rows)) if rows else frames.empty("portfolio")


def orders_of(*orders: tuple[int, int, str, str, str, float, float]) -> pd.DataFrame:
    """A ``working_orders`` frame of (perm id, parent, symbol, action, type, price, shares)."""
    rows = [
        {
            "perm_id": perm_id,
            "order_ref": None,
            "parent_perm_id": parent,
            "client_id": 17,
            "symbol": symbol,
            "action": action,
            "order_type": order_type,
            "price": price,
            "quantity": shares,
            "remaining": shares,
            "status": "Submitted",
        }
        for perm_id, parent, symbol, action, order_type, price, shares in orders
    ]
    return frames.validate("working_orders", pd.DataFrame(rows)) if rows else frames.empty("working_orders")


def _frame(
    symbol: str, opens: np.ndarray, highs: np.ndarray, lows: np.ndarray, closes: np.ndarray, volume: np.ndarray
) -> pd.DataFrame:
    dates = pd.bdate_range(end=TODAY, periods=len(closes)).as_unit("us")
    columns = {"open": opens, "high": highs, "low": lows, "close": closes, "volume": volume}
    return pd.DataFrame({"symbol": symbol, "date": dates, **columns, "partial": False})
