"""What was accepted for a case and is not in its log is shown, and whoever sent it is told that it came too late."""

import json
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from casework.actors.cli.app import main
from casework.actors.cli.exits import Exit
from casework.actors.cli.unread import TOO_LATE, unread
from casework.actors.cli.writing import in_time
from casework.protocols.codec import encode
from casework.protocols.records import Cancel
from casework.runtime.flow.case import Case
from casework.runtime.seams import World
from casework.runtime.store.base import Append, CaseStatus, Delivered, DeliverResult
from casework.runtime.store.urls import open_store
from tests.support.flow_scene import KEY, Ask, closed, crew, runtime, steps
from tests.support.odd_stores import OddStore


async def waits(case: Case, inputs: Ask) -> int:
    await case.park("go", reason="waits")
    return inputs.n


async def test_a_cancel_that_is_accepted_while_the_case_closes_stays_visible() -> None:
    store = OddStore()
    with anyio.fail_after(5):
        async with runtime(crew(waits), store) as machine:
            await machine.open("waits", "c1", Ask(1))
            await machine.wait("c1")
            store.hold()
            before = len(store.appends)
            await machine.deliver("go", by="ann")
            while len(store.appends) == before:
                await anyio.lowlevel.checkpoint()
            assert isinstance(await machine.cancel("c1", by="ann", reason="no more"), Delivered)
            await anyio.wait_all_tasks_blocked()
            store.let_go()
            await closed(store)
        assert "cancel" not in [kind for kind, _ in await steps(store)]
        (message,) = await unread(store.inner, KEY)
        assert (message.kind, message.what, message.why) == ("cancel", "ann asked it to stop: no more", TOO_LATE)


def made(path: Path, *, end: bool) -> str:
    """Make a case that waits, with a message that it does not want, and have it end if it is to."""
    url = f"sqlite:///{path}"

    async def make() -> None:
        async with runtime(crew(waits), url) as machine:
            await machine.open("waits", "c1", Ask(1))
            await machine.wait("c1")
            await machine.deliver("c1", key="other", by="bob")
            await machine.wait("c1")
            if end:
                await machine.deliver("c1", key="go", by="bob")
                assert (await machine.wait("c1")).status is CaseStatus.CLOSED

    anyio.run(make)
    return url


@pytest.mark.parametrize("end", [False, True])
def test_show_tells_what_is_in_the_inbox_and_why_it_is_not_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], end: bool
) -> None:
    url = made(tmp_path / "cases.db", end=end)
    why = TOO_LATE if end else "nothing waits for it yet"
    assert main(["show", "c1", "--store", url]) == 0
    assert f"not in its log: other from bob; {why}" in capsys.readouterr().out
    assert main(["show", "c1", "--store", url, "--json"]) == 0
    (message,) = json.loads(capsys.readouterr().out)["unread"]
    assert (message["what"], message["why"]) == ("other from bob", why)


def test_a_case_that_has_read_everything_shows_nothing_of_the_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/cases.db"

    async def make() -> None:
        async with runtime(crew(waits), url) as machine:
            await machine.open("waits", "c1", Ask(1))
            await machine.wait("c1")
            await machine.deliver("go", by="bob")
            await machine.wait("c1")

    anyio.run(make)
    assert main(["show", "c1", "--store", url]) == 0
    assert "not in its log" not in capsys.readouterr().out


def test_whoever_sends_what_comes_as_a_case_closes_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = made(tmp_path / "cases.db", end=False)

    async def meanwhile() -> DeliverResult:
        """Have a message taken, and the case end before anybody reads it."""
        store = await open_store(url, World())
        result = await store.deliver("default", "c1", "x", encode(Cancel(message_id="x", by="ann")))
        (claimed,) = (await store.claim("n", limit=1, now=1)).cases
        row = claimed.row
        await store.append(Append(row.key, row.epoch, row.next_seq, (), CaseStatus.CLOSED, result="completed"))
        await store.aclose()
        return result

    result = anyio.run(meanwhile)
    assert in_time(url, result, "x") is Exit.WRONG
    assert f"c1: {TOO_LATE}" in capsys.readouterr().err
    assert in_time(url, result, "another") is Exit.OK
