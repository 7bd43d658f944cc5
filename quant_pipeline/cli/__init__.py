"""The command line, ``quant-pipeline``: thin commands over the rooms below.

``main`` holds the commands; ``run_slot`` runs one slot through Dagster, ``panels`` draws, ``doctor`` checks, ``up``
keeps the UI and everything live. Imports are made inside the commands, so that ``--help`` and wrong usage answer at
once.
"""

from quant_pipeline.cli.main import main

__all__ = ["main"]
