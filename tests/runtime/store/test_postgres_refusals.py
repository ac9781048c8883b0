"""What a PostgreSQL server refuses for reasons that may pass: nobody dies of it, and nothing is lost."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from itertools import count

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from postgres_server import PASSWORD, PostgresServer
from store_support import NODE, NOW, TENANT, arrived, claimed, evidence, key_of, note, parked, there

from casework.runtime.errors import StoreInvalid, StoreUnavailable
from casework.runtime.flow.case import Case
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import Append, Appended, CaseStatus, Delivered, Store, Unavailable
from casework.runtime.store.postgres_complaints import SILENCE_SECONDS, Complaints
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.store.verify import verify
from tests.support.flow_scene import KEY, Ask, crew, runtime
from tests.support.manual_clock import ManualClock

NUMBERS = count()
ROLE = "clerk"
#: In hundredths of a second: some renewals and claims more that are refused.
STEPS = 300


@dataclass(frozen=True)
class Harm:
    """Something that is done to a table of a schema, and undone."""

    done: str
    undone: str
    says: str


def raising(table: str, event: str, code: str) -> Harm:
    body = f"begin raise exception 'boom' using errcode = '{code}'; end"
    return Harm(
        f"CREATE FUNCTION {{schema}}.boom() RETURNS trigger LANGUAGE plpgsql AS $${body}$$;"
        f'CREATE TRIGGER boom BEFORE {event} ON {{schema}}."{table}" FOR EACH ROW EXECUTE FUNCTION {{schema}}.boom()',
        f'DROP TRIGGER boom ON {{schema}}."{table}"',
        "boom",
    )


def renamed(table: str) -> Harm:
    there, away = f'{{schema}}."{table}"', f'{{schema}}."{table}_away"'
    done = f'ALTER TABLE {there} RENAME TO "{table}_away"'
    return Harm(done, f'ALTER TABLE {away} RENAME TO "{table}"', f'"{table}" does not exist')


def revoked(table: str) -> Harm:
    owned = f'ALTER TABLE {{schema}}."{table}" OWNER TO'
    return Harm(f"{owned} casework", f"{owned} {ROLE}", f"permission denied for table {table}")


def put_back(done: str, undone: str, says: str) -> Harm:
    """Something that is done as a dump is put back, which ends connections first."""
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'"
    return Harm(f"BEGIN; {done}; COMMIT; {ended}", undone, says)


HARMS = {
    "a fault of the server's own as a record is written": raising("record", "INSERT", "XX000"),
    "a fault of the server's own as a lease is renewed": raising("node", "INSERT OR UPDATE", "XX000"),
    "a trigger that raises as a case changes": raising("case", "UPDATE", "P0001"),
    "a trigger that finds a value wrong as a lease is renewed": raising("node", "INSERT OR UPDATE", "22000"),
    "a trigger that finds a value wrong as the mark is counted": raising("setting", "UPDATE", "23514"),
    "no table of nodes": renamed("node"),
    "no table of cases": renamed("case"),
    "no table of settings": renamed("setting"),
    "no right to the nodes": revoked("node"),
    "no right to the records": revoked("record"),
    "no right to the inboxes": revoked("inbox"),
    "nothing in its schema, for a dump is put back": put_back(
        f"ALTER SCHEMA {{schema}} RENAME TO {{schema}}_away; CREATE SCHEMA {{schema}} AUTHORIZATION {ROLE}",
        "DROP SCHEMA {schema}; ALTER SCHEMA {schema}_away RENAME TO {schema}",
        "its tables are gone",
    ),
    "nothing in its tables yet, for a dump is put back": put_back(
        "CREATE TABLE {schema}.kept AS TABLE {schema}.casework_version; DELETE FROM {schema}.casework_version",
        "INSERT INTO {schema}.casework_version TABLE {schema}.kept; DROP TABLE {schema}.kept",
        "its tables are there without their version",
    ),
}
#: What keeps a record from being written, and lies in none of its values.
PASSING = [name for name in HARMS if "record" in name]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def schema(postgres: PostgresServer) -> str:
    """A schema of somebody who may lose a right to it."""
    if not postgres.psql(f"SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}'"):
        postgres.psql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
    schema = f"refusals_{next(NUMBERS)}"
    postgres.psql(f"CREATE SCHEMA {schema} AUTHORIZATION {ROLE}")
    return schema


@pytest.fixture
def url(postgres: PostgresServer, schema: str) -> str:
    return postgres.url(schema).replace("//casework:", f"//{ROLE}:")


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = await open_store(url, World())
    yield store
    await store.aclose()


async def asks(case: Case, inputs: Ask) -> str:
    await case.note("begun")
    await case.park("receipt", reason="it is not there")
    return "done"


@pytest.mark.promise("STORE-11")
@pytest.mark.parametrize("name", HARMS)
async def test_a_node_outlives_whatever_its_server_refuses_for_a_while_and_loses_nothing(
    postgres: PostgresServer, url: str, schema: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    harm, clock = HARMS[name], ManualClock(World().clock.wall_micros() / MICROS)
    with anyio.fail_after(20):
        async with runtime(crew(asks), url, clock) as machine:
            await machine.open("asks", "c1", Ask())
            await machine.wait("c1")
            await anyio.to_thread.run_sync(postgres.psql, harm.done.format(schema=schema))
            delivering = await machine.store.deliver(*KEY, "m1", arrived())
            while harm.says not in caplog.text:
                await step(clock)
            for _ in range(STEPS):
                await step(clock)
            await anyio.to_thread.run_sync(postgres.psql, harm.undone.format(schema=schema))
            while isinstance(delivering, Unavailable):
                await step(clock)
                delivering = await machine.store.deliver(*KEY, "m1", arrived())
            while (row := await machine.store.case(KEY)) is None or row.status is not CaseStatus.CLOSED:
                await step(clock)
            assert await verify(machine.store) == []
    assert caplog.text.count(harm.says) == 1


async def step(clock: ManualClock) -> None:
    """Let a little time pass, less than an answer of the server takes."""
    clock.advance(0.01)
    await anyio.lowlevel.checkpoint()


@pytest.mark.promise("STORE-9")
@pytest.mark.parametrize("name", PASSING)
async def test_an_append_that_is_refused_for_a_while_is_unavailable_and_then_taken(
    store: Store, postgres: PostgresServer, schema: str, name: str
) -> None:
    row, harm = await claimed(store, "c"), HARMS[name]
    append = Append(row.key, 1, 1, (note(1),))
    await anyio.to_thread.run_sync(postgres.psql, harm.done.format(schema=schema))
    assert await store.append(append) == Unavailable(harm.says)
    await anyio.to_thread.run_sync(postgres.psql, harm.undone.format(schema=schema))
    assert await store.append(append) == Appended()
    assert await verify(store) == []


@pytest.mark.promise("STORE-9")
@pytest.mark.parametrize("code", ["22000", "23514", "54000"])
async def test_what_lies_in_the_values_is_told_to_who_gave_them(
    store: Store, postgres: PostgresServer, schema: str, code: str
) -> None:
    row, harm = await claimed(store, "c"), raising("record", "INSERT", code)
    await anyio.to_thread.run_sync(postgres.psql, harm.done.format(schema=schema))
    with pytest.raises(StoreInvalid, match=r"does not take this \(boom\)"):
        await store.append(Append(row.key, 1, 1, (note(1),)))
    assert (await there(store, "c")).next_seq == 1


async def test_who_is_refused_takes_nobody_else_along(store: Store, postgres: PostgresServer, schema: str) -> None:
    row, harm = await claimed(store, "c"), raising("record", "INSERT", "XX000")
    await parked(store, "waits", evidence("receipt"))
    await anyio.to_thread.run_sync(postgres.psql, harm.done.format(schema=schema))
    answers: list[object] = []

    async def append() -> None:
        answers.append(await store.append(Append(row.key, 1, 1, (note(1),))))

    async def deliver() -> None:
        answers.append(await store.deliver(TENANT, "receipt", "m1", arrived()))

    async with anyio.create_task_group() as group:
        group.start_soon(append)
        group.start_soon(deliver)
        group.start_soon(partial(store.renew, NODE, until=NOW + MICROS))
    assert Unavailable(harm.says) in answers
    assert Delivered((key_of("waits"),)) in answers


async def test_a_login_that_is_refused_while_a_store_is_open_may_pass(
    store: Store, postgres: PostgresServer, url: str
) -> None:
    reader = await open_reader(url, World())
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'"
    await anyio.to_thread.run_sync(postgres.psql, f"ALTER ROLE {ROLE} NOLOGIN; {ended}")
    try:
        for each in (store, reader):
            with pytest.raises(StoreUnavailable, match="the server refuses"):
                await each.cases()
        with pytest.raises(StoreInvalid, match="the server refuses"):
            await open_reader(url, World())
    finally:
        await anyio.to_thread.run_sync(postgres.psql, f"ALTER ROLE {ROLE} LOGIN")
    assert await store.cases() == await reader.cases() == []
    await reader.aclose()


async def test_a_schema_without_rights_cannot_be_opened(postgres: PostgresServer, url: str, schema: str) -> None:
    await (await open_store(url, World())).aclose()
    await anyio.to_thread.run_sync(postgres.psql, HARMS["no right to the nodes"].done.format(schema=schema))
    await anyio.to_thread.run_sync(postgres.psql, revoked("casework_version").done.format(schema=schema))
    for way in (open_store, open_reader):
        with pytest.raises(StoreInvalid, match="permission denied"):
            await way(url, World())


def test_a_reason_is_told_once_as_long_as_it_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    complaints = Complaints("the store", clock)
    for _ in range(3):
        complaints.hear("no right")
        clock.advance(SILENCE_SECONDS)
    complaints.hear("no table")
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == ["no right", "no table"]
    clock.advance(2 * SILENCE_SECONDS)
    complaints.hear("no right")
    assert len(caplog.records) == 3
