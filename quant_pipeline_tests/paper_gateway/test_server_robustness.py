"""Peers that mean ill or are merely broken, in numbers: nothing grows without bound, and everyone else is served."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_pipeline.paper_gateway import client_session
from quant_pipeline.paper_gateway.client_session import FLUSH_BYTES
from quant_pipeline.paper_gateway.complaints import LINES_AT_ONCE, Complaints
from quant_pipeline.paper_gateway.service_limits import NO_LIMITS
from quant_pipeline_tests.paper_gateway.gateway_room import PATIENCE, GatewayRoom, RawClient, connected, gateway_room
from quant_pipeline_tests.paper_gateway.scripted_market import at

CONTRACT = (0, "AAA", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "", 0)
YEAR_OF_BARS = (*CONTRACT, "", "1 day", "1 Y", 1, "TRADES", 1, 0, "")
BYTES_A_YEAR = 10_000
"""What the answer is about long, at least."""


@pytest.fixture
def room(tmp_path: Path) -> Iterator[GatewayRoom]:
    with gateway_room(tmp_path, limits=NO_LIMITS) as room:
        yield room


def waiting_bytes(room: GatewayRoom) -> int:
    """What the gateway holds for clients that have not read it yet."""

    def count() -> int:
        transports = [session._transport for session in room.gateway._connections]
        return sum(transport.get_write_buffer_size() for transport in transports if transport is not None)

    found = room.call(count)
    assert isinstance(found, int)
    return found


def test_two_hundred_clients_are_served_at_once(room: GatewayRoom) -> None:
    clients = [RawClient(room.port) for _ in range(200)]
    for number, client in enumerate(clients):
        client.greet(client_id=number)
    for client in clients:
        client.send(20, 7, *YEAR_OF_BARS)
        client.send(49, 1)
    for client in clients:
        assert client.receive_until(17)[4] == "252"
        assert client.receive_until(49)
        client.close()


def test_of_two_hundred_clients_as_many_are_served_as_tws_takes(tmp_path: Path) -> None:
    with gateway_room(tmp_path, limits=dataclasses.replace(NO_LIMITS, connected_clients=32)) as room:
        first = RawClient(room.port)
        first.greet()
        first.receive_until(9)
        crowd = [RawClient(room.port) for _ in range(200)]
        assert crowd[-1].is_closed()
        first.send(49, 1)
        assert first.receive_until(49)
        for client in [first, *crowd]:
            client.close()


def test_clients_that_vanish_in_the_middle_of_a_frame_leave_nothing_behind(room: GatewayRoom) -> None:
    for number in range(50):
        gone = RawClient(room.port)
        gone.greet(client_id=number)
        gone.send(20, 7, *YEAR_OF_BARS)
        gone.send_bytes(struct.pack(">I", 200_000) + b"49\0")
        gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()  # with a reset
    with connected(room.port, client_id=5) as ib:
        assert ib.reqCurrentTime() == at("10:15")
        assert room.call(lambda: len(room.gateway._connections)) == 1


def test_half_a_handshake_is_not_waited_for_for_ever(
    room: GatewayRoom, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_session, "HANDSHAKE_SECONDS", 0.1)
    silent, greeted = RawClient(room.port), RawClient(room.port)
    greeted.send_bytes(b"API\0" + struct.pack(">I", 9) + b"v157..176")
    with caplog.at_level(logging.WARNING):
        assert silent.is_closed()
        assert greeted.is_closed()
    assert "did not introduce itself in time" in caplog.text


def test_a_client_that_asks_and_does_not_read_is_made_to_wait(room: GatewayRoom) -> None:
    slow = RawClient(room.port)
    slow.greet()
    slow.receive_until(9)
    asked = 3_000
    slow.socket.settimeout(0.5)
    frames = b"".join(_framed(20, number, *YEAR_OF_BARS) for number in range(asked))
    taken = 0
    with contextlib.suppress(TimeoutError):  # the gateway has stopped listening
        while taken < len(frames):
            taken += slow.socket.send(frames[taken : taken + 65_536])
    with connected(room.port, client_id=5) as ib:
        assert ib.reqCurrentTime() == at("10:15")
    assert waiting_bytes(room) < 4 * FLUSH_BYTES + 2 * BYTES_A_YEAR < asked * BYTES_A_YEAR / 10
    slow.socket.settimeout(10.0)
    first_ids = [slow.receive_until(17)[1] for _ in range(500)]
    assert first_ids == [str(number) for number in range(500)]
    slow.close()


def test_a_subscriber_that_does_not_read_loses_its_connection(
    room: GatewayRoom, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_session, "MAX_UNREAD_BYTES", 100_000)
    deaf = RawClient(room.port)
    deaf.greet()
    deaf.receive_until(9)

    def tell_much() -> None:
        for session in list(room.gateway._connections):
            session.send_text("x" * 1_000 + "\0")

    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            room.call(lambda: [tell_much() for _ in range(1_000)])
    assert "does not read what it asked for" in caplog.text
    assert room.call(lambda: len(room.gateway._connections)) == 0
    deaf.close()


def test_a_peer_that_is_sent_away_cannot_hold_its_connection_by_not_reading(
    room: GatewayRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_session, "LINGER_SECONDS", 0.1)
    deaf = RawClient(room.port)
    deaf.greet()
    deaf.receive_until(9)
    (session,) = room.gateway._connections

    def send_away() -> None:
        session.send_text("x" * 12_000_000 + "\0")
        session.drop("for a test")

    room.call(send_away)
    deadline = time.monotonic() + PATIENCE
    while room.gateway._connections:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    deaf.close()


def test_a_flood_of_messages_lets_the_others_have_their_turn(room: GatewayRoom) -> None:
    flood = RawClient(room.port)
    flood.greet()
    flood.receive_until(9)
    asked = 100
    flood.send_together([(20, number, *YEAR_OF_BARS[:-4], "BID_ASK", 1, 0, "") for number in range(asked)])
    with connected(room.port, client_id=5) as ib:
        assert ib.reqCurrentTime() == at("10:15")
    for number in range(asked):
        assert flood.receive_until(17)[1] == str(number)
    flood.close()


def test_a_client_may_not_subscribe_without_end(room: GatewayRoom, caplog: pytest.LogCaptureFixture) -> None:
    greedy = RawClient(room.port)
    greedy.greet()
    with caplog.at_level(logging.WARNING), contextlib.suppress(ConnectionError):
        greedy.send_together([(92, number, "", "") for number in range(client_session.MAX_SUBSCRIPTIONS + 1)])
        assert greedy.is_closed()
    assert f"more than {client_session.MAX_SUBSCRIPTIONS} things" in caplog.text
    greedy.close()


# ---- the log --------------------------------------------------------------------------------------------------------


def test_a_log_cannot_be_filled_by_those_it_complains_about(
    room: GatewayRoom, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(300):
            peer = RawClient(room.port)
            peer.send_bytes(b"GET / HTTP/1.1\r\n\r\n")
            assert peer.is_closed()
            peer.close()
    assert LINES_AT_ONCE <= caplog.text.count("closed the connection") < LINES_AT_ONCE + 50


def test_lines_that_were_left_out_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    complaints = Complaints(logging.getLogger("complaints"), lambda: now)
    with caplog.at_level(logging.WARNING):
        for number in range(LINES_AT_ONCE + 7):
            complaints.warn("line %d", number)
        now = 60.0
        complaints.warn("the last one")
    told = [record.getMessage() for record in caplog.records]
    assert told[LINES_AT_ONCE - 1 :] == [
        f"line {LINES_AT_ONCE - 1}",
        "7 more lines like the last ones were left out",
        "the last one",
    ]


def _framed(*fields: object) -> bytes:
    body = "".join(f"{field}\0" for field in fields).encode()
    return struct.pack(">I", len(body)) + body
