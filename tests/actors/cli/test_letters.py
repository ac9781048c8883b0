"""Dead letters as commands, with processes of their own: listed, redriven, dropped."""

import json

import anyio
import pytest

from casework.actors.cli.exits import Exit
from casework.actors.cli.standing import news, standing
from casework.runtime import Case
from casework.runtime.letters import dead_letters, redrive
from casework.runtime.seams import World
from tests.support.command_desk import Desk
from tests.support.flow_scene import Ask, crew, runtime
from tests.support.tiny_crew import MENDED


@pytest.mark.promise("LETTER-1")
def test_a_task_that_broke_its_agent_is_listed_redriven_once_its_agent_is_mended_and_gone_from_the_list(
    desk: Desk,
) -> None:
    desk.put(fine="ok", odd="break")
    desk.run()
    (letter,) = json.loads(desk("letter", "list", "--json").stdout)
    assert (letter["letter"], letter["case"], letter["kind"]) == ("retry:odd:read", "odd", "task")
    assert (letter["what"], letter["who"], letter["tries"]) == ("read", "reader/1", 1)
    assert letter["error"].startswith("error: ValueError at tiny_crew.py:"), "never what it was about"
    lines = desk("letter", "list").stdout.splitlines()
    assert lines[0].split()[0] == "letter"
    assert lines[1].split()[:5] == ["retry:odd:read", "task", "read", "reader/1", "1"]
    same = "odd: parked, waits for retry:odd:read -> parked, waits for retry:odd:read again"
    assert desk("letter", "redrive", "odd", "--reason", "try it").stdout.splitlines()[1:] == [same]
    (desk.input / MENDED).touch()
    again = desk("letter", "redrive", "odd", "--by", "ann", "--reason", "the agent is mended")
    assert again.stdout.splitlines()[:2] == [
        "retry:odd:read: redriven",
        "odd: parked, waits for retry:odd:read -> closed (completed)",
    ]
    assert "has no dead letter" in desk("letter", "list").stderr
    told = desk("show", "odd").stdout
    assert "retry:odd:read arrived from ann" in told
    assert "the agent is mended" in told


def test_a_letter_that_is_dropped_leaves_its_flow_to_go_on_and_what_is_no_letter_is_refused(desk: Desk) -> None:
    desk.put(odd="break")
    desk.run()
    assert "--reason: say why" in desk("letter", "drop", "odd", "--reason", " ").stderr
    dropped = json.loads(desk("letter", "drop", "retry:odd:read", "--reason", "of no use", "--json").stdout)
    assert dropped["what"] == "retry:odd:read: dropped"
    assert [change["after"] for change in dropped["changed"]] == ["closed (failed)"]
    late = desk("letter", "redrive", "odd", "--reason", "r")
    assert (late.returncode, late.stdout) == (Exit.NOT_FOUND, "")
    assert "there is no dead letter 'odd'" in late.stderr


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_case_that_breaks_again_once_it_was_redriven_is_said_to_wait_again() -> None:
    async def breaks(case: Case, inputs: Ask) -> None:
        raise ValueError("a bug of the flow")

    with anyio.fail_after(5):
        async with runtime(crew(breaks)) as machine:
            await machine.open("breaks", "c1", Ask())
            await machine.wait("c1")
            before = await standing(machine.store)
            (letter,) = await dead_letters(machine.store)
            await redrive(machine.store, letter, by="ann", reason="r", world=World())
            await machine.wait_idle()
            (change,) = (await news(machine.store, before, await standing(machine.store))).changed
    wants = "parked, waits for operator:c1"
    assert (change.before, change.after) == (wants, f"{wants} again")
