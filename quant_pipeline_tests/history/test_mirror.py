"""The journal in DuckDB: the same rows, brought up to date by what is new."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History
from quant_pipeline_tests.history.test_order_journal import AT, REF, fill, fills, intent


@pytest.fixture
def journal(tmp_path: Path) -> OrderJournal:
    return OrderJournal(tmp_path)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def mirrored(history: History, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(history.publish(), read_only=True) as reader:
        return reader.execute(sql).fetchall()


def test_the_mirror_follows_the_journal(history: History, journal: OrderJournal) -> None:
    journal.plan([intent(), intent("MSFT")], at=AT)
    assert history.mirror_journal(journal) == 2
    assert history.mirror_journal(journal) == 0
    journal.mark_sending(REF, 18, 5)
    journal.record_fills(fills(fill("e.1.01", 90), fill("m.1.01", 5, ref=None)), account="DU1")
    assert history.mirror_journal(journal) == 3
    assert mirrored(history, "SELECT symbol, state, filled_quantity FROM journal.intents ORDER BY symbol") == [
        ("AAPL", "filled", 90.0), ("MSFT", "planned", 0.0),
    ]  # fmt: skip
    assert mirrored(history, "SELECT kind FROM journal.events ORDER BY id") == [
        (kind,) for kind in ("planned", "planned", "sending", "fill", "fill")
    ]
    assert mirrored(
        history, "SELECT exec_id, order_ref, account, epoch_us(filled_at) FROM journal.fills ORDER BY exec_id"
    ) == [
        (exec_id, ref, "DU1", int(AT.timestamp()) * 1_000_000 + AT.microsecond)
        for exec_id, ref in (("e.1.01", REF), ("m.1.01", None))
    ]


def test_a_correction_reaches_the_mirror(history: History, journal: OrderJournal) -> None:
    journal.plan([intent()])
    journal.record_fills(fills(fill("e.1.01", 90)), account="DU1")
    history.mirror_journal(journal)
    journal.record_fills(fills(fill("e.1.02", 90, 149.0)), account="DU1")
    history.mirror_journal(journal)
    assert mirrored(history, "SELECT exec_id, corrected_by FROM journal.fills ORDER BY exec_id") == [
        ("e.1.01", "e.1.02"), ("e.1.02", None),
    ]  # fmt: skip


def test_the_mirror_starts_anew_when_the_journal_was_put_back(
    history: History, journal: OrderJournal, tmp_path: Path
) -> None:
    journal.plan([intent(), intent("MSFT"), intent("NVDA")])
    history.mirror_journal(journal)
    restored = OrderJournal(tmp_path / "restored")
    restored.plan([intent("TSLA")])
    assert history.mirror_journal(restored) == 1
    assert mirrored(history, "SELECT symbol FROM journal.intents") == [("TSLA",)]
    assert mirrored(history, "SELECT count(*) FROM journal.events") == [(1,)]


def test_orders_lead_back_to_what_decided_them(history: History, journal: OrderJournal) -> None:
    started = dt.datetime.now(dt.UTC)
    frame = pd.DataFrame([{
        "symbol": "AAPL", "direction": "LONG", "quantity": 90, "entry_price": 150.25, "stop_price": 145.8,
        "target_price": 161.38, "risk_amount": 400.5, "position_value": 13522.5, "approved": True, "reason": None,
        "order_ref": REF, "limits": [],
    }])  # fmt: skip
    made = history.append(
        "sized_orders", frame, slot="2026-11-20T10:15", run_id="r", code_version="1", settings_hash="s", inputs=[],
        started_at=started,
    )  # fmt: skip
    order = intent()
    journal.plan([type(order)(**{**order.__dict__, "materialization_id": made.id})])
    history.mirror_journal(journal)
    assert mirrored(
        history,
        "SELECT decided.entry_price, made.run_id FROM journal.intents JOIN history.sized_orders AS decided "
        "USING (materialization_id, order_ref) JOIN lineage.materializations AS made ON made.id = materialization_id",
    ) == [(150.25, "r")]
