"""The commands of ``quant-pipeline`` and how they end: 0, 1 for a failed slot or service, 2 for wrong usage.

A command reads its options, calls one function of the rooms below and prints what came of it. Errors that were written
for people are printed as one sentence on stderr; with ``--debug`` their traceback follows.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quant_pipeline.errors import QuantPipelineError, UsageError

if TYPE_CHECKING:
    from quant_pipeline.settings import Settings

READABLE_TIMES = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")
FILE = click.Path(path_type=Path)

at_option = click.option(
    "--at", type=click.DateTime(READABLE_TIMES), help="Set the paper gateway's clock, in exchange time."
)
bars_option = click.option("--bars", type=FILE, help="Daily bars (Parquet or CSV) that the paper gateway replays.")
minute_bars_option = click.option("--minute-bars", type=FILE, help="Minute bars for the same replay.")
speed_option = click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True), default=1.0, help="How fast the paper gateway's clock runs."
)


def main() -> None:
    """Entry point of ``quant-pipeline``."""
    debug = "--debug" in sys.argv
    warnings.simplefilter("ignore") if not debug else None
    logging.getLogger("ib_insync").setLevel(logging.CRITICAL)
    try:
        commands(prog_name="quant-pipeline")
    except QuantPipelineError as error:
        if debug:
            raise
        click.echo(f"quant-pipeline: {error}", err=True)
        sys.exit(error.exit_status)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def commands(debug: bool) -> None:
    """Scan, score, size and trade US stocks, and explain every order.

    Without QUANT_IB_HOST and QUANT_IB_PORT everything runs on an embedded paper gateway; no account is needed.
    """
    del debug  # read from the arguments before anything is imported


@commands.command()
@click.option("--slot", help="The slot to run, by its start in exchange time: 2026-11-20T10:15. Default: the present.")
@at_option
@bars_option
@minute_bars_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of panels.")
def run(slot: str | None, at: dt.datetime | None, bars: Path | None, minute_bars: Path | None, as_json: bool) -> None:
    """Run one slot: scan, quote, filter, score, size, send, watch."""
    from quant_pipeline.automation.slots import parse_slot

    if slot is not None:
        parse_slot(slot)
    settings = _settings()
    say = _quiet if as_json else _say
    market = _prepare_gateway(settings, say, at=at, bars=bars, minute_bars=minute_bars)
    from quant_pipeline.cli.run_slot import run_slot, slot_now

    key = slot or slot_now(settings).key
    say(f"Slot {key}")
    started = time.monotonic()
    report = run_slot(settings, key, lambda asset, text: say(f"  {time.monotonic() - started:6.1f} s  {asset}: {text}"))
    if as_json:
        click.echo(json.dumps(report.as_json()))
        return
    _print_report(report, settings, market)


@commands.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; 0 takes a free one.")
@click.option("--home", type=FILE, help="Where the paper book is kept. Default: QUANT_HOME.")
@at_option
@speed_option
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the synthetic market.")
@bars_option
@minute_bars_option
@click.option("--stop", is_flag=True, help="End the gateway that runs in this home.")
def gateway(
    port: int,
    home: Path | None,
    at: dt.datetime | None,
    speed: float,
    seed: int | None,
    bars: Path | None,
    minute_bars: Path | None,
    stop: bool,
) -> None:
    """Serve the paper gateway alone, for any TWS client."""
    settings = _settings(**({"home": home} if home else {}))
    if stop:
        from quant_pipeline.paper_gateway import embedded

        click.echo("gateway stopped" if embedded.stop(settings.home) else "no gateway is running")
        return
    from quant_pipeline.paper_gateway.options import GatewayOptions
    from quant_pipeline.paper_gateway.serve import serve

    serve(
        GatewayOptions(
            home=settings.home,
            port=port,
            at=at,
            speed=speed,
            seed=settings.gateway.seed if seed is None else seed,
            bars=bars,
            minute_bars=minute_bars,
            cash=settings.gateway.cash,
        )
    )


@commands.command()
@click.option("--watch", is_flag=True, help="Refresh every few seconds until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the panel.")
def status(watch: bool, as_json: bool) -> None:
    """Show the monitoring panel: capital, exposure, risk, positions."""
    from quant_pipeline.cli.monitoring import print_status, watch_status

    settings = _settings()
    if watch:
        watch_status(settings)
    else:
        print_status(settings, as_json=as_json)


@commands.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, help="Port of the Dagster UI on 127.0.0.1.")
@at_option
@speed_option
@bars_option
@minute_bars_option
def up(port: int, at: dt.datetime | None, speed: float, bars: Path | None, minute_bars: Path | None) -> None:
    """Start everything: gateway if none is configured, Dagster UI, daemon, sensors. Ctrl-C ends it all."""
    from quant_pipeline.cli.up import serve_until_interrupted

    settings = _settings()
    _prepare_gateway(settings, _say, at=at, speed=speed, bars=bars, minute_bars=minute_bars)
    serve_until_interrupted(settings, port, _say)


@commands.command()
def doctor() -> None:
    """Check settings, broker, clock, calendar, history and versions, and say what to do."""
    from quant_pipeline.cli.doctor import examine

    findings = examine()
    for finding in findings:
        click.echo(f"{'ok     ' if finding.healthy else 'PROBLEM'}  {finding.subject}: {finding.text}")
    if not all(finding.healthy for finding in findings):
        sys.exit(1)


@commands.command("settings")
def settings_command() -> None:
    """Print every setting with its default, its environment variable and its meaning."""
    from quant_pipeline.cli.settings_reference import settings_reference

    click.echo(settings_reference(), nl=False)


def _settings(**overrides: Any) -> Settings:
    from quant_pipeline.settings import load_settings

    return load_settings(**overrides)


def _prepare_gateway(
    settings: Settings,
    say: Callable[[str], None],
    *,
    at: dt.datetime | None,
    bars: Path | None,
    minute_bars: Path | None,
    speed: float = 1.0,
) -> str:
    """Make sure the embedded gateway plays what was asked for; say which market it is."""
    if not settings.embedded:
        if at or bars or minute_bars:
            raise UsageError(
                "--at, --bars and --minute-bars set the paper gateway; unset QUANT_IB_HOST and QUANT_IB_PORT to use it."
            )
        return f"{settings.ib_host}:{settings.ib_port}"
    if minute_bars and not bars:
        raise UsageError("--minute-bars needs --bars with the daily bars of the same symbols.")
    from quant_pipeline.paper_gateway import embedded

    say("Starting the paper gateway ..." if embedded.running(settings.home) is None else "Paper gateway is running")
    found = embedded.ensure_running(settings, at=at, speed=speed, bars=bars, minute_bars=minute_bars)
    say(f"Paper gateway on {found.host}:{found.port}, {found.market_name}, account {found.account}")
    return found.market_name


def _print_report(report: Any, settings: Settings, market: str) -> None:
    from rich.console import Console

    from quant_pipeline.cli import panels
    from quant_pipeline.cli.monitoring import row_of

    console = Console(width=max(80, Console().width))
    executions = report.frames["executions"]
    console.print()
    console.print(panels.funnel_panel(report))
    console.print(panels.rejections_table(report))
    console.print(panels.portfolio_panel(row_of(report.frames["portfolio_status"]), f"Portfolio on {market}"))
    if len(executions):
        first = executions["symbol"].iloc[0]
        console.print(panels.bracket_table(executions[executions["symbol"] == first]))
    console.print(f"\nThe slot took {report.timings['total']:.1f} s. Where to look next:")
    console.print(f"  history   {settings.home / 'history.duckdb'}  (open it with anything)", soft_wrap=True)
    console.print("  panel     .venv/bin/quant-pipeline status")
    console.print("  UI        .venv/bin/quant-pipeline up   then http://127.0.0.1:3000")
    console.print("  next slot .venv/bin/quant-pipeline run --at " + _next_slot(report.slot), highlight=False)


def _next_slot(key: str) -> str:
    from quant_pipeline.automation.sessions import next_session
    from quant_pipeline.automation.slots import KEY_FORMAT, parse_slot

    slot = parse_slot(key)
    following = slot.ends if slot.ends < slot.session.closes else next_session(slot.session.day).opens
    return following.strftime(KEY_FORMAT)


def _say(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()


def _quiet(text: str) -> None:
    del text
