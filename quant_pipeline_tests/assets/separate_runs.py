"""Runs of ``executions`` in processes of their own, so that they can race each other and be killed for good.

Children are forked from a server that has the package loaded already; a run then takes no longer than in the test.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Any

from quant_pipeline.broker.session import BrokerSession
from quant_pipeline.errors import QuantPipelineError
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.settings import Settings
from quant_pipeline_tests.assets.decided_slot import execute

PATIENCE_SECONDS = 60
# Dagster imports its storage when the first instance is made; the children should not each do that.
PRELOADED = ["quant_pipeline.definitions", "alembic.command", "sqlalchemy.dialects.sqlite", __name__]
Outcomes = dict[str, str]


def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def run_together(each: list[Settings]) -> list[Outcomes | str]:
    """Let processes begin at one moment; what each did with each order, or the sentence it failed with."""
    context = processes()
    begin, told = context.Barrier(len(each)), context.Queue()
    racing = [context.Process(target=_race, args=(place, one, begin, told)) for place, one in enumerate(each)]
    try:
        for process in racing:
            process.start()
        answers = dict(told.get(timeout=PATIENCE_SECONDS) for _ in racing)
    finally:
        _end(racing)
    return [answers[place] for place in range(len(each))]


def run_until_killed(settings: Settings, moment: str) -> int:
    """Run until ``planned``, ``claimed REF`` or ``sent REF``, die there by SIGKILL, and return the exit code."""
    process = processes().Process(target=_run_and_die, args=(settings, moment))
    process.start()
    process.join(PATIENCE_SECONDS)
    _end([process])
    assert process.exitcode is not None
    return process.exitcode


def _race(place: int, settings: Settings, begin: Barrier, told: Queue[Any]) -> None:
    begin.wait(PATIENCE_SECONDS)
    try:
        told.put((place, {ref: row["outcome"] for ref, row in execute(settings).items()}))
    except QuantPipelineError as error:
        told.put((place, str(error)))


def _run_and_die(settings: Settings, moment: str) -> None:
    def die_at(happened: str) -> None:
        if happened == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    _tell_after(OrderJournal, "plan", lambda *_: die_at("planned"))
    _tell_after(OrderJournal, "mark_sending", lambda ref, *_: die_at(f"claimed {ref}"))
    _tell_after(BrokerSession, "send", lambda _, what: die_at(f"sent {what.removeprefix('order ')}"))
    execute(settings)


def _tell_after(kind: type, name: str, tell: Callable[..., None]) -> None:
    method = getattr(kind, name)

    def told(self: object, *arguments: Any) -> Any:
        result = method(self, *arguments)
        tell(*arguments)
        return result

    setattr(kind, name, told)


def _end(running: list[BaseProcess] | list[Any]) -> None:
    for process in running:
        with suppress(ValueError):
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join(5)
