"""What the assets of one run share: the slot, the clock, the broker connection, the history and the journal.

A ``SlotRun`` lives as long as a Dagster run in its process. It decides the one question every observing asset has: is
the slot still going on, so that the broker can be asked, or is it over, so that only the record counts? The connection
that sends orders is not kept here; only ``act`` opens it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import dagster as dg
import pandas as pd

from quant_pipeline.automation.slots import PARTITIONS, Slot, parse_slot
from quant_pipeline.broker.session import BrokerSession, Role, broker_address, connect
from quant_pipeline.errors import BrokerError, NotRecordedError, QuantPipelineError, SlotError
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.store import History, Materialization
from quant_pipeline.settings import Settings

SLOTS = dg.DynamicPartitionsDefinition(name=PARTITIONS)
"""Partitions are added as slots come: the UI lists slots that were asked for and nothing else."""


@dataclass(frozen=True)
class Observation:
    """A frame that was observed now, or read back from the record of a slot that is over.

    ``source`` says whose data it is (the account), where the history keeps the same thing from several sources.
    """

    frame: pd.DataFrame
    source: str | None = None
    recorded: Materialization | None = None


class SlotRun:
    """Shared by the assets of one run; close it when the run ends."""

    def __init__(self, settings: Settings, progress: Callable[[str, str], None] | None = None) -> None:
        self.settings = settings
        self.history = History(settings.home)
        self.report_progress = progress or (lambda asset, text: None)
        self._started: dict[str, dt.datetime] = {}
        self._inputs: dict[str, dict[str, Materialization]] = {}
        self._session: BrokerSession | None = None

    @cached_property
    def journal(self) -> OrderJournal:
        """The order journal, opened when it is first needed."""
        return OrderJournal(self.settings.home)

    @cached_property
    def address(self) -> tuple[str, int]:
        """Host and port, looked up once: a gateway that vanishes in mid-slot is an error, not replaced."""
        return broker_address(self.settings)

    @property
    def broker(self) -> BrokerSession:
        """The connection that observes; opened when first needed, opened again after it was lost."""
        if self._session is not None and not self._session.connected:
            self._session.close()
            self._session = None
        if self._session is None:
            self._session = connect(self.settings, Role.OBSERVE, address=self.address)
        return self._session

    def now(self) -> dt.datetime:
        """The broker's time, at most a second old."""
        return self.broker.now(max_age_seconds=1.0)

    def begin(self, context: dg.AssetExecutionContext) -> Slot:
        """Note that a step starts and return its slot."""
        self._started[context.op_execution_context.op.name] = dt.datetime.now(dt.UTC)
        try:
            return parse_slot(context.partition_key)
        except SlotError as error:
            raise beyond_retry(error) from error

    def started_at(self, step: str) -> dt.datetime:
        """When a step began, in UTC."""
        return self._started.get(step) or dt.datetime.now(dt.UTC)

    def note_input(self, step: str, materialization: Materialization) -> None:
        """Remember what a step read, for its lineage."""
        self._inputs.setdefault(step, {})[materialization.asset] = materialization

    def inputs_of(self, step: str) -> list[int]:
        """Ids of the materializations a step read."""
        return sorted(materialization.id for materialization in self._inputs.get(step, {}).values())

    def input_of(self, step: str, asset: str) -> Materialization:
        """The version of an asset that a step read."""
        return self._inputs[step][asset]

    def observe(
        self, asset: str, slot: Slot, read: Callable[[BrokerSession], Observation | pd.DataFrame]
    ) -> Observation:
        """Ask the broker while the slot goes on; read the record back once it is over."""
        return self.observe_together((asset,), slot, lambda broker: (read(broker),))[0]

    def observe_together(
        self,
        assets: tuple[str, ...],
        slot: Slot,
        read: Callable[[BrokerSession], tuple[Observation | pd.DataFrame, ...]],
    ) -> tuple[Observation, ...]:
        """The same for frames that come of one reading."""
        try:
            if self.is_over(slot):
                return tuple(self._recorded(asset, slot) for asset in assets)
            observed = read(self.broker)
        except BrokerError:
            raise  # worth another try: the retry policy applies
        except QuantPipelineError as error:
            raise beyond_retry(error) from error
        return tuple(item if isinstance(item, Observation) else Observation(item) for item in observed)

    def is_over(self, slot: Slot) -> bool:
        """Whether the slot is past by the broker's clock. Raises ``SlotError`` for one that has not begun."""
        now = self.now()
        if not slot.has_begun(now):
            raise SlotError(
                f"Slot {slot.key} has not begun: the broker's clock says "
                f"{now.astimezone(slot.starts.tzinfo):%Y-%m-%d %H:%M:%S} in exchange time."
            )
        return slot.is_over(now)

    def close(self) -> None:
        """End the connection and let go of the journal."""
        if self._session is not None:
            self._session.close()
            self._session = None
        if "journal" in vars(self):
            self.journal.close()

    def _recorded(self, asset: str, slot: Slot) -> Observation:
        recorded = self.history.recorded(asset, slot.key)
        if recorded is None:
            raise NotRecordedError(
                f"Slot {slot.key} is over and was never observed (its {asset} is not recorded), which cannot be made "
                "up for; run a slot that is going on."
            )
        materialization, frame = recorded
        return Observation(frame, recorded=materialization)


def beyond_retry(error: QuantPipelineError) -> dg.Failure:
    """A step's failure that another try cannot mend, in the words of the error; raise it ``from`` that."""
    return dg.Failure(str(error), allow_retries=False)
