"""What anyio promises of events, locks, limits and streams holds on the simulation's loop, whoever goes first.

Each test runs in the order of several seeds.
"""

import anyio
import anyio.lowlevel
import pytest


async def test_an_event_wakes_all_who_wait() -> None:
    event, woken = anyio.Event(), 0

    async def wait() -> None:
        nonlocal woken
        await event.wait()
        woken += 1

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert event.statistics().tasks_waiting == 4
        event.set()
    assert woken == 4
    await event.wait()


async def test_a_lock_is_held_by_one_at_a_time_and_given_in_the_order_of_asking() -> None:
    lock, order = anyio.Lock(), []

    async def job(number: int) -> None:
        await anyio.sleep(number)
        async with lock:
            order.append(number)
            await anyio.sleep(10)

    async with anyio.create_task_group() as group:
        for number in (2, 0, 3, 1):
            group.start_soon(job, number)
    assert order == [0, 1, 2, 3]


async def test_a_lock_that_is_held_cannot_be_had_at_once() -> None:
    lock = anyio.Lock()
    async with lock:
        with pytest.raises(RuntimeError):
            lock.acquire_nowait()

        async def other() -> None:
            with pytest.raises(anyio.WouldBlock):
                lock.acquire_nowait()

        async with anyio.create_task_group() as group:
            group.start_soon(other)


async def test_whoever_waits_for_a_lock_and_is_cancelled_does_not_get_it() -> None:
    lock = anyio.Lock()
    await lock.acquire()

    async def wait() -> None:
        with anyio.move_on_after(1):
            await lock.acquire()

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
    assert lock.statistics().tasks_waiting == 0
    lock.release()
    assert not lock.locked()


async def test_a_condition_wakes_as_many_as_are_notified() -> None:
    condition, woken = anyio.Condition(), 0

    async def wait() -> None:
        nonlocal woken
        async with condition:
            await condition.wait()
            woken += 1

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        async with condition:
            condition.notify(2)
        await anyio.wait_all_tasks_blocked()
        assert woken == 2
        async with condition:
            condition.notify_all()
    assert woken == 3


async def test_a_semaphore_lets_in_as_many_as_it_counts() -> None:
    semaphore, within, most = anyio.Semaphore(2), 0, 0

    async def job() -> None:
        nonlocal within, most
        async with semaphore:
            within += 1
            most = max(most, within)
            await anyio.sleep(1)
            within -= 1

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(job)
    assert most == 2
    assert semaphore.value == 2


async def test_a_semaphore_serves_in_the_order_of_asking() -> None:
    semaphore, order = anyio.Semaphore(0), []

    async def job(number: int) -> None:
        await anyio.sleep(number)
        await semaphore.acquire()
        order.append(number)

    async with anyio.create_task_group() as group:
        for number in (1, 2, 0):
            group.start_soon(job, number)
        await anyio.sleep(5)
        for _ in range(3):
            semaphore.release()
            await anyio.sleep(1)
    assert order == [0, 1, 2]


async def test_a_limiter_lends_as_many_tokens_as_it_has() -> None:
    limiter, within, most = anyio.CapacityLimiter(3), 0, 0

    async def job() -> None:
        nonlocal within, most
        async with limiter:
            within += 1
            most = max(most, within)
            await anyio.sleep(1)
            within -= 1

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(job)
    assert most == 3
    assert limiter.borrowed_tokens == 0


async def test_a_limiter_that_grows_lets_more_in() -> None:
    limiter, got = anyio.CapacityLimiter(1), 0

    async def job() -> None:
        nonlocal got
        async with limiter:
            got += 1
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(job)
        await anyio.wait_all_tasks_blocked()
        assert got == 1
        limiter.total_tokens = 3
        await anyio.wait_all_tasks_blocked()
        assert got == 3
        group.cancel_scope.cancel()


async def test_a_stream_gives_what_was_sent_in_order() -> None:
    send, receive = anyio.create_memory_object_stream[int](10)
    async with send, receive:
        for number in range(10):
            send.send_nowait(number)
        assert [await receive.receive() for _ in range(10)] == list(range(10))


async def test_a_sender_waits_while_nobody_receives() -> None:
    send, receive = anyio.create_memory_object_stream[str]()
    async with send, receive, anyio.create_task_group() as group:
        group.start_soon(send.send, "late")
        await anyio.wait_all_tasks_blocked()
        assert send.statistics().tasks_waiting_send == 1
        assert await receive.receive() == "late"


async def test_a_full_stream_takes_nothing_at_once() -> None:
    send, receive = anyio.create_memory_object_stream[int](1)
    async with send, receive:
        send.send_nowait(1)
        with pytest.raises(anyio.WouldBlock):
            send.send_nowait(2)
        assert receive.receive_nowait() == 1
        with pytest.raises(anyio.WouldBlock):
            receive.receive_nowait()


async def test_a_stream_ends_when_its_last_sender_closes() -> None:
    send, receive = anyio.create_memory_object_stream[int](5)
    other = send.clone()
    async with send:
        send.send_nowait(1)
    async with other:
        other.send_nowait(2)
    async with receive:
        assert [number async for number in receive] == [1, 2]
        with pytest.raises(anyio.EndOfStream):
            await receive.receive()


async def test_sending_to_nobody_is_an_error() -> None:
    send, receive = anyio.create_memory_object_stream[int](1)
    await receive.aclose()
    async with send:
        with pytest.raises(anyio.BrokenResourceError):
            await send.send(1)


async def test_a_closed_stream_takes_nothing() -> None:
    send, receive = anyio.create_memory_object_stream[int](1)
    await send.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await send.send(1)
    await receive.aclose()


async def test_what_a_cancelled_receiver_did_not_take_is_there_for_the_next() -> None:
    send, receive = anyio.create_memory_object_stream[str](1)
    async with send, receive:
        with anyio.move_on_after(1):
            await receive.receive()
        await send.send("kept")
        assert await receive.receive() == "kept"


async def test_nothing_is_sent_in_a_cancelled_scope() -> None:
    send, receive = anyio.create_memory_object_stream[str](2)
    async with send, receive:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await send.send("never")
        await send.send("sent")
        assert receive.receive_nowait() == "sent"
        with pytest.raises(anyio.WouldBlock):
            receive.receive_nowait()


async def test_each_item_goes_to_one_of_several_receivers() -> None:
    send, receive = anyio.create_memory_object_stream[int]()
    got: list[int] = []

    async def take(stream: anyio.abc.ObjectReceiveStream[int]) -> None:
        async with stream:
            got.extend([item async for item in stream])

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(take, receive.clone())
        await receive.aclose()
        async with send:
            for item in range(20):
                await send.send(item)
    assert sorted(got) == list(range(20))
