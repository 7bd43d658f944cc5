"""``python -m quant_pipeline.paper_gateway``: the gateway alone, for any TWS client, without the pipeline's settings.

The options are those of ``quant-pipeline gateway`` and declared with it; ``serve`` does the work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from quant_pipeline.cli.gateway_command import Unsaid, gateway_command
from quant_pipeline.errors import QuantPipelineError, UsageError
from quant_pipeline.home import home_in_force
from quant_pipeline.paper_gateway.options import GatewayOptions

PROGRAM = "python -m quant_pipeline.paper_gateway"
INTERRUPTED = 130


def main() -> int:
    """Run a gateway with the options of the command line; return the exit status."""
    try:
        return _run(sys.argv[1:], _serve) or 0
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except QuantPipelineError as error:
        print(error, file=sys.stderr)  # noqa: T201 - what the person reads
        return error.exit_status


def read_options(arguments: list[str]) -> GatewayOptions:
    """The options of a command line.

    Raises:
        UsageError: An option does not exist, or makes no sense.
    """
    return _run(arguments, lambda options: options)


def _run(arguments: list[str], start: Callable[[GatewayOptions], Any]) -> Any:
    try:
        return gateway_command(_unsaid, start).main(arguments, prog_name=PROGRAM, standalone_mode=False)
    except click.ClickException as error:
        raise UsageError(f"{' '.join(error.format_message().split()).rstrip('.')}; see {PROGRAM} --help.") from error


def _unsaid(home: Path | None) -> Unsaid:
    return Unsaid(home or home_in_force())


def _serve(options: GatewayOptions) -> None:
    from quant_pipeline.paper_gateway.serve import serve  # loads a market, which wrong options need not wait for

    serve(options)


if __name__ == "__main__":
    sys.exit(main())
