"""How figures look on the tear sheet and in what ``quant-pipeline report`` prints.

Every number a reader sees is formatted here and nowhere else, so that a figure looks the same in a tile, a table and a
picture. A value that is missing or not defined is a dash. Computing belongs to the marts; where a figure stands belongs
to ``cards`` and ``tear_sheet``.
"""

from __future__ import annotations

import datetime as dt
import math

from quant_pipeline.automation.sessions import EXCHANGE_TIME

MISSING = "–"
MINUS = "−"
ENDLESS = "∞"

Value = float | int | None


def known(value: Value) -> bool:
    """Whether there is a number to show."""
    return value is not None and not math.isnan(value)


def count(value: Value) -> str:
    """A whole number with its thousands apart: ``6,024``."""
    return _plain(value, 0)


def money(value: Value) -> str:
    """Dollars and cents without a sign of currency, for tables: ``−1,234.50``."""
    return _plain(value, 2)


def signed_money(value: Value) -> str:
    """The same with a plus for a gain: ``+1,234.50``."""
    return _signed(value, 2)


def dollars(value: Value) -> str:
    """Whole dollars, ``−$1,234``; cents only below ten dollars, where they are the figure."""
    return _with_dollar(value, "", _cents(value))


def signed_dollars(value: Value) -> str:
    """The same with a plus for a gain: ``+$1,234``."""
    return _with_dollar(value, "+", _cents(value))


def percent(value: Value, digits: int = 1) -> str:
    """A percentage, given as 0-100: ``12.3 %``."""
    return _with_unit(_plain(value, digits), "%")


def signed_percent(value: Value, digits: int = 1) -> str:
    """The same with a plus for a gain: ``+12.3 %``."""
    return _with_unit(_signed(value, digits), "%")


def signed_plain_percent(value: Value) -> str:
    """The same without its sign of percent, under a head that says so: ``+12.3``."""
    return _signed(value, 1)


def share(value: Value) -> str:
    """A share, given as 0-1, in whole percent: ``54 %``."""
    return percent(None if value is None else 100.0 * value, 0)


def ratio(value: Value) -> str:
    """A ratio such as Sharpe's: ``1.27``."""
    return _plain(value, 2)


def signed_ratio(value: Value) -> str:
    """The same with a plus above zero, such as an R-multiple under a head that says so: ``+0.42``."""
    return _signed(value, 2)


def multiple(value: Value) -> str:
    """A multiple of the initial risk: ``+0.42 R``."""
    return _with_unit(_signed(value, 2), "R")


def step(value: float) -> str:
    """A mark on an axis with as few decimals as it needs: ``0.25``."""
    return _plain(value, _decimals(value))


def signed_step(value: float) -> str:
    """The same with a plus above zero: ``+2``, ``−0.5``."""
    return _signed(value, _decimals(value))


def percent_step(value: float) -> str:
    """The same in percent: ``20 %``, ``−2.5 %``."""
    return _with_unit(step(value), "%")


def dollar_step(value: float) -> str:
    """The same in dollars: ``$100,000``, ``−$0.50``."""
    return _with_dollar(value, "", 2 if _decimals(value) else 0)


def seconds(value: Value) -> str:
    """A duration in seconds: ``2.41 s``."""
    return _with_unit(_plain(value, 2), "s")


def hours(value: Value) -> str:
    """A duration in hours: ``50.2 h``."""
    return _with_unit(_plain(value, 1), "h")


def sessions(value: Value) -> str:
    """A number of sessions, whole or an average: ``1 session``, ``2.4 sessions``."""
    return counted(value, "session")


def counted(value: Value, noun: str) -> str:
    """A number with its noun: ``1 trade``, ``12 trades``; an average keeps a decimal."""
    if not known(value):
        return MISSING
    assert value is not None
    whole = float(value).is_integer()
    return f"{_plain(value, 0 if whole else 1)} {noun}{'' if value == 1 else 's'}"


def day(value: dt.date | None) -> str:
    """A calendar day: ``2026-11-20``."""
    return MISSING if value is None else f"{value:%Y-%m-%d}"


def instant(value: dt.datetime | None) -> str:
    """An instant in exchange time, to the minute: ``2026-11-20 10:15``."""
    return MISSING if value is None else f"{value.astimezone(EXCHANGE_TIME):%Y-%m-%d %H:%M}"


def text(value: object) -> str:
    """Words as they are."""
    return MISSING if value is None or value == "" else str(value)


def words(value: object) -> str:
    """A name of the tables in words: ``mean reversion`` for ``mean_reversion``."""
    return text(value).replace("_", " ")


def _plain(value: Value, digits: int) -> str:
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return ENDLESS if value > 0 else MINUS + ENDLESS
    rounded = round(float(value), digits)
    # Rounding may leave a zero with a sign, which would look like a loss.
    return f"{abs(rounded):,.{digits}f}" if rounded >= 0 else f"{MINUS}{-rounded:,.{digits}f}"


def _signed(value: Value, digits: int) -> str:
    plain = _plain(value, digits)
    return f"+{plain}" if value is not None and round(float(value), digits) > 0 else plain


def _with_unit(plain: str, unit: str) -> str:
    # A figure and its unit stay on one line.
    return plain if plain == MISSING else f"{plain}\N{NO-BREAK SPACE}{unit}"


def _with_dollar(value: Value, plus: str, digits: int) -> str:
    plain = _plain(value, digits)
    if plain == MISSING:
        return plain
    if plain.startswith(MINUS):
        return f"{MINUS}${plain.removeprefix(MINUS)}"
    return f"{plus if _signed(value, digits).startswith('+') else ''}${plain}"


def _cents(value: Value) -> int:
    return 2 if value is not None and abs(value) < 10 else 0


def _decimals(value: float) -> int:
    return next((digits for digits in (0, 1) if math.isclose(round(value, digits), value, abs_tol=1e-9)), 2)
