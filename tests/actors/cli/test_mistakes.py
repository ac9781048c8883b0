"""Whatever is wrong with what the command is given, it says so in one line and ends with the exit code for it."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import urllib.request
from contextlib import closing

import anyio
import pytest
from msgspec import Struct

from casework.actors import Crew, Policy
from casework.actors.crew import load_crew
from casework.actors.errors import CrewInvalid
from casework.runtime import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.urls import open_store
from casework.runtime.telemetry import Telemetry
from tests.support.command_desk import COMMAND, SUPPORT, Desk


def standing(desk: Desk) -> dict[str, str]:
    """Give where each case stands."""
    return {case["case"]: case["status"] for case in json.loads(desk("cases", "--json").stdout)}


class Nothing(Struct, frozen=True):
    """Inputs of a case that needs none."""


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
        (("deliver", os.fsdecode(b"caf\xe9"), "/etc/hostname"), 2),
        (("deliver", "", "/etc/hostname"), 2),
        (("cancel", "nobody", "--reason", "x"), 3),
        (("cancel", "nobody", "--reason", " "), 2),
        (("trace", "nobody", "-o", "/dev/null"), 3),
        (("serve", "tiny_crew:crew", "--port", "99999"), 2),
        (("serve", "tiny_crew:crew", "--port", "-1"), 2),
        (("serve", "tiny_crew:crew", "--port", "0", "--host", "no.such.host.invalid"), 2),
        (("serve", "tiny_crew:crew", "--port", "0", "--host", "two..dots"), 2),
    ],
)
def test_every_mistake_is_one_line_and_an_exit_code(desk: Desk, arguments: tuple[str, ...], code: int) -> None:
    desk.run()
    done = desk(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("casework: error: ")


@pytest.mark.parametrize(("arguments", "code"), [(("show", "nobody"), 3), (("run", "tiny_crew:crew", "/no/such"), 2)])
def test_errors_stay_on_standard_error_when_json_is_asked_for(
    desk: Desk, arguments: tuple[str, ...], code: int
) -> None:
    desk.run()
    done = desk(*arguments, "--json")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("casework: error: ")


@pytest.mark.parametrize("out", ["README.md", "README.md/below", "/proc/nothing"])
def test_an_output_folder_that_takes_nothing_is_refused_before_the_store_is_made(desk: Desk, out: str) -> None:
    desk.put(fine="ok")
    (desk.folder / "README.md").write_text("words")
    named = desk.folder / out
    done = desk("run", "tiny_crew:crew", desk.input, "--out", named)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert str(named) in done.stderr
    assert not (desk.folder / "cases.db").exists()


def test_an_output_folder_is_made_with_those_above_it(desk: Desk) -> None:
    desk.put(fine="ok")
    assert desk("run", "tiny_crew:crew", desk.input, "--out", desk.folder / "a" / "b").returncode == 0
    assert (desk.folder / "a" / "b").is_dir()


def test_a_very_long_key_is_not_said_back_in_full(desk: Desk) -> None:
    desk.run()
    done = desk("deliver", "k" * 5000, "/etc/hostname")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "CASE|KEY has 1 to 2500 bytes of UTF-8, not 5000" in done.stderr
    assert len(done.stderr) < 400


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


def test_a_port_that_somebody_has_is_refused_before_anything_says_that_it_listens(desk: Desk) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        done = desk("serve", "tiny_crew:crew", "--port", str(taken.getsockname()[1]))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith("casework: error: port ")


def test_the_port_that_was_free_is_the_one_that_is_said(served: str) -> None:
    url = json.loads(served)["health"]
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"alive\n"


def test_another_crews_store_is_refused(desk: Desk) -> None:
    desk.put(fine="ok")
    desk.run()
    shutil.copy(SUPPORT / "tiny_crew.py", desk.folder / "other.py")
    assert desk("run", "other:crew", desk.input, cwd=desk.folder).returncode == 2


def test_a_store_that_a_program_filled_with_another_crews_cases_is_refused(desk: Desk) -> None:
    desk.put(fine="ok")
    anyio.run(_fill_by_a_program, desk)
    run, serve = desk.run(), desk("serve", "tiny_crew:crew", "--port", "0")
    for done in (run, serve):
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert "crew garage" in done.stderr
    assert [line.split()[0] for line in desk("cases").stdout.splitlines()] == ["car"]


async def _fill_by_a_program(desk: Desk) -> None:
    """Open a case by a runtime of our own, which leaves no settings."""

    async def fix(case: Case, inputs: Nothing) -> None:
        await case.park("part", reason="it is ordered")

    store = await open_store(desk.store, World())
    try:
        crew = Crew("garage", flows=(Flow.of(fix, inputs=Nothing),), policy=Policy(name="garage"))
        async with Runtime(crew, store, telemetry=Telemetry.off()) as runtime:
            await runtime.open("fix", "car", Nothing())
            with anyio.fail_after(5):
                await runtime.wait_idle()
    finally:
        await store.aclose()


def test_a_traceback_is_shown_only_when_asked_for(desk: Desk) -> None:
    assert "Traceback" not in desk("show", "nobody").stderr
    assert "Traceback" in desk("show", "nobody", "--debug").stderr


async def test_what_reaches_nobody_is_not_called_recorded_and_nothing_is_worked_on(desk: Desk) -> None:
    await (await open_store(desk.store, World())).aclose()
    for arguments in (("deliver", "paper", __file__), ("cancel", "nobody", "--reason", "late")):
        done = desk(*arguments)
        assert (done.returncode, done.stdout) == (3, "")
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("casework:")]
        assert line.startswith(f"casework: error: no open case is called {arguments[1]!r}")


@pytest.mark.parametrize("name", ["r 103", "é", "r" * 120, "a\udcff"])
def test_a_case_that_cannot_be_opened_is_told_and_the_others_are(desk: Desk, name: str) -> None:
    desk.put(**{"before": "ok", name: "ok", "zz": "ok"})
    for more in ((), ("--project", "books")):
        done = desk.run(*more)
        assert done.returncode == 2
        assert done.stderr.count("was not opened: case id") == 1
        assert done.stderr.splitlines()[-1].startswith(f"{desk.input}: case '")
        assert "Traceback" not in done.stderr
    assert standing(desk) == {"before": "closed", "zz": "closed"}


def test_inputs_that_fit_into_no_record_are_told_and_the_other_cases_opened(desk: Desk) -> None:
    desk.put(fine="ok", large="x" * (1 << 20))
    done = desk.run()
    (line,) = done.stderr.splitlines()
    assert (done.returncode, standing(desk)) == (2, {"fine": "closed"})
    assert line.startswith(f"{desk.input}: case 'large' was not opened: frame of ")


#: A crew whose intake delivers something that nobody can take, names a flow that is not there, and does the rest.
CLUMSY = """
from dataclasses import replace

