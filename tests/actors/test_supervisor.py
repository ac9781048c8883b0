"""The supervisor: who gets a task, who waits, who is refused, and what happens when somebody is gone."""

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
from msgspec import Struct

from casework.actors.agent import Agent, Skill, Work
from casework.actors.crew import Crew
from casework.actors.staff import CrewStaff
from casework.actors.supervisor import choose_route
from casework.protocols.codec import encode
from casework.protocols.wire import Completed, Failed, FailureKind, Outcome
from tests.support.staff_scene import CaseDouble, Scene


class Amount(Struct, frozen=True):
    amount: int


class Hold:
    """A skill that works until it is let go, and says how many are at work."""

    def __init__(self) -> None:
        self.at_work = 0
        self.begun: list[int] = []
        self.go = anyio.Event()

    async def work(self, inputs: Amount, work: Work) -> int:
        self.begun.append(inputs.amount)
        self.at_work += 1
        try:
            await self.go.wait()
        finally:
            self.at_work -= 1
        return inputs.amount


class DeafCase(CaseDouble):
    """A case that breaks whoever brings it an outcome."""

    def outcome(self, frame: bytes, *, attempt: int) -> None:
        raise RuntimeError("the case is gone")


def failures(outcomes: Sequence[Outcome]) -> list[Failed]:
    """Give outcomes as the failures that all of them must be."""
    failed = [each for each in outcomes if isinstance(each, Failed)]
    assert len(failed) == len(outcomes)
    return failed


def crew_of(scene: Scene, function: Callable[..., Any], *, workers: int = 2, policy: str = "") -> Crew:
    return scene.crew([Agent("worker", {"work": Skill(Amount, int, function)}, workers=workers)], policy=policy)


def dispatch(
    scene: Scene, staff: CrewStaff, case: CaseDouble, number: int, *, attempt: int = 1, skill: str = "work"
) -> Failed | None:
    task = scene.task(skill, {"amount": number}, id_=f"t{number}")
    return staff.dispatch(encode(task), task, attempt, case)


@pytest.mark.parametrize(
    ("agent", "busy", "room", "rule", "worker", "refused"),
    [
        ("", (), True, "route.skill", "", True),
        ("a", (False, False), True, "route.free", "a-0", False),
        ("a", (True, False), False, "route.free", "a-1", False),
        ("a", (True, True), True, "route.wait", "", False),
        ("a", (True, True), False, "route.full", "", True),
    ],
)
def test_routes_are_chosen_by_a_table(
    agent: str, busy: tuple[bool, ...], room: bool, rule: str, worker: str, refused: bool
) -> None:
    free = tuple(f"a-{number}" for number, taken in enumerate(busy) if not taken)
    route = choose_route("work", agent, free, len(busy), room=room)
    assert (route.rule, route.worker, route.refused) == (rule, worker, refused)


@pytest.mark.promise("SUPERVISOR-1")
async def test_tasks_wait_for_a_free_worker_in_the_order_in_which_they_came(scene: Scene) -> None:
    hold, case = Hold(), scene.case()
    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, hold.work)) as staff:
            for number in range(6):
                assert dispatch(scene, staff, case, number) is None
            await anyio.wait_all_tasks_blocked()
            assert (hold.at_work, sorted(hold.begun)) == (2, [0, 1])
            hold.go.set()
            await case.wait_outcomes(6)
            routes = [route for number in range(6) if (route := staff.routed(f"t{number}", case.address)) is not None]
            assert [route.rule for route in routes] == ["route.free"] * 2 + ["route.waited"] * 4
            assert routes[5].options == ("agent-worker-0", "agent-worker-1")


async def test_one_worker_does_what_waits_in_the_order_in_which_it_came(scene: Scene) -> None:
    hold, case = Hold(), scene.case()
    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, hold.work, workers=1)) as staff:
            for number in range(6):
                dispatch(scene, staff, case, number)
            hold.go.set()
            await case.wait_outcomes(6)
            assert hold.begun == [0, 1, 2, 3, 4, 5]


