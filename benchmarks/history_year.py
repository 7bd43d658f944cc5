"""What a year in the history costs: size of a slot, time of an append, of an as-of frame and of a publication.

Appends generated slots (100 symbols, a session of 26) through the real path, and compares the last with a new history.
Run it from the project's root: ``python benchmarks/history_year.py [--slots 500]``; a whole year is 6552 slots.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from quant_pipeline.frames import FRAMES
from quant_pipeline.history.store import History, Materialization
from quant_pipeline.quant.technical_indicators import INDICATORS

Result = TypeVar("Result")

SYMBOLS = 100
POOL = 130
BARS = 252
SESSION = 26
COMPARED = 10
SOURCE = "DU1234567"
FIRST_SESSION = dt.date(2026, 1, 5)
SIGNALS = ("RSI 14", "MACD histogram", "Stochastic %K", "Z-score 20", "Bollinger %b", "Volume ratio", "CMF 20",
           "Spread", "Quote imbalance", "ADX 14", "Williams %R", "ROC 10")  # fmt: skip
VERDICTS = ("is oversold and turning", "points up", "has crossed its signal", "is stretched below its mean", "is tight")


class Market:
    """Random walks of a pool of symbols, and the frames a slot would record of them."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.names = [f"SYM{index:03d}" for index in range(POOL)]
        walk = np.exp(np.cumsum(self.random.standard_t(4, (POOL, BARS)) * 0.012, axis=1))
        self.closes = (self.random.uniform(8, 400, (POOL, 1)) * walk).round(2)
        spread = np.abs(self.random.normal(0, 0.01, (3, POOL, BARS)))
        self.opens = (self.closes * (1 + spread[0] - 0.008)).round(2)
        self.highs = (np.maximum(self.closes, self.opens) * (1 + spread[1])).round(2)
        self.lows = (np.minimum(self.closes, self.opens) * (1 - spread[2])).round(2)
        self.volumes = self.random.lognormal(15, 1, (POOL, BARS)).round()
        self.dates = pd.bdate_range(end=pd.Timestamp(FIRST_SESSION), periods=BARS)
        self.members = self.random.permutation(POOL)[:SYMBOLS]

    def next_session(self, day: dt.date) -> None:
        """Yesterday's bars are final; a new, empty one begins for everybody."""
        self.dates = pd.DatetimeIndex([*self.dates[1:], pd.Timestamp(day)])
        for series in (self.opens, self.highs, self.lows, self.closes, self.volumes):
            series[:, :-1] = series[:, 1:]
        self.volumes[:, -1] = 0
        for series in (self.opens, self.highs, self.lows):
            series[:, -1] = self.closes[:, -1]

    def next_slot(self) -> None:
        """Prices move, a few symbols enter and leave the most active."""
        self.closes[:, -1] = (self.closes[:, -1] * (1 + self.random.normal(0, 0.003, POOL))).round(2)
        self.highs[:, -1] = np.maximum(self.highs[:, -1], self.closes[:, -1])
        self.lows[:, -1] = np.minimum(self.lows[:, -1], self.closes[:, -1])
        self.volumes[:, -1] += self.random.lognormal(12, 1, POOL).round()
        outside = np.setdiff1d(np.arange(POOL), self.members)
        self.members[self.random.integers(SYMBOLS)] = self.random.choice(outside)
        self.members = self.random.permutation(self.members)

    def frames(self, slot: str, now: dt.datetime) -> dict[str, pd.DataFrame]:
        """Every frame of a slot, of the sizes a working account has."""
        random, price = self.random, self.closes[self.members, -1]
        names = np.array(self.names)[self.members]
        half_spread = np.maximum((price * random.uniform(0.0002, 0.0009, SYMBOLS)).round(2), 0.01)
        passed = random.random(SYMBOLS) < 0.85
        traded, at = names[passed], price[passed]
        long = random.random(len(traded)) < 0.5
        sign = np.where(long, 1.0, -1.0)
        atr = at * random.uniform(0.01, 0.04, len(traded))
        components = {
            f"{name}_score": random.uniform(20, 95, len(traded))
            for name in ("momentum", "mean_reversion", "volatility", "volume", "microstructure")
        }
        scores = pd.DataFrame({
            "symbol": traded, "direction": np.where(long, "LONG", "SHORT"), **components,
            "total_score": np.sort(np.mean(list(components.values()), axis=0))[::-1],
            "opposite_score": random.uniform(10, 60, len(traded)), "entry_price": at,
            "stop_price": (at - sign * atr * 1.6).round(2), "target_price": (at + sign * atr * 4).round(2), "atr": atr,
            "win_probability": random.uniform(0.2, 0.45, len(traded)),
            "expected_return_pct": random.normal(0.3, 0.5, len(traded)),
            "confidence": random.uniform(30, 90, len(traded)),
            "key_signals": [self._signals() for _ in traded],
            "missing_signals": [["obv_slope_20"] if new else [] for new in random.random(len(traded)) < 0.05],
            "settings_hash": "0123456789abcdef",
        })  # fmt: skip
        chosen = scores.head(55)
        approved = np.arange(len(chosen)) < 10
        quantity = np.where(approved, (5000 / chosen["entry_price"]).astype(int), 0)
        refs = [f"{slot}:{symbol}:entry" for symbol in chosen["symbol"]]
        held = names[:45]
        return {
            "universe": pd.DataFrame({
                "rank": np.arange(1, SYMBOLS + 1), "symbol": names, "con_id": self.members + 265598,
                "exchange": "NASDAQ", "scan_code": "MOST_ACTIVE",
            }),
            "quotes": pd.DataFrame({
                "symbol": names, "bid": price - half_spread, "ask": price + half_spread, "last": price,
                "bid_size": random.integers(1, 40, SYMBOLS) * 100.0,
                "ask_size": random.integers(1, 40, SYMBOLS) * 100.0,
                "open": self.opens[self.members, -1], "high": self.highs[self.members, -1],
                "low": self.lows[self.members, -1], "previous_close": self.closes[self.members, -2],
                "volume": self.volumes[self.members, -1], "halted": False,
                "shortable": pd.array(random.random(SYMBOLS) < 0.9, dtype="boolean"),
                "quoted_at": pd.to_datetime([now] * SYMBOLS), "observed_at": now,
            }),
            "quality_filter": pd.DataFrame({
                "symbol": names, "price": price, "spread_pct": 2 * half_spread / price * 100, "passed": passed,
                "reason": [None if ok else "Spread of 0.21 % is not below 0.15 %" for ok in passed],
            }),
            "bars": self._bars(),
            "account": pd.DataFrame({
                "account": [SOURCE], "net_liquidation": [101234.56], "capital": [100000.0], "deployed": [89000.12],
                "available": [10999.88], "realized_pnl": [12.34], "unrealized_pnl": [56.78], "daily_pnl": [34.56],
                "read_at": [now],
            }),
            "portfolio": pd.DataFrame({
                "symbol": held, "con_id": self.members[:45], "quantity": random.integers(-50, 50, 45) * 1.0,
                "average_price": random.uniform(8, 400, 45), "market_price": price[:45],
                "market_value": random.normal(0, 2000, 45), "unrealized_pnl": random.normal(0, 50, 45),
            }),
            "working_orders": pd.DataFrame({
                "perm_id": np.arange(90) + 1_000_000_000,
                "order_ref": [f"{slot}:{name}:stop" for name in np.tile(held, 2)], "parent_perm_id": 0,
                "client_id": 18, "symbol": np.tile(held, 2), "action": "SELL", "order_type": "STP",
                "price": np.tile(price[:45], 2), "quantity": 10.0, "remaining": 10.0, "status": "PreSubmitted",
            }),
            "fills": pd.DataFrame({
                "exec_id": [f"0000e1a7.{slot}.{index:02d}.01" for index in range(15)], "order_ref": refs[:15],
                "perm_id": np.arange(15) + 1_000_000_000, "symbol": names[:15], "side": "BUY", "quantity": 10.0,
                "price": price[:15], "commission": 1.0, "filled_at": now,
            }),
            "indicators": pd.DataFrame({
                "symbol": traded, **{indicator.name: random.normal(size=len(traded)) for indicator in INDICATORS},
            }),
            "scores": scores,
            "sized_orders": pd.DataFrame({
                **{name: chosen[name] for name in ("symbol", "direction")}, "quantity": quantity,
                **{name: chosen[name] for name in ("entry_price", "stop_price", "target_price")},
                "risk_amount": quantity * 3.21, "position_value": quantity * chosen["entry_price"],
                "approved": approved,
                "reason": [None if ok else "Utilisation would be 91.2 %, the limit is 90 %" for ok in approved],
                "order_ref": refs,
            }),
            "executions": pd.DataFrame({
                "order_ref": [f"{slot}:{name}:{leg}" for name in names[:10] for leg in ("entry", "stop", "target")],
                "symbol": np.repeat(names[:10], 3), "leg": np.tile(["entry", "stop", "target"], 10),
                "action": "BUY", "order_type": np.tile(["LMT", "STP", "LMT"], 10),
                "price": random.uniform(8, 400, 30).round(2),
                "quantity": 10, "perm_id": np.arange(30) + 1_000_000_000, "status": "working", "filled_quantity": 0.0,
                "average_fill_price": np.nan, "outcome": "sent", "reason": None,
            }),
            "portfolio_status": pd.DataFrame({
                "capital": [100000.0], "deployed": [89000.12], "available": [10999.88], "utilization_pct": [89.0],
                "positions": [45], "long": [25], "short": [20], "working_entries": [3], "total_risk": [4200.0],
                "total_risk_pct": [4.2], "unrealized_pnl": [56.78], "daily_pnl": [34.56], "long_value": [49000.06],
                "short_value": [40000.06], "gross_exposure_pct": [89.0], "net_exposure_pct": [9.0],
                "observed_at": [now],
                "open_positions": [[{
                    "symbol": name, "direction": "LONG", "quantity": 10.0, "entry": 10.01, "current": 11.02,
                    "stop": 9.03, "target": 14.04, "unrealized_pnl": 10.05, "unrealized_pct": 10.06,
                } for name in held[:10]]],
            }),
        }  # fmt: skip

    def _signals(self) -> list[dict[str, object]]:
        values = self.random.normal(0, 30, 10)
        shares = np.sort(self.random.uniform(0.5, 9, 10))[::-1]
        return [
            {"name": name, "value": value, "contribution": share, "text": f"{name} at {value:.2f} {verdict}"}
            for name, value, share, verdict in zip(
                self.random.permutation(SIGNALS)[:10], values, shares, self.random.choice(VERDICTS, 10), strict=True
            )
        ]

    def _bars(self) -> pd.DataFrame:
        members = self.members
        return pd.DataFrame({
            "symbol": np.repeat(np.array(self.names)[members], BARS), "date": np.tile(self.dates, SYMBOLS),
            "open": self.opens[members].ravel(), "high": self.highs[members].ravel(), "low": self.lows[members].ravel(),
            "close": self.closes[members].ravel(), "volume": self.volumes[members].ravel(),
            "partial": np.tile(np.arange(BARS) == BARS - 1, SYMBOLS),
        })  # fmt: skip


