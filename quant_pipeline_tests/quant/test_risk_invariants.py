"""No sequence of inputs breaks a limit: whatever the book, the settings and the offers.

Every limit is computed anew here from the raw frames, with none of the code under test.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_pipeline import frames
from quant_pipeline.settings import RiskSettings
from quant_pipeline_tests.quant.market_data import account_of, orders_of, portfolio_of
from quant_pipeline_tests.quant.risk_room import OFFERED, moving, sized

CENT = 0.01
STOPS = ("STP", "STP LMT")
FACTORS = np.random.default_rng(11).normal(0.0, 0.02, (2, 24))
NOISE = np.random.default_rng(12).normal(0.0, 0.02, (24, 24))
ACCOUNT = account_of()
SYMBOLS = tuple(f"S{n}" for n in range(14))

PRICES = st.integers(100, 50_000).map(lambda cents: cents / 100)
UNSOUND = st.sampled_from([math.nan, math.inf, -1.0, 0.0])


def mostly(usual: st.SearchStrategy[float], odd: st.SearchStrategy[float]) -> st.SearchStrategy[float]:
    """The usual nine times in ten: where one figure is odd everything is refused, and no limit is tried."""
    return st.integers(0, 9).flatmap(lambda turn: odd if turn == 9 else usual)


@dataclass(frozen=True)
class Inputs:
    """Everything one call is given."""

    rows: pd.DataFrame
    account: pd.DataFrame
    portfolio: pd.DataFrame
    working: pd.DataFrame
    bars: pd.DataFrame
    limits: dict[str, Any]

    @property
    def rules(self) -> RiskSettings:
        return RiskSettings.model_validate(self.limits)

    def size(self, rows: pd.DataFrame | None = None, *, shuffled: int | None = None) -> pd.DataFrame:
        given_frames = [self.rows if rows is None else rows, self.account, self.portfolio, self.working, self.bars]
        if shuffled is not None:
            given_frames = [frame.sample(frac=1, random_state=shuffled) for frame in given_frames]
        return sized(*given_frames, **self.limits)


@st.composite
def offered(draw: st.DrawFn) -> pd.DataFrame:
    symbols = draw(st.lists(st.sampled_from(SYMBOLS), max_size=12, unique=True))
    rows = []
    for symbol in symbols:
        direction = draw(st.sampled_from(["LONG", "SHORT"]))
        sign = 1 if direction == "LONG" else -1
        entry = draw(PRICES)
        away = draw(st.floats(0.002, 0.3)) * entry
        row = {
            "symbol": symbol,
            "direction": direction,
            # Few different scores, so that there are ties.
            "total_score": float(draw(st.integers(60, 66))),
            "entry_price": entry,
            "stop_price": entry - sign * away,
            "target_price": entry + sign * away,
        }
        spoilt = draw(st.sampled_from([*[None] * 25, *OFFERED[1:]]))
        if spoilt is not None:
            row[spoilt] = "FLAT" if spoilt == "direction" else draw(UNSOUND)
        rows.append(row)
    return pd.DataFrame(rows, columns=OFFERED).astype(dict.fromkeys(OFFERED[2:], float))


@st.composite
def booked(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Positions and working orders: stops whole and in part, entries with and without price and stop, and leftovers."""
    held = draw(st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(-80, 80), PRICES), max_size=4,
                         unique_by=lambda position: position[0]))  # fmt: skip
    orders: list[tuple[int, int, str, str, str, float, float]] = []
    for symbol, shares, price in held:
        for _ in range(draw(st.integers(0, 2))):
            parent = draw(st.sampled_from([0, -1, 999]))
            side = "SELL" if shares > 0 else "BUY"
            kind = draw(st.sampled_from([*STOPS, "LMT"]))
            away = draw(st.floats(0.9, 1.1)) * price
            orders.append((len(orders) + 1, parent, symbol, side, kind, away, draw(st.integers(1, 90))))
    for _ in range(draw(st.integers(0, 4))):
        symbol, side = draw(st.sampled_from(SYMBOLS)), draw(st.sampled_from(["BUY", "SELL"]))
        price = draw(st.one_of(st.just(math.nan), PRICES))
        kind = "MKT" if math.isnan(price) else "LMT"
        entry, shares = len(orders) + 1, draw(st.integers(1, 60))
        orders.append((entry, 0, symbol, side, kind, price, shares))
        if draw(st.booleans()):
            away = draw(st.floats(0.9, 1.1)) * (100.0 if math.isnan(price) else price)
            orders.append((entry + 1, entry, symbol, "SELL" if side == "BUY" else "BUY", "STP", away, shares))
    portfolio = portfolio_of(*((symbol, shares, price, price) for symbol, shares, price in held))
    working = orders_of(*orders)
    if len(portfolio) and draw(st.integers(0, 19)) == 19:
        portfolio.loc[0, draw(st.sampled_from(["market_price", "quantity"]))] = draw(
            st.sampled_from([math.nan, math.inf])
        )
    if len(working) and draw(st.integers(0, 19)) == 19:
        working.loc[0, "remaining"] = math.nan
    return portfolio, working