@pytest.mark.promise("SUPERVISOR-1")
async def test_the_supervisor_hears_of_a_free_worker_only_where_a_task_waits_for_it(scene: Scene) -> None:
    holds, case, told = {"slow": Hold(), "quick": Hold()}, scene.case(), list[str]()
    agents = [Agent(name, {name: Skill(Amount, int, hold.work)}, workers=1) for name, hold in holds.items()]
    with anyio.fail_after(5):
        async with scene.staff(scene.crew(agents)) as staff:
            tell = staff.desk.freed

            def freed(agent: str) -> None:
                told.append(agent)
                tell(agent)

            staff.desk.freed = freed
            for number, skill in enumerate(("slow", "slow", "quick", "quick")):
                dispatch(scene, staff, case, number, skill=skill)
            await anyio.wait_all_tasks_blocked()
            holds["quick"].go.set()
            await case.wait_outcomes(2)
            assert told == ["quick"]
            holds["slow"].go.set()
            await case.wait_outcomes(4)
            assert told == ["quick", "slow"]


@pytest.mark.promise("SUPERVISOR-1")
async def test_beyond_the_bound_a_task_is_refused_and_may_be_tried_again(scene: Scene) -> None:
    hold, case = Hold(), scene.case()
    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, hold.work, workers=1, policy="[bounds]\npending_max = 1\n")) as staff:
            for number in range(3):
                dispatch(scene, staff, case, number)
            (refused,) = await case.wait_outcomes(1)
            assert isinstance(refused, Failed)
            assert (refused.task_id, refused.kind, refused.retryable) == ("t2", FailureKind.UNAVAILABLE, True)
            assert refused.message.startswith("route.full")
            hold.go.set()
            await case.wait_outcomes(3)


async def test_a_full_mailbox_is_told_at_once(scene: Scene) -> None:
    hold, case = Hold(), scene.case()
    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, hold.work)) as staff:
            refusals = [dispatch(scene, staff, case, number) for number in range(2001)]
            assert refusals[:2000] == [None] * 2000
            refused = refusals[2000]
            assert refused is not None
            assert (refused.kind, refused.retryable) == (FailureKind.UNAVAILABLE, True)


async def test_a_skill_that_nobody_has_is_refused_for_good(scene: Scene) -> None:
    case = scene.case()
    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, Hold().work)) as staff:
            dispatch(scene, staff, case, 1, skill="paint")
            (refused,) = failures(await case.wait_outcomes(1))
    assert (refused.kind, refused.retryable) == (FailureKind.REFUSED, False)
    assert refused.message == "route.skill: no agent has the skill 'paint'"


@pytest.mark.promise("SUPERVISOR-3")
async def test_a_recalled_task_is_cancelled_where_it_waits_and_answers_nobody(scene: Scene) -> None:
    hold, case = Hold(), scene.case()
    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, hold.work, workers=1)) as staff:
            for number in (1, 2, 3):
                dispatch(scene, staff, case, number)
            await anyio.wait_all_tasks_blocked()
            staff.recall("t1", case.address)
            staff.recall("t2", case.address)
            staff.recall("unknown", case.address)
            await anyio.wait_all_tasks_blocked()
            assert hold.begun == [1, 3]
            hold.go.set()
            (done,) = await case.wait_outcomes(1)
            assert done.task_id == "t3"
            assert staff.statistics().desk[:2] == (0, 0)


async def test_a_task_sent_again_after_a_recall_is_done_once_more(scene: Scene) -> None:
    hold, case = Hold(), scene.case()
    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, hold.work, workers=1)) as staff:
            dispatch(scene, staff, case, 1)
            await anyio.wait_all_tasks_blocked()
            staff.recall("t1", case.address)
            dispatch(scene, staff, case, 1)
            await anyio.wait_all_tasks_blocked()
            hold.go.set()
            (done,) = await case.wait_outcomes(1)
            await anyio.wait_all_tasks_blocked()
            assert (hold.begun, len(case.frames)) == ([1, 1], 1)
            assert isinstance(done, Completed)


@pytest.mark.promise("SUPERVISOR-3")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("first", ["who lost it", "who has it"])
async def test_a_cell_that_lost_its_case_takes_no_task_from_the_one_that_has_it(
    scene: Scene, first: str, workers: int
) -> None:
    hold, (lost, has) = Hold(), scene.cells(2)
    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, hold.work, workers=workers)) as staff:
            for case in (lost, has) if first == "who lost it" else (has, lost):
                dispatch(scene, staff, case, 1)
                await anyio.wait_all_tasks_blocked()
            staff.recall("t1", lost.address)
            await anyio.wait_all_tasks_blocked()
            assert (hold.at_work, staff.statistics().desk.routed) == (1, 1)
            hold.go.set()
            assert [type(each) for each in await has.wait_outcomes(1)] == [Completed]
            assert (lost.frames, staff.statistics().desk[:2]) == ([], (0, 0))


