"""The short way into a SQLite file: few statements for a batch, and the same answers and rows as by the long one."""

import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from store_support import NODE, NOW, evidence, key_of, note, opening

from casework.runtime.seams import World
from casework.runtime.store import changes
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseExists,
    CaseOpened,
    CaseStatus,
    Conflict,
    Fenced,
    Opening,
    Unavailable,
)
from casework.runtime.store.connections import MACHINE, connect_owner
from casework.runtime.store.sqlite import SqliteStore
from casework.runtime.store.sqlite_call import Call
from casework.runtime.store.sqlite_quick import KNOWN_MAX, Quick, Stale
from casework.runtime.store.urls import open_store
from casework.runtime.store.verify import verify

#: Cases are numbered as they come, and which of one batch comes first is nobody's business.
ROWS = (
    'SELECT c.*, 0 AS no FROM "case" c ORDER BY c.case_id',
    'SELECT c.case_id, r.*, 0 AS case_no FROM record r JOIN "case" c ON c.no = r.case_no ORDER BY c.case_id, r.seq',
    'SELECT c.case_id, w.*, 0 AS case_no FROM wait w JOIN "case" c ON c.no = w.case_no ORDER BY c.case_id, w.place',
    'SELECT c.case_id, i.*, 0 AS case_no FROM inbox i JOIN "case" c ON c.no = i.case_no ORDER BY c.case_id, i.id',
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await opened(tmp_path / "cases.db")
    yield store
    await store.aclose()


async def opened(path: Path) -> SqliteStore:
    store = await open_store(f"sqlite:///{path}", World())
    assert isinstance(store, SqliteStore)
    return store


def taking(name: str) -> Opening:
    # Each at its own moment, for what is claimed first is what is oldest.
    return replace(opening(key_of(name), at=NOW + ord(name[0])), node=NODE)


def step(name: str, seq: int = 1, count: int = 1, **more: object) -> Append:
    append = Append(key_of(name), 1, seq, tuple(note(seq + offset) for offset in range(count)))
    return replace(append, **more)


async def together(store: SqliteStore, *asked: Append | Opening) -> list[object]:
    """Append and open at once; give the answers in order, or what was raised."""
    answers: dict[int, object] = {}

    async def ask(place: int, what: Append | Opening) -> None:
        try:
            answers[place] = await (store.append(what) if isinstance(what, Append) else store.open_case(what))
        except UnicodeEncodeError as error:
            answers[place] = type(error)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for place, each in enumerate(asked):
                group.start_soon(ask, place, each)
    return [answers[place] for place in range(len(asked))]


def test_a_batch_of_openings_or_of_appends_takes_a_few_statements(tmp_path: Path) -> None:
    quick, sent = Quick(), list[str]()
    with closing(connect_owner(str(tmp_path / "cases.db"), "sqlite:///cases.db", MACHINE)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.set_trace_callback(lambda text: sent.append(" ".join(text.split()[:3])))
        openings: list[Call[object]] = [Call(None, opening=taking(f"c{number}")) for number in range(64)]
        assert quick.write(connection, openings, []) == []
        assert sent == ['INSERT INTO "case"', "SELECT max(no) FROM", "INSERT INTO record"]
        appends: list[Call[object]] = [Call(None, append=step(f"c{number}", count=2)) for number in range(64)]
        assert quick.write(connection, appends, []) == []
        assert sent[3:] == ['UPDATE "case" AS', "INSERT INTO record", "INSERT INTO record"]
        assert all(call.value == Appended() for call in appends)


def test_long_records_go_one_by_one_for_a_statement_keeps_what_it_wrote_last(tmp_path: Path) -> None:
    sent: list[str] = []
    frames = [b"short"] * 4 + [bytes(40_000)] * 3
    with closing(connect_owner(str(tmp_path / "cases.db"), "sqlite:///cases.db", MACHINE)) as connection:
        connection.set_trace_callback(sent.append)
        rows = [(1, seq, 1, "noted", "", NOW, frame, b"") for seq, frame in enumerate(frames)]
        changes.RECORDS.execute(connection, rows)
        assert [text.count("noted") for text in sent] == [4, 1, 1, 1]


async def test_a_log_of_many_records_is_written_where_a_statement_takes_few_values(store: SqliteStore) -> None:
    await store._writer.read(lambda link: link.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999))
    names = [f"c{number}" for number in range(100)]
    assert await together(store, *map(taking, names)) == [CaseOpened(key_of(name)) for name in names]
    assert await together(store, *(step(name, count=300) for name in names[:3])) == [Appended()] * 3
    assert await verify(store) == []


def test_a_case_whose_number_is_not_the_next_one_goes_the_long_way(tmp_path: Path) -> None:
    with closing(connect_owner(str(tmp_path / "cases.db"), "sqlite:///cases.db", MACHINE)) as connection:
        changes.open_case(connection, taking("first"), [])
        connection.execute('UPDATE "case" SET no = 9223372036854775807')
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(Stale):
            Quick().write(connection, [Call(None, opening=taking("next"))], [])


async def test_a_batch_that_cannot_even_begin_is_refused_and_not_tried_for_ever(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undecodable(connection: sqlite3.Connection, *, wait: bool) -> None:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "malformed")

    with monkeypatch.context() as patch:
        patch.setattr(store._writer, "_wait_for_disk", undecodable)
        assert [type(answer) for answer in await together(store, taking("a"), taking("b"))] == [Unavailable] * 2
    assert await together(store, taking("a")) == [CaseOpened(key_of("a"))]


def test_no_more_cases_are_remembered_than_a_node_can_hold_many_times(tmp_path: Path) -> None:
    quick = Quick()
    with closing(connect_owner(str(tmp_path / "cases.db"), "sqlite:///cases.db", MACHINE)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        openings: list[Call[object]] = [Call(None, opening=taking(f"c{number}")) for number in range(KNOWN_MAX + 1)]
        assert quick.write(connection, openings, []) == []
        first: Call[object] = Call(None, append=step("c0"))
        last: Call[object] = Call(None, append=step(f"c{KNOWN_MAX}"))
        assert quick.write(connection, [first, last], []) == [first]


async def test_a_case_that_another_node_took_is_fenced_and_the_others_of_its_batch_are_not(store: SqliteStore) -> None:
    names = ("a", "b", "c")
    assert await together(store, *map(taking, names)) == [CaseOpened(key_of(name)) for name in names]
    await store.renew("other", until=NOW + 1_000)
    (taken,) = (await store.claim("other", limit=1, now=NOW)).cases
    assert (taken.row.key, taken.row.epoch) == (key_of("a"), 2)
    assert await together(store, *map(step, names)) == [Fenced(2), Appended(), Appended()]
    assert await together(store, *(step(name, 2) for name in names)) == [Fenced(2), Appended(), Appended()]
    assert await verify(store) == []


async def test_cases_that_are_there_already_are_told_from_new_ones_beside_them(store: SqliteStore) -> None:
    await together(store, taking("b"), taking("d"))
    answers = await together(store, *map(taking, "abcde"))
    assert [type(answer) for answer in answers] == [CaseOpened, CaseExists, CaseOpened, CaseExists, CaseOpened]
    assert await together(store, *map(step, "abcde")) == [Appended()] * 5
    assert [type(answer) for answer in await together(store, *map(taking, "abcde"))] == [CaseExists] * 5
    assert await verify(store) == []


async def test_what_cannot_be_written_is_refused_alone(store: SqliteStore) -> None:
    odd = replace(taking("odd"), flow="\ud800")
    answers = await together(store, taking("a"), odd, taking("b"))
    assert answers == [CaseOpened(key_of("a")), UnicodeEncodeError, CaseOpened(key_of("b"))]
    assert await together(store, step("a"), step("b")) == [Appended(), Appended()]
    assert await verify(store) == []


async def test_an_append_that_comes_too_late_or_too_early_is_told_so(store: SqliteStore) -> None:
    await together(store, taking("a"), taking("b"))
    assert await together(store, step("a", 2), step("b")) == [Conflict(1), Appended()]
    closed = await together(store, step("a", status=CaseStatus.CLOSED, result="completed", release=True))
    row = await store.case(key_of("a"))
    assert row is not None
    assert closed == [Appended(row.head)]
    assert (row.status, row.result, row.node, row.next_seq) == (CaseStatus.CLOSED, "completed", "", 2)
    assert await together(store, step("a", 2), step("b", 2)) == [Fenced(1), Appended()]


class _Long:
    """Lets everything go the long way."""

    def forget(self) -> None:
        """Nothing is remembered."""

    def write(self, connection: sqlite3.Connection, calls: Sequence[Call[object]], arrived: object) -> object:
        """Leave all of it."""
        return list(calls)


NAMES = st.sampled_from("abcd")
OPENINGS = st.builds(lambda name, node: replace(taking(name), node=node), NAMES, st.sampled_from([NODE, NODE, ""]))
KINDS: dict[str, Callable[[Append], Append]] = {
    "goes on": lambda append: append,
    "closes": lambda append: replace(append, status=CaseStatus.CLOSED, result="completed", release=True, waits=()),
    "waits": lambda append: replace(append, status=CaseStatus.PARKED, waits=(evidence("receipt"),)),
    "waits no more": lambda append: replace(append, waits=()),
    "is given back": lambda append: replace(append, status=CaseStatus.PARKED, records=(), release=True),
    "begins a chapter": lambda append: replace(append, chapter=append.next_seq),
    "opens another": lambda append: replace(append, opens=(opening(key_of("child")),)),
}
STEPS = st.tuples(NAMES, st.sampled_from(sorted(KINDS)), st.sampled_from([1, 2, 0]), st.sampled_from([0, 0, 0, 1]))
BATCHES = st.lists(
    st.one_of(st.just("claim"), st.lists(st.one_of(OPENINGS, STEPS), min_size=1, max_size=6)), max_size=8
)
Wish = Opening | tuple[str, str, int, int]


async def asked(store: SqliteStore, wishes: Iterable[Wish]) -> list[Append | Opening]:
    """Make appends that go on where each case stands, or a little beside."""
    made: list[Append | Opening] = []
    for wish in wishes:
        if isinstance(wish, Opening):
            made.append(wish)
            continue
        name, kind, count, beside = wish
        row = await store.case(key_of(name))
        epoch, seq = (1, 1) if row is None else (row.epoch, row.next_seq + beside)
        records = tuple(note(seq + offset, epoch) for offset in range(count))
        made.append(KINDS[kind](Append(key_of(name), epoch, seq, records)))
    return made


async def lived(path: Path, batches: Sequence[str | Sequence[Wish]], *, short: bool) -> list[object]:
    """Carry out the batches; give all answers and rows."""
    store = await opened(path)
    if not short:
        store._writer._quick = _Long()  # type: ignore[attr-defined]
    told: list[object] = []
    told.append(await together(store, *map(taking, "abc")))
    await store.renew("other", until=NOW + 1_000)
    for batch in batches:
        if isinstance(batch, str):
            told.append(await store.claim("other", limit=1, now=NOW))
        else:
            told.append(await together(store, *await asked(store, batch)))
    told.append(await verify(store))
    await store.aclose()
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        # Of two columns of a name the last one counts.
        told += [[dict(zip(row.keys(), row, strict=True)) for row in connection.execute(query)] for query in ROWS]
    return told


def alike(batches: Sequence[str | Sequence[Wish]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        short = anyio.run(lambda: lived(Path(folder, "short.db"), batches, short=True))
        long = anyio.run(lambda: lived(Path(folder, "long.db"), batches, short=False))
    assert short == long
    assert short[len(batches) + 1] == []


@pytest.mark.parametrize("kind", KINDS)
def test_either_way_an_append_of_each_kind_leaves_the_same(kind: str) -> None:
    alike([[("a", kind, 1, 0), ("b", "goes on", 1, 0)], [("a", "goes on", 1, 0)]])


@settings(max_examples=60, deadline=None)
@given(BATCHES)
def test_both_ways_give_the_same_answers_and_leave_the_same_rows(batches: list[str | list[Wish]]) -> None:
    alike(batches)
