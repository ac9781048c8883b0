"""Pools: each message goes to the worker with the least to do, and is counted once."""

from collections import Counter

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.cell import Cell
from casework.runtime.errors import ActorStopped, AskFailed, MailboxFull
from casework.runtime.lifecycle import ChildEnded, Down, Exit
from casework.runtime.mailbox import Envelope, Overflow
from casework.runtime.ref import Ref
from casework.runtime.supervision import RestartLimit
from tests.support.pool_floor import Floor, Hand, loads


async def end(ref: Ref) -> None:
    ref.stop()
    await ref.wait_stopped()


@pytest.mark.promise("KERNEL-15")
async def test_equal_workers_share_evenly_in_turn() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", floor.hand, workers=4)
            for _ in range(40):
                pool.tell_nowait(b"x")
            assert loads(system) == {f"p/{number}": 10 for number in (1, 2, 3, 4)}
            await system.wait_quiet()
            for _ in range(8):
                assert await pool.ask(b"x", timeout_seconds=5)
            assert set(Counter(worker for worker, _ in floor.done).values()) == {12}
            assert system.statistics().sent == system.statistics().handled == 48


@pytest.mark.promise("KERNEL-15")
async def test_a_message_goes_to_the_worker_with_the_least_to_do() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", floor.hand, workers=3)
            for _ in range(6):
                pool.tell_nowait(b"wait")
            await anyio.wait_all_tasks_blocked()
            for _ in range(2):
                floor.let("p/2")
            await anyio.wait_all_tasks_blocked()
            assert loads(system) == {"p/1": 2, "p/2": 0, "p/3": 2}
            assert await pool.ask(b"x", timeout_seconds=5) == b"p/2"
            pool.tell_nowait(b"wait")
            pool.tell_nowait(b"wait")
            assert loads(system) == {"p/1": 2, "p/2": 2, "p/3": 2}
            pool.kill()


@pytest.mark.promise("KERNEL-15")
async def test_what_a_worker_is_sent_directly_counts_as_its_load() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", floor.hand, workers=2)
            first = system.lookup("p/1")
            assert first is not None
            for _ in range(3):
                first.tell_nowait(b"x")
            for _ in range(3):
                pool.tell_nowait(b"x")
            assert loads(system) == {"p/1": 3, "p/2": 3}


@pytest.mark.promise("KERNEL-15")
async def test_a_pool_without_room_anywhere_refuses_with_the_envelope() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", floor.hand, workers=2, mailbox_depth_max=2)
            for _ in range(2):
                pool.tell_nowait(b"wait")
            await anyio.wait_all_tasks_blocked()
            for _ in range(4):
                pool.tell_nowait(b"wait")
            with pytest.raises(MailboxFull) as refused:
                pool.tell_nowait(b"more", sender="s")
            assert (refused.value.envelope.receiver, refused.value.envelope.frame) == ("p", b"more")
            seen = system.statistics()
            assert (seen.sent, seen.accepted, seen.refused, seen.waiting, seen.running) == (7, 6, 1, 4, 2)
            pool.kill()


@pytest.mark.promise("KERNEL-15")
async def test_a_worker_with_room_is_preferred_to_one_without_that_is_as_busy() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", floor.hand, workers=2, mailbox_depth_max=1)
            pool.tell_nowait(b"wait")
            await anyio.wait_all_tasks_blocked()
            second = system.lookup("p/2")
            assert second is not None
            second.tell_nowait(b"wait")
            # Both have one message: the first is at work on it and has room, the second has not begun and has none.
            pool.tell_nowait(b"wait")
            assert loads(system) == {"p/1": 2, "p/2": 1}
            pool.kill()


@pytest.mark.promise("KERNEL-15")
async def test_a_pool_that_sheds_makes_room_only_where_there_is_none() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", floor.hand, workers=2, mailbox_depth_max=1, overflow=Overflow.SHED_OLDEST)
            for number in range(3):
                pool.tell_nowait(str(number).encode())
            assert [letter.envelope.frame for letter in system.dead_letters] == [b"0"]
            await system.wait_quiet()
            system.redrive_all()
            await system.wait_quiet()
            assert sorted(frame for _, frame in floor.done) == [b"0", b"1", b"2"]


async def test_a_sender_waits_for_room_where_the_policy_says_so() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system, anyio.create_task_group() as group:
            pool = system.spawn_pool("p", floor.hand, workers=2, mailbox_depth_max=1, overflow=Overflow.WAIT)

            async def send() -> None:
                for _ in range(20):
                    await pool.tell(b"x")
                assert await pool.ask(b"x", timeout_seconds=5)

            for _ in range(6):
                group.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            assert system.statistics().handled == 6 * 21
            assert system.statistics().refused == 0


async def test_a_place_that_is_reserved_for_whoever_waits_is_no_room() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", Floor().hand, workers=2, mailbox_depth_max=1, overflow=Overflow.WAIT)
            first = system._kernel.find("p/1")
            assert isinstance(first, Cell)
            first.mailbox._reserved = 1
            pool.tell_nowait(b"x")
            assert loads(system) == {"p/1": 0, "p/2": 1}


