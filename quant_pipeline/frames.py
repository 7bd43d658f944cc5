"""The contract between the stages: one pandera schema per asset.

Every frame that leaves an asset is validated against its schema here, stored with exactly these columns and read back
with exactly these types. Columns, types, units and what may be missing belong here; how a frame comes about does not.
``validate`` is what the history calls before it stores anything.

Types are few on purpose: ``str``, ``float64``, ``int64``, ``bool``, nullable ``boolean``, UTC timestamps and dates in
microseconds, and lists of structs or names (their SQL type is in the column's metadata, under ``"sql"``). Prices are
dollars a share, sizes and volumes are shares, percentages are 0-100.
"""

from __future__ import annotations

import re

import pandas as pd
import pandera.pandas as pa
from pandera.engines.pandas_engine import DateTime
from pandera.errors import SchemaError, SchemaErrors

from quant_pipeline.errors import HistoryError
from quant_pipeline.frame_contract import keeps_contract
from quant_pipeline.quant.technical_indicators import INDICATORS

DIRECTIONS = ("LONG", "SHORT")
ACTIONS = ("BUY", "SELL")
LEGS = ("entry", "stop", "target", "exit")
OUTCOMES = ("sent", "already_working", "refused")

LIMITS_SQL = 'STRUCT("limit" VARCHAR, figure DOUBLE, allowed DOUBLE, unit VARCHAR)[]'
KEY_SIGNALS_SQL = "STRUCT(name VARCHAR, value DOUBLE, contribution DOUBLE, text VARCHAR)[]"
OPEN_POSITIONS_SQL = (
    "STRUCT(symbol VARCHAR, direction VARCHAR, quantity DOUBLE, entry DOUBLE, current DOUBLE, stop DOUBLE, "
    "target DOUBLE, unrealized_pnl DOUBLE, unrealized_pct DOUBLE)[]"
)


def _text(description: str, *, among: tuple[str, ...] = (), unique: bool = False, nullable: bool = False) -> pa.Column:
    checks = [pa.Check.isin(among)] if among else []
    return pa.Column(str, checks, description=description, unique=unique, nullable=nullable, coerce=True)


def _number(
    description: str, *, above: float | None = None, at_least: float | None = None, at_most: float | None = None,
    nullable: bool = False,
) -> pa.Column:  # fmt: skip
    return pa.Column(float, _bounds(above, at_least, at_most), description=description, nullable=nullable, coerce=True)


def _whole(description: str, *, at_least: int | None = None, unique: bool = False) -> pa.Column:
    return pa.Column(int, _bounds(None, at_least, None), description=description, unique=unique, coerce=True)


def _flag(description: str) -> pa.Column:
    return pa.Column(bool, description=description, coerce=True)


def _flag_if_known(description: str) -> pa.Column:
    return pa.Column(pd.BooleanDtype(), description=description, nullable=True, coerce=True)


def _instant(description: str, *, nullable: bool = False) -> pa.Column:
    return pa.Column(DateTime(unit="us", tz="UTC"), description=description, nullable=nullable, coerce=True)  # pyright: ignore[reportCallIssue]


def _date(description: str) -> pa.Column:
    return pa.Column(DateTime(unit="us"), description=description, coerce=True, metadata={"sql": "DATE"})  # pyright: ignore[reportCallIssue]


def _structs(description: str, sql: str, *, nullable: bool = False) -> pa.Column:
    return pa.Column(object, description=description, metadata={"sql": sql}, nullable=nullable, coerce=True)


def _names(description: str) -> pa.Column:
    return pa.Column(object, description=description, metadata={"sql": "VARCHAR[]"}, coerce=True)


def _bounds(above: float | None, at_least: float | None, at_most: float | None) -> list[pa.Check]:
    checks = []
    if above is not None:
        checks.append(pa.Check.gt(above))
    if at_least is not None:
        checks.append(pa.Check.ge(at_least))
    if at_most is not None:
        checks.append(pa.Check.le(at_most))
    return checks


def _frame(name: str, description: str, /, *, key: tuple[str, ...] = (), **columns: pa.Column) -> pa.DataFrameSchema:
    return _schema(name, description, columns, key)


def _schema(
    name: str, description: str, columns: dict[str, pa.Column], key: tuple[str, ...] = ()
) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(
        columns, name=name, description=description, strict=True, ordered=True, unique=list(key) or None
    )


