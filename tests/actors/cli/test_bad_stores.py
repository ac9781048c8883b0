"""A store or a crew that is not what a case needs: the one case says why it rests, and the others go on.

Through the real command, on SQLite and on PostgreSQL: two cases wait, something goes wrong for one of them, both get
what they wait for, and `casework cases` tells.
"""

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest

from casework.protocols.codec import encode
from casework.protocols.records import Arrived
from casework.runtime.seams import World
from casework.runtime.store.base import Append, Appended, CaseStatus, Record
from casework.runtime.store.urls import open_store
from tests.support.command_desk import Desk, until_closed_brace

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

from postgres_server import PostgresMissing, PostgresServer, postgres_server

NUMBERS = count()
#: What changes the files that were delivered.
OTHER_FILE = "UPDATE artifact SET data = CAST('other' AS BLOB)"
#: A crew with a flow for each of the two cases; what a later version changes is put in its place.
CREW = """
from msgspec import Struct
from casework.actors import Crew, Intake, OpenCase, Policy
from casework.runtime import Case, Flow

class Line(Struct, frozen=True):
    name: str

async def begin(case):
    await case.note("begun")

async def hit(case: Case, inputs: Line) -> str:
    await begin(case)
    arrived = await case.park(f"go:{inputs.name}", reason="the paper is missing")
    return arrived.by

async def well(case: Case, inputs: Line) -> str:
    arrived = await case.park(f"go:{inputs.name}", reason="the paper is missing")
    return arrived.by

def intake(folder, settings):
    return Intake(tuple(OpenCase(name, name, Line(name)) for name in ("hit", "well") if name in crew.flows))

flows = [Flow.of(hit, inputs=Line), Flow.of(well, inputs=Line)]
crew = Crew("odd", flows=flows, policy=Policy(name="odd"), intake=intake)
"""
#: What a later version of the crew has instead, and how the reason begins and what it names.
CHANGES = {
    "a flow that is gone": (
        ("Flow.of(hit, inputs=Line), ", ""),
        ("FlowUnknown: flow hit version 1", "the crew has no flow of that name"),
    ),
    "a flow with another source": (
        ("return arrived.by\n\nasync def well", "return arrived.by.upper()\n\nasync def well"),
        ("FlowUnknown: flow hit version 1", "the case was opened with 1/", "the crew now has 1/"),
    ),
    "a flow of another version": (
        ("Flow.of(hit, inputs=Line)", "Flow.of(hit, inputs=Line, version='2')"),
        ("FlowUnknown: flow hit version 1", "the case was opened with 1/", "the crew now has 2/"),
    ),
    "a flow that does something else": (
        ('await case.note("begun")', "await case.now()"),
        ("ReplayMismatch: record 1 is noted at step note, but the flow now does drawn at step now",),
    ),
}


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    try:
        with postgres_server() as server:
            yield server
    except PostgresMissing as error:
        if os.environ.get("CI", "") not in {"", "0", "false"}:
            pytest.fail(str(error))
        pytest.skip(str(error))


#: Changes a store from outside: given a statement for SQLite, or for PostgreSQL.
Change = Callable[[str], None]


@pytest.fixture(params=["sqlite", "postgres"])
def change(request: pytest.FixtureRequest, desk: Desk) -> Change:
    """Have the desk's store be of that kind, and give what changes it."""
    if request.param == "sqlite":

        def in_file(statement: str) -> None:
            with closing(sqlite3.connect(desk.folder / "cases.db")) as database, database:
                database.execute(statement)

        return in_file
    server: PostgresServer = request.getfixturevalue("postgres")
    schema = f"bad{next(NUMBERS)}"
    desk.environ["CASEWORK_STORE"] = desk.store = server.url(schema)

    def on_server(statement: str) -> None:
        server.psql(f"SET search_path = {schema}; {statement}")

    return on_server


def write_crew(desk: Desk, *replaced: str) -> None:
    text = CREW if not replaced else CREW.replace(*replaced)  # type: ignore[arg-type]  # two of them
    assert (text == CREW) is not bool(replaced)
    (desk.folder / "odd_crew.py").write_text(text)


def run(desk: Desk) -> None:
    done = desk("run", "odd_crew:crew", desk.input, cwd=desk.folder)
    assert "Traceback" not in done.stderr, done.stderr


@pytest.fixture
def parked(desk: Desk, change: Change) -> Change:
    """Have both cases wait."""
    write_crew(desk)
    run(desk)
    assert {each["case"]: each["status"] for each in cases(desk)} == {"hit": "parked", "well": "parked"}
    return change


def cases(desk: Desk) -> Any:
    return json.loads(desk("cases", "--json").stdout)


def deliver(desk: Desk) -> None:
    """Give both what they wait for."""
    paper = desk.folder / "paper.pdf"
    paper.write_bytes(b"paper")
    for name in ("hit", "well"):
        done = desk("deliver", name, paper, cwd=desk.folder)
        assert "Traceback" not in done.stderr, done.stderr


def tells(desk: Desk, *parts: str) -> None:
    """Check that one case went on, and that the other says why it does not, to people and to programs."""
    rows = {each["case"]: each for each in cases(desk)}
    assert (rows["well"]["status"], rows["well"]["result"]) == ("closed", "completed")
    assert rows["hit"]["status"] == "parked"
    # Beside its operator, it may wait for a process that has its version.
    wait = rows["hit"]["waits"][0]
    assert wait["kind"] == "operator"
    (line,) = [line for line in desk("cases").stdout.splitlines() if line.startswith("hit")]
    for part in parts:
        assert part in wait["reason"]
        assert part in line


