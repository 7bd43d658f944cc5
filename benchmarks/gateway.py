"""What the paper gateway carries: messages a second on one core, and what a year of bars costs beside the client.

Run it with ``.venv/bin/python -m benchmarks.gateway`` on Linux. The gateway is a process of its own, held to one core
where there are two, its client is another that sends prepared packets and does nothing with the answers but count them.
Printed are the messages in and out a second of the clock, and those a second of the gateway's own processor time. The
second part fetches a year of daily bars of a hundred symbols with ib_insync, once from the gateway and once from a
server that does nothing but send the same bytes again, so that what remains is the gateway's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import select
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ib_insync import IB, ScannerSubscription, Stock

from quant_pipeline.paper_gateway.protocol.wire import GREETING, Field, encode, frame

HOST = "127.0.0.1"
MORNING = "2026-11-20T10:15"
REQUESTS = 200_000
REQUESTS_A_PACKET = 100
PACKETS_UNDER_WAY = 20
HISTORIES = 100
ROUNDS = 15
QUIET_SECONDS = 0.3
LENGTH = struct.Struct(">I")
CONTRACT: list[Field] = ["", 0.0, "", "", "SMART", "", "USD", "", ""]


@dataclass(frozen=True)
class Gateway:
    """A running gateway: its port and process."""

    port: int
    pid: int

    def processor_seconds(self) -> float:
        """What the process has used so far."""
        # Linux's clock of another process (clock_getcpuclockid), exact where /proc counts hundredths of a second.
        return time.clock_gettime(~self.pid << 3 | 2)


@contextmanager
def running_gateway(core: int | None) -> Iterator[Gateway]:
    """A gateway of the synthetic market without its limits, on one core if one is given."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "quant_pipeline.paper_gateway", "--home", home, "--at", MORNING]
        for limit in ("messages_per_second", "open_history_requests", "market_data_lines"):
            command += ["--limit", f"{limit}=off"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(":")[2])
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            yield Gateway(port, process.pid)
        finally:
            process.terminate()
            process.wait(10)


# ---- messages a second ----------------------------------------------------------------------------------------------


