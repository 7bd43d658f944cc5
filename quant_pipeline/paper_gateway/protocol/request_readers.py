"""How requests are read: one table from message id to reader, after the layouts of server versions 157 to 176.

A reader takes the fields behind the message id and makes one of the dataclasses of ``requests``. Ids of the real API
that are not imitated have a reader too, so that the answer can carry the id of the request. Called by
``client_session``.
"""

from __future__ import annotations

from collections.abc import Callable

from quant_pipeline.paper_gateway.protocol.order_requests import read_cancel_order, read_place_order
from quant_pipeline.paper_gateway.protocol.requests import (
    AccountSummary,
    CancelBars,
    CancelQuote,
    CancelScan,
    CompletedOrders,
    ContractDetailsRequest,
    CurrentTime,
    ExecutionsRequest,
    FamilyCodes,
    GlobalCancel,
    HeadTimeStamp,
    HistoryRequest,
    Ignored,
    LiveBarsRequest,
    ManagedAccounts,
    MarketRule,
    MatchingSymbols,
    NextOrderId,
    NothingThere,
    NotImitated,
    OpenOrders,
    OptionChains,
    PositionsMulti,
    QuoteRequest,
    Request,
    ScanParameters,
    ScanRequest,
    SmartComponents,
    StartApi,
    Subscribe,
    UserInfo,
)
from quant_pipeline.paper_gateway.protocol.securities import read_contract
from quant_pipeline.paper_gateway.protocol.wire import FieldError, Fields


def read(values: list[str], version: int) -> Request | None:
    """The request in the fields of a frame; None for a message id nobody knows.

    Raises:
        FieldError: A field is missing or is not what the protocol says.
    """
    fields = Fields(values, version)
    message_id = fields.integer()
    reader = READERS.get(message_id)
    return None if reader is None else reader(fields)


def _start_api(fields: Fields) -> StartApi:
    fields.skip(1)
    return StartApi(fields.integer())


def _account_updates(fields: Fields) -> Subscribe:
    fields.skip(1)
    return Subscribe("account", fields.flag())


def _account_summary(fields: Fields) -> AccountSummary:
    fields.skip(1)
    req_id = fields.integer()
    fields.skip(1)
    return AccountSummary(req_id, tuple(tag.strip() for tag in fields.text().split(",") if tag.strip()))


def _cancel_summary(fields: Fields) -> AccountSummary:
    fields.skip(1)
    return AccountSummary(fields.integer(), ())


def _executions(fields: Fields) -> ExecutionsRequest:
    fields.skip(1)
    req_id, client_id = fields.integer(), fields.integer()
    account, since, symbol, sec_type, exchange, side = (fields.text() for _ in range(6))
    return ExecutionsRequest(req_id, client_id, account, since, symbol, sec_type, exchange, side)


def _contract_details(fields: Fields) -> ContractDetailsRequest:
    fields.skip(1)
    return ContractDetailsRequest(fields.integer(), read_contract(fields))


def _history(fields: Fields) -> HistoryRequest:
    req_id, contract = fields.integer(), read_contract(fields)
    fields.skip(1)
    end, bar_size, duration = fields.text(), fields.text(), fields.text()
    regular_hours, what, date_format = fields.flag(), fields.text(), fields.integer()
    keep_up_to_date = fields.flag()
    return HistoryRequest(req_id, contract, end, bar_size, duration, regular_hours, what, date_format, keep_up_to_date)


def _head_time_stamp(fields: Fields) -> HeadTimeStamp:
    req_id, contract = fields.integer(), read_contract(fields)
    fields.skip(3)  # includeExpired, useRTH, whatToShow
    return HeadTimeStamp(req_id, contract, fields.integer())


def _live_bars(fields: Fields) -> LiveBarsRequest:
    fields.skip(1)
    req_id, contract = fields.integer(), read_contract(fields)
    fields.skip(1)  # the bar size, which is five seconds whatever is asked
    return LiveBarsRequest(req_id, contract, fields.text())


def _option_chains(fields: Fields) -> OptionChains:
    req_id = fields.integer()
    fields.skip(3)
    return OptionChains(req_id, fields.integer())


def _scan(fields: Fields) -> ScanRequest:
    req_id, rows = fields.integer(), fields.integer()
    instrument, location, code = fields.text(), fields.text(), fields.text()
    above_price, below_price, above_volume = fields.number(), fields.number(), fields.number()
    cap_above, cap_below = fields.number(), fields.number()
    fields.skip(11)
    stock_type, filters = fields.text(), fields.text()
    return ScanRequest(
        req_id,
        rows,
        instrument,
        location,
        code,
        above_price,
        below_price,
        above_volume,
        cap_above,
        cap_below,
        stock_type,
        filters,
    )


def _quote(fields: Fields) -> QuoteRequest:
    fields.skip(1)
    req_id, contract = fields.integer(), read_contract(fields)
    if fields.flag():
        fields.skip(3)
    generic_ticks = tuple(tick.strip() for tick in fields.text().split(",") if tick.strip())
    return QuoteRequest(req_id, contract, generic_ticks, fields.flag())


