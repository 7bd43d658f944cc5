"""What becomes of the benchmark's figures: targets, the table on the screen and in the README, ``latest.json``.

Nothing is measured here. ``indicators`` (the benchmark) calls it after a run, and a test holds that the README shows
what ``latest.json`` says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

LATEST_JSON = Path(__file__).with_name("latest.json")
README = Path(__file__).parents[1] / "README.md"
README_START, README_END = "<!-- bench:start -->", "<!-- bench:end -->"

LATEST_RATIO = 25.0
FLOOR_MULTIPLE = 1.2
HISTORY_RATIO = {252: 5.0, 1260: 2.0}
"""Target by the length of the history."""
HISTORY_RATIO_OF_NUMPY = {252: 3.0, 1260: 1.0}
"""The same without numba."""
SCORING_SHARE = 0.03
DECIDE_MS = 50.0
EXTRA_MEMORY_MB = 50.0

HEADINGS = ("measured", "symbols × bars", "ours", "other", "ratio", "target", "met")


@dataclass(frozen=True)
class Row:
    """A line of the table: our figure, the other one, their ratio, and whether it meets the target (None: has none)."""

    measured: str
    shape: str
    ours: str
    other: str
    ratio: str
    target: str
    met: bool | None

    def cells(self) -> tuple[str, ...]:
        """The cells in the order of ``HEADINGS``."""
        met = {True: "yes", False: "no", None: ""}[self.met]
        return (self.measured, self.shape, self.ours, self.other, self.ratio, self.target, met)


def rows(result: dict[str, Any]) -> Iterator[Row]:
    """The lines of the table, from a result in the form of ``latest.json``."""
    spent, mixed = result["milliseconds"], result["mixed_lengths"]
    latest, history = spent["latest"], spent["history"]
    yield from _faster("latest / TA-Lib", latest, "talib", result["latest_vs_talib"], {252: LATEST_RATIO})
    yield from _faster("history / TA-Lib", history, "talib", result["history_vs_talib"], HISTORY_RATIO)
    without = result["history_numpy_vs_talib"]
    yield from _faster(
        "history without numba / TA-Lib", history, "talib", without, HISTORY_RATIO_OF_NUMPY, "ours_numpy"
    )
    for shape, multiple in _ordered(result["latest_vs_floor"]):
        ours, floor = latest[shape]["ours"], latest[shape]["floor"]
        target, met = f"≤ {FLOOR_MULTIPLE:g}", multiple <= FLOOR_MULTIPLE
        yield Row("latest / copy of a history", _words(shape), _ms(ours), _ms(floor), f"{multiple:.3g}", target, met)
    for shape, share in _ordered(result["scoring_share"]):
        scoring, indicators = latest[shape]["scoring"], latest[shape]["ours"]
        ratio, target = f"{100 * share:.3g} %", f"≤ {100 * SCORING_SHARE:g} %"
        met = share <= SCORING_SHARE
        yield Row("scoring / latest", _words(shape), _ms(scoring), _ms(indicators), ratio, target, met)
    decide = result["decide_ms"]
    yield Row("decide stages of a slot", "100 × 252", _ms(decide), "", "", f"≤ {_ms(DECIDE_MS)}", decide <= DECIDE_MS)
    for kind, by_shape in sorted(result["extra_memory_mb"].items(), reverse=True):
        for shape, extra in _ordered(by_shape):
            target, met = f"≤ {EXTRA_MEMORY_MB:g} MB", extra <= EXTRA_MEMORY_MB
            yield Row(f"{kind}, memory beyond output", _words(shape), f"{extra:.3g} MB", "", "", target, met)
    yield from _faster("latest / TA-Lib, a third shorter", mixed["milliseconds"], "talib", mixed["latest_vs_talib"])
    yield from _faster("latest / TA-Lib's handles", latest, "talib_handles", result["latest_vs_talib_handles"])
    yield from _faster("latest / TA-Lib's own columns", latest, "talib_lean", result["latest_vs_talib_lean"])
    yield from _faster("history / TA-Lib's own columns", history, "talib_lean", result["history_vs_talib_lean"])


def rich_table(result: dict[str, Any]) -> Table:
    """The table for the screen."""
    table = Table(title=f"Indicators: {result['unit']}", title_justify="left", box=SIMPLE_HEAD)
    for place, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if place in (2, 3, 4) else "left")
    for row in rows(result):
        style = {True: "green", False: "red", None: "dim"}[row.met]
        *cells, met = row.cells()
        table.add_row(*cells, f"[{style}]{met}[/]", style="dim" if row.met is None else None)
    return table


def markdown(result: dict[str, Any]) -> str:
    """The table for the README, with the machine it was taken on."""
    machine = result["machine"]
    return "\n".join(
        [
            "| " + " | ".join(HEADINGS) + " |",
            "|---|---|--:|--:|--:|---|---|",
            *("| " + " | ".join(row.cells()) + " |" for row in rows(result)),
            "",
            f"Taken on {result['taken_on']} on {machine['cpu']} ({machine['cores']} cores), Python "
            f"{machine['python']}, NumPy {machine['numpy']}, numba {machine['numba'] or 'not installed'}, "
            f"TA-Lib {machine['talib']}: {result['unit']}.",
        ]
    )


def update_readme(result: dict[str, Any], readme: Path) -> None:
    """Put the table between the marks of the README."""
    before, _, rest = readme.read_text(encoding="utf-8").partition(README_START)
    _, _, after = rest.partition(README_END)
    readme.write_text(f"{before}{README_START}\n{markdown(result)}\n{README_END}{after}", encoding="utf-8")


def shown_in(readme: Path) -> str:
    """What stands between the marks of the README."""
    _, _, rest = readme.read_text(encoding="utf-8").partition(README_START)
    return rest.partition(README_END)[0].strip()


def rounded(result: Any) -> Any:
    """The result with every measured number to three significant digits."""
    if isinstance(result, dict):
        return {name: rounded(value) for name, value in result.items()}
    return float(f"{result:.3g}") if isinstance(result, float) else result


def write_result(result: dict[str, Any], path: Path) -> None:
    """Write ``latest.json``, keys sorted."""
    path.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_result(path: Path) -> dict[str, Any]:
    """Read ``latest.json``."""
    return json.loads(path.read_text(encoding="utf-8"))


def _faster(
    measured: str,
    spent: dict[str, dict[str, float]],
    contender: str,
    ratios: dict[str, float],
    targets: Mapping[int, float] = MappingProxyType({}),
    own: str = "ours",
) -> Iterator[Row]:
    """How many times as fast as a contender; ``targets`` by the length of the history."""
    for shape, ratio in _ordered(ratios):
        ours, theirs, target = spent[shape][own], spent[shape][contender], targets.get(_size(shape)[0])
        met = None if target is None else ratio >= target
        words = "" if target is None else f"≥ {target:g}×"
        yield Row(measured, _words(shape), _ms(ours), _ms(theirs), f"{ratio:.3g}×", words, met)


def _ordered(by_shape: dict[str, float]) -> list[tuple[str, float]]:
    """By length of the history, then by the number of symbols."""
    return sorted(by_shape.items(), key=lambda item: _size(item[0]))


def _size(shape: str) -> tuple[int, int]:
    symbols, bars = shape.split("x")
    return int(bars), int(symbols)


def _words(shape: str) -> str:
    bars, symbols = _size(shape)
    return f"{symbols} × {bars}"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.3g} ms" if milliseconds < 1000.0 else f"{milliseconds:.0f} ms"
