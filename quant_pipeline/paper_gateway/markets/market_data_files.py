"""Files of recorded bars: reading them, and refusing what cannot be true.

Parquet, or CSV by its extension. Daily bars have the columns symbol, date, open, high, low, close, volume; minute bars
have ts instead of date, the start of the minute in New York time without a zone. Further columns are ignored. Symbols
may follow one another or alternate; within a symbol time must ascend. Everything wrong with a file is one
``MarketDataFileError`` that names the file and the first offending row. What the bars mean for a market is
``replayed_market``'s business.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quant_pipeline.errors import MarketDataFileError

PRICES = ("open", "high", "low", "close")
MINUTES_A_DAY = 24 * 60
ROUNDING = 1e-6
"""How far, relative to the price, an open or close may lie beyond the high or low: adjusted prices are rounded."""

EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class BarsFile:
    """The bars of a file, those of one symbol side by side and ascending in time.

    Attributes:
        path: Where they were read.
        digest: SHA-256 of the file's bytes, hexadecimal.
        rows: The slice of each symbol, by symbol, in alphabetical order.
        times: Days since 1970 of daily bars, minutes since 1970 (New York time) of minute bars; shape (bars,).
        prices: Open, high, low and close in dollars, shape (4, bars).
        volume: Shares, shape (bars,).
    """

    path: Path
    digest: str
    rows: dict[str, slice]
    times: NDArray[np.int32]
    prices: NDArray[np.float64]
    volume: NDArray[np.int64]


def read_daily_bars(path: Path) -> BarsFile:
    """Read and check a file of daily bars.

    Raises:
        MarketDataFileError: The file is missing, malformed, or holds bars that cannot be.
    """
    return _read(path, _Kind("daily bars", "date", "%Y-%m-%d"))


def read_minute_bars(path: Path) -> BarsFile:
    """Read and check a file of minute bars.

    Raises:
        MarketDataFileError: The file is missing, malformed, or holds bars that cannot be.
    """
    return _read(path, _Kind("minute bars", "ts", "%Y-%m-%d %H:%M"))


@dataclass(frozen=True)
class _Kind:
    """What tells daily from minute bars: what to call them, their column of time, and how to write a time."""

    called: str
    time: str
    written: str

    @property
    def columns(self) -> tuple[str, ...]:
        return ("symbol", self.time, *PRICES, "volume")

    def instant(self, time: int) -> str:
        """The time of a bar as a person writes it."""
        minutes = time if self.time == "ts" else time * MINUTES_A_DAY
        return f"{dt.datetime.combine(EPOCH, dt.time()) + dt.timedelta(minutes=minutes):{self.written}}"


def _read(path: Path, kind: _Kind) -> BarsFile:
    table = _table(path, kind)
    missing = [column for column in kind.columns if column not in table.column_names]
    if missing:
        raise MarketDataFileError(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            f"a file of {kind.called} has {', '.join(kind.columns)}."
        )
    if table.num_rows == 0:
        raise MarketDataFileError(f"{path} holds no rows; give a file with {kind.called}.")
    symbols = _symbols(path, table.column("symbol"))
    times = _times(path, kind, table.column(kind.time), symbols)
    prices = np.empty((len(PRICES), table.num_rows))
    for column, series in zip(PRICES, prices, strict=True):
        series[:] = _numbers(path, column, table.column(column))
    volume = _numbers(path, "volume", table.column("volume"))
    rows = _Rows(path, kind, symbols, times)
    _check_values(rows, prices, volume)
    prices[1] = prices.max(axis=0)
    prices[2] = prices.min(axis=0)
    order = _order(rows)
    names = [str(name) for name in symbols.dictionary.to_pylist()]
    codes = np.asarray(symbols.indices)[order]
    bounds = np.searchsorted(codes, np.arange(len(names) + 1))
    by_symbol = {name: slice(int(bounds[code]), int(bounds[code + 1])) for code, name in enumerate(names)}
    found = BarsFile(
        path=path,
        digest=_digest(path),
        rows=dict(sorted(by_symbol.items())),
        times=times[order].astype(np.int32),
        prices=prices[:, order],
        volume=volume[order].astype(np.int64),
    )
    # What was read with is as large as the bars themselves, and no next file comes that could use it again.
    del table, symbols, rows, volume, times, codes, order
    pa.default_memory_pool().release_unused()
    return found


def _table(path: Path, kind: _Kind) -> pa.Table:
    if not path.is_file():
        raise MarketDataFileError(f"{path} does not exist or is no file; give the path of a file with {kind.called}.")
    is_csv = path.suffix.lower() == ".csv"
    try:
        if is_csv:
            as_text = pyarrow.csv.ConvertOptions(column_types={"symbol": pa.string()})
            return pyarrow.csv.read_csv(path, convert_options=as_text)
        present = pq.read_schema(path).names
        return pq.read_table(path, columns=[column for column in kind.columns if column in present])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise MarketDataFileError(
            f"{path} cannot be read as {'CSV' if is_csv else 'Parquet'}; give a file with {kind.called} "
            "in Parquet, or in CSV with the extension .csv."
        ) from error


def _symbols(path: Path, column: pa.ChunkedArray) -> pa.DictionaryArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise MarketDataFileError(f"{path} has {column.type} in the column symbol; it must be text.")
    encoded = pc.call_function("dictionary_encode", [column]).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    if encoded.null_count or "" in encoded.dictionary.to_pylist():
        raise MarketDataFileError(f"{path} has rows without a symbol; remove or repair them.")
    return encoded


def _times(path: Path, kind: _Kind, column: pa.ChunkedArray, symbols: pa.DictionaryArray) -> NDArray[np.int64]:
    """Days or minutes since 1970."""
    daily = kind.time == "date"
    is_date = pa.types.is_date(column.type)
    zoned = pa.types.is_timestamp(column.type) and column.type.tz is not None
    if zoned or not (pa.types.is_timestamp(column.type) or (daily and is_date)):
        wanted = "dates" if daily else "timestamps without a zone, in New York time"
        raise MarketDataFileError(f"{path} has {column.type} in the column {kind.time}; it must hold {wanted}.")
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise MarketDataFileError(
            f"{path} has a row of {symbols[row].as_py()} without {kind.time}; remove or repair it."
        )
    seconds = column.cast(pa.timestamp("us")).to_numpy().astype(np.int64)
    unit = 60_000_000 * (MINUTES_A_DAY if daily else 1)
    times, rest = np.divmod(seconds, unit)
    if rest.any():
        row = int(np.argmax(rest != 0))
        wanted = "a whole day" if daily else "the start of a minute"
        raise MarketDataFileError(
            f"{path} has {column[row].as_py()} of {symbols[row].as_py()} in the column {kind.time}; "
            f"it must be {wanted}."
        )
    return times


def _numbers(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_decimal(column.type)):
        raise MarketDataFileError(f"{path} has {column.type} in the column {name}; it must hold numbers.")
    return column.cast(pa.float64()).to_numpy()


@dataclass(frozen=True)
class _Rows:
    """The rows of a file in its own order, to name the offending one."""

    path: Path
    kind: _Kind
    symbols: pa.DictionaryArray
    times: NDArray[np.int64]

    def refuse_where(self, wrong: NDArray[np.bool_], what: Sequence[object], advice: str) -> None:
        """Raise for the first row that is wrong; arrays in ``what`` are given with their value of that row."""
        if not wrong.any():
            return
        row = int(np.argmax(wrong))
        words = " ".join(f"{part[row]:g}" if isinstance(part, np.ndarray) else str(part) for part in what)
        raise MarketDataFileError(f"{self.path}: {self.name(row)} {words}; {advice}.")

    def name(self, row: int) -> str:
        """The row as a person names it: symbol and time."""
        at = self.kind.instant(int(self.times[row]))
        return f"{self.symbols[row].as_py()} {'on' if self.kind.time == 'date' else 'at'} {at}"


def _check_values(rows: _Rows, prices: NDArray[np.float64], volume: NDArray[np.float64]) -> None:
    repair = "remove or repair that row"
    for name, values in zip((*PRICES, "volume"), (*prices, volume), strict=True):
        rows.refuse_where(~np.isfinite(values), ("has no number in the column", name), repair)
    for name, values in zip(PRICES, prices, strict=True):
        rows.refuse_where(values <= 0, ("has", values, "in the column", name), f"a price is above zero, {repair}")
    opening, high, low, close = prices
    rows.refuse_where(high < low, ("has a high of", high, "below its low of", low), repair)
    for name, price in (("open", opening), ("close", close)):
        outside = (price > high * (1 + ROUNDING)) | (price < low * (1 - ROUNDING))
        told = (f"has {name}", price, "outside its range of", low, "to", high)
        rows.refuse_where(outside, told, repair)
    rows.refuse_where(volume < 0, ("has a volume of", volume), f"a volume is zero or more, {repair}")


def _order(rows: _Rows) -> NDArray[np.int64] | slice:
    """What brings the rows of a symbol together without changing their order; checks that the order ascends."""
    codes = np.asarray(rows.symbols.indices)
    together = bool((codes[1:] >= codes[:-1]).all())
    order = np.arange(len(codes)) if together else np.argsort(codes, kind="stable")
    codes, times = codes[order], rows.times[order]
    same = codes[1:] == codes[:-1]
    later = np.zeros(len(order), dtype=bool)
    later[order[1:]] = same & (times[1:] == times[:-1])
    rows.refuse_where(later, ("is there twice",), "remove one of the two rows")
    later[order[1:]] = same & (times[1:] < times[:-1])
    rows.refuse_where(later, ("comes after a later bar",), f"sort the file by symbol and {rows.kind.time}")
    return slice(None) if together else order


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