@st.composite
def barred(draw: st.DrawFn) -> pd.DataFrame:
    """Bars that follow one of two factors, with it or against it, more or less; some too short, some with gaps."""
    series = []
    for place, symbol in enumerate(SYMBOLS):
        kind = draw(st.sampled_from(["whole", "whole", "whole", "gap", "short", "none"]))
        sign, noise = draw(st.sampled_from([1.0, -1.0])), draw(st.sampled_from([0.0, 0.3, 1.0]))
        returns = sign * FACTORS[draw(st.integers(0, 1))] + noise * NOISE[place]
        if kind == "gap":
            returns[draw(st.integers(0, 22))] = math.nan
        if kind != "none":
            series.append((symbol, returns[-6:] if kind == "short" else returns))
    return moving(*series, partial_last=draw(st.booleans()))


@st.composite
def anything(draw: st.DrawFn) -> Inputs:
    portfolio, working = draw(booked())
    capital = draw(mostly(st.floats(5_000, 150_000), st.one_of(st.just(0.0), UNSOUND)))
    deployed = draw(mostly(st.floats(0, 0.5).map(lambda share: share * capital), UNSOUND))
    account = ACCOUNT.assign(
        capital=capital,
        deployed=deployed,
        available=draw(mostly(st.just(max(capital - deployed, 0.0)), UNSOUND)),
        daily_pnl=draw(mostly(st.floats(-1_000, 6_000), st.one_of(st.floats(-9_000, 0), st.just(math.nan)))),
    )
    limits = draw(
        st.fixed_dictionaries(
            {
                "max_positions": st.integers(1, 20),
                "max_risk_per_trade_pct": st.floats(0.5, 5),
                "max_total_risk_pct": st.one_of(st.just(100.0), st.floats(1, 60)),
                "max_position_pct": st.floats(2, 25),
                "max_utilization_pct": st.one_of(st.just(100.0), st.floats(10, 100)),
                "utilization_reserve_pct": st.sampled_from([0.0, 0.25]),
                "max_gross_exposure_pct": st.one_of(st.just(400.0), st.floats(10, 120)),
                "max_net_exposure_pct": st.one_of(st.just(100.0), st.floats(0, 40)),
                "max_daily_loss_pct": st.one_of(st.none(), st.floats(0, 10)),
                "max_cluster_pct": st.one_of(st.none(), st.floats(1, 80)),
                "cluster_correlation": st.sampled_from([0.5, 0.8, 1.0]),
                "cluster_bars": st.sampled_from([10, 20]),
                "min_position_value": st.floats(0, 500),
                "sizing_capital": st.sampled_from(["available", "total"]),
            }
        )
    )
    return Inputs(draw(offered()), account, portfolio, working, draw(barred()), limits)


