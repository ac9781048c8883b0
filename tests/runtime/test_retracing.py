"""A case is led through its flow once more from its log alone, and the first thing that is different is told."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from casework.protocols.codec import decode_entry, encode
from casework.protocols.records import CaseResult, Chapter, Closed
from casework.runtime.errors import CallFailed
from casework.runtime.flow.case import Case, Flow
from casework.runtime.flow.reading import Reader
from casework.runtime.retracing import Retraced, retraced
from casework.runtime.seams import World
from casework.runtime.store.base import Record
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, Ask, crew, runtime
from tests.support.saga_scene import World as Outside
from tests.support.saga_scene import finish, gone


async def plain(case: Case, inputs: Ask) -> str:
    await case.note("begin")
    return "end"


async def another_value(case: Case, inputs: Ask) -> str:
    await case.note("begin")
    return "another end"


async def goes_on(case: Case, inputs: Ask) -> str:
    await case.note("begin")
    await case.note("more")
    return "end"


async def waits(case: Case, inputs: Ask) -> str:
    await case.note("begin")
    await case.sleep(60)
    return "end"


async def fails(case: Case, inputs: Ask) -> str:
    await case.note("begin")
    raise ValueError(inputs.n)


async def begins_otherwise(case: Case, inputs: Ask) -> str:
    await case.note("start")
    return "end"


async def chapters(case: Case, inputs: Ask) -> int:
    await case.note(f"page {inputs.n}")
    if inputs.n < 3:
        await case.next_chapter(Ask(inputs.n + 1))
    return inputs.n


async def other_chapters(case: Case, inputs: Ask) -> int:
    await case.note(f"page {inputs.n}")
    if inputs.n < 3:
        await case.next_chapter(Ask(inputs.n + (1 if inputs.n != 1 else 2)))
    return inputs.n


async def log_of(function: Any) -> MemoryStore:
    """Run a flow to its end, or until it waits."""
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(function), store) as machine:
            await machine.open(function.__name__, "c1", Ask(0))
            await machine.wait("c1")
    return store


async def retrace(store: MemoryStore, was: Any, now: Any) -> Retraced:
    """Lead a case that ran one function through another one, which says that it is the same."""
    row = await store.case(KEY)
    assert row is not None
    flow = Flow(was.__name__, row.version, now, Ask, row.source_hash)
    return retraced(Reader({flow.name: flow}, World(), ""), row, await store.records(KEY))


async def test_a_flow_that_does_what_its_log_says_is_told_so() -> None:
    assert await retrace(await log_of(plain), plain, plain) == Retraced(3, 1)
    assert await retrace(await log_of(waits), waits, waits) == Retraced(3, 1, waits=("timer",))
    assert await retrace(await log_of(chapters), chapters, chapters) == Retraced(9, 4)


@pytest.mark.promise("FLOW-44")
@pytest.mark.parametrize(
    ("was", "now", "difference"),
    [
        (plain, another_value, "record 2 is closed, but the flow ends with another closed"),
        (plain, goes_on, "record 2 is closed, but the flow goes on: noted at step note#1"),
        (plain, waits, "record 2 is closed, but the flow goes on: timer at step timer"),
        (plain, fails, "record 2 is closed, but the flow ends with another closed"),
        (plain, begins_otherwise, "ReplayMismatch"),
        (chapters, other_chapters, "record 4 is chapter, but the flow ends with another chapter"),
        (chapters, plain, "ReplayMismatch"),
    ],
)
async def test_the_first_thing_that_a_flow_does_otherwise_is_told(was: Any, now: Any, difference: str) -> None:
    told = await retrace(await log_of(was), was, now)
    assert told.difference.startswith(difference), told.difference


async def test_chapters_whose_contents_are_no_longer_kept_are_counted_and_the_others_retraced() -> None:
    store = await log_of(chapters)
    row, records = await store.case(KEY), await store.records(KEY)
    assert row is not None
    bare = [replace(each, frame=b"", frame_hash=b"?" * 32) if 0 < each.seq < 4 else each for each in records]
    flow = Flow("chapters", row.version, chapters, Ask, row.source_hash)
    assert retraced(Reader({"chapters": flow}, World(), ""), row, bare) == Retraced(5, 2, unread=2)


async def naps(case: Case, inputs: Ask) -> int:
    if inputs.n < 1:
        await case.sleep(0)
        await case.next_chapter(Ask(1))
    return inputs.n


@pytest.mark.promise("FRAME-9")
async def test_a_chapter_that_an_earlier_release_began_does_not_say_for_what_was_waited_and_is_the_same() -> None:
    store = await log_of(naps)
    assert await retrace(store, naps, naps) == Retraced(5, 2)
    row, records = await store.case(KEY), list(await store.records(KEY))
    chapter = decode_entry(records[3].frame)
    assert row is not None
    assert isinstance(chapter, Chapter)
    assert chapter.waited
    records[3] = replace(records[3], frame=encode(replace(chapter, waited=0)))
    flow = Flow("naps", row.version, naps, Ask, row.source_hash)
    assert retraced(Reader({"naps": flow}, World(), ""), row, records) == Retraced(5, 2)


async def test_a_flow_that_the_crew_does_not_have_is_named() -> None:
    store = await log_of(plain)
    row = await store.case(KEY)
    assert row is not None
    told = retraced(Reader({}, World(), ""), row, await store.records(KEY))
    assert "the crew has no flow of that name" in told.difference


async def accepted(case: Case, inputs: Ask) -> str:
    if inputs.n == 0:
        try:
            async with case.saga():
                await case.call("pay", {"n": 1}, returns=int)
                await case.call("mail", {"n": 2}, returns=int)
        except CallFailed:
            await case.next_chapter(Ask(1))
    return "done"


def as_it_was(record: Record) -> Record:
    """Give a record as a release wrote it in which a chapter forgot what a person had accepted before it."""
    entry = decode_entry(record.frame)
    if isinstance(entry, Chapter):
        return replace(record, frame=encode(replace(entry, partial=False)))
    if isinstance(entry, Closed):
        return replace(record, frame=encode(replace(entry, result=CaseResult.COMPLETED)))
    return record


@pytest.mark.promise("FLOW-44")
@pytest.mark.parametrize("written", [as_it_was, lambda record: record])
async def test_a_chapter_that_forgot_what_was_accepted_before_it_is_retraced_like_one_that_did_not(
    written: Callable[[Record], Record],
) -> None:
    store = MemoryStore()
    await finish(Outside(mail=gone()).staff(accepted), "accepted", store)
    row, records = await store.case(KEY), await store.records(KEY)
    assert row is not None
    flow = Flow("accepted", row.version, accepted, Ask, row.source_hash)
    told = retraced(Reader({"accepted": flow}, World(), ""), row, [written(record) for record in records])
    assert told == Retraced(len(records), 2)
