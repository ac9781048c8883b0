"""Flows that do what no flow should: the one case says what it was, nothing unreadable is recorded, others go on."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from casework.protocols.records import Halted
from casework.runtime.flow.case import Case, Flow
from casework.runtime.flow.replay import decode_log
from casework.runtime.store.base import CaseStatus, WaitKind
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, Ask, crew, entries, runtime


class Odd(BaseException):
    """What nobody catches."""


RAISED = [SystemExit("bye"), GeneratorExit(), Odd("mine"), BaseExceptionGroup("some", [Odd("inner")])]


async def well(case: Case, inputs: Ask) -> str:
    await case.park("go", reason="waits")
    return "done"


@pytest.mark.promise("NODE-3")
@pytest.mark.parametrize("branch", [False, True])
@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: type(raised).__name__)
async def test_whatever_a_flow_raises_it_halts_its_own_case_and_says_so(raised: BaseException, branch: bool) -> None:
    async def breaks(case: Case, inputs: Ask) -> None:
        await case.note("begun")
        raise raised

    async def odd(case: Case, inputs: Ask) -> None:
        if branch:
            await case.gather(breaks(case, inputs), case.park("never", reason="beside it"))
        await breaks(case, inputs)

    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(well, odd), store) as machine:
            await machine.open("well", "other", Ask())
            await machine.open("odd", "c1", Ask())
            row = await machine.wait("c1")
            assert [(wait.kind, type(raised).__name__ in wait.reason) for wait in row.waits] == [
                (WaitKind.OPERATOR, True)
            ]
            await machine.deliver("other", key="go", by="test")
            assert (await machine.wait("other")).status is CaseStatus.CLOSED


async def sleeps(case: Case, inputs: Ask) -> None:
    await case.sleep_until(await case.now() + 3.6e9)  # type: ignore[arg-type]


async def notes(case: Case, inputs: Ask) -> None:
    await case.note(None)  # type: ignore[arg-type]


async def parks(case: Case, inputs: Ask) -> None:
    await case.park(7, reason="seven")  # type: ignore[arg-type]


async def asks(case: Case, inputs: Ask) -> None:
    await case.review("look", 1, rule="test", consequences=[("approve",)])  # type: ignore[list-item]


async def delegates(case: Case, inputs: Ask) -> None:
    await case.delegate("double", inputs, returns=int, goal="g", calls=2.5)  # type: ignore[arg-type]


async def tries(case: Case, inputs: Ask) -> None:
    await case.delegate("double", inputs, returns=int, goal="g", attempts="3")  # type: ignore[arg-type]


async def gathers(case: Case, inputs: Ask) -> None:
    await case.gather(1, 2)  # type: ignore[arg-type]


async def sleeps_for_ever(case: Case, inputs: Ask) -> None:
    await case.sleep_until(1 << 63)


async def parks_for_nul(case: Case, inputs: Ask) -> None:
    await case.park("a\0b", reason="waits")


async def parks_for_too_long(case: Case, inputs: Ask) -> None:
    await case.park("k" * 1_001, reason="waits")


async def parks_for_nothing(case: Case, inputs: Ask) -> None:
    await case.park("", reason="waits")


async def sends_under_nul(case: Case, inputs: Ask) -> None:
    await case.send("c2", "a\0b", 1)


async def sends_to_nul(case: Case, inputs: Ask) -> None:
    await case.send("c\0", "key", 1)


async def cancels_nul(case: Case, inputs: Ask) -> None:
    await case.cancel("c\0")


async def asks_for_nul(case: Case, inputs: Ask) -> None:
    await case.review("a\0b", 1, rule="test")


@pytest.mark.parametrize(
    "flow",
    [
        sleeps, notes, parks, asks, delegates, tries, gathers,
        sleeps_for_ever, parks_for_nul, parks_for_too_long, parks_for_nothing, sends_under_nul, sends_to_nul,
        cancels_nul, asks_for_nul,
    ],
)  # fmt: skip
async def test_what_could_not_be_read_back_is_not_recorded_and_the_case_says_why(
    flow: Callable[[Case, Ask], Coroutine[object, object, object]],
) -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(flow), store) as machine:
            await machine.open(flow.__name__, "c1", Ask())
            row = await machine.wait("c1")
            assert [wait.kind for wait in row.waits] == [WaitKind.OPERATOR]
            why = row.waits[0].reason.partition(":")[0]
            assert why in {"FrameInvalid", "TypeError", "ValueError", "ContractIncomplete"}
        assert decode_log(await store.records(KEY))


@pytest.mark.parametrize("text", ["a\ud800b", "a\0b", "\0" * 999])
async def test_why_a_case_halts_is_kept_whatever_its_error_says(text: str) -> None:
    async def fails(case: Case, inputs: Ask) -> None:
        raise ValueError(text)

    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(fails), store) as machine:
            await machine.open("fails", "c1", Ask())
            row = await machine.wait("c1")
            (halted,) = await entries(store, Halted)
            assert row.waits[0].reason == halted.reason
            assert halted.reason.startswith("ValueError: a\\" if "b" in text else "ValueError: \\0")
            assert "\0" not in halted.reason
            assert halted.reason.encode()


async def test_a_case_that_opens_itself_halts_and_does_not_wait_for_its_own_report() -> None:
    async def opens(case: Case, inputs: Ask) -> None:
        await case.open("opens", case.id, inputs)
        await case.next_report()

    with anyio.fail_after(5):
        async with runtime(crew(opens)) as machine:
            await machine.open("opens", "c1", Ask())
            (wait,) = (await machine.wait("c1")).waits
            assert wait.reason == "ValueError: case 'c1' cannot be below itself"


async def limits(case: Case, inputs: Ask) -> None:
    with anyio.fail_after(9):
        await case.park("go", reason="waits")


async def scopes(case: Case, inputs: Ask) -> None:
    with anyio.CancelScope():
        await case.gather(case.park("go", reason="waits"))


async def groups(case: Case, inputs: Ask) -> None:
    async with anyio.create_task_group() as jobs:
        jobs.start_soon(case.note, "beside")


async def times(case: Case, inputs: Ask) -> None:
    async with asyncio.timeout(9):
        await case.park("go", reason="waits")


@pytest.mark.promise("FLOW-8")
@pytest.mark.parametrize(
    ("flow", "tried"),
    [
        (limits, "anyio.fail_after"),
        (scopes, "anyio.CancelScope.__enter__"),
        (groups, "anyio."),
        (times, "asyncio."),
    ],
)
async def test_what_belongs_to_a_job_of_the_event_loop_cannot_be_entered_and_others_go_on(
    flow: Callable[[Case, Ask], Coroutine[object, object, object]], tried: str
) -> None:
    with anyio.fail_after(5):
        async with runtime(crew(well, flow)) as machine:
            await machine.open(flow.__name__, "c1", Ask())
            await machine.open("well", "other", Ask())
            (wait,) = (await machine.wait("c1")).waits
            assert wait.kind is WaitKind.OPERATOR
            assert wait.reason.startswith(f"ForeignAwait: flow {flow.__name__!r} awaited within {tried}")
            await machine.deliver("other", key="go", by="test")
            assert (await machine.wait("other")).status is CaseStatus.CLOSED


async def copes(case: Case, inputs: Ask) -> str:
    try:
        await limits(case, inputs)
    except (RuntimeError, TypeError):
        await case.note("there is no job to limit")
    return "done"


async def test_a_flow_that_gets_over_what_it_cannot_enter_goes_on() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(copes)) as machine:
            await machine.open("copes", "c1", Ask())
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED


@pytest.mark.parametrize("version", ["", " 2", "2\n", "2\0", "\ud800", "x" * 101, 2, None])
def test_a_version_that_no_case_can_be_pinned_to_is_refused_with_the_flow(version: Any) -> None:
    with pytest.raises(ValueError, match="flow 'copes': its version must be printable text of at most 100 characters"):
        Flow.of(copes, inputs=Ask, version=version)


def test_versions_of_every_usual_kind_are_taken() -> None:
    for version in ("2", "1.4.0-rc.1+build.7", "2026-11 corrected", "größer", "x" * 100):
        assert Flow.of(copes, inputs=Ask, version=version).version == version


def test_a_flow_whose_text_is_not_there_is_refused_with_what_to_do() -> None:
    made: dict[str, Any] = {}
    exec("async def made(case, inputs): return None", made)  # such as of a program that was shipped without its text
    with pytest.raises(ValueError, match=r"flow 'made': its cases are pinned to the text of its function"):
        Flow.of(made["made"], inputs=Ask)
