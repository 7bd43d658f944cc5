"""A file of bars is read as it is, or refused in one sentence that says what is wrong with which row."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quant_pipeline.errors import MarketDataFileError
from quant_pipeline.paper_gateway.markets.market_data_files import read_daily_bars, read_minute_bars

REAL = Path(__file__).parents[3].parent / "shared" / "data"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the real market data are not beside the project")

FIRST = dt.date(2018, 2, 20)


def daily(**changed: object) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "symbol": ["AAA", "AAA", "AAA", "BBB", "BBB"],
            "date": [FIRST, dt.date(2018, 2, 21), dt.date(2018, 2, 22), FIRST, dt.date(2018, 2, 21)],
            "open": [10.0, 10.5, 10.2, 50.0, 51.0],
            "high": [10.8, 10.9, 10.6, 52.0, 51.5],
            "low": [9.9, 10.1, 10.0, 49.5, 50.0],
            "close": [10.5, 10.2, 10.4, 51.0, 50.5],
            "volume": [1000, 2000, 3000, 400, 500],
        }
    )
    return frame.assign(**changed)


def minutes(**changed: object) -> pd.DataFrame:
    frame = daily().drop(columns="date")
    start = pd.Timestamp("2018-02-20 09:30").as_unit("us")
    frame.insert(1, "ts", [start + pd.Timedelta(minutes=minute) for minute in (0, 1, 5, 0, 390)])
    return frame.assign(**changed)


def with_value(frame: pd.DataFrame, row: int, column: str, value: object) -> pd.DataFrame:
    changed = frame.copy()
    changed.loc[row, column] = value
    return changed


def written(folder: Path, frame: pd.DataFrame, name: str = "bars.parquet") -> Path:
    path = folder / name
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


def test_a_daily_file_comes_back_by_symbol(tmp_path: Path):
    bars = read_daily_bars(written(tmp_path, daily()))
    assert list(bars.rows) == ["AAA", "BBB"]
    rows = bars.rows["BBB"]
    assert (bars.times[rows] - (FIRST - dt.date(1970, 1, 1)).days).tolist() == [0, 1]
    assert bars.prices[:, rows].tolist() == [[50.0, 51.0], [52.0, 51.5], [49.5, 50.0], [51.0, 50.5]]
    assert bars.volume[rows].tolist() == [400, 500]


def test_a_minute_file_counts_minutes_of_new_york(tmp_path: Path):
    bars = read_minute_bars(written(tmp_path, minutes()))
    assert (bars.times[bars.rows["AAA"]] % (24 * 60)).tolist() == [570, 571, 575]
    assert (bars.times[bars.rows["BBB"]] % (24 * 60)).tolist() == [570, 960]


def test_csv_reads_like_parquet(tmp_path: Path):
    for read, frame in ((read_daily_bars, daily()), (read_minute_bars, minutes())):
        from_parquet, from_csv = read(written(tmp_path, frame)), read(written(tmp_path, frame, "bars.csv"))
        assert from_csv.rows == from_parquet.rows
        assert np.array_equal(from_csv.times, from_parquet.times)
        assert np.array_equal(from_csv.prices, from_parquet.prices)
        assert np.array_equal(from_csv.volume, from_parquet.volume)


def test_symbols_that_look_like_something_else_are_symbols_in_csv(tmp_path: Path):
    bars = read_daily_bars(written(tmp_path, daily(symbol=["NA", "NA", "NA", "TRUE", "TRUE"]), "bars.csv"))
    assert list(bars.rows) == ["NA", "TRUE"]


def test_symbols_may_alternate_as_long_as_each_ascends(tmp_path: Path):
    by_day = daily().sort_values("date", kind="stable", ignore_index=True)
    together, alternating = read_daily_bars(written(tmp_path, daily())), read_daily_bars(written(tmp_path, by_day))
    assert alternating.rows == together.rows
    assert np.array_equal(alternating.times, together.times)
    assert np.array_equal(alternating.prices, together.prices)


def test_whole_numbers_dictionaries_and_further_columns_are_fine(tmp_path: Path):
    frame = daily(volume=[1000.0, 2000.0, 3000.0, 400.0, 500.0], source="somewhere")
    frame["symbol"] = frame["symbol"].astype("category")
    frame["open"] = [10, 10, 10, 50, 51]
    frame["low"] = [9, 9, 9, 49, 50]
    assert read_daily_bars(written(tmp_path, frame)).volume.tolist() == [1000, 2000, 3000, 400, 500]


def test_dates_may_be_timestamps_at_midnight(tmp_path: Path):
    bars = read_daily_bars(written(tmp_path, daily(date=pd.to_datetime(daily()["date"]))))
    assert np.array_equal(bars.times, read_daily_bars(written(tmp_path, daily(), "dates.parquet")).times)


def test_rounding_of_adjusted_prices_is_tolerated_and_mended(tmp_path: Path):
    bars = read_daily_bars(written(tmp_path, with_value(daily(), 0, "close", 10.8 * (1 + 5e-7))))
    assert bars.prices[1, 0] == bars.prices[3, 0]


def test_the_digest_is_that_of_the_content(tmp_path: Path):
    first, second = written(tmp_path, daily(), "one.parquet"), written(tmp_path, daily(), "two.parquet")
    assert read_daily_bars(first).digest == read_daily_bars(second).digest
    written(tmp_path, with_value(daily(), 4, "volume", 501), "two.parquet")
    assert read_daily_bars(first).digest != read_daily_bars(second).digest


def test_a_missing_file_is_named(tmp_path: Path):
    refused(
        tmp_path / "none.parquet", "none.parquet does not exist or is no file; give the path of a file with daily bars"
    )
    refused(tmp_path, "does not exist or is no file")


@pytest.mark.parametrize("content", [b"", b"this is not parquet", b"PAR1" + bytes(40) + b"PAR1"])
def test_what_is_not_parquet_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "bars.parquet"
    path.write_bytes(content)
    refused(path, "cannot be read as Parquet; give a file with daily bars in Parquet, or in CSV")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01,\n1"])
def test_what_is_not_csv_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "bars.csv"
    path.write_bytes(content)
    refused(path, "bars.csv")


def test_a_ragged_csv_is_refused(tmp_path: Path):
    path = written(tmp_path, daily(), "bars.csv")
    path.write_text(path.read_text() + "AAA,2018-02-23,1\n")
    refused(path, "cannot be read as CSV")


def test_a_file_cut_off_in_the_middle_is_refused(tmp_path: Path):
    path = written(tmp_path, daily())
    path.write_bytes(path.read_bytes()[:-50])
    refused(path, "cannot be read as Parquet")


def test_missing_columns_are_named_with_the_ones_a_file_has(tmp_path: Path):
    path = written(tmp_path, daily().drop(columns="volume"))
    refused(path, "lacks the column volume; a file of daily bars has symbol, date, open, high, low, close, volume")
    refused(written(tmp_path, daily().drop(columns=["open", "low"])), "lacks the columns open, low;")
    with pytest.raises(MarketDataFileError, match="lacks the column ts; a file of minute bars has symbol, ts, open"):
        read_minute_bars(written(tmp_path, daily()))


def test_an_empty_file_is_refused(tmp_path: Path):
    refused(
        written(tmp_path, daily().iloc[:0].astype({"volume": "int64"})), "holds no rows; give a file with daily bars"
    )


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("symbol", [1, 1, 1, 2, 2], "has int64 in the column symbol; it must be text"),
        ("date", [1, 2, 3, 4, 5], "has int64 in the column date; it must hold dates"),
        ("date", ["20.2.18"] * 5, "in the column date; it must hold dates"),
        ("open", ["10"] * 5, "in the column open; it must hold numbers"),
        ("volume", [True] * 5, "has bool in the column volume; it must hold numbers"),
    ],
)
def test_wrong_types_are_named(tmp_path: Path, column: str, values: list[object], told: str):
    refused(written(tmp_path, daily(**{column: values})), told)


def test_minutes_with_a_zone_are_refused(tmp_path: Path):
    path = written(tmp_path, minutes(ts=minutes()["ts"].dt.tz_localize("UTC")))
    with pytest.raises(
        MarketDataFileError, match="in the column ts; it must hold timestamps without a zone, in New York"
    ):
        read_minute_bars(path)


def test_times_that_are_no_start_of_a_minute_or_day_are_refused(tmp_path: Path):
    path = written(tmp_path, minutes(ts=minutes()["ts"] + pd.Timedelta(seconds=30)))
    with pytest.raises(
        MarketDataFileError, match="2018-02-20 09:30:30 of AAA in the column ts; it must be the start of a"
    ):
        read_minute_bars(path)
    late = pd.to_datetime(daily()["date"]) + pd.Timedelta(hours=16)
    refused(
        written(tmp_path, daily(date=late)), "2018-02-20 16:00:00 of AAA in the column date; it must be a whole day"
    )


@pytest.mark.parametrize(
    ("row", "column", "value", "told"),
    [
        (1, "open", np.nan, "AAA on 2018-02-21 has no number in the column open; remove or repair that row"),
        (2, "volume", None, "AAA on 2018-02-22 has no number in the column volume"),
        (3, "high", np.inf, "BBB on 2018-02-20 has no number in the column high"),
        (4, "low", 0.0, "BBB on 2018-02-21 has 0 in the column low; a price is above zero"),
        (0, "close", -1.0, "AAA on 2018-02-20 has -1 in the column close; a price is above zero"),
        (0, "high", 9.0, "AAA on 2018-02-20 has a high of 9 below its low of 9.9"),
        (0, "open", 11.0, "AAA on 2018-02-20 has open 11 outside its range of 9.9 to 10.8"),
        (4, "close", 49.9, "BBB on 2018-02-21 has close 49.9 outside its range of 50 to 51.5"),
        (3, "volume", -5, "BBB on 2018-02-20 has a volume of -5; a volume is zero or more"),
        (1, "date", FIRST, "AAA on 2018-02-20 is there twice; remove one of the two rows"),
        (
            1,
            "date",
            dt.date(2018, 2, 19),
            "AAA on 2018-02-19 comes after a later bar; sort the file by symbol and date",
        ),
        (2, "date", None, "has a row of AAA without date; remove or repair it"),
        (2, "symbol", None, "has rows without a symbol; remove or repair them"),
        (2, "symbol", "", "has rows without a symbol; remove or repair them"),
    ],
)
def test_impossible_bars_are_named_by_symbol_and_date(tmp_path: Path, row: int, column: str, value: object, told: str):
    refused(written(tmp_path, with_value(daily(), row, column, value)), told)


def test_minute_bars_are_named_by_symbol_and_minute(tmp_path: Path):
    path = written(tmp_path, with_value(minutes(), 2, "close", np.nan))
    with pytest.raises(MarketDataFileError, match="AAA at 2018-02-20 09:35 has no number in the column close"):
        read_minute_bars(path)
    path = written(tmp_path, with_value(minutes(), 2, "ts", pd.Timestamp("2018-02-20 09:31")))
    with pytest.raises(MarketDataFileError, match="AAA at 2018-02-20 09:31 is there twice"):
        read_minute_bars(path)


def test_duplicates_are_found_among_alternating_symbols(tmp_path: Path):
    by_day = with_value(daily(), 1, "date", FIRST).sort_values("date", kind="stable", ignore_index=True)
    refused(written(tmp_path, by_day), "AAA on 2018-02-20 is there twice")


def test_every_refusal_is_one_sentence_that_names_the_file(tmp_path: Path):
    path = written(tmp_path, with_value(daily(), 0, "high", 9.0))
    with pytest.raises(MarketDataFileError) as refusal:
        read_daily_bars(path)
    told = str(refusal.value)
    assert told.startswith(str(path))
    assert told.endswith(".")
    assert "\n" not in told
    assert refusal.value.exit_status == 2


@pytest.mark.parametrize("codec", ["snappy", "zstd", "none"])
def test_row_groups_and_compression_do_not_matter(tmp_path: Path, codec: str):
    path = tmp_path / "bars.parquet"
    pq.write_table(pa.Table.from_pandas(daily(), preserve_index=False), path, row_group_size=2, compression=codec)
    assert (
        read_daily_bars(path).prices.tolist()
        == read_daily_bars(written(tmp_path, daily(), "b.parquet")).prices.tolist()
    )


@needs_real_data
def test_the_real_files_are_sound():
    bars = read_daily_bars(REAL / "us_daily.parquet")
    assert len(bars.rows) == 159
    assert len(bars.times) == 158_242
    recorded = read_minute_bars(REAL / "us_minute.parquet")
    assert len(recorded.rows) == 104
    assert len(np.unique(recorded.times // 1440)) == 10


def refused(path: Path, told: str) -> None:
    with pytest.raises(MarketDataFileError) as refusal:
        read_daily_bars(path)
    assert told in str(refusal.value)
