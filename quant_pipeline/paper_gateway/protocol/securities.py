"""Instruments as clients name them: contract fields in, an instrument or none out.

How a contract is read from the wire, found among a market's instruments and written back belongs here; details and
hours are worded in ``reference_answers``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from quant_pipeline.paper_gateway.markets.market import Instrument
from quant_pipeline.paper_gateway.protocol.wire import Field, Fields

SMART = "SMART"
CURRENCY = "USD"
STOCK = "STK"
TRADING_CLASS = "NMS"


@dataclass(frozen=True)
class ContractQuery:
    """The fields by which a client names a contract; empty ones leave it open."""

    con_id: int
    symbol: str
    sec_type: str
    exchange: str
    primary_exchange: str
    currency: str
    local_symbol: str


def read_contract(fields: Fields) -> ContractQuery:
    """The twelve contract fields that most requests carry."""
    con_id, symbol, sec_type = fields.integer(), fields.text(), fields.text()
    fields.skip(4)
    exchange, primary, currency, local = (fields.text() for _ in range(4))
    fields.skip(1)
    return ContractQuery(con_id, symbol, sec_type, exchange, primary, currency, local)


def contract_fields(instrument: Instrument, exchange: str = SMART) -> list[Field]:
    """The eleven contract fields that most replies carry."""
    symbol = instrument.symbol
    return [instrument.con_id, symbol, STOCK, "", "0", "", "", exchange, CURRENCY, symbol, TRADING_CLASS]


class Securities:
    """Finds the instruments of a market by contract id or symbol."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self.by_symbol = {instrument.symbol: instrument for instrument in instruments}
        self.by_con_id = {instrument.con_id: instrument for instrument in self.by_symbol.values()}

    def find(self, query: ContractQuery) -> Instrument | None:
        """The instrument a contract names, or None when no instrument fits all that it says."""
        if query.con_id:
            found = self.by_con_id.get(query.con_id)
        else:
            found = self.by_symbol.get(query.symbol or query.local_symbol)
        return found if found is not None and _fits(found, query) else None


def _fits(instrument: Instrument, query: ContractQuery) -> bool:
    exchanges = ("", SMART, instrument.primary_exchange)
    return (
        query.sec_type in ("", STOCK)
        and query.currency in ("", CURRENCY)
        and query.exchange in exchanges
        and query.primary_exchange in ("", instrument.primary_exchange)
        and query.symbol in ("", instrument.symbol)
    )
