"""Pages on the disk of a PostgreSQL server that cannot be read: a node outlives them, and goes on with what it can."""

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from postgres_server import PostgresServer
from store_support import NODE, arrived, claimed, key_of

from casework.protocols.codec import digest, encode, pack
from casework.protocols.records import Arrived, Halted
from casework.runtime.errors import StoreUnavailable
from casework.runtime.flow.case import Case
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import CaseKey, CaseStatus, Unavailable, WaitKind
from casework.runtime.store.generation import GENERATION
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.store.verify import NOBODY, verify
from tests.support.flow_scene import KEY, Ask, crew, entries, runtime
from tests.support.manual_clock import ManualClock

NUMBERS = count()
PAGE = 8192
#: Texts of a case, in its log and in its inbox.
PARTS = 50
SAYS = "invalid page in block 0"
HIT, WELL = CaseKey("default", "hit"), CaseKey("default", "well")
#: In hundredths of a second: some renewals and claims more that are refused.
STEPS = 600


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def schema() -> str:
    return f"damage_{next(NUMBERS)}"


@pytest.fixture
def url(postgres: PostgresServer, schema: str) -> str:
    return postgres.url(schema)


@contextmanager
def damaged(postgres: PostgresServer, relation: str) -> Iterator[Callable[[], None]]:
    """Have the first page of a table be no page; gives what puts it back."""
    asked = f"SELECT current_setting('data_directory') || '/' || pg_relation_filepath({relation})"
    path = Path(postgres.psql(asked))
    postgres.psql("CHECKPOINT")
    assert path.stat().st_size, "there is something in it"
    # Once it has stopped in good order no page is anywhere but in its file.
    postgres.stop(signal.SIGINT)
    page = path.read_bytes()[:PAGE]
    _write(path, b"\xa5" * PAGE)
    postgres.start()
    try:
        yield lambda: _write(path, page)
    finally:
        _write(path, page)


def _write(path: Path, page: bytes) -> None:
    with path.open("r+b") as file:
        file.write(page)


def table(name: str) -> str:
    return f"'{{schema}}.\"{name}\"'::regclass"


def toast(name: str) -> str:
    return f"(SELECT reltoastrelid FROM pg_class WHERE oid = {table(name)})"


async def asks(case: Case, inputs: Ask) -> str:
    await case.note("begun")
    await case.park("receipt", reason="it is not there")
    return "done"


@pytest.mark.promise("NODE-1")
@pytest.mark.parametrize("name", ["setting", "case", "node", "record", "inbox", "wait"])
async def test_a_node_outlives_a_table_that_cannot_be_read_for_a_while_and_loses_nothing(
    postgres: PostgresServer, url: str, schema: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock(World().clock.wall_micros() / MICROS)
    with anyio.fail_after(30):
        async with runtime(crew(asks), url, clock) as machine:
            await machine.open("asks", "c1", Ask())
            await machine.wait("c1")
            await machine.deliver("c1", by="ann", key="other")
            await machine.wait_idle()
            harm = damaged(postgres, table(name).format(schema=schema))
            mend = await anyio.to_thread.run_sync(harm.__enter__)
            delivering = await machine.store.deliver(*KEY, "m1", arrived())
            while SAYS not in caplog.text:
                await step(clock)
            for _ in range(STEPS):
                await step(clock)
            await anyio.to_thread.run_sync(mend)
            while isinstance(delivering, Unavailable):
                await step(clock)
                delivering = await machine.store.deliver(*KEY, "m1", arrived())
            while (await machine.store.cases())[0].status is not CaseStatus.CLOSED:
                await step(clock)
            assert await verify(machine.store) == []


async def step(clock: ManualClock) -> None:
    """Let a little time pass, less than an answer of the server takes."""
    clock.advance(0.01)
    await anyio.lowlevel.checkpoint()


@pytest.mark.promise("NODE-1")
@pytest.mark.parametrize("name", ["setting", "case"])
async def test_what_a_node_reads_for_itself_is_unavailable_where_it_cannot_be_read_and_told(
    postgres: PostgresServer, url: str, schema: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = await open_store(url, World())
    await claimed(store, "c")
    with damaged(postgres, table(name).format(schema=schema)) as mend:
        await until(lambda: store.artifact(""))
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=SAYS):
                await (store.held(NODE) if name == "case" else store.setting(GENERATION))
        assert caplog.text.count(SAYS) == 1
        mend()
        assert await store.held(NODE) == [key_of("c")]
        assert await store.setting(GENERATION)
    await store.aclose()


async def until(answered: Callable[[], Awaitable[object]]) -> None:
    """Ask until there is an answer: connections end with their server."""
    with anyio.fail_after(10):
        while True:
            with suppress(StoreUnavailable):
                await answered()
                return


async def waits(case: Case, inputs: Ask) -> int:
    for number in range(PARTS):
        await case.note(noise(number, inputs.n))
    await case.park("go", reason="waits")
    return inputs.n


def noise(seed: int, length: int) -> str:
    """Give a text that no server can make shorter."""
    return "".join(digest(f"{seed} {number}".encode()).hex() for number in range(length // 64))


#: Where the first page holds nothing but what is one case's: how long each of its texts is, and where they are kept.
OF_ONE_CASE = {
    "its log": (64, table("record"), "its log"),
    "long records": (6_000, toast("record"), "its log"),
    "a long message": (6_000, toast("inbox"), "its inbox"),
}


@pytest.mark.promise("FLOW-6")
@pytest.mark.parametrize("what", OF_ONE_CASE)
async def test_a_case_of_which_something_cannot_be_read_parks_and_says_so_and_the_others_go_on(
    postgres: PostgresServer, url: str, schema: str, what: str
) -> None:
    length, relation, said = OF_ONE_CASE[what]
    async with runtime(crew(waits), url) as machine:
        for key, each in ((HIT, length), (WELL, 640)):
            await machine.open("waits", key.case_id, Ask(each))
            await machine.wait(key.case_id)
    store = await open_store(url, World())
    for number in range(PARTS):
        frame = encode(Arrived(key="other", message_id=f"m{number}", by="ann", value=pack(noise(number, length))))
        await store.deliver(*HIT, f"m{number}", frame)
    for key in (HIT, WELL):
        await store.deliver(*key, "m", arrived("m", "go"))
    await store.aclose()
    with damaged(postgres, relation.format(schema=schema)) as mend, anyio.fail_after(30):
        async with runtime(crew(waits), url) as machine:
            assert (await machine.wait("well")).status is CaseStatus.CLOSED
            await machine.wait_idle()
            row = next(row for row in await machine.store.cases() if row.key == HIT)
            assert (row.status, row.waits[0].kind) == (CaseStatus.PARKED, WaitKind.OPERATOR)
            assert f"{said} cannot be read: invalid page" in row.waits[0].reason
        reader = await open_reader(url, World())
        assert {finding.key for finding in await verify(reader)} <= {HIT, NOBODY}
        await reader.aclose()
        mend()
        async with runtime(crew(waits), url) as machine:
            await machine.wait_idle()
            # It rests: nobody takes it again and again.
            assert len(await entries(machine.store, Halted, HIT)) == 1
            assert await verify(machine.store) == []
            await machine.deliver("hit", by="ann", key="operator:hit")
            while (row := await machine.wait("hit")).status is not CaseStatus.CLOSED:
                await anyio.lowlevel.checkpoint()
