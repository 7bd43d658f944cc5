"""Backup and restore: what comes back is what was there, and what is not right puts nothing anywhere."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from multiprocessing.context import ForkServerContext
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from quant_pipeline.errors import HistoryError, QuantPipelineError, UsageError
from quant_pipeline.history import archive
from quant_pipeline.history import restore as restoring
from quant_pipeline.history.backup import back_up
from quant_pipeline.history.order_journal import OrderJournal
from quant_pipeline.history.restore import restore
from quant_pipeline.history.store import History
from quant_pipeline_tests.history.older_layouts import history_of_version_1, journal_of_version_1
from quant_pipeline_tests.history.recorded_frames import MADE, SLOT, indicators, quality_filter
from quant_pipeline_tests.history.test_migrations import assert_all_frames_are_there, journal_rows
from quant_pipeline_tests.history.test_order_journal import intent

BOOK = "gateway/DU1234567/book.sqlite"
Member = tuple[tarfile.TarInfo | str, bytes]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home with a history and a journal, and a backup of it; to be copied, not to be touched."""
    folder = tmp_path_factory.mktemp("prepared")
    history_of_version_1(folder / "home")
    journal_of_version_1(folder / "home")
    return folder / "home", back_up(folder / "home", folder / "all.tar.zst").path


@pytest.fixture
def home(prepared: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared[0], tmp_path / "home"))


@pytest.fixture
def backup(prepared: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copy(prepared[1], tmp_path / "all.tar.zst"))


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return tmp_path / "somewhere" / "empty"


def test_what_is_restored_is_what_was_there(home: Path, empty: Path, tmp_path: Path) -> None:
    (tmp_path / "quant_pipeline.toml").write_text("[risk]\nmax_positions = 40\n", encoding="utf-8")
    (home / BOOK).parent.mkdir(parents=True)
    with closing(sqlite3.connect(home / BOOK, isolation_level=None)) as book:
        book.execute("PRAGMA journal_mode = WAL")
        book.execute("CREATE TABLE orders (perm_id INTEGER)")
        book.execute("INSERT INTO orders VALUES (77)")
        made = back_up(home, settings_file=tmp_path / "quant_pipeline.toml")
    assert made.path.parent == home / "backups"
    assert restore(made.path, empty) == made.manifest
    assert_all_frames_are_there(History(empty))
    assert journal_rows(empty / "orders.sqlite") == journal_rows(home / "orders.sqlite")
    with closing(sqlite3.connect(empty / BOOK)) as book:
        assert book.execute("SELECT perm_id FROM orders").fetchall() == [(77,)]
    assert (empty / "quant_pipeline.toml").read_text(encoding="utf-8") == "[risk]\nmax_positions = 40\n"
    with duckdb.connect(empty / "history.duckdb", read_only=True) as published:
        assert published.execute("SELECT count(*) FROM current.quality_filter").fetchone() == (2,)
    assert {path.name for path in empty.iterdir()} == {
        "gateway", "history.duckdb", "orders.sqlite", "quant_pipeline.toml", "working",
    }  # fmt: skip


def test_the_manifest_says_what_is_in_it(backup: Path) -> None:
    with archive.reading(backup) as opened:
        said = opened.manifest
    assert said.history == {
        "layout": 2, "materializations": 5, "slots": 2, "oldest_slot": SLOT, "newest_slot": "2026-11-20T10:30",
    }  # fmt: skip
    assert said.journal == {"layout": 2, "intents": 2, "events": 7, "fills": 4}
    assert [file.name for file in said.files] == ["history.duckdb", "orders.sqlite"]


def test_a_restored_home_goes_on_and_its_mirror_follows(backup: Path, home: Path, empty: Path) -> None:
    """Also when the history in the backup had mirrored events that its journal had not yet."""
    restore(backup, empty)
    history, journal = History(empty), OrderJournal(empty)
    made = history.append("quality_filter", quality_filter("B"), slot="2026-11-20T10:45", **MADE)
    assert made.id > History(home).count()
    journal.plan([intent("NVDA")])
    assert history.mirror_journal(journal) == 1