def _versioned(make: Callable[[int], Request]) -> Callable[[Fields], Request]:
    """A reader for messages that are a version and one number."""

    def read_number(fields: Fields) -> Request:
        fields.skip(1)
        return make(fields.integer())

    return read_number


def _subscription(topic: str, *, on: bool, versioned: bool, parameters: int = 0) -> Callable[[Fields], Request]:
    """A reader for messages that start or end a subscription under a request id.

    Args:
        topic: What is subscribed to.
        on: Whether it starts or ends.
        versioned: Whether a version field comes first.
        parameters: How many fields lie between the request id and the contract id; 0 when there is no contract id.
    """

    def read_subscription(fields: Fields) -> Request:
        if versioned:
            fields.skip(1)
        req_id = fields.integer()
        fields.skip(parameters)
        return Subscribe(topic, on, req_id, fields.integer() if parameters else 0)

    return read_subscription


def _not_imitated(
    what: str, *, code: int = 321, versioned: bool = False, has_id: bool = True
) -> Callable[[Fields], Request]:
    def read_id(fields: Fields) -> Request:
        try:
            fields.skip(1 if versioned else 0)
            return NotImitated(what, fields.integer() if has_id else -1, code)
        except FieldError:
            return NotImitated(what, -1, code)

    return read_id


READERS: dict[int, Callable[[Fields], Request]] = {
    1: _quote,
    2: _versioned(CancelQuote),
    3: read_place_order,
    4: read_cancel_order,
    5: lambda _: OpenOrders(everyone=False),
    6: _account_updates,
    7: _executions,
    8: lambda _: NextOrderId(),
    9: _contract_details,
    10: _not_imitated("market depth", code=10092, versioned=True),
    11: lambda _: Ignored(),
    12: lambda _: Ignored(),
    13: lambda _: Ignored(),
    14: lambda _: Ignored(),
    15: lambda _: Ignored(),
    16: lambda _: OpenOrders(everyone=True),
    17: lambda _: ManagedAccounts(),
    18: _not_imitated("advisor configuration", has_id=False),
    19: _not_imitated("advisor configuration", has_id=False),
    20: _history,
    21: _not_imitated("exercising options", versioned=True),
    22: _scan,
    23: _versioned(CancelScan),
    24: lambda _: ScanParameters(),
    25: _versioned(CancelBars),
    49: lambda _: CurrentTime(),
    50: _live_bars,
    51: _versioned(CancelBars),
    52: _not_imitated("fundamental data", code=430, versioned=True),
    53: lambda _: Ignored(),
    54: _not_imitated("option calculations", versioned=True),
    55: _not_imitated("option calculations", versioned=True),
    56: lambda _: Ignored(),
    57: lambda _: Ignored(),
    58: lambda _: GlobalCancel(),
    59: lambda _: Ignored(),
    61: lambda _: Subscribe("positions", on=True),
    62: _account_summary,
    63: _cancel_summary,
    64: lambda _: Subscribe("positions", on=False),
    65: _not_imitated("verification", has_id=False),
    66: _not_imitated("verification", has_id=False),
    67: _not_imitated("display groups", versioned=True),
    68: _not_imitated("display groups", versioned=True),
    69: _not_imitated("display groups", versioned=True),
    70: lambda _: Ignored(),
    71: _start_api,
    72: _not_imitated("verification", has_id=False),
    73: _not_imitated("verification", has_id=False),
    74: _versioned(PositionsMulti),
    75: lambda _: Ignored(),
    76: _subscription("account multi", on=True, versioned=True),
    77: _subscription("account multi", on=False, versioned=True),
    78: _option_chains,
    79: lambda fields: NothingThere(77, fields.integer()),
    80: lambda _: FamilyCodes(),
    81: lambda fields: MatchingSymbols(fields.integer(), fields.text()),
    82: lambda _: NothingThere(80),
    83: lambda fields: SmartComponents(fields.integer(), fields.text()),
    84: _not_imitated("news articles", code=10172),
    85: lambda _: NothingThere(85),
    86: _not_imitated("historical news", code=10276),
    87: _head_time_stamp,
    88: _not_imitated("histograms", code=10188),
    89: lambda _: Ignored(),
    90: lambda _: Ignored(),
    91: lambda fields: MarketRule(fields.integer()),
    92: _subscription("pnl", on=True, versioned=False),
    93: _subscription("pnl", on=False, versioned=False),
    94: _subscription("pnl single", on=True, versioned=False, parameters=2),
    95: _subscription("pnl single", on=False, versioned=False),
    96: _not_imitated("historical ticks", code=10187),
    97: _not_imitated("tick-by-tick data", code=10189),
    98: lambda _: Ignored(),
    99: lambda _: CompletedOrders(),
    100: _not_imitated("corporate events"),
    101: lambda _: Ignored(),
    102: _not_imitated("corporate events"),
    103: lambda _: Ignored(),
    104: lambda fields: UserInfo(fields.integer()),
}
