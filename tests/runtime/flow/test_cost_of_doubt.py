"""What a write costs of which only a person can say that it happened."""

import anyio
import anyio.lowlevel
import msgspec

from casework.protocols.records import Done, ReviewAction
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case
from casework.runtime.staff import CallRequest, Ruling
from casework.runtime.store.base import CaseStatus
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import Ask, crew, entries, runtime
from tests.support.small_staff import Lost, SmallStaff, SmallTool

#: What each write may cost at most, in millionths.
MOST = 7


class Priced(SmallStaff):
    """Says of every call that it may cost something."""

    def rule(self, request: CallRequest) -> Ruling:
        return msgspec.structs.replace(super().rule(request), micros_max=MOST)


async def pays(case: Case, inputs: Ask) -> object:
    return await case.call("pay", {"n": 1}, returns=object)


async def loses(arguments: object) -> object:
    raise Lost("connection lost")


async def test_a_write_that_a_person_says_happened_costs_what_it_may_cost_at_most_for_nobody_knows_better() -> None:
    store, plain = MemoryStore(), crew(pays, tools={"pay": SmallTool(loses, RiskTier.IRREVERSIBLE)})
    async with runtime(Priced(plain.flows, tools=plain.tools), store) as machine:
        await machine.open("pays", "c1", Ask())
        (asked,) = (await machine.wait("c1")).waits
        await machine.decide(asked.key, ReviewAction.APPROVE, by="ann")
        with anyio.fail_after(5):
            while (await machine.wait("c1")).status is not CaseStatus.CLOSED:
                await anyio.lowlevel.checkpoint()
    (done,) = await entries(store, Done)
    assert (done.found_by, done.cost.micros) == ("ann", MOST)
