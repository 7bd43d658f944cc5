"""What a slot costs in a warm process on the paper gateway: seconds, messages, memory, and Dagster's share of it.

Run it with ``.venv/bin/python -m benchmarks.slot``. It plays the first slots of a morning on a book of its own, once
with the client's throttle off and once with IB's 45 messages a second, and prints seconds beside what they are to be
compared with: the same work without Dagster, and the time the messages themselves take at that pace.
"""

from __future__ import annotations

import datetime as dt
import resource
import statistics
import tempfile
import time
from pathlib import Path

from ib_insync.client import Client

from quant_pipeline.assets.slot_run import SlotRun
from quant_pipeline.broker.account import read_account, read_fills
from quant_pipeline.broker.bars import read_daily_bars
from quant_pipeline.broker.quotes import read_quotes
from quant_pipeline.broker.scanner import read_universe
from quant_pipeline.cli.run_slot import run_slot
from quant_pipeline.paper_gateway import embedded
from quant_pipeline.quant import run_quant_scan
from quant_pipeline.settings import Settings, load_settings

SLOTS = ("2026-11-20T10:15", "2026-11-20T10:30", "2026-11-20T10:45", "2026-11-20T11:00")
IB_PACE = 45
sent: list[str] = []


def count_messages() -> None:
    """Count every message the client library puts on the wire from now on."""
    send = Client.sendMsg

    def counted(self: Client, msg: str) -> None:
        if msg:
            sent.append(msg)
        send(self, msg)

    Client.sendMsg = counted


def bare_slot(settings: Settings, slot: str) -> tuple[float, float]:
    """Seconds of observing and deciding without Dagster and without recording, and of deciding alone."""
    run = SlotRun(settings)
    started = time.perf_counter()
    account = read_account(run.broker, settings)
    read_fills(run.broker)
    universe = read_universe(run.broker, settings.universe)
    quotes = read_quotes(run.broker, universe, settings.broker)
    kept = run.history.kept_bars(run.broker.account, slot)
    bars = read_daily_bars(run.broker, universe, quotes, kept, settings.broker, run.now()).frame
    observed = time.perf_counter()
    run_quant_scan(
        settings,
        universe=universe,
        quotes=quotes,
        bars=bars,
        account=account.account,
        portfolio=account.portfolio,
        working_orders=account.working_orders,
        slot_key=slot,
        session_progress=0.15,
    )
    decided = time.perf_counter()
    run.close()
    return decided - started, decided - observed


def measure(pace: int) -> None:
    """Play the morning at a pace (messages a second, 0 is unlimited) and print a line a slot."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(home=Path(folder), broker={"messages_per_second": pace})
        decide = []
        try:
            for slot in SLOTS:
                embedded.ensure_running(settings, at=dt.datetime.fromisoformat(slot))
                sent.clear()
                started = time.perf_counter()
                report = run_slot(settings, slot)
                seconds, messages = time.perf_counter() - started, len(sent)
                bare, deciding = bare_slot(settings, slot)
                decide.append(deciding)
                compared = f"{messages / pace:5.1f} s the messages' own time" if pace else f"{bare:5.2f} s bare"
                print(
                    f"  {slot}  {seconds:5.2f} s, {report.timings['total']:5.2f} s in steps, {compared}, "
                    f"{messages} messages ({messages / report.funnel.scanned:.2f} a symbol), "
                    f"{report.funnel.orders_sent} orders sent"
                )
            print(f"  deciding alone: {1000 * statistics.median(decide):.0f} ms (median)")
        finally:
            embedded.stop(settings.home)


if __name__ == "__main__":
    count_messages()
    for pace, words in ((0, "throttle off"), (IB_PACE, f"{IB_PACE} messages a second")):
        print(words)
        measure(pace)
    print(f"memory of the process at its highest: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
