"""A dbt project of two models, quick to build and easy to break, and homes with a history for it to work on."""

from __future__ import annotations

import shutil
from pathlib import Path

from quant_pipeline.history.store import History
from quant_pipeline.metrics import project
from quant_pipeline.settings import Settings, load_settings
from quant_pipeline_tests.history.recorded_frames import MADE, SLOT, quality_filter

COUNTS = "select asset, count(*) as versions from {{ source('lineage', 'materializations') }} group by asset"
BUSIEST = """
    -- depends_on: {{ ref('counts') }}
    select asset from metrics.counts where versions > {{ var('sessions_per_year') }} - 252"""
NO_COUNT_IS_NEGATIVE = "select * from {{ ref('counts') }} where versions < 0"
_SCHEMA = """
sources:
  - name: lineage
    tables: [{name: materializations}]
models:
  - name: counts
    description: How often each asset was stored; it's counted.
    columns:
      - {name: asset, description: Name of the asset., data_type: varchar}
  - name: busiest
    description: Those that were stored at all.
    config: {materialized: view}
"""
_PROJECT = """
name: small
profile: dbt_metrics
vars: {risk_free_rate_pct: 0, sessions_per_year: 252}
models: {+persist_docs: {relation: true, columns: true}, +materialized: table}
"""


def write_project(folder: Path, *, counts: str = COUNTS, test: str = NO_COUNT_IS_NEGATIVE) -> Path:
    """Write the project, with another model or test in the place of one that passes."""
    for path, text in {
        "dbt_project.yml": _PROJECT,
        "models/schema.yml": _SCHEMA,
        "models/counts.sql": counts,
        "models/busiest.sql": BUSIEST,
        "tests/no_count_is_negative.sql": test,
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    shutil.copy(project.PROJECT / "profiles.yml", folder)
    return folder


def record(home: Path) -> Settings:
    """Settings of a home in which one frame is recorded."""
    append(History(home))
    return load_settings(home=home)


def append(history: History) -> None:
    """Record one more version of a frame that is larger than a row group."""
    symbols = [f"S{number}" for number in range(6000)]
    history.append("quality_filter", quality_filter(*symbols), slot=SLOT, **MADE)
