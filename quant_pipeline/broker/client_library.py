"""The one door to ib_insync.

Importing ib_insync asks the importing thread for an event loop (eventkit does, in ``eventkit.util``), which fails in
any thread but the main one; Dagster imports us from worker threads. So the import happens here, under a loop that
exists only for it, and the rest of the broker's room imports the names it needs from here. Nothing else belongs in this
module.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _loop_for_the_import() -> Iterator[None]:
    policy = asyncio.get_event_loop_policy()
    try:
        policy.get_event_loop()
    except RuntimeError:
        loop = policy.new_event_loop()
        policy.set_event_loop(loop)
        try:
            yield
        finally:
            policy.set_event_loop(None)
            loop.close()
    else:
        yield


with _loop_for_the_import():
    from ib_insync import IB, Contract, ExecutionFilter, Order, ScannerSubscription, Ticker
    from ib_insync.client import Client
    from ib_insync.objects import BarData, BarDataList, CommissionReport, Execution
    from ib_insync.order import OrderState
    from ib_insync.util import UNSET_DOUBLE
    from ib_insync.wrapper import RequestError, Wrapper

# The library prints every broker message on stderr when nobody has configured logging; we raise or report them
# ourselves.
logging.getLogger("ib_insync").addHandler(logging.NullHandler())

__all__ = [
    "IB",
    "UNSET_DOUBLE",
    "BarData",
    "BarDataList",
    "Client",
    "CommissionReport",
    "Contract",
    "Execution",
    "ExecutionFilter",
    "Order",
    "OrderState",
    "RequestError",
    "ScannerSubscription",
    "Ticker",
    "Wrapper",
]
