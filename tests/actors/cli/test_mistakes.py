"""Whatever is wrong with what the command is given, it says so in one line and ends with the exit code for it."""

import shutil

import pytest

from tests.support.command_desk import SUPPORT, Desk


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("run", "tiny_crew:nothing", "."), 2),
        (("run", "no_such_module:crew", "."), 2),
        (("run", "tiny_crew", "."), 2),
        (("run", "tiny_crew:crew", "/no/such/folder"), 2),
        (("run",), 2),
        (("fly",), 2),
        (("cases", "--store", "sqlite:////no/such/folder/x.db"), 2),
        (("cases", "--store", "memory:"), 2),
        (("cases", "--store", "carrier-pigeon://x"), 2),
        (("show", "nobody"), 3),
        (("review", "approve", "nobody"), 3),
        (("review", "edit", "nobody"), 2),
        (("deliver", "nobody", "/etc/hostname"), 3),
        (("deliver", "nobody", "/no/such/file"), 2),
        (("cancel", "nobody", "--reason", "x"), 3),
        (("trace", "nobody", "-o", "/dev/null"), 3),
    ],
)
def test_every_mistake_is_one_line_and_an_exit_code(desk: Desk, arguments: tuple[str, ...], code: int) -> None:
    desk.run()
    done = desk(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("casework: error: ")


def test_a_file_that_is_no_store_is_refused_and_not_touched(desk: Desk) -> None:
    (desk.folder / "cases.db").write_bytes(b"not a database, but long enough to be read as one" * 100)
    before = (desk.folder / "cases.db").read_bytes()
    done = desk.run()
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert (desk.folder / "cases.db").read_bytes() == before


def test_an_owned_store_has_an_exit_code_of_its_own(desk: Desk, served: str) -> None:
    done = desk.run()
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1


def test_another_crews_store_is_refused(desk: Desk) -> None:
    desk.put(fine="ok")
    desk.run()
    shutil.copy(SUPPORT / "tiny_crew.py", desk.folder / "other.py")
    assert desk("run", "other:crew", desk.input, cwd=desk.folder).returncode == 2


def test_a_traceback_is_shown_only_when_asked_for(desk: Desk) -> None:
    assert "Traceback" not in desk("show", "nobody").stderr
    assert "Traceback" in desk("show", "nobody", "--debug").stderr
