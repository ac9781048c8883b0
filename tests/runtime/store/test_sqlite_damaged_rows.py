"""Rows beside the logs that are damaged: the one case parks and says why, `verify` tells it, and the others go on."""

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from store_support import arrived

from casework.actors.cli.app import main
from casework.protocols.codec import encode
from casework.protocols.errors import FrameInvalid
from casework.protocols.records import Decided, Halted, Noted, ReviewAction
from casework.runtime import verifier
from casework.runtime.errors import StoreInvalid
from casework.runtime.flow.case import Case
from casework.runtime.letters import dead_letters, drop
from casework.runtime.review import open_reviews
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey, CaseStatus, DecisionTaken, WaitKind
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.store.verify import NOBODY
from tests.support.findings_of import told
from tests.support.flow_scene import Ask, crew, entries, runtime

HIT = CaseKey("default", "hit")
NAMES = ("hit", "well")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def waits(case: Case, inputs: Ask) -> int:
    await case.park("go", reason="waits")
    return inputs.n


async def asks(case: Case, inputs: Ask) -> str:
    return (await case.review("look", {"n": 3}, rule="test")).by


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Give a store with two cases that wait and have not heard yet that what they wait for is there."""
    path = tmp_path / "cases.db"
    async with runtime(crew(waits), f"sqlite:///{path}") as machine:
        for name in NAMES:
            await machine.open("waits", name, Ask(3))
            await machine.wait(name)
    store = await open_store(f"sqlite:///{path}", World())
    for name in NAMES:
        await store.deliver("default", name, "m", arrived("m", "go"))
    await store.aclose()
    return path


@pytest.fixture
async def asking(tmp_path: Path) -> Path:
    """Give a store with two cases that each ask a person."""
    path = tmp_path / "cases.db"
    async with runtime(crew(asks), f"sqlite:///{path}") as machine:
        for name in NAMES:
            await machine.open("asks", name, Ask(3))
            await machine.wait(name)
    return path


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """Give a store as `path` does, to a test that is not asynchronous."""
    path = tmp_path / "cases.db"

    async def made() -> None:
        async with runtime(crew(waits), f"sqlite:///{path}") as machine:
            for name in NAMES:
                await machine.open("waits", name, Ask(3))
                await machine.wait(name)

    anyio.run(made)
    return path


def damage(path: Path, statement: str) -> str:
    """Change a file as no statement of ours could: what a column must hold is not looked at. Gives its URL."""
    path.with_name("cases.db.generation").unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        tables = "type = 'table' AND name NOT LIKE 'sqlite%'"
        before = connection.execute(f"SELECT sql, name FROM sqlite_master WHERE {tables}").fetchall()
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(f"UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '') WHERE {tables}")
        connection.execute(f"PRAGMA schema_version = {version + 1}")
        connection.commit()
        connection.execute(statement)
        connection.executemany("UPDATE sqlite_master SET sql = ? WHERE name = ?", before)
        connection.execute(f"PRAGMA schema_version = {version + 2}")
    return f"sqlite:///{path}"


PARKS = {
    "seen that is nothing": ('UPDATE "case" SET seen = NULL WHERE no = 1', "what it has seen of its inbox"),
    "seen that is a text": ("UPDATE \"case\" SET seen = 'x' WHERE no = 1", "what it has seen of its inbox"),
    "seen beyond the last": ('UPDATE "case" SET seen = 1 << 40 WHERE no = 1', "what it has seen of its inbox"),
    "claims that are none": ('UPDATE "case" SET claims = -1 WHERE no = 1', "-1 is kept where something is counted"),
    "records that are none": ('UPDATE "case" SET next_seq = -7 WHERE no = 1', "-7 is kept where something is counted"),
    "epoch that is nothing": ('UPDATE "case" SET epoch = NULL WHERE no = 1', "kept as NoneType"),
    "message with a flipped bit": ("UPDATE inbox SET frame = x'81a1' WHERE case_no = 1", "arrived in its inbox"),
    "message that is nothing": ("UPDATE inbox SET frame = NULL WHERE case_no = 1", "arrived in its inbox"),
    "message of no kind": ("UPDATE inbox SET kind = NULL WHERE case_no = 1", "in its inbox cannot be read"),
    "message of no name": ("UPDATE inbox SET id = NULL WHERE case_no = 1", "text is kept as NoneType"),
    "message of a name that is no text": (
        "UPDATE inbox SET id = cast(x'ff' AS TEXT) WHERE case_no = 1", "its inbox or its waits cannot be read"
    ),
    "wait for what is no text": (
        "UPDATE wait SET key = cast(x'ff' AS TEXT) WHERE case_no = 1", "its inbox or its waits cannot be read"
    ),
}  # fmt: skip


@pytest.mark.promise("FLOW-6")
@pytest.mark.parametrize("what", PARKS)
async def test_a_case_that_a_damaged_row_would_stall_parks_with_the_reason_and_the_others_go_on(
    path: Path, what: str
) -> None:
    statement, reason = PARKS[what]
    url = damage(path, statement)
    findings = await told(url)
    assert HIT in {finding.key for finding in findings} or "damaged" in findings[0].why
    assert {finding.key for finding in findings} <= {HIT, NOBODY}
    with anyio.fail_after(10):
        async with runtime(crew(waits), url) as machine:
            assert (await machine.wait("well")).status is CaseStatus.CLOSED
            await machine.wait_idle()
            row = next(row for row in await machine.store.cases() if row.key == HIT)
            assert (row.status, row.waits[0].kind) == (CaseStatus.PARKED, WaitKind.OPERATOR)
            assert reason in row.waits[0].reason
            # It rests: nobody takes it again and again.
            halted = len(await entries(machine.store, Halted, HIT))
        async with runtime(crew(waits), url) as machine:
            await machine.wait_idle()
            assert len(await entries(machine.store, Halted, HIT)) <= max(halted, 1)


RECORDS = {
    "no frame": "frame = 7",
    "a text for a frame": "frame = 'zzz'",
    "no hash": "hash = -1",
    "no step": "step_id = x'ff'",
    "no kind": "kind = x'ff'",
    "no moment": "at = 'zzz'",
    "a moment in no calendar": "at = 9223372036854775807",
    "no epoch": "epoch = x'ff'",
}


@pytest.mark.promise("STORE-8")
@pytest.mark.parametrize("what", RECORDS)
def test_a_record_of_values_that_were_never_written_is_shown_and_told_by_every_command(
    original: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = damage(original, f"UPDATE record SET {RECORDS[what]} WHERE case_no = 1 AND seq = 1")
    file = str(original.with_name("hit.json"))
    looks = (("show", "hit"), ("show", "well"), ("show", "hit", "--times"), ("compact", "--dry-run"))
    for command in (*looks, ("retain", "--older-than", "0d"), ("export", "hit", "-o", file), ("verify",)):
        code = main([*command, "--store", url])
        assert "Error" not in capsys.readouterr().err
        assert code == (1 if command[0] in {"export", "verify"} else 0), command
    # What all cases cost is told without the one that cannot be read, and that it is missing.
    left = main(["cost", "--by", "case", "--store", url])
    assert left == ("hit: left out" in capsys.readouterr().err)
    assert left == ("frame" in what)
    assert verifier.findings(verifier.load(Path(file).read_bytes()))


@pytest.mark.promise("STORE-8")
async def test_a_row_that_was_owned_fewer_times_than_its_log_says_is_told(path: Path) -> None:
    url = damage(path, 'UPDATE "case" SET epoch = 0 WHERE no = 1')
    (finding,) = await told(url)
    assert (finding.key, finding.why) == (HIT, "its row says that it was owned 0 times, its log 1")


async def test_an_account_that_cannot_be_read_is_named(path: Path) -> None:
    store = await open_store(f"sqlite:///{path}", World())
    await store.set_limit("tenant/default", 5, by="ann", at=1)
    await store.aclose()
    reader = await open_reader(damage(path, "UPDATE account SET spent_micros = 'x'"), World())
    try:
        (found,) = await reader.accounts()
        assert found.broken == "account tenant/default: a number is kept as str"
        with pytest.raises(StoreInvalid, match=found.broken):
            await reader.account(found.name)
    finally:
        await reader.aclose()


LOST = {
    "neither read nor unread": "UPDATE inbox SET consumed = NULL WHERE case_no = 1",
    "read, but never taken out": "UPDATE inbox SET consumed = 1 WHERE case_no = 1",
    "of no case": "UPDATE inbox SET case_no = 77 WHERE case_no = 1",
    "a timer at no moment": "UPDATE wait SET kind = 'timer', due = 'soon' WHERE case_no = 1",
    "a case of no name": 'UPDATE "case" SET case_id = NULL WHERE no = 1',
}


@pytest.mark.promise("STORE-8")
@pytest.mark.parametrize("what", LOST)
async def test_what_no_claim_can_find_any_more_is_found_by_verify_and_the_others_go_on(path: Path, what: str) -> None:
    url = damage(path, LOST[what])
    assert await told(url)
    with anyio.fail_after(10):
        async with runtime(crew(waits), url) as machine:
            assert (await machine.wait("well")).status is CaseStatus.CLOSED


async def test_an_operator_has_a_case_go_on_without_a_message_that_cannot_be_read(path: Path) -> None:
    url = damage(path, "UPDATE inbox SET frame = x'81a1' WHERE case_no = 1")
    with anyio.fail_after(10):
        async with runtime(crew(waits), url) as machine:
            assert (await machine.wait("hit")).waits[0].kind is WaitKind.OPERATOR
            (letter,) = await dead_letters(machine.store)
            await drop(machine.store, letter, by="ann", reason="damaged", world=World())
            assert [wait.key for wait in (await machine.wait("hit")).waits] == ["go"]
            await machine.deliver("hit", key="go", by="ann")
            assert (await machine.wait("hit")).status is CaseStatus.CLOSED
            notes = [note.text for note in await entries(machine.store, Noted, HIT)]
            assert any("was dropped by an operator" in note for note in notes)
    assert await told(url) == []


async def test_an_index_that_does_not_fit_its_table_is_told(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'wait_key'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file = anyio.Path(path)
    data = bytearray(await file.read_bytes())
    at = data.rindex(b"go", (page - 1) * size, page * size)
    data[at] ^= 1
    await file.write_bytes(data)
    findings = await told(f"sqlite:///{path}")
    assert findings
    assert all("the file is damaged" in finding.why for finding in findings)


REVIEWS = {
    "a moment that is none": ("UPDATE review SET expires = 'x' WHERE case_no = 1", StoreInvalid),
    "a proposal that is none": ("UPDATE review SET frame = 7 WHERE case_no = 1", StoreInvalid),
    "a decision that is none": (
        "UPDATE review SET state = 'decided', decision = x'00' WHERE case_no = 1",
        FrameInvalid,
    ),
    "a case that is not found": ("UPDATE \"case\" SET tenant = x'00' WHERE no = 1", StoreInvalid),
}


@pytest.mark.parametrize("what", REVIEWS)
async def test_a_decision_on_a_damaged_review_is_a_typed_error_and_the_others_are_decided(
    asking: Path, what: str
) -> None:
    reader = await open_reader(f"sqlite:///{asking}", World())
    reviews = {review.key.case_id: review for review in await reader.reviews()}
    await reader.aclose()
    statement, error = REVIEWS[what]
    url = damage(asking, statement)
    assert await told(url)
    with anyio.fail_after(10):
        async with runtime(crew(asks), url) as machine:
            listed = await open_reviews(machine.store)
            assert reviews["well"].id in {view.id for view in listed}
            frames = {
                name: encode(
                    Decided(
                        review_id=review.id, action=ReviewAction.APPROVE, by="ann", proposal_hash=review.proposal_hash
                    )
                )
                for name, review in reviews.items()
            }
            with pytest.raises(error):
                await machine.store.decide(reviews["hit"].id, reviews["hit"].proposal_hash, frames["hit"], 1)
            taken = await machine.store.decide(reviews["well"].id, reviews["well"].proposal_hash, frames["well"], 1)
            assert isinstance(taken, DecisionTaken)
            assert (await machine.wait("well")).status is CaseStatus.CLOSED


async def test_a_review_whose_row_holds_another_frame_is_a_typed_error_and_hides_no_other(asking: Path) -> None:
    other = encode(Noted(text="no review")).hex()
    url = damage(asking, f"UPDATE review SET frame = x'{other}' WHERE case_no = 1")
    (finding,) = await told(url)
    assert "has another frame than in the log" in finding.why
    with anyio.fail_after(10):
        async with runtime(crew(asks), url) as machine:
            hit, well = sorted(await open_reviews(machine.store), key=lambda view: view.case_id)
            assert "cannot be read" in hit.summary
            assert well.proposal == {"n": 3}
            with pytest.raises(FrameInvalid, match="frames of other kinds"):
                await machine.decide(hit.id, ReviewAction.EDIT, by="ann", edited={"n": 4})


@pytest.mark.promise("STORE-8")
@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE review SET state = 'withdrawn' WHERE case_no = 1", "taken out of the queue, though nobody decided"),
        ("UPDATE review SET state = 'gone' WHERE case_no = 1", "nothing that a review can be"),
        ("DELETE FROM review WHERE case_no = 1", "not in the queue, though nobody decided"),
        ("UPDATE review SET state = 'decided' WHERE case_no = 1", "its case never hears of it"),
        ('UPDATE "case" SET chapter = 1 WHERE no = 1', "another chapter"),
        ("UPDATE \"case\" SET crew = 'others' WHERE no = 1", "another crew"),
        ("UPDATE \"case\" SET status = 'closed' WHERE no = 1", "says closed"),
    ],
)
async def test_verify_holds_rows_and_reviews_against_the_log(asking: Path, statement: str, why: str) -> None:
    (finding,) = await told(damage(asking, statement))
    assert finding.key == HIT
    assert why in finding.why
