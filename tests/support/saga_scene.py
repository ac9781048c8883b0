"""What tests of sagas share: a world in which things are done and undone, and flows over it."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import anyio
import anyio.lowlevel

from casework.protocols.records import Closed, Partial, ReviewAction
from casework.protocols.wire import RiskTier
from casework.runtime.flow.saga import PARTIAL_RULE
from casework.runtime.store.base import CaseStatus, WaitKind
from tests.support.flow_scene import KEY, Ask, crew, entries, runtime
from tests.support.small_staff import Gone, Lost, SmallStaff, SmallTool

#: Tools that can be undone, each by the tool of its name with `un` before it.
NAMES = ("buy", "book", "mail")


class World:
    """The world outside: what was done and undone, in order; some of it goes wrong."""

    def __init__(self, **wrong: object) -> None:
        #: By tool: what its calls raise, in order; None is a call that goes well, as are those after the last.
        self.wrong: Mapping[str, list[Exception | None]] = {
            name: list(each) if isinstance(each, list) else [each] * 99  # type: ignore[list-item]  # tests give errors
            for name, each in wrong.items()
        }
        self.told: list[str] = []
        #: By tool: held up until somebody opens it.
        self.gates: dict[str, anyio.Event] = {}
        self.begun: list[str] = []

    def tool(self, name: str) -> Callable[[Any], Awaitable[object]]:
        async def run(arguments: Any) -> object:
            self.begun.append(name)
            if name in self.gates:
                await self.gates[name].wait()
            planned = self.wrong.get(name, [])
            error = planned.pop(0) if planned else None
            if not isinstance(error, Gone):
                self.told.append(f"{name} {arguments['n']}")
            if error is not None:
                raise error
            return arguments["n"]

        return run

    def staff(
        self,
        *flows: Callable[..., Coroutine[object, object, object]],
        lookups: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> SmallStaff:
        found = lookups or {}
        write = RiskTier.REVERSIBLE
        tools = {name: SmallTool(self.tool(name), write, undo=f"un{name}", lookup=found.get(name)) for name in NAMES}
        for name in NAMES:
            tools[f"un{name}"] = SmallTool(self.tool(f"un{name}"), write, undo=name, lookup=found.get(f"un{name}"))
        tools["pay"] = SmallTool(self.tool("pay"), RiskTier.IRREVERSIBLE, lookup=found.get("pay"))
        tools["look"] = SmallTool(self.tool("look"))
        return crew(*flows, tools=tools, **more)


def gone(times: int = 99) -> list[Exception | None]:
    return [Gone("the world said no")] * times


def lost() -> list[Exception | None]:
    return [Lost("the line broke")]


async def decided(
    machine: Any, store: Any, action: ReviewAction = ReviewAction.APPROVE, rule: str = PARTIAL_RULE
) -> Any:
    """Decide the open review of a rule, once there is one, and wait until the case rests again."""
    row = await machine.wait("c1")
    assert [wait.reason for wait in row.waits if wait.kind is WaitKind.REVIEW] == [rule], row
    (wait,) = [wait for wait in row.waits if wait.kind is WaitKind.REVIEW]
    await machine.decide(wait.key, action, by="ann")
    return await machine.wait("c1")


async def finish(staff: SmallStaff, flow: str, store: Any) -> Closed:
    """Run a case to its end; what stands is accepted."""
    with anyio.fail_after(10):
        async with runtime(staff, store) as machine:
            await machine.open(flow, "c1", Ask())
            row = await machine.wait("c1")
            if row.status is not CaseStatus.CLOSED:
                row = await decided(machine, store)
            assert row.status is CaseStatus.CLOSED, row
    (closed,) = await entries(store, Closed)
    assert isinstance(closed, Closed)
    return closed


async def partial(store: Any) -> dict[str, list[str]]:
    """Give the last account of a case: steps by where they stand."""
    found: list[Partial] = await entries(store, Partial, KEY)
    last = found[-1]
    lists = {"done": last.done, "undone": last.undone, "unknown": last.unknown}
    return {name: [effect.step_id for effect in each] for name, each in lists.items()}