def test_whatever_goes_on_meanwhile_the_pair_fits_together(home: Path, tmp_path: Path) -> None:
    over = threading.Event()
    trading = threading.Thread(target=decide_and_plan, args=(home, over))
    trading.start()
    try:
        backups = [back_up(home, tmp_path / f"{number}.tar.zst").path for number in range(4)]
    finally:
        over.set()
        trading.join(60)
    counted = []
    for backup in backups:
        restored = tmp_path / backup.stem
        restore(backup, restored)
        with duckdb.connect(restored / "history.duckdb", read_only=True) as history:
            orphans = "SELECT order_ref FROM journal.intents ANTI JOIN lineage.materializations AS made "
            assert history.execute(f"{orphans} ON made.id = materialization_id WHERE slot <> '{SLOT}'").fetchall() == []
            counted.append(history.execute("SELECT count(*), max(id) FROM journal.events").fetchone())
        with closing(sqlite3.connect(restored / "orders.sqlite")) as journal:
            assert journal.execute("SELECT count(*), max(id) FROM events").fetchone() == counted[-1]
    assert counted[0] < counted[-1]


def decide_and_plan(home: Path, over: threading.Event) -> None:
    """Record decisions and plan the orders they lead to, mirrored at once, for as long as it takes."""
    history, journal = History(home), OrderJournal(home)
    for minute in range(10_000):
        if over.is_set():
            break
        slot = f"2026-11-23T{minute:05}"
        made = history.append("quality_filter", quality_filter("A"), slot=slot, **MADE)
        planned = dataclasses.replace(intent(), order_ref=f"{slot}:A:entry", slot=slot, materialization_id=made.id)
        journal.plan([planned])
        history.mirror_journal(journal)


def test_nothing_is_overwritten(backup: Path, home: Path, empty: Path) -> None:
    content = backup.read_bytes()
    with pytest.raises(UsageError, match=r"all\.tar\.zst is there already; name another file with --out"):
        back_up(home, backup)
    assert backup.read_bytes() == content
    with pytest.raises(UsageError, match="is there already and nothing is restored over it"):
        restore(backup, home)
    restore(backup, empty)
    (empty / "working" / "history.duckdb").unlink()
    with pytest.raises(UsageError, match="is there already"):
        restore(backup, empty)


@pytest.mark.parametrize("name", ["orders.sqlite", "history.duckdb", "working/orders.exists"])
def test_a_home_with_any_record_in_it_is_left_alone(backup: Path, empty: Path, name: str) -> None:
    (empty / name).parent.mkdir(parents=True)
    (empty / name).write_bytes(b"")
    with pytest.raises(UsageError, match=rf"{name} is there already"):
        restore(backup, empty)
    assert [path for path in empty.rglob("*") if path.is_file()] == [empty / name]


def test_a_home_with_other_things_in_it_keeps_them(backup: Path, empty: Path) -> None:
    (empty / "dagster").mkdir(parents=True)
    (empty / "dagster" / "dagster.yaml").write_text("", encoding="utf-8")
    restore(backup, empty)
    assert (empty / "dagster" / "dagster.yaml").exists()
    assert_all_frames_are_there(History(empty))


def test_an_empty_home_has_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="Nothing is recorded yet"):
        back_up(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_an_archive_that_was_cut_short_is_refused(backup: Path, empty: Path, share: float) -> None:
    content = backup.read_bytes()
    backup.write_bytes(content[: int(len(content) * share)])
    # Of a file with nothing in it nobody can say that it was a backup.
    refused(backup, empty, r"is damaged|is not a backup", kind=HistoryError if share else UsageError)


@pytest.mark.parametrize("place", [5, 400, 9_000, -300])
def test_an_archive_with_a_wrong_byte_is_refused(backup: Path, empty: Path, place: int) -> None:
    content = bytearray(backup.read_bytes())
    content[place] ^= 0x55
    backup.write_bytes(content)
    refused(backup, empty, "is damaged")


def test_something_else_is_refused(tmp_path: Path, empty: Path) -> None:
    other = tmp_path / "other"
    refused(other, empty, "There is no backup", kind=UsageError)
    other.write_text("my diary", encoding="utf-8")
    refused(other, empty, "is not a backup of this pipeline", kind=UsageError)
    pack(other, [("letter.txt", b"dear diary")])
    refused(other, empty, "is not a backup of this pipeline", kind=UsageError)


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "gateway/../../evil", "working/history.duckdb", "evil"])
@pytest.mark.parametrize("in_manifest", [False, True])
def test_a_file_that_no_backup_holds_is_refused(backup: Path, empty: Path, name: str, in_manifest: bool) -> None:
    members = unpacked(backup)
    evil = {"name": name, "bytes": 4, "sha256": hashlib.sha256(b"evil").hexdigest()}
    if in_manifest:
        members[0] = changed_manifest(members[0], lambda said: said["files"].insert(0, evil))
    pack(backup, [members[0], (name, b"evil"), *members[1:]])
    refused(backup, empty, f"holds '{name}', which no backup of this pipeline does")
    assert not (empty.parent / "evil").exists()
    assert not Path("/tmp/evil").exists()


