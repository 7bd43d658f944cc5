"""What the service allows its clients: the limits of IB's, each a number that can be changed or switched off.

The numbers belong here, how they are written on a command line, and the counting of what comes too fast. Where a limit
is met is the business of whoever answers: ``client_session`` for messages, ``market_answers`` for scans, quotes and
bars, ``order_desk`` for orders. Time is the machine's, in seconds of ``time.monotonic``: the limits protect a service,
and a service is as patient on a replayed day as on any other.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from quant_pipeline.errors import UsageError

OFF, ON = "off", "on"
VIOLATIONS_FORGIVEN = 2
"""How often a connection may exceed the rate of messages; IB ends the session with the third time."""

SECONDS_A_VIOLATION = 1.0
SMALL_BAR_SECONDS = 600.0
IDENTICAL_BARS_SECONDS = 15.0
BURST_SECONDS = 2.0
BURST_REQUESTS = 6


@dataclass(frozen=True)
class ServiceLimits:
    """How much clients may ask; None switches a limit off. All count the clients of the gateway together.

    Attributes:
        messages_per_second: Messages of all clients; what is above is refused with 100, and ends a connection the
            third time.
        connected_clients: Connections at one time, as TWS takes them.
        rows_per_scan: Rows one scan gives at most.
        active_scans: Scans subscribed to at one time; the next one is refused with 322.
        market_data_lines: Streams of quotes and five-second bars at one time; the next one is refused with 101.
        open_history_requests: Requests for bars that are not answered yet or are kept up to date; the next one is
            refused with 322.
        small_bar_requests: Requests in ten minutes for bars of 30 seconds and less, with which go the rules against
            asking the same twice in 15 seconds and for one contract six times in two seconds; refused with 162.
        orders_per_contract_and_side: Active orders to buy, or to sell, one contract.
        read_only: Whether everything that has to do with orders is refused with 321.
    """

    messages_per_second: int | None = 50
    connected_clients: int | None = 32
    rows_per_scan: int | None = 50
    active_scans: int | None = 10
    market_data_lines: int | None = 100
    open_history_requests: int | None = 50
    small_bar_requests: int | None = 60
    orders_per_contract_and_side: int | None = 20
    read_only: bool = False

    @classmethod
    def worded(cls, words: Iterable[str]) -> Self:
        """IB's limits but for those that are given as ``NAME=VALUE``, where a value is a whole number, on or off.

        ``on`` means IB's number.

        Raises:
            UsageError: A name or a value does not exist.
        """
        defaults = cls()
        names = [field.name for field in dataclasses.fields(cls)]
        changed: dict[str, int | bool | None] = {}
        for word in words:
            name, _, value = (part.strip().replace("-", "_") for part in word.partition("="))
            if name not in names:
                raise UsageError(f"There is no limit {name!r}; there are {', '.join(names)}.")
            changed[name] = _value(name, value.casefold(), getattr(defaults, name))
        return dataclasses.replace(defaults, **changed)


NO_LIMITS = ServiceLimits(*[None] * 8, read_only=False)


def _value(name: str, text: str, default: int | bool | None) -> int | bool | None:
    is_switch = isinstance(default, bool)
    if text == OFF:
        return False if is_switch else None
    if text == ON:
        return True if is_switch else default
    if not is_switch and text.isascii() and text.isdigit() and int(text[:10]) > 0:
        return int(text[:10])
    kinds = "on or off" if is_switch else "a whole number above 0, on or off"
    raise UsageError(f"The limit {name} is {kinds}, not {text!r}; write --limit {name}={OFF} to lift it.")


class MessagePace:
    """Lets through so many messages a second, and as many at once after a quiet second.

    A client that holds itself to the limit sends the messages of a second in one burst. A strict count over the last
    second would refuse it whenever one burst was handled a moment late, so the allowance fills up with time instead.
    """

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self._allowance = float(per_second)
        self._at = float("-inf")

    def allows(self, now: float) -> bool:
        """Whether one more message may come now; if so it is counted."""
        allowance = min(self.per_second, self._allowance + (now - self._at) * self.per_second)
        self._at = now
        self._allowance = allowance - 1 if allowance >= 1 else allowance
        return allowance >= 1


class Violations:
    """How often one connection went too fast; messages refused within a second are one violation."""

    def __init__(self) -> None:
        self.count = 0
        self._since = float("-inf")

    def begins(self, now: float) -> bool:
        """Count a refused message; true when it begins a new violation."""
        if now - self._since < SECONDS_A_VIOLATION:
            return False
        self.count += 1
        self._since = now
        return True

    @property
    def are_too_many(self) -> bool:
        """Whether the connection has been forgiven often enough."""
        return self.count > VIOLATIONS_FORGIVEN


class SmallBarPacing:
    """Watches the requests for bars of 30 seconds and less.

    Source: "Pacing Violations for Small Bars" in IB's documentation of historical data limitations.
    """

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self._asked: deque[tuple[float, str, str]] = deque()

    def refuses(self, contract: str, request: str, weight: int, now: float) -> bool:
        """Whether a request comes too soon; if not it is counted.

        Args:
            contract: What tells contract, exchange and kind of bars apart.
            request: What tells the whole request apart from others.
            weight: How often it counts; twice for BID_ASK.
            now: Seconds of the machine.
        """
        while self._asked and now - self._asked[0][0] >= SMALL_BAR_SECONDS:
            self._asked.popleft()
        recent = [each for each in self._asked if now - each[0] < IDENTICAL_BARS_SECONDS]
        identical = any(each[2] == request for each in recent)
        burst = sum(each[1] == contract and now - each[0] < BURST_SECONDS for each in recent)
        if identical or burst + weight >= BURST_REQUESTS or len(self._asked) + weight > self.requests:
            return True
        self._asked.extend([(now, contract, request)] * weight)
        return False
