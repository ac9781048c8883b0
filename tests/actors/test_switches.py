"""A kill switch stops what is paused at the very moment of a call; the cases park, and go on when it is resumed."""

import anyio
import pytest

from casework.actors.testing import CaseBench, FakeTool
from casework.actors.timeline import timeline
from casework.protocols.codec import unpack
from casework.protocols.errors import FrameInvalid
from casework.protocols.records import Arrived, Decision, Intent
from casework.runtime import Case
from casework.runtime.seams import World
from casework.runtime.store.base import CaseStatus
from casework.runtime.store.door_wire import TurnAsked
from casework.runtime.switchboard import answer, pause, resume
from casework.runtime.switches import SETTING, Switch, Switches, read_switches
from tests.support.refund_crew import Refund, crew

TOOLS = {"limit": FakeTool(50), "bank.pay": FakeTool("receipt"), "bank.claim": FakeTool("receipt")}
WORLD = World()


async def reads(case: Case, inputs: Refund) -> int:
    return await case.call("limit", {"customer": inputs.customer}, returns=int)


async def writes(case: Case, inputs: Refund) -> str:
    return await case.call("bank.claim", inputs, returns=str)


async def judges(case: Case, inputs: Refund) -> bool:
    given = await case.delegate("judge", inputs, returns=bool, goal="Is it fine?", tools=["limit"])
    return given.value


#: the flow, what is paused, the tool that is not called, and what the case gives in the end
HELD = [
    ("reads", "tool:limit", "limit", 50),
    ("writes", "tool:bank.claim", "bank.claim", "receipt"),
    ("writes", "tenant:default", "bank.claim", "receipt"),
    ("judges", "tool:limit", "limit", True),
    ("judges", "agent:judge", "limit", True),
]


@pytest.mark.promise("GUARD-6")
@pytest.mark.parametrize(("flow", "target", "tool", "value"), HELD)
@pytest.mark.parametrize("crashes", [False, True], ids=["goes on", "begins anew"])
async def test_what_is_paused_is_not_called_and_the_case_parks_until_it_is_resumed(
    flow: str, target: str, tool: str, value: object, crashes: bool
) -> None:
    with anyio.fail_after(20):
        async with CaseBench(crew(reads, writes, judges), tools=TOOLS) as bench:
            await pause(bench.runtime, target, by="ann", reason="it pays twice", world=WORLD)
            await bench.open(flow, "c1", Refund("c", 40))
            if crashes:
                await bench.crash()
            await bench.forward(seconds=20)
            assert bench.calls(tool) == []
            assert bench.row("c1").status is CaseStatus.PARKED
            assert [wait.key for wait in bench.waits("c1")] == [f"switch:{target}"]
            decided = [each for each in bench.log("c1").entries if isinstance(each, Decision) and each.rule == "switch"]
            assert decided[0].why == f"not called: {target} was paused by ann: it pays twice"
            told = timeline(await bench.runtime.store.records(bench.row("c1").key))
            assert {line.step.rpartition(":")[2] for line in told if ":(" in line.step} == {"(switch)"}
            assert await resume(bench.runtime, target, by="ben", reason="it is mended", world=WORLD) == 1
            await bench.settle()
            assert bench.value("c1", type(value)) == value
            assert len(bench.calls(tool)) == 1
            (heard,) = [each for each in bench.log("c1").entries if isinstance(each, Arrived)]
            assert (heard.by, unpack(heard.value, str)) == ("ben", "it is mended")


async def test_a_write_that_was_held_is_made_once_under_the_key_of_its_step() -> None:
    with anyio.fail_after(20):
        async with CaseBench(crew(writes), tools=TOOLS) as bench:
            await pause(bench.runtime, "tool:bank.claim", by="ann", reason="r", world=WORLD)
            await bench.open("writes", "c1", Refund("c", 40))
            await bench.forward(hours=5)
            await resume(bench.runtime, "tool:bank.claim", by="ann", reason="r", world=WORLD)
            await bench.settle()
            assert len(bench.calls("bank.claim")) == 1
            intents = [each for each in bench.log("c1").entries if isinstance(each, Intent)]
            assert len({each.key for each in intents}) == 1
            assert intents[-1].call_before > intents[0].call_before


async def test_others_go_on_and_who_did_what_and_why_stands_in_the_store() -> None:
    with anyio.fail_after(20):
        async with CaseBench(crew(reads, writes), tools=TOOLS) as bench:
            await pause(bench.runtime, "tool:bank.claim", by="ann", reason="it pays twice", world=WORLD)
            await resume(bench.runtime, "tool:bank.claim", by="ben", reason="mended", world=WORLD)
            await pause(bench.runtime, "agent:judge", by="ann", reason="odd", world=WORLD)
            await bench.crash()
            await bench.open("writes", "c1", Refund("c", 40))
            assert bench.value("c1", str) == "receipt"
            told = read_switches(await bench.runtime.store.setting(SETTING) or "")
    assert [(each.target, each.paused, each.by, each.reason) for each in told] == [
        ("tool:bank.claim", True, "ann", "it pays twice"),
        ("tool:bank.claim", False, "ben", "mended"),
        ("agent:judge", True, "ann", "odd"),
    ]


@pytest.mark.parametrize("paused", [True, False])
@pytest.mark.parametrize(
    ("by", "reason", "why"),
    [
        ("", "r", "say who"),
        (" ", "r", "say who"),
        ("a" * 301, "r", "say who"),
        ("ann", "", "say why"),
        ("ann", "\n", "say why"),
        ("ann", "r" * 2_001, "say why"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_nobody_pauses_or_resumes_without_saying_who_and_why(
    by: str, reason: str, why: str, *, paused: bool
) -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(reads), tools=TOOLS) as bench:
            with pytest.raises(FrameInvalid, match=why):
                await answer(bench.runtime, WORLD, TurnAsked(target="tool:limit", paused=paused, by=by, reason=reason))
            assert await bench.runtime.store.setting(SETTING) is None


async def test_what_cannot_be_paused_is_refused() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(reads), tools=TOOLS) as bench:
            for target in ("limit", "flow:reads", "tool:", "tool:a\nb"):
                with pytest.raises(ValueError, match="cannot be paused"):
                    await pause(bench.runtime, target, by="ann", reason="r", world=WORLD)


def test_what_is_paused_again_goes_on_when_it_is_resumed_once() -> None:
    paused = Switch(target="tool:a", paused=True, by="ann", reason="r", at=1)
    switches = Switches([paused, paused])
    switches.turn(Switch(target="tool:a", paused=False, by="ann", reason="r", at=2))
    assert switches.holds("t", "", "a") is None


def test_a_line_that_a_newer_version_wrote_is_passed_over() -> None:
    line = '{"target":"tool:a","paused":true,"by":"ann","reason":"r","at":1}'
    (found,) = read_switches(f'{line}\n{{"odd": 1}}\nno json\n')
    assert found == Switch(target="tool:a", paused=True, by="ann", reason="r", at=1)
    assert Switches([found]).holds("t", "", "a") == found
    assert Switches([found]).holds("t", "a", "b") is None
