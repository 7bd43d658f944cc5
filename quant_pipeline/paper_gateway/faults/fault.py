"""What can go wrong, as data: the catalogue of faults, one fault with its selectors, and reading them from a TOML file.

How a fault is carried out belongs to ``injector`` and ``faulty_market``. A file looks like this::

    seed = 7

    [[fault]]
    what = "lose_ack"          # a name of CATALOGUE
    symbol = "AAPL"            # patterns as of file names; left out, everything matches
    nth = 3                    # the third message that matches, and those behind it
    times = 1                  # how often it strikes; 0 means for ever
    after = "10:20"            # exchange time, or a whole moment: 2018-02-20T10:20
"""

from __future__ import annotations

import datetime as dt
import tomllib
from dataclasses import dataclass, fields
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from quant_pipeline.automation.sessions import EXCHANGE_TIME
from quant_pipeline.errors import UsageError


class Moment(Enum):
    """When a fault has its chance to strike."""

    REQUEST = "a request arrives"
    TELLING = "something happened to an order and is about to be told"
    CLOCK = "its time has come, without anybody asking"
    MARKET = "the market is looked at"
    WIRE = "bytes leave"


@dataclass(frozen=True)
class Kind:
    """One entry of the catalogue.

    Attributes:
        moment: When it strikes.
        says: What it does, for people.
        message: Which request it strikes unless the fault names another; empty where it strikes no request.
        code: IB's code it answers with unless the fault names another; 0 where it answers none.
        text: The words that go with the code.
        codes: The codes that make sense instead.
    """

    moment: Moment
    says: str
    message: str = ""
    code: int = 0
    text: str = ""
    codes: tuple[int, ...] = ()


_VALIDATION = "Error validating request.-'bW' : cause - The request was made to fail"
_HISTORY = "Historical Market Data Service error message:"

CATALOGUE: dict[str, Kind] = {
    "lose_request": Kind(
        Moment.REQUEST,
        "closes the connection before the request is read; struck on a leg, in mid-bracket",
        "place_order",
    ),
    "lose_ack": Kind(
        Moment.REQUEST, "carries the request out, then closes the connection without a word about it", "place_order"
    ),
    "drop_after_ack": Kind(Moment.REQUEST, "answers the request, then closes the connection", "place_order"),
    "no_answer": Kind(Moment.REQUEST, "never answers the request", "history"),
    "history_error": Kind(
        Moment.REQUEST,
        "answers a request for bars with 162",
        "history",
        162,
        f"{_HISTORY}API historical data query cancelled",
    ),
    "pacing_violation": Kind(
        Moment.REQUEST, "answers a request for bars with 162, pacing", "history", 162, f"{_HISTORY}pacing violation"
    ),
    "validation_error": Kind(Moment.REQUEST, "answers with 321", "place_order", 321, _VALIDATION),
    "order_rejected": Kind(
        Moment.REQUEST, "answers an order with 201", "place_order", 201, "Order rejected - reason:Made to fail"
    ),
    "price_off_grid": Kind(
        Moment.REQUEST,
        "answers an order with 110, which ib_insync leaves pending for ever",
        "place_order",
        110,
        "The price does not conform to the minimum price variation for this contract.",
    ),
    "cancel_refused": Kind(
        Moment.REQUEST,
        "answers a cancel with 10147 or 10148; the order lives",
        "cancel_order",
        10148,
        "The order that needs to be cancelled can not be cancelled, state: PendingCancel.",
        (10147, 10148),
    ),
    "fill_after_cancel": Kind(
        Moment.REQUEST,
        "tells that an order is cancelled, then that it was filled at its own price all the same",
        "cancel_order",
    ),
    "preset_tif": Kind(
        Moment.REQUEST,
        "tells 10349 about an order that lives on",
        "place_order",
        10349,
        "Order TIF was set to DAY based on order preset.",
    ),
    "order_warning": Kind(
        Moment.REQUEST,
        "tells 399 about an order that lives on",
        "place_order",
        399,
        "Order Message: Warning: made to be told",
    ),
    "no_market_data": Kind(
        Moment.REQUEST,
        "answers a request for quotes with 354, 10168 or 10197; there will be none",
        "quote",
        354,
        "Requested market data is not subscribed.",
        (354, 10168, 10197),
    ),
    "delayed_data": Kind(
        Moment.REQUEST,
        "tells 10089, 10090 or 10167 before the quotes, which come all the same",
        "quote",
        10089,
        "Requested market data requires additional subscription for API. Delayed market data is available.",
        (10089, 10090, 10167),
    ),
    "client_id_in_use": Kind(
        Moment.REQUEST,
        "refuses a client with 326",
        "start_api",
        326,
        "Unable to connect as the client id is already in use. Retry with a unique client id.",
    ),
    "next_id_jump": Kind(Moment.REQUEST, "lets the next valid order id jump by `ids`", "start_api"),
    "silent_fill": Kind(Moment.TELLING, "tells a fill without any status before it"),
    "duplicates": Kind(Moment.TELLING, "tells every status and execution `copies` times"),
    "correction": Kind(Moment.TELLING, "corrects the price of an execution by `ticks`, `seconds` after it"),
    "late_commission": Kind(Moment.TELLING, "tells a commission `seconds` late"),
    "lost_commission": Kind(Moment.TELLING, "never tells a commission"),
    "connectivity_lost": Kind(
        Moment.CLOCK,
        "tells 1100 and nothing else for `seconds`, then 1102, or 1101 and all subscriptions are gone (`data_lost`)",
    ),
    "quote_farm_down": Kind(Moment.CLOCK, "tells 2103; no quotes for `seconds`, then 2104"),
    "history_farm_down": Kind(Moment.CLOCK, "tells 2105; no bars for `seconds`, then 2106"),
    "restart": Kind(Moment.CLOCK, "closes every connection and takes none for `seconds`"),
    "halt": Kind(Moment.MARKET, "halts trading in `symbol` (tick 49) from `after` on for `seconds`, or always"),
    "no_shares_to_short": Kind(
        Moment.MARKET,
        "no shares of `symbol` to borrow from `after` on for `seconds`, or ever: a short sale is held with 404",
    ),
    "thin_market": Kind(
        Moment.MARKET, "shows and trades at most `shares` of `symbol` at a time, a minute at most: partial fills"
    ),
    "split_frames": Kind(Moment.WIRE, "sends what is said in pieces of `bytes`; 0 draws their sizes"),
    "slow": Kind(Moment.WIRE, "sends what is said `seconds` late, by the machine's clock"),
}
"""Every fault by name."""