_SCHEMAS = (
    _frame(
        "universe",
        "The most active stocks of the slot, best first.",
        rank=_whole("Place by activity; 1 is the most active", at_least=1, unique=True),
        symbol=_text("Ticker symbol", unique=True),
        con_id=_whole("IB contract id", at_least=1, unique=True),
        exchange=_text("Primary exchange where the scanner says it, else SMART"),
        scan_code=_text("The scan that found it"),
    ),
    _frame(
        "quotes",
        "One row a symbol of the universe. What the broker did not say is missing, not zero.",
        symbol=_text("Ticker symbol", unique=True),
        bid=_number("Best bid", above=0, nullable=True),
        ask=_number("Best ask", above=0, nullable=True),
        last=_number("Last trade", above=0, nullable=True),
        bid_size=_number("Shares at the bid", at_least=0, nullable=True),
        ask_size=_number("Shares at the ask", at_least=0, nullable=True),
        open=_number("First trade of the session", above=0, nullable=True),
        high=_number("Highest trade of the session so far", above=0, nullable=True),
        low=_number("Lowest trade of the session so far", above=0, nullable=True),
        previous_close=_number("Close of the previous session", above=0, nullable=True),
        volume=_number("Shares traded in the session so far", at_least=0, nullable=True),
        halted=_flag("Trading in the stock is halted"),
        shortable=_flag_if_known("At least 1000 shares can be borrowed; missing where the broker did not say"),
        quoted_at=_instant("Broker's time of the quote", nullable=True),
        observed_at=_instant("Broker's time when the reading of the slot's quotes ended"),
    ),
    _frame(
        "quality_filter",
        "One row a symbol of the universe: may it be scored, and if not, why not.",
        symbol=_text("Ticker symbol", unique=True),
        price=_number("Last price", nullable=True),
        spread_pct=_number("Bid-ask spread in percent of the mid", nullable=True),
        passed=_flag("Whether the symbol is scored"),
        reason=_text("Why it was rejected; missing where it passed", nullable=True),
    ),
    _frame(
        "bars",
        "Daily bars as the broker gave them, split-adjusted, oldest first within a symbol; today's is partial.",
        key=("symbol", "date"),
        symbol=_text("Ticker symbol"),
        date=_date("Session the bar belongs to"),
        open=_number("First trade", nullable=True),
        high=_number("Highest trade", nullable=True),
        low=_number("Lowest trade", nullable=True),
        close=_number("Last trade", nullable=True),
        volume=_number("Shares traded", nullable=True),
        partial=_flag("The session was not over when the bar was read"),
    ),
    _frame(
        "account",
        "The account in one row.",
        account=_text("Account id at the broker"),
        net_liquidation=_number("Cash plus market value of all positions, in dollars"),
        capital=_number("What the pipeline may use: net liquidation value up to the cap, in dollars", at_least=0),
        deployed=_number("Market value of all positions, long and short, plus working entries, in dollars", at_least=0),
        available=_number("Capital less deployed, not below zero, in dollars", at_least=0),
        realized_pnl=_number("Realised profit and loss of the day, in dollars", nullable=True),
        unrealized_pnl=_number("Unrealised profit and loss of the open positions, in dollars", nullable=True),
        daily_pnl=_number(
            "Profit and loss of the day, realised and unrealised, in dollars; missing where the broker did not say",
            nullable=True,
        ),
        read_at=_instant("Broker's time of the reading"),
    ),
    _frame(
        "portfolio",
        "One row a position at the broker, whoever opened it.",
        symbol=_text("Ticker symbol", unique=True),
        con_id=_whole("IB contract id"),
        quantity=_number("Shares held; negative when short"),
        average_price=_number("Average price paid or received a share"),
        market_price=_number("Price the position is valued at"),
        market_value=_number("Quantity times market price, in dollars; negative when short"),
        unrealized_pnl=_number("Profit and loss against the average price, in dollars"),
    ),
    _frame(
        "working_orders",
        "One row an order that is open at the broker, whoever sent it.",
        perm_id=_whole("IB's permanent id of the order", unique=True),
        order_ref=_text("Reference it was sent with; missing where there is none", nullable=True),
        parent_perm_id=_whole("Permanent id of its parent; 0 where it has none"),
        client_id=_whole("Client that sent it"),
        symbol=_text("Ticker symbol"),
        action=_text("BUY or SELL", among=ACTIONS),
        order_type=_text("IB order type, such as LMT or STP"),
        price=_number("Limit or stop price; missing for a market order", nullable=True),
        quantity=_number("Shares ordered", above=0),
        remaining=_number("Shares not yet filled", at_least=0),
        status=_text("Status the broker reports"),
    ),
    _frame(
        "fills",
        "One row an execution of the session so far; a correction replaces what it corrects.",
        exec_id=_text("IB execution id", unique=True),
        order_ref=_text("Reference of the order; missing where there is none", nullable=True),
        perm_id=_whole("IB's permanent id of the order"),
        symbol=_text("Ticker symbol"),
        side=_text("BUY or SELL", among=ACTIONS),
        quantity=_number("Shares filled", above=0),
        price=_number("Price a share", above=0),
        commission=_number("Commission in dollars; missing until the broker reports it", nullable=True),
        filled_at=_instant("Broker's time of the fill"),
    ),
    _schema(
        "indicators",
        "One row a symbol that passed the quality filter; a value is missing where its window is not yet filled.",
        {
            "symbol": _text("Ticker symbol", unique=True),
            **{indicator.name: _number(indicator.description, nullable=True) for indicator in INDICATORS},
        },
    ),
    _frame(
        "scores",
        "One row a scored symbol, best first: the better of its two directions, with prices and reasons.",
        symbol=_text("Ticker symbol", unique=True),
        direction=_text("LONG or SHORT", among=DIRECTIONS),
        momentum_score=_number("Momentum, 0-100", at_least=0, at_most=100),
        mean_reversion_score=_number("Mean reversion, 0-100", at_least=0, at_most=100),
        volatility_score=_number("Volatility, 0-100", at_least=0, at_most=100),
        volume_score=_number("Volume, 0-100", at_least=0, at_most=100),
        microstructure_score=_number("Microstructure, 0-100", at_least=0, at_most=100),
        total_score=_number("Weighted sum of the five components, 0-100", at_least=0, at_most=100),
        opposite_score=_number("Total score of the other direction, 0-100", at_least=0, at_most=100),
        entry_price=_number("Limit price of the entry", above=0),
        stop_price=_number("Price of the stop-loss", above=0),
        target_price=_number("Price of the profit target", above=0),
        atr=_number("Average true range the stop distance is taken from, in dollars", above=0),
        win_probability=_number("Probability that the target is reached before the stop, 0-1", at_least=0, at_most=1),
        expected_return_pct=_number("p x reward - (1 - p) x risk, in percent of the entry"),
        confidence=_number("How much the evidence can be relied on, 0-100", at_least=0, at_most=100),
        key_signals=_structs("The signals that contribute most, largest first", KEY_SIGNALS_SQL),
        missing_signals=_names("Indicators not yet defined, so that the score does without them; empty where all are"),
        settings_hash=_text("Hash of the settings that made the score"),
    ),
    _frame(
        "sized_orders",
        "One row a score at or above the threshold: approved with its size, or refused with the limit that bound.",
        symbol=_text("Ticker symbol", unique=True),
        direction=_text("LONG or SHORT", among=DIRECTIONS),
        quantity=_whole("Shares to trade; 0 where refused", at_least=0),
        entry_price=_number("Limit price of the entry", above=0),
        stop_price=_number("Price of the stop-loss", above=0),
        target_price=_number("Price of the profit target", above=0),
        risk_amount=_number("Loss at the stop, in dollars", at_least=0),
        position_value=_number("Quantity times entry price, in dollars", at_least=0),
        approved=_flag("Whether the order may be sent"),
        reason=_text("The first limit that bound, the figure and the limit; missing where approved", nullable=True),
        order_ref=_text("Reference of the entry leg", unique=True),
        limits=_structs(
            "Every limit in force, in the order they are judged, with the figure as it would be with the order: above "
            "what is allowed (min_position_value: below) is refused, missing is not known. The whole list is missing "
            "where the order was recorded before limits were",
            LIMITS_SQL,
            nullable=True,
        ),
    ),
    _frame(
        "executions",
        "One row a leg of an approved order: what was sent, what was there already, what was refused and why.",
        order_ref=_text("Slot, symbol and leg", unique=True),
        symbol=_text("Ticker symbol"),
        leg=_text("Part of the bracket", among=LEGS),
        action=_text("BUY or SELL", among=ACTIONS),
        order_type=_text("IB order type"),
        price=_number("Limit or stop price", nullable=True),
        quantity=_whole("Shares ordered", at_least=1),
        perm_id=_whole("IB's permanent id; 0 where the broker has none"),
        status=_text("State of the order in the journal when the asset ended"),
        filled_quantity=_number("Shares filled so far", at_least=0),
        average_fill_price=_number("Average price of the fills; missing without one", nullable=True),
        outcome=_text("What this materialisation did", among=OUTCOMES),
        reason=_text("Why it was refused, or what the broker said", nullable=True),
    ),
    _frame(
        "portfolio_status",
        "The monitoring panel in one row.",
        capital=_number("What the pipeline may use, in dollars"),
        deployed=_number("Value of positions and working entries, in dollars"),
        available=_number("Capital less deployed, in dollars"),
        utilization_pct=_number("Deployed in percent of capital"),
        positions=_whole("Open positions", at_least=0),
        long=_whole("Long positions", at_least=0),
        short=_whole("Short positions", at_least=0),
        working_entries=_whole("Entry orders that wait for a fill", at_least=0),
        total_risk=_number("Loss if every stop is hit, in dollars; working entries counted", at_least=0),
        total_risk_pct=_number("Total risk in percent of capital", at_least=0),
        unrealized_pnl=_number("Unrealised profit and loss, in dollars"),
        daily_pnl=_number("Profit and loss of the day, in dollars; missing where it is not known", nullable=True),
        long_value=_number("Value of long positions and of working entries to buy, in dollars", nullable=True),
        short_value=_number("Value of short positions and of working entries to sell, in dollars", nullable=True),
        gross_exposure_pct=_number("Long and short value together in percent of capital", nullable=True),
        net_exposure_pct=_number("Long less short value in percent of capital", nullable=True),
        open_positions=_structs("The open positions with the largest profit and loss", OPEN_POSITIONS_SQL),
        observed_at=_instant("Broker's time of the panel"),
        worst_positions=_structs(
            "Of the open positions not among those, the three with the smallest profit and loss, worst first; missing "
            "where the panel was recorded before they were",
            OPEN_POSITIONS_SQL,
            nullable=True,
        ),
    ),
)  # fmt: skip

