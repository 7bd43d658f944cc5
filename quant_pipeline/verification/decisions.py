"""A recorded decision made again: from the recorded inputs, under the recorded settings, by the code the assets run.

Inputs are the versions that lineage names, whatever is newer; settings are what stands behind the recorded hash, with
nothing of today's environment. What comes out is compared column by column, so that a difference can be named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
from pydantic import ValidationError

from quant_pipeline.automation.slots import parse_slot, session_progress
from quant_pipeline.code_version import code_version
from quant_pipeline.errors import HistoryError
from quant_pipeline.frames import validate
from quant_pipeline.history.columns import columns_of, table_hash, to_arrow
from quant_pipeline.quant import QuantMarketScanner
from quant_pipeline.settings import QualitySettings, RiskSettings, ScoringSettings, Settings
from quant_pipeline.verification.differences import Difference, Kind
from quant_pipeline.verification.recordings import Recording, Recordings

INPUTS: dict[str, tuple[str, ...]] = {
    "quality_filter": ("universe", "quotes", "bars"),
    "indicators": ("quality_filter", "quotes", "bars"),
    "scores": ("indicators", "quotes"),
    "sized_orders": ("scores", "account", "portfolio", "working_orders", "bars"),
}
"""The deciding assets in their order, with what each decides from."""


class RecordedSettings(Settings):
    """Settings that decided once, under the hash they had then: later settings would change it by being there."""

    recorded_hash: str = ""

    @property
    def decision_hash(self) -> str:
        """The hash they were recorded under."""
        return self.recorded_hash


@dataclass(frozen=True)
class Again:
    """What came of deciding again: no difference, or what differs; columns that did not exist then do not count.

    Of a damaged frame ``damage`` says in a sentence what was changed in it, and in which column.
    """

    difference: Difference | None = None
    newer_columns: tuple[str, ...] = ()
    damage: tuple[str, str | None] | None = None


def settings_of(parameters: str, settings_hash: str) -> Settings:
    """The settings behind a hash, from the recorded parameters alone: no file, no environment.

    Raises ``HistoryError`` when they hold a setting that this version does not have.
    """
    recorded = json.loads(parameters)
    try:
        return RecordedSettings.model_construct(
            quality=QualitySettings.model_validate(recorded["quality"]),
            scoring=ScoringSettings.model_validate(recorded["scoring"]),
            risk=RiskSettings.model_validate(recorded["risk"]),
            recorded_hash=settings_hash,
        )
    except (KeyError, ValidationError) as error:
        first = error.errors()[0]["loc"] if isinstance(error, ValidationError) else error.args
        raise HistoryError(f"this version cannot use the setting {'.'.join(map(str, first))} of then") from error


class DecisionMaker:
    """Decides recorded versions again; settings are built once for each hash."""

    def __init__(self) -> None:
        self._settings: dict[str, Settings] = {}

    def again(self, recording: Recording, recordings: Recordings) -> Again:
        """Decide a version again and compare. Call it for versions whose inputs are not damaged."""
        inputs = {recordings.by_id[one].asset: recordings.by_id[one] for one in recording.inputs}
        frames = {asset: recordings.frame(inputs[asset]) for asset in INPUTS[recording.asset]}
        try:
            settings = self._settings_of(recording.settings_hash, recordings)
        except HistoryError as error:
            return Again(_differs(recording, str(error), None))
        frame = _decide(recording, QuantMarketScanner(settings), frames)
        return _compare(recording, recordings, frame)

    def _settings_of(self, settings_hash: str, recordings: Recordings) -> Settings:
        if settings_hash not in self._settings:
            self._settings[settings_hash] = settings_of(recordings.settings[settings_hash], settings_hash)
        return self._settings[settings_hash]


def missing_inputs(recording: Recording, recordings: Recordings) -> str | None:
    """Why a version cannot be decided again, in a sentence, or None when its inputs are all recorded."""
    found = [recordings.by_id.get(one) for one in recording.inputs]
    if any(one is None or one.slot != recording.slot for one in found):
        return "lineage names an input that is not of its slot"
    assets = sorted(one.asset for one in found if one is not None)
    if assets != sorted(INPUTS[recording.asset]):
        wanted = ", ".join(INPUTS[recording.asset])
        return f"lineage names {', '.join(assets) or 'nothing'} as its inputs; it is made from {wanted}"
    return None


def _decide(recording: Recording, scanner: QuantMarketScanner, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    if recording.asset == "indicators":
        return scanner.indicators(
            **frames, session_progress=session_progress(parse_slot(recording.slot), frames["quotes"])
        )
    if recording.asset == "sized_orders":
        return scanner.sized_orders(**frames, slot_key=recording.slot)
    return getattr(scanner, recording.asset)(**frames)


def _compare(recording: Recording, recordings: Recordings, frame: pd.DataFrame) -> Again:
    asset, recorded = recording.asset, recordings.table(recording)
    decided = to_arrow(asset, frame)
    if table_hash(asset, decided) != recording.data_hash:
        decided = to_arrow(asset, validate(asset, frame))
    if table_hash(asset, decided) == recording.data_hash:
        return Again(damage=None if recordings.is_sound(recording) else _first_difference(recorded, decided))
    newer = _not_recorded_then(recording, recorded, decided)
    if newer:
        for name in newer:
            place = decided.schema.get_field_index(name)
            decided = decided.set_column(place, decided.schema.field(name), pa.nulls(len(decided), decided[name].type))
        if table_hash(asset, decided) == recording.data_hash:
            return Again(newer_columns=newer)
    text, column = _first_difference(recorded, decided)
    return Again(_differs(recording, text, column), newer)


def _not_recorded_then(recording: Recording, recorded: pa.Table, decided: pa.Table) -> tuple[str, ...]:
    """Columns without any value in the record that code of another time gives values."""
    if recording.code_version == code_version("decide"):
        return ()
    return tuple(
        column.name
        for column in columns_of(recording.asset)
        if recorded[column.name].null_count == len(recorded) > 0 and decided[column.name].null_count < len(decided)
    )


def _first_difference(recorded: pa.Table, decided: pa.Table) -> tuple[str, str | None]:
    """What differs first, in a sentence, and its column."""
    symbols, now = recorded["symbol"].to_pylist(), decided["symbol"].to_pylist()
    if symbols != now:
        gone, new = sorted(set(symbols) - set(now)), sorted(set(now) - set(symbols))
        if gone or new:
            told = [
                f"{words} {', '.join(some[:3])}"
                for words, some in (("only recorded:", gone), ("only now:", new))
                if some
            ]
            return f"other symbols come out ({'; '.join(told)})", "symbol"
        return "the symbols come out in another order", "row_number"
    found = [
        (name, symbol, was, is_now)
        for name in recorded.column_names
        for symbol, was, is_now in zip(symbols, recorded[name].to_pylist(), decided[name].to_pylist(), strict=True)
        if was != is_now and not (was != was and is_now != is_now)
    ]
    if not found:
        return "its frame was recorded with another hash", None
    name, symbol, was, is_now = found[0]
    more = f", and {len(found) - 1} more values differ" if len(found) > 1 else ""
    return f"{name} of {symbol} is recorded as {_shown(was)} and comes out as {_shown(is_now)}{more}", name


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _differs(recording: Recording, text: str, column: str | None) -> Difference:
    same_code = recording.code_version == code_version("decide")
    kind = Kind.DECIDES_DIFFERENTLY if same_code else Kind.OTHER_CODE
    return Difference(recording.slot, kind, recording.asset, text, recording.id, column)
