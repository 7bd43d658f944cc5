"""Times as the wire writes them, and as clients write them.

IB words an instant as ``20180220 10:15:00 America/New_York``, a client as the same, in UTC as ``20180220-15:15:00``, or
without a zone, which means exchange time here. Nothing else is parsed or formatted here.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from quant_pipeline.automation.sessions import EXCHANGE_TIME
from quant_pipeline.paper_gateway.protocol.wire import FieldError

EASTERN_NAMES = frozenset({"EST", "EDT", "ET", "US/Eastern", "America/New_York"})
UTC_NAMES = frozenset({"UTC", "GMT", "Z"})


def zoned_text(at: dt.datetime) -> str:
    """An instant in exchange time with the zone's name."""
    return f"{at.astimezone(EXCHANGE_TIME):%Y%m%d %H:%M:%S} {EXCHANGE_TIME.key}"


def handshake_text(at: dt.datetime) -> str:
    """The connection time a server opens with."""
    return f"{at.astimezone(EXCHANGE_TIME):%Y%m%d %H:%M:%S %Z}"


def parse_time(text: str) -> dt.datetime:
    """The instant a client wrote.

    Raises:
        FieldError: It is none of the forms IB accepts, or names a zone that does not exist.
    """
    dashed = len(text) > 8 and text[8] == "-"
    words = text.replace("-", " ", 1).split() if dashed else text.split()
    if not 1 <= len(words) <= 3:
        raise FieldError(f"{text[:40]!r} is not a time such as 20180220 10:15:00 America/New_York")
    clock = words[1] if len(words) > 1 else "00:00:00"
    try:
        naive = dt.datetime.strptime(f"{words[0]} {clock}", "%Y%m%d %H:%M:%S")  # noqa: DTZ007 - the zone comes next
        zone = _zone(words[2]) if len(words) == 3 else dt.UTC if dashed else EXCHANGE_TIME
    except (ValueError, LookupError, OSError):
        raise FieldError(f"{text[:40]!r} is not a time such as 20180220 10:15:00 America/New_York") from None
    if not 1990 <= naive.year <= 2100:
        raise FieldError(f"{text[:40]!r} lies in no year this exchange has")
    return naive.replace(tzinfo=zone)


def _zone(name: str) -> dt.tzinfo:
    if name in EASTERN_NAMES:
        return EXCHANGE_TIME
    return dt.UTC if name in UTC_NAMES else ZoneInfo(name)
