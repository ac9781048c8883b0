"""Whose case it is stands in its first record, and in that of every case and chapter that grows out of it."""

import anyio

from casework.protocols.codec import decode_entry, encode
from casework.protocols.records import Chapter, Opened
from casework.runtime.flow.case import Case
from casework.runtime.flow.reading import reopened
from casework.runtime.store.base import CaseKey
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, Ask, crew, entries, runtime

KID = CaseKey("default", "kid")


async def parent(case: Case, inputs: Ask) -> None:
    await case.open("kid", "kid", Ask())
    if not inputs.n:
        await case.next_chapter(Ask(1))


async def kid(case: Case, inputs: Ask) -> None:
    """Do nothing."""


async def test_a_child_and_a_new_chapter_are_of_the_project_and_user_of_their_case() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(parent, kid), store) as machine:
            await machine.open("parent", "c1", Ask(), project="x/y", user="ann")
            await machine.wait_idle()
    [opened] = await entries(store, Opened)
    [chapter] = await entries(store, Chapter)
    [below] = await entries(store, Opened, KID)
    assert {(each.project, each.user) for each in (opened, chapter, below, reopened(chapter))} == {("x/y", "ann")}


async def test_a_case_without_a_project_says_nothing_of_one() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(kid), store) as machine:
            await machine.open("kid", "c1", Ask())
            await machine.wait_idle()
    [record, *_] = await store.records(KEY)
    assert b"project" not in record.frame
    assert b"user" not in record.frame
    assert encode(decode_entry(record.frame)) == record.frame
