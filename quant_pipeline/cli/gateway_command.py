"""The command that serves a paper gateway, declared once for its two names.

``quant-pipeline gateway`` takes what is not said from the settings; ``python -m quant_pipeline.paper_gateway``, which
the embedded gateway is started by, needs no settings and loads none. Reading options belongs here, and refusing those
that make no sense; ``paper_gateway.serve`` does the work.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quant_pipeline.cli.options import FILE, at_option, bars_option, minute_bars_option
from quant_pipeline.errors import UsageError
from quant_pipeline.paper_gateway.starting_values import DEFAULT_SEED, STARTING_CASH

if TYPE_CHECKING:
    from quant_pipeline.paper_gateway.options import GatewayOptions

OFF = "off"
LIFTED_WITHOUT_TIME = ("messages_per_second", "open_history_requests", "small_bar_requests")
"""Limits that the machine's time decides on: a run under a clock that stands still must be the same every time."""


@dataclass(frozen=True)
class Unsaid:
    """What holds where the options say nothing."""

    home: Path
    seed: int = DEFAULT_SEED
    cash: float = STARTING_CASH


class Share(click.ParamType[float | None]):
    """A share above 0 up to 1, or ``off``."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Read the text of an option."""
        if str(value).casefold() == OFF:
            return None
        try:
            share = float(value)
        except ValueError:
            share = math.nan
        if not 0 < share <= 1:
            self.fail(f"{value!r} is no share of the volume; give a number above 0 up to 1, or {OFF}", param, ctx)
        return share


def gateway_command(unsaid: Callable[[Path | None], Unsaid], start: Callable[[GatewayOptions], Any]) -> click.Command:
    """The command.

    Args:
        unsaid: Gives the home in force and what else is not said, from the home that was named, if one was.
        start: Called with the options.
    """

    @click.command("gateway", short_help="Serve the paper gateway alone, for any TWS client.")
    @click.option(
        "--port", type=click.IntRange(0, 65535), metavar="N", default=0, help="Port on 127.0.0.1. Default: a free one."
    )
    @click.option("--home", type=FILE, metavar="DIR", help="Where the paper book is kept. Default: QUANT_HOME.")
    @at_option
    @click.option(
        "--speed",
        type=click.FloatRange(min=0),
        metavar="N",
        default=1.0,
        help="Exchange seconds per second. At 0 the clock stands still and lines on standard input move it: +60 "
        "(seconds), 10:30, 2018-02-20T10:30:00; each is answered with a line: at 2018-02-20T10:30:00-05:00.",
    )
    @click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Seed of the synthetic market.")
    @bars_option
    @minute_bars_option
    @click.option("--cash", type=float, metavar="N", help="Dollars a new book starts with.")
    @click.option(
        "--liquidity",
        type=Share(),
        metavar="N|off",
        default="0.1",
        help="Share of the traded volume an order gets; off fills every order whole. Default: 0.1.",
    )
    @click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="NAME=N|off",
        help="Change or lift a limit of the service: messages_per_second=off, read_only=on. May be given repeatedly.",
    )
    @click.option("--faults", type=FILE, metavar="FILE", help="What is to go wrong (TOML).")
    @click.option("--list-faults", is_flag=True, help="Print what can go wrong, and end.")
    @click.option(
        "--idle-minutes", type=click.FloatRange(min=0), metavar="N", help="End after so long without a client."
    )
    @click.option("--stop", is_flag=True, help="End the gateway that runs in this home.")
    def gateway(home: Path | None, list_faults: bool, stop: bool, **chosen: Any) -> Any:
        """Serve the paper gateway alone, for any TWS client, until Ctrl-C.

        Prints "listening on 127.0.0.1:PORT" once it accepts connections. docs/gateway.md says what it imitates.
        """
        if list_faults:
            click.echo(faults_listed(), nl=False)
            return None
        values = unsaid(home)
        if stop:
            from quant_pipeline.paper_gateway import embedded

            click.echo("gateway stopped" if embedded.stop(values.home) else "no gateway is running")
            return None
        return start(_options(values, **chosen))

    return gateway


def _options(
    unsaid: Unsaid,
    *,
    port: int,
    at: dt.datetime | None,
    speed: float,
    seed: int | None,
    bars: Path | None,
    minute_bars: Path | None,
    cash: float | None,
    liquidity: float | None,
    limits: tuple[str, ...],
    faults: Path | None,
    idle_minutes: float | None,
) -> GatewayOptions:
    from quant_pipeline.paper_gateway.options import GatewayOptions
    from quant_pipeline.paper_gateway.service_limits import ServiceLimits

    if minute_bars and not bars:
        raise UsageError("--minute-bars needs --bars with the daily bars of the same symbols.")
    if not math.isfinite(speed):
        raise UsageError(f"The clock's speed is {speed}; give --speed a number above 0, or 0 to move it by hand.")
    cash = unsaid.cash if cash is None else cash
    if not (math.isfinite(cash) and cash > 0):
        raise UsageError(f"A book cannot start with {cash:g} dollars; give --cash a positive amount.")
    lifted = [f"{name}={OFF}" for name in LIFTED_WITHOUT_TIME] if speed == 0 else []
    return GatewayOptions(
        home=unsaid.home,
        port=port,
        at=at,
        speed=speed,
        seed=unsaid.seed if seed is None else seed,
        bars=bars,
        minute_bars=minute_bars,
        cash=cash,
        liquidity=liquidity,
        limits=ServiceLimits.worded([*lifted, *limits]),
        faults=faults,
        idle_minutes=idle_minutes,
    )


def faults_listed() -> str:
    """Every fault with what it does, one a line."""
    from quant_pipeline.paper_gateway.faults.fault import CATALOGUE

    width = max(map(len, CATALOGUE))
    return "".join(f"{name:<{width}}  {kind.says}\n" for name, kind in CATALOGUE.items())