_OTHER_TEXTS = {
    10090: "Part of requested market data is not subscribed. Subscription-independent ticks are still active.",
    10147: "OrderId that needs to be cancelled is not found.",
    10167: "Requested market data is not subscribed. Displaying delayed market data.",
    10168: "Requested market data is not subscribed. Delayed market data is not enabled.",
    10197: "No market data during competing live session",
}
"""The words of codes that a fault can tell instead of its own."""

MESSAGES = (
    "start_api", "place_order", "cancel_order", "history", "quote", "scan", "contract_details", "executions",
    "open_orders", "completed_orders", "positions", "account", "account_summary", "any",
)  # fmt: skip
"""The requests a fault can name."""


class Subject(NamedTuple):
    """Whom and what a moment is about: the client, the symbol and the order's reference, as far as there are any."""

    client: int | None = None
    symbol: str = ""
    order_ref: str = ""


NOBODY = Subject()


@dataclass(frozen=True)
class Fault:
    """One fault: what happens, to what, when and how often.

    Attributes:
        what: A name of ``CATALOGUE``.
        message: The request it strikes, one of ``MESSAGES``; empty takes the catalogue's.
        symbol: Pattern the symbol must match, ``AAPL`` or ``A*``; empty matches all.
        order_ref: Pattern the order's reference must match, ``*:stop``.
        client: The only client it strikes.
        nth: The first of the matching moments that it strikes, from 1.
        times: How often it strikes; 0 means for ever.
        chance: Share of the matching moments it strikes, drawn from the seed.
        after: Exchange time before which it does not strike: a time of each day, or one moment.
        until: Exchange time from which it no longer strikes.
        seconds: How long it lasts, or how late something comes, in seconds of the exchange.
        code: IB's code instead of the catalogue's.
        text: Words instead of the catalogue's.
        ids: By how much the next order id jumps.
        copies: How often something is told in all.
        ticks: By how many ticks a correction moves the price.
        shares: How thin a thin market is.
        bytes: How large the pieces of a split frame are; 0 draws them.
        data_lost: Whether subscriptions are gone after a lost connection (1101 instead of 1102).
    """

    what: str
    message: str = ""
    symbol: str = ""
    order_ref: str = ""
    client: int | None = None
    nth: int = 1
    times: int = 1
    chance: float = 1.0
    after: dt.time | dt.datetime | None = None
    until: dt.time | dt.datetime | None = None
    seconds: float = 5.0
    code: int = 0
    text: str = ""
    ids: int = 1000
    copies: int = 2
    ticks: int = 1
    shares: int = 100
    bytes: int = 1
    data_lost: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense, in a sentence.

        Raises:
            UsageError: A name is unknown or a number out of range.
        """
        if self.what not in CATALOGUE:
            raise UsageError(f"There is no fault {self.what!r}; there are {', '.join(CATALOGUE)}.")
        if self.message and (self.message not in MESSAGES or self.kind.moment is not Moment.REQUEST):
            raise UsageError(
                f"{self.what} cannot strike the message {self.message!r}; there are {', '.join(MESSAGES)}."
            )
        if self.kind.codes and self.code and self.code not in self.kind.codes:
            raise UsageError(f"{self.what} cannot tell {self.code}; it tells {', '.join(map(str, self.kind.codes))}.")
        if self.nth < 1 or self.times < 0 or not 0 < self.chance <= 1:
            raise UsageError(f"{self.what}: nth counts from 1, times from 0, and chance lies above 0 and up to 1.")
        if not 0 <= self.seconds < 1e6 or self.copies < 1 or self.shares < 1 or self.bytes < 0 or self.ids < 1:
            raise UsageError(f"{self.what}: seconds, copies, shares, bytes and ids must be sensible amounts.")
        if self.kind.moment is Moment.CLOCK and self.after is None:
            raise UsageError(f"{self.what} needs `after`, the exchange time it happens at.")

    @property
    def kind(self) -> Kind:
        """The fault's entry in the catalogue."""
        return CATALOGUE[self.what]

    @property
    def error(self) -> tuple[int, str]:
        """The code and the words it answers with."""
        code = self.code or self.kind.code
        return code, self.text or _OTHER_TEXTS.get(code, self.kind.text)

    def concerns(self, now: dt.datetime, subject: Subject) -> bool:
        """Whether it is about this subject at this time; ``now`` is exchange time."""
        return (
            (self.client is None or subject.client is None or self.client == subject.client)
            and (not self.symbol or fnmatchcase(subject.symbol, self.symbol))
            and (not self.order_ref or fnmatchcase(subject.order_ref, self.order_ref))
            and (self.after is None or now >= moment_on(self.after, now))
            and (self.until is None or now < moment_on(self.until, now))
        )


