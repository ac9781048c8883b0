"""A real process is killed at any moment and run again: the same totals, nothing booked twice, no gap in any log."""

import json
import random
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from casework.protocols.records import Closed, Done, Intent
from casework.runtime.seams import World
from casework.runtime.store.base import CaseStatus
from casework.runtime.store.urls import open_reader
from tests.support.bookkeeping import LATE, QUARTER, Standing, comparable, expected_overview, standing
from tests.support.bookkeeping_command import PATIENCE_SECONDS, Books

#: Rounds, each on a store of its own, and deaths in each: twenty deaths in all.
SEEDS = (1, 2, 3, 4)
DEATHS = 5
#: Seconds between two looks at a store that another process writes.
LOOK_SECONDS = 0.002


def asked(books: Books, query: str) -> Any:
    """Ask the store of another process; None while it is not there yet."""
    try:
        connection = sqlite3.connect(f"file:{books.folder}/cases.db?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return None
    try:
        return connection.execute(query).fetchone()[0]
    except sqlite3.OperationalError:
        return None
    finally:
        connection.close()


def records(books: Books) -> int:
    return asked(books, "SELECT max(rowid) FROM record") or 0


def grown(books: Books, wanted: int) -> bool:
    return records(books) >= wanted


def watched(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> bool:
    """Look on until something is reached; False when the process ended before."""
    for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
        if reached():
            return True
        try:
            process.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return False
    process.kill()
    pytest.fail("the process neither ended nor went on")


def killed(books: Books, reached: Callable[[], bool]) -> None:
    """Start the run, kill it as soon as something is reached, and see that no log has a gap."""
    process = books.start(books.run_command(QUARTER))
    assert watched(process, reached), "it ended before it could be killed"
    process.kill()
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    torn = asked(books, "SELECT count(*) FROM (SELECT 1 FROM record GROUP BY case_no HAVING count(*) <= max(seq))")
    assert torn in (0, None), "a log has a gap"


def read(books: Books) -> Standing:
    """Read the store and verify every chain."""

    async def look() -> Standing:
        reader = await open_reader(books.store, World())
        try:
            return await standing(reader, books.out)
        finally:
            await reader.aclose()

    return anyio.run(look)


def finished(books: Books) -> Standing:
    run = books.call(books.run_command(QUARTER))
    assert (run.returncode, run.stderr) == (0, "")
    return read(books)


def whole_and_once(books: Books) -> Standing:
    """Run to the end, and see that all is as if nobody had been killed."""
    found = finished(books)
    expected = expected_overview("overview_without_ocr")
    assert comparable(found.overview, expected) == expected
    assert found.overview["revision"] == 1
    ends = Counter(case_id for case_id, log in found.logs.items() for _, entry in log if isinstance(entry, Closed))
    assert set(ends.values()) == {1}
    assert sum("/tx/" in case_id for case_id in found.cases) == 150
    writes = [entry for log in found.logs.values() for _, entry in log if isinstance(entry, Intent | Done)]
    assert [type(entry) for entry in writes] == [Intent, Done]
    assert [path.name for path in (books.out / "revisions").iterdir()] == ["2026Q2-0001.json"]
    assert not list(books.out.rglob("*.new"))
    return found


@pytest.fixture(scope="module")
def records_in_all(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Records that the logs of the whole sample have; moments of death are spread over them."""
    books = Books(tmp_path_factory.mktemp("whole"))
    finished(books)
    return records(books)


@pytest.mark.promise("FLOW-35")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_killed_at_random_moments_ends_as_if_nobody_had_been_killed(
    seed: int, records_in_all: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    moments = sorted(chance.randrange(records_in_all) for _ in range(DEATHS))
    print(f"seed {seed}, killed at {moments} of {records_in_all} records")
    books = Books(tmp_path)
    for moment in moments:
        before = records(books)
        if before < records_in_all - 1:
            killed(books, partial(grown, books, max(moment, before + 1)))
    whole_and_once(books)


@pytest.mark.parametrize("kind", ["intent", "done", "review"])
def test_a_run_killed_at_its_write_writes_once(kind: str, tmp_path: Path) -> None:
    books = Books(tmp_path)
    of_quarter = """SELECT count(*) FROM record JOIN "case" ON no = case_no WHERE flow = 'quarter' AND kind ="""
    killed(books, lambda: bool(asked(books, f"{of_quarter} '{kind}'")))
    whole_and_once(books)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Books:
    """A store on which the whole sample has been run."""
    books = Books(tmp_path_factory.mktemp("done"))
    finished(books)
    return books


def answer(books: Books, *arguments: str | Path) -> str:
    """Have a command succeed in a process of its own."""
    run = books.call(books.command(*arguments))
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    said: str = run.stdout
    return said


def test_others_deliver_and_decide_while_a_service_owns_the_store(done: Books) -> None:
    service = done.start(done.command("serve", "examples.bookkeeping.crew:crew", "--port", "0"))
    try:
        assert watched(service, (done.folder / "cases.db.sock").exists)
        answer(done, "deliver", "receipt:rabo-4269", LATE, "--by", "anna")
        after = read(done)
        expected = expected_overview("after_late_receipt_without_ocr")
        assert comparable(after.overview, expected) == expected
        (review,) = [each for each in after.reviews if each.state == "open" and each.key.case_id.endswith("rabo-4245")]
        answer(done, "review", "approve", review.id, "--by", "anna")
        assert service.poll() is None
    finally:
        service.send_signal(signal.SIGINT)
        service.wait(PATIENCE_SECONDS)
    found = read(done)
    assert found.cases["2026Q2/tx/rabo-4245"].status is CaseStatus.CLOSED
    assert (found.overview["revision"], found.overview["counts"]["booked"]) == (3, 137)


def test_a_receipt_delivered_while_a_run_is_at_work_is_booked_by_that_run(tmp_path: Path) -> None:
    books = Books(tmp_path)
    run = books.start(books.run_command(QUARTER))
    assert watched(run, lambda: bool(asked(books, "SELECT count(*) FROM wait WHERE key = 'receipt:rabo-4269'")))
    run.send_signal(signal.SIGSTOP)
    delivery = books.start(books.command("deliver", "receipt:rabo-4269", LATE, "--by", "anna"))
    # Nothing can be delivered while the owner stands still; it is at its door by then.
    with pytest.raises(subprocess.TimeoutExpired):
        delivery.wait(1.5)
    run.send_signal(signal.SIGCONT)
    assert (run.wait(PATIENCE_SECONDS), delivery.wait(PATIENCE_SECONDS)) == (0, 0)
    expected = expected_overview("after_late_receipt_without_ocr")
    assert comparable(read(books).overview, expected) == expected


def test_without_an_owner_whoever_decides_has_the_work_done(done: Books) -> None:
    listed = json.loads(answer(done, "review", "list", "--json"))
    (doubtful,) = [each for each in listed if each["case"].endswith("ing-20260519-01")]
    before = read(done).overview
    answer(done, "review", "reject", doubtful["id"], "--by", "anna", "--reason", "both are wrong")
    found = read(done)
    assert found.overview["revision"] == before["revision"] + 1
    assert found.cases["2026Q2/tx/ing-20260519-01"].waits[0].reason.startswith("rejected: ")
    answer(done, "verify")
