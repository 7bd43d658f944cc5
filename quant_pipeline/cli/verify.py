"""``quant-pipeline verify``: a line for each slot, what differs below it, and what it all came to.

Which slots are verified, whether the metrics are, and how it is told belong here; verifying is ``verification``'s
business.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from quant_pipeline.code_version import code_version
from quant_pipeline.settings import Settings
from quant_pipeline.verification.differences import Difference, Kind, SlotVerdict
from quant_pipeline.verification.measured import MetricsVerdict, verify_metrics
from quant_pipeline.verification.settings_of_then import OtherSettings, other_settings
from quant_pipeline.verification.slots import recorded_slots, verify_foreign_orders, verify_slots

ONLY_SOME = "only some slots were verified; --metrics checks them too"
NOT_ASKED = "--no-metrics"
OF_DAMAGE = "what they are made from is damaged"


@dataclass(frozen=True)
class Outcome:
    """What came of it all; ``beside`` are the differences that belong to no slot."""

    verdicts: Sequence[SlotVerdict]
    beside: Sequence[Difference]
    metrics: MetricsVerdict
    others: Sequence[OtherSettings]

    @property
    def differences(self) -> list[Difference]:
        """All that differs; what several slots see of one cause counts once."""
        found = [*(one for verdict in self.verdicts for one in verdict.differences), *self.beside]
        causes = {one.cause: one for one in reversed(found) if one.cause is not None}
        return [one for one in [*found, *self.metrics.differences] if one.cause is None or causes[one.cause] is one]

    def total(self, name: str) -> int:
        """A count of all slots together."""
        return sum(getattr(verdict, name) for verdict in self.verdicts)


def print_verification(
    settings: Settings,
    chosen: Sequence[str],
    *,
    first: str | None,
    last: str | None,
    metrics: bool | None,
    as_json: bool,
) -> bool:
    """Verify recorded slots, tell each as it is done, and say whether all is as it was.

    The metrics are verified when ``metrics`` says so, or by default when all slots are. Raises ``UsageError`` when
    nothing is recorded of what was chosen.
    """
    slots = recorded_slots(settings.home, chosen, first=first, last=last)
    everything = not (chosen or first or last)
    verdicts: list[SlotVerdict] = []
    told: dict[str, str] = {}
    for verdict in _with_progress(verify_slots(settings.home, slots), len(slots)):
        verdicts.append(verdict)
        if not as_json:
            _tell(verdict, told)
    beside = verify_foreign_orders(settings.home) if everything else []
    damaged = any(found.kind is Kind.DAMAGED for found in (*beside, *_all(verdicts)))
    measured = _measured(settings, metrics, everything=everything, damaged=damaged)
    decided = Counter(settings_hash for verdict in verdicts for settings_hash in verdict.settings)
    outcome = Outcome(verdicts, beside, measured, other_settings(settings.home, settings, decided))
    click.echo(json.dumps(_as_json(outcome)) if as_json else "\n".join(_ending(outcome)))
    return not outcome.differences


def _measured(settings: Settings, metrics: bool | None, *, everything: bool, damaged: bool) -> MetricsVerdict:
    if metrics is None and not everything:
        return MetricsVerdict(not_checked=ONLY_SOME)
    if metrics is False:
        return MetricsVerdict(not_checked=NOT_ASKED)
    if damaged:
        return MetricsVerdict(not_checked=OF_DAMAGE)
    with Console(stderr=True).status("making the metrics again"):
        return verify_metrics(settings)


def _with_progress(verdicts: Iterator[SlotVerdict], total: int) -> Iterator[SlotVerdict]:
    """The verdicts, with a bar on stderr where somebody is watching."""
    console = Console(stderr=True)
    columns = (TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    watched = console.is_terminal and not sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, disable=not watched) as progress:
        yield from progress.track(verdicts, total=total)


def _tell(verdict: SlotVerdict, told: dict[str, str]) -> None:
    """A slot's lines. ``told`` has the causes told before, each with its slot, and gets those of this one."""
    did = f"{verdict.frames} frames hashed, {verdict.decided} decided again, {_count(verdict.orders, 'order')} compared"
    pruned = f", {verdict.pruned} no longer kept" if verdict.pruned else ""
    newer = f", not recorded then: {', '.join(verdict.newer_columns)}" if verdict.newer_columns else ""
    click.echo(_headed(verdict.slot, f"{did}{pruned}{newer}", differs=bool(verdict.differences)))
    before = dict(told)
    for difference in verdict.differences:
        known = before.get(difference.cause or "")
        if difference.cause is not None:
            told.setdefault(difference.cause, verdict.slot)
        click.echo(f"  {difference.place}: as in {known}" if known else f"  {difference.line}")
    if verdict.blocked and not all(found.cause in before for found in verdict.differences):
        click.echo(f"  therefore not decided again: {', '.join(verdict.blocked)}")
    sys.stdout.flush()


def _ending(outcome: Outcome) -> Iterator[str]:
    if outcome.beside:
        yield _headed("journal", "orders that are not ours, and the log of all", differs=True)
        yield from (f"  {difference.line}" for difference in outcome.beside)
    measured = outcome.metrics
    if measured.not_checked is None:
        did = f"{measured.relations} tables and views made again, {_count(measured.rows, 'row')} compared"
        yield _headed("metrics", did, differs=bool(measured.differences))
        yield from (f"  {difference.line}" for difference in measured.differences)
    if outcome.others:
        versions = _count(sum(one.versions for one in outcome.others), "version")
        yield (
            f"{versions} decided under settings that are not today's, and verified under those of then: "
            f"{'; '.join(one.line for one in outcome.others)}."
        )
    yield _summary(outcome)


def _summary(outcome: Outcome) -> str:
    differences = outcome.differences
    did = (
        f"{_count(len(outcome.verdicts), 'slot')}: {outcome.total('frames'):,} frames hashed, "
        f"{outcome.total('decided'):,} decided again, {outcome.total('orders'):,} orders compared"
    )
    kinds = [f"{count} {kind.value}" for kind in Kind if (count := sum(found.kind is kind for found in differences))]
    found = f"{_count(len(differences), 'difference')}: {', '.join(kinds)}" if kinds else "all is as it was recorded"
    unchecked = outcome.metrics.not_checked
    return f"{did}; {found}." + (f" The metrics were not checked: {unchecked}." if unchecked else "")


def _as_json(outcome: Outcome) -> dict[str, object]:
    totals = {name: outcome.total(name) for name in ("frames", "decided", "orders", "pruned")}
    return {
        "ok": not outcome.differences,
        "code_version": code_version("decide"),
        "totals": {"slots": len(outcome.verdicts), **totals, "differences": len(outcome.differences)},
        "slots": [verdict.as_json() for verdict in outcome.verdicts],
        "of_no_slot": [difference.as_json() for difference in outcome.beside],
        "metrics": outcome.metrics.as_json(),
        "other_settings": [one.as_json() for one in outcome.others],
    }


def _all(verdicts: Sequence[SlotVerdict]) -> Iterator[Difference]:
    return (found for verdict in verdicts for found in verdict.differences)


def _headed(what: str, did: str, *, differs: bool) -> str:
    return f"{what:<16}  {'DIFFERS' if differs else 'ok':<7}  {did}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
