"""The ends of pools and of their workers: in order, in bounded time, and with nothing left behind."""

import anyio
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import ActorStopped, Escalated, NameTaken, NotRunning
from casework.runtime.lifecycle import Exit, Phase
from casework.runtime.pool import Pool
from casework.runtime.supervision import Restart, RestartLimit
from tests.support.pool_floor import Floor, Hand, loads


def pool_of(system: ActorSystem, name: str = "p") -> Pool:
    found = system._kernel.find(name)
    assert isinstance(found, Pool)
    return found


@pytest.mark.promise("KERNEL-15")
async def test_workers_that_have_ended_are_passed_over_and_the_last_takes_the_pool_with_it() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", floor.hand, workers=3, restart=Restart.TEMPORARY)
            pool.tell_nowait(b"boom")
            await system.wait_quiet()
            assert sorted(loads(system)) == ["p/2", "p/3"]
            answers = {await pool.ask(b"x", timeout_seconds=5) for _ in range(4)}
            assert answers == {b"p/2", b"p/3"}
            for _ in range(2):
                pool.tell_nowait(b"leave")
            await pool.wait_stopped()
            assert system.addresses == ()
            with pytest.raises(ActorStopped) as refused:
                pool.tell_nowait(b"late")
            assert refused.value.envelope.receiver == "p"
            with pytest.raises(NotRunning):
                system.pool_statistics("p")


@pytest.mark.promise("KERNEL-15")
async def test_an_ending_worker_gets_nothing() -> None:
    class Slow(Hand):
        async def stopped(self, context: Context) -> None:
            await self.floor.token("end").acquire()

    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", lambda: Slow(floor), workers=2)
            first = system.lookup("p/1")
            assert first is not None
            first.stop()
            await anyio.wait_all_tasks_blocked()
            assert [worker.phase for worker in system.pool_statistics("p").workers] == [Phase.DRAINING, Phase.RUNNING]
            assert {await pool.ask(b"x", timeout_seconds=5) for _ in range(4)} == {b"p/2"}
            for _ in range(2):
                floor.let("end")
            await first.wait_stopped()


async def test_stop_ends_the_workers_the_youngest_first_each_after_its_handler() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", floor.hand, workers=3)
            for _ in range(4):
                pool.tell_nowait(b"wait")
            await anyio.wait_all_tasks_blocked()
            pool.stop()
            with pytest.raises(ActorStopped):
                pool.tell_nowait(b"late")
            await anyio.wait_all_tasks_blocked()
            assert floor.ends == []
            for number in (1, 2, 3):
                floor.let(f"p/{number}")
            for _ in range(2):
                floor.let("p/1")
            await pool.wait_stopped()
            assert floor.ends == ["p/3", "p/2", "p/1"]
            assert floor.cancelled == []
            assert system.addresses == ()


async def test_kill_cancels_the_running_handlers_and_the_pool_is_gone_for_good() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", floor.hand, workers=2)
            for _ in range(3):
                pool.tell_nowait(b"wait")
            await anyio.wait_all_tasks_blocked()
            pool.kill()
            await pool.wait_stopped()
            assert sorted(floor.cancelled) == ["p/1", "p/2"]
            assert system.addresses == ()
            assert len(system.dead_letters) == 1
            assert len(system._root) == 0
            pool.kill()
            pool.stop()
            await pool.wait_stopped()
            system.spawn_pool("p", floor.hand, workers=1)


async def test_drain_lets_workers_finish_what_they_have() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", floor.hand, workers=3)
            system.spawn_pool("idle", floor.hand, workers=3)
            for _ in range(30):
                pool.tell_nowait(b"x")
            assert await system.drain(5)
            assert system.addresses == ()
            assert system.statistics().handled == 30
            assert await system.drain(5)


async def test_leaving_with_busy_workers_is_bounded_by_the_grace() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem(grace_seconds=0.0) as system:
            pool = system.spawn_pool("p", floor.hand, workers=2)
            for _ in range(4):
                pool.tell_nowait(b"wait")
            await anyio.wait_all_tasks_blocked()
        assert sorted(floor.cancelled) == ["p/1", "p/2"]
        assert len(system.dead_letters) == 2


async def test_a_cancellation_from_outside_accounts_for_everything() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        with anyio.CancelScope() as scope:
            async with ActorSystem() as system:
                pool = system.spawn_pool("p", floor.hand, workers=2)
                for _ in range(4):
                    pool.tell_nowait(b"wait")
                await anyio.wait_all_tasks_blocked()
                pool.stop()
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        seen = system.statistics()
        assert (seen.cells, seen.waiting, seen.running) == (0, 0, 0)


async def test_a_cancellation_just_after_a_stop_ends_the_pool_once() -> None:
    with anyio.fail_after(5):
        with anyio.CancelScope() as scope:
            async with ActorSystem() as system:
                system.spawn_pool("p", Floor().hand, workers=2).stop()
                scope.cancel()
        assert system.statistics().cells == 0


