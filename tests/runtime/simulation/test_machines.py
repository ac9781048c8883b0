"""Mailbox, supervision and journal under any sequence of what may happen to them, in any order of the loop.

What happens is drawn as a list, and the order by a seed: so a failing example is a list and a number, and each runs
again as it ran. The journal is a case's log and the store that keeps it: whatever a flow is made of, and however often
its processes die, its log has each step once, and the flow has seen what the log says.
"""

from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from casework.actors import Crew
from casework.actors.policy import Policy
from casework.protocols.codec import decode_entry, unpack
from casework.protocols.records import Closed, Drawn, Fired, Noted
from casework.runtime import Case, Flow
from casework.runtime.errors import ActorStopped, StoreUnavailable
from casework.runtime.mailbox import Envelope, Mailbox, Overflow
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.simulation import FaultPlan, SimulatedNode, Simulation, Unreachable, simulate
from casework.runtime.simulation.world import Machine, SimulatedClock, SimulatedIds, SimulatedRandomness
from casework.runtime.store.base import CaseRow, CaseStatus, Delivered, Duplicate
from casework.runtime.store.chain import broken_at
from tests.runtime.supervision.test_supervision_machine import commotions, families, misfortunes, play, riot
from tests.support.simulated_service import Stuck, service

seeds = st.integers(0, 2**32)
bounded = settings(max_examples=60, deadline=None, derandomize=True)


# The mailbox.

#: What a sender does: offers, gives up after so many steps, or lets others go first.
doings = st.one_of(st.just("offer"), st.integers(0, 4), st.just("pause"))


@dataclass
class Post:
    """Several senders, one taker, and what each of them knows."""

    mailbox: Mailbox
    offered: list[Envelope] = field(default_factory=list)
    accepted: list[Envelope] = field(default_factory=list)
    taken: list[Envelope] = field(default_factory=list)
    refused: list[Envelope | None] = field(default_factory=list)
    given_up: int = 0

    async def send(self, sender: str, script: list[str | int]) -> None:
        for number, doing in enumerate(script):
            envelope = Envelope("someone", str(number).encode(), sender=sender)
            if doing == "pause":
                await anyio.lowlevel.checkpoint()
                continue
            with anyio.move_on_after(1_000 if doing == "offer" else int(doing)) as scope:
                try:
                    await self.mailbox.offer(envelope)
                    self.accepted.append(envelope)
                except ActorStopped as stopped:
                    self.refused.append(stopped.envelope)
            self.given_up += scope.cancelled_caught
            self.offered.append(envelope)

    async def take(self, pauses: list[int]) -> None:
        for pause in pauses:
            await anyio.sleep(pause)
            envelope = self.mailbox.take()
            assert len(self.mailbox) <= self.mailbox.depth_max
            if isinstance(envelope, Envelope):
                self.taken.append(envelope)


@bounded
@given(
    seed=seeds,
    bound=st.integers(1, 3),
    scripts=st.lists(st.lists(doings, max_size=8), min_size=1, max_size=4),
    pauses=st.lists(st.integers(0, 2), max_size=20),
)
def test_whoever_waits_for_room_is_taken_in_its_order_or_hears_that_it_was_not(
    seed: int, bound: int, scripts: list[list[str | int]], pauses: list[int]
) -> None:
    async def main(_: Simulation) -> None:
        post = Post(Mailbox(depth_max=bound, overflow=Overflow.WAIT))
        async with anyio.create_task_group() as jobs:
            for number, script in enumerate(scripts):
                jobs.start_soon(post.send, f"s{number}", script)
            await post.take(pauses)
            left = post.mailbox.close()
        ends = len(post.accepted) + len(post.refused) + post.given_up
        assert ends == len(post.offered), "an offer ended in no way, or in two"
        assert {*map(id, post.refused)} <= {*map(id, post.offered)}, "refused, and not given back"
        assert Counter(map(id, post.taken + left)) == Counter(map(id, post.accepted)), "accepted, and lost or doubled"
        for number in range(len(scripts)):
            mine = [int(each.frame) for each in post.taken + left if each.sender == f"s{number}"]
            assert mine == sorted(mine), "out of its sender's order"
        seen = post.mailbox.statistics()
        assert (seen.accepted, seen.depth, seen.senders_waiting) == (len(post.accepted), 0, 0)

    simulate(main, seed=seed, plan=FaultPlan())


# Supervision.


@pytest.mark.promise("KERNEL-8")
@bounded
@given(seed=seeds, family=families, script=st.lists(misfortunes, max_size=30))
def test_in_any_order_of_the_loop_who_lives_is_as_in_the_model(
    seed: int, family: Any, script: list[tuple[str, int]]
) -> None:
    async def main(_: Simulation) -> None:
        await play(family, script)

    simulate(main, seed=seed, plan=FaultPlan())


