"""How ``quant-pipeline`` ends: 0, 1 for a slot or a service that failed, 2 for wrong usage, 130 after Ctrl-C.

Every error becomes one sentence on stderr that says what to do; with ``--debug`` the traceback follows instead. What
the commands are belongs to ``commands``.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sqlite3
import sys
import warnings

import click

from quant_pipeline.errors import QuantPipelineError

FAILED = 1
INTERRUPTED = 130
DEBUG = "--debug"


def main() -> None:
    """Entry point of ``quant-pipeline``."""
    arguments = sys.argv[1:]
    debug = DEBUG in arguments
    if not debug:
        warnings.simplefilter("ignore")
        logging.getLogger("ib_insync").setLevel(logging.CRITICAL)
    status = run_command([argument for argument in arguments if argument != DEBUG], debug=debug)
    _let_nothing_interrupt_the_way_out()
    sys.exit(status)


def run_command(arguments: list[str], *, debug: bool = False) -> int:
    """Run one command and return the exit status; with ``debug`` an error is raised as it is."""
    try:
        from quant_pipeline.cli.commands import commands

        return commands.main(arguments, prog_name="quant-pipeline", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _say(_wrong_usage(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _let_nothing_interrupt_the_way_out()
        return _say("Interrupted; nothing is half-written, run it again when you like.", INTERRUPTED)
    except Exception as error:
        if debug:
            raise
        return _say(*_in_one_sentence(error))


def _let_nothing_interrupt_the_way_out() -> None:
    # Python takes a while to end; a Ctrl-C then would give a traceback and the exit status of a killed process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _say(sentence: str, status: int) -> int:
    click.echo(f"quant-pipeline: {sentence}", err=True)
    return status


def _wrong_usage(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "quant-pipeline"
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see {command} --help."


def _in_one_sentence(error: Exception) -> tuple[str, int]:
    if isinstance(error, QuantPipelineError):
        return str(error), error.exit_status
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has had enough; nothing more may be written, not even on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "The reader of the output went away.", FAILED
    if _disk_is_full(error):
        return "The disk is full, so not everything could be written; free space and run it again.", FAILED
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be used ({error.strerror}); mend that or set QUANT_HOME to another.", FAILED
    kind = type(error).__name__
    first_line = str(error).strip().partition("\n")[0]
    return f"Something went wrong that was not foreseen ({kind}: {first_line}); {DEBUG} shows where.", FAILED


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether that is behind an error; Dagster's storage wraps what SQLite says of it."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
            return True
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False
