"""Quotes as ticks: what a quote looks like on the wire, and what of it has changed since the last one.

Pure: quote in, messages out. Which quotes are asked for and when they are sent again is ``market_answers``' business.
"""

from __future__ import annotations

from collections.abc import Collection

from quant_pipeline.paper_gateway.markets.market import Quote
from quant_pipeline.paper_gateway.protocol.replies import Message, tick_generic, tick_price, tick_size, tick_string

BID, ASK, LAST = 1, 2, 4
HIGH, LOW, CLOSE, OPEN = 6, 7, 9, 14
VOLUME = 8
LAST_TIMESTAMP, SHORTABLE, HALTED, SHORTABLE_SHARES = 45, 46, 49, 89
SHORTABLE_REQUEST = "236"
KNOWN_GENERIC_TICKS = frozenset({SHORTABLE_REQUEST})
"""Generic ticks that are answered; IB has many more, which clients may ask for and get nothing."""

EASY_TO_BORROW, HARD_TO_BORROW, NOT_SHORTABLE = 3.0, 2.0, 1.0
EASY_SHARES = 1000


def shortability(shares: int) -> float:
    """IB's scale: above 2.5 at least 1000 shares, above 1.5 they must be located, below that there are none."""
    if shares >= EASY_SHARES:
        return EASY_TO_BORROW
    return HARD_TO_BORROW if shares > 0 else NOT_SHORTABLE


def ticks(req_id: int, quote: Quote, generic_ticks: Collection[str] = (), before: Quote | None = None) -> list[Message]:
    """The messages that tell a quote, or only what differs from the quote told before."""
    messages: list[Message] = []
    prices = (
        (BID, quote.bid, quote.bid_size, before and (before.bid, before.bid_size)),
        (ASK, quote.ask, quote.ask_size, before and (before.ask, before.ask_size)),
        (LAST, quote.last, quote.last_size, before and (before.last, before.last_size)),
        (OPEN, quote.open, 0, before and (before.open, 0)),
        (HIGH, quote.high, 0, before and (before.high, 0)),
        (LOW, quote.low, 0, before and (before.low, 0)),
        (CLOSE, quote.previous_close, 0, before and (before.previous_close, 0)),
    )
    for tick, price, size, told in prices:
        if told != (price, size):
            messages.append(tick_price(req_id, tick, price, size))
    if before is None or before.volume != quote.volume:
        messages.append(tick_size(req_id, VOLUME, quote.volume))
        messages.append(tick_string(req_id, LAST_TIMESTAMP, str(int(quote.at.timestamp()))))
    if before is None or before.halted != quote.halted:
        messages.append(tick_generic(req_id, HALTED, float(quote.halted)))
    if SHORTABLE_REQUEST in generic_ticks and (before is None or before.shortable_shares != quote.shortable_shares):
        messages.append(tick_generic(req_id, SHORTABLE, shortability(quote.shortable_shares)))
        messages.append(tick_size(req_id, SHORTABLE_SHARES, quote.shortable_shares))
    return messages