def main() -> None:
    """Append the slots, print what they cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=500, help="slots to append, more than 10; a year has 6552")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--publish-every", type=int, default=1, help="slots between publications")
    parser.add_argument("--home", type=Path, help="an empty directory to keep the result in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run(options.home or Path(scratch), options.slots, options.seed, options.publish_every)


def run(home: Path, slots: int, seed: int, publish_every: int) -> None:
    """Append ``slots`` slots below ``home``; print sizes, and times beside those of a history that is new.

    The two take turns with the same frames, so that what else the machine does weighs on both.
    """
    history, fresh, market = History(home / "long"), History(home / "fresh"), Market(seed)
    sessions = [stamp.date() for stamp in pd.bdate_range(FIRST_SESSION, periods=slots // SESSION + 1)]
    took: dict[str, list[float]] = defaultdict(list)
    took_fresh: dict[str, list[float]] = defaultdict(list)
    bars: list[Materialization] = []
    sizes = []
    for index in range(slots):
        slot = _slot(sessions, index)
        if index % SESSION == 0 and index:
            market.next_session(sessions[index // SESSION])
        market.next_slot()
        for asset, frame in market.frames(slot, dt.datetime(2026, 1, 5, 15, tzinfo=dt.UTC)).items():
            made = _timed(took[asset], partial(_append, history, asset, frame, slot))
            if asset == "bars":
                bars.append(made)
            if slots - index <= COMPARED:
                _timed(took_fresh[asset], partial(_append, fresh, asset, frame, slot))
        if (index + 1) % publish_every == 0:
            _timed(took["publish"], history.publish)
            if slots - index <= COMPARED:
                _timed(took_fresh["publish"], fresh.publish)
        sizes.append(history.published.stat().st_size if history.published.exists() else 0)
    half = slots // 2
    print(f"{slots} slots, {sizes[-1] / 1e6:.1f} MB")
    print(f"a slot of the second half takes {(sizes[-1] - sizes[half]) / (slots - 1 - half) / 1e3:.1f} kB (limit 100)")
    for name, times in took_fresh.items():
        # The first slot of a new history stores a year of bars.
        new, old = (statistics.median(part[1 - COMPARED :]) * 1e3 for part in (times, took[name]))
        print(f"{name:16} {old:7.1f} ms, in a new history {new:7.1f} ms, ratio {old / new:.2f}")
    for made in (bars[0], bars[half], bars[-1]):
        reading: list[float] = []
        for _ in range(5):
            _timed(reading, partial(history.frame, made.id))
        print(f"bars as of {made.slot}: {statistics.median(reading) * 1e3:.1f} ms (limit 200)")


def _slot(sessions: list[dt.date], index: int) -> str:
    opens = dt.datetime.combine(sessions[index // SESSION], dt.time(9, 30))
    return (opens + dt.timedelta(minutes=15) * (index % SESSION)).strftime("%Y-%m-%dT%H:%M")


def _append(history: History, asset: str, frame: pd.DataFrame, slot: str) -> Materialization:
    return history.append(
        asset, frame.reindex(columns=list(FRAMES[asset].columns)), slot=slot, run_id=f"run-of-{slot}",
        code_version="1", settings_hash="0123456789abcdef", inputs=(), started_at=dt.datetime.now(dt.UTC),
        source=SOURCE if asset == "bars" else None,
    )  # fmt: skip


def _timed(into: list[float], work: Callable[[], Result]) -> Result:
    began = time.perf_counter()
    result = work()
    into.append(time.perf_counter() - began)
    return result


if __name__ == "__main__":
    main()
