"""Every order ever journaled leads back to all it was decided from, with the code and the settings that decided."""

from __future__ import annotations

from quant_pipeline.history import journal_reading
from quant_pipeline.history.store import History, Materialization
from quant_pipeline_tests.traded_slots import FIRST, SECOND, TradedSlots

CHAIN = (
    "universe", "quotes", "bars", "account", "portfolio", "working_orders", "quality_filter", "indicators", "scores",
    "sized_orders",
)  # fmt: skip


def chains(traded: TradedSlots) -> dict[int, list[Materialization]]:
    with journal_reading.reading(traded.home) as journal:
        senders = {intent["materialization_id"] for intent in journal.rows("intents")}
    history = History(traded.home)
    return {sender: history.chain(sender) for sender in senders}


def test_every_order_leads_to_one_version_of_all_that_was_read_and_decided(traded_slots: TradedSlots) -> None:
    found = chains(traded_slots)
    assert {chain[-1].slot for chain in found.values()} == {FIRST, SECOND}
    for chain in found.values():
        assert sorted(one.asset for one in chain) == sorted(CHAIN)
        assert len({(one.slot, one.run_id) for one in chain}) == 1


def test_every_version_on_the_way_says_its_code_and_settings_that_are_recorded(traded_slots: TradedSlots) -> None:
    history = History(traded_slots.home)
    for chain in chains(traded_slots).values():
        for one in chain:
            assert len(one.code_version) == 12
            assert history.settings(one.settings_hash) == traded_slots.settings[one.slot].decision_parameters


def test_what_was_sent_and_what_came_of_it_lead_back_to_the_decision(traded_slots: TradedSlots) -> None:
    history = History(traded_slots.home)
    for sender, chain in chains(traded_slots).items():
        executions = history.latest("executions", chain[-1].slot, run_id=chain[-1].run_id)
        panel = history.latest("portfolio_status", chain[-1].slot, run_id=chain[-1].run_id)
        assert executions is not None
        assert panel is not None
        assert sender in {one.id for one in history.inputs_of(executions.id)}
        assert sender in {one.id for one in history.chain(panel.id)}


def test_a_decision_made_again_is_a_version_beside_the_one_that_sent(traded_slots: TradedSlots) -> None:
    history = History(traded_slots.home)
    sender = next(sender for sender, chain in chains(traded_slots).items() if chain[-1].slot == FIRST)
    newest = history.latest("sized_orders", FIRST)
    assert newest is not None
    assert newest.id > sender
    assert history.settings(newest.settings_hash) == traded_slots.other_settings.decision_parameters
    observed = {one.asset: one.id for one in history.chain(sender)}
    again = {one.asset: one.id for one in history.chain(newest.id)}
    assert {asset for asset in CHAIN if again[asset] == observed[asset]} == set(CHAIN[:6])
