"""A thread calls into the loop without waiting for it."""

import asyncio
import threading
from functools import partial

import anyio
import anyio.to_thread

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.mailbox import Envelope
from casework.runtime.wakeup import Wakeup


async def test_a_callback_runs_in_the_loop_and_the_thread_does_not_wait() -> None:
    wakeup = Wakeup()
    loop_thread = threading.get_ident()
    called: list[int] = []
    done = anyio.Event()

    def hear() -> None:
        called.append(threading.get_ident())
        done.set()

    with anyio.fail_after(5):
        await anyio.to_thread.run_sync(wakeup.call, hear)
        await done.wait()
    assert called == [loop_thread]


async def test_callbacks_come_in_the_order_of_their_calls() -> None:
    wakeup = Wakeup()
    called: list[int] = []
    done = anyio.Event()

    def ring() -> None:
        for number in range(100):
            wakeup.call(lambda number=number: called.append(number))  # type: ignore[misc]
        wakeup.call(done.set)

    with anyio.fail_after(5):
        await anyio.to_thread.run_sync(ring)
        await done.wait()
    assert called == list(range(100))


async def test_what_is_to_happen_soon_happens_in_a_later_round_and_once() -> None:
    wakeup = Wakeup()
    called: list[str] = []
    done = anyio.Event()

    async def ready() -> None:
        called.append("ready")

    def soon() -> None:
        called.append("soon")
        done.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(ready)
            wakeup.soon(soon)
            called.append("here")
            await done.wait()
    assert called[0] == "here"
    assert sorted(called) == ["here", "ready", "soon"]


def test_a_call_into_a_loop_that_has_ended_is_dropped(anyio_backend: tuple[str, dict[str, object]]) -> None:
    async def make() -> Wakeup:
        return Wakeup()

    backend, options = anyio_backend
    wakeup = anyio.run(make, backend=backend, backend_options=options)
    wakeup.call(lambda: None)


def test_actors_that_are_told_something_by_a_callback_of_a_plain_loop_get_their_jobs() -> None:
    """Whoever embeds a system need not begin with `anyio.run`, and a callback of the loop runs in no task."""
    heard: list[int] = []

    class Hears:
        async def receive(self, context: Context, envelope: Envelope) -> None:
            assert callable(envelope.local)
            envelope.local()

    async def main() -> None:
        async with ActorSystem() as system:
            refs = [system.spawn(f"a{number}", Hears) for number in range(20)]

            def tell() -> None:
                for number, ref in enumerate(refs):
                    ref.tell_local(partial(heard.append, number))

            told = asyncio.Event()
            asyncio.get_running_loop().call_soon(tell)
            asyncio.get_running_loop().call_soon(told.set)
            await told.wait()
            await system.wait_quiet()

    asyncio.run(main())
    assert sorted(heard) == list(range(20))
