"""Whatever command meets what is no store, or a name of nothing: one line, the same code, and nothing is made."""

from pathlib import Path

import pytest

from casework.actors.cli import main
from casework.actors.cli.exits import Exit
from tests.support.command_desk import Desk

ROOT = Path(__file__).parents[3]
COMMANDS = {
    "cost": ("cost",),
    "budget list": ("budget", "list"),
    "budget set": ("budget", "set", "agent/default/clerk", "1"),
    "breakers": ("breakers",),
    "pause": ("pause", "tool:x", "--reason", "r"),
    "resume": ("resume", "tool:x", "--reason", "r"),
    "cases": ("cases",),
    "show": ("show", "c1"),
}
STORES = {
    "sqlite:///missing.db": (Exit.USAGE, "there is no such file; name another store, or have `casework run` make"),
    "sqlite:///text.txt": (Exit.USAGE, "file is not a database"),
    "sqlite:///empty.db": (Exit.USAGE, "nothing was stored yet; `casework run` begins it"),
    "sqlite:///dir": (Exit.USAGE, "that is a directory; name a file in it"),
    "sqlite:///nodir/x.db": (Exit.USAGE, "does not exist; make it first"),
    "mysql://x": (Exit.USAGE, "no such kind of store; write sqlite:///FILE"),
    "memory:": (Exit.USAGE, "nobody else can see it; use sqlite:///FILE"),
    "postgresql://nobody@127.0.0.1:1/x": (Exit.STORE, "see that the server runs and lets us in"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_store_is_told_in_one_line_with_its_code_and_nothing_is_made(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("no database at all, just words\n")
    Path("empty.db").touch()
    Path("dir").mkdir()
    before = sorted(Path().iterdir())
    for url, (code, why) in STORES.items():
        assert (url, main([*COMMANDS[command], "--store", url])) == (url, code)
        told = capsys.readouterr()
        assert (told.out, len(told.err.splitlines())) == ("", 1)
        assert told.err.startswith("casework: error: ")
        assert why in told.err
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("show", "nope"), Exit.NOT_FOUND, "there is no case 'nope'; `casework cases` lists them"),
        (("cost", "--case", "nope"), Exit.NOT_FOUND, "there is no case 'nope'; `casework cases` lists them"),
        (("budget", "set", "nope", "1"), Exit.USAGE, "'nope' is no budget: name one like tenant/default"),
        (("pause", "nope", "--reason", "r"), Exit.USAGE, "'nope' cannot be paused; name agent:NAME"),
        (("graph", "tiny_crew:nope"), Exit.USAGE, "module 'tiny_crew' has no 'nope'"),
        (("graph", "tiny_crew:crew", "--flow", "nope"), Exit.NOT_FOUND, "has no flow 'nope'; it has line"),
        (("breakers",), Exit.STORE, "no process owns it; start one"),
    ],
)
def test_a_name_of_nothing_is_told_with_what_there_is(
    desk: Desk, arguments: tuple[str, ...], code: Exit, why: str
) -> None:
    desk.put(fine="ok")
    desk.run()
    ended = desk(*arguments)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (code, "", 1)
    assert why in ended.stderr


def test_who_says_go_on_to_what_parks_needs_no_file_for_it(desk: Desk) -> None:
    crew = ("run", "tests.support.parking_command:crew", desk.input, "--out", desk.folder / "out")
    assert "go_on:o-7:way" in desk(*crew, cwd=ROOT).stdout
    (desk.input / "mended").touch()
    ended = desk("deliver", "go_on:o-7:way", "--by", "ann")
    assert (ended.returncode, ended.stderr) == (Exit.OK, "")
    assert "o-7: parked, waits for go_on:o-7:way -> closed (completed)" in ended.stdout


@pytest.mark.parametrize(
    "arguments", [("pause", "agent:nope", "--reason", "r"), ("budget", "set", "agent/default/nope", "1")]
)
def test_an_agent_that_the_crew_does_not_have_is_told_of_and_taken_all_the_same(
    desk: Desk, arguments: tuple[str, ...]
) -> None:
    desk.put(fine="ok")
    desk.run()
    ended = desk(*arguments)
    assert ended.returncode == Exit.OK
    assert "crew 'tiny' has no agent 'nope', so " in ended.stderr
    assert ended.stderr.strip().endswith("it has reader")