@dataclass(frozen=True)
class FaultPlan:
    """The faults of a gateway and the seed of what they draw."""

    faults: tuple[Fault, ...] = ()
    seed: int = 0


def moment_on(moment: dt.time | dt.datetime, now: dt.datetime) -> dt.datetime:
    """A moment as an instant in exchange time; a time of day is taken on the day of ``now``."""
    if isinstance(moment, dt.datetime):
        return moment.replace(tzinfo=EXCHANGE_TIME) if moment.tzinfo is None else moment.astimezone(EXCHANGE_TIME)
    return dt.datetime.combine(now.astimezone(EXCHANGE_TIME).date(), moment, EXCHANGE_TIME)


def read_faults(path: Path) -> FaultPlan:
    """The faults of a TOML file.

    Raises:
        UsageError: The file cannot be read, or something in it makes no sense; the text names the place.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The faults {path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The faults {path} are no TOML: {error}.") from error
    strange = sorted(set(found) - {"seed", "fault"})
    tables = found.get("fault", [])
    seed = found.get("seed", 0)
    if strange or type(seed) is not int or not isinstance(tables, list):
        raise UsageError(
            f"The faults {path} hold {', '.join(strange) or 'something else'}; write `seed` and [[fault]]."
        )
    return FaultPlan(tuple(_fault(path, number, table) for number, table in enumerate(tables, 1)), seed)


def _fault(path: Path, number: int, table: Any) -> Fault:
    place = f"Fault {number} of {path}"
    known = {field.name: str(field.type) for field in fields(Fault)}
    if not isinstance(table, dict) or "what" not in table:
        raise UsageError(f"{place} does not say `what` happens; there are {', '.join(CATALOGUE)}.")
    values = {}
    for name, value in table.items():
        if name not in known:
            raise UsageError(f"{place} has an unknown entry {name!r}; there are {', '.join(known)}.")
        values[name] = _typed(place, name, known[name], value)
    try:
        return Fault(**values)
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from None


def _typed(place: str, name: str, wanted: str, value: Any) -> Any:
    if "time" in wanted:
        return _time(place, name, value)
    if wanted == "float" and type(value) in (int, float):
        return float(value)
    if wanted.removesuffix(" | None") != type(value).__name__:
        raise UsageError(f"{place}: {name} is {value!r}; it must be {_WORDS[wanted.removesuffix(' | None')]}.")
    return value


_WORDS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}


def _time(place: str, name: str, value: Any) -> dt.time | dt.datetime:
    if isinstance(value, dt.time | dt.datetime):
        return value
    try:
        text = str(value)
        return dt.datetime.fromisoformat(text) if "T" in text else dt.time.fromisoformat(text)
    except ValueError:
        text = f"{place}: {name} is {value!r}; write exchange time, 10:20 or 2018-02-20T10:20."
        raise UsageError(text) from None
