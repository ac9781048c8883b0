"""Earlier chapters leave the store for a file, the chain verifies with it and without, and the case goes on."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import msgspec
import pytest

from casework.actors.cli.app import main
from casework.protocols.codec import decode_entry, plain
from casework.protocols.records import Closed, Noted, Opened
from casework.runtime import verifier
from casework.runtime.compaction import account_of, chapter_file, drop_chapters, earlier_chapters, keep_file
from casework.runtime.errors import ArchiveMissing, CaseThere, ExportInvalid
from casework.runtime.export import export_case, imported
from casework.runtime.flow.case import Case
from casework.runtime.retention import old_cases
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey, CaseStatus, Record, Store
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.urls import open_store
from casework.runtime.store.verify import verify
from tests.support.flow_scene import KEY, Ask, crew, entries, runtime

LATER = 1 << 60
NOW = 1_800_000_000_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def long(case: Case, inputs: Ask) -> list[object]:
    for number in range(20):
        await case.note(f"line {number} of chapter {inputs.n}: {'x' * 200}")
    arrived = await case.park("page", reason="the next page")
    if inputs.n < 3:
        await case.next_chapter(Ask(inputs.n + 1))
    return [inputs.n, arrived.by]


async def with_pages(store: Any, pages: int, *, first: bool = True, name: str = "c1") -> None:
    """Have a case read so many pages; each begins a chapter, the fourth ends it."""
    with anyio.fail_after(20):
        async with runtime(crew(long), store) as machine:
            if first:
                await machine.open("long", name, Ask(0))
            for number in range(pages):
                await machine.wait(name)
                await machine.deliver(name, key="page", by="ann", message_id=f"{first}-{number}")
                await machine.wait(name)
                await machine.wait_idle()


async def compacted(store: Store, folder: Path, name: str = "a", before: int = LATER) -> list[bytes]:
    files: list[bytes] = []
    filed = []
    for each in await earlier_chapters(store, "default", before):
        kept, text = await chapter_file(store, store.url, each)
        assert keep_file(folder, kept.sha256, text).read_bytes() == text
        filed.append(kept)
        files.append(text)
    if filed:
        account = account_of(filed, by="ann", now=NOW, name=name)
        assert await drop_chapters(store, filed, account) == sum(each.earlier.frames for each in filed)
    return files


@pytest.mark.promise("STORE-20")
async def test_a_case_whose_earlier_chapters_went_goes_on_and_its_chain_verifies(tmp_path: Path) -> None:
    store = MemoryStore()
    await with_pages(store, 2)
    before = [record.hash for record in await store.records(KEY)]
    assert await compacted(store, tmp_path)
    records = await store.records(KEY)
    row = await store.case(KEY)
    assert row is not None
    assert row.status is CaseStatus.PARKED
    assert [record.hash for record in records] == before
    assert [record.seq for record in records if record.frame] == [0, *range(row.chapter, row.next_seq)]
    assert await verify(store) == []
    await with_pages(store, 2, first=False)
    closed = decode_entry((await store.records(KEY))[-1].frame)
    assert isinstance(closed, Closed)
    assert plain(closed.value) == [3, "ann"]
    assert await verify(store) == []


@pytest.mark.promise("STORE-20")
async def test_the_offline_verifier_joins_what_is_left_with_every_file(tmp_path: Path) -> None:
    store = MemoryStore()
    await with_pages(store, 1)
    (first,) = await compacted(store, tmp_path, "a")
    await with_pages(store, 3, first=False)
    (second,) = await compacted(store, tmp_path, "b")
    last = await export_case(store, "memory:", KEY)
    assert verifier.findings(verifier.load(last)) == []
    documents = [verifier.load(text) for text in (last, first, second)]
    whole = verifier.joined(*documents)
    assert verifier.findings(whole) == []
    (case,) = cast("list[dict[str, Any]]", whole["cases"])
    assert all(record["frame"] is not None for record in case["records"])
    some = verifier.joined(documents[0], documents[1])
    assert verifier.findings(some, put_back=True) == []
    assert verifier.findings(some), "no command leaves a store like this"
    (case,) = cast("list[dict[str, Any]]", some["cases"])
    assert any(record["frame"] is None for record in case["records"])
    # What was joined is an export like any other.
    assert imported(json.dumps(whole).encode()).transfers[0].row.key == KEY


async def test_the_verifier_alone_tells_a_file_that_is_not_what_was_written(tmp_path: Path) -> None:
    store = MemoryStore()
    await with_pages(store, 1)
    (first,) = await compacted(store, tmp_path)
    last = tmp_path / "last.json"
    await anyio.Path(last).write_bytes(await export_case(store, "memory:", KEY))
    (kept,) = [path async for path in anyio.Path(tmp_path).glob("*.json") if path.name != "last.json"]
    command = [sys.executable, verifier.__file__, str(last), "--archive", str(kept)]
    done = await anyio.run_process(command, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"without contents" not in done.stdout
    await kept.write_bytes(first.replace(b"line 3 of chapter 0", b"line 9 of chapter 0"))
    assert (await anyio.run_process(command, check=False)).returncode == 1
    await kept.write_bytes(b"no json")
    assert (await anyio.run_process(command, check=False)).returncode == 2


async def test_the_account_names_every_case_with_place_hash_and_file(tmp_path: Path) -> None:
    store = MemoryStore()
    await with_pages(store, 2)
    row = await store.case(KEY)
    assert row is not None
    records = await store.records(KEY)
    await compacted(store, tmp_path)
    key = CaseKey("default", "compaction/2027-01-15-a")
    (note,) = await entries(store, Noted, key)
    assert note.text.startswith("ann put earlier chapters of 1 cases into files")
    (path,) = [path async for path in anyio.Path(tmp_path).iterdir()]
    assert plain(note.data) == [
        {
            "case": "c1", "below": row.chapter, "records": row.chapter - 1,
            "hash": records[row.chapter - 1].hash.hex(), "file": path.stem,
        }
    ]  # fmt: skip
    assert await old_cases(store, "default", LATER) == []


async def test_what_went_does_not_go_again_and_young_chapters_stay(tmp_path: Path) -> None:
    store = MemoryStore()
    await with_pages(store, 1)
    row = await store.case(KEY)
    assert row is not None
    began = (await store.records(KEY))[row.chapter].at
    assert await earlier_chapters(store, "default", began) == []
    assert len(await earlier_chapters(store, "default", began + 1)) == 1
    assert await earlier_chapters(store, "somebody", LATER) == []
    await compacted(store, tmp_path)
    assert await earlier_chapters(store, "default", LATER) == []


async def test_a_case_that_is_not_as_it_was_written_stays_as_it_is() -> None:
    store = MemoryStore()
    await with_pages(store, 1)
    (each,) = await earlier_chapters(store, "default", LATER)
    case = store._cases[KEY]
    case.records[3] = Record(3, 1, "noted", "note#9", 1, b"x", case.records[3].hash)
    with pytest.raises(ExportInvalid, match="record 3"):
        await chapter_file(store, store.url, each)


@pytest.mark.parametrize("where", [1 << 62, 30, 2])
async def test_a_case_whose_row_names_another_chapter_than_its_log_keeps_all_it_needs(where: int) -> None:
    store = MemoryStore()
    await with_pages(store, 2)
    case = store._cases[KEY]
    assert case.row.chapter != where
    case.row = msgspec.structs.replace(case.row, chapter=where)
    (each,) = await earlier_chapters(store, "default", LATER)
    with pytest.raises(ExportInvalid, match="the case says another chapter than this record"):
        await chapter_file(store, store.url, each)


async def test_a_store_that_cannot_do_it_and_an_account_that_is_there_say_so(tmp_path: Path) -> None:
    store = MemoryStore()
    await with_pages(store, 1)
    (each,) = await earlier_chapters(store, "default", LATER)
    kept, _ = await chapter_file(store, store.url, each)
    account = account_of([kept], by="ann", now=NOW, name="a")
    what: Any = type("Plain", (), {"url": "plain:"})()
    with pytest.raises(ArchiveMissing, match="plain:"):
        await drop_chapters(what, [kept], account)
    await store.bring_in([account])
    with pytest.raises(CaseThere, match="compaction/2027-01-15-a"):
        await drop_chapters(store, [kept], account)


def test_a_full_disk_names_the_file_and_leaves_no_half_of_one(tmp_path: Path) -> None:
    (tmp_path / "abc.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        keep_file(tmp_path, "abc", b"text")
    assert caught.value.filename == str(tmp_path / "abc.json")
    assert list(tmp_path.iterdir()) == []


def made(path: Path, pages: int = 3) -> str:
    url = f"sqlite:///{path}"
    anyio.run(with_pages, url, pages)
    return url


def test_the_command_puts_chapters_into_files_and_the_store_becomes_smaller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, folder = made(tmp_path / "cases.db"), tmp_path / "kept"
    size = (tmp_path / "cases.db").stat().st_size
    assert main(["compact", "--store", url, "--into", str(folder), "--dry-run"]) == 0
    assert "would go into files" in capsys.readouterr().out
    assert not folder.exists()
    assert main(["compact", "--store", url, "--into", str(folder), "--by", "ann", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["done"], said["left"], len(said["accounts"])) == (True, [], 1)
    assert [path.stem for path in folder.iterdir()] == [case["file"] for case in said["cases"]]
    assert (tmp_path / "cases.db").stat().st_size < size
    assert main(["verify", "--store", url]) == 0
    assert main(["show", "c1", "--store", url]) == 0
    capsys.readouterr()
    assert main(["compact", "--store", url, "--into", str(folder)]) == 0
    assert "no case has earlier chapters" in capsys.readouterr().err
    assert main(["compact", "--store", url, "--older-than", "soon"]) == 2
    anyio.run(lambda: with_pages(url, 1, first=False))
    assert main(["verify", "--store", url]) == 0


@pytest.mark.promise("STORE-20")
def test_a_dry_run_says_just_what_the_run_does_then(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url, folder = made(tmp_path / "cases.db"), tmp_path / "kept"
    anyio.run(partial(with_pages, url, 3, name="c2"))
    with closing(sqlite3.connect(tmp_path / "cases.db")) as connection, connection:
        connection.execute("UPDATE record SET frame = x'80' WHERE case_no = 1 AND seq = 3")
    command = ["compact", "--store", url, "--into", str(folder), "--json"]
    assert main([*command, "--dry-run"]) == 1
    before = capsys.readouterr()
    assert not folder.exists()
    assert main(command) == 1
    after = capsys.readouterr()
    assert "c1: left as it is: " in before.err
    assert before.err == after.err
    would, did = json.loads(before.out), json.loads(after.out)
    assert (would["left"], [case["case"] for case in would["cases"]]) == (["c1"], ["c2"])
    assert {**would, "done": True, "accounts": did["accounts"]} == did


@pytest.fixture
def archived(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, Path]:
    """Give a store of two cases of one shape, and the folder with a file of each."""
    url, folder = made(tmp_path / "cases.db"), tmp_path / "kept"
    anyio.run(partial(with_pages, url, 3, name="c2"))
    assert main(["compact", "--store", url, "--into", str(folder)]) == 0
    capsys.readouterr()
    return url, folder


@pytest.mark.promise("STORE-20")
def test_verify_gives_one_verdict_on_a_case_and_its_files(
    archived: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    url, folder = archived
    assert main(["verify", "--store", url, "--archive", str(folder)]) == 0
    assert "case c1 with its files: 91 records, all with their contents" in capsys.readouterr().out
    file = next(path for path in folder.iterdir() if b'"c1"' in path.read_bytes())
    assert main(["verify", "--store", url, "--archive", str(file), "--archive", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["archived"] == [{"case": "c1", "records": 91, "missing": 0}]


@pytest.mark.promise("STORE-20")
def test_verify_tells_a_changed_file_one_of_another_store_and_one_of_a_later_log(
    archived: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, folder = archived
    file = next(path for path in folder.iterdir() if b'"c1"' in path.read_bytes())
    other = f"sqlite:///{tmp_path / 'other.db'}"
    changed, text = tmp_path / "changed.json", file.read_text()
    changed.write_text(text.replace('"epoch": 1', '"epoch": 2', 1))
    assert main(["verify", "--store", url, "--archive", str(changed)]) == 1
    assert "changed.json: case c1: record 1: it is not what was written" in capsys.readouterr().out
    anyio.run(with_pages, other, 1)
    assert main(["verify", "--store", other, "--archive", str(file)]) == 1
    assert "case c1 record 0: the store has another record here than" in capsys.readouterr().out
    assert main(["verify", "--store", other, "--archive", str(folder)]) == 1
    assert "is of it, and it is not in the store" in capsys.readouterr().out
    for bad, why in (("{}", "it is no export"), ("no JSON", "it is no JSON")):
        changed.write_text(bad)
        assert main(["verify", "--store", url, "--archive", str(changed)]) == 2
        assert why in capsys.readouterr().err


@pytest.mark.promise("STORE-20")
def test_verify_tells_of_which_case_a_folder_has_no_file(
    archived: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    url, folder = archived
    next(path for path in folder.iterdir() if b'"c1"' in path.read_bytes()).unlink()
    assert main(["verify", "--store", url, "--archive", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "case c2 with its files: 91 records, all with their contents\n" in told
    assert "case c1 without a good file here: 91 records, 68 of them without contents\n" in told
    for file in folder.iterdir():
        file.unlink()
    assert main(["verify", "--store", url, "--archive", str(folder), "--json"]) == 0
    named = [(each["case"], each["missing"]) for each in json.loads(capsys.readouterr().out)["archived"]]
    assert named == [("c1", 68), ("c2", 68)]


def test_two_compactions_of_the_same_minute_have_an_account_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, accounts = made(tmp_path / "cases.db", pages=1), list[str]()
    for page in range(2):
        assert main(["compact", "--store", url, "--into", str(tmp_path / "kept"), "--json"]) == 0
        accounts += json.loads(capsys.readouterr().out)["accounts"]
        if not page:
            anyio.run(lambda: with_pages(url, 1, first=False))
    assert len(set(accounts)) == 2


KILLED = """
import os, signal, sys
from casework.actors.cli import compacting
from casework.actors.cli.app import main

