"""`casework store accept`: a restored backup goes on when a person says so, and not before."""

import json
import shutil

import pytest

from tests.support.command_desk import Desk

pytestmark = pytest.mark.promise("STORE-19")


def restored(desk: Desk) -> None:
    """Run a case, keep a copy, work on, and put the copy back."""
    desk.put(late="wait")
    desk.run()
    shutil.copy((desk.folder / "cases.db"), desk.folder / "backup.db")
    (desk.folder / "paper.pdf").write_bytes(b"paper")
    assert "closed (completed)" in desk("deliver", "late", desk.folder / "paper.pdf").stdout
    shutil.copy(desk.folder / "backup.db", (desk.folder / "cases.db"))


def test_a_restored_store_says_what_to_do_and_goes_on_once_it_is_accepted(desk: Desk) -> None:
    restored(desk)
    done = desk("deliver", "late", desk.folder / "paper.pdf")
    assert "closed" not in done.stdout
    assert "store accept" in done.stderr
    (case,) = json.loads(desk("cases", "--json").stdout)
    assert case["waits"][0]["kind"] == "operator"
    accepted = desk("store", "accept", "--by", "ann")
    # Why it was halted stands there once more, for that is what is accepted.
    assert (accepted.returncode, len(accepted.stderr.splitlines())) == (0, 1)
    assert "it has 3 records, and had 4" in accepted.stderr
    assert accepted.stdout.splitlines()[0] == "late: goes on"
    assert "1 cases: 1 completed" in desk.run().stdout
    assert "ann" in desk("show", "late").stdout


def test_a_store_that_is_well_has_nothing_to_accept(desk: Desk) -> None:
    desk.put(fine="ok")
    desk.run()
    done = desk("store", "accept")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing to accept" in done.stderr
    assert json.loads(desk("store", "accept", "--json").stdout) == {"halted": False, "cases": []}


def test_a_store_that_is_not_there_is_not_made(desk: Desk) -> None:
    done = desk("store", "accept")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert not (desk.folder / "cases.db").exists()
