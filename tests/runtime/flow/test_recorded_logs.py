"""Logs that a release wrote are read, verified and replayed by today's code, for ever."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from casework.protocols.codec import decode_entry, kind_of, pack, plain_entry
from casework.protocols.records import Closed, Entry
from casework.runtime import verifier
from casework.runtime.export import export_case, import_cases, imported
from casework.runtime.flow.case import Flow
from casework.runtime.flow.reading import Reader, Reading
from casework.runtime.fold import COLUMNS, fold
from casework.runtime.fork import forked
from casework.runtime.retracing import retraced
from casework.runtime.seams import World
from casework.runtime.store.archive import Transfer
from casework.runtime.store.base import CaseStatus, Record
from casework.runtime.store.chain import broken_at
from casework.runtime.store.crosscheck import difference
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.verify import verify
from examples.bookkeeping import crew as bookkeeping
from tests.support import tiny_crew
from tests.support.record_logs import FOLDER, SMALL, record
from tests.support.recorded_flows import staff

LOGS = sorted(FOLDER.glob("*/*.json"))
EVERY = pytest.mark.parametrize("path", LOGS, ids=lambda path: f"{path.parent.name} {path.stem}")


def transfers(path: Path) -> tuple[Transfer, ...]:
    return imported(path.read_bytes()).transfers


def flows(path: Path) -> Mapping[str, Flow]:
    """Give today's flows of the crew that wrote a log."""
    if path.stem.startswith("tiny-"):
        return tiny_crew.crew.flows
    return bookkeeping.crew.flows if path.stem == "bookkeeping" else staff().flows


def read(path: Path, transfer: Transfer) -> Reading:
    """Replay a log up to its close, as whoever wakes its case does."""
    closed = transfer.row.status is CaseStatus.CLOSED
    until = len(transfer.records) - closed
    return Reader(flows(path), World(), "").read(transfer.row, transfer.records[transfer.row.chapter : until])


def pinned(path: Path, transfer: Transfer) -> bool:
    """Say whether today's crew has the flow that wrote a log."""
    row, known = transfer.row, flows(path).values()
    return any(
        (flow.name, flow.version, flow.source_hash) == (row.flow, row.version, row.source_hash) for flow in known
    )


@pytest.fixture(params=LOGS, ids=lambda path: f"{path.parent.name} {path.stem}")
def text(request: pytest.FixtureRequest) -> bytes:
    path: Path = request.param
    return path.read_bytes()


async def test_a_log_of_a_release_verifies_and_is_the_same_after_import_and_export(text: bytes) -> None:
    store, what = MemoryStore(), imported(text)
    assert verifier.findings(verifier.load(text)) == []
    keys = await import_cases(store, what, take_over=True)
    assert await verify(store) == []
    assert await export_case(store, "memory:", keys[0], with_children=b'"with_children": true' in text) == text


@EVERY
def test_every_frame_of_a_release_is_read(path: Path) -> None:
    for transfer in transfers(path):
        for record_ in transfer.records:
            assert kind_of(decode_entry(record_.frame)) == record_.kind
            assert verifier.content_of(record_.frame) == plain_entry(record_.frame)


@EVERY
def test_every_log_of_a_release_is_replayed_to_the_same_decisions(path: Path) -> None:
    for transfer in transfers(path):
        reading = read(path, transfer)
        if not pinned(path, transfer):
            assert path.stem not in SMALL, "a flow whose log is a fixture must not change"
            assert reading.reason.startswith("FlowUnknown"), transfer.row.key
            continue
        assert reading.reason == "", transfer.row.key
        assert reading.engine is not None
        assert reading.engine.outputs == [], "it does nothing that its log does not say"
        last = decode_entry(transfer.records[-1].frame)
        assert reading.engine.finished is (isinstance(last, Closed) or path.stem == "breaks")
        if isinstance(last, Closed):
            assert (reading.engine.error is None) is (last.error == "")
            assert bytes(pack(reading.engine.value)) == bytes(last.value)
        reading.engine.close()


