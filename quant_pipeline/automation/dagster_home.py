"""Dagster's own storage: where it is and how it is made.

One instance per ``QUANT_HOME``, so that what the command line ran is seen in the UI. Dagster's settings are copied from
the project's ``dagster.yaml`` once; afterwards the copy belongs to the user.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import dagster as dg

TEMPLATE = Path(__file__).parents[2] / "dagster.yaml"
VARIABLE = "DAGSTER_HOME"


def dagster_home(home: Path) -> Path:
    """Make Dagster's folder below ``QUANT_HOME`` if need be, and name it to Dagster through the environment."""
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "dagster.yaml"
    if not configuration.exists() and TEMPLATE.is_file():
        shutil.copyfile(TEMPLATE, configuration)
    configuration.touch()
    os.environ[VARIABLE] = str(folder)
    return folder


def open_instance(home: Path) -> dg.DagsterInstance:
    """The instance below ``QUANT_HOME``; dispose of it by using it as a context manager."""
    return dg.DagsterInstance.from_config(str(dagster_home(home)))
