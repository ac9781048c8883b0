"""What anyio promises of groups, scopes and streams holds on the simulation's loop, in whatever order jobs go first.

Each test runs in the order of several seeds. None relies on which of two new jobs begins first: anyio does not say.
"""

import math

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskStatus


class Broke(Exception):
    pass


async def fail() -> None:
    raise Broke


async def test_a_group_waits_for_its_jobs() -> None:
    done: list[int] = []

    async def job(number: int) -> None:
        await anyio.sleep(number)
        done.append(number)

    async with anyio.create_task_group() as group:
        for number in (3, 1, 2):
            group.start_soon(job, number)
    assert done == [1, 2, 3]


async def test_a_group_without_jobs_ends() -> None:
    async with anyio.create_task_group():
        pass


async def test_a_failing_job_cancels_the_others_and_arrives_in_a_group() -> None:
    cancelled: list[str] = []

    async def wait() -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled.append("wait")
            raise

    with pytest.RaisesGroup(Broke):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(fail)
    assert cancelled == ["wait"]


async def test_errors_of_several_jobs_arrive_together() -> None:
    gate = anyio.Event()

    async def fail_then() -> None:
        try:
            await gate.wait()
        finally:
            raise Broke

    with pytest.RaisesGroup(Broke, Broke):
        async with anyio.create_task_group() as group:
            group.start_soon(fail_then)
            group.start_soon(fail_then)
            await anyio.wait_all_tasks_blocked()
            gate.set()


async def test_an_error_of_the_host_cancels_its_jobs() -> None:
    with pytest.RaisesGroup(Broke):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            await anyio.wait_all_tasks_blocked()
            raise Broke


async def test_groups_nest_and_their_errors_do() -> None:
    with pytest.RaisesGroup(pytest.RaisesGroup(Broke)):
        async with anyio.create_task_group() as outer:
            outer.start_soon(anyio.sleep_forever)
            async with anyio.create_task_group() as inner:
                inner.start_soon(fail)


