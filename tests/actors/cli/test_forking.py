"""The command goes back in a case's log: it replays cases, and forks them in a sandbox."""

import json

import pytest

from tests.support.command_desk import SUPPORT, Desk


@pytest.fixture
def done(desk: Desk) -> Desk:
    """A desk with a finished case, one that waits for a paper and one that waits for a person."""
    desk.put(fine="ok", late="wait", asked="ask")
    desk.run()
    return desk


def test_cases_are_replayed_from_their_logs_alone(done: Desk) -> None:
    every = done("replay")
    assert (every.returncode, every.stderr) == (0, "")
    assert [line.partition(":")[0] for line in every.stdout.splitlines()] == ["asked", "fine", "late"]
    assert "and its flow does what they say; it waits at park" in every.stdout
    [told] = json.loads(done("replay", "fine", "--json").stdout)
    assert (told["case"], told["difference"], told["waits"]) == ("fine", "", [])


def test_of_what_is_no_longer_kept_nothing_is_replayed_or_forked(done: Desk) -> None:
    assert done("retain", "--older-than", "0d", "--yes", "--by", "ann").returncode == 0
    out = done("replay")
    assert out.returncode == 0
    told = dict(line.split(": ", 1) for line in out.stdout.splitlines())
    assert told["fine"] == "nothing to replay: its contents are no longer kept"
    [account] = [case for case in told if case.startswith("retention/")]
    assert told[account] == "nothing to replay: no flow wrote it"
    assert "what its chapter contained is no longer kept" in done("fork", "fine", "--at", "1").stderr
    assert "has no case of tenant 'other'" in done("replay", "--tenant", "other").stderr


def test_a_flow_that_was_changed_does_not_replay(done: Desk) -> None:
    crew = done.folder / "tiny_crew.py"
    crew.write_text((SUPPORT / crew.name).read_text().replace('reason="the paper is missing"', 'reason="no paper"'))
    out = done("replay", "late", "--crew", "tiny_crew:crew", cwd=done.folder)
    assert (out.returncode, "the case was opened with 1/" in out.stdout) == (1, True), out.stdout


def test_a_fork_goes_on_in_memory_and_the_store_stays_as_it_is(done: Desk) -> None:
    before = done("show", "fine").stdout
    out = done("fork", "fine", "--at", "0")
    assert (out.returncode, out.stderr) == (0, "")
    lines = out.stdout.splitlines()
    assert lines[0].startswith("fine from record 0 on: flow line version 1, closed (completed)")
    assert lines[-1] == "it does what its case did"
    told = json.loads(done("fork", "late", "--at", "0", "--json").stdout)
    assert (told["status"], [wait["key"] for wait in told["waits"]], told["difference"]) == (
        "parked",
        ["paper:late"],
        "",
    )
    assert done("show", "fine").stdout == before
    assert done("verify").returncode == 0


def test_what_came_later_comes_again_in_a_fork(done: Desk) -> None:
    paper = done.folder / "paper.txt"
    paper.write_text("here")
    assert done("deliver", "paper:late", paper, "--by", "ann").returncode == 0
    told = json.loads(done("fork", "late", "--at", "1", "--json").stdout)
    assert (told["status"], told["result"], told["difference"]) == ("closed", "completed", "")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("fork", "fine", "--at", "99"), 2, "its log has the records 0 to"),
        (("fork", "fine", "--at", "-1"), 2, "its log has the records 0 to"),
        (("fork", "fine", "--at", "one"), 2, "--at"),
        (("fork", "fine", "--at", "0", "--to", "7"), 2, "the crew's versions of it: 1"),
        (("fork", "nobody", "--at", "0"), 3, "there is no case 'nobody'; `casework cases` lists them"),
        (("replay", "nobody"), 3, "there is no case 'nobody'; `casework cases` lists them"),
        (("replay", "--crew", "nothing:here"), 2, "module 'nothing' cannot be imported"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(done: Desk, arguments: tuple[str, ...], code: int, says: str) -> None:
    out = done(*arguments)
    assert (out.returncode, out.stdout, len(out.stderr.splitlines())) == (code, "", 1), out.stderr
    assert says in out.stderr
