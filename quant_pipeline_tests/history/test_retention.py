"""What is given up by the rule of how long frames are kept, and that nothing else is."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_pipeline.errors import PrunedError
from quant_pipeline.frames import empty
from quant_pipeline.history.order_journal import Intent, OrderJournal
from quant_pipeline.history.retention import PRUNED_ASSETS
from quant_pipeline.history.store import History, Materialization, data_hash
from quant_pipeline_tests.history.recorded_frames import MADE, bars_of, indicators, quality_filter

SESSIONS = ("2026-11-18", "2026-11-19", "2026-11-20")
ACCOUNT = "DU1"


def record(history: History, asset: str, frame: pd.DataFrame, slot: str, *inputs: Materialization) -> Materialization:
    """A version of an asset in a slot, made from others."""
    made = {**MADE, "inputs": [one.id for one in inputs]}
    return history.append(asset, frame, slot=slot, source=ACCOUNT if asset == "bars" else None, **made)


def send_order(journal: OrderJournal, decided: Materialization) -> None:
    """An order that was decided by a materialization, written down."""
    intent = Intent(
        order_ref=f"{decided.slot}:A{decided.id}:entry", account=ACCOUNT, slot=decided.slot, symbol="A", leg="entry",
        action="BUY", order_type="LMT", quantity=1.0, price=10.0, tif="DAY", parent_ref=None,
        materialization_id=decided.id,
    )  # fmt: skip
    journal.plan([intent])


def readable(history: History, one: Materialization) -> bool:
    """Whether a frame is still what it was; False where it was given up."""
    try:
        frame = history.frame(one.id)
    except PrunedError:
        return False
    assert data_hash(one.asset, frame) == one.data_hash
    return True


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def test_frames_of_sessions_before_those_kept_are_given_up_and_said_so(home: Path) -> None:
    history, journal = History(home), OrderJournal(home)
    made = [record(history, "indicators", indicators(3, seed), f"{day}T10:15") for seed, day in enumerate(SESSIONS)]
    pruned = history.prune(2, journal)
    assert (pruned.versions, pruned.rows, pruned.first_kept) == (1, 3, "2026-11-19")
    assert [readable(history, one) for one in made] == [False, True, True]
    with pytest.raises(
        PrunedError, match=r"indicators 2026-11-18T10:15 .* was pruned on .* retention.keep_sessions = 2"
    ):
        history.frame(made[0].id)
    assert history.latest("indicators", made[0].slot) == made[0]
    assert history.prune(2, journal).versions == 0


def test_nothing_is_given_up_while_there_are_no_more_sessions_than_are_kept(home: Path) -> None:
    history, journal = History(home), OrderJournal(home)
    assert history.prune(1, journal).first_kept is None
    made = record(history, "indicators", indicators(3), f"{SESSIONS[0]}T10:15")
    assert history.prune(1, journal).versions == 0
    assert readable(history, made)


def test_whatever_led_to_an_order_stays(home: Path) -> None:
    history, journal = History(home), OrderJournal(home)
    slot = f"{SESSIONS[0]}T10:15"
    passed = record(history, "quality_filter", quality_filter("A"), slot)
    used = record(history, "indicators", indicators(2, 1), slot, passed)
    decided = record(history, "sized_orders", empty("sized_orders"), slot, used)
    made_again = record(history, "indicators", indicators(2, 2), slot, passed)
    send_order(journal, decided)
    record(history, "indicators", indicators(2, 3), f"{SESSIONS[1]}T10:15")
    assert history.prune(1, journal).versions == 1
    assert [readable(history, one) for one in (passed, used, made_again)] == [True, True, False]


def test_a_journal_that_lost_its_orders_costs_nothing_of_what_led_to_them(home: Path) -> None:
    history, journal = History(home), OrderJournal(home)
    used = record(history, "indicators", indicators(2, 1), f"{SESSIONS[0]}T10:15")
    send_order(journal, record(history, "sized_orders", empty("sized_orders"), used.slot, used))
    record(history, "indicators", indicators(2, 3), f"{SESSIONS[1]}T10:15")
    history.mirror_journal(journal)
    assert history.prune(1, OrderJournal(home / "another")).versions == 0
    assert readable(history, used)


def test_what_trades_and_days_are_reckoned_from_is_no_matter_of_retention() -> None:
    assert not {"account", "portfolio", "portfolio_status", "fills", "executions", "quotes"} & set(PRUNED_ASSETS)


def test_a_bar_that_a_later_frame_still_shows_outlives_the_frame_that_saw_it_first(home: Path) -> None:
    history, journal = History(home), OrderJournal(home)
    first = record(history, "bars", bars_of(A={"2026-11-16": 1.0, "2026-11-17": 2.0}), f"{SESSIONS[0]}T10:15")
    second = record(history, "bars", bars_of(A={"2026-11-16": 1.0, "2026-11-17": 2.5}), f"{SESSIONS[1]}T10:15")
    third = record(history, "bars", bars_of(A={"2026-11-16": 1.0, "2026-11-17": 2.5}), f"{SESSIONS[2]}T10:15")
    assert history.prune(1, journal).versions == 2
    assert [readable(history, one) for one in (first, second, third)] == [False, False, True]
    with history._file.transaction() as connection:
        assert connection.execute("SELECT date::VARCHAR, close FROM bars ORDER BY ALL").fetchall() == [
            ("2026-11-16", 1.0), ("2026-11-17", 2.5),
        ]  # fmt: skip


DATES = ("2026-11-16", "2026-11-17", "2026-11-18*", "2026-11-19*", "2026-11-20*")
CLOSES = st.dictionaries(st.sampled_from(DATES), st.sampled_from([1.0, 2.0, None]), max_size=4)


def bars_frame(symbols: dict[str, dict[str, float | None]]) -> pd.DataFrame:
    return bars_of(**{name: dict(sorted(bars.items())) for name, bars in symbols.items() if bars})


@settings(max_examples=15, deadline=None)
@given(
    recorded=st.lists(
        st.tuples(st.sampled_from(SESSIONS), st.fixed_dictionaries({"A": CLOSES, "B": CLOSES}), st.booleans()),
        min_size=2,
        max_size=7,
    ),
    after=st.fixed_dictionaries({"A": CLOSES, "B": CLOSES}),
    keep=st.integers(1, 2),
    compacts=st.booleans(),
)
def test_every_bars_frame_that_is_kept_comes_back_bit_for_bit(
    recorded: list[tuple[str, dict[str, dict[str, float | None]], bool]],
    after: dict[str, dict[str, float | None]],
    keep: int,
    compacts: bool,
) -> None:
    with TemporaryDirectory() as place:
        history, journal = History(Path(place)), OrderJournal(Path(place))
        made = []
        for index, (day, symbols, sends) in enumerate(recorded):
            seen = record(history, "bars", bars_frame(symbols), f"{day}T10:{15 * (index % 4):02d}")
            if sends:
                send_order(journal, record(history, "sized_orders", empty("sized_orders"), seen.slot, seen))
            made.append((seen, sends))
        slots = [one.slot for one, _ in made]
        days = sorted({slot[:10] for slot in slots}, reverse=True)
        kept_before = {slot: history.kept_bars(ACCOUNT, slot) for slot in slots if slot[:10] in days[:keep]}
        history.prune(keep, journal)
        if compacts:
            history.compact()
        for one, sends in made:
            must = sends or one.slot[:10] in days[:keep] or one.rows == 0
            assert readable(history, one) == must
        for slot, frame in kept_before.items():
            pd.testing.assert_frame_equal(history.kept_bars(ACCOUNT, slot), frame)
        later = record(history, "bars", bars_frame(after), "2026-11-20T15:45")
        assert readable(history, later)
        journal.close()


def test_people_see_the_newest_bars_as_before(home: Path) -> None:
    history, journal = History(home), OrderJournal(home)
    for day, close in zip(SESSIONS, (1.0, 2.0, 3.0), strict=True):
        record(history, "bars", bars_of(A={"2026-11-16": 5.0, "2026-11-17": close}), f"{day}T10:15")
    before = duckdb.connect(history.publish(), read_only=True).execute("FROM current.bars ORDER BY ALL").fetchall()
    history.prune(1, journal)
    after = duckdb.connect(history.publish(), read_only=True).execute("FROM current.bars ORDER BY ALL").fetchall()
    assert after == before