async def test_a_cancelled_group_ends_all_its_jobs() -> None:
    ended: list[int] = []

    async def job(number: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(number)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(job, number)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert sorted(ended) == [0, 1, 2, 3, 4]


async def test_a_job_that_starts_says_so() -> None:
    async def serve(*, task_status: TaskStatus[int]) -> None:
        await anyio.sleep(1)
        task_status.started(7)
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        assert await group.start(serve) == 7
        group.cancel_scope.cancel()


async def test_a_job_that_fails_before_it_started_raises_where_it_was_started() -> None:
    async def serve(*, task_status: TaskStatus[None]) -> None:
        raise Broke

    async with anyio.create_task_group() as group:
        with pytest.raises(Broke):
            await group.start(serve)


async def test_a_job_that_ends_without_saying_that_it_started_is_an_error() -> None:
    async def serve(*, task_status: TaskStatus[None]) -> None:
        await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        with pytest.raises(RuntimeError, match="without calling"):
            await group.start(serve)


async def test_a_start_that_is_cancelled_takes_its_job_along() -> None:
    ended = anyio.Event()

    async def serve(*, task_status: TaskStatus[None]) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with anyio.create_task_group() as group:
        with anyio.move_on_after(1) as scope:
            await group.start(serve)
        assert scope.cancelled_caught
        assert ended.is_set()


async def test_a_job_can_be_started_by_another() -> None:
    seen: list[str] = []

    async def child() -> None:
        seen.append("child")

    async def parent(group: anyio.abc.TaskGroup) -> None:
        group.start_soon(child)

    async with anyio.create_task_group() as group:
        group.start_soon(parent, group)
    assert seen == ["child"]


async def test_time_passes_only_by_waiting() -> None:
    began = anyio.current_time()
    await anyio.sleep(86_400)
    assert anyio.current_time() == began + 86_400


async def test_moving_on_after_a_while_cancels_what_is_within() -> None:
    began = anyio.current_time()
    with anyio.move_on_after(5) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert anyio.current_time() == began + 5


async def test_what_ends_in_time_is_not_cancelled() -> None:
    with anyio.move_on_after(5) as scope:
        await anyio.sleep(4)
    assert not scope.cancelled_caught


async def test_failing_after_a_while_raises_a_timeout() -> None:
    with pytest.raises(TimeoutError), anyio.fail_after(1):
        await anyio.sleep(2)


async def test_the_nearer_of_two_deadlines_counts() -> None:
    with anyio.move_on_after(10) as outer, anyio.move_on_after(2) as inner:
        await anyio.sleep_forever()
    assert inner.cancelled_caught
    assert not outer.cancel_called


async def test_an_outer_deadline_cancels_an_inner_scope() -> None:
    with anyio.move_on_after(2) as outer, anyio.move_on_after(10) as inner:
        await anyio.sleep_forever()
    assert outer.cancelled_caught
    assert not inner.cancelled_caught


async def test_a_deadline_can_be_moved() -> None:
    began = anyio.current_time()
    with anyio.move_on_after(1) as scope:
        scope.deadline = began + 3
        await anyio.sleep_forever()
    assert anyio.current_time() == began + 3


async def test_the_deadline_in_force_is_the_nearest() -> None:
    assert anyio.current_effective_deadline() == math.inf
    now = anyio.current_time()
    with anyio.move_on_after(5), anyio.move_on_after(9):
        await anyio.lowlevel.checkpoint()
        assert anyio.current_effective_deadline() == now + 5


async def test_a_cancelled_scope_has_the_deadline_that_is_always_over() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        assert anyio.current_effective_deadline() == -math.inf
        await anyio.lowlevel.checkpoint()


async def test_a_scope_cancelled_before_it_is_entered_cancels_the_first_wait() -> None:
    scope = anyio.CancelScope()
    scope.cancel()
    reached = False
    with scope:
        await anyio.lowlevel.checkpoint()
        reached = True
    assert not reached


async def test_a_cancellation_comes_again_at_each_wait() -> None:
    times = 0
    with anyio.CancelScope() as scope:
        scope.cancel()
        for _ in range(3):
            try:
                await anyio.sleep(1)
            except anyio.get_cancelled_exc_class():
                times += 1
        await anyio.lowlevel.checkpoint()
    assert times == 3


async def test_a_shield_keeps_a_cancellation_out() -> None:
    done = False
    with anyio.CancelScope() as outer:
        with anyio.CancelScope(shield=True):
            outer.cancel()
            await anyio.sleep(1)
            done = True
        await anyio.lowlevel.checkpoint()
        done = False
    assert done


async def test_a_shield_does_not_keep_out_its_own_cancellation() -> None:
    with anyio.move_on_after(1, shield=True) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_shield_that_is_lifted_lets_the_cancellation_in() -> None:
    with anyio.CancelScope() as outer, anyio.CancelScope(shield=True) as inner:
        outer.cancel()
        await anyio.sleep(1)
        inner.shield = False
        await anyio.sleep_forever()
    assert outer.cancelled_caught


async def test_only_the_inner_scope_is_cancelled() -> None:
    after = False
    with anyio.CancelScope() as outer:
        with anyio.CancelScope() as inner:
            inner.cancel()
            await anyio.sleep(1)
        await anyio.sleep(1)
        after = True
    assert after
    assert not outer.cancelled_caught


async def test_cancellation_reaches_jobs_of_a_nested_group() -> None:
    ended: list[str] = []

    async def wait(name: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(name)

    async def nested() -> None:
        async with anyio.create_task_group() as inner:
            inner.start_soon(wait, "inner")

    async with anyio.create_task_group() as outer:
        outer.start_soon(nested)
        outer.start_soon(wait, "outer")
        await anyio.wait_all_tasks_blocked()
        outer.cancel_scope.cancel()
    assert sorted(ended) == ["inner", "outer"]


async def test_a_job_started_in_a_cancelled_group_is_cancelled_at_its_first_wait() -> None:
    reached: list[str] = []

    async def job() -> None:
        reached.append("began")
        await anyio.sleep(1)
        reached.append("slept")

    async with anyio.create_task_group() as group:
        group.cancel_scope.cancel()
        group.start_soon(job)
    assert "slept" not in reached


async def test_an_error_while_being_cancelled_is_not_lost() -> None:
    async def job() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise Broke

    with pytest.RaisesGroup(Broke):
        async with anyio.create_task_group() as group:
            group.start_soon(job)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()


async def test_cleaning_up_may_wait_behind_a_shield() -> None:
    clean = False

    async def job() -> None:
        nonlocal clean
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3)
                clean = True

    async with anyio.create_task_group() as group:
        group.start_soon(job)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert clean


async def test_jobs_are_told_apart_by_name_and_parent() -> None:
    seen: list[anyio.TaskInfo] = []

    async def job() -> None:
        seen.append(anyio.get_current_task())

    async with anyio.create_task_group() as group:
        group.start_soon(job, name="the job")
    assert seen[0].name == "the job"
    assert seen[0].parent_id == anyio.get_current_task().id
    assert seen[0] != anyio.get_current_task()


async def test_running_jobs_are_listed() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever, name="sleeper")
        await anyio.wait_all_tasks_blocked()
        assert "sleeper" in {info.name for info in anyio.get_running_tasks()}
        group.cancel_scope.cancel()


async def test_everybody_else_runs_while_one_gives_way() -> None:
    ran: list[str] = []

    async def other() -> None:
        ran.append("other")

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert ran == ["other"]
