"""The real dbt on the real project, over a history of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "dbt_metrics"
DBT = Path(sys.executable).parent / "dbt"
SECONDS = 110


def run_dbt(scratch: Path, history: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of dbt; its files go below ``scratch``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "QUANT_"))}
    told = {
        "DBT_PROFILES_DIR": str(PROJECT),
        "DBT_TARGET_PATH": str(scratch / "target"),
        "DBT_LOG_PATH": str(scratch / "logs"),
        "DBT_USE_COLORS": "false",
        **({"QUANT_HISTORY": str(history)} if history else {}),
    }
    return subprocess.run(
        [DBT, *arguments, "--project-dir", PROJECT],
        env=kept | told, cwd=scratch, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip


def build(scratch: Path, history: Path, *arguments: str) -> dict[str, str]:
    """Build the metrics in a history and return each node's outcome by its name; nothing may have failed."""
    finished = run_dbt(scratch, history, "build", *arguments)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    results = json.loads((scratch / "target" / "run_results.json").read_text(encoding="utf-8"))["results"]
    return {result["unique_id"]: result["status"] for result in results}
