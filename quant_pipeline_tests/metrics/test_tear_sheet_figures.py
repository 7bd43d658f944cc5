"""How figures look, and how far a share seen in few trades can be trusted."""

from __future__ import annotations

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.metrics import figures
from quant_pipeline.metrics.cards import wilson_range

amounts = st.floats(min_value=-1e12, max_value=1e12)


def read(shown: str) -> float:
    return float(shown.replace(figures.MINUS, "-").replace(",", "").replace("$", "").replace("+", ""))


@given(amounts)
def test_money_can_be_read_back_to_the_cent_and_its_sign_is_always_right(amount: float) -> None:
    cents = round(amount, 2)
    for shown in (figures.money(amount), figures.signed_money(amount)):
        assert read(shown) == pytest.approx(cents, abs=1e-9 + 1e-12 * abs(amount))
        assert shown.startswith(figures.MINUS) == (cents < 0)
    assert figures.signed_money(amount).startswith("+") == (cents > 0)


@given(amounts)
def test_dollars_say_their_sign_before_the_dollar(amount: float) -> None:
    shown = figures.signed_dollars(amount)
    assert read(shown) == pytest.approx(amount, abs=0.5)
    assert shown.partition("$")[0] in {"", "+", figures.MINUS}
    assert figures.dollars(amount) == shown.removeprefix("+")


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (figures.signed_dollars(-1234.4), "−$1,234"),
        (figures.signed_dollars(3.456), "+$3.46"),
        (figures.signed_dollars(0.001), "$0.00"),
        (figures.money(-0.001), "0.00"),
        (figures.signed_percent(12.345, 2), "+12.35\N{NO-BREAK SPACE}%"),
        (figures.share(0.335), "34\N{NO-BREAK SPACE}%"),
        (figures.multiple(-1.0), "−1.00\N{NO-BREAK SPACE}R"),
        (figures.ratio(math.inf), "∞"),
        (figures.ratio(-math.inf), "−∞"),
        (figures.counted(1, "trade"), "1 trade"),
        (figures.counted(0, "trade"), "0 trades"),
        (figures.counted(1234, "trade"), "1,234 trades"),
        (figures.sessions(2.44), "2.4 sessions"),
        (figures.words("mean_reversion"), "mean reversion"),
        (figures.instant(dt.datetime(2026, 7, 1, 14, 15, tzinfo=dt.UTC)), "2026-07-01 10:15"),
        (figures.instant(dt.datetime(2026, 12, 1, 14, 15, tzinfo=dt.UTC)), "2026-12-01 09:15"),
        (figures.percent_step(0.25), "0.25\N{NO-BREAK SPACE}%"),
        (figures.dollar_step(-0.5), "−$0.50"),
        (figures.dollar_step(100000.0), "$100,000"),
    ],
)
def test_figures_look_as_a_trader_writes_them(shown: str, words: str) -> None:
    assert shown == words


@pytest.mark.parametrize("missing", [None, math.nan])
def test_what_is_missing_is_a_dash_in_every_form(missing: float | None) -> None:
    looks = (
        figures.count, figures.money, figures.signed_money, figures.dollars, figures.signed_dollars, figures.percent,
        figures.signed_percent, figures.ratio, figures.multiple, figures.seconds, figures.hours, figures.sessions,
        figures.share,
    )  # fmt: skip
    assert {look(missing) for look in looks} == {figures.MISSING}


@given(st.integers(1, 5000).flatmap(lambda trades: st.tuples(st.integers(0, trades), st.just(trades))))
def test_the_range_of_a_share_holds_the_share_and_lies_between_none_and_all(hits: tuple[int, int]) -> None:
    share = hits[0] / hits[1]
    low, high = wilson_range(share, hits[1])
    assert low is not None
    assert high is not None
    assert -1e-12 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1 + 1e-12


def test_the_range_of_a_share_is_that_of_the_textbook() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 gives 0.2553 to 0.3662, 0 of 20 gives 0 to 0.1611.
    assert wilson_range(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_range(0.0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_range(None, 0) == (None, None)