async def test_workers_that_fail_too_often_end_the_pool_which_escalates() -> None:
    floor, heard = Floor(), list[Escalated]()
    with anyio.fail_after(5):
        async with ActorSystem(on_escalation=heard.append) as system:
            pool = system.spawn_pool("p", floor.hand, workers=3, restart_limit=RestartLimit(intensity=2))
            for _ in range(3):
                pool.tell_nowait(b"boom")
            await pool.wait_stopped()
            assert system.addresses == ()
            assert system.statistics().restarts == 2
    assert [error.limit.intensity for error in heard] == [2]
    assert heard[0].address.startswith("p/")


async def test_a_pool_that_escalates_ends_the_system_unless_somebody_asked_to_hear_of_it() -> None:
    floor = Floor()
    with anyio.fail_after(5), pytest.raises(Escalated):  # noqa: PT012 - it raises on leaving
        async with ActorSystem() as system:
            pool = system.spawn_pool("p", floor.hand, workers=2, restart_limit=RestartLimit(intensity=0))
            pool.tell_nowait(b"boom")
            await anyio.sleep_forever()


async def test_a_pool_that_cannot_be_started_leaves_nothing_behind() -> None:
    made: list[int] = []

    def factory() -> Hand:
        made.append(1)
        if len(made) == 3:
            raise ValueError("no third hand")
        return Hand(Floor())

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            with pytest.raises(ValueError, match="no third hand"):
                system.spawn_pool("p", factory, workers=5)
            assert not system.addresses
            system.spawn("q/2", lambda: Hand(Floor()))
            with pytest.raises(NameTaken, match="q/2"):
                system.spawn_pool("q", lambda: Hand(Floor()), workers=3)
            assert list(system.addresses) == ["q/2"]
            system.spawn("p", lambda: Hand(Floor()))
            with pytest.raises(NameTaken):
                system.spawn_pool("p", lambda: Hand(Floor()), workers=1)


async def test_a_pool_is_held_and_starts_again_with_new_workers_as_a_sibling_may() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn_pool("p", floor.hand, workers=2)
            for _ in range(3):
                ref.tell_nowait(b"wait")
            await anyio.wait_all_tasks_blocked()
            pool = pool_of(system)
            pool.hold()
            with pytest.raises(ActorStopped):
                ref.tell_nowait(b"x")
            for worker in ("p/2", "p/1"):
                await anyio.wait_all_tasks_blocked()
                floor.let(worker)
            await pool.wait_phase(Phase.HELD)
            assert floor.ends == ["p/2", "p/1"]
            assert [letter.envelope.frame for letter in system.dead_letters] == [b"wait"]
            with pytest.raises(ActorStopped):
                ref.tell_nowait(b"x")
            pool.resume()
            assert {await ref.ask(b"x", timeout_seconds=5) for _ in range(4)} == {b"p/1", b"p/2"}
            assert system.addresses == ("p", "p/1", "p/2")


async def test_a_pool_that_is_slow_to_be_held_is_killed_and_starts_again_all_the_same() -> None:
    floor = Floor()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn_pool("p", floor.hand, workers=2)
            ref.tell_nowait(b"wait")
            await anyio.wait_all_tasks_blocked()
            pool = pool_of(system)
            pool.hold()
            pool.kill(Exit.RECYCLED)
            await pool.wait_phase(Phase.HELD)
            assert floor.cancelled == ["p/1"]
            pool.resume()
            ref.tell_nowait(b"wait")
            await anyio.wait_all_tasks_blocked()
            ref.stop()
            await anyio.wait_all_tasks_blocked()
            floor.let("p/1")
            await ref.wait_stopped()
            assert floor.done == [("p/1", b"wait")], "this time it was asked to stop, not killed"


async def test_the_restarts_of_new_workers_are_counted_anew() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn_pool("p", Floor().hand, workers=2, restart_limit=RestartLimit(intensity=1))
            pool = pool_of(system)
            ref.tell_nowait(b"boom")
            await system.wait_quiet()
            pool.hold()
            await pool.wait_phase(Phase.HELD)
            pool.resume()
            ref.tell_nowait(b"boom")
            await system.wait_quiet()
            assert pool.phase is Phase.RUNNING
            assert system.statistics().restarts == 2


@pytest.mark.parametrize("how", ["stop", "kill", "stop while it ends"])
async def test_a_held_pool_can_end_for_good(how: str) -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn_pool("p", Floor().hand, workers=2)
            pool = pool_of(system)
            pool.hold()
            if not how.endswith("ends"):
                await pool.wait_phase(Phase.HELD)
            if how == "kill":
                pool.kill(Exit.SHUTDOWN)
            else:
                pool.stop()
            await ref.wait_stopped()
            assert system.addresses == ()


async def test_a_held_pool_that_cannot_start_again_escalates() -> None:
    floor, heard, broken = Floor(), list[Escalated](), list[ValueError]()

    def factory() -> Hand:
        if broken:
            raise broken[0]
        return Hand(floor)

    with anyio.fail_after(5):
        async with ActorSystem(on_escalation=heard.append) as system:
            ref = system.spawn_pool("p", factory, workers=2)
            pool = pool_of(system)
            pool.hold()
            await pool.wait_phase(Phase.HELD)
            broken.append(ValueError("no hand"))
            pool.resume()
            await ref.wait_stopped()
            assert system.addresses == ()
    assert [(error.address, error.error) for error in heard] == [("p", broken[0])]
