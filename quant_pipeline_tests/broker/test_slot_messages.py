"""What a slot costs in messages, on which IB sets a limit."""

from __future__ import annotations

from collections.abc import Callable

from quant_pipeline.broker.account import read_account, read_fills
from quant_pipeline.broker.bars import read_daily_bars
from quant_pipeline.broker.quotes import read_quotes
from quant_pipeline.broker.scanner import read_universe
from quant_pipeline.broker.session import BrokerSession, Role, connect
from quant_pipeline_tests.broker.conftest import Gateway

MESSAGES_PER_SYMBOL = 2.2
START_API = 1  # the one message a connection costs, sent before the count begins


def test_from_the_second_slot_on_all_observations_fit_the_budget(
    quiet_gateway: Gateway, sent_messages: Callable[[BrokerSession], list[str]]
) -> None:
    with connect(quiet_gateway.settings(), Role.OBSERVE) as first:
        broker = first.settings.broker
        universe = read_universe(first, first.settings.universe)
        kept = read_daily_bars(first, universe, read_quotes(first, universe, broker), None, broker, first.now()).frame
    with connect(quiet_gateway.settings(), Role.OBSERVE) as second:
        messages = sent_messages(second)
        now = second.now()
        universe = read_universe(second, second.settings.universe)
        quotes = read_quotes(second, universe, broker)
        bars = read_daily_bars(second, universe, quotes, kept, broker, now)
        read_account(second, second.settings)
        read_fills(second)
    assert bars.requests == 0
    assert len(universe) == 100
    assert (START_API + len(messages)) / len(universe) <= MESSAGES_PER_SYMBOL
