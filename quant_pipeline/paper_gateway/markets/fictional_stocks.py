"""The five hundred invented companies of the synthetic market, and the character of each stock.

Names, tickers and what does not change over time belong here: how volatile a stock is, how it follows the market, its
price level, how much it trades, how wide its book is. Prices are ``synthetic_prices``' business. Among the most active
stocks some are made to be rejected by any sensible filter, as in life: too cheap, a book too wide, a listing too young.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant_pipeline.paper_gateway.markets.market import Instrument
from quant_pipeline.paper_gateway.markets.top_of_book import contract_ids, usual_spread

STOCK_COUNT = 500
SCANNED = 100
"""How many stocks a scan for the most active ones returns; the rejects are placed among about that many."""

CHEAP, WIDE, YOUNG = 7, 6, 6
"""Stocks by kind of reject among the busiest. The young ones take turns, so that one or two of them are at any time."""

INDUSTRIES = (
    "Technology", "Financial", "Communications", "Consumer, Cyclical", "Consumer, Non-cyclical", "Energy",
    "Industrial", "Basic Materials", "Utilities", "Health Care", "Real Estate",
)  # fmt: skip

_ONSETS = ("Bel", "Cor", "Dra", "Fen", "Gal", "Hal", "Jor", "Kel", "Lor", "Mar", "Nor", "Oro", "Pel", "Qua", "Rav",
           "Sel", "Tor", "Ulv", "Vel", "Wyn", "Xan", "Yar", "Zor", "Bri", "Cal", "Dov", "Elo", "Fyr", "Gri",
           "Ister")  # fmt: skip
_ENDINGS = ("quon", "zeth", "jura", "xis", "zane", "quill", "jex", "vexa", "zor", "queth", "jalen", "xara", "zimir",
            "quara", "jond", "vix", "zell", "quist", "jarra", "noxa")  # fmt: skip
_TRADES = {
    "Technology": ("Systems", "Semiconductor", "Software", "Networks", "Devices"),
    "Financial": ("Bancorp", "Capital", "Insurance Group", "Financial"),
    "Communications": ("Media", "Telecom", "Interactive"),
    "Consumer, Cyclical": ("Motors", "Retail Group", "Apparel", "Leisure"),
    "Consumer, Non-cyclical": ("Foods", "Beverages", "Household Products"),
    "Energy": ("Petroleum", "Energy Partners", "Drilling"),
    "Industrial": ("Industries", "Aerospace", "Logistics", "Machinery"),
    "Basic Materials": ("Mining", "Chemicals", "Steel"),
    "Utilities": ("Power & Light", "Water", "Gas"),
    "Health Care": ("Therapeutics", "Medical", "Health", "Biosciences"),
    "Real Estate": ("Properties", "Realty Trust"),
}
_YOUNG_TRADE = "Acquisition Corp"
_RARE_LETTERS = frozenset("QXZJV")
_NOT_OURS = frozenset(
    ("CALX", "CONX", "DAVE", "FOXA", "HALO", "JOUT", "LOVE", "MARA", "MARX", "MAXR", "NOVA", "PENX", "QUAD", "RAVE",
     "RAVN", "SEXA", "SEXI", "TONX", "VALE", "VELO", "VEON", "WYNN")
)  # fmt: skip
"""Tickers the invented names could give that companies have traded under, or that nobody would."""


@dataclass(frozen=True)
class Population:
    """The stocks and their characters; every array has shape (stocks,) in the order of ``instruments``.

    Attributes:
        instruments: As contract details describe them.
        sector: Index into ``INDUSTRIES``.
        volatility: Daily standard deviation of log returns.
        market_loading: Correlation of the daily return with the market's.
        sector_loading: The same with the sector's own part.
        log_price: Log of the price level the stock hovers about over years.
        log_volume: Log of the usual shares a day.
        spread_factor: Multiple of the usual quoted spread.
        shortable: Whether shares can be borrowed.
        young_turn: -1 for seasoned stocks, else the stock's turn among the young listings.
    """

    instruments: tuple[Instrument, ...]
    sector: NDArray[np.int64]
    volatility: NDArray[np.float64]
    market_loading: NDArray[np.float64]
    sector_loading: NDArray[np.float64]
    log_price: NDArray[np.float64]
    log_volume: NDArray[np.float64]
    spread_factor: NDArray[np.float64]
    shortable: NDArray[np.bool_]
    young_turn: NDArray[np.int64]


def population(seed: int, count: int = STOCK_COUNT) -> Population:
    """Return the stocks of a seed."""
    random = np.random.default_rng([seed, 0])
    sector = random.integers(len(INDUSTRIES), size=count)
    log_volume = np.clip(random.normal(np.log(1.2e6), 1.15, count), np.log(1e5), np.log(6e7))
    log_price = np.clip(random.normal(np.log(66.0), 0.72, count), np.log(16.0), np.log(320.0))
    volatility = np.exp(random.normal(np.log(0.0148), 0.28, count))
    spread_factor = np.exp(random.normal(0.0, 0.25, count))
    young_turn = np.full(count, -1)

    busiest = np.argsort(-log_volume)
    marked = random.permutation(busiest[: SCANNED * 9 // 10])
    cheap, wide, young = np.split(marked[: CHEAP + WIDE + YOUNG], [CHEAP, CHEAP + WIDE])
    quiet_and_cheap = random.permutation(busiest[SCANNED * 3 // 2 :])[: count // 25]
    log_price[cheap] = random.normal(np.log(3.4), 0.15, len(cheap))
    log_price[quiet_and_cheap] = random.normal(np.log(6.0), 0.3, len(quiet_and_cheap))
    volatility[cheap] *= 1.3
    young_turn[young] = np.arange(len(young))
    volatility = np.clip(volatility, 0.0085, 0.042)
    _widen(wide, spread_factor, volatility, log_price, log_volume, random)

    return Population(
        instruments=_instruments(random, sector, young_turn),
        sector=sector,
        volatility=volatility,
        market_loading=random.uniform(0.42, 0.72, count),
        sector_loading=random.uniform(0.15, 0.45, count),
        log_price=log_price,
        log_volume=log_volume,
        spread_factor=spread_factor,
        shortable=random.random(count) > 0.02,
        young_turn=young_turn,
    )


def _widen(
    wide: NDArray[np.int64],
    spread_factor: NDArray[np.float64],
    volatility: NDArray[np.float64],
    log_price: NDArray[np.float64],
    log_volume: NDArray[np.float64],
    random: np.random.Generator,
) -> None:
    """Give some busy stocks a book about 0.15 to 0.4 % wide, some of them near the limit of a filter at 0.15 %."""
    for stock in wide:
        price = float(np.exp(log_price[stock]))
        usual = usual_spread(price, price * float(np.exp(log_volume[stock])), float(volatility[stock]))
        spread_factor[stock] = random.uniform(0.0016, 0.0036) / usual


def _instruments(
    random: np.random.Generator, sector: NDArray[np.int64], young_turn: NDArray[np.int64]
) -> tuple[Instrument, ...]:
    names = [f"{onset}{ending}" for onset in _ONSETS for ending in _ENDINGS]
    random.shuffle(names)
    tickers: dict[str, str] = {}
    for name in names:
        ticker = _ticker(name, tickers)
        if ticker is not None and len(tickers) < len(sector):
            tickers[ticker] = name
    assert len(tickers) == len(sector), len(tickers)
    ids = contract_ids(list(tickers))
    exchanges = random.choice(("NYSE", "NASDAQ", "AMEX"), size=len(sector), p=(0.5, 0.45, 0.05))
    instruments = []
    for index, (ticker, name) in enumerate(tickers.items()):
        industry = INDUSTRIES[sector[index]]
        trades = (_YOUNG_TRADE,) if young_turn[index] >= 0 else _TRADES[industry]
        trade = trades[int(random.integers(len(trades)))]
        instruments.append(Instrument(ids[ticker], ticker, f"{name} {trade}", str(exchanges[index]), industry))
    return tuple(instruments)


def _ticker(name: str, taken: dict[str, str]) -> str | None:
    """Four letters of the name with a rare one among them, the first letters preferred; None where all are taken."""
    letters = name.upper()
    for second in range(1, len(letters) - 2):
        for third in range(second + 1, len(letters) - 1):
            for fourth in range(third + 1, len(letters)):
                ticker = letters[0] + letters[second] + letters[third] + letters[fourth]
                if not _RARE_LETTERS.isdisjoint(ticker) and ticker not in taken and ticker not in _NOT_OURS:
                    return ticker
    return None