import tiny_crew
from casework.actors import Agent, Crew, OpenCase, Policy
from casework.actors.intake import DeliverKey
from casework.runtime import Flow


def intake(folder, settings):
    taken = tiny_crew.intake(folder, settings)
    absent = OpenCase("absent", "nowhere", tiny_crew.Line(name="x", text="ok"))
    large, unfit = DeliverKey("paper:late", "x" * (1 << 21)), DeliverKey("paper:\\0", "here")
    said = (large, unfit, DeliverKey("paper:late", "here"))
    return replace(taken, openings=(absent, *taken.openings), deliveries=said)


line = Flow.of(tiny_crew.line, inputs=tiny_crew.Line)
crew = Crew("tiny", flows=(line,), agents=(Agent("reader", {"read": tiny_crew.read}),), policy=Policy(name="tiny"),
            intake=intake)
"""


def test_a_delivery_that_fits_into_no_record_and_a_flow_that_is_not_there_are_told_while_the_rest_goes_on(
    desk: Desk,
) -> None:
    desk.put(late="wait")
    shutil.copy(SUPPORT / "tiny_crew.py", desk.folder)
    (desk.folder / "clumsy.py").write_text(CLUMSY)
    done = desk("run", "clumsy:crew", desk.input, "--out", desk.folder / "out", cwd=desk.folder)
    absent, large, unfit = done.stderr.splitlines()
    assert (done.returncode, standing(desk)) == (2, {"late": "closed"})
    assert absent == f"{desk.input}: case 'nowhere' was not opened: flow absent: crew tiny has line"
    assert large.startswith(f"{desk.input}: 'paper:late' was not delivered: frame of ")
    assert unfit.endswith("a key has no NUL and no half of a character, as 'paper:\\x00' has at place 6")


def test_who_has_closed_standard_output_or_error_is_told_nothing(desk: Desk) -> None:
    desk.put(fine="ok", bad="bad")
    shell = f"exec {shlex.join(COMMAND)}"
    for arguments, code in (("cases >&-", 0), ("cases >&- 2>&-", 0), ("cases 0<&- >&-", 0), ("show nobody 2>&-", 3)):
        desk.run()
        done = subprocess.run(
            ["sh", "-c", f"{shell} {arguments}"], env=desk.environ, cwd=SUPPORT, capture_output=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (code, b"", b""), arguments


def test_who_works_in_memory_is_told_that_nothing_of_it_stays(desk: Desk) -> None:
    desk.put(fine="ok")
    done = desk.run("--store", "memory:")
    assert done.returncode == 0
    assert "casework: note: memory: all of it is gone now; name a file, --store sqlite:///FILE, to keep" in done.stderr


def test_a_cost_is_asked_of_a_case_that_has_a_name(desk: Desk) -> None:
    desk.put(fine="ok")
    desk.run()
    done = desk("cost", "--case", "")
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no case ''" in done.stderr


def test_the_name_of_a_crew_that_is_shown_to_whoever_left_out_half_of_it_is_one_that_there_is() -> None:
    with pytest.raises(CrewInvalid) as refused:
        load_crew("shop")
    assert load_crew(str(refused.value).rpartition(" ")[2]).name == "bookkeeping"
