"""``quant-pipeline verify``: a line for each slot, what differs below it, and what it all came to.

Which slots are verified and how it is told belong here; verifying is ``verification``'s business.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from quant_pipeline.code_version import code_version
from quant_pipeline.settings import Settings
from quant_pipeline.verification.differences import Difference, Kind, SlotVerdict
from quant_pipeline.verification.slots import recorded_slots, verify_foreign_orders, verify_slots


def print_verification(
    settings: Settings, chosen: Sequence[str], *, first: str | None, last: str | None, as_json: bool
) -> bool:
    """Verify recorded slots, tell each as it is done, and say whether all is as it was.

    Raises ``UsageError`` when nothing is recorded of what was chosen.
    """
    slots = recorded_slots(settings.home, chosen, first=first, last=last)
    verdicts = []
    for verdict in _with_progress(verify_slots(settings.home, slots), len(slots)):
        verdicts.append(verdict)
        if not as_json:
            _tell(verdict)
    foreign = [] if chosen or first or last else verify_foreign_orders(settings.home)
    differences = [*(found for verdict in verdicts for found in verdict.differences), *foreign]
    if as_json:
        click.echo(json.dumps(_as_json(verdicts, foreign, differences)))
    else:
        for difference in foreign:
            click.echo(f"orders that are not ours  {difference.line}")
        click.echo(_summary(verdicts, differences))
    return not differences


def _with_progress(verdicts: Iterator[SlotVerdict], total: int) -> Iterator[SlotVerdict]:
    """The verdicts, with a bar on stderr where somebody is watching."""
    console = Console(stderr=True)
    columns = (TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    watched = console.is_terminal and not sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, disable=not watched) as progress:
        yield from progress.track(verdicts, total=total)


def _tell(verdict: SlotVerdict) -> None:
    result = "ok" if not verdict.differences else "DIFFERS"
    did = f"{verdict.frames} frames hashed, {verdict.decided} decided again, {_count(verdict.orders, 'order')} compared"
    pruned = f", {verdict.pruned} no longer kept" if verdict.pruned else ""
    newer = f", not recorded then: {', '.join(verdict.newer_columns)}" if verdict.newer_columns else ""
    click.echo(f"{verdict.slot}  {result:<7}  {did}{pruned}{newer}")
    for difference in verdict.differences:
        click.echo(f"  {difference.line}")
    sys.stdout.flush()


def _summary(verdicts: Sequence[SlotVerdict], differences: Sequence[Difference]) -> str:
    totals = _totals(verdicts)
    did = (
        f"{_count(len(verdicts), 'slot')}: {totals['frames']:,} frames hashed, {totals['decided']:,} decided again, "
        f"{totals['orders']:,} orders compared"
    )
    if not differences:
        return f"{did}; all is as it was recorded."
    kinds = [f"{count} {kind.value}" for kind in Kind if (count := sum(found.kind is kind for found in differences))]
    return f"{did}; {_count(len(differences), 'difference')}: {', '.join(kinds)}."


def _as_json(
    verdicts: Sequence[SlotVerdict], foreign: Sequence[Difference], differences: Sequence[Difference]
) -> dict[str, object]:
    return {
        "ok": not differences,
        "code_version": code_version("decide"),
        "totals": {"slots": len(verdicts), **_totals(verdicts), "differences": len(differences)},
        "slots": [verdict.as_json() for verdict in verdicts],
        "orders_not_ours": [difference.as_json() for difference in foreign],
    }


def _totals(verdicts: Sequence[SlotVerdict]) -> dict[str, int]:
    return {name: sum(getattr(one, name) for one in verdicts) for name in ("frames", "decided", "orders", "pruned")}


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
