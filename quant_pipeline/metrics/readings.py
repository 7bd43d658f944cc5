"""What the tear sheet reads: SQL over a published history, opened read-only.

The queries belong here, and the knowledge of which tables a history has; a table that is not there gives no rows, and
``has`` says why. Every figure is taken from the marts as it is; what is added up here is added up in SQL. What becomes
of the rows is for ``cards`` and ``tear_sheet``, the only callers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from quant_pipeline.errors import HistoryError
from quant_pipeline.history.schema_version import refuse_foreign, tables_of, version_of

Row = dict[str, Any]

MARTS = ("trades", "daily_metrics", "performance_summary", "signal_quality", "slot_health")
NEWEST_TRADES = "SELECT * FROM metrics.trades WHERE status = 'closed' ORDER BY closed_at DESC"
"""The query that gives all closed trades, as the page tells its reader."""

_ACCOUNTS = """
    SELECT account, count(*) AS readings FROM ({}) GROUP BY account ORDER BY account NULLS LAST"""
_MONTHS = """
    SELECT year(session) AS year, month(session) AS month, (product(1 + return_pct / 100) - 1) * 100 AS return_pct
    FROM metrics.daily_metrics
    WHERE account IS NOT DISTINCT FROM $account AND return_pct IS NOT NULL
    GROUP BY GROUPING SETS ((year(session), month(session)), (year(session)))
    ORDER BY year, month NULLS LAST"""
_SYMBOLS = """
    SELECT symbol, count(*) AS trades, count(*) FILTER (net_pnl > 0) AS winners, sum(net_pnl) AS net_pnl,
        avg(r_multiple) AS average_r
    FROM metrics.trades
    WHERE account IS NOT DISTINCT FROM $account AND status = 'closed'
    GROUP BY symbol ORDER BY net_pnl DESC, symbol"""
_CLOSED = """
    SELECT * FROM metrics.trades WHERE account IS NOT DISTINCT FROM $account AND status = 'closed'
    ORDER BY closed_at DESC, trade_id LIMIT $most"""
_OPEN = """
    SELECT * FROM metrics.trades WHERE account IS NOT DISTINCT FROM $account AND status = 'open'
    ORDER BY unrealized_pnl DESC NULLS LAST, symbol"""
_MULTIPLES = """
    SELECT r_multiple FROM metrics.trades
    WHERE account IS NOT DISTINCT FROM $account AND status = 'closed' AND r_multiple IS NOT NULL ORDER BY r_multiple"""
_SLOT_DAYS = """
    SELECT CAST(left(slot, 10) AS DATE) AS session, count(*) AS slots, avg(scanned) AS scanned,
        avg(passed_quality) AS passed_quality, avg(scored) AS scored, avg(above_threshold) AS above_threshold,
        avg(approved) AS approved, sum(legs_sent) AS legs_sent, sum(legs_refused) AS legs_refused,
        sum(rejected) AS rejected, sum(refused) AS refused, median(run_seconds) AS median_seconds,
        max(run_seconds) AS slowest_seconds, median(observe_seconds) AS observe_seconds,
        median(decide_seconds) AS decide_seconds, median(act_seconds) AS act_seconds,
        median(measure_seconds) AS measure_seconds
    FROM metrics.slot_health WHERE account IS NOT DISTINCT FROM $account OR (account IS NULL AND $alone)
    GROUP BY ALL ORDER BY session"""
_REASONS = """
    WITH slots AS (
        SELECT * FROM metrics.slot_health WHERE account IS NOT DISTINCT FROM $account OR (account IS NULL AND $alone)),
    reasons AS (
        SELECT 1 AS place, 'quality filter' AS stage, 'the quality filter rejected a stock' AS what, rejected AS number,
            top_rejection AS reason
        FROM slots
        UNION ALL SELECT 2, 'risk limits', 'the risk limits refused an order', refused, top_limit FROM slots
        UNION ALL SELECT 3, 'sending', 'sending held back a leg', legs_refused, top_refusal FROM slots)
    SELECT stage, what, reason, count(*) AS slots, sum(sum(number)) OVER (PARTITION BY place) AS held_back
    FROM reasons WHERE reason IS NOT NULL AND number > 0
    GROUP BY place, stage, what, reason
    QUALIFY row_number() OVER (PARTITION BY place ORDER BY count(*) DESC, reason) <= $most
    ORDER BY place, slots DESC, reason"""
_BEST_KNOWN = "list_position(['LONG', 'SHORT', 'target', 'stop', 'exit', 'manual'], value) NULLS LAST, value"
_OPEN_RESULT = """
    SELECT count(*) AS positions, sum(unrealized_pnl) AS unrealized_pnl, sum(net_pnl) AS net_pnl
    FROM metrics.trades WHERE account IS NOT DISTINCT FROM $account AND status = 'open'"""
# What was decided last is what a reader asks the versions of; they differ from asset to asset.
_LATEST = """
    SELECT code_version, settings_hash, slot, asset, max(slot) OVER () AS newest_slot FROM lineage.materializations
    ORDER BY asset = 'sized_orders' DESC, id DESC LIMIT 1"""


@dataclass(frozen=True)
class Readings:
    """An open history and the names of its tables."""

    connection: DuckDBPyConnection
    tables: frozenset[tuple[str, str]]

    @property
    def layout(self) -> int:
        """Version of the history's layout."""
        return version_of(self.connection)

    def has(self, mart: str) -> bool:
        """Whether the history has the table ``metrics.<mart>``."""
        return ("metrics", mart) in self.tables

    @property
    def built(self) -> bool:
        """Whether the metrics were ever built in this history."""
        return all(self.has(mart) for mart in MARTS)

    def accounts(self) -> list[str | None]:
        """Accounts with a session or a trade, in order; without metrics those that were read."""
        sources = [f"SELECT account FROM metrics.{mart}" for mart in ("daily_metrics", "trades") if self.has(mart)] or [
            "SELECT account FROM current.account"
        ]
        return [row["account"] for row in self.rows(_ACCOUNTS.format(" UNION ALL ".join(sources)))]

    def latest(self) -> Row:
        """Versions of the newest decision, its slot and the newest slot of all; empty when nothing was recorded."""
        rows = self.rows(_LATEST)
        return rows[0] if rows else {}

    def days(self, account: str | None) -> list[Row]:
        """``daily_metrics`` of an account, oldest first."""
        return self._of("daily_metrics", account, "ORDER BY session")

    def months(self, account: str | None) -> list[Row]:
        """``year``, ``month`` and compounded ``return_pct``; the row of a whole year has no month."""
        return self.rows(_MONTHS, account=account) if self.has("daily_metrics") else []

    def summary(self, account: str | None) -> list[Row]:
        """``performance_summary`` of an account: all trades first, then by direction, then by exit reason."""
        order = "ORDER BY list_position(['all', 'direction', 'exit_reason'], scope), " + _BEST_KNOWN
        return self._of("performance_summary", account, order)

    def overall(self, account: str | None) -> Row:
        """The row of all trades in ``performance_summary``; empty when there is none."""
        return next((row for row in self.summary(account) if row["scope"] == "all"), {})

    def symbols(self, account: str | None) -> list[Row]:
        """Closed trades added up by symbol, best first."""
        return self.rows(_SYMBOLS, account=account) if self.has("trades") else []

    def closed_trades(self, account: str | None, most: int) -> list[Row]:
        """The closed trades, newest first, at most so many."""
        return self.rows(_CLOSED, account=account, most=most) if self.has("trades") else []

    def open_trades(self, account: str | None) -> list[Row]:
        """The trades that are still open, best first."""
        return self.rows(_OPEN, account=account) if self.has("trades") else []

    def open_result(self, account: str | None) -> Row:
        """Number, unrealised and so far realised P&L of the trades that are still open; empty without metrics."""
        return self.rows(_OPEN_RESULT, account=account)[0] if self.has("trades") else {}

    def multiples(self, account: str | None) -> list[float]:
        """The R-multiples of the closed trades that have one, ascending."""
        rows = self.rows(_MULTIPLES, account=account) if self.has("trades") else []
        return [row["r_multiple"] for row in rows]

    def signal_quality(self, account: str | None) -> list[Row]:
        """``signal_quality`` of an account, a component after the other, lowest scores first."""
        return self._of("signal_quality", account, "ORDER BY component, bin_low")

    def slot_days(self, account: str | None) -> list[Row]:
        """``slot_health`` by session, oldest first: averages of the funnel, sums of orders, seconds a slot.

        Slots in which no account was read, mostly because they failed, are told of the only account there is.
        """
        return self.rows(_SLOT_DAYS, account=account, alone=self._alone) if self.has("slot_health") else []

    def reasons(self, account: str | None, most: int) -> list[Row]:
        """What held stocks, orders and legs back: the reasons that led the most slots, so many of each stage."""
        if not self.has("slot_health"):
            return []
        return self.rows(_REASONS, account=account, alone=self._alone, most=most)

    def rows(self, query: str, **parameters: object) -> list[Row]:
        """The rows of a query as dictionaries."""
        result = self.connection.execute(query, parameters)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    @property
    def _alone(self) -> bool:
        return len(self.accounts()) == 1

    def _of(self, mart: str, account: str | None, order: str) -> list[Row]:
        if not self.has(mart):
            return []
        return self.rows(
            f"SELECT * FROM metrics.{mart} WHERE account IS NOT DISTINCT FROM $account {order}", account=account
        )


@contextmanager
def opened(history: Path) -> Iterator[Readings]:
    """Open a published history, or any copy of one, for reading.

    Raises ``HistoryError`` when it is missing, damaged, no history of ours or newer than this program.
    """
    if not history.is_file():
        raise HistoryError(f"There is no history at {history}; start with quant-pipeline run.")
    try:
        connection = duckdb.connect(str(history), read_only=True)
    except duckdb.Error as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise HistoryError(f"The history {history} cannot be read ({reason}); put a backup in its place.") from error
    try:
        # Instants come back in a zone of this machine otherwise, and would need a library of zones to do so.
        connection.execute("SET TimeZone = 'UTC'")
        refuse_foreign(connection, history)
        tables = frozenset(tables_of(connection))
        if not tables:
            raise HistoryError(f"The history {history} is empty; start with quant-pipeline run.")
        yield Readings(connection, tables)
    finally:
        connection.close()