@settings(max_examples=150)
@given(anything())
def test_no_inputs_break_a_limit(inputs: Inputs) -> None:
    made = inputs.size()
    passed = made["approved"].to_numpy(dtype=bool)
    approved, refused = pd.DataFrame(made.loc[passed]), pd.DataFrame(made.loc[~passed])
    assert sorted(made["symbol"]) == sorted(inputs.rows["symbol"])
    assert approved["reason"].isna().to_numpy().all()
    assert all(isinstance(reason, str) and ": " in reason for reason in refused["reason"])
    assert not np.any(pd.DataFrame(refused[["quantity", "position_value", "risk_amount"]]).to_numpy(dtype=float))
    if approved.empty:
        return
    frames.validate("sized_orders", approved)
    rules, account = inputs.rules, inputs.account.to_dict("records")[0]
    capital = account["capital"]
    percent = capital / 100.0
    assert 0.0 < capital < math.inf
    assert 0.0 <= account["available"] < math.inf
    if rules.max_daily_loss_pct is not None:
        assert -account["daily_pnl"] <= rules.max_daily_loss_pct * percent + CENT

    figures = ["quantity", "entry_price", "stop_price", "position_value", "risk_amount"]
    shares, entry, stop, told_values, told_risks = pd.DataFrame(approved[figures]).to_numpy(dtype=float).T
    signs = np.where(approved["direction"] == "LONG", 1.0, -1.0)
    assert np.all(signs * (entry - stop) > 0)
    values, risks = shares * entry, shares * np.abs(entry - stop)
    np.testing.assert_allclose(told_values, values, atol=1e-3)
    np.testing.assert_allclose(told_risks, risks, atol=1e-3)
    assert np.all(shares >= 1)
    assert np.all(values <= rules.max_position_pct * percent + CENT)
    assert np.all(values >= rules.min_position_value - CENT)
    assert np.all(risks <= rules.max_risk_per_trade_pct * percent + CENT)

    positions, entries = list(positions_of(inputs)), list(entries_of(inputs))
    committed = positions + entries
    total_risk = sum(risk for *_, risk in committed)
    gross = sum(value for _, _, value, _ in committed)
    net = sum(sign * value for _, sign, value, _ in committed)
    names = {symbol for symbol, *_ in committed}
    busy = names | set(inputs.working["symbol"])
    assert math.isfinite(gross)
    assert not busy & set(approved["symbol"])
    assert len(names) + len(approved) <= rules.max_positions
    assert total_risk + risks.sum() <= rules.max_total_risk_pct * percent + CENT
    usable = rules.max_utilization_pct - rules.utilization_reserve_pct
    assert max(account["deployed"], gross) + values.sum() <= usable * percent + CENT
    assert gross + values.sum() <= rules.max_gross_exposure_pct * percent + CENT
    for after in net + np.cumsum(signs * values):
        assert abs(after) <= rules.max_net_exposure_pct * percent + CENT or abs(after) < abs(net) + CENT
        net = after
    if rules.max_cluster_pct is not None:
        book = [(symbol, sign, value) for symbol, sign, value, _ in committed]
        new = list(zip(approved["symbol"], signs, values, strict=True))
        for value in clusters_with(new, book, inputs):
            assert value <= rules.max_cluster_pct * percent + CENT


@settings(max_examples=60)
@given(anything(), st.integers(0, 1000))
def test_the_order_of_rows_in_any_frame_is_of_no_account(inputs: Inputs, seed: int) -> None:
    pd.testing.assert_frame_equal(inputs.size(), inputs.size(shuffled=seed), check_exact=True)


@settings(max_examples=60)
@given(anything(), st.integers(0, 11))
def test_what_is_approved_first_does_not_depend_on_later_offers(inputs: Inputs, count: int) -> None:
    made = inputs.size()
    alone = inputs.size(pd.DataFrame(inputs.rows.loc[inputs.rows["symbol"].isin(made["symbol"].iloc[:count])]))
    for column in ("symbol", "quantity", "approved", "reason"):
        assert list(alone[column].fillna("")) == list(made[column].fillna(""))[:count]
    assert alone["limits"].to_list() == made["limits"].to_list()[:count]


