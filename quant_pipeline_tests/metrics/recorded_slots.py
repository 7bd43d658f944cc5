"""Slots recorded through the real history, small enough to count by hand."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd

from quant_pipeline.frames import FRAMES, empty
from quant_pipeline.history.order_journal import Intent, OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline_tests.history.recorded_frames import indicators

WHOLE, NOTHING_PASSED, INTERRUPTED, RERUN_HALFWAY = (
    "2026-11-20T10:15",
    "2026-11-20T10:30",
    "2026-11-20T10:45",
    "2026-11-20T11:00",
)
DECIDED_AGAIN = "2026-11-20T11:15"
SENT_TWICE = "2026-11-20T11:30"
_STARTED = dt.datetime(2026, 11, 20, 15, 15, tzinfo=dt.UTC)
_PRICES = {"direction": "LONG", "entry_price": 150.25, "stop_price": 145.80, "target_price": 161.38}


def publish_recorded_slots(home: Path) -> Path:
    """A published history of a slot that ran through, and of three that did not go so well."""
    history = History(home)
    _record(history, WHOLE, universe("X"))  # replaced by the next version, so it must not count
    _record(
        history, WHOLE,
        universe("A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"),
        quality_filter("A", "B", "C", "D", "E", "F", "G", "H", "I", J="halted", K="halted", L="spread too wide"),
        ("indicators", indicators(17_000)),
        scores(WHOLE, A=81.0, B=74.5, C=72.0, D=71.0, E=70.5, F=66.0, G=60.0, H=59.9),
        sized_orders(WHOLE, A=None, B=None, C=None, D=None, E=None, F=None, G="5 % a symbol is reached"),
        executions(WHOLE, A="sent", B="sent", C="sent", D="already_working", E="already_working", F="refused"),
    )  # fmt: skip
    _record(
        history, NOTHING_PASSED,
        universe("A", "B"),
        quality_filter(A="halted", B="halted"),
        *(("scores", empty("scores")), ("sized_orders", empty("sized_orders")), ("executions", empty("executions"))),
    )  # fmt: skip
    _record(history, INTERRUPTED, ("universe", empty("universe")), ("quality_filter", empty("quality_filter")))
    _record(history, RERUN_HALFWAY, universe("A", "B"), quality_filter("A", B="halted"))
    _record(history, RERUN_HALFWAY, universe("A"))
    _send_and_decide_again(history)
    _send_in_two_runs(history)
    return history.publish()


def _send_and_decide_again(history: History) -> None:
    """A is sent and B refused; afterwards, too late to send anything, both are approved."""
    slot = DECIDED_AGAIN
    offered = [universe("A", "B"), quality_filter("A", "B"), scores(slot, A=81.0, B=74.5)]
    made = _record(history, slot, *offered, sized_orders(slot, A=None, B="5 % a symbol is reached"))
    journal = OrderJournal(history.home)
    _send(history, journal, slot, "A", made)
    _record(history, slot, executions(slot, A="sent"))
    decided = sized_orders(slot, A=None, B=None)
    _record(history, slot, *offered, decided, executions(slot, A="refused", B="refused"), run_id="another run")


def _send_in_two_runs(history: History) -> None:
    """A is sent; a later run finds other stocks, and sends B, which was refused before, and D, which was not seen."""
    slot, journal = SENT_TWICE, OrderJournal(history.home)
    offered = [universe("A", "B", "C", "E"), quality_filter("A", "B", "C", E="halted")]
    decided = [scores(slot, A=81.0, B=74.5, C=72.0), sized_orders(slot, A=None, B=None, C="5 % a symbol is reached")]
    _send(history, journal, slot, "A", _record(history, slot, *offered, *decided))
    _record(history, slot, executions(slot, A="sent", B="refused"))
    offered = [universe("B", "C", "D"), quality_filter("B", "C", "D")]
    decided = [scores(slot, B=75.5, C=73.0, D=71.0), sized_orders(slot, B=None, C=None, D=None)]
    made = _record(history, slot, *offered, *decided, run_id="another run")
    _send(history, journal, slot, "B", made)
    _send(history, journal, slot, "D", made)
    _record(history, slot, executions(slot, B="sent", C="refused", D="sent"), run_id="another run")


def _send(history: History, journal: OrderJournal, slot: str, symbol: str, made: int) -> None:
    entry = f"{slot}:{symbol}:entry"
    journal.plan([Intent(entry, "DU1", slot, symbol, "entry", "BUY", "LMT", 30, 150.25, "DAY", None, made)])
    journal.mark_sending(entry, made, made)
    journal.record_event(entry, "status", state="working")
    history.mirror_journal(journal)


def universe(*symbols: str) -> tuple[str, pd.DataFrame]:
    places = range(1, len(symbols) + 1)
    return _frame(
        "universe", symbol=symbols, rank=places, con_id=places, exchange="SMART", scan_code="MOST_ACTIVE",
    )  # fmt: skip


def quality_filter(*passed: str, **rejected: str) -> tuple[str, pd.DataFrame]:
    """Symbols that passed, and those that did not with their reason."""
    reasons = [*[None] * len(passed), *rejected.values()]
    return _frame(
        "quality_filter", symbol=[*passed, *rejected], price=150.0, spread_pct=0.1,
        passed=[reason is None for reason in reasons], reason=reasons,
    )  # fmt: skip


def scores(slot: str, **totals: float) -> tuple[str, pd.DataFrame]:
    """Symbol to total score; the components do not matter to the funnel."""
    columns = FRAMES["scores"].columns
    alike: dict[str, Any] = {name: 50.0 for name in columns if name.endswith("_score")}
    return _frame(
        "scores", **alike | _PRICES | {"symbol": list(totals), "total_score": list(totals.values())},
        atr=2.0, win_probability=0.3, expected_return_pct=0.1, confidence=70.0,
        key_signals=[[] for _ in totals], missing_signals=[[] for _ in totals], settings_hash=f"settings of {slot}",
    )  # fmt: skip


def sized_orders(slot: str, **reasons: str | None) -> tuple[str, pd.DataFrame]:
    """Symbol to the limit that bound; None where approved."""
    approved = [reason is None for reason in reasons.values()]
    return _frame(
        "sized_orders", **_PRICES, symbol=list(reasons), quantity=[30 if yes else 0 for yes in approved],
        risk_amount=133.5, position_value=4507.5, approved=approved, reason=list(reasons.values()),
        order_ref=[f"{slot}:{symbol}:entry" for symbol in reasons], limits=[[] for _ in reasons],
    )  # fmt: skip


def executions(slot: str, **outcomes: str) -> tuple[str, pd.DataFrame]:
    """Symbol to what became of its bracket, three legs each."""
    legs = [(symbol, leg) for symbol in outcomes for leg in ("entry", "stop", "target")]
    fates = [outcomes[symbol] for symbol, _ in legs]
    return _frame(
        "executions",
        order_ref=[f"{slot}:{symbol}:{leg}" for symbol, leg in legs],
        symbol=[symbol for symbol, _ in legs],
        leg=[leg for _, leg in legs],
        action=["BUY" if leg == "entry" else "SELL" for _, leg in legs],
        order_type="LMT", price=150.25, quantity=30, perm_id=0, status="working", filled_quantity=0.0,
        average_fill_price=None, outcome=fates,
        reason=["the quote is stale" if fate == "refused" else None for fate in fates],
    )  # fmt: skip


def _frame(asset: str, **values: Any) -> tuple[str, pd.DataFrame]:
    return asset, pd.DataFrame(values, columns=list(FRAMES[asset].columns))


def _record(history: History, slot: str, *frames: tuple[str, pd.DataFrame], run_id: str = "run") -> int:
    """Append the frames, each made from the one before, and return the id of the last."""
    inputs: list[int] = []
    for asset, frame in frames:
        made = history.append(
            asset, frame, slot=slot, run_id=run_id, code_version="1", settings_hash="abc", inputs=inputs,
            started_at=_STARTED,
        )  # fmt: skip
        inputs = [made.id]
    return inputs[-1]
