"""A case leaves one store as JSON and comes into another one as the same case, or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from casework.protocols.codec import digest
from casework.protocols.records import ReviewAction
from casework.runtime import verifier
from casework.runtime.errors import ArchiveMissing, CaseThere, ExportInvalid, ExportOngoing
from casework.runtime.export import export_case, import_cases, imported
from casework.runtime.export import exported as export_text
from casework.runtime.fold import COLUMNS, fold
from casework.runtime.seams import World
from casework.runtime.store.archive import Transfer, without_frame
from casework.runtime.store.base import CaseKey, CaseStatus
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.store.verify import verify
from tests.support.export_scene import KID, PAPER, STAFF, exported, finished, waiting
from tests.support.flow_scene import KEY, runtime, value
from tests.support.verifying import named_so

Change = Callable[[dict[str, Any]], object]


def changed(text: bytes, change: Change) -> bytes:
    """Change an export as somebody would who knows of the checksum."""
    document = json.loads(text)
    change(document)
    document["checksum"] = verifier.checksum(document)
    return json.dumps(document).encode()


async def whole(store: Any, key: CaseKey = KEY) -> Transfer:
    transfer: Transfer | None = await store.transfer(key)
    assert transfer is not None
    return transfer


async def test_what_was_imported_is_the_same_case_and_exports_to_the_same_bytes() -> None:
    source, target = await finished(), MemoryStore()
    text = await exported(source, with_children=True)
    assert await import_cases(target, imported(text)) == (KEY, KID)
    for key in (KEY, KID):
        there, here = await whole(source, key), await whole(target, key)
        assert (here.row, here.records, here.inbox) == (there.row, there.records, there.inbox)
    assert await exported(target, with_children=True) == text
    assert await verify(target) == []


async def test_an_export_of_a_file_is_the_same_while_another_owns_it_and_after_its_import(tmp_path: Path) -> None:
    text = await exported(await finished(), with_children=True)
    url = f"sqlite:///{tmp_path}/cases.db"
    store = await open_store(url, World())
    await import_cases(store, imported(text))
    reader = await open_reader(url, World())
    assert await export_case(reader, url, KEY, with_children=True) == text
    await reader.aclose()
    await store.aclose()


async def test_the_content_is_there_for_people_and_the_bytes_for_machines() -> None:
    store = await finished()
    [case] = json.loads(await exported(store))["cases"]
    [note] = [each for each in case["records"] if each["content"].get("text") == "Grüße"]
    assert note["content"]["data"] == {"ratio": 0.1, "big": 2**60}
    assert [record["hash"] for record in case["records"]] == [each.hash.hex() for each in await store.records(KEY)]
    assert (await exported(store)).isascii()


async def test_a_delivered_file_travels_with_its_case() -> None:
    target = MemoryStore()
    await import_cases(target, imported(await exported(await finished(), with_children=True)))
    assert await target.artifact(digest(PAPER).hex()) == PAPER


async def test_a_delivered_file_may_be_named_by_its_hash_alone() -> None:
    source, target = await finished(), MemoryStore()
    text = await exported(source, with_artifacts=False, with_children=True)
    assert json.loads(text)["artifacts"] == [{"sha256": digest(PAPER).hex(), "data": None}]
    await import_cases(target, imported(text))
    assert await target.artifact(digest(PAPER).hex()) is None
    assert await exported(target, with_artifacts=False, with_children=True) == text


async def test_a_file_that_a_store_has_lost_is_not_taken_for_one_that_was_left_out() -> None:
    source = await finished()
    left_out = json.loads(await exported(source, with_artifacts=False))
    source._artifacts.clear()
    lost = await exported(source)
    assert json.loads(lost)["artifacts"] == [{**left_out["artifacts"][0], "lost": True}]
    why = f"artifact {digest(PAPER).hex()}: a frame names it, but it is not in the store that was exported"
    assert list(map(str, verifier.findings(verifier.load(lost)))) == [why]
    with pytest.raises(ExportInvalid, match=f"nothing was imported: {why}"):
        imported(lost)
    assert json.loads(await exported(source, with_artifacts=False)) == left_out


async def test_a_case_comes_in_with_or_after_those_that_it_opened() -> None:
    source, target = await finished(), MemoryStore()
    alone, below = await exported(source), await export_case(source, "memory:", KID)
    with pytest.raises(
        ExportInvalid, match="case c1: record 2: it opened case c1/kid, which is not in the export"
    ) as no:
        await import_cases(target, imported(alone))
    assert str(no.value).endswith("nor here; export it too")
    assert (await target.cases(), await target.artifact(digest(PAPER).hex())) == ([], None)
    for text in (below, alone):
        await import_cases(target, imported(text))
    assert await verify(target) == []


async def test_a_case_that_has_not_ended_is_not_imported_by_accident() -> None:
    text, target = await exported(await waiting()), MemoryStore()
    with pytest.raises(ExportOngoing, match="go on here as well"):
        await import_cases(target, imported(text))
    assert await target.case(KEY) is None


async def test_a_case_that_was_taken_over_goes_on_where_it_is_now() -> None:
    source, target = await waiting(), MemoryStore()
    text = await exported(source)
    await import_cases(target, imported(text), take_over=True)
    assert await exported(target) == text
    assert [each.id for each in (await whole(target)).reviews] == [each.id for each in (await whole(source)).reviews]
    with anyio.fail_after(5):
        async with runtime(STAFF, target) as machine:
            [review] = await target.reviews(state="open")
            await machine.decide(review.id, ReviewAction.APPROVE, by="ann")
            await machine.deliver("paper", by="bob")
            row = await machine.wait(KEY.case_id)
    assert row.status is CaseStatus.CLOSED
    assert await value(target) == "ann bob"


async def test_a_decision_that_the_case_has_not_read_travels_with_it() -> None:
    source, target = await waiting(), MemoryStore()
    [review] = await source.reviews(state="open")
    async with runtime(STAFF, source) as machine:
        await machine.node.drain(1.0)
        await machine.decide(review.id, ReviewAction.APPROVE, by="ann")
    assert (await whole(source)).inbox[-1].kind == "decided"
    await import_cases(target, imported(await exported(source)), take_over=True)
    [taken] = await target.reviews()
    assert (taken.state, taken.decision) == ("decided", (await source.reviews())[0].decision)


async def test_a_case_that_is_there_is_never_replaced() -> None:
    source = await finished()
    text = await exported(source)
    with pytest.raises(CaseThere, match="c1 is here already"):
        await import_cases(source, imported(text))
    assert await exported(source) == text


BREAKS: dict[str, Change] = {
    "a changed step": lambda made: made["cases"][0]["records"][1].update(step_id="other"),
    "a frame of another record": lambda made: made["cases"][0]["records"][1].update(
        frame=made["cases"][0]["records"][2]["frame"]
    ),
    "a cut tail": lambda made: made["cases"][0]["records"].pop(),
    "another result": lambda made: made["cases"][0].update(result="failed"),
    "another head": lambda made: made["cases"][0].update(head="00" * 32),
    "other bytes under a file's hash": lambda made: made["artifacts"][0].update(data="b3RoZXI="),
    "a wait of no kind": lambda made: made["cases"][0]["waits"].append(
        {"key": "k", "kind": "x", "reason": "", "due": 0}
    ),
    "a closed case that waits": lambda made: made["cases"][0]["waits"].append(
        {"key": "k", "kind": "evidence", "reason": "", "due": 0}
    ),
    "an epoch before its records'": lambda made: made["cases"][0].update(epoch=0),
    "no inbox": lambda made: made["cases"][0].pop("inbox"),
    "an inbox of other things": lambda made: made["cases"][0].update(inbox=["x"]),
    "another chapter": lambda made: made["cases"][0].update(chapter=2),
    "a name that no file can hold": lambda made: made["cases"][0]["inbox"][0].update(id="\ud800"),
    "no case": lambda made: made.update(cases=[], with_children=False),
    "a case that is no case": lambda made: made.update(cases=["case"]),
}


@pytest.mark.parametrize("wrong", BREAKS)
async def test_what_is_not_as_it_was_written_is_refused_before_the_store_is_touched(wrong: str) -> None:
    text = await exported(await finished())
    with pytest.raises(ExportInvalid, match="nothing was imported"):
        imported(changed(text, BREAKS[wrong]))


#: What `casework verify` would say of the store right after.
UNFIT: dict[str, tuple[Callable[[], Any], Change]] = {
    "it waits for nothing": (waiting, lambda made: made["cases"][0].update(waits=[])),
    "another key": (waiting, lambda made: made["cases"][0]["waits"][0].update(key="x", kind="evidence")),
    "a message that cannot be read": (waiting, lambda made: made["cases"][0]["inbox"][-1].update(frame="AA==")),
    "a message twice": (waiting, lambda made: made["cases"][0]["inbox"].append(made["cases"][0]["inbox"][-1])),
    "nothing that it got": (finished, lambda made: made["cases"][0].update(inbox=[])),
    "more owners than there can be": (waiting, lambda made: made["cases"][0].update(epoch=2**63 - 1)),
    "another thing that it got": (finished, lambda made: made["cases"][0]["inbox"][0].update(id="x")),
}


@pytest.mark.parametrize("wrong", UNFIT)
async def test_what_verify_would_find_right_after_is_refused(wrong: str) -> None:
    make, change = UNFIT[wrong]
    text = await exported(await make())
    assert imported(text).notes == ()
    with pytest.raises(ExportInvalid, match="nothing was imported: case c1: "):
        imported(changed(text, change))


@pytest.mark.parametrize("case_id", ["\x1b[31m", "a\n0 cases, all fine", "\x00", "é", "a//b", "x" * 101])
def test_a_case_whose_id_no_case_can_have_is_refused(case_id: str) -> None:
    with pytest.raises(ExportInvalid, match="no case has such a name") as caught:
        imported(named_so(case_id))
    assert str(caught.value).isprintable()


async def test_a_file_that_is_not_in_the_export_is_told() -> None:
    source = await finished()
    assert imported(await exported(source)).notes == ()
    text = await exported(source, with_artifacts=False)
    for left_out in (text, changed(text, lambda made: made["artifacts"][0].pop("data"))):
        assert imported(left_out).notes == ("1 delivered files that the cases name are not in the export",)


async def test_what_nothing_covers_after_retention_is_told() -> None:
    transfer = await whole(await finished())
    bare = msgspec.structs.replace(transfer, records=tuple(map(without_frame, transfer.records)), reviews=())
    (note,) = imported(export_text([bare], {})).notes
    assert note.startswith("case c1: nothing covers its crew, flow, parent, result, source_hash, version any more")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"{}", b'{"format": "casework-export", "version": 2}', b"\xff\xfe", b"[" * 9_000]
)
def test_what_is_no_export_is_refused(text: bytes) -> None:
    with pytest.raises(ExportInvalid, match="nothing was imported"):
        imported(text)


async def test_a_store_that_cannot_give_or_take_whole_cases_says_so() -> None:
    class Plain:
        url = "plain:"

    what: Any = Plain()
    text = await exported(await finished())
    with pytest.raises(ArchiveMissing, match="plain:"):
        await export_case(what, "plain:", KEY)
    with pytest.raises(ArchiveMissing, match="plain:"):
        await import_cases(what, imported(text))


async def test_an_absent_case_cannot_be_exported() -> None:
    with pytest.raises(KeyError):
        await export_case(MemoryStore(), "memory:", KEY)


@pytest.mark.parametrize("make", [finished, waiting])
async def test_a_row_is_a_fold_of_its_log(make: Callable[[], Any]) -> None:
    store = await make()
    for row in await store.cases():
        transfer = await whole(store, row.key)
        folded = fold(row.key, transfer.records)
        assert [getattr(folded, name) for name in COLUMNS] == [getattr(row, name) for name in COLUMNS]
        assert folded.closed is (row.status is CaseStatus.CLOSED)
        assert folded.epoch_min <= row.epoch
        for made, kept in zip(folded.reviews, transfer.reviews, strict=True):
            assert (made.id, made.state, made.frame, made.decision) == (kept.id, kept.state, kept.frame, kept.decision)
