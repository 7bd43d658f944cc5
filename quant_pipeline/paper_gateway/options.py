"""What a paper gateway is started with, and the market and account that follow from it.

Nothing runs here: ``cli.gateway_command`` reads them, ``serve`` runs a gateway, ``embedded`` finds or starts one.
Markets are imported where one is made, so that wrong options are refused at once.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from quant_pipeline.paper_gateway.exchange.liquidity import DEFAULT_SHARE
from quant_pipeline.paper_gateway.service_limits import ServiceLimits
from quant_pipeline.paper_gateway.starting_values import DEFAULT_SEED, STARTING_CASH

if TYPE_CHECKING:
    from quant_pipeline.paper_gateway.markets.market import Market


@dataclass(frozen=True)
class GatewayOptions:
    """Where the gateway lives and what it plays.

    Attributes:
        home: Folder of its book and of ``gateway.json``.
        port: Port on 127.0.0.1; 0 takes a free one.
        at: Exchange time to start at; None is the wall clock.
        speed: Seconds of the exchange per second of the machine; at 0 the clock stands still until it is moved.
        seed: Of the synthetic market, when no bars are given.
        bars: Parquet file of daily bars to replay instead.
        minute_bars: Parquet file of minute bars to go with them.
        cash: Dollars a new book starts with.
        limits: What clients may ask; IB's limits unless some are lifted.
        liquidity: Share of the traded volume an order gets, above 0 to 1; None fills every order whole.
        faults: File of what is to go wrong (TOML).
        idle_minutes: The gateway ends after so long without a client; None means never.
    """

    home: Path
    port: int = 0
    at: dt.datetime | None = None
    speed: float = 1.0
    seed: int = DEFAULT_SEED
    bars: Path | None = None
    minute_bars: Path | None = None
    cash: float = STARTING_CASH
    idle_minutes: float | None = None
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    liquidity: float | None = DEFAULT_SHARE
    faults: Path | None = None


def build_market(options: GatewayOptions) -> Market:
    """The market the options ask for: recorded bars where given, else the synthetic one.

    Raises:
        MarketDataFileError: A bars file is missing or malformed.
    """
    if options.bars is not None:
        # Imported here, since only a replay needs the readers of Parquet files, which take a while to load. Their own
        # allocator keeps much of what the files were read with.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
        from quant_pipeline.paper_gateway.markets.replayed_market import ReplayedMarket

        return ReplayedMarket(options.bars, options.minute_bars)
    from quant_pipeline.paper_gateway.markets.synthetic_market import SyntheticMarket

    return SyntheticMarket(options.seed)


def account_of(market_identity: str) -> str:
    """The paper account of a market: DU and seven digits, the same on every machine."""
    digest = hashlib.sha256(market_identity.encode()).digest()
    return f"DU{int.from_bytes(digest[:8], 'big') % 10_000_000:07d}"


def book_path(home: Path, account: str) -> Path:
    """Where the book of an account lies."""
    return home / "gateway" / account / "book.sqlite"
