"""Bars that go on: a new one every five seconds, and histories whose last bar is kept up to date.

What a bar is made of belongs to ``history_bars``; here is what each subscription has told already and what is due.
Called by ``market_answers`` when one begins and about once a second.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Protocol

from quant_pipeline.paper_gateway.answers import history_bars
from quant_pipeline.paper_gateway.answers.history_bars import A_SECOND, DAY_BAR, EPOCH_SECONDS, MINUTE_BARS, shown
from quant_pipeline.paper_gateway.exchange.trading_hours import exchange_day, is_open
from quant_pipeline.paper_gateway.markets.market import Market, MarketBar
from quant_pipeline.paper_gateway.protocol import replies
from quant_pipeline.paper_gateway.protocol.replies import Message
from quant_pipeline.paper_gateway.protocol.requests import HistoryRequest, LiveBarsRequest

FIVE_SECONDS = dt.timedelta(seconds=5)
MOST_AT_ONCE = 720
"""Bars told for one leap of the clock: an hour of five seconds; what lies further back is left out."""


class BarSubscription(Protocol):
    """What tells bars until it is cancelled."""

    def due(self, market: Market, now: dt.datetime) -> list[Message]:
        """The messages that tell what has become known since the last call."""
        ...


@dataclass
class FiveSecondBars:
    """A bar for every five seconds in which the exchange is open; without a trade it stays where the price was."""

    request: LiveBarsRequest
    symbol: str
    told_until: dt.datetime

    def due(self, market: Market, now: dt.datetime) -> list[Message]:
        """The bars that ended by ``now`` and were not told."""
        now = _whole(now)
        messages: list[Message] = []
        start = max(self.told_until, now - MOST_AT_ONCE * FIVE_SECONDS)
        while start < now:
            bar = self._bar(market, start) if is_open(start) else None
            if bar is not None:
                messages.append(replies.real_time_bar(self.request.req_id, bar))
            start += FIVE_SECONDS
        self.told_until = max(self.told_until, now)
        return messages

    def _bar(self, market: Market, start: dt.datetime) -> MarketBar | None:
        end = start + FIVE_SECONDS
        traded = market.price_range(self.symbol, start - A_SECOND, end - A_SECOND)
        if traded is not None:
            prices = (traded.open, traded.high, traded.low, traded.close)
            average = round((traded.high + traded.low + traded.close) / 3, 4)
            # Ranges do not say in how many trades they were made.
            bar = MarketBar(start, *prices, volume=traded.volume, average=average, count=history_bars.UNKNOWN)
        else:
            quote = market.quote(self.symbol, end)
            if quote is None:
                return None
            bar = MarketBar(start, *(quote.last,) * 4, volume=0, average=quote.last, count=0)
        what = self.request.what
        return shown(bar, what, history_bars.half_spread(market, self.symbol, end, what))


@dataclass
class KeptBars:
    """A history whose last bar is told again whenever it changed, and once more when it is complete."""

    request: HistoryRequest
    symbol: str
    seen: dt.datetime
    told: MarketBar | None = None

    def due(self, market: Market, now: dt.datetime) -> list[Message]:
        """The bars that changed since the last call: those that ended in between, and the one being made."""
        bars = self._bars(market, now)
        self.seen = now
        return [self._message(bar) for bar in bars]

    def _bars(self, market: Market, now: dt.datetime) -> list[MarketBar]:
        minutes = MINUTE_BARS.get(self.request.bar_size)
        if minutes is None:
            found = market.daily_bars(self.symbol, now, 1)
            candidates = [bar for bar in found if bar.start == exchange_day(now)]
        else:
            ended = history_bars.ends_between(self.seen, now, minutes)[-MOST_AT_ONCE:]
            made = [history_bars.latest(market, self.symbol, at, minutes) for at in (*ended, now)]
            candidates = [bar for bar in made if bar is not None]
        changed: list[MarketBar] = []
        for bar in candidates:
            if bar != self.told:
                changed.append(bar)
                self.told = bar
        half = history_bars.half_spread(market, self.symbol, now, self.request.what) if changed else 0.0
        return [shown(bar, self.request.what, half) for bar in changed]

    def _message(self, bar: MarketBar) -> Message:
        if self.request.bar_size == DAY_BAR:
            date = history_bars.day_text(bar.start)
        elif self.request.date_format == EPOCH_SECONDS:
            date = history_bars.epoch_text(bar.start)
        else:
            date = history_bars.clock_text(bar.start)
        return replies.historical_data_update(self.request.req_id, date, bar)


def five_second_bars(request: LiveBarsRequest, symbol: str, now: dt.datetime) -> FiveSecondBars:
    """Bars from the next full five seconds on."""
    return FiveSecondBars(request, symbol, _whole(now))


def _whole(at: dt.datetime) -> dt.datetime:
    return at - dt.timedelta(seconds=at.second % 5, microseconds=at.microsecond)
