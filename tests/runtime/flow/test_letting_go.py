"""What a case leaves in memory when it has ended: nothing, without a collector having looked for it."""

import gc
from collections.abc import Callable, Coroutine, Iterator

import anyio
import anyio.lowlevel
import pytest

from casework.runtime.flow.case import Case
from casework.runtime.flow.casecell import CaseCell
from tests.support.flow_scene import Ask, crew, runtime
from tests.support.small_staff import Caller, SmallTool


async def calls(case: Case, inputs: Ask) -> object:
    return await case.call("read", {}, returns=int)


async def delegates(case: Case, inputs: Ask) -> object:
    return (await case.delegate("double", inputs, returns=int, goal="Double the number.")).value


async def fails(case: Case, inputs: Ask) -> object:
    return await case.call("nothing", {}, returns=int)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("flow", [calls, delegates, fails])
async def test_nothing_of_a_case_that_is_over_waits_for_the_collector(
    flow: Callable[[Case, Ask], Coroutine[object, object, object]],
) -> None:
    staff = crew(flow, doers={"double": _double}, tools={"read": SmallTool(_read)})
    before = _cells()
    with anyio.fail_after(30):
        async with runtime(staff) as machine:
            await machine.open(flow.__name__, "c1", Ask(1))
            await machine.wait("c1")
            while _cells() > before:
                await anyio.lowlevel.checkpoint()


async def _double(inputs: object, call: Caller) -> object:
    return 2


async def _read(arguments: object) -> object:
    return 1


def _cells() -> int:
    return sum(type(each) is CaseCell for each in gc.get_objects())
