"""Bars on which the indicators are held against their oracles: ordinary, adversarial, and short ones, from seeds.

Only inputs are made here: sets of a few symbols under a name that says what is odd about them, and hypothesis's
strategies. All are ``bars`` frames.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from quant_pipeline_tests.quant.market_data import bars_from, flat_bars, walk

LENGTHS = (1, 2, 5, 9, 10, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 25, 26, 27, 28, 33, 34, 35, 49, 50, 54, 55, 60, 119)
LONG_LENGTHS = (120, 121, 199, 200, 204, 205, 230, 239, 240, 241, 251, 252, 253, 254, 299, 300)


def _walks(lengths: tuple[int, ...], **how: float) -> pd.DataFrame:
    return pd.concat([bars_from(f"W{n:04d}", walk(n, seed=n, **how), seed=n) for n in lengths])


def _jumps() -> pd.DataFrame:
    up, down, both = walk(300, seed=3), walk(300, seed=4), walk(300, seed=5)
    up[140:] *= 1e5
    down[140:] /= 1e5
    both[100:180] *= 1e5
    closes = {"UP": up, "DOWN": down, "BOTH": both, "CALM": walk(300, seed=6)}
    return pd.concat([bars_from(symbol, own, seed=at) for at, (symbol, own) in enumerate(closes.items())])


def _stopped() -> pd.DataFrame:
    """Trading that stops for good, that begins late, and that pauses; while it rests, all prices are the last one."""
    resting = {"STOP": slice(150, 252), "START": slice(0, 150), "PAUSE": slice(100, 160)}
    frames = []
    for at, (symbol, rest) in enumerate(resting.items()):
        closes = walk(252, start=40.0, seed=at + 5)
        closes[rest] = closes[max(rest.start - 1, 0)]
        bars = bars_from(symbol, closes, seed=at)
        for field in ("open", "high", "low"):
            bars.loc[bars.index[rest], field] = closes[rest]
        frames.append(bars)
    return pd.concat(frames)


def _flat() -> pd.DataFrame:
    """Prices and volumes that no binary fraction hits are flat all the same."""
    return pd.concat(
        [
            flat_bars("FLAT", 300),
            flat_bars("TENTH", 300, price=33.1, volume=1_234_567.1),
            flat_bars("CENTS", 300, price=0.0123, volume=7.3),
            flat_bars("EMPTY", 300, volume=0.0),
        ]
    )


def _volumes() -> pd.DataFrame:
    """No volume at all, none for a month, a hundred shares now and then, and the same every day."""
    random = np.random.default_rng(1)
    paused = random.integers(1_000_000, 5_000_000, 300).astype(float)
    paused[120:145] = 0.0
    volumes = {
        "NONE": np.zeros(300),
        "PAUSED": paused,
        "RARE": np.where(random.random(300) < 0.05, 100.0, 0.0),
        "EVEN": np.full(300, 1_234_567.1),
        "HUGE": random.uniform(1e10, 1e12, 300),
        "TINY": random.uniform(0.01, 0.02, 300),
    }
    return pd.concat([bars_from(symbol, walk(300, seed=7), volume=own) for symbol, own in volumes.items()])


def _few_cents() -> pd.DataFrame:
    """A handful of shares of a stock below a cent: a fortnight's money flow is less than a dollar."""
    random = np.random.default_rng(2)
    volume = random.integers(1, 5, 120).astype(float)
    return pd.concat([bars_from(f"C{at}", walk(120, start=0.004, seed=at), volume=volume) for at in range(3)])


def _no_range() -> pd.DataFrame:
    """Bars whose high is their low: every one, and every third."""
    closes = walk(300, seed=8)
    point, mixed = bars_from("POINT", closes), bars_from("MIXED", closes)
    for field in ("open", "high", "low"):
        point[field] = point["close"]
        mixed.loc[::3, field] = mixed.loc[::3, "close"]
    return pd.concat([point, mixed])


def _trends() -> pd.DataFrame:
    """Hundreds of bars in one direction: a strength of 100 or 0, a direction without doubt."""
    rising = 20.0 * 1.01 ** np.arange(400)
    closes = {"RISE": rising, "FALL": rising[::-1].copy(), "TURN": np.concatenate([rising[:200], rising[199::-1]])}
    return pd.concat([bars_from(symbol, own) for symbol, own in closes.items()])


def _gaps() -> pd.DataFrame:
    """Bars that lack a price or the volume, one here, a fortnight there, the first and the last."""
    bars = bars_from("GAPS", walk(300, seed=9))
    bars.loc[120, "close"] = np.nan
    bars.loc[200:210, "volume"] = np.nan
    bars.loc[[0, 299], "high"] = np.nan
    return pd.concat([bars, bars_from("WHOLE", walk(300, seed=10))])


Prices = st.floats(1e-4, 1e6)
Volumes = st.one_of(st.just(0.0), st.floats(0.0, 1e12))


@st.composite
def any_bars(draw: st.DrawFn) -> pd.DataFrame:
    """Bars of up to four symbols with any prices at all, the high highest and the low lowest."""
    frames = []
    for at in range(draw(st.integers(1, 4))):
        count = draw(st.integers(1, 70))
        rows = draw(st.lists(st.tuples(Prices, Prices, Prices, Prices, Volumes), min_size=count, max_size=count))
        values = np.array(rows)
        closes, volume = values[:, 0], values[:, 4]
        frame = bars_from(f"A{at}", closes, volume=volume)
        frames.append(frame.assign(open=values[:, 1], high=values[:, :4].max(axis=1), low=values[:, :4].min(axis=1)))
    return pd.concat(frames)


@st.composite
def bars_on_a_grid(draw: st.DrawFn) -> pd.DataFrame:
    """Bars that move by hundredths of their scale, rest for a few days, or jump by powers of ten.

    Closes that differ in their last bits only make a z-score a matter of rounding, in any implementation; so does half
    a year of rest for what is measured in true ranges, of which nothing is left by then.
    """
    frames = []
    for at in range(draw(st.integers(1, 4))):
        count = draw(st.integers(1, 300))
        random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        scale, busy = draw(st.sampled_from([1e-2, 1.0, 97.3, 1e4])), draw(st.sampled_from([0.3, 0.6, 1.0]))
        steps = np.where(random.random(count) < busy, random.integers(-3, 4, count), 0)
        closes = scale * (1.0 + np.abs(100 + np.cumsum(steps)) / 100.0)
        closes[count // 2 :] *= 10.0 ** draw(st.integers(-5, 5))
        volume = np.where(random.random(count) < busy, random.integers(0, 5_000_000, count), 0).astype(float)
        frame = bars_from(f"G{at}", closes, seed=at, volume=volume)
        if draw(st.booleans()):
            frame = frame.assign(open=closes, high=closes, low=closes)
        frames.append(frame)
    return pd.concat(frames)


BAR_SETS: dict[str, Callable[[], pd.DataFrame]] = {
    "short histories": lambda: _walks(LENGTHS),
    "histories about a year": lambda: _walks(LONG_LENGTHS),
    "five years": lambda: _walks((1260, 1259, 800)),
    "below a dollar": lambda: _walks((300, 252, 60), start=0.004),
    "prices of a hundred thousand": lambda: _walks((300, 252, 60), start=250_000.0),
    "hardly moving": lambda: _walks((300, 252), daily=1e-5),
    "jumps of a hundred thousand times": _jumps,
    "stopped trading": _stopped,
    "flat prices": _flat,
    "odd volumes": _volumes,
    "money flows below a dollar": _few_cents,
    "bars without a range": _no_range,
    "one-sided trends": _trends,
    "gaps": _gaps,
}
