"""What tests of orders share: brackets made from the morning's quotes, and the notes of a desk's caller."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from quant_pipeline.broker.brackets import BracketOrder, BrokerEvent
from quant_pipeline.broker.orders import OrderDesk
from quant_pipeline.broker.quotes import read_quotes
from quant_pipeline.broker.scanner import read_universe
from quant_pipeline.broker.session import Role, connect
from quant_pipeline.settings import Settings
from quant_pipeline_tests.broker.frame_reading import rows

SLOT = "2026-11-20T10:15"
FILL_SECONDS = 30


@dataclass
class Notes:
    """What the desk told its caller."""

    sending: list[str] = field(default_factory=list)
    events: list[BrokerEvent] = field(default_factory=list)

    def on_sending(self, order_ref: str, order_id: int) -> None:
        assert order_id > 0
        self.sending.append(order_ref)

    def of(self, order_ref: str, kind: str) -> list[BrokerEvent]:
        return [event for event in self.events if (event.order_ref, event.kind) == (order_ref, kind)]


@dataclass(frozen=True)
class Market:
    """Quotes of the morning, as a maker of brackets needs them."""

    quotes: pd.DataFrame

    @classmethod
    def read(cls, settings: Settings) -> Market:
        """The stocks that can be traded, most active first."""
        with connect(settings, Role.OBSERVE) as session:
            universe = read_universe(session, settings.universe)
            quotes = read_quotes(session, universe, settings.broker)
        tradable = quotes.merge(universe[["symbol", "con_id"]]).dropna(subset=["bid", "ask"])
        return cls(rows(tradable, tradable["last"] > 5))

    def bracket(self, place: int, name: str = "", away: float = -0.02, quantity: int = 10) -> BracketOrder:
        """A LONG bracket on the stock at a place: well through the ask, or so much (as a share of it) away from it.

        At the ask itself it would stay open for good when the market has risen since the quote, as on a slow machine.
        """
        quote = self.quotes.iloc[place]
        entry = round(quote["ask"] * (1 - away), 2)
        distance = round(quote["ask"] * 0.05, 2)
        return BracketOrder(
            order_ref=f"{name or SLOT}:{quote['symbol']}",
            symbol=quote["symbol"],
            con_id=int(quote["con_id"]),
            direction="LONG",
            quantity=quantity,
            entry=entry,
            stop=round(entry - distance, 2),
            target=round(entry + 2.5 * distance, 2),
        )


def listen_until(desk: OrderDesk, notes: Notes, happened: Callable[[], bool]) -> None:
    until = time.monotonic() + FILL_SECONDS
    while not happened() and time.monotonic() < until:
        desk.listen(notes.events.append, 0.1)
    assert happened(), "the broker said nothing of it in time"