def test_a_link_in_an_archive_is_refused(backup: Path, empty: Path) -> None:
    members = unpacked(backup)
    link = tarfile.TarInfo("orders.sqlite")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    pack(backup, [*members[:2], (link, b"")])
    refused(backup, empty, "which no backup of this pipeline does")


def test_content_that_is_not_what_the_manifest_says_is_refused(backup: Path, empty: Path) -> None:
    members = unpacked(backup)
    pack(backup, [*members[:2], (members[2][0], members[2][1][:-1] + b"!")])
    refused(backup, empty, r"damaged \(orders\.sqlite is not what the manifest says\)")


def test_a_missing_file_is_noticed(backup: Path, empty: Path) -> None:
    members = unpacked(backup)
    pack(backup, members[:2])
    refused(backup, empty, r"damaged \(orders\.sqlite is missing\)")
    without = changed_manifest(members[0], lambda said: said["files"].pop())
    pack(backup, [without, members[1]])
    refused(backup, empty, r"damaged \(orders\.sqlite is missing\)")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda said: said.update(format=9), "is a backup of format 9 .* restore it with the newer quant-pipeline"),
        (lambda said: said["history"].update(layout=9), "The history in .* has layout version 9"),
        (lambda said: said["journal"].update(layout=9), "The journal in .* has layout version 9"),
        (lambda said: said.pop("journal"), "is damaged"),
        (lambda said: said["journal"].update(intents=1), "do not hold what the manifest says"),
    ],
)
def test_a_manifest_of_another_version_or_of_nonsense_is_refused(
    backup: Path, empty: Path, change: Callable[[dict[str, object]], object], words: str
) -> None:
    members = unpacked(backup)
    pack(backup, [changed_manifest(members[0], change), *members[1:]])
    refused(backup, empty, words)


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def test_a_restore_that_was_killed_can_be_done_again(backup: Path, empty: Path, processes: ForkServerContext) -> None:
    process = processes.Process(target=restore_and_die, args=(backup, empty))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert [path.name for path in empty.iterdir()] == [".restoring"]
    restore(backup, empty)
    assert_all_frames_are_there(History(empty))


def restore_and_die(backup: Path, home: Path) -> None:
    restoring._put_in_place = lambda folder, home: os.kill(os.getpid(), signal.SIGKILL)
    restore(backup, home)


def test_a_backup_that_the_disk_does_not_take_leaves_nothing(home: Path, processes: ForkServerContext) -> None:
    History(home).append("indicators", indicators(500), slot=SLOT, **MADE)
    process = processes.Process(target=back_up_on_a_full_disk, args=(home,))
    process.start()
    process.join(60)
    assert process.exitcode == 3
    assert list((home / "backups").iterdir()) == []
    back_up(home)


def back_up_on_a_full_disk(home: Path) -> None:
    History(home).publish()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    try:
        back_up(home)
    except HistoryError as error:
        os._exit(3 if "free space" in str(error) else 4)
    os._exit(0)


def refused(backup: Path, home: Path, words: str, *, kind: type[QuantPipelineError] = HistoryError) -> None:
    """Assert that a backup is refused in one sentence with these words and that the home is not even made."""
    with pytest.raises(kind, match=words) as caught:
        restore(backup, home)
    assert "\n" not in str(caught.value)
    assert not home.exists()


def unpacked(backup: Path) -> list[Member]:
    with (
        pa.CompressedInputStream(pa.OSFile(str(backup)), "zstd") as stream,
        tarfile.open(fileobj=io.BytesIO(stream.read())) as tar,
    ):
        return [(member.name, file.read()) for member in tar if (file := tar.extractfile(member)) is not None]


def pack(target: Path, members: list[Member]) -> None:
    with (
        target.open("wb") as file,
        pa.CompressedOutputStream(pa.PythonFile(file, "w"), "zstd") as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        for head, content in members:
            member = tarfile.TarInfo(head) if isinstance(head, str) else head
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def changed_manifest(member: Member, change: Callable[[dict], object]) -> Member:
    said = json.loads(member[1])
    change(said)
    return member[0], json.dumps(said).encode()
