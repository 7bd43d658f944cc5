"""Bid, ask and sizes around a last price: a model, because neither a seed nor recorded bars hold a book.

Both markets make their quotes here. The quoted spread is 3 basis points of the price for a stock that trades $100
million a day and moves 1.5 % a day. It grows with volatility, with the power -0.4 of dollar volume and, above $100,
with the root of the price, as few round lots of such stocks are quoted; the exponents are plausible, not fitted. It
is three times as wide at the open and back to normal after half an hour, changes from minute to minute, and now and
then is pulled wide for a minute. It is never below one tick, which is what makes cheap stocks expensive to trade.
Every value follows from the stock, the session and the second alone.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

from quant_pipeline.paper_gateway.markets.session_tape import tick_size

USUAL_SPREAD = 0.0003
USUAL_DOLLARS = 100e6
USUAL_VOLATILITY = 0.015
DEPTH_ELASTICITY = -0.4
ROUND_LOTS_QUOTED_BELOW = 100.0
PULLED_WIDE_SHARE = 0.02
LOT = 100

_MASK = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True)
class TopOfBook:
    """The best bid and ask of one stock in one session.

    Attributes:
        key: Number the noise is drawn from; differs by stock and session.
        spread: Usual quoted spread as a share of the price.
        daily_volume: Shares a usual day trades; the sizes shown follow from it.
    """

    key: int
    spread: float
    daily_volume: float

    def around(self, last: float, second: int) -> tuple[float, float, int, int, int]:
        """Bid, ask, bid size, ask size and last size at a second of the session; bid <= last <= ask, bid < ask."""
        minute = second // 60
        tick = tick_size(last)
        width = self.spread * (1.0 + 2.0 * math.exp(-second / 600)) * math.exp(1.2 * (self._noise(1, minute) - 0.5))
        if self._noise(2, minute) < PULLED_WIDE_SHARE:
            width *= 4.0
        ticks = max(1, round(width * last / tick))
        below = int(self._noise(3, second // 5) * (ticks + 1))
        bid_ticks = max(1, math.floor(last / tick + 1e-6) - below)
        ask_ticks = max(bid_ticks + ticks, math.ceil(last / tick - 1e-6))
        leaning = 1.4 * (self._noise(4, minute // 5) - 0.5) + 1.0 * (self._noise(5, second // 10) - 0.5)
        shown = self.daily_volume / 4_000
        return (
            round(bid_ticks * tick, 4),
            round(ask_ticks * tick, 4),
            _lots(shown * math.exp(leaning + self._noise(6, second // 10) - 0.5)),
            _lots(shown * math.exp(-leaning + self._noise(7, second // 10) - 0.5)),
            _lots(shown * self._noise(8, second) ** 3),
        )

    def _noise(self, purpose: int, moment: int) -> float:
        """A number in [0, 1) that looks random and is always the same (splitmix64's finaliser)."""
        mixed = (self.key + purpose * 0x9E3779B97F4A7C15 + moment * 0xD1B54A32D192ED03) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 11) * 2.0**-53


def usual_spread(price: float, daily_dollars: float, daily_volatility: float) -> float:
    """The spread to expect, as a share of the price; volatility is a fraction."""
    liquidity = max(daily_dollars, 1e4) / USUAL_DOLLARS
    by_liquidity = USUAL_SPREAD * daily_volatility / USUAL_VOLATILITY * liquidity**DEPTH_ELASTICITY
    return by_liquidity * math.sqrt(max(price / ROUND_LOTS_QUOTED_BELOW, 1.0))


def noise_key(*parts: object) -> int:
    """A number that stands for a stock, a session or a bar; the same in every process."""
    return zlib.crc32(repr(parts).encode()) << 32 | zlib.crc32(repr(parts[::-1]).encode())


def contract_ids(symbols: list[str]) -> dict[str, int]:
    """A contract id for each symbol that does not depend on which other symbols there are, collisions apart."""
    ids: dict[str, int] = {}
    taken: set[int] = set()
    for symbol in symbols:
        candidate = 1_000_000 + zlib.crc32(symbol.encode()) % 800_000_000
        while candidate in taken:
            candidate += 1
        taken.add(candidate)
        ids[symbol] = candidate
    return ids


def _lots(shares: float) -> int:
    return max(1, round(shares / LOT)) * LOT
