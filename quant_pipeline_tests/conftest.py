"""What all tests share: hypothesis without deadlines, since the machine may be busy, and slots that were traded.

And how the files are dealt out to the processes of a run: those that share what takes long together, and first.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

    from quant_pipeline_tests.traded_slots import TradedSlots

settings.register_profile(
    "pipeline", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("pipeline")

TOGETHER = {
    "a slot that was run": ("cli/test_run", "cli/test_bad_input", "cli/test_backup", "cli/test_status"),
    "slots that were traded": ("verification/", "cli/test_verify", "cli/test_explain", "history/test_order_chain"),
    "a slot and its lineage": ("assets/test_history_io", "assets/test_order_explanation"),
}
"""Files that look at something which takes long to make and is made once a process: they go to the same one."""


class WholeFiles(LoadScopeScheduling):
    """A file goes to one process as a whole, and with it those of its group."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> WholeFiles | None:
    """Deal out whole files in the order they are in, where ``--dist loadfile`` asks for whole files."""
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return WholeFiles(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a run of several processes let begin first what takes longest, so that nobody waits for it at the end.

    That is the groups, and the files that are given more time than others; then those with the most tests.
    """
    if not hasattr(config, "workerinput"):
        return
    groups = [_group(item.nodeid) for item in items]
    tests, seconds = Counter(groups), Counter[str]()
    for group, item in zip(groups, items, strict=True):
        for mark in item.iter_markers("timeout"):
            seconds[group] = max(seconds[group], mark.args[0])
    place = {
        item: (group not in TOGETHER, -seconds[group], -tests[group], group)
        for group, item in zip(groups, items, strict=True)
    }
    items.sort(key=place.__getitem__)


def _group(nodeid: str) -> str:
    """What is kept together with a test: its group, or its file."""
    file = nodeid.partition("::")[0]
    return next((name for name, files in TOGETHER.items() if any(each in file for each in files)), file)


@pytest.fixture(scope="session")
def traded_slots(tmp_path_factory: pytest.TempPathFactory) -> TradedSlots:
    """Two slots that were really traded, for tests that look back; take a copy to change something."""
    from quant_pipeline_tests.traded_slots import trade

    return trade(tmp_path_factory.mktemp("traded_slots"))
