"""``python -m quant_pipeline.paper_gateway``: the gateway alone, for any TWS client.

Only the reading of options belongs here; ``serve`` does the work.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from pathlib import Path

from quant_pipeline.errors import QuantPipelineError, UsageError
from quant_pipeline.home import DEFAULT_HOME
from quant_pipeline.paper_gateway.options import GatewayOptions
from quant_pipeline.paper_gateway.serve import serve


def main() -> int:
    """Run a gateway with the options of the command line; return the exit status."""
    try:
        serve(read_options(sys.argv[1:]))
    except QuantPipelineError as error:
        print(error, file=sys.stderr)  # noqa: T201 - what the person reads
        return error.exit_status
    return 0


def read_options(arguments: list[str]) -> GatewayOptions:
    """The options of a command line.

    Raises:
        UsageError: A time or a number makes no sense.
    """
    defaults = GatewayOptions(home=DEFAULT_HOME)
    parser = argparse.ArgumentParser(prog="python -m quant_pipeline.paper_gateway", description=__doc__)
    parser.add_argument("--home", type=Path, default=defaults.home, help="folder of the book")
    parser.add_argument("--port", type=int, default=defaults.port, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--at", help="exchange time to start at, 2018-02-20T10:15; default: the wall clock")
    parser.add_argument("--speed", type=float, default=defaults.speed, help="exchange seconds per second")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of the synthetic market")
    parser.add_argument("--bars", type=Path, help="daily bars to replay (Parquet)")
    parser.add_argument("--minute-bars", type=Path, help="minute bars to go with them (Parquet)")
    parser.add_argument("--cash", type=float, default=defaults.cash, help="dollars a new book starts with")
    parser.add_argument("--idle-minutes", type=float, help="end after so long without a client")
    chosen = parser.parse_args(arguments)
    if not 0 <= chosen.port <= 65535:
        raise UsageError(f"There is no port {chosen.port}; choose one from 0 to 65535.")
    if not chosen.cash > 0:
        raise UsageError(f"A book cannot start with {chosen.cash:g} dollars; give --cash a positive amount.")
    return GatewayOptions(**{**vars(chosen), "at": _instant(chosen.at)})


def _instant(text: str | None) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text) if text else None
    except ValueError as error:
        raise UsageError(f"{text!r} is not a time; write it as 2018-02-20T10:15 (exchange time).") from error


if __name__ == "__main__":
    sys.exit(main())