def killed(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(compacting, sys.argv[1], killed)
main(["compact", "--store", sys.argv[2], "--into", sys.argv[3]])
"""


@pytest.mark.promise("STORE-20")
@pytest.mark.parametrize(("at", "dropped"), [("account_of", False), ("drop_chapters", False), ("_shrink", True)])
def test_killed_at_any_step_nothing_is_lost_and_doing_it_again_is_harmless(
    tmp_path: Path, at: str, dropped: bool
) -> None:
    url, folder = made(tmp_path / "cases.db"), tmp_path / "kept"
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", KILLED, at, url, str(folder)]
    assert subprocess.run(command, env=environment, timeout=60, check=False).returncode == -signal.SIGKILL
    (kept,) = folder.iterdir()
    assert verifier.findings(verifier.load(kept.read_bytes())) == []
    assert main(["verify", "--store", url]) == 0

    async def left() -> list[int]:
        store = await open_store(url, World())
        try:
            return [record.seq for record in await store.records(KEY) if not record.frame]
        finally:
            await store.aclose()

    assert bool(anyio.run(left)) is dropped
    assert main(["compact", "--store", url, "--into", str(folder)]) == 0
    assert anyio.run(left)
    assert [path.read_bytes() for path in folder.iterdir()] == [kept.read_bytes()]
    assert isinstance(decode_entry(anyio.run(first_frame, url)), Opened)


async def first_frame(url: str) -> bytes:
    store = await open_store(url, World())
    try:
        return (await store.records(KEY))[0].frame
    finally:
        await store.aclose()
