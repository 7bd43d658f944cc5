"""The client library must load wherever Dagster happens to import us from."""

from __future__ import annotations

import subprocess
import sys

IMPORT_IN_A_WORKER_THREAD = """
import sys, threading
failures = []
def load():
    try:
        import quant_pipeline.broker.session
    except BaseException as error:
        failures.append(error)
thread = threading.Thread(target=load)
thread.start()
thread.join()
sys.exit(repr(failures[0]) if failures else 0)
"""

IMPORT_UNDER_A_RUNNING_LOOP = """
import asyncio
async def load():
    import quant_pipeline.broker.session
asyncio.run(load())
asyncio.run(asyncio.sleep(0))
"""


def test_it_loads_in_a_thread_without_an_event_loop() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_IN_A_WORKER_THREAD], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_loads_under_a_running_event_loop() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_UNDER_A_RUNNING_LOOP], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
