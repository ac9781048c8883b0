"""Breakers, pause and resume, as commands: with a process that owns the store, and without one."""

import json
from pathlib import Path

import anyio
import pytest

from casework.actors.cli.exits import Exit
from casework.runtime import Case, Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import CaseStatus
from casework.runtime.store.sqlite import SqliteStore
from casework.runtime.switches import SETTING, read_switches
from tests.support.command_desk import COMMAND, Desk
from tests.support.refund_crew import Refund, crew


async def reads(case: Case, inputs: Refund) -> int:
    return await case.call("limit", {"customer": inputs.customer}, returns=int)


async def said(*arguments: str, exit_code: int = Exit.OK) -> str:
    ended = await anyio.run_process([*COMMAND, *arguments], check=False)
    assert ended.returncode == exit_code, ended.stderr.decode()
    return (ended.stdout or ended.stderr).decode()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_tool_is_paused_and_resumed_in_the_process_that_owns_the_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    with anyio.fail_after(50):
        async with Runtime(crew(reads), url) as runtime:
            told = await said("pause", "tool:limit", "--by", "ann", "--reason", "odd", "--store", url)
            assert told.startswith("tool:limit is paused")
            await runtime.open("reads", "c1", Refund("c", 40))
            row = await runtime.wait("c1")
            assert (row.status, [wait.key for wait in row.waits]) == (CaseStatus.PARKED, ["switch:tool:limit"])
            told = await said("resume", "tool:limit", "--by", "ben", "--reason", "fine", "--store", url, "--json")
            assert json.loads(told)["cases"] == 1
            assert (await runtime.wait("c1")).status is CaseStatus.CLOSED, "its tool fails, for no fake stands in"
            (circuit,) = json.loads(await said("breakers", "--store", url, "--json"))
            assert (circuit["kind"], circuit["name"], circuit["state"]) == ("tool", "limit", "closed")
            lines = read_switches(await runtime.store.setting(SETTING) or "")
    assert [(each.by, each.paused, each.reason) for each in lines] == [("ann", True, "odd"), ("ben", False, "fine")]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_without_an_owner_a_pause_is_written_down_and_breakers_say_what_to_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    with anyio.fail_after(50):
        await (await SqliteStore.open(url, f"{tmp_path}/s.db", World())).aclose()
        await said("pause", "tenant:ann", "--by", "ben", "--reason", "unpaid", "--store", url)
        assert "no process owns it" in await said("breakers", "--store", url, exit_code=Exit.STORE)
        refused = await said("pause", "flow:reads", "--reason", "r", "--store", url, exit_code=Exit.USAGE)
        assert "name agent:NAME, tool:NAME or tenant:NAME" in refused
        refused = await said("pause", "tool:limit", "--reason", " ", "--store", url, exit_code=Exit.USAGE)
        assert "--reason: say why" in refused
        async with Runtime(crew(reads), url, tenant="ann") as runtime:
            await runtime.open("reads", "c1", Refund("c", 40))
            assert [wait.key for wait in (await runtime.wait("c1")).waits] == ["switch:tenant:ann"]


def test_a_name_that_the_crew_does_not_have_is_told_for_it_holds_nothing(desk: Desk) -> None:
    desk.put(fine="ok")
    desk.run()
    paused = desk("pause", "agent:raeder", "--reason", "odd answers")
    assert paused.returncode == 0
    assert "crew 'tiny' has no agent 'raeder', so it holds nothing; it has reader" in paused.stderr
    assert desk("pause", "agent:reader", "--reason", "odd answers").stderr == ""