class Counter:
    """A connection that sends prepared bytes and counts the messages that come back."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = 0
        self._rest = b""
        self.socket.sendall(GREETING + frame("v157..176") + encode([71, 2, 1, ""]))
        self.count_until_quiet()

    def count(self) -> None:
        """Count the messages that have come; waits for some."""
        data = self._rest + self.socket.recv(1 << 20)
        position, end, unpack = 0, len(data) - 4, LENGTH.unpack_from
        received = 0
        while position <= end:
            following = position + 4 + unpack(data, position)[0]
            if following > end + 4:
                break
            position = following
            received += 1
        self._rest = data[position:]
        self.received += received

    def count_until_quiet(self) -> int:
        """Count what comes until nothing does for a while."""
        before = self.received
        while select.select([self.socket], [], [], QUIET_SECONDS)[0]:
            self.count()
        return self.received - before


def requests(symbol: str) -> dict[str, list[list[Field]]]:
    """What is asked in each run; a cycle of them is repeated."""
    details: list[Field] = [9, 8, 5, 0, symbol, "STK", *CONTRACT[:-1], "", 0, "", ""]
    quote: list[Field] = [1, 11, 6, 0, symbol, "STK", *CONTRACT, 0, "", 1, 0, ""]
    time_asked: list[Field] = [49, 1]
    return {
        "current time": [time_asked],
        "unknown message": [[4711, 1]],
        "price grid": [[91, 26]],
        "contract details": [details],
        "snapshot quote": [quote],
        "a slot's questions": [time_asked, details, quote, [91, 26], [5, 1], [61, 1], [64, 1], time_asked],
    }


def measure_load(gateway: Gateway, name: str, cycle: list[list[Field]], wanted: int) -> None:
    """Send a cycle of requests over and over, a bounded number ahead of the answers, and print what was carried."""
    client = Counter(gateway.port)
    once = b"".join(encode(fields) for fields in cycle)
    client.socket.sendall(once)
    answers = client.count_until_quiet()
    cycles = max(REQUESTS_A_PACKET // len(cycle), 1)
    packet, of_packet = once * cycles, answers * cycles
    packets = max(wanted // (cycles * len(cycle)), 1)
    goal = client.received + packets * of_packet
    threading.Thread(target=_send, args=(client, packet, packets, of_packet, client.received), daemon=True).start()
    began, used = time.perf_counter(), gateway.processor_seconds()
    while client.received < goal:
        client.count()
    took, used = time.perf_counter() - began, gateway.processor_seconds() - used
    client.socket.close()
    into, out = packets * cycles * len(cycle), packets * of_packet
    print(
        f"{name:20} {into:8,} in {out:9,} out   {into / took:9,.0f} in/s {out / took:10,.0f} out/s"
        f"   a processor second: {into / used:9,.0f} in and {out / used:10,.0f} out"
    )


def _send(client: Counter, packet: bytes, packets: int, of_packet: int, already: int) -> None:
    for number in range(packets):
        while number * of_packet - (client.received - already) > PACKETS_UNDER_WAY * of_packet:
            time.sleep(0.0002)
        client.socket.sendall(packet)


def measure_round_trips(gateway: Gateway, count: int = 20_000) -> None:
    """Ask for the time and wait for it, over and over: what one message alone costs."""
    client = Counter(gateway.port)
    asked = encode([49, 1])
    began, used = time.perf_counter(), gateway.processor_seconds()
    for _ in range(count):
        client.socket.sendall(asked)
        client.count()
    took, used = time.perf_counter() - began, gateway.processor_seconds() - used
    client.socket.close()
    of_gateway = 1e6 * used / count
    print(f"{'one after the other':20} {count / took:,.0f} round trips/s, {of_gateway:.1f} us of the gateway each")


# ---- a year of bars -------------------------------------------------------------------------------------------------


@dataclass
class Recording:
    """What a server said, each piece with the number of bytes the client had sent before."""

    pieces: list[tuple[int, bytes]]


def recorded(port: int, symbols: list[str]) -> Recording:
    """Fetch the histories once through a relay that remembers what was said."""
    recording = Recording([])
    listener = socket.create_server((HOST, 0))
    relay = threading.Thread(target=_relay, args=(listener, port, recording), daemon=True)
    relay.start()
    fetch(listener.getsockname()[1], symbols)
    relay.join(10)
    return recording


def _relay(listener: socket.socket, port: int, recording: Recording) -> None:
    sent = 0
    client = listener.accept()[0]
    with listener, client, socket.create_connection((HOST, port)) as server:
        while True:
            ready = select.select([client, server], [], [])[0]
            for source, other in ((client, server), (server, client)):
                if source not in ready:
                    continue
                data = source.recv(1 << 20)
                if not data:
                    return
                if source is client:
                    sent += len(data)
                else:
                    recording.pieces.append((sent, data))
                other.sendall(data)


def replay(path: str) -> None:
    """Serve a recording again and again: what the client costs when the server costs nothing."""
    recorded_bytes = Path(path).read_bytes()
    pieces: list[tuple[int, bytes]] = []
    position = 0
    while position < len(recorded_bytes):
        after, length = struct.unpack_from(">QQ", recorded_bytes, position)
        pieces.append((after, recorded_bytes[position + 16 : position + 16 + length]))
        position += 16 + length
    listener = socket.create_server((HOST, 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client = listener.accept()[0]
        with client:
            heard = 0
            for after, piece in pieces:
                while heard < after:
                    data = client.recv(1 << 20)
                    if not data:
                        break
                    heard += len(data)
                client.sendall(piece)
            while client.recv(1 << 20):
                pass


@contextmanager
def replaying(recording: Recording, core: int | None) -> Iterator[int]:
    """The port of a server, a process of its own, that plays a recording."""
    with tempfile.NamedTemporaryFile() as file:
        for after, piece in recording.pieces:
            file.write(struct.pack(">QQ", after, len(piece)) + piece)
        file.flush()
        command = [sys.executable, "-m", "benchmarks.gateway", "--replay", file.name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            yield port
        finally:
            process.terminate()
            process.wait(10)


def fetch(port: int, symbols: list[str]) -> tuple[float, float]:
    """Seconds of the clock and of this process to fetch a year of daily bars of every symbol at once."""
    ib = IB()
    ib.client.MaxRequests = 0
    ib.connect(HOST, port, clientId=1, timeout=10)

    async def ask() -> list[int]:
        contracts = [Stock(symbol, "SMART", "USD") for symbol in symbols]
        asked = [ib.reqHistoricalDataAsync(each, "", "1 Y", "1 day", "TRADES", True) for each in contracts]
        return [len(bars) for bars in await asyncio.gather(*asked)]

    began, used = time.perf_counter(), time.process_time()
    lengths: list[int] = ib.run(ask()) or []
    took, used = time.perf_counter() - began, time.process_time() - used
    ib.disconnect()
    assert min(lengths) > 0, lengths
    return took, used


def most_active(port: int, count: int) -> list[str]:
    """Symbols of the market, as scans find them."""
    ib = IB()
    ib.connect(HOST, port, clientId=1, timeout=10)
    found: dict[str, None] = {}
    for place in ("STK.NASDAQ", "STK.NYSE", "STK.AMEX", "STK.ARCA"):
        rows = ib.reqScannerData(ScannerSubscription(instrument="STK", locationCode=place, scanCode="MOST_ACTIVE"))
        found |= {row.contractDetails.contract.symbol: None for row in rows if row.contractDetails.contract}
    ib.disconnect()
    return list(found)[:count]


def measure_histories(gateway: Gateway, core: int | None) -> None:
    """Print what a hundred years of daily bars cost from the gateway and from the recording, turn and turn about."""
    symbols = most_active(gateway.port, HISTORIES)
    first, _ = fetch(gateway.port, symbols)
    recording = recorded(gateway.port, symbols)
    with replaying(recording, core) as port:
        fetch(port, symbols)
        served: list[float] = []
        alone: list[float] = []
        used = gateway.processor_seconds()
        for _ in range(ROUNDS):
            served.append(fetch(gateway.port, symbols)[0])
            alone.append(fetch(port, symbols)[0])
        used = (gateway.processor_seconds() - used) / ROUNDS
    ours, theirs = statistics.median(served), statistics.median(alone)
    print(
        f"\n{len(symbols)} x a year of daily bars: {ours:.3f} s from the gateway, {theirs:.3f} s from a recording, "
        f"ratio {ours / theirs:.3f}; the first time {first:.3f} s; {used:.3f} s of the gateway's processor"
    )


def main() -> None:
    """Run all of it, or serve a recording."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replay", help=argparse.SUPPRESS)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of each kind")
    chosen = parser.parse_args()
    if chosen.replay:
        replay(chosen.replay)
        return
    cores = sorted(os.sched_getaffinity(0))
    core = cores[0] if len(cores) > 1 else None
    if core is not None:
        os.sched_setaffinity(0, set(cores[1:]))
    with running_gateway(core) as gateway:
        symbol = most_active(gateway.port, 1)[0]
        for name, cycle in requests(symbol).items():
            measure_load(gateway, name, cycle, chosen.requests)
        measure_round_trips(gateway)
        measure_histories(gateway, core)


if __name__ == "__main__":
    main()
