"""How frames travel between assets: through the history, with versions and lineage.

What an asset returns is appended to the history under an id of its own; what an asset reads is the version its own run
made or, when the run did not make one, the newest of the slot when the run first asked for it: all assets of a run read
the same version, whatever other runs append meanwhile. A version this run has stored or read is handed on from memory.
Which inputs a version was made of is noted on the way. The UI's row counts, previews and hashes come from here, so that
every asset has them.
"""

from __future__ import annotations

import dagster as dg
import pandas as pd

from quant_pipeline.assets.slot_run import Observation, SlotRun, beyond_retry
from quant_pipeline.errors import NotRecordedError
from quant_pipeline.frames import validate
from quant_pipeline.history.store import Materialization

PREVIEW_ROWS = 8
PREVIEW_COLUMNS = 12


class HistoryIOManager(dg.IOManager):
    """Stores and loads the frames of assets through the history of a ``SlotRun``."""

    def __init__(self, run: SlotRun) -> None:
        self._run = run
        self._versions: dict[tuple[str, str], tuple[Materialization, pd.DataFrame]] = {}
        self._settings_recorded = False

    def handle_output(self, context: dg.OutputContext, obj: Observation | pd.DataFrame) -> None:
        """Append a frame; what was read back from the record is recorded already."""
        observation = obj if isinstance(obj, Observation) else Observation(obj)
        asset, frame = context.asset_key.path[-1], observation.frame
        if observation.recorded is None:
            frame = validate(asset, frame)
            materialization = self._append(context, asset, Observation(frame, observation.source))
        else:
            materialization = observation.recorded
            context.add_output_metadata({"read back from materialization": materialization.id})
        self._versions[asset, context.partition_key] = materialization, frame
        context.add_output_metadata(frame_metadata(materialization, frame))
        self._run.report_progress(asset, "1 row" if materialization.rows == 1 else f"{materialization.rows:,} rows")

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        """The frame an asset reads. Fails, beyond retry, with a ``NotRecordedError`` when the slot has none."""
        try:
            materialization, frame = self._version(context.asset_key.path[-1], context.partition_key)
        except NotRecordedError as error:
            raise beyond_retry(error) from error
        self._run.note_input(context.step_context.op.name, materialization)
        return frame.copy(deep=False)

    def _version(self, asset: str, slot: str) -> tuple[Materialization, pd.DataFrame]:
        found = self._versions.get((asset, slot)) or self._run.history.recorded(asset, slot)
        if found is None:
            raise NotRecordedError(f"Slot {slot} has no {asset} yet; materialise {asset} first.")
        self._versions[asset, slot] = found
        return found

    def _append(self, context: dg.OutputContext, asset: str, observation: Observation) -> Materialization:
        run, settings = self._run, self._run.settings
        step = context.op_def.name
        if not self._settings_recorded:
            run.history.record_settings(settings.decision_hash, settings.decision_parameters)
            self._settings_recorded = True
        return run.history.append(
            asset,
            observation.frame,
            slot=context.partition_key,
            run_id=context.run_id,
            code_version=context.version or _spec_version(context),
            settings_hash=settings.decision_hash,
            inputs=run.inputs_of(step),
            started_at=run.started_at(step),
            source=observation.source,
        )


def _spec_version(context: dg.OutputContext) -> str:
    return context.asset_spec.code_version or ""


def frame_metadata(materialization: Materialization, frame: pd.DataFrame) -> dict[str, dg.MetadataValue]:
    """What the UI shows of a version: its id, rows and hashes, and a preview."""
    preview = frame.iloc[:PREVIEW_ROWS, :PREVIEW_COLUMNS].astype(object).map(_readable)
    return {
        "dagster/row_count": dg.MetadataValue.int(materialization.rows),
        "materialization_id": dg.MetadataValue.int(materialization.id),
        "data_hash": dg.MetadataValue.text(materialization.data_hash),
        "settings_hash": dg.MetadataValue.text(materialization.settings_hash),
        "preview": dg.MetadataValue.md(_markdown_table(preview)),
    }


def _readable(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:,.4g}" if abs(value) < 1 else f"{value:,.2f}"
    if isinstance(value, list):
        return "; ".join(str(item.get("text", item)) if isinstance(item, dict) else str(item) for item in value[:2])
    return "" if value is None or value is pd.NaT or value is pd.NA else str(value)


def _markdown_table(frame: pd.DataFrame) -> str:
    header = "| " + " | ".join(str(name) for name in frame.columns) + " |"
    rule = "|" + "---|" * len(frame.columns)
    rows = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in frame.itertuples(index=False)]
    return "\n".join([header, rule, *rows])