@pytest.mark.promise("FLOW-5", "FLOW-6")
@pytest.mark.parametrize(
    ("change", "what"),
    [*(("sqlite", what) for what in CHANGES), ("postgres", "a flow that does something else")],
    indirect=["change"],
)
def test_a_case_whose_flow_is_gone_or_has_changed_says_so(desk: Desk, parked: Change, what: str) -> None:
    replaced, parts = CHANGES[what]
    write_crew(desk, *replaced)
    deliver(desk)
    tells(desk, *parts)


@pytest.mark.promise("FLOW-6", "STORE-8")
def test_a_row_that_names_another_place_than_its_log_ends_at_says_so_though_no_record_can(
    desk: Desk, parked: Change
) -> None:
    parked("""UPDATE "case" SET next_seq = next_seq - 1 WHERE case_id = 'hit'""")
    deliver(desk)
    tells(desk, "its log is not what was written: record 3: the log ends here, but the case says it has 2 records")
    verified = desk("verify")
    assert verified.returncode == 1
    assert "case hit record 3: the log ends here, but the case says it has 2 records" in verified.stdout


@pytest.mark.promise("STORE-8")
def test_a_delivered_file_that_was_changed_is_told_by_verify(desk: Desk, parked: Change) -> None:
    deliver(desk)
    parked("UPDATE artifact SET data = CAST('other' AS BYTEA)" if "postgres" in desk.store else OTHER_FILE)
    verified = desk("verify")
    assert verified.returncode == 1
    assert "has other bytes than it had" in verified.stdout


@pytest.mark.promise("FLOW-6", "STORE-8")
def test_a_flipped_bit_parks_its_case_alone_and_is_told_by_its_record(desk: Desk, parked: Change) -> None:
    hit = "case_no = (SELECT no FROM \"case\" WHERE case_id = 'hit') AND seq = 1"
    if desk.store.startswith("sqlite"):
        with closing(sqlite3.connect(desk.folder / "cases.db")) as database, database:
            ((frame,),) = database.execute(f"SELECT frame FROM record WHERE {hit}").fetchall()
            flipped = bytes([*frame[:20], frame[20] ^ 1, *frame[21:]])
            database.execute(f"UPDATE record SET frame = ? WHERE {hit}", (flipped,))
    else:
        parked(f"UPDATE record SET frame = set_byte(frame, 20, get_byte(frame, 20) # 1) WHERE {hit}")
    deliver(desk)
    tells(desk, "its log is not what was written: record 1", "changed")


@pytest.mark.promise("FLOW-6", "FRAME-9")
def test_a_record_of_a_type_that_nobody_knows_parks_its_case_alone(desk: Desk, parked: Change) -> None:
    async def append_as_a_newer_version() -> None:
        store, world = await open_store(desk.store, World()), World()
        now = world.clock.wall_micros()
        await store.renew("newer", until=now + 60_000_000)
        await store.deliver("default", "hit", "early", encode(Arrived(key="other", message_id="early", by="ann")))
        (claimed,) = (await store.claim("newer", limit=9, now=now)).cases
        row = claimed.row
        record = Record(row.next_seq, row.epoch, "dreamt", "dream", now, b"\x81\xa4type\xa6dreamt")
        end = Append(row.key, row.epoch, row.next_seq, (record,), status=CaseStatus.PARKED, release=True)
        assert isinstance(await store.append(end), Appended)
        await store.renew("newer", until=0)
        await store.aclose()

    anyio.run(append_as_a_newer_version)
    deliver(desk)
    tells(desk, "FrameUnknown", "dreamt")


@pytest.mark.promise("STORE-12")
def test_a_store_of_a_newer_version_is_refused_in_one_line_and_its_cases_are_left_alone(
    desk: Desk, parked: Change
) -> None:
    sqlite = desk.store.startswith("sqlite")
    parked("PRAGMA user_version = 99" if sqlite else "UPDATE casework_version SET version = 99")
    for command in (("cases",), ("cases", "--json"), ("run", "odd_crew:crew", desk.input)):
        done = desk(*command, cwd=desk.folder)
        assert done.returncode != 0
        assert done.stdout == ""
        assert "version is 99" in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.promise("STORE-19")
def test_a_cut_log_of_changes_halts_effects_and_each_case_that_has_something_to_do_says_why(desk: Desk) -> None:
    write_crew(desk)
    run(desk)
    database, log = desk.folder / "cases.db", desk.folder / "cases.db-wal"
    paper = desk.folder / "paper.pdf"
    paper.write_bytes(b"paper")
    with desk.start("serve", "odd_crew:crew", "--port", "0", "--json", cwd=desk.folder) as process:
        until_closed_brace(process)
        assert desk("deliver", "well", paper).returncode == 0
        kept = database.read_bytes(), log.read_bytes()
        # Its orderly end writes down beside the store how far that has come.
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    database.write_bytes(kept[0])
    log.write_bytes(kept[1][: len(kept[1]) // 2])
    done = desk("deliver", "hit", paper, cwd=desk.folder)
    assert "store accept" in done.stderr
    (hit,) = [each for each in cases(desk) if each["case"] == "hit"]
    assert hit["waits"][0]["kind"] == "operator"
    assert "older" in hit["waits"][0]["reason"]
    assert hit["waits"][0]["reason"] in desk("cases").stdout
    assert desk("store", "accept", "--by", "ann", cwd=desk.folder).returncode == 0
    run(desk)
    assert {each["case"]: each["result"] for each in cases(desk)}["hit"] == "completed"
