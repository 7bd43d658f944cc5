"""What a replayed session costs on the paper gateway, and how much memory five hundred stocks take.

Run it with ``.venv/bin/python -m benchmarks.gateway_replay --bars daily.parquet --minute-bars minutes.parquet``. The
clock is moved from slot to slot; in each of the 26 a client with its throttle off asks what the pipeline asks: scans,
contract details, a year of daily bars once and the last days afterwards, snapshots in batches, brackets, executions,
positions, account. Then two gateways are filled with five hundred stocks, synthetic and replayed from generated bars,
and the resident memory of their processes is printed, now and at its highest. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ib_insync import IB, Contract, ScannerSubscription, Stock

from quant_pipeline.automation.sessions import Session, session_on, sessions_between
from quant_pipeline.errors import UsageError

DAY = dt.date(2018, 2, 20)
SLOT = dt.timedelta(minutes=15)
OBSERVED = dt.timedelta(seconds=20)
"""How long after its start a slot is looked at."""

MOST_SYMBOLS = 100
QUOTES_A_BATCH = 50
BRACKETS_A_SLOT = 40
STOCKS = 500
SESSIONS_OF_MINUTES = 10
LIFTED = (
    "messages_per_second", "market_data_lines", "open_history_requests", "orders_per_contract_and_side",
    "rows_per_scan",
)  # fmt: skip
SCANS = ("STK.NASDAQ", "STK.NYSE", "STK.US.MAJOR")


class SteppedGateway:
    """A gateway whose clock is moved by lines on its standard input."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._in, self._out = process, process.stdin, process.stdout
        self.port = int(self._out.readline().rpartition(":")[2])

    def move_to(self, at: dt.datetime) -> float:
        """Move the clock; return the seconds that took."""
        began = time.perf_counter()
        self._in.write(f"{at.isoformat()}\n")
        self._in.flush()
        self._out.readline()
        return time.perf_counter() - began

    def megabytes(self) -> tuple[float, float]:
        """Resident memory of the process, now and at its highest."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        sizes = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith("Vm")}
        return int(sizes["VmRSS"]) / 1024, int(sizes["VmHWM"]) / 1024


@contextmanager
def stepped(at: dt.datetime, *options: str) -> Iterator[SteppedGateway]:
    """A gateway with a book of its own that stands at an instant, without the limits that make clients wait."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "quant_pipeline.paper_gateway", "--home", home, "--speed", "0"]
        command += ["--at", f"{at:%Y-%m-%dT%H:%M:%S}", "--cash", "50000000", *options]
        for limit in LIFTED:
            command += ["--limit", f"{limit}=off"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            yield SteppedGateway(process)
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def client(port: int) -> Iterator[IB]:
    """The real client without its throttle."""
    ib = IB()
    ib.RequestTimeout = 60
    ib.client.MaxRequests = 0
    ib.connect("127.0.0.1", port, clientId=1, timeout=10)
    try:
        yield ib
    finally:
        ib.disconnect()


# ---- a session ------------------------------------------------------------------------------------------------------


class Trader:
    """Asks what the pipeline asks in a slot, and counts."""

    def __init__(self, ib: IB) -> None:
        self.ib = ib
        self.known: dict[str, Contract] = {}
        self.orders = 0
        self.quotes = 0
        self.bars = 0

    def slot(self) -> None:
        """One slot from the scan to the account."""
        symbols = self._scan()
        new = [symbol for symbol in symbols if symbol not in self.known]
        self.ib.run(self._details(new))
        asks = self.ib.run(self._quotes(symbols))
        assert isinstance(asks, dict)
        self.ib.run(self._bars(new, "1 Y"))
        self.ib.run(self._bars([symbol for symbol in symbols if symbol not in new], "2 D"))
        for symbol in list(asks)[:BRACKETS_A_SLOT]:
            self._bracket(symbol, asks[symbol])
        self.ib.reqCurrentTime()
        self.ib.reqExecutions()
        self.ib.reqPositions()
        self.ib.accountSummary()
        self.ib.reqAllOpenOrders()

    def _scan(self) -> list[str]:
        found: dict[str, None] = {}
        for place in SCANS:
            rows = self.ib.reqScannerData(
                ScannerSubscription(instrument="STK", locationCode=place, scanCode="MOST_ACTIVE")
            )
            found |= {row.contractDetails.contract.symbol: None for row in rows if row.contractDetails.contract}
        return list(found)[:MOST_SYMBOLS]

    async def _details(self, symbols: Sequence[str]) -> None:
        asked = [self.ib.reqContractDetailsAsync(Stock(symbol, "SMART", "USD")) for symbol in symbols]
        for symbol, details in zip(symbols, await asyncio.gather(*asked), strict=True):
            assert details[0].contract is not None
            self.known[symbol] = details[0].contract

    async def _quotes(self, symbols: Sequence[str]) -> dict[str, float]:
        asks: dict[str, float] = {}
        for first in range(0, len(symbols), QUOTES_A_BATCH):
            batch = symbols[first : first + QUOTES_A_BATCH]
            tickers = await self.ib.reqTickersAsync(*(self.known[symbol] for symbol in batch))
            asks |= {symbol: ticker.ask for symbol, ticker in zip(batch, tickers, strict=True) if ticker.ask > 0}
        self.quotes += len(asks)
        return asks

    async def _bars(self, symbols: Sequence[str], length: str) -> None:
        asked = [
            self.ib.reqHistoricalDataAsync(self.known[symbol], "", length, "1 day", "TRADES", True)
            for symbol in symbols
        ]
        self.bars += sum(len(bars) for bars in await asyncio.gather(*asked))

    def _bracket(self, symbol: str, ask: float) -> None:
        orders = self.ib.bracketOrder("BUY", 50, ask, round(ask * 1.01, 2), round(ask * 0.995, 2), tif="GTC")
        for order in orders:
            self.ib.placeOrder(self.known[symbol], order)
        self.orders += len(orders)


def replay_session(bars: Path, minute_bars: Path) -> None:
    """Play a whole session and print what it took."""
    session = _session(DAY)
    slots = [session.opens + number * SLOT for number in range(session.minutes // 15)]
    began = time.perf_counter()
    with stepped(session.opens, "--bars", str(bars), "--minute-bars", str(minute_bars)) as gateway:
        started = time.perf_counter() - began
        with client(gateway.port) as ib:
            trader = Trader(ib)
            stepping, longest = 0.0, 0.0
            for slot in slots:
                slot_began = time.perf_counter()
                stepping += gateway.move_to(slot + OBSERVED)
                trader.slot()
                longest = max(longest, time.perf_counter() - slot_began)
            stepping += gateway.move_to(session.closes)
            fills = len(ib.fills())
        took = time.perf_counter() - began
        now, highest = gateway.megabytes()
    print(
        f"a session of {len(slots)} slots and {len(trader.known)} symbols: {took:.1f} s of the machine, of which "
        f"{started:.1f} s to start and {stepping:.1f} s to move the clock; the longest slot {longest:.1f} s\n"
        f"  {trader.orders} orders, {fills} fills, {trader.quotes} quotes, {trader.bars} daily bars; "
        f"{now:.0f} MB resident, at most {highest:.0f} MB"
    )


# ---- five hundred stocks --------------------------------------------------------------------------------------------


def measure_memory(name: str, at: dt.datetime, options: Sequence[str]) -> None:
    """Fill a gateway with every stock of its market and print what it holds."""
    with stepped(at, *options) as gateway:
        with client(gateway.port) as ib:
            trader = Trader(ib)
            scan = ScannerSubscription(STOCKS, "STK", "STK.US.MAJOR", "MOST_ACTIVE")
            rows = ib.reqScannerData(scan)
            symbols = [row.contractDetails.contract.symbol for row in rows if row.contractDetails.contract]
            ib.run(trader._details(symbols))
            ib.run(trader._bars(symbols, "1 Y"))
            for slot in range(1, 4):
                gateway.move_to(at + slot * SLOT)
                ib.run(trader._quotes(symbols))
        now, highest = gateway.megabytes()
    print(f"{len(symbols)} stocks, {name}: {now:.0f} MB resident, at most {highest:.0f} MB")


def generated_files(folder: Path) -> tuple[Path, Path]:
    """Bars of five hundred stocks: a year of days and ten sessions of minutes, those of the last one among them."""
    random = np.random.default_rng(1)
    symbols = [f"S{number:03d}" for number in range(STOCKS)]
    days = sessions_between(DAY - dt.timedelta(days=380), DAY)
    recorded = sessions_between(DAY - dt.timedelta(days=20), DAY)[-SESSIONS_OF_MINUTES:]
    starts = np.array(
        [np.datetime64(_session(day).opens.replace(tzinfo=None), "us") for day in recorded], dtype="datetime64[us]"
    )
    minutes = (starts[:, None] + np.arange(390) * np.timedelta64(60_000_000, "us")).ravel()
    paths = folder / "days.parquet", folder / "minutes.parquet"
    for path, column, times in ((paths[0], "date", np.array(days, dtype="datetime64[D]")), (paths[1], "ts", minutes)):
        count = len(times)
        price = np.round(50 * np.exp(np.cumsum(random.normal(0, 0.0005, (STOCKS, count)), axis=1)), 2)
        close = np.round(price * (1 + random.normal(0, 0.0003, price.shape)), 2)
        table = {
            "symbol": np.repeat(symbols, count),
            column: np.tile(times, STOCKS),
            "open": price.ravel(),
            "high": (np.maximum(price, close) + 0.02).ravel(),
            "low": (np.minimum(price, close) - 0.02).ravel(),
            "close": close.ravel(),
            "volume": random.integers(500, 50_000, STOCKS * count),
        }
        pq.write_table(pa.table(table), path)
    return paths


def _session(day: dt.date) -> Session:
    session = session_on(day)
    if session is None:
        raise UsageError(f"There is no session on {day}.")
    return session


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=Path, help="daily bars of the session; without them generated ones are played")
    parser.add_argument("--minute-bars", type=Path, help=f"minute bars of {DAY}")
    chosen = parser.parse_args()
    at = _session(DAY).opens + 2 * SLOT
    with tempfile.TemporaryDirectory() as folder:
        generated = generated_files(Path(folder))
        bars, minutes = (chosen.bars, chosen.minute_bars) if chosen.bars and chosen.minute_bars else generated
        replay_session(bars, minutes)
        measure_memory("synthetic", at, [])
        measure_memory("replayed", at, ["--bars", str(generated[0]), "--minute-bars", str(generated[1])])


if __name__ == "__main__":
    main()
