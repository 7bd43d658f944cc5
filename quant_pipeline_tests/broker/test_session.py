"""One connection: it is quick and light, says what is wrong in one sentence, and always ends."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_pipeline.broker.session import BrokerSession, Role, broker_address, connect
from quant_pipeline.errors import BrokerError
from quant_pipeline.paper_gateway import embedded
from quant_pipeline.settings import load_settings
from quant_pipeline_tests.broker.conftest import Gateway


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_session_knows_its_account_and_that_it_is_paper(reading: BrokerSession) -> None:
    assert reading.connected
    assert reading.account in reading.accounts
    assert reading.account.startswith("DU")
    assert reading.is_paper
    assert reading.server_version == 176
    assert not reading.link_lost


def test_the_time_is_the_brokers_and_aware(reading: BrokerSession) -> None:
    now = reading.now()
    assert now.tzinfo is dt.UTC
    assert now.date() == dt.date(2026, 11, 20)
    assert now.microsecond == 0


def test_a_session_can_be_used_from_any_thread_and_under_a_running_loop(quiet_gateway: Gateway) -> None:
    times: list[dt.datetime] = []
    with connect(quiet_gateway.settings(), Role.STATUS) as session:
        threads = [threading.Thread(target=lambda: times.append(session.now())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

        async def ask_inside_a_loop() -> dt.datetime:
            return session.now()

        times.append(asyncio.run(ask_inside_a_loop()))
    assert len(times) == 9


def test_connecting_sends_two_messages_and_leaves_no_thread_behind(quiet_gateway: Gateway) -> None:
    before = threading.active_count()
    with connect(quiet_gateway.settings(), Role.SENSOR) as session:
        assert session._ib.client.conn.numMsgSent == 2
    assert threading.active_count() == before
    session.close()
    with pytest.raises(BrokerError, match="was lost during the request for the broker's time"):
        session.now()


def test_the_same_client_id_can_connect_again_at_once(quiet_gateway: Gateway) -> None:
    for _ in range(5):
        with connect(quiet_gateway.settings(), Role.DOCTOR) as session:
            assert session.connected


def test_a_client_id_in_use_is_named(quiet_gateway: Gateway) -> None:
    with (
        connect(quiet_gateway.settings(), Role.ORDERS) as first,
        pytest.raises(BrokerError, match=f"Client id {first.client_id} is already connected"),
    ):
        connect(quiet_gateway.settings(), Role.ORDERS)


def test_roles_have_client_ids_of_their_own(quiet_gateway: Gateway) -> None:
    settings = quiet_gateway.settings()
    sessions = [connect(settings, role) for role in Role]
    try:
        assert len({session.client_id for session in sessions}) == len(Role)
    finally:
        for session in sessions:
            session.close()


def test_a_refused_port_is_said_in_one_sentence() -> None:
    port = free_port()
    with pytest.raises(BrokerError, match=rf"Nothing listens at 127\.0\.0\.1:{port}; start TWS"):
        connect(load_settings(ib_host="127.0.0.1", ib_port=port), Role.OBSERVE)


def test_a_port_that_never_answers_is_given_up_in_time(deaf_port: int) -> None:
    settings = load_settings(ib_host="127.0.0.1", ib_port=deaf_port, broker={"connect_seconds": 0.5})
    with pytest.raises(BrokerError, match=r"did not answer as TWS within 0\.5 s"):
        connect(settings, Role.OBSERVE)


def test_an_account_the_login_does_not_have_is_refused(quiet_gateway: Gateway) -> None:
    with pytest.raises(BrokerError, match="has no account DU0000000"):
        connect(quiet_gateway.settings(account="DU0000000"), Role.OBSERVE)


def test_a_request_that_is_never_answered_ends_with_the_brokers_last_words(quiet_gateway: Gateway) -> None:
    with connect(quiet_gateway.settings(), Role.OBSERVE) as session:
        with pytest.raises(BrokerError, match=r"did not answer the request for patience within 0\.2 s"):
            session.request(lambda _ib: asyncio.sleep(60), "patience", 0.2)
        assert session.now()


def test_a_killed_gateway_ends_a_waiting_request_at_once(mortal_gateway: Gateway) -> None:
    settings = mortal_gateway.settings(broker={"request_seconds": 60.0})
    with connect(settings, Role.OBSERVE) as session:
        killer = threading.Timer(0.3, mortal_gateway.kill)
        killer.start()
        began = time.monotonic()
        with pytest.raises(BrokerError, match="was lost during the request for patience; check that TWS"):
            session.request(lambda _ib: asyncio.sleep(60), "patience")
        assert time.monotonic() - began < 30
        killer.join()
        with pytest.raises(BrokerError, match="was lost"):
            session.now()
        assert not session.connected


def test_without_an_address_the_embedded_gateway_is_started(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    try:
        with connect(settings, Role.DOCTOR) as session:
            assert session.is_paper
            assert broker_address(settings) == (session.host, session.port)
    finally:
        embedded.stop(tmp_path)
