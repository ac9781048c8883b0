"""Keys and message ids that some store could not keep: whoever gives one hears so at once, and nothing comes of it.

It does not know which store could.
"""

import anyio
import pytest

from casework.runtime.flow.case import Case
from casework.runtime.store.base import CaseStatus, Delivered
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.rules import KEY_BYTES_MAX, key_fault, keyed
from tests.support.flow_scene import KEY, Ask, crew, runtime

#: What is no key, and what is said of it.
UNFIT = {
    "": "has 1 to 1000 bytes of UTF-8, not 0 as ''",
    "a\0b": r"has no NUL and no half of a character, as 'a\x00b' has at place 1",
    "caf\udce9": r"has no NUL and no half of a character, as 'caf\udce9' has at place 3",
    "é" * 501: "has 1 to 1000 bytes of UTF-8, not 1002 as ",
}


async def waits(case: Case, inputs: Ask) -> str:
    return (await case.park("k" * KEY_BYTES_MAX, reason="waits")).message_id


@pytest.mark.parametrize("text", UNFIT, ids=ascii)
def test_what_is_no_key_is_told_with_place_or_length_and_not_in_full(text: str) -> None:
    why = key_fault("a key", text)
    assert why.startswith(f"a key {UNFIT[text]}")
    assert why.isascii()
    assert len(why) < 1_000
    with pytest.raises(ValueError, match="a key has"):
        keyed("a key", text)


async def test_a_flow_waits_for_the_longest_key_and_takes_the_longest_message_id() -> None:
    longest = "k" * KEY_BYTES_MAX
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(waits), store) as machine:
            await machine.open("waits", "c1", Ask())
            await machine.wait("c1")
            assert await machine.deliver(longest, by="ann", message_id=longest) == Delivered((KEY,))
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED


@pytest.mark.parametrize("given", ["target", "key", "message_id"])
@pytest.mark.parametrize("text", ["a\0b", "caf\udce9", "k" * 2_501])
async def test_who_delivers_what_no_store_can_keep_is_told_so_and_nothing_is_kept(given: str, text: str) -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(waits), store) as machine:
            await machine.open("waits", "c1", Ask())
            await machine.wait("c1")
            terms = {"target": "c1", "key": "other", "message_id": "m1", given: text}
            with pytest.raises(ValueError, match=f"a {given.replace('_', ' ')} has"):
                await machine.deliver(by="ann", data=b"paper", **terms)
            assert list(await store.inbox(KEY)) == []
            assert not store._artifacts


async def test_a_message_id_is_no_longer_than_a_key() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(waits)) as machine:
            with pytest.raises(ValueError, match="a message id has 1 to 1000 bytes"):
                await machine.deliver("c1", key="k", by="ann", message_id="m" * 1_001)
