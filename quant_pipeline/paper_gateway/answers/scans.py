"""Market scans: which instruments, ranked by what, and no more of them than the service gives.

Decides the rows of a scan from the quotes of one instant; how they are sent is ``replies``' matter. Like IB's, a scan
gives no prices away and refuses a code, a location or a filter it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from quant_pipeline.paper_gateway.markets.market import Instrument, Quote
from quant_pipeline.paper_gateway.protocol.requests import ScanRequest

FUND_TYPES = frozenset({"ETF", "ETN", "FUND"})
EVERYWHERE = frozenset({"STK.US", "STK.US.MAJOR"})
EXCHANGES = frozenset({"NASDAQ", "NYSE", "AMEX", "ARCA", "BATS"})


class ScanError(ValueError):
    """A scan that does not exist; the text is what the client is told under code 162."""


def _change(quote: Quote) -> float:
    return quote.last / quote.previous_close - 1 if quote.previous_close > 0 else 0.0


RANKINGS: dict[str, Callable[[Quote], float]] = {
    "MOST_ACTIVE": lambda quote: quote.volume,
    "MOST_ACTIVE_USD": lambda quote: quote.volume * quote.last,
    "HOT_BY_VOLUME": lambda quote: quote.volume,
    "TOP_PERC_GAIN": _change,
    "TOP_PERC_LOSE": lambda quote: -_change(quote),
}

_ABOVE: dict[str, Callable[[Quote], float]] = {
    "priceAbove": lambda quote: quote.last,
    "volumeAbove": lambda quote: quote.volume,
    "usdVolumeAbove": lambda quote: quote.volume * quote.last,
    "usdPriceAbove": lambda quote: quote.last,
    "changePercAbove": lambda quote: 100 * _change(quote),
}
_BELOW: dict[str, Callable[[Quote], float]] = {
    "priceBelow": lambda quote: quote.last,
    "volumeBelow": lambda quote: quote.volume,
    "usdPriceBelow": lambda quote: quote.last,
    "changePercBelow": lambda quote: 100 * _change(quote),
}


def scan(
    request: ScanRequest, instruments: Sequence[Instrument], quotes: Mapping[str, Quote], most_rows: int | None
) -> list[Instrument]:
    """The instruments a scan finds, best first, at most ``most_rows`` of them.

    Market capitalisation is not known here, so its limits let everything through.

    Raises:
        ScanError: The code, instrument, location, stock type or a filter does not exist here.
    """
    rank = RANKINGS.get(request.code)
    if rank is None:
        raise ScanError(f"Can't find scan code {request.code}; there are {', '.join(RANKINGS)}.")
    if request.instrument not in ("STK", "STOCK.US", ""):
        raise ScanError(f"Can't find instrument type {request.instrument}; only STK is imitated.")
    belongs = _membership(request)
    passes = _limits(request)
    found = [
        (quotes[each.symbol], each)
        for each in instruments
        if each.symbol in quotes and belongs(each) and passes(quotes[each.symbol])
    ]
    found.sort(key=lambda row: (-rank(row[0]), row[1].symbol))
    asked = request.rows if request.rows > 0 else None
    rows = min((count for count in (asked, most_rows) if count is not None), default=None)
    return [instrument for _, instrument in found[:rows]]


def _membership(request: ScanRequest) -> Callable[[Instrument], bool]:
    exchanges = {name for name in EXCHANGES if name in request.location.split(".")}
    if request.location not in EVERYWHERE and not exchanges:
        raise ScanError(f"Can't find location {request.location}; there are STK.US.MAJOR and exchanges: STK.NASDAQ.")
    kind = request.stock_type or "ALL"
    if kind not in ("ALL", "CORP", "STOCK", "ETF"):
        raise ScanError(f"Can't find stock type {kind}; there are ALL, CORP and ETF.")

    def belongs(instrument: Instrument) -> bool:
        is_fund = instrument.stock_type in FUND_TYPES
        located = not exchanges or instrument.primary_exchange in exchanges
        return located and (kind == "ALL" or is_fund == (kind == "ETF"))

    return belongs


def _limits(request: ScanRequest) -> Callable[[Quote], bool]:
    checks: list[Callable[[Quote], bool]] = []
    wanted = [("priceAbove", request.above_price), ("priceBelow", request.below_price)]
    wanted += [("volumeAbove", request.above_volume), *_filters(request.filters)]
    for name, limit in wanted:
        if limit is None:
            continue
        if name in _ABOVE:
            checks.append(lambda quote, value=_ABOVE[name], limit=limit: value(quote) > limit)
        elif name in _BELOW:
            checks.append(lambda quote, value=_BELOW[name], limit=limit: value(quote) < limit)
        else:
            raise ScanError(f"Can't find filter {name}; there are {', '.join([*_ABOVE, *_BELOW])}.")
    return lambda quote: all(check(quote) for check in checks)


def _filters(text: str) -> list[tuple[str, float | None]]:
    """Filter options as the wire has them: ``priceAbove=5;usdVolumeAbove=1000000;``."""
    pairs: list[tuple[str, float | None]] = []
    for option in text.split(";"):
        name, _, value = option.partition("=")
        if not name:
            continue
        try:
            pairs.append((name, float(value)))
        except ValueError:
            raise ScanError(f"The filter {option[:40]} has no number.") from None
    return pairs


def parameters_xml() -> str:
    """The scan parameters in the shape of IB's document, with what is imitated and nothing else."""
    codes = "".join(
        f"<ScanType><displayName>{code}</displayName><scanCode>{code}</scanCode></ScanType>" for code in RANKINGS
    )
    places = "".join(
        f"<Location><displayName>{place}</displayName><locationCode>{place}</locationCode></Location>"
        for place in [*sorted(EVERYWHERE), *(f"STK.{name}" for name in sorted(EXCHANGES))]
    )
    filters = "".join(f"<AbstractField><code>{name}</code></AbstractField>" for name in [*_ABOVE, *_BELOW])
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ScanParameterResponse>'
        "<InstrumentList><Instrument><name>US Stocks</name><type>STK</type></Instrument></InstrumentList>"
        f"<LocationTree>{places}</LocationTree><ScanTypeList>{codes}</ScanTypeList>"
        f"<FilterList>{filters}</FilterList></ScanParameterResponse>"
    )
