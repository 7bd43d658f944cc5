"""What the server says, one function per message: the fields in the order of the protocol.

Everything but orders, which have ``order_replies``. Functions return fields for ``wire.encode``; where server versions
differ they take the version. Values are passed in as they are to appear; nothing is looked up here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from quant_pipeline.paper_gateway.markets.market import Instrument, MarketBar
from quant_pipeline.paper_gateway.protocol.securities import CURRENCY, SMART, STOCK, TRADING_CLASS, contract_fields
from quant_pipeline.paper_gateway.protocol.wire import UNSET, Field

Message = list[Field]

ORDER_TYPES = "ACTIVETIM,DAY,GTC,LMT,MKT,OCA,STP,STPLMT,TRAIL"
MARKET_RULE_ID = 26
TIME_ZONE = "America/New_York"
BBO_EXCHANGE = "9c0001"
"""The key under which clients ask which exchanges are behind a quote."""

SUGGESTED_SIZE_ALONE = 163
SIZES_IN_DETAILS_SINCE = 164
SCHEDULE_SINCE = 165
ADVANCED_REJECT_SINCE = 166
ISSUER_SINCE = 176


def error(version: int, req_id: int, code: int, text: str) -> Message:
    """4: an error, a warning or information; ``req_id`` -1 concerns the connection."""
    return [4, 2, req_id, code, text, *([""] if version >= ADVANCED_REJECT_SINCE else [])]


def managed_accounts(account: str) -> Message:
    """15: the accounts there are."""
    return [15, 1, account]


def next_valid_id(order_id: int) -> Message:
    """9: an order id that is free."""
    return [9, 1, order_id]


def current_time(epoch_seconds: int) -> Message:
    """49: the exchange's clock."""
    return [49, 1, epoch_seconds]


# ---- account --------------------------------------------------------------------------------------------------------


def account_value(tag: str, value: str, currency: str, account: str) -> Message:
    """6: one account value."""
    return [6, 2, tag, value, currency, account]


def portfolio_value(
    instrument: Instrument,
    quantity: int,
    price: float,
    average_cost: float,
    unrealized: float,
    realized: float,
    account: str,
) -> Message:
    """7: one position with its price; quantity 0 takes it off the client's list."""
    contract = contract_fields(instrument, instrument.primary_exchange)
    value = round(quantity * price, 2)
    return [
        7,
        8,
        *contract,
        quantity,
        price,
        value,
        round(average_cost, 8),
        round(unrealized, 2),
        round(realized, 2),
        account,
    ]


def account_time(clock: str) -> Message:
    """8: when the account values were taken, hh:mm."""
    return [8, 1, clock]


def account_download_end(account: str) -> Message:
    """54: all account values and positions were told."""
    return [54, 1, account]


def account_update_multi(req_id: int, account: str, tag: str, value: str, currency: str) -> Message:
    """73: one account value under a request id."""
    return [73, 1, req_id, account, "", tag, value, currency]


def account_update_multi_end(req_id: int) -> Message:
    """74: all were told."""
    return [74, 1, req_id]


def account_summary(req_id: int, account: str, tag: str, value: str, currency: str) -> Message:
    """63: one account value of a summary."""
    return [63, 1, req_id, account, tag, value, currency]


def account_summary_end(req_id: int) -> Message:
    """64: the summary is complete."""
    return [64, 1, req_id]


def position(account: str, instrument: Instrument, quantity: int, average_cost: float) -> Message:
    """61: one position; quantity 0 says that it was closed."""
    con_id, symbol, kind, expiry, _, *more = contract_fields(instrument, instrument.primary_exchange)
    # A real server was recorded writing the strike of a position so, and nowhere else.
    return [61, 3, account, con_id, symbol, kind, expiry, "0.0", *more, quantity, round(average_cost, 8)]


def position_multi(req_id: int, account: str, instrument: Instrument, quantity: int, average_cost: float) -> Message:
    """71: one position under a request id; the last field is a model, of which there are none."""
    contract = contract_fields(instrument, instrument.primary_exchange)
    return [71, 1, req_id, account, *contract, quantity, round(average_cost, 8), ""]


def position_multi_end(req_id: int) -> Message:
    """72: all positions were told."""
    return [72, 1, req_id]


def position_end() -> Message:
    """62: all positions were told."""
    return [62, 1]


def pnl(req_id: int, daily: float, unrealized: float, realized: float) -> Message:
    """94: profit and loss of the account."""
    return [94, req_id, round(daily, 2), round(unrealized, 2), round(realized, 2)]


def pnl_single(
    req_id: int, quantity: int, daily: float, unrealized: float | None, realized: float, value: float
) -> Message:
    """95: profit and loss of one position."""
    shown = UNSET if unrealized is None else round(unrealized, 2)
    return [95, req_id, quantity, round(daily, 2), shown, round(realized, 2), round(value, 2)]


# ---- instruments ----------------------------------------------------------------------------------------------------


