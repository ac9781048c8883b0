"""A quarter of bookkeeping on PostgreSQL: killed, run again, and with the server away for a while."""

import json
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import anyio
import pytest
from postgres_server import PostgresServer

from casework.protocols.records import Closed, Done, Intent
from casework.runtime.seams import World
from casework.runtime.store.urls import open_reader
from tests.support.bookkeeping import LATE, QUARTER, Standing, comparable, expected_overview, standing
from tests.support.bookkeeping_command import PATIENCE_SECONDS, Books

NUMBERS = count()
#: Seconds between two looks at a store that another process writes.
LOOK_SECONDS = 0.02


@dataclass(slots=True, frozen=True)
class SharedBooks(Books):
    """Books whose store is a schema."""

    server: PostgresServer
    schema: str

    @property
    def store(self) -> str:
        """The store's URL."""
        return self.server.url(self.schema)

    def records(self) -> int:
        """Count what the logs hold; 0 while there are none."""
        there = self.server.psql(f"SELECT to_regclass('{self.schema}.record') IS NOT NULL")
        return int(self.server.psql(f"SELECT count(*) FROM {self.schema}.record")) if there == "t" else 0

    def grown(self, process: "subprocess.Popen[bytes]", wanted: int) -> None:
        """Look on until the logs hold so many records."""
        for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
            if self.records() >= wanted:
                return
            try:
                process.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            break
        process.kill()
        pytest.fail(f"it ended, or stood still, before it had {wanted} records")


@pytest.fixture
def books(postgres: PostgresServer, tmp_path: Path) -> SharedBooks:
    return SharedBooks(tmp_path, postgres, f"books_{next(NUMBERS)}")


def whole_and_once(books: SharedBooks) -> None:
    """See that all is as if nothing had happened."""

    async def look() -> Standing:
        reader = await open_reader(books.store, World())
        try:
            return await standing(reader, books.out)
        finally:
            await reader.aclose()

    found = anyio.run(look)
    expected = expected_overview("overview_without_ocr")
    assert comparable(found.overview, expected) == expected
    assert found.overview["revision"] == 1
    ends = Counter(case_id for case_id, log in found.logs.items() for _, entry in log if isinstance(entry, Closed))
    assert set(ends.values()) == {1}
    assert sum("/tx/" in case_id for case_id in found.cases) == 150
    writes = [entry for log in found.logs.values() for _, entry in log if isinstance(entry, Intent | Done)]
    assert [type(entry) for entry in writes] == [Intent, Done]


@pytest.mark.promise("FLOW-35")
def test_a_quarter_that_is_killed_and_run_again_has_the_totals_that_it_should(books: SharedBooks) -> None:
    process = books.start(books.run_command(QUARTER))
    books.grown(process, 500)
    process.kill()
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    again = books.call(books.run_command(QUARTER))
    assert (again.returncode, again.stderr) == (0, "")
    whole_and_once(books)
    verified = books.call(books.command("verify"))
    assert verified.returncode == 0, verified.stderr


@pytest.mark.promise("NODE-1")
def test_a_quarter_goes_on_when_its_server_comes_back(books: SharedBooks) -> None:
    process = books.start(books.run_command(QUARTER))
    books.grown(process, 500)
    books.server.stop(signal.SIGKILL)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.0)
    books.server.start()
    assert process.wait(PATIENCE_SECONDS) == 0
    whole_and_once(books)


def test_others_deliver_and_decide_while_a_service_works_on_the_store(books: SharedBooks) -> None:
    run = books.call(books.run_command(QUARTER))
    assert (run.returncode, run.stderr) == (0, "")
    service = books.start(books.command("serve", "examples.bookkeeping.crew:crew", "--port", "0"))
    try:
        while books.server.psql(f"SELECT count(*) FROM {books.schema}.node WHERE until > 0") == "0":
            assert service.poll() is None
        delivered = books.call(books.command("deliver", "receipt:rabo-4269", LATE, "--by", "anna"))
        assert delivered.returncode == 0, delivered.stderr
        overview = json.loads((books.out / "overview.json").read_text(encoding="utf-8"))
        expected = expected_overview("after_late_receipt_without_ocr")
        assert comparable(overview, expected) == expected
    finally:
        service.send_signal(signal.SIGINT)
        service.wait(PATIENCE_SECONDS)
    listed = json.loads(books.call(books.command("review", "list", "--json")).stdout)
    (doubtful,) = [each for each in listed if each["case"].endswith("ing-20260519-01")]
    rejected = books.call(
        books.command("review", "reject", doubtful["id"], "--by", "anna", "--reason", "both are wrong")
    )
    assert rejected.returncode == 0, rejected.stderr
    assert "open-sesame" not in rejected.stdout + rejected.stderr
    after = json.loads((books.out / "overview.json").read_text(encoding="utf-8"))
    assert after["revision"] == overview["revision"] + 1
