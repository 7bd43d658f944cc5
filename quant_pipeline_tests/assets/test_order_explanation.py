"""In the Dagster UI the executions of a slot show the versions behind them and why each order was sent."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from quant_pipeline.history.store import History
from quant_pipeline_tests.assets.conftest import RanSlot
from quant_pipeline_tests.assets.decided_slot import made


def metadata_of_executions(ran_slot: RanSlot) -> Mapping[str, dg.MetadataValue]:
    [event] = [
        event
        for event in ran_slot.result.all_events
        if event.is_step_materialization and event.asset_key == dg.AssetKey("executions")
    ]
    return event.step_materialization_data.materialization.metadata


def test_the_versions_behind_the_orders_are_named_with_their_ids(ran_slot: RanSlot) -> None:
    metadata = metadata_of_executions(ran_slot)
    decided = made(ran_slot.settings, "sized_orders", ran_slot.result)
    chain = History(ran_slot.settings.home).chain(decided.id)
    assert len(chain) == 10
    rows = str(metadata["decided by"].value).splitlines()[2:]
    assert [row.split(" | ")[:2] for row in rows] == [[f"| {one.asset}", str(one.id)] for one in chain]
    assert [metadata[f"from {one.asset}"].value for one in chain] == [one.id for one in chain]


def test_every_order_has_its_score_its_signals_and_the_limit_that_was_nearest(ran_slot: RanSlot) -> None:
    shown = str(metadata_of_executions(ran_slot)["why these orders"].value).splitlines()
    history = History(ran_slot.settings.home)
    executions = history.frame(made(ran_slot.settings, "executions", ran_slot.result).id)
    scores = history.frame(made(ran_slot.settings, "scores", ran_slot.result).id).set_index("symbol")
    entries = executions.loc[executions["leg"] == "entry"]
    rows = [line for line in shown if line.startswith("| `")]
    assert len(rows) == len(entries) > 0
    for row, symbol in zip(rows, entries["symbol"], strict=True):
        order, _, _, score, signals, limit, outcome = row.strip("| ").split(" | ")
        assert order == f"`2026-11-20T10:15:{symbol}`"
        assert score == f"{scores.loc[symbol, 'total_score']:.1f}"
        assert signals.split("; ")[0] == scores.loc[symbol, "key_signals"][0]["text"]
        assert limit.startswith("max_")
        assert outcome.startswith("sent")
