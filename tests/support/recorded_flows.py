"""Small flows whose logs are kept as fixtures: together they use every operation. A flow here never changes.

A recorded log names the source of its flow, so whoever changes one of these functions makes fixtures that no flow can
replay. What is new in a release gets new flows, at the end of this file.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from casework.protocols.wire import OnStop, RiskTier
from casework.runtime.errors import CallFailed, CaseCancelled, ReviewRejected, TaskFailed
from casework.runtime.flow.case import Case, Flow
from tests.support.flow_scene import Ask, crew
from tests.support.small_staff import Gone, Lost, SmallStaff, SmallTool


async def leaf(case: Case, inputs: Ask) -> int:
    return inputs.n


async def stubborn(case: Case, inputs: Ask) -> str:
    try:
        await case.park("nothing", reason="waits for ever")
    except CaseCancelled:
        await case.note("taking back", level="warning", place="a.csv:3", data={"n": inputs.n})
    return "stopped"


async def steps(case: Case, inputs: Ask) -> list[object]:
    told: list[object] = [await case.now(), await case.random(), await case.new_id()]
    await case.note("begin", data={"amount": "12.34", "sure": True, "none": None})
    told.append(await case.call("read", {"n": 1}, returns=int))
    result = await case.delegate(
        "work", {"n": 6}, returns=int, goal="work", tools=("read", "book"), tier=RiskTier.REVERSIBLE
    )
    told.append(result.value)
    told.append(await case.call("book", {"n": 2}, returns=int))
    await case.decide("end", ("a", "b"), "a", rule="test", why="it is first", confidence=0.9, inputs={"n": 1})
    return told


async def failures(case: Case, inputs: Ask) -> list[str]:
    told: list[str] = []
    try:
        await case.delegate("nobody", {}, returns=int, goal="nobody can", on_stop=OnStop.FAIL)
    except TaskFailed as error:
        told.append(f"task {error.kind}")
    for tool in ("absent", "refuse", "book_and_fail", "lose"):
        try:
            await case.call(tool, {"n": 1}, returns=int)
        except CallFailed as error:
            told.append(f"{tool} {error.kind}")
    return told


async def people(case: Case, inputs: Ask) -> list[object]:
    approved = await case.review(
        "approve", {"n": 1}, rule="test", summary="one", consequences=(("approve", "it is booked"),)
    )
    edited = await case.review("edit", {"n": 2}, rule="test")
    told: list[object] = [approved.by, edited.action, edited.value]
    told.append((await case.review("reject", {"n": 3}, rule="test")).action)
    try:
        told.append(await case.call("ask_first", {"n": 4}, returns=int))
    except ReviewRejected as error:
        told.append(error.by)
    expired = await case.review("nobody looks", {"n": 5}, rule="test", expires_seconds=5)
    return [*told, expired.action]


async def branches(case: Case, inputs: Ask) -> list[object]:
    async def slow() -> object:
        await case.sleep(10)
        return (await case.park("paper", reason="it is missing")).by

    async def fast() -> object:
        return await case.call("read", {"n": 3}, returns=int)

    told: list[object] = list(await case.gather(slow(), fast()))
    lost = case.review("nobody needs it", {"n": 1}, rule="test")
    index, _ = await case.first(case.park("never", reason="loses"), lost, case.call("read", {"n": 4}, returns=int))
    moment = await case.now()
    await case.sleep_until(moment + 1_000_000)
    return [*told, index]


async def family(case: Case, inputs: Ask) -> list[object]:
    await case.open("leaf", f"{case.id}/leaf", Ask(5))
    first = await case.next_report()
    await case.open("stubborn", f"{case.id}/stubborn", Ask(6))
    second = await case.next_report()
    await case.send(f"{case.id}/stubborn", "something", {"n": 7})
    await case.cancel(f"{case.id}/stubborn", reason="enough")
    third = await case.next_report()
    return [first.status, second.status, second.needs, third.result]


async def waits(case: Case, inputs: Ask) -> object:
    return await case.gather(
        case.park("paper", reason="it is missing"), case.review("look", {"n": 1}, rule="test"), case.sleep(86_400)
    )


async def breaks(case: Case, inputs: Ask) -> None:
    await case.note("before it breaks")
    raise ValueError("it broke")


async def fails(case: Case, inputs: Ask) -> int:
    return await case.call("absent", {"n": 1}, returns=int)


async def quiet(case: Case, inputs: Ask) -> None:
    await case.park("nothing", reason="waits for ever")


async def chapters(case: Case, inputs: Ask) -> int:
    await case.note(f"chapter {inputs.n}")
    book = await case.call("book", {"n": inputs.n}, returns=int)
    if inputs.n < 3:
        await case.next_chapter(Ask(inputs.n + 1))
    return book


async def moves(case: Case, inputs: Ask) -> str:
    arrived = await case.park("paper", reason="it is missing")
    return f"the first version: {arrived.by}"


async def moves_on(case: Case, inputs: Ask) -> str:
    """Be the second version of `moves`."""
    arrived = await case.park("paper", reason="it is missing")
    await case.note("the second version notes")
    return f"the second version: {arrived.by}"


async def sagas(case: Case, inputs: Ask) -> None:
    async with case.saga():
        await case.call("label", {"n": 1}, returns=int)
        await case.call("book", {"n": 2}, returns=int)
        await case.call("book_and_fail", {"n": 3}, returns=int)


async def _read(arguments: Mapping[str, int]) -> int:
    return arguments["n"]


async def _book(arguments: Mapping[str, int]) -> int:
    return arguments["n"] * 10


async def _fail(arguments: Mapping[str, int]) -> int:
    raise Gone("it was not booked")


async def _lose(arguments: Mapping[str, int]) -> int:
    raise Lost("nobody heard")


async def _work(inputs: Any, call: Callable[[str, object], Awaitable[Any]]) -> int:
    return int(await call("read", {"n": inputs["n"]})) + int(await call("book", {"n": 7}))


def staff() -> SmallStaff:
    """Give the staff that ran these flows."""
    write = RiskTier.REVERSIBLE
    tools: dict[str, Any] = {
        "read": SmallTool(_read),  # type: ignore[arg-type]  # a tool takes what its flow gives it
        "book": SmallTool(_book, write),  # type: ignore[arg-type]  # as above
        "refuse": SmallTool(_fail),  # type: ignore[arg-type]  # as above
        "book_and_fail": SmallTool(_fail, write),  # type: ignore[arg-type]  # as above
        "lose": SmallTool(_lose, write, lookup=_fail),  # type: ignore[arg-type]  # as above
        "label": SmallTool(_book, write, undo="unlabel"),  # type: ignore[arg-type]  # as above
        "unlabel": SmallTool(_book, write, undo="label"),  # type: ignore[arg-type]  # as above
        "ask_first": SmallTool(_book, write, approval="a person says"),  # type: ignore[arg-type]  # as above
    }
    flows = (leaf, stubborn, steps, failures, people, branches, family, waits, breaks, fails, quiet, chapters, moves)
    made = crew(*flows, sagas, doers={"work": _work}, tools=tools)
    second = replace(Flow.of(moves_on, inputs=Ask, version="2", tools=tuple(tools)), name="moves")
    return replace(made, flows={**made.flows, "moves of version 2": second})