@EVERY
def test_a_row_of_a_release_is_a_fold_of_its_log(path: Path) -> None:
    for row, folded in [(each.row, fold(each.row.key, each.records)) for each in transfers(path)]:
        assert [getattr(folded, name) for name in COLUMNS] == [getattr(row, name) for name in COLUMNS]
        assert folded.closed is (row.status is CaseStatus.CLOSED)


def test_chapters_that_nobody_replays_any_more_still_can_be() -> None:
    [path] = [path for path in LOGS if path.stem == "chapters"]
    [transfer] = transfers(path)
    starts = [record_.seq for record_ in transfer.records if record_.kind in {"opened", "chapter"}]
    assert len(starts) == 3
    for start, end in pairwise([*starts, len(transfer.records) - 1]):
        reading = Reader(flows(path), World(), "").read(transfer.row, transfer.records[start:end])
        assert (reading.reason, reading.chapter) == ("", starts.index(start))
        assert reading.engine is not None
        assert (reading.engine.outputs, reading.engine.finished) == ([], True)


def test_a_log_that_says_something_else_than_its_flow_does_is_not_replayed() -> None:
    [path] = [path for path in LOGS if path.stem == "steps"]
    [transfer] = transfers(path)
    assert (
        "record"
        in Reader(flows(path), World(), "").read(transfer.row, transfer.records[:1] + transfer.records[2:]).reason
    )


@pytest.mark.parametrize("tag", ["noted@2", "dreamt"])
def test_a_log_with_a_record_of_a_newer_release_is_not_replayed(tag: str) -> None:
    [path] = [path for path in LOGS if path.stem == "waits"]
    [transfer] = transfers(path)
    newer = Record(len(transfer.records), 1, tag, "note", 0, msgspec.msgpack.encode({"type": tag, "text": "?"}))
    reading = Reader(flows(path), World(), "").read(transfer.row, (*transfer.records, newer))
    assert reading.reason.startswith("FrameUnknown")


def test_the_logs_of_releases_hold_every_kind_of_record() -> None:
    held = {record_.kind for path in LOGS for transfer in transfers(path) for record_ in transfer.records}
    known = {str(each.__struct_config__.tag).partition("@")[0] for each in get_args(Entry)}
    assert known - held == set(), "a flow in recorded_flows.py makes them; record it before the next release"


async def test_recording_writes_what_a_release_lacks_and_never_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "9.9"
    folder.mkdir()
    for path in LOGS:
        (folder / path.name).write_text("kept")
    (folder / "leaf.json").unlink(missing_ok=True)
    (folder / "fails.json").unlink()
    assert await record("9.9", tmp_path) == ["fails"]
    assert {path.stem for path in folder.iterdir()} == {path.stem for path in LOGS}
    assert [path.stem for path in folder.iterdir() if path.read_text() != "kept"] == ["fails"]


@EVERY
def test_every_log_of_a_release_is_retraced_from_its_first_chapter_to_its_close(path: Path) -> None:
    for transfer in transfers(path):
        if pinned(path, transfer):
            told = retraced(Reader(flows(path), World(), ""), transfer.row, transfer.records)
            assert (told.difference, told.records, told.unread) == ("", len(transfer.records), 0), transfer.row.key
            assert told.chapters == 1 + sum(record_.kind == "chapter" for record_ in transfer.records)


@EVERY
def test_a_case_of_a_release_can_be_forked_at_each_record_and_is_what_its_log_says(path: Path) -> None:
    for transfer in transfers(path):
        reader = Reader(flows(path), World(), "")
        closed = transfer.row.status is CaseStatus.CLOSED
        for at in range(len(transfer.records) - closed) if pinned(path, transfer) else ():
            fork = forked(reader, transfer, at)
            assert fork.records == transfer.records[: at + 1]
            assert (broken_at(fork.row, fork.records), difference(fork)) == (None, None), at
            assert reader.read(fork.row, fork.records[fork.row.chapter :]).reason == "", at
