"""The day's profit and loss: one subscription a session, what is not said is missing, and silence holds nothing up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from quant_pipeline.broker import account as account_module
from quant_pipeline.broker.account import read_account
from quant_pipeline.broker.client_library import IB
from quant_pipeline.broker.orders import OrderDesk
from quant_pipeline.broker.session import BrokerSession, Role, connect
from quant_pipeline.errors import BrokerError
from quant_pipeline_tests.broker.conftest import Gateway
from quant_pipeline_tests.broker.scripted_broker import Answer, Fields, ScriptedBroker, error, scripted_broker
from quant_pipeline_tests.broker.trading_floor import Market, Notes, listen_until

ACCOUNT = "DU0000001"
ACCOUNT_UPDATES, OPEN_ORDERS, PNL, CANCEL_PNL = "6", "16", "92", "93"
UNSET = "1.7976931348623157E308"


def updates(fields: Fields) -> list[tuple[object, ...]]:
    return [(6, 2, "NetLiquidation", "100000.00", "USD", ACCOUNT), (54, 1, ACCOUNT)] if fields[2] == "1" else []


def told(*daily: object) -> Answer:
    return lambda fields: [(94, fields[1], each, "0.0", "0.0") for each in daily]


def broker(pnl: Answer | None) -> dict[str, Answer]:
    script: dict[str, Answer] = {ACCOUNT_UPDATES: updates, OPEN_ORDERS: lambda _: [(53, 1)]}
    return script | ({PNL: pnl} if pnl else {})


def read_daily(session: BrokerSession) -> float:
    return float(read_account(session, session.settings).account["daily_pnl"].iloc[0])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_module, "DAILY_PNL_SECONDS", 0.05)


@pytest.mark.parametrize(("said", "read"), [("-3000.01", -3000.01), ("0.0", 0.0), ("12.5", 12.5)])
def test_what_the_broker_says_is_read_to_the_cent(said: str, read: float) -> None:
    with scripted_broker(broker(told(said))) as server, connect(server.settings(), Role.OBSERVE) as session:
        assert read_daily(session) == read


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "answer", [told(UNSET), told("nan"), told("inf"), None], ids=["unset", "nan", "inf", "silence"]
)
def test_what_the_broker_does_not_say_is_missing_and_fails_nothing(answer: Answer | None) -> None:
    with scripted_broker(broker(answer)) as server, connect(server.settings(), Role.OBSERVE) as session:
        reading = read_account(session, session.settings)
        assert math.isnan(reading.account["daily_pnl"].iloc[0])
        assert reading.account["net_liquidation"].iloc[0] == 100_000


def test_silence_fails_nothing_where_requests_are_given_less_time_than_it() -> None:
    with scripted_broker(broker(None)) as server:
        hasty = server.settings(request_seconds=account_module.DAILY_PNL_SECONDS * 0.8)
        with connect(hasty, Role.OBSERVE) as session:
            assert math.isnan(read_daily(session))


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_refuses_to_say_it_fails_nothing() -> None:
    def refuse(fields: Fields) -> list[tuple[object, ...]]:
        return [error(fields[1], 321, "Error validating request")]

    with scripted_broker(broker(refuse)) as server, connect(server.settings(), Role.OBSERVE) as session:
        assert math.isnan(read_daily(session))


def test_the_first_figure_that_is_known_is_waited_for() -> None:
    with (
        scripted_broker(broker(told(UNSET, "nan", "-7.5"))) as server,
        connect(server.settings(), Role.OBSERVE) as session,
    ):
        assert read_daily(session) == -7.5


def test_a_word_that_comes_after_everything_else_is_waited_for() -> None:
    with scripted_broker(broker(None)) as server, connect(server.settings(), Role.OBSERVE) as session:

        def late(_: Fields) -> Iterator[tuple[object, ...]]:
            yield (53, 1)
            time.sleep(0.2)
            yield (94, sent(server, PNL)[0][1], "-4.0", "0.0", "0.0")

        server.script[OPEN_ORDERS] = cast(Answer, late)
        assert read_daily(session) == -4.0


def test_a_session_subscribes_once_and_says_when_it_ends() -> None:
    with scripted_broker(broker(told("1.0"))) as server:
        with connect(server.settings(), Role.OBSERVE) as session:
            assert [read_daily(session) for _ in range(3)] == [1.0] * 3
            (asked,) = sent(server, PNL)
            assert asked[2] == ACCOUNT
            assert sent(server, CANCEL_PNL) == []
        assert [fields[1] for fields in heard_in_the_end(server, CANCEL_PNL)] == [asked[1]]


def test_a_later_word_of_the_broker_replaces_an_earlier_one() -> None:
    script = broker(told("1.0"))
    with scripted_broker(script) as server, connect(server.settings(), Role.OBSERVE) as session:
        assert read_daily(session) == 1.0
        (asked,) = sent(server, PNL)
        server.script[OPEN_ORDERS] = lambda _: [(94, asked[1], "-2.0", "0.0", "0.0"), (53, 1)]
        assert read_daily(session) == -2.0


def test_an_account_that_was_subscribed_before_is_not_subscribed_again() -> None:
    with scripted_broker(broker(told("5.0"))) as server, connect(server.settings(), Role.OBSERVE) as session:

        async def subscribe(ib: IB) -> None:
            ib.reqPnL(ACCOUNT)

        session.request(subscribe, "a subscription of somebody else's")
        assert read_daily(session) == 5.0
        assert len(sent(server, PNL)) == 1


def test_a_figure_from_before_the_link_was_lost_is_not_taken_for_todays() -> None:
    def lose_the_link(_: Fields) -> list[tuple[object, ...]]:
        return [error(-1, 1100, "Connectivity between IB and TWS has been lost"), (53, 1)]

    with scripted_broker(broker(told("5.0"))) as server, connect(server.settings(), Role.OBSERVE) as session:
        assert read_daily(session) == 5.0
        server.script[OPEN_ORDERS] = lose_the_link
        assert math.isnan(read_daily(session))


def test_a_new_session_subscribes_anew() -> None:
    with scripted_broker(broker(told("5.0"))) as server:
        for _ in range(2):
            with connect(server.settings(), Role.OBSERVE) as session:
                assert read_daily(session) == 5.0
        assert len(sent(server, PNL)) == 2


def test_a_connection_that_is_lost_is_an_error_and_not_a_missing_figure(mortal_gateway: Gateway) -> None:
    with connect(mortal_gateway.settings(), Role.OBSERVE) as session:
        assert read_daily(session) == 0.0
        mortal_gateway.kill()
        with pytest.raises(BrokerError):
            read_account(session, session.settings)


def test_a_new_book_has_made_and_lost_nothing_at_the_cost_of_one_message(
    quiet_gateway: Gateway, sent_messages: Callable[[BrokerSession], list[str]]
) -> None:
    with connect(quiet_gateway.settings(), Role.OBSERVE) as session:
        messages = sent_messages(session)
        assert [read_daily(session) for _ in range(2)] == [0.0, 0.0]
        assert [message.split("\0")[0] for message in messages].count(PNL) == 1


def test_a_fill_moves_the_day_by_what_it_cost(gateway: Gateway, market: Market) -> None:
    notes = Notes()
    with connect(gateway.settings(), Role.ORDERS) as session:
        desk = OrderDesk(session)
        entry, *_ = desk.place_bracket(market.bracket(30), notes.on_sending, notes.events.append)
        listen_until(desk, notes, lambda: bool(notes.of(entry.order_ref, "commission")))
    with connect(gateway.settings(), Role.OBSERVE) as session:
        assert read_daily(session) != 0.0


def sent(server: ScriptedBroker, kind: str) -> list[Fields]:
    return [fields for fields in server.received if fields[0] == kind]


def heard_in_the_end(server: ScriptedBroker, kind: str) -> list[Fields]:
    """The messages of a kind that the server has read once one of them arrived, which is waited for a while."""
    until = time.monotonic() + 10
    while not sent(server, kind) and time.monotonic() < until:
        time.sleep(0.01)
    return sent(server, kind)