def contract_details(version: int, req_id: int, instrument: Instrument, hours: str, liquid_hours: str) -> Message:
    """10: what an instrument is. Before version 164 with a version field and a size multiplier, without sizes."""
    sizes = version >= SIZES_IN_DETAILS_SINCE
    symbol, exchange = instrument.symbol, instrument.primary_exchange
    return [
        *([10] if sizes else [10, 8]),
        req_id,
        symbol,
        STOCK,
        "",  # lastTradeDate
        0,  # strike
        "",  # right
        SMART,
        CURRENCY,
        symbol,  # localSymbol
        TRADING_CLASS,  # marketName
        TRADING_CLASS,
        instrument.con_id,
        instrument.min_tick,
        *([] if sizes else [100]),  # mdSizeMultiplier
        "",  # multiplier
        ORDER_TYPES,
        f"{SMART},{exchange}",
        1,  # priceMagnifier
        0,  # underConId
        instrument.name.encode("ascii", "replace").decode(),
        exchange,
        "",  # contractMonth
        instrument.industry,
        instrument.industry,  # category
        instrument.industry,  # subcategory
        TIME_ZONE,
        hours,
        liquid_hours,
        "",  # evRule
        "",  # evMultiplier
        0,  # number of security ids
        1,  # aggGroup
        "",  # underSymbol
        "",  # underSecType
        f"{MARKET_RULE_ID},{MARKET_RULE_ID}",
        "",  # realExpirationDate
        instrument.stock_type,
        *([1, 1, 100] if sizes else [100] if version == SUGGESTED_SIZE_ALONE else []),  # minSize, increment, suggested
    ]


def contract_details_end(req_id: int) -> Message:
    """52: all details were told."""
    return [52, 1, req_id]


def symbol_samples(version: int, req_id: int, instruments: Sequence[Instrument]) -> Message:
    """79: instruments that match a pattern."""
    fields: Message = [79, req_id, len(instruments)]
    for instrument in instruments:
        fields += [instrument.con_id, instrument.symbol, STOCK, instrument.primary_exchange, CURRENCY, 0]
        fields += [instrument.name, ""] if version >= ISSUER_SINCE else []
    return fields


def market_rule(rule_id: int, steps: Iterable[tuple[float, float]]) -> Message:
    """93: from which price on which increment holds."""
    pairs = list(steps)
    return [93, rule_id, len(pairs), *(value for pair in pairs for value in pair)]


def option_chain_end(req_id: int) -> Message:
    """76: all options on a stock were told."""
    return [76, req_id]


def family_codes(account: str) -> Message:
    """78: the one account, which belongs to no family."""
    return [78, 1, account, ""]


def smart_components(req_id: int, exchanges: Sequence[tuple[str, str]]) -> Message:
    """82: bit, exchange and letter of each exchange behind a best bid and offer."""
    fields: Message = [82, req_id, len(exchanges)]
    for bit, (exchange, letter) in enumerate(exchanges):
        fields += [bit, exchange, letter]
    return fields


def nothing_there(message_id: int, req_id: int | None) -> Message:
    """77, 80 and 85: an empty list, under the request id where there is one."""
    return [message_id, *([] if req_id is None else [req_id]), 0]


def user_info(req_id: int) -> Message:
    """107: no white brand."""
    return [107, req_id, ""]


# ---- market data ----------------------------------------------------------------------------------------------------


def historical_data(req_id: int, start: str, end: str, count: int, rows: str) -> str:
    """17: bars, as text that is already NUL-terminated; ``rows`` holds eight fields a bar."""
    return f"17\0{req_id}\0{start}\0{end}\0{count}\0{rows}"


def historical_data_update(req_id: int, date: str, bar: MarketBar) -> Message:
    """90: the last bar of a history that is kept up to date; close before high and low, unlike message 17."""
    prices = (bar.open, bar.close, bar.high, bar.low)
    return [90, req_id, bar.count, date, *prices, bar.average, bar.volume]


def real_time_bar(req_id: int, bar: MarketBar) -> Message:
    """50: five seconds; ``bar`` starts at an instant."""
    assert isinstance(bar.start, dt.datetime)
    prices = (bar.open, bar.high, bar.low, bar.close)
    return [50, 3, req_id, int(bar.start.timestamp()), *prices, bar.volume, bar.average, bar.count]


def head_time_stamp(req_id: int, text: str) -> Message:
    """88: when the bars of an instrument begin."""
    return [88, req_id, text]


def historical_schedule(req_id: int, sessions: Sequence[tuple[str, str, str]]) -> Message:
    """106: sessions as their start, end and day; clients before version 165 cannot read it."""
    first, last = (sessions[0][0], sessions[-1][1]) if sessions else ("", "")
    return [106, req_id, first, last, TIME_ZONE, len(sessions), *(text for session in sessions for text in session)]


def scanner_data(req_id: int, instruments: Sequence[Instrument]) -> Message:
    """20: the rows of a scan, best first; no prices in them."""
    fields: Message = [20, 3, req_id, len(instruments)]
    for rank, each in enumerate(instruments):
        symbol = each.symbol
        fields += [rank, each.con_id, symbol, STOCK, "", 0, "", SMART, CURRENCY, symbol, TRADING_CLASS, TRADING_CLASS]
        fields += ["", "", "", ""]  # distance, benchmark, projection, legs
    return fields


def scanner_parameters(xml: str) -> Message:
    """19: which scans there are."""
    return [19, 1, xml]


def tick_parameters(req_id: int, min_tick: float) -> Message:
    """81: what the quotes of a request look like."""
    return [81, req_id, min_tick, BBO_EXCHANGE, 3]


def market_data_type(req_id: int, kind: int) -> Message:
    """58: 1 for live data."""
    return [58, 1, req_id, kind]


def tick_price(req_id: int, tick: int, price: float, size: int) -> Message:
    """1: a price and, for bid, ask and last, its size."""
    return [1, 6, req_id, tick, price, size, 0]


def tick_size(req_id: int, tick: int, size: int) -> Message:
    """2: a size or a volume."""
    return [2, 6, req_id, tick, size]


def tick_generic(req_id: int, tick: int, value: float) -> Message:
    """45: a number that is neither price nor size."""
    return [45, 6, req_id, tick, value]


def tick_string(req_id: int, tick: int, value: str) -> Message:
    """46: a tick that is text."""
    return [46, 6, req_id, tick, value]


def snapshot_end(req_id: int) -> Message:
    """57: a snapshot is complete."""
    return [57, 1, req_id]
