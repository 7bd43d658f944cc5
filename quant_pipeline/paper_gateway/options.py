"""What a paper gateway is started with, and the market and account that follow from it.

Nothing runs here: ``serve`` runs a gateway, ``embedded`` finds or starts one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path

from quant_pipeline.paper_gateway.markets.market import Market
from quant_pipeline.paper_gateway.markets.synthetic_market import DEFAULT_SEED, SyntheticMarket
from quant_pipeline.settings import EMBEDDED_CAPITAL


@dataclass(frozen=True)
class GatewayOptions:
    """Where the gateway lives and what it plays.

    Attributes:
        home: Folder of its book and of ``gateway.json``.
        port: Port on 127.0.0.1; 0 takes a free one.
        at: Exchange time to start at; None is the wall clock.
        speed: Seconds of the exchange per second of the machine.
        seed: Of the synthetic market, when no bars are given.
        bars: Parquet file of daily bars to replay instead.
        minute_bars: Parquet file of minute bars to go with them.
        cash: Dollars a new book starts with.
        idle_minutes: The gateway ends after so long without a client; None means never.
    """

    home: Path
    port: int = 0
    at: dt.datetime | None = None
    speed: float = 1.0
    seed: int = DEFAULT_SEED
    bars: Path | None = None
    minute_bars: Path | None = None
    cash: float = EMBEDDED_CAPITAL
    idle_minutes: float | None = None


def build_market(options: GatewayOptions) -> Market:
    """The market the options ask for: recorded bars where given, else the synthetic one.

    Raises:
        MarketDataFileError: A bars file is missing or malformed.
    """
    if options.bars is not None:
        # Imported here, since only a replay needs the readers of Parquet files, which take a while to load.
        from quant_pipeline.paper_gateway.markets.replayed_market import ReplayedMarket

        return ReplayedMarket(options.bars, options.minute_bars)
    return SyntheticMarket(options.seed)


def account_of(market_identity: str) -> str:
    """The paper account of a market: DU and seven digits, the same on every machine."""
    digest = hashlib.sha256(market_identity.encode()).digest()
    return f"DU{int.from_bytes(digest[:8], 'big') % 10_000_000:07d}"


def book_path(home: Path, account: str) -> Path:
    """Where the book of an account lies."""
    return home / "gateway" / account / "book.sqlite"
