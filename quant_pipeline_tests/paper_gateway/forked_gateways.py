"""Starts gateways by forking, so that a test can kill one after the other without paying for the imports each time.

A process of its own: each line on standard input is the options of a gateway; the pid is printed, then what the gateway
prints. Every gateway is a real process with its own connection to its book; the next line is read when it has died.
"""

from __future__ import annotations

import os
import shlex
import sys
import traceback

from quant_pipeline.automation.sessions import session_on
from quant_pipeline.paper_gateway.__main__ import read_options
from quant_pipeline.paper_gateway.gateway_clock import starting_instant
from quant_pipeline.paper_gateway.serve import serve


def main() -> None:
    session_on(starting_instant().date())  # loads the calendar
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            try:
                serve(read_options(shlex.split(line)))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        print(pid, flush=True)  # noqa: T201 - what the test waits for
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
