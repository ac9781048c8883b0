"""What is paused by command on a PostgreSQL store is paused on every node, and goes on everywhere once resumed."""

import subprocess
import sys
from itertools import count
from pathlib import Path

import anyio
import pytest
from postgres_server import PostgresServer

from casework.runtime.seams import MICROS, World
from casework.runtime.store.postgres import PostgresStore
from casework.runtime.store.settings import SWITCHES
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.switches import read_switches
from tests.support import switched_service
from tests.support.command_desk import COMMAND

NUMBERS = count()
ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 60
#: More cases than a node finishes before it hears of a switch, at the latest with the renewal of each second.
CASES_MAX = 10_000


def node(url: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", switched_service.__name__, url]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def asked(process: "subprocess.Popen[str]", case_id: str) -> str:
    """Have a node open a case, or wait for it, and give where it stands."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{case_id}\n")
    process.stdin.flush()
    line = process.stdout.readline()
    assert line, "the node ended"
    return line.strip()


def held(process: "subprocess.Popen[str]", name: str) -> str:
    """Open cases on a node until one is held, and give its id."""
    for number in range(CASES_MAX):
        stands = asked(process, f"{name}-{number}")
        if stands != "completed":
            assert stands == "switch:tool:limit"
            return f"{name}-{number}"
    raise AssertionError("the node never heard of the switch")


def said(*arguments: str) -> str:
    ended = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.mark.promise("GUARD-6")
def test_a_pause_by_command_holds_on_every_node_and_a_resume_lets_all_of_them_go_on(postgres: PostgresServer) -> None:
    url = postgres.url(f"switched_{next(NUMBERS)}")
    one, other = node(url), node(url)
    try:
        assert (asked(one, "a"), asked(other, "b")) == ("completed", "completed")
        told = said("pause", "tool:limit", "--by", "ann", "--reason", "odd", "--store", url)
        assert told == "tool:limit is paused; `casework resume tool:limit --reason WHY` lets it go on"
        waiting = {held(one, "one"): one, held(other, "other"): other}
        # A node that begins now has heard of nothing, and finds it in the store.
        third = node(url)
        assert asked(third, "third") == "switch:tool:limit"
        third.kill()
        third.communicate(timeout=PATIENCE_SECONDS)
        told = said("resume", "tool:limit", "--by", "ben", "--reason", "mended", "--store", url)
        assert told == "tool:limit is resumed; cases that go on: 3"
        for case_id, process in {**waiting, "third": one}.items():
            assert any(asked(process, case_id) == "completed" for _ in range(CASES_MAX))
    finally:
        for process in (one, other):
            process.communicate(timeout=PATIENCE_SECONDS)
    lines = anyio.run(switched, url)
    assert [(each.target, each.paused, each.by, each.reason) for each in read_switches(lines)] == [
        ("tool:limit", True, "ann", "odd"),
        ("tool:limit", False, "ben", "mended"),
    ]


async def switched(url: str) -> str:
    reader = await open_reader(url, World())
    try:
        return await reader.setting(SWITCHES) or ""
    finally:
        await reader.aclose()


@pytest.mark.promise("GUARD-6")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_hint_that_was_lost_is_made_up_for_by_the_renewal_of_the_lease(postgres: PostgresServer) -> None:
    url, world, heard = postgres.url(f"switched_{next(NUMBERS)}"), World(), list[str]()
    with anyio.fail_after(20):
        one, other = await open_store(url, world), await open_store(url, world)
        assert isinstance(one, PostgresStore)
        one.ear.on_switch(heard.append)
        until = world.clock.wall_micros() + 60 * MICROS
        await one.renew("n1", until=until)
        assert heard == []
        await other.extend(SWITCHES, "a line\n")
        await one.renew("n1", until=until)
        await one.renew("n1", until=until)
        assert heard == ["a line\n"]
        await other.aclose()
        await one.aclose()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_pauses_hears_of_a_resume_that_came_in_between(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, world, heard = postgres.url(f"switched_{next(NUMBERS)}"), World(), list[str]()
    with anyio.fail_after(20):
        one, other = await open_store(url, world), await open_store(url, world)
        assert isinstance(one, PostgresStore)
        one.ear.on_switch(heard.append)
        until = world.clock.wall_micros() + 60 * MICROS

        async def meanwhile() -> None:
            await other.extend(SWITCHES, "resumed\n")
            await one.renew("n1", until=until)

        await one.renew("n1", until=until)
        monkeypatch.setattr(one, "_hint", meanwhile)
        await one.extend(SWITCHES, "paused\n")
        heard.append("paused here")
        await one.renew("n1", until=until)
        assert heard == ["paused\nresumed\n", "paused here", "paused\nresumed\n"]
        await other.aclose()
        await one.aclose()
