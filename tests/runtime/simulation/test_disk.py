"""The simulated store: what it refuses, what it does without saying so, and how others hear of what one wrote."""

from collections.abc import Awaitable, Callable

import anyio
import pytest
from msgspec.structs import replace
from store_support import key_of, note
from store_support import opening as opening_of

from casework.runtime.errors import StoreUnavailable
from casework.runtime.seams import MICROS
from casework.runtime.simulation import FaultPlan, Place, Simulation, simulate
from casework.runtime.simulation.disk import POLL_SECONDS
from casework.runtime.store.base import Append, Appended, CaseKey, CaseOpened, Opening, Store, Unavailable, Unknown

KEY = key_of("one")


def opening() -> Opening:
    return opening_of(KEY)


Act = Callable[[Place[None], Simulation], Awaitable[object]]


def at_node(act: Act, plan: FaultPlan, *, then: Callable[[Simulation], Awaitable[object]] | None = None) -> object:
    """Run `act` in a node, and `then` outside of it when it has ended or died."""

    async def main(simulation: Simulation) -> object:
        given: list[object] = []

        async def serve(place: Place[None]) -> None:
            given.append(await act(place, simulation))
            await anyio.sleep_forever()

        simulation.node("a", serve)
        await anyio.sleep(100)
        return given[0] if then is None else await then(simulation)

    return simulate(main, plan=replace(plan, down_seconds=1e9)).value


async def open_one(place: Place[None], _: Simulation) -> object:
    return await place.store.open_case(opening())


async def claimed(place: Place[None]) -> Append:
    store = place.store
    await store.open_case(opening())
    await store.renew("node", until=place.world.clock.wall_micros() + 4 * MICROS)
    await store.claim("node", limit=1, now=place.world.clock.wall_micros())
    return Append(key=KEY, epoch=1, next_seq=1, records=(note(1),))


async def length(simulation: Simulation) -> int:
    return len(await simulation.disk.inner.records(KEY))


def test_where_nothing_goes_wrong_it_is_the_store_in_memory() -> None:
    assert at_node(open_one, FaultPlan()) == CaseOpened(KEY)
    assert at_node(open_one, FaultPlan(), then=length) == 1


def test_a_refused_call_did_nothing_and_says_so() -> None:
    plan = FaultPlan(refusal=1.0, heal_seconds=1e6)
    assert isinstance(at_node(open_one, plan), Unavailable)
    assert at_node(open_one, plan, then=length) == 0


def test_a_refused_read_raises() -> None:
    async def read(place: Place[None], _: Simulation) -> None:
        with pytest.raises(StoreUnavailable):
            await place.store.case(KEY)

    at_node(read, FaultPlan(refusal=1.0))


def test_an_unheard_append_is_done_and_says_that_nobody_knows() -> None:
    async def act(place: Place[None], simulation: Simulation) -> object:
        wanted = await claimed(place)
        simulation.mischief.plan = FaultPlan(unheard=1.0)
        return await place.store.append(wanted)

    assert isinstance(at_node(act, FaultPlan()), Unknown)
    assert at_node(act, FaultPlan(), then=length) == 2


def test_nobody_reaches_it_during_an_outage() -> None:
    async def act(place: Place[None], simulation: Simulation) -> tuple[object, object]:
        simulation.disk.out_until = 5.0
        first = await open_one(place, simulation)
        await anyio.sleep(6)
        return type(first), await open_one(place, simulation)

    assert at_node(act, FaultPlan()) == (Unavailable, CaseOpened(KEY))


@pytest.mark.parametrize(("point", "records"), [("store.append.before", 1), ("store.append.after", 2)])
def test_a_process_that_dies_at_an_append_has_written_it_or_not(point: str, records: int) -> None:
    async def act(place: Place[None], simulation: Simulation) -> object:
        wanted = await claimed(place)
        simulation.mischief.points._kills = lambda name: name == point
        await place.store.append(wanted)
        raise AssertionError("a dead process hears nothing")

    assert at_node(act, FaultPlan(), then=length) == records


def test_an_append_takes_as_long_as_the_plan_allows() -> None:
    async def act(place: Place[None], _: Simulation) -> float:
        wanted = await claimed(place)
        began = place.world.clock.monotonic()
        assert isinstance(await place.store.append(wanted), Appended)
        return place.world.clock.monotonic() - began

    seconds = at_node(act, FaultPlan(latency_seconds=0.5))
    assert isinstance(seconds, float)
    assert 0 < seconds <= 0.5


def test_leases_are_kept_in_the_disks_time_whatever_a_machine_believes() -> None:
    async def main(simulation: Simulation) -> tuple[int, int]:
        stores: dict[str, Place[None]] = {}

        async def serve(place: Place[None]) -> None:
            stores[place.world.ids.new()] = place
            await anyio.sleep_forever()

        simulation.node("a", serve)
        simulation.node("b", serve)
        await anyio.sleep(1)
        simulation.nodes["a"].jump(-3_600.0)
        simulation.nodes["b"].jump(3_600.0)
        first, second = stores.values()
        await first.store.open_case(opening())

        async def claim(place: Place[None], name: str) -> int:
            now = place.world.clock.wall_micros()
            await place.store.renew(name, until=now + 4 * MICROS)
            return len((await place.store.claim(name, limit=9, now=now)).cases)

        held = await claim(first, "first")
        await anyio.sleep(3)
        early = await claim(second, "second")
        await anyio.sleep(2)
        assert await claim(second, "second") == 1
        return held, early

    assert simulate(main, plan=FaultPlan()).value == (1, 0)


def heard(plan: FaultPlan, act: Callable[[Store], Awaitable[object]]) -> list[tuple[float, list[CaseKey]]]:
    """Give what the second of two nodes hears of what the first does after a second, and when."""

    async def main(simulation: Simulation) -> list[tuple[float, list[CaseKey]]]:
        news: list[tuple[float, list[CaseKey]]] = []

        async def write(place: Place[None]) -> None:
            await anyio.sleep(1)
            await act(place.store)

        async def listen(place: Place[None]) -> None:
            place.store.on_arrival(lambda keys: news.append((simulation.loop.time(), list(keys))))
            await anyio.sleep_forever()

        simulation.node("a", write)
        simulation.node("b", listen)
        await anyio.sleep(POLL_SECONDS * 2.5)
        return news

    return simulate(main, plan=plan).value


def test_others_hear_of_what_was_written() -> None:
    assert heard(FaultPlan(), lambda store: store.open_case(opening()))[0] == (1.0, [KEY])


def test_whoever_lost_a_hint_looks_all_the_same_after_a_while() -> None:
    news = heard(FaultPlan(loss=1.0), lambda store: store.open_case(opening()))
    assert [at for at, _ in news] == [POLL_SECONDS, 2 * POLL_SECONDS]


def test_others_look_when_a_lease_is_over() -> None:
    until = 1_767_225_600 * MICROS + 5 * MICROS
    news = heard(FaultPlan(), lambda store: store.renew("node", until=until))
    assert 5.0 < news[0][0] < 5.5