@given(anything())
def test_offers_are_answered_best_first_and_ties_by_symbol(inputs: Inputs) -> None:
    totals = np.nan_to_num(inputs.rows["total_score"].to_numpy(dtype=float), nan=-math.inf, posinf=math.inf)
    scores = dict(zip(inputs.rows["symbol"], totals, strict=True))
    ranks = [(-scores[symbol], symbol) for symbol in inputs.size()["symbol"]]
    assert ranks == sorted(ranks)


Commitment = tuple[str, float, float, float]
"""Symbol, sign, dollars, and dollars at risk."""


def positions_of(inputs: Inputs) -> Iterator[Commitment]:
    for row in inputs.portfolio.to_dict("records"):
        shares, price = row["quantity"], row["market_price"]
        if shares == 0:
            continue
        closing = "SELL" if shares > 0 else "BUY"
        stops = [
            (order["price"], order["remaining"])
            for order in inputs.working.to_dict("records")
            if (order["symbol"], order["action"]) == (row["symbol"], closing) and order["order_type"] in STOPS
        ]
        covered = min(sum(remaining for _, remaining in stops), abs(shares))
        reaches = [abs(price - stop) for stop, _ in sorted(stops, reverse=shares < 0)]
        risk = (abs(shares) - covered) * price + (covered * reaches[0] if stops else 0.0)
        yield row["symbol"], math.copysign(1.0, shares), abs(shares) * price, risk


def entries_of(inputs: Inputs) -> Iterator[Commitment]:
    held = {row["symbol"]: row["quantity"] for row in inputs.portfolio.to_dict("records")}
    orders = inputs.working.to_dict("records")
    for order in orders:
        sign = 1.0 if order["action"] == "BUY" else -1.0
        if order["parent_perm_id"] != 0 or sign * held.get(order["symbol"], 0.0) < 0:
            continue
        if math.isnan(order["price"]):
            value = risk = 0.05 * inputs.account["capital"].item()
        else:
            children = [child for child in orders if child["parent_perm_id"] == order["perm_id"]]
            losses = [abs(order["price"] - child["price"]) for child in children if child["order_type"] in STOPS]
            value = order["remaining"] * order["price"]
            risk = order["remaining"] * max(losses) if losses else value
        yield order["symbol"], sign, value, risk


def clusters_with(
    new: list[tuple[str, float, float]], book: list[tuple[str, float, float]], inputs: Inputs
) -> Iterator[float]:
    """Dollars of each cluster that an approved order counts in; the graph searched edge by edge."""
    rules = inputs.rules
    closes: dict[str, dict[Any, float]] = {}
    for bar in inputs.bars.to_dict("records"):
        if not bar["partial"]:
            closes.setdefault(bar["symbol"], {})[bar["date"]] = bar["close"]
    known = {symbol for symbol, by_date in closes.items() if len(by_date) > rules.cluster_bars}
    nodes = [*new, *book]
    placed = [place for place, (symbol, *_) in enumerate(nodes) if symbol in known]
    counted = sum(value for symbol, _, value in nodes if symbol not in known)
    clusters = [{place} for place in placed]
    for one, other in combinations(placed, 2):
        (left, left_sign, _), (right, right_sign, _) = nodes[one], nodes[other]
        dates = sorted(closes[left].keys() & closes[right].keys())[-rules.cluster_bars - 1 :]
        edge = len(dates) <= rules.cluster_bars
        if not edge:
            steps = [np.diff(np.log([closes[symbol][date] for date in dates])) for symbol in (left, right)]
            alike = left_sign * right_sign * np.corrcoef(steps)[0, 1]
            edge = bool(alike >= rules.cluster_correlation - 1e-9)
        if edge:
            joined = [cluster for cluster in clusters if one in cluster or other in cluster]
            clusters = [cluster for cluster in clusters if cluster not in joined] + [set.union(*joined)]
    every = any(symbol not in known for symbol, *_ in new)
    if every and not clusters:
        yield counted
    for cluster in clusters:
        if every or any(place < len(new) for place in cluster):
            yield counted + sum(nodes[place][2] for place in cluster)
