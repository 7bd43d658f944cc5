"""Which market a command runs on: the configured broker, or the embedded paper gateway brought to what was asked for.

Called by the commands that may set the gateway's clock or give it bars to replay; everything else finds the running
gateway through ``broker.session``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from quant_pipeline.errors import UsageError
from quant_pipeline.settings import Settings


def prepare_market(
    settings: Settings,
    say: Callable[[str], None],
    *,
    at: dt.datetime | None = None,
    speed: float = 1.0,
    bars: Path | None = None,
    minute_bars: Path | None = None,
) -> bool:
    """Make sure that the embedded gateway plays what was asked for; tell whether it was started by this call.

    Raises ``UsageError`` for options that a real broker, or any gateway, cannot follow.
    """
    if not settings.embedded:
        if at or bars or minute_bars or speed != 1.0:
            raise UsageError(
                "--at, --speed, --bars and --minute-bars set the paper gateway; unset QUANT_IB_HOST and QUANT_IB_PORT "
                "to use it."
            )
        say(f"Broker at {settings.ib_host}:{settings.ib_port}")
        return False
    refuse_minutes_alone(bars, minute_bars)
    say("Looking for the paper gateway, starting it if need be")
    # Imported after the first words, since the exchange's calendar takes a while to load.
    from quant_pipeline.paper_gateway import embedded

    before = embedded.running(settings.home)
    found = embedded.ensure_running(settings, at=at, speed=speed, bars=bars, minute_bars=minute_bars)
    say(f"Paper gateway on {found.host}:{found.port}: {found.market_name}, account {found.account}")
    return before is None or before.pid != found.pid


def refuse_minutes_alone(bars: Path | None, minute_bars: Path | None) -> None:
    """Raise ``UsageError`` for minute bars without the daily bars they belong to."""
    if minute_bars and not bars:
        raise UsageError("--minute-bars needs --bars with the daily bars of the same symbols.")
