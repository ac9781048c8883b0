"""The command takes cases out of a store, into another one, and drops what old ones contained."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from casework.runtime import verifier
from tests.support.command_desk import Desk


@pytest.fixture
def done(desk: Desk) -> Desk:
    """A desk with two finished cases and one that waits."""
    desk.put(fine="ok", other="ok", late="wait")
    desk.run()
    return desk


@pytest.fixture
def elsewhere(desk: Desk) -> str:
    """The URL of another store."""
    return f"sqlite:///{desk.folder / 'other.db'}"


def test_an_exported_case_comes_into_another_store_and_exports_to_the_same_bytes(done: Desk, elsewhere: str) -> None:
    first, second = done.folder / "first.json", done.folder / "second.json"
    out = done("export", "fine", "-o", first)
    assert (out.returncode, out.stderr) == (0, "")
    assert f"head {json.loads(first.read_bytes())['cases'][0]['head']}" in out.stdout
    came = done("import", first, "--store", elsewhere)
    assert (came.returncode, came.stdout, came.stderr) == (0, "fine: imported\n", "")
    assert done("export", "fine", "-o", second, "--store", elsewhere).returncode == 0
    assert second.read_bytes() == first.read_bytes()
    assert "1 cases, all as written" in done("verify", "--store", elsewhere).stdout
    assert done("show", "fine", "--store", elsewhere).stdout == done("show", "fine").stdout


def test_the_verifier_is_written_beside_the_export_and_works_alone(done: Desk) -> None:
    folder = done.folder / "handed over"
    folder.mkdir()
    assert done("export", "fine", "-o", folder / "case.json", "--verifier", folder / "verifier.py").returncode == 0
    command = [sys.executable, "-I", "-S", "verifier.py", "case.json"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    assert (run.returncode, run.stdout.splitlines()[-1]) == (0, "1 cases, all as written")
    assert (folder / "verifier.py").read_bytes() == Path(verifier.__file__).read_bytes()


def test_a_changed_export_is_refused_and_the_store_is_not_made(done: Desk, elsewhere: str) -> None:
    file = done.folder / "case.json"
    done("export", "fine", "-o", file)
    file.write_text(file.read_text().replace('"kind": "decision"', '"kind": "noted"'))
    came = done("import", file, "--store", elsewhere)
    assert came.returncode == 2
    assert "nothing was imported: case fine: record " in came.stderr
    assert len(came.stderr.splitlines()) == 1
    assert not (done.folder / "other.db").exists()


def test_a_case_that_is_there_and_one_that_has_not_ended_are_not_imported(done: Desk, elsewhere: str) -> None:
    file = done.folder / "case.json"
    done("export", "fine", "-o", file)
    there = done("import", file)
    assert (there.returncode, "fine is here already" in there.stderr) == (2, True)
    done("export", "late", "-o", file)
    ongoing = done("import", file, "--store", elsewhere)
    assert (ongoing.returncode, "--take-over" in ongoing.stderr) == (2, True)
    assert done("import", file, "--store", elsewhere, "--take-over").returncode == 0
    assert "paper:late" in done("cases", "--store", elsewhere).stdout


def test_what_cannot_be_exported_or_imported_is_one_line(done: Desk) -> None:
    absent = done("export", "absent", "-o", done.folder / "x.json")
    assert (absent.returncode, len(absent.stderr.splitlines())) == (3, 1)
    assert not (done.folder / "x.json").exists()
    (done.folder / "x.json").write_text("{}")
    for arguments in (("import", "absent.json"), ("import", done.folder / "x.json"), ("export", "fine", "-o", "no/x")):
        said = done(*arguments)
        assert (said.returncode, len(said.stderr.splitlines())) == (2, 1), said.stderr


def test_a_case_that_is_not_as_it_was_written_is_exported_with_a_warning(done: Desk) -> None:
    with closing(sqlite3.connect(done.folder / "cases.db")) as connection, connection:
        connection.execute("UPDATE record SET at = at + 1 WHERE kind = 'decision'")
    out = done("export", "fine", "-o", done.folder / "case.json")
    assert out.returncode == 1
    assert [line for line in out.stderr.splitlines() if "case fine: record " in line]
    assert done("import", done.folder / "case.json", "--store", f"sqlite:///{done.folder}/x.db").returncode == 2


def test_a_file_that_the_store_has_lost_is_told_and_one_that_is_left_out_is_not(done: Desk, elsewhere: str) -> None:
    (done.folder / "paper.pdf").write_bytes(b"a paper")
    assert done("deliver", "paper:late", done.folder / "paper.pdf").returncode == 0
    with closing(sqlite3.connect(done.folder / "cases.db")) as connection, connection:
        assert connection.execute("DELETE FROM artifact").rowcount == 1
    file = done.folder / "case.json"
    lost = done("export", "late", "-o", file)
    assert (lost.returncode, "a frame names it, but it is not in the store" in lost.stderr) == (1, True)
    refused = done("import", file, "--store", elsewhere, "--take-over")
    assert (refused.returncode, "a frame names it, but it is not in the store" in refused.stderr) == (2, True)
    assert done("export", "late", "-o", file, "--without-artifacts").returncode == 0
    came = done("import", file, "--store", elsewhere, "--take-over")
    assert (came.returncode, "1 delivered files that the cases name are not in the export" in came.stderr) == (0, True)


def test_a_text_that_only_speaks_of_a_file_makes_no_export_wrong(done: Desk) -> None:
    assert done("cancel", "late", "--by", "ann", "--reason", f"artifact:{'0' * 64} is no use").returncode == 0
    out = done("export", "late", "-o", done.folder / "case.json")
    assert (out.returncode, out.stderr) == (0, "")


@pytest.mark.usefixtures("served")
def test_while_a_service_owns_the_store_cases_leave_it_and_none_come_in(desk: Desk) -> None:
    file = desk.folder / "case.json"
    assert desk("export", "fine", "-o", file).returncode == 0
    assert desk("retain", "--older-than", "0d").returncode == 0
    for arguments in (("import", file), ("retain", "--older-than", "0d", "--yes")):
        said = desk(*arguments)
        assert (said.returncode, len(said.stderr.splitlines())) == (4, 1)


def test_retention_is_only_told_unless_it_is_meant(done: Desk) -> None:
    before = done("show", "fine").stdout
    told = done("retain", "--older-than", "0d")
    assert (told.returncode, told.stderr) == (0, "")
    assert "contents of 2 cases" in told.stdout
    assert "--yes" in told.stdout
    assert done("show", "fine").stdout == before


def test_retention_drops_contents_keeps_chains_and_is_a_case_of_its_own(done: Desk) -> None:
    head = json.loads(done("export", "fine", "-o", done.folder / "a.json", "--json").stdout)["head"]
    said = json.loads(done("retain", "--older-than", "0d", "--yes", "--by", "ann", "--json").stdout)
    assert said["done"] is True
    assert [each["case"] for each in said["cases"]] == ["fine", "other"]
    assert "4 cases, all as written" in done("verify").stdout
    assert "removed" in done("show", "fine").stdout
    account = done("show", said["account"]).stdout
    assert "ann dropped the contents of 2 closed cases" in account
    assert head in account
    assert done("export", "fine", "-o", done.folder / "b.json").returncode == 0
    assert json.loads((done.folder / "b.json").read_bytes())["cases"][0]["head"] == head
    assert "paper:late" in done("cases", "--status", "parked").stdout


def test_retention_again_finds_nothing_and_the_crew_goes_on(done: Desk) -> None:
    assert done("retain", "--older-than", "0d", "--yes").returncode == 0
    again = done("retain", "--older-than", "0d", "--yes")
    assert (again.returncode, again.stdout) == (0, "")
    assert "no case that is old enough" in again.stderr
    assert done.run().returncode == 0


@pytest.mark.parametrize("age", ["", "1", "d", "-1d", "1.5d", "1y", "100000d"])
def test_an_age_that_is_none_is_bad_usage(done: Desk, age: str) -> None:
    said = done("retain", f"--older-than={age}", "--yes")
    assert (said.returncode, len(said.stderr.splitlines())) == (2, 1)
    assert done("verify").stdout == "3 cases, all as written\n"


def test_what_is_not_old_enough_is_kept(done: Desk) -> None:
    said = done("retain", "--older-than", "1d", "--yes")
    assert (said.returncode, "no case that is old enough" in said.stderr) == (0, True)
