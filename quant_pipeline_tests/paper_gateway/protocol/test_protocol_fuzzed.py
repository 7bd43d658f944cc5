"""Thousands of messages that make no sense, from a seed: each is answered or refused, none is an internal error.

The fuzzer itself is ``benchmarks.fuzz_gateway``, which runs a million of them; here is a short run of it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from pathlib import Path

import pytest

from benchmarks.fuzz_gateway import FoundError, Fuzz, Garbler, recorded_requests
from quant_pipeline.paper_gateway.markets.market import Instrument
from quant_pipeline.paper_gateway.protocol.request_readers import READERS, read
from quant_pipeline.paper_gateway.protocol.securities import ContractQuery
from quant_pipeline_tests.paper_gateway.scripted_market import ScriptedMarket

FRAMES = 20_000


def fuzzed(home: Path, seed: int, frames: int, *, break_with: Exception | None = None) -> Fuzz:
    fuzz = Fuzz(ScriptedMarket(), home, seed)
    if break_with is not None:

        def fail(query: ContractQuery) -> Instrument | None:
            raise break_with

        fuzz.gateway.securities.find = fail
    # Not asyncio.run, which would take the thread's loop away from the clients of other tests.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(fuzz.run(frames))
    finally:
        loop.close()
    return fuzz


def test_no_message_is_an_internal_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        fuzz = fuzzed(tmp_path, seed=1, frames=FRAMES)
    assert caplog.text == ""
    assert {str(message_id) for message_id in READERS} <= set(fuzz.garbler.message_ids)
    assert fuzz.frames >= FRAMES
    assert fuzz.orders > 100
    assert fuzz.executions > 50


def test_the_fuzzer_sees_an_internal_error(tmp_path: Path) -> None:
    with pytest.raises(FoundError, match="internal error"):
        fuzzed(tmp_path, seed=1, frames=2_000, break_with=ZeroDivisionError())


def test_the_same_seed_gives_the_same_messages() -> None:
    one, two = (Garbler(random.Random(5), ["AAA"]) for _ in range(2))
    assert [one.message() for _ in range(200)] == [two.message() for _ in range(200)]


@pytest.mark.parametrize("version", [157, 176])
def test_every_kind_of_request_is_recorded_and_can_be_read(version: int) -> None:
    recorded = recorded_requests("AAA", version)
    known = {int(fields[0]) for fields in recorded}
    assert set(READERS) - known <= {71, 73}  # what the client says of itself, and a login it has no method for
    for fields in recorded:
        assert read(fields, version) is not None
