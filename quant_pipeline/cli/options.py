"""The options that several commands share, and how a time is read from the command line.

Nothing here imports more than click, so that ``--help`` and wrong usage answer at once.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import click

FILE = click.Path(path_type=Path)


def examples(*lines: str, ends: str = "") -> str:
    """What stands below the options of a command: how it is typed, and with which status it ends when."""
    # A paragraph that begins with a backspace is left by click as it is written.
    shown = "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
    return f"{shown}\n\n{ends}" if ends else shown


class ExchangeTime(click.ParamType[dt.datetime]):
    """A naive datetime in exchange time, written ``2026-11-20T10:15``, with a blank for the T or with seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """Read the text of an option."""
        if isinstance(value, dt.datetime):
            return value
        try:
            read = dt.datetime.fromisoformat(str(value))
        except ValueError:
            read = None
        if read is None or read.tzinfo is not None:
            self.fail(f"{value!r} is not a time; write exchange time, like 2026-11-20T10:15", param, ctx)
        return read


at_option = click.option(
    "--at", type=ExchangeTime(), help="Set the paper gateway's clock: exchange time, like 2026-11-20T10:15."
)
bars_option = click.option(
    "--bars", type=FILE, metavar="FILE", help="Daily bars (Parquet) for the paper gateway to replay."
)
minute_bars_option = click.option(
    "--minute-bars", type=FILE, metavar="FILE", help="Minute bars (Parquet) of the same symbols."
)
speed_option = click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    default=1.0,
    help="Exchange seconds per second on the paper gateway's clock.",
)