async def test_two_cells_of_a_case_see_each_who_was_given_its_own_task(scene: Scene) -> None:
    hold, cells = Hold(), scene.cells(3)
    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, hold.work)) as staff:
            for case in cells:
                dispatch(scene, staff, case, 1)
            await anyio.wait_all_tasks_blocked()
            routes = [staff.routed("t1", case.address) for case in cells]
            assert [route and route.chosen for route in routes] == ["agent-worker-0", "agent-worker-1", None]
            hold.go.set()
            for case in cells:
                await case.wait_outcomes(1)


@pytest.mark.promise("SUPERVISOR-3")
async def test_a_worker_that_crashes_is_started_again_and_takes_the_next_task(scene: Scene) -> None:
    case, deaf = scene.case(), DeafCase()

    async def work(inputs: Amount, work: Work) -> int:
        return inputs.amount

    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, work, workers=1)) as staff:
            dispatch(scene, staff, deaf, 1)
            dispatch(scene, staff, case, 2)
            (done,) = await case.wait_outcomes(1)
            assert done.task_id == "t2"
            assert staff.statistics().desk[:2] == (0, 0)


@pytest.mark.promise("GUARD-1")
async def test_an_agent_that_keeps_failing_gets_no_work_until_its_circuit_closes(scene: Scene) -> None:
    begun = list[int]()

    async def work(inputs: Amount, work: Work) -> int:
        begun.append(inputs.amount)
        if inputs.amount < 90:
            raise ValueError
        return inputs.amount

    policy = "[breaker]\nfailures = 3\nopen_seconds = 30\n"
    case = scene.case()
    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, work, workers=1, policy=policy)) as staff:
            for number in range(6):
                dispatch(scene, staff, case, number)
            outcomes = await case.wait_outcomes(6)
            assert begun == [0, 1, 2]
            refused = failures(outcomes[3:])
            assert [each.kind for each in refused] == [FailureKind.UNAVAILABLE] * 3
            assert refused[2].message == "route.circuit: the circuit of worker is open"
            scene.clock.forward(30)
            dispatch(scene, staff, case, 90)
            dispatch(scene, staff, case, 91)
            assert all(isinstance(each, Completed) for each in (await case.wait_outcomes(8))[6:])


async def test_an_attempt_without_an_answer_speaks_against_the_agent_that_had_it(scene: Scene) -> None:
    hold, case = Hold(), scene.case()
    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, hold.work, workers=1, policy="[breaker]\nfailures = 1\n")) as staff:
            dispatch(scene, staff, case, 1)
            dispatch(scene, staff, case, 2)
            await anyio.wait_all_tasks_blocked()
            silent = Failed(task_id="t2", kind=FailureKind.TIMEOUT, message="none in time", retryable=True)
            staff.judge(scene.task(id_="t2"), silent, case.address)
            assert not staff.statistics().agents["worker"].failures, "it only waited in line"
            staff.recall("t1", case.address)
            staff.judge(scene.task(id_="t1"), silent, case.address)
            assert staff.statistics().agents["worker"].state == "open"


async def test_business_failures_do_not_open_a_circuit(scene: Scene) -> None:
    async def work(inputs: Amount, work: Work) -> str:
        return "not a number"

    case = scene.case()
    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, work, policy="[breaker]\nfailures = 1\n")) as staff:
            for number in range(3):
                dispatch(scene, staff, case, number)
            outcomes = await case.wait_outcomes(3)
            assert {each.kind for each in failures(outcomes)} == {FailureKind.INVALID}


async def test_leaving_the_staff_ends_its_actors_and_its_work(scene: Scene) -> None:
    hold, case = Hold(), scene.case()
    with anyio.fail_after(5):
        async with scene.staff(crew_of(scene, hold.work)) as staff:
            dispatch(scene, staff, case, 1)
            await anyio.wait_all_tasks_blocked()
        assert (hold.at_work, case.frames) == (0, [])