_OF_SLOTS = {str(schema.name): schema for schema in _SCHEMAS}
_OF_DAYS = (
    _schema(
        "closing_account",
        "The account in one row as the close of the session left it, kept under the last slot.",
        _OF_SLOTS["account"].columns,
    ),
    _schema(
        "closing_portfolio",
        "One row a position as the close of the session left it, kept under the last slot.",
        _OF_SLOTS["portfolio"].columns,
    ),
)

FRAMES: dict[str, pa.DataFrameSchema] = _OF_SLOTS | {str(schema.name): schema for schema in _OF_DAYS}
"""Name of the asset to the schema of its frame."""

CLOSING_FRAMES = tuple(str(schema.name) for schema in _OF_DAYS)
"""Those that are recorded once a session, after it has closed, under its last slot."""


def validate(asset: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the types of the asset's schema and a fresh index.

    Raises ``HistoryError`` with one sentence that names the asset, the column and the first offending value.
    """
    frame = frame.reset_index(drop=True)
    if keeps_contract(FRAMES[asset], frame):
        return frame
    try:
        return FRAMES[asset].validate(frame)
    except (SchemaError, SchemaErrors) as error:
        raise HistoryError(f"The frame of {asset} does not keep its contract: {_what_broke(error)}.") from error


def empty(asset: str) -> pd.DataFrame:
    """A frame of the asset with no rows and the right types."""
    return validate(asset, pd.DataFrame({name: [] for name in FRAMES[asset].columns}))


def _what_broke(error: SchemaError | SchemaErrors) -> str:
    """The first thing that is wrong, in one line."""
    first = error.schema_errors[0] if isinstance(error, SchemaErrors) else error
    text = re.sub(r"DataFrameSchema \{.*", "its schema", str(first), flags=re.DOTALL)
    return " ".join(text.split()).rstrip(".")