@pytest.mark.promise("KERNEL-8")
@bounded
@given(seed=seeds, family=families, bursts=st.lists(st.lists(commotions, max_size=12), max_size=5))
def test_in_any_order_of_the_loop_every_group_comes_to_rest(
    seed: int, family: Any, bursts: list[list[tuple[str, int, int]]]
) -> None:
    async def main(simulation: Simulation) -> None:
        clock, randomness = SimulatedClock(simulation.loop, Machine("here")), SimulatedRandomness(seed)
        world = World(clock=clock, ids=SimulatedIds(clock, randomness.stream("ids")), randomness=randomness)
        await riot(family, bursts, world)

    simulate(main, seed=seed, plan=FaultPlan())


# The journal.


class Program(Struct, frozen=True):
    """What a flow does, as a list that a log can hold."""

    steps: list[Any]


async def follow(case: Case, steps: list[Any]) -> list[object]:
    seen: list[object] = []
    for step in steps:
        match step:
            case "random":
                seen.append(await case.random())
            case "id":
                seen.append(await case.new_id())
            case "note":
                await case.note(f"{len(seen)} so far")
            case "park":
                await case.park("thing", reason="somebody brings it")
            case int(seconds):
                await case.sleep(seconds)
            case _:
                branches: list[Coroutine[object, object, list[object]]] = [follow(case, branch) for branch in step]
                seen += [each for part in await case.gather(*branches) for each in part]
    return seen


async def program(case: Case, inputs: Program) -> list[object]:
    """Do what the inputs say; gives everything it drew."""
    return await follow(case, inputs.steps)


simple = st.sampled_from(["random", "id", "note", "park", 0, 1, 7])
programs = st.lists(st.one_of(simple, st.lists(st.lists(simple, max_size=4), min_size=1, max_size=3)), max_size=10)
wrongs = st.builds(
    FaultPlan,
    heal_seconds=st.just(40.0),
    crash_steps=st.sampled_from([0.0, 60.0, 200.0]),
    crash_points=st.sampled_from([0.0, 0.3]),
    unheard=st.sampled_from([0.0, 0.2]),
    unheard_claim=st.sampled_from([0.0, 0.2]),
    refusal=st.sampled_from([0.0, 0.1]),
    pause_every_seconds=st.sampled_from([0.0, 8.0]),
    latency_seconds=st.sampled_from([0.0, 0.2]),
)


async def bring(simulation: Simulation, node: SimulatedNode[Runtime], row: CaseRow, number: int) -> int:
    """Bring one more thing to a case that waits for one; gives how many were brought."""
    operators = [wait.key for wait in row.waits if wait.reason.startswith("poison")]
    for key in ["thing", *operators]:
        if key in {wait.key for wait in row.waits}:
            try:
                taken = await node.ask(
                    lambda runtime: runtime.deliver("c", by="somebody", key=key, message_id=f"{key}-{number}")  # noqa: B023
                )
            except (Unreachable, StoreUnavailable):
                continue
            number += isinstance(taken, Delivered | Duplicate)
    return number


async def journal_run(simulation: Simulation, steps: list[Any]) -> None:
    """Run one case until it has closed, and compare what it saw with what its log says."""
    crew = Crew("programs", flows=[Flow.of(program, inputs=Program)], policy=Policy(name="none"))
    nodes: list[SimulatedNode[Runtime]] = [simulation.node(name, service(crew)) for name in "ab"]
    simulation.begin()
    stuck, number, store = Stuck(simulation), 0, simulation.disk.inner
    while True:
        await anyio.sleep(2.0)
        node = nodes[int(simulation.loop.time()) % len(nodes)]
        rows = await store.cases()
        if not rows:
            try:
                await node.ask(lambda runtime: runtime.open("program", "c", Program(steps)))
            except (Unreachable, StoreUnavailable):
                continue
        for row in rows:
            number = await bring(simulation, node, row, number)
        if rows and rows[0].status is CaseStatus.CLOSED:
            break
        stuck.look(list(rows))
    records = await store.records(rows[0].key)
    assert broken_at(rows[0], records) is None
    entries = [(record.step_id, decode_entry(record.frame)) for record in records]
    closed = entries[-1][1]
    assert isinstance(closed, Closed), entries
    assert not closed.error, closed.error
    once = [step for step, entry in entries if isinstance(entry, Drawn | Fired | Noted)]
    assert len(once) == len(set(once)), f"a step stands twice in the log: {once}"
    epochs = [record.epoch for record in records]
    assert epochs == sorted(epochs), "whoever was fenced has written"
    drawn = [unpack(entry.value, Any) for _, entry in entries if isinstance(entry, Drawn)]
    assert Counter(map(str, drawn)) == Counter(map(str, unpack(closed.value, list[Any]))), "another draw was seen"


@settings(bounded, max_examples=50)
@given(seed=seeds, steps=programs, plan=wrongs, sql=st.booleans())
def test_whatever_a_flow_is_made_of_its_log_has_each_step_once_and_it_saw_what_the_log_says(
    seed: int, steps: list[Any], plan: FaultPlan, sql: bool
) -> None:
    simulate(journal_run, steps, seed=seed, plan=plan, sql=sql)
