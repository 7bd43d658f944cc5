"""Frames travel through the history: versions, lineage, and what was recorded before."""

from __future__ import annotations

from quant_pipeline.definitions import build_definitions
from quant_pipeline.frames import CLOSING_FRAMES, FRAMES
from quant_pipeline.history.store import History
from quant_pipeline.settings import Settings
from quant_pipeline_tests.assets.conftest import RanSlot
from quant_pipeline_tests.assets.decided_slot import append, made, materialise
from quant_pipeline_tests.assets.test_definitions import GROUPS_AND_UPSTREAM, specs
from quant_pipeline_tests.broker.trading_floor import SLOT

OF_A_SLOT = sorted(set(FRAMES) - set(CLOSING_FRAMES))
OBSERVED = sorted(name for name, (group, _) in GROUPS_AND_UPSTREAM.items() if group == "observe")


def inputs_of(settings: Settings, materialization_id: int) -> dict[str, int]:
    return {behind.asset: behind.id for behind in History(settings.home).inputs_of(materialization_id)}


def test_a_run_records_one_version_of_every_frame_and_exactly_what_it_was_made_of(ran_slot: RanSlot) -> None:
    versions = {asset: made(ran_slot.settings, asset, ran_slot.result) for asset in OF_A_SLOT}
    for asset, version in versions.items():
        upstream = GROUPS_AND_UPSTREAM[asset][1]
        assert inputs_of(ran_slot.settings, version.id) == {name: versions[name].id for name in upstream}, asset
        assert version.started_at <= version.finished_at


def test_a_version_bears_the_code_and_the_settings_that_made_it(ran_slot: RanSlot) -> None:
    declared = specs(build_definitions(ran_slot.settings))
    for asset in OF_A_SLOT:
        version = made(ran_slot.settings, asset, ran_slot.result)
        assert version.code_version == declared[asset].code_version
        assert version.settings_hash == ran_slot.settings.decision_hash
    parameters = History(ran_slot.settings.home).settings(ran_slot.settings.decision_hash)
    assert parameters == ran_slot.settings.decision_parameters


def test_dagster_shows_rows_hashes_and_a_preview_of_every_frame(ran_slot: RanSlot) -> None:
    shown = {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization.metadata
        for event in ran_slot.result.get_asset_materialization_events()
        if event.asset_key
    }
    assert set(shown) == set(GROUPS_AND_UPSTREAM)
    for asset in OF_A_SLOT:
        version, metadata = made(ran_slot.settings, asset, ran_slot.result), shown[asset]
        assert metadata["dagster/row_count"].value == version.rows
        assert metadata["materialization_id"].value == version.id
        assert metadata["data_hash"].value == version.data_hash
        preview = str(metadata["preview"].value).splitlines()
        assert len(preview) == 2 + min(version.rows, 8)
        assert {line.count("|") for line in preview} == {1 + min(len(FRAMES[asset].columns), 12)}, asset


def test_progress_is_told_once_for_every_asset(ran_slot: RanSlot) -> None:
    assert sorted(ran_slot.told) == sorted(GROUPS_AND_UPSTREAM)


def test_an_asset_run_alone_reads_the_newest_version_of_its_slot(ran_slot: RanSlot) -> None:
    history = History(ran_slot.settings.home)
    quotes = history.recorded("quotes", SLOT)
    assert quotes is not None
    newer = append(ran_slot.settings, "quotes", quotes[1])
    result = materialise(ran_slot.settings, "scores")
    indicators = made(ran_slot.settings, "indicators", ran_slot.result)
    scores = made(ran_slot.settings, "scores", result)
    assert inputs_of(ran_slot.settings, scores.id) == {"indicators": indicators.id, "quotes": newer.id}
    assert scores.data_hash == made(ran_slot.settings, "scores", ran_slot.result).data_hash


def test_assets_of_one_run_read_one_version_whatever_is_appended_meanwhile(ran_slot: RanSlot) -> None:
    settings, history = ran_slot.settings, History(ran_slot.settings.home)

    def another_run_appends(asset: str, _text: str) -> None:
        for name in ("quotes", "universe", "scores"):
            recorded = history.recorded(name, SLOT)
            assert recorded is not None
            append(settings, name, recorded[1])

    before = {name: found.id for name in ("quotes", "universe") if (found := history.latest(name, SLOT))}
    result = materialise(
        ran_slot.settings_when_over, "scores", "sized_orders", "executions", progress=another_run_appends
    )
    read = {
        asset: inputs_of(settings, made(settings, asset, result).id)
        for asset in ("scores", "sized_orders", "executions")
    }
    assert read["scores"]["quotes"] == read["executions"]["quotes"] == before["quotes"]
    assert read["sized_orders"]["scores"] == made(settings, "scores", result).id
    assert read["executions"]["sized_orders"] == made(settings, "sized_orders", result).id


def test_of_a_slot_that_is_over_the_record_is_read_back_and_decided_on_again(ran_slot: RanSlot) -> None:
    settings, history = ran_slot.settings_when_over, History(ran_slot.settings.home)
    recorded = {asset: found.id for asset in OF_A_SLOT if (found := history.latest(asset, SLOT))}
    result = materialise(settings, *OBSERVED, "quality_filter")
    back = {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    for asset in OBSERVED:
        assert back[asset]["read back from materialization"].value == recorded[asset]
        found = history.latest(asset, SLOT, run_id=result.run_id)
        assert found is not None
        assert found.id == recorded[asset], "nothing was appended"
    decided = made(settings, "quality_filter", result)
    assert inputs_of(settings, decided.id) == {name: recorded[name] for name in ("universe", "quotes", "bars")}
    assert "read back from materialization" not in back["quality_filter"]