@pytest.mark.promise("KERNEL-15")
async def test_a_failed_worker_is_started_again_alone_and_keeps_its_mailbox() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", floor.hand, workers=2)
            for frame in (b"boom", b"a", b"b", b"c"):
                pool.tell_nowait(frame)
            await system.wait_quiet()
            assert floor.ends == ["p/1"]
            assert sorted(floor.done) == [("p/1", b"b"), ("p/2", b"a"), ("p/2", b"c")]
            assert system.statistics().restarts == 1


async def test_cancelling_an_ask_cancels_the_worker_that_is_at_work_on_it_and_no_other() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system, anyio.create_task_group() as others:
            pool = system.spawn_pool("p", floor.hand, workers=3)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    for asked in (others, group, others):
                        asked.start_soon(lambda: pool.ask(b"wait", timeout_seconds=60))
                        await anyio.wait_all_tasks_blocked()
                    scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert floor.cancelled == ["p/2"]
            floor.let("p/1")
            floor.let("p/3")
            await anyio.wait_all_tasks_blocked()
            assert sorted(floor.done) == [("p/1", b"wait"), ("p/3", b"wait")]
            assert system.statistics().restarts == 0


async def test_a_pool_is_monitored_named_and_joins_groups_like_any_actor() -> None:
    floor, heard = Floor(), list[tuple[str, Exit]]()

    class Watcher(Hand):
        async def receive(self, context: Context, envelope: Envelope) -> None:
            context.monitor(pool)

        async def signalled(self, context: Context, signal: ChildEnded | Down) -> None:
            heard.append((signal.subject, signal.exit))

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", floor.hand, workers=2)
            system.spawn("watcher", lambda: Watcher(floor)).tell_nowait(b"")
            system.names.register("hands", pool)
            system.groups.join("all", pool)
            named = system.lookup("hands")
            assert named is not None
            assert await named.ask(b"x", timeout_seconds=5) == b"p/1"
            assert system.groups.tell_nowait("all", b"x").accepted == 1
            await system.wait_quiet()
            assert [worker for worker, _ in floor.done] == ["p/1", "p/2"]
            await end(pool)
            await system.wait_quiet()
            assert heard == [("p", Exit.SHUTDOWN)]
            assert list(system.names) == list(system.groups) == []


async def test_waiting_messages_are_counted_by_the_kind_of_the_pool() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", Floor().hand, workers=3)
            for _ in range(5):
                pool.tell_nowait(b"x")
            assert system.waiting_by_kind() == {"p": 5}


async def test_an_ask_whose_worker_fails_is_answered_with_that() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", Floor().hand, workers=2)
            with pytest.raises(AskFailed, match="boom"):
                await pool.ask(b"boom", timeout_seconds=5)


Move = tuple[str, int]
MOVES = st.lists(
    st.tuples(st.sampled_from(["send", "send", "send", "finish", "finish", "fail", "end"]), st.integers(1, 4)),
    max_size=60,
)
DEPTH = 3


def perform(system: ActorSystem, floor: Floor, model: dict[str, int], move: Move) -> None:
    """Do one thing to the pool and to the model: the load of each worker that has not ended."""
    what, number = move
    pool, worker = Ref("p", system._kernel), f"p/{number}"
    match what:
        case "send" if model:
            try:
                pool.tell_nowait(b"wait boom" if number == 1 else b"wait")
            except MailboxFull:
                assert min(model.values()) == DEPTH + 1
                return
            [chosen] = [name for name, load in loads(system).items() if load != model[name]]
            assert model[chosen] == min(model.values())
            model[chosen] += 1
        case "send":
            with pytest.raises(ActorStopped):
                pool.tell_nowait(b"wait")
        case "finish" if model.get(worker):
            floor.let(worker)
            model[worker] -= 1
        case "fail" if worker in model:
            Ref(worker, system._kernel).kill()
            model[worker] -= 1 if model[worker] else 0
        case "end" if worker in model:
            Ref(worker, system._kernel).stop()
            floor.let(worker)
            del model[worker]
        case _:
            pass


@pytest.mark.promise("KERNEL-15")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
async def test_whatever_befalls_its_workers_a_pool_chooses_one_with_the_least_to_do(moves: list[Move]) -> None:
    floor, model = Floor(), {f"p/{number}": 0 for number in (1, 2, 3, 4)}
    with anyio.fail_after(5):
        async with ActorSystem(grace_seconds=0.0) as system:
            limit = RestartLimit(intensity=1_000)
            system.spawn_pool("p", floor.hand, workers=4, mailbox_depth_max=DEPTH, restart_limit=limit)
            for move in moves:
                perform(system, floor, model, move)
                await anyio.wait_all_tasks_blocked()
                assert (loads(system) if model else {}) == model, move
            assert (system.lookup("p") is None) == (not model), "the last worker takes the pool with it"
        system.check_conservation()
