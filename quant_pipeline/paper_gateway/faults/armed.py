"""A fault with its state: what it has seen, how often it struck, what it draws.

Called by ``injector`` and ``faulty_market``; what a fault is stands in ``fault``.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
from dataclasses import dataclass, field

from quant_pipeline.paper_gateway.faults.fault import NOBODY, Fault, Subject

log = logging.getLogger(__name__)


@dataclass
class Armed:
    """A fault with what it has seen and done so far."""

    fault: Fault
    draws: random.Random
    seen: int = 0
    struck: int = 0
    decided: dict[int, bool] = field(default_factory=dict)

    @property
    def is_spent(self) -> bool:
        """Whether it never strikes again."""
        return 0 < self.fault.times <= self.struck

    def strikes(self, now: dt.datetime, subject: Subject = NOBODY) -> bool:
        """Whether it strikes at this moment, which counts as one that it has seen."""
        if self.is_spent or not self.fault.concerns(now, subject):
            return False
        self.seen += 1
        if self.seen < self.fault.nth or self.draws.random() >= self.fault.chance:
            return False
        self.struck += 1
        log.info("fault %s strikes client %s %s %s", self.fault.what, *subject)
        return True
