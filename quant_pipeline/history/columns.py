"""Between the frames of the pipeline and the columns of the history: types, conversion both ways, and the hash.

What a column of ``frames.py`` is called in SQL and in Arrow, how a frame becomes an Arrow table and comes back with
the same types and values, and ``data_hash`` belong here. No connection is opened here; ``schema``, ``bars`` and
``store`` call it.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from duckdb.sqltypes import DuckDBPyType

from quant_pipeline.errors import HistoryError
from quant_pipeline.frames import FRAMES

HASH_DIGITS = 32

_TYPES: dict[str, tuple[str, pa.DataType]] = {
    "str": ("VARCHAR", pa.string()),
    "string[pyarrow]": ("VARCHAR", pa.string()),
    "float64": ("DOUBLE", pa.float64()),
    "int64": ("BIGINT", pa.int64()),
    "bool": ("BOOLEAN", pa.bool_()),
    "boolean": ("BOOLEAN", pa.bool_()),
    "datetime64[us, UTC]": ("TIMESTAMP WITH TIME ZONE", pa.timestamp("us", "UTC")),
}
_SCALARS: dict[str, pa.DataType] = {
    "varchar": pa.string(),
    "double": pa.float64(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
}


@dataclass(frozen=True)
class Column:
    """One column of an asset: its name, its types in pandas, SQL and Arrow, and what it means."""

    name: str
    dtype: str
    sql: str
    arrow: pa.DataType
    description: str

    @property
    def quoted(self) -> str:
        """The name as SQL writes it; ``open`` and ``date`` are words of the language too."""
        return f'"{self.name}"'

    @property
    def nested(self) -> bool:
        """Whether a value is a list of structs."""
        return pa.types.is_nested(self.arrow)


@cache
def columns_of(asset: str) -> tuple[Column, ...]:
    """The columns of an asset in declared order. Raises ``HistoryError`` for an asset that has no frame."""
    if asset not in FRAMES:
        raise HistoryError(f"There is no asset {asset!r} in the history; its assets are {', '.join(FRAMES)}.")
    columns = []
    for name, column in FRAMES[asset].columns.items():
        dtype = str(column.dtype)
        sql = (column.metadata or {}).get("sql")
        sql, arrow = (sql, _arrow_type(DuckDBPyType(sql))) if sql else _TYPES[dtype]
        columns.append(Column(str(name), dtype, sql, arrow, column.description or ""))
    return tuple(columns)


def to_arrow(asset: str, frame: pd.DataFrame) -> pa.Table:
    """The frame as an Arrow table with the declared types; NaN, NaT and None all become null, -0.0 becomes 0.0.

    DuckDB compresses the two zeros of a block into one, so a stored frame could not keep their signs apart.
    """
    columns = columns_of(asset)
    return pa.table(
        [_to_arrow(column, pd.Series(frame[column.name])) for column in columns],
        schema=pa.schema([pa.field(column.name, column.arrow) for column in columns]),
    )


def to_frame(asset: str, table: pa.Table) -> pd.DataFrame:
    """The validated frame a table was made from: same types, equal values, same order, fresh index."""
    return pd.DataFrame({column.name: _to_series(asset, column, table[column.name]) for column in columns_of(asset)})


def data_hash(asset: str, frame: pd.DataFrame) -> str:
    """A hash of what the frame says: 32 hex digits of SHA-256 over its columns in declared order.

    Numbers count bit for bit but for the sign of zero, and NaN in any guise is "missing"; the index, the storage behind
    a dtype and the order of the frame's columns do not count. A column without any value counts as absent, so that the
    hash of a recorded frame stays what it was when a column is added to the asset later.
    """
    return table_hash(asset, to_arrow(asset, frame))


def table_hash(asset: str, table: pa.Table) -> str:
    """``data_hash`` of a frame that is an Arrow table already."""
    digest = hashlib.sha256(f"{asset}:{table.num_rows}".encode())
    for column in columns_of(asset):
        values = table[column.name].combine_chunks()
        if values.null_count < len(values):
            digest.update(f"\0{column.name}:{column.sql}\0".encode())
            for part in _bytes(column, values):
                digest.update(part)
    return digest.hexdigest()[:HASH_DIGITS]


def _arrow_type(sql: Any) -> pa.DataType:
    if sql.id == "list":
        return pa.list_(_arrow_type(sql.children[0][1]))
    if sql.id == "struct":
        return pa.struct([pa.field(name, _arrow_type(kind)) for name, kind in sql.children])
    return pa.date32() if sql.id == "date" else _SCALARS[sql.id]


def _to_arrow(column: Column, series: pd.Series) -> pa.Array:
    if column.nested:
        return _with_one_zero(pa.array(series.tolist(), type=column.arrow, from_pandas=True))
    if pa.types.is_date(column.arrow):
        return pa.array(series.to_numpy().astype("datetime64[D]"), type=column.arrow)
    if series.dtype == np.float64 and pa.types.is_floating(column.arrow):
        return pa.array(series.to_numpy() + 0.0, from_pandas=True)
    values = pa.Array.from_pandas(series, type=column.arrow)
    return _with_one_zero(values)


def _with_one_zero(values: pa.Array) -> pa.Array:
    """An array with 0.0 for every -0.0, however deep in lists and structs."""
    if isinstance(values, pa.ListArray):
        return pa.ListArray.from_arrays(
            values.offsets, _with_one_zero(values.values), type=values.type, mask=values.is_null()
        )
    if isinstance(values, pa.StructArray):
        fields = [_with_one_zero(values.field(index)) for index in range(values.type.num_fields)]
        return pa.StructArray.from_arrays(fields, fields=list(values.type), mask=values.is_null())
    return pc.call_function("add", [values, 0.0]) if pa.types.is_floating(values.type) else values


def _to_series(asset: str, column: Column, values: pa.ChunkedArray) -> pd.Series:
    if column.nested:
        return pd.Series([_with_nan(rows, column.arrow) for rows in values.to_pylist()], dtype=object)
    if column.dtype in ("int64", "bool") and values.null_count:
        raise HistoryError(
            f"The recorded frame of {asset} has no value for {column.name}, which must have one; "
            "it was recorded before that column existed."
        )
    if column.dtype == "boolean":
        return pd.Series(pd.array(values.to_pylist(), dtype="boolean"))
    if pa.types.is_date(column.arrow):
        return pd.Series(values.cast(pa.timestamp("us")).to_numpy().astype(column.dtype))
    if pa.types.is_timestamp(column.arrow):
        instants = values.cast(pa.timestamp("us")).to_numpy().astype("datetime64[us]")
        return pd.Series(instants).dt.tz_localize("UTC")
    if pa.types.is_string(column.arrow):
        return values.to_pandas().astype("str")
    return pd.Series(values.to_numpy().astype(column.dtype))


def _with_nan(value: Any, kind: pa.DataType) -> Any:
    """A missing number inside a struct is NaN again, as in a column of numbers; one object, equal to itself."""
    if pa.types.is_list(kind) and value is not None:
        return [_with_nan(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind) and value is not None:
        return {field.name: _with_nan(value[field.name], field.type) for field in kind}
    return math.nan if value is None and pa.types.is_floating(kind) else value


def _bytes(column: Column, values: pa.Array) -> tuple[bytes, bytes]:
    missing = np.packbits(values.is_null().to_numpy(zero_copy_only=False)).tobytes()
    if pa.types.is_string(column.arrow):
        return missing, _json_of_words(values).encode()
    if column.nested:
        text = json.dumps(values.to_pylist(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return missing, text.encode()
    if pa.types.is_boolean(column.arrow):
        values = values.cast(pa.int8())
    elif pa.types.is_temporal(column.arrow):
        values = values.cast(pa.int32() if pa.types.is_date(column.arrow) else pa.int64())
    plain = values.fill_null(0).to_numpy(zero_copy_only=False)
    return missing, plain.astype(plain.dtype.newbyteorder("<")).tobytes()


def _json_of_words(values: pa.Array) -> str:
    """A JSON list; each word is written once, for the bars of a slot say a hundred symbols 25 000 times."""
    encoded = values.dictionary_encode()
    words = pa.array([*map(json.dumps, encoded.dictionary.to_pylist()), "null"], pa.string())
    listed = words.take(encoded.indices.fill_null(len(words) - 1))
    joined = pc.call_function("binary_join", [pa.ListArray.from_arrays(pa.array([0, len(listed)]), listed), ","])
    return f"[{joined[0].as_py()}]"
