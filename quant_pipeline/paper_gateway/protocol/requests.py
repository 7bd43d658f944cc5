"""What clients ask, as data: one frozen dataclass per message.

How each is read from the wire belongs to ``request_readers``; placing an order, the longest of them, to
``order_requests``. What an answer looks like belongs to ``replies``, what it says to the ``*_answers`` modules.
"""

from __future__ import annotations

from dataclasses import dataclass

from quant_pipeline.paper_gateway.protocol.order_requests import CancelOrder, PlaceOrder
from quant_pipeline.paper_gateway.protocol.securities import ContractQuery


@dataclass(frozen=True)
class StartApi:
    """71: names the client; nothing else is answered before it."""

    client_id: int


@dataclass(frozen=True)
class Subscribe:
    """A subscription that is on or off and has no parameters of its own: positions, account updates, P&L."""

    topic: str
    on: bool
    req_id: int = 0
    con_id: int = 0


@dataclass(frozen=True)
class AccountSummary:
    """62 and 63: account values by tag, or the end of them (no tags)."""

    req_id: int
    tags: tuple[str, ...]


@dataclass(frozen=True)
class OpenOrders:
    """5 and 16: the open orders of this client or of all."""

    everyone: bool


@dataclass(frozen=True)
class CompletedOrders:
    """99: what was filled or cancelled today."""


@dataclass(frozen=True)
class GlobalCancel:
    """58: cancel everything."""


@dataclass(frozen=True)
class NextOrderId:
    """8: an order id that is free."""


@dataclass(frozen=True)
class ManagedAccounts:
    """17: which accounts there are."""


@dataclass(frozen=True)
class CurrentTime:
    """49: the exchange's clock."""


@dataclass(frozen=True)
class Ignored:
    """Accepted and without effect here: log level, data type, manual orders, cancelling what is already over."""


@dataclass(frozen=True)
class ExecutionsRequest:
    """7: executions, filtered; empty fields match everything."""

    req_id: int
    client_id: int
    account: str
    since: str
    symbol: str
    sec_type: str
    exchange: str
    side: str


@dataclass(frozen=True)
class ContractDetailsRequest:
    """9: what an instrument is."""

    req_id: int
    contract: ContractQuery


@dataclass(frozen=True)
class MarketRule:
    """91: the price grid behind a rule id."""

    rule_id: int


@dataclass(frozen=True)
class MatchingSymbols:
    """81: instruments whose symbol or name begins with a pattern."""

    req_id: int
    pattern: str


@dataclass(frozen=True)
class HistoryRequest:
    """20: bars."""

    req_id: int
    contract: ContractQuery
    end: str
    bar_size: str
    duration: str
    regular_hours: bool
    what: str
    date_format: int
    keep_up_to_date: bool


@dataclass(frozen=True)
class HeadTimeStamp:
    """87: since when there are bars."""

    req_id: int
    contract: ContractQuery
    date_format: int


@dataclass(frozen=True)
class LiveBarsRequest:
    """50: a bar every five seconds until cancelled."""

    req_id: int
    contract: ContractQuery
    what: str


@dataclass(frozen=True)
class CancelBars:
    """25 and 51: no more bars under a request id."""

    req_id: int


@dataclass(frozen=True)
class ScanRequest:
    """22: a market scan. Limits are None where the client set none."""

    req_id: int
    rows: int
    instrument: str
    location: str
    code: str
    above_price: float | None
    below_price: float | None
    above_volume: float | None
    market_cap_above: float | None
    market_cap_below: float | None
    stock_type: str
    filters: str


@dataclass(frozen=True)
class CancelScan:
    """23: no more rows."""

    req_id: int


@dataclass(frozen=True)
class ScanParameters:
    """24: which scans there are, as XML."""


@dataclass(frozen=True)
class QuoteRequest:
    """1: quotes, once or until cancelled."""

    req_id: int
    contract: ContractQuery
    generic_ticks: tuple[str, ...]
    snapshot: bool


@dataclass(frozen=True)
class CancelQuote:
    """2: no more quotes."""

    req_id: int


@dataclass(frozen=True)
class PositionsMulti:
    """74: the positions under a request id."""

    req_id: int


@dataclass(frozen=True)
class OptionChains:
    """78: which options there are on a stock."""

    req_id: int
    con_id: int


@dataclass(frozen=True)
class SmartComponents:
    """83: which exchanges stand behind the letters of a best bid and offer."""

    req_id: int
    bbo_exchange: str


@dataclass(frozen=True)
class UserInfo:
    """104: whose brand the account is under."""

    req_id: int


@dataclass(frozen=True)
class FamilyCodes:
    """80: the accounts of a family."""


@dataclass(frozen=True)
class NothingThere:
    """79, 82 and 85: soft dollar tiers, exchanges with depth, news providers, of which this exchange has none.

    Attributes:
        reply: The message id of the answer.
        req_id: None where the answer carries no request id.
    """

    reply: int
    req_id: int | None = None


@dataclass(frozen=True)
class NotImitated:
    """A request of the real API that this gateway does not answer; said so under the request's own id.

    Attributes:
        what: What was asked for, as people read it.
        req_id: -1 where the request has none.
        code: Under which the real server says that it has no such data: clients take 321 for a warning and wait on.
    """

    what: str
    req_id: int
    code: int = 321


Request = (
    StartApi
    | Subscribe
    | AccountSummary
    | OpenOrders
    | CompletedOrders
    | GlobalCancel
    | NextOrderId
    | ManagedAccounts
    | CurrentTime
    | Ignored
    | ExecutionsRequest
    | ContractDetailsRequest
    | MarketRule
    | MatchingSymbols
    | HistoryRequest
    | HeadTimeStamp
    | LiveBarsRequest
    | CancelBars
    | ScanRequest
    | CancelScan
    | ScanParameters
    | QuoteRequest
    | CancelQuote
    | PositionsMulti
    | OptionChains
    | SmartComponents
    | UserInfo
    | FamilyCodes
    | NothingThere
    | NotImitated
    | PlaceOrder
    | CancelOrder
)
