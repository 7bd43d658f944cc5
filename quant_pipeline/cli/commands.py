"""The commands of ``quant-pipeline``.

A command reads its options, calls one function of the rooms below and prints what came of it. Imports are made inside
the commands, so that ``--help`` and wrong usage answer at once. How a command ends belongs to ``main``.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quant_pipeline.cli.gateway_command import Unsaid, gateway_command
from quant_pipeline.cli.options import FILE, at_option, bars_option, examples, minute_bars_option, speed_option

if TYPE_CHECKING:
    from quant_pipeline.paper_gateway.options import GatewayOptions


class InOrderOfUse(click.Group):
    """Lists the commands in the order they are written in, not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands as they were added."""
        return list(self.commands)


@click.group(
    cls=InOrderOfUse,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "quant-pipeline run --at 2026-11-20T10:15   trade a quarter of an hour",
        "quant-pipeline status                      see what is held",
        "quant-pipeline explain ZORU                see why, for one stock",
        ends=(
            "Ends with status 0; 1 when something failed or is wrong, 2 when it was used wrongly, 130 after Ctrl-C. "
            "What is wrong is said in one sentence on stderr."
        ),
    ),
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere.")
def commands(debug: bool) -> None:
    """Scan, score, size and trade US stocks, and explain every order.

    Without QUANT_IB_HOST and QUANT_IB_PORT everything runs on an embedded paper gateway; no account is needed. All that
    is recorded lies in QUANT_HOME, by default .quant in this folder.
    """
    del debug  # main reads it before anything is imported


@commands.command(short_help="Run one slot and show what came of it.")
@click.option("--slot", metavar="KEY", help="The slot, by its start in exchange time: 2026-11-20T10:15. Default: now.")
@at_option
@bars_option
@minute_bars_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of panels.")
def run(slot: str | None, at: dt.datetime | None, bars: Path | None, minute_bars: Path | None, as_json: bool) -> None:
    """Run one slot: scan, quote, filter, score, size, send, watch.

    A slot that is over is decided again from what was recorded; nothing is sent then.
    """
    from quant_pipeline.cli.market import prepare_market
    from quant_pipeline.settings import load_settings

    # Asked before anything is started: a time without a slot must not cost the market that is being played.
    if slot is not None:
        from quant_pipeline.automation.slots import parse_slot

        parse_slot(slot)
    elif at is not None:
        from quant_pipeline.automation.slots import slot_containing

        slot = slot_containing(at).key
    settings = load_settings()
    say = _quiet if as_json else _say
    prepare_market(settings, say, at=at, bars=bars, minute_bars=minute_bars)
    say("Loading Dagster")
    from quant_pipeline.cli.run_report import print_report, progress_line
    from quant_pipeline.cli.run_slot import run_slot, slot_now

    key = slot or slot_now(settings).key
    say(f"Slot {key}")
    started = time.monotonic()
    report = run_slot(
        settings, key, lambda asset, text: say(progress_line(time.monotonic() - started, asset, text, settings.home))
    )
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        print_report(report, settings)


@commands.command(short_help="Start the Dagster UI with everything live.")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", default=3000, help="Port of the UI. Default: 3000.")
@at_option
@speed_option
@bars_option
@minute_bars_option
def up(port: int, at: dt.datetime | None, speed: float, bars: Path | None, minute_bars: Path | None) -> None:
    """Start everything: gateway if none is configured, Dagster UI on 127.0.0.1, daemon, sensors.

    Ctrl-C ends all of it.
    """
    _say("Checking settings and port")
    from quant_pipeline.cli.up import serve_until_interrupted
    from quant_pipeline.settings import load_settings

    serve_until_interrupted(load_settings(), port, _say, at=at, speed=speed, bars=bars, minute_bars=minute_bars)


@commands.command(short_help="Show capital, exposure, risk and positions.")
@click.option("--watch", is_flag=True, help="Refresh every few seconds until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the panel.")
def status(watch: bool, as_json: bool) -> None:
    """Show the monitoring panel: live from the broker, or as last recorded when no gateway runs.

    Ends with status 1 when there is nothing to show, the broker does not answer, or the order journal is gone.
    """
    if watch and as_json:
        raise click.UsageError("--watch and --json do not go together")
    from quant_pipeline.cli.monitoring import print_status, watch_status
    from quant_pipeline.settings import load_settings

    settings = load_settings()
    if watch:
        watch_status(settings)
    else:
        print_status(settings, as_json=as_json)


@commands.command(
    short_help="Show what led to an order, or to none.",
    epilog=examples(
        "quant-pipeline explain 2026-11-20T10:15:ZORU:entry",
        "quant-pipeline explain ZORU --slot 2026-11-20T10:15",
        ends="Ends with status 2 when there is no such order, symbol or slot, with those nearest to it.",
    ),
)
@click.argument("order_ref_or_symbol")
@click.option("--slot", metavar="KEY", help="The slot to look at. Default: that of the symbol's newest order.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def explain(order_ref_or_symbol: str, slot: str | None, as_json: bool) -> None:
    """Show the chain from an order back to the bars: versions, quote, score, limits, and every word of the broker.

    Takes an order's reference, that of its bracket, or a symbol, of which it shows the newest order and what the newest
    slot decided. Of a stock that was not ordered it says why not. Nothing is asked of the broker.
    """
    from quant_pipeline.cli.explain import print_explanation
    from quant_pipeline.home import home_in_force

    print_explanation(home_in_force(), order_ref_or_symbol, slot, as_json=as_json)


@commands.command(
    short_help="Write the tear sheet: one page on what was earned, and how.",
    epilog=examples(
        "quant-pipeline report",
        "quant-pipeline report --no-build --out week.html",
        ends="Ends with status 1 when nothing is recorded, no metrics can be built, or the order journal is gone.",
    ),
)
@click.option("--out", type=FILE, metavar="FILE", help="Where to. Default: report.html in QUANT_HOME.")
@click.option("--no-build", is_flag=True, help="Take the metrics as they were last built.")
def report(out: Path | None, no_build: bool) -> None:
    """Build the metrics of all that is recorded and write the tear sheet, one page that needs no network.

    It shows returns and drawdown, trades in dollars and in R, exposure, how well scores foretold their trades, open
    positions and the health of the slots, for each account apart. The same figures are in the schema metrics of
    history.duckdb.
    """
    from quant_pipeline.cli.report import report_performance
    from quant_pipeline.settings import load_settings

    report_performance(load_settings(), out, _say, build=not no_build)


@commands.command(
    short_help="Check that the record is what was decided and sent.",
    epilog=examples(
        "quant-pipeline verify",
        "quant-pipeline verify 2026-11-20 2026-11-23T10:15",
        "quant-pipeline verify --from 2026-11-16 --json",
        ends="Ends with status 1 when anything differs, 2 when what was named is no slot or was not recorded.",
    ),
)
@click.argument("slots", nargs=-1, metavar="[SLOT]...")
@click.option("--from", "first", metavar="KEY", help="The first slot. Default: the first recorded.")
@click.option("--to", "last", metavar="KEY", help="The last slot. Default: the last recorded.")
@click.option(
    "--metrics/--no-metrics",
    default=None,
    help="Compare the metrics with another build too, some ten seconds. Default: when all slots are verified.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a line for each slot.")
def verify(slots: tuple[str, ...], first: str | None, last: str | None, metrics: bool | None, as_json: bool) -> None:
    """Hash every recorded frame again, decide each slot again, and compare orders, fills and metrics.

    Takes slots, days or nothing, which is all that is recorded. Nothing is changed and nothing is sent.
    """
    from quant_pipeline.cli.verify import print_verification
    from quant_pipeline.settings import load_settings

    if not print_verification(load_settings(), slots, first=first, last=last, metrics=metrics, as_json=as_json):
        raise click.exceptions.Exit(1)


@commands.command(short_help="Say what is wrong with the set-up and what to do.")
def doctor() -> None:
    """Check versions, settings, home, calendar, broker, clock, history and journal, and say what to do."""
    from quant_pipeline.cli.doctor import examine

    healthy = True
    for finding in examine():
        healthy &= finding.healthy
        _say(finding.line)
    if not healthy:
        raise click.exceptions.Exit(1)


@commands.command(
    short_help="Put all that is recorded into one file.",
    epilog=examples(
        "quant-pipeline backup --out all.tar.zst",
        ends="Ends with status 1 when nothing is recorded or it cannot be written, 2 when the file is there already.",
    ),
)
@click.option("--out", type=FILE, metavar="FILE", help="Default: named after the time, in QUANT_HOME/backups.")
def backup(out: Path | None) -> None:
    """Copy history, order journal, settings and paper book into one file, while everything goes on.

    Dagster's own storage (its log of runs) is left out; nothing needs it to explain, verify or trade on.
    """
    from quant_pipeline.cli.backup import write_backup
    from quant_pipeline.settings import load_settings

    write_backup(load_settings(), out, _say)


@commands.command(
    short_help="Put a backup into an empty home.",
    epilog=examples(
        "quant-pipeline restore all.tar.zst --home another",
        ends=(
            "Ends with status 1 when the backup is damaged or newer than this program, 2 when FILE is no backup or "
            "the home holds a history or an order journal; nothing was changed then."
        ),
    ),
)
@click.argument("file", type=FILE)
@click.option("--home", type=FILE, metavar="DIR", help="Where to. Default: QUANT_HOME.")
def restore(file: Path, home: Path | None) -> None:
    """Check a backup and put it into a home that holds no history yet, whole or not at all."""
    from quant_pipeline.cli.backup import restore_backup
    from quant_pipeline.settings import load_settings

    restore_backup(file, load_settings(**({"home": home} if home else {})).home, _say)


@commands.command(
    short_help="Write the published history as Parquet.",
    epilog=examples(
        "quant-pipeline export --out parquet",
        "quant-pipeline export --out trades --since 2026-11-16T09:30 metrics",
        ends="Ends with status 1 when nothing is published, 2 when the folder is not empty or there is no such table.",
    ),
)
@click.option("--out", type=FILE, metavar="DIR", required=True, help="The folder to write; it must be empty or new.")
@click.option("--slots", metavar="FROM..TO", help="Only these slots, both included; either may be left open.")
@click.option("--since", metavar="KEY", help="Only this slot and later ones.")
@click.option("--overwrite", is_flag=True, help="Replace the export that is there.")
@click.argument("tables", nargs=-1)
def export(out: Path, slots: str | None, since: str | None, overwrite: bool, tables: tuple[str, ...]) -> None:
    """Write the tables of the published history as Parquet files, a folder a schema.

    TABLES are schemas (metrics) or tables (history.scores); without any, all are written. quant-pipeline schema lists
    them.
    """
    from quant_pipeline.cli.export import read_span, write_export
    from quant_pipeline.settings import load_settings

    span = read_span(slots, since)
    write_export(load_settings(), out, _say, span=span, wanted=tables, overwrite=overwrite)


@commands.command(
    short_help="Write the history anew, without what is unused.",
    epilog=examples(
        "quant-pipeline compact",
        "QUANT_RETENTION__KEEP_SESSIONS=252 quant-pipeline compact",
        ends="Ends with status 1 when nothing is recorded or the disk has no room.",
    ),
)
def compact() -> None:
    """Give up the frames that retention.keep_sessions no longer keeps, and write the history anew without holes.

    What an order was decided on always stays. Everything goes on meanwhile; the old file stands until the new one is
    whole. Without retention.keep_sessions no frame is given up.
    """
    from quant_pipeline.cli.compact import compact_history
    from quant_pipeline.settings import load_settings

    compact_history(load_settings(), _say)


def _unsaid_of_settings(home: Path | None) -> Unsaid:
    from quant_pipeline.settings import load_settings

    settings = load_settings(**({"home": home} if home else {}))
    chosen_home = home.expanduser().absolute() if home else settings.home
    return Unsaid(chosen_home, settings.gateway.seed, settings.gateway.cash)


def _serve_gateway(options: GatewayOptions) -> None:
    from quant_pipeline.paper_gateway.serve import serve

    # What it logs is for the person at this terminal, who needs no module names.
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    serve(options)


commands.add_command(gateway_command(_unsaid_of_settings, _serve_gateway))


@commands.command("settings", short_help="List every setting with its default and meaning.")
def settings_command() -> None:
    """Print every setting with its default, its environment variable and its meaning."""
    from quant_pipeline.cli.settings_reference import settings_reference

    click.echo(settings_reference(), nl=False)


@commands.command(short_help="Explain the score and list every signal.")
def signals() -> None:
    """Print what a score is, and every signal with its weight, its ramp, why it is there and its source."""
    from quant_pipeline.cli.signals_reference import signals_reference

    click.echo(signals_reference(), nl=False)


@commands.command(short_help="List every indicator with its formula.")
def indicators() -> None:
    """Print every indicator with its unit, warm-up, inputs, formula and source."""
    from quant_pipeline.cli.indicators_reference import indicators_reference

    click.echo(indicators_reference(), nl=False)


@commands.command(
    "schema",
    short_help="List every table of the history with its columns.",
    epilog=examples("quant-pipeline schema | less", "quant-pipeline schema > schema.md"),
)
def schema_command() -> None:
    """Print every schema, table and column of the history with its type and meaning, as Markdown."""
    from quant_pipeline.cli.schema_reference import schema_reference

    click.echo(schema_reference(), nl=False)


def _say(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()


def _quiet(text: str) -> None:
    del text
