"""What all tests share: hypothesis without deadlines, since the machine may be busy, and slots that were traded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from quant_pipeline_tests.traded_slots import TradedSlots

settings.register_profile(
    "pipeline", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("pipeline")


@pytest.fixture(scope="session")
def traded_slots(tmp_path_factory: pytest.TempPathFactory) -> TradedSlots:
    """Two slots that were really traded, for tests that look back; take a copy to change something."""
    from quant_pipeline_tests.traded_slots import trade

    return trade(tmp_path_factory.mktemp("traded_slots"))
