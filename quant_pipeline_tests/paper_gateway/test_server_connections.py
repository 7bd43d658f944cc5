"""Connections that break the rules, and those beside them that go on as if nothing had happened."""

from __future__ import annotations

import contextlib
import logging
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from ib_insync import IB, LimitOrder

from quant_pipeline.errors import QuantPipelineError
from quant_pipeline_tests.paper_gateway.gateway_room import (
    GatewayRoom,
    RawClient,
    connected,
    errors_of,
    gateway_room,
    stock,
    until,
)
from quant_pipeline_tests.paper_gateway.scripted_market import at


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayRoom]:
    with gateway_room(tmp_path_factory.mktemp("home")) as room:
        yield room


@pytest.fixture
def raw(room: GatewayRoom) -> Iterator[RawClient]:
    client = RawClient(room.port)
    yield client
    client.close()


def test_the_server_opens_as_tws_does(raw: RawClient, room: GatewayRoom) -> None:
    assert raw.greet() == ["176", "20180220 10:15:00 EST"]
    assert raw.receive_until(15) == ["15", "1", room.gateway.account]
    assert raw.receive_until(9) == ["9", "1", "1"]


def test_the_official_clients_version_is_spoken_too(raw: RawClient) -> None:
    assert raw.greet("v100..157")[0] == "157"
    raw.send(9, 8, 5, 0, "AAA", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "", 0, "", "")
    assert raw.receive_until(10)[:4] == ["10", "8", "5", "AAA"]
    assert raw.receive_until(52) == ["52", "1", "5"]


def test_a_client_that_is_too_old_is_sent_away(raw: RawClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        raw.send_bytes(b"API\0" + struct.pack(">I", 9) + b"v100..156")
        assert raw.is_closed()
    assert "157 to 176" in caplog.text


@pytest.mark.parametrize(
    "breach",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"API\0" + struct.pack(">I", 0xFFFFFFFF),
        b"API\0" + struct.pack(">I", 0),
        b"API\0" + struct.pack(">I", 5) + b"hello",
        b"API\0" + struct.pack(">I", 2) + b"\xff\xfe",
    ],
)
def test_what_is_no_protocol_ends_that_connection_and_no_other(
    room: GatewayRoom, raw: RawClient, breach: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with connected(room.port, client_id=3) as ib:
        with caplog.at_level(logging.WARNING):
            raw.send_bytes(breach)
            assert raw.is_closed()
        assert "closed the connection" in caplog.text
        assert ib.reqCurrentTime() == at("10:15")


def test_a_message_without_its_end_closes_the_connection(raw: RawClient) -> None:
    raw.greet()
    raw.send_bytes(struct.pack(">I", 4) + b"49\x001")
    assert raw.is_closed()


def test_an_unknown_message_is_answered_and_the_connection_lives(raw: RawClient) -> None:
    raw.greet()
    raw.send(4711, 1)
    assert any(raw.receive_until(4)[3] == "505" for _ in range(4))
    raw.send(49, 1)
    assert raw.receive_until(49)[1] == "1"


@pytest.mark.parametrize("fields", [(9, 8, "x"), (3, 5), (20, "nan"), ("", ""), ("x",), (7, 3)])
def test_a_request_that_cannot_be_read_is_answered_and_the_connection_lives(
    raw: RawClient, fields: tuple[object, ...]
) -> None:
    raw.greet()
    raw.send(*fields)
    assert any(raw.receive_until(4)[3] in ("320", "505") for _ in range(4))
    raw.send(49, 1)
    assert raw.receive_until(49)[1] == "1"


def test_nothing_is_answered_before_the_client_has_introduced_itself(raw: RawClient) -> None:
    raw.send_bytes(b"API\0" + struct.pack(">I", 9) + b"v157..176")
    raw.receive()
    raw.send(49, 1)
    assert raw.receive_until(4)[3] == "504"


def test_messages_arrive_whole_when_they_are_sent_byte_by_byte(raw: RawClient) -> None:
    raw.greet()
    for byte in struct.pack(">I", 5) + b"49\x001\0":
        raw.send_bytes(bytes([byte]))
    assert raw.receive_until(49)[1] == "1"


def test_a_client_id_is_given_once_and_is_free_again_after_its_connection(room: GatewayRoom) -> None:
    with connected(room.port, client_id=5):
        second = IB()
        heard = errors_of(second)
        with pytest.raises((TimeoutError, ConnectionError)):
            second.connect("127.0.0.1", room.port, clientId=5, timeout=1)
        assert (-1, 326) in heard
    with connected(room.port, client_id=5) as again:
        assert again.isConnected()


def test_two_clients_are_served_side_by_side(room: GatewayRoom) -> None:
    with connected(room.port, client_id=1) as first, connected(room.port, client_id=2) as second:
        assert first.reqCurrentTime() == second.reqCurrentTime() == at("10:15")


def test_too_many_connections_are_sent_away_and_the_rest_go_on(room: GatewayRoom) -> None:
    crowd = [RawClient(room.port) for _ in range(100)]
    try:
        assert crowd[0].greet(client_id=90)[0] == "176"
        assert crowd[-1].is_closed()
    finally:
        for client in crowd:
            client.close()


def test_a_client_that_vanishes_leaves_its_id_free(room: GatewayRoom) -> None:
    gone = RawClient(room.port)
    gone.greet(client_id=44)
    gone.receive_until(9)
    gone.close()
    again = RawClient(room.port)
    again.greet(client_id=45)
    room.call(lambda: None)
    with connected(room.port, client_id=44) as ib:
        assert ib.isConnected()
    again.close()


def test_an_order_that_cannot_be_written_is_never_acknowledged_and_ends_the_gateway(tmp_path: Path) -> None:
    with gateway_room(tmp_path) as room:
        room.call(lambda: room.book._db.execute("PRAGMA max_page_count = 1"))
        with connected(room.port) as ib:
            trades = [ib.placeOrder(stock("AAA"), LimitOrder("BUY", 1, 49.0, orderRef="r" * 500)) for _ in range(100)]
            with contextlib.suppress(ConnectionError):
                until(ib, lambda: not ib.isConnected())
            acknowledged = {trade.order.orderId for trade in trades if trade.orderStatus.permId}
        kept = {order.order_id for order in room.book.live.values()}
        assert acknowledged <= kept
        assert len(kept) < 100
        with pytest.raises(QuantPipelineError, match="cannot be written"):
            room.wait_failed()
