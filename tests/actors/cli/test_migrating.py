"""The command moves a parked case to another version of its flow, also one whose flow was at fault and was mended."""

import json

import pytest

from tests.support.command_desk import SUPPORT, Desk, until_closed_brace

#: What `tiny_crew` does with a paper that came, and what a version of it does in which this is wrong.
RIGHT = 'return arrived.evidence.label if arrived.evidence else ""'
WRONG = 'raise KeyError("a bug")'


def deploy(desk: Desk, *changes: tuple[str, str]) -> None:
    """Put the crew into the desk's folder, changed."""
    text = (SUPPORT / "tiny_crew.py").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (desk.folder / "tiny_crew.py").write_text(text)


def version(number: str) -> tuple[str, str]:
    return "Flow.of(line, inputs=Line)", f'Flow.of(line, inputs=Line, version="{number}")'


@pytest.fixture
def parked(desk: Desk) -> Desk:
    """A desk with a case that waits for a paper, and its crew in its own folder."""
    desk.put(late="wait", fine="ok")
    deploy(desk, (RIGHT, WRONG))
    desk("run", "tiny_crew:crew", desk.input, cwd=desk.folder)
    return desk


def test_a_case_whose_flow_was_at_fault_goes_on_with_the_mended_version(parked: Desk) -> None:
    paper = parked.folder / "paper.txt"
    paper.write_text("here")
    parked("deliver", "paper:late", paper)
    assert "KeyError" in parked("letter", "list").stdout
    deploy(parked, version("2"))
    redriven = parked("letter", "redrive", "late", "--reason", "mended")
    assert "the case was opened with 1/" in parked("letter", "list").stdout, redriven
    tried = parked("migrate", "late", "--to", "2", "--dry-run")
    assert (tried.returncode, tried.stdout) == (0, "late: version 2 does all that its log says\n"), tried.stderr
    moved = parked("migrate", "late", "--to", "2", "--reason", "it is mended", "--by", "ann")
    assert (moved.returncode, moved.stderr) == (0, "")
    assert moved.stdout.startswith("late: goes on with version 2\n")
    (row,) = [each for each in json.loads(parked("cases", "--json").stdout) if each["case"] == "late"]
    assert row["result"] == "completed"
    assert "it is mended" in parked("show", "late").stdout


def test_a_case_stays_if_the_version_does_something_else_than_its_log_says(parked: Desk) -> None:
    deploy(parked, version("2"), ("the paper is missing", "another reason"))
    for arguments in (("--dry-run",), ("--reason", "to try")):
        out = parked("migrate", "late", "--to", "2", *arguments)
        assert (out.returncode, out.stdout, len(out.stderr.splitlines())) == (1, "", 1)
        assert "ReplayMismatch: record 1 is parked at step park" in out.stderr


def test_a_service_that_lacks_the_version_says_so_and_the_case_stays(parked: Desk) -> None:
    with parked.start("serve", "tiny_crew:crew", "--port", "0", "--json", cwd=parked.folder) as process:
        until_closed_brace(process)
        deploy(parked, version("2"))
        out = parked("migrate", "late", "--to", "2", "--reason", "too early")
        process.terminate()
    assert (out.returncode, out.stdout.splitlines()[0]) == (1, "late: is asked to go on with version 2"), out
    assert "late: the case was not migrated: FlowUnknown" in out.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("late", "--to", "7", "--reason", "r"), 2, "the crew's versions of it: 1"),
        (("late", "--to", "1"), 2, "--reason: say why"),
        (("nobody", "--to", "1", "--reason", "r"), 3, "there is no case 'nobody'"),
        (("fine", "--to", "1", "--reason", "r"), 1, "it is closed, and only a parked case can"),
    ],
)
def test_what_cannot_be_moved_is_told_in_one_line(
    parked: Desk, arguments: tuple[str, ...], code: int, says: str
) -> None:
    out = parked("migrate", *arguments)
    assert (out.returncode, out.stdout, len(out.stderr.splitlines())) == (code, "", 1), out.stderr
    assert says in out.stderr
