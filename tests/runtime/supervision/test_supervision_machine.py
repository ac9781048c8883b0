"""Any family under any sequence of misfortunes does what a plain synchronous model of supervision says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.errors import Escalated
from casework.runtime.lifecycle import Exit
from casework.runtime.seams import World
from casework.runtime.supervision import (
    Restart,
    RestartLimit,
    Strategy,
    Supervision,
    Verdict,
    affected,
    decide,
    within_period,
)
from tests.support.family import LONG, Diary, Kin, found, settle, tell
from tests.support.manual_clock import ManualClock

TOP_LIMIT = RestartLimit(intensity=2)
EXITS = {"boom": Exit.FAILED, "job": Exit.FAILED, "leave": Exit.NORMAL, "kill": Exit.KILLED, "stop": Exit.SHUTDOWN}

#: Weighted, lest most families be gone before much has happened to them.
OFTEN_PERMANENT = [Restart.PERMANENT] * 3 + [Restart.TRANSIENT] * 2 + [Restart.TEMPORARY]
MISFORTUNES = ["boom", "job", "leave", "kill", "stop", "fault", "fault", "fault", "send", "forward", "forward"]

pytestmark = pytest.mark.promise("KERNEL-8", "KERNEL-11", "KERNEL-8")

backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@dataclass(eq=False)
class Node:
    """An actor of the model."""

    kin: Kin
    address: str
    parent: Node | None
    children: list[Node] = field(default_factory=list)
    order: list[Node] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    """Those of its children; at the top, its own are in `own`."""
    own: list[float] = field(default_factory=list)
    alive: bool = False
    made: int = 0

    @classmethod
    def of(cls, kin: Kin, parent: Node | None = None) -> Node:
        node = cls(kin, kin.name if parent is None else f"{parent.address}/{kin.name}", parent)
        node.children = [cls.of(child, node) for child in kin.children]
        return node

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def limit(self) -> RestartLimit:
        return TOP_LIMIT if self.parent is None else self.parent.kin.supervision.limit


class Model:
    """Supervision without time, waiting or messages: each misfortune is dealt with at once."""

    def __init__(self, kin: Kin) -> None:
        self.top = Node.of(kin)
        self.nodes = list(self.top.walk())
        self.faults: Counter[str] = Counter()
        self.escalations = 0
        self.now = 0.0
        self.begin(self.top)

    def recent(self, node: Node) -> list[float]:
        """Give the restarts that count against a failure of this node."""
        restarts = node.own if node.parent is None else node.parent.restarts
        return within_period(restarts, self.now, node.limit.period_seconds)

    def begin(self, node: Node) -> bool:
        """Start an incarnation and its children; False if it failed to, which has been dealt with."""
        node.made += 1
        node.alive = True
        node.restarts, node.order = [], list(node.children)
        if self.faults[node.kin.name]:
            self.faults[node.kin.name] -= 1
            self.suffer(node, Exit.FAILED)
            return False
        for child in node.children:
            self.begin(child)
        return True

    def end(self, node: Node) -> None:
        node.alive = False
        for child in node.children:
            self.end(child)

    def lose(self, node: Node) -> None:
        """Let a node be gone for good."""
        self.end(node)
        if node.parent is not None:
            node.parent.order.remove(node)

    def suffer(self, node: Node, exit_: Exit) -> None:
        """Let an incarnation come to this end."""
        recent = self.recent(node)
        match decide(node.kin.restart, exit_, recent, node.limit.intensity):
            case Verdict.RESTART if node.parent is None:
                node.own = [*recent, self.now]
                self.end(node)
                self.begin(node)
            case Verdict.RESTART:
                assert node.parent is not None
                node.parent.restarts = [*recent, self.now]
                self.hold_round(node, node.parent)
            case Verdict.ESCALATE if node.parent is not None:
                self.lose(node)
                self.suffer(node.parent, Exit.FAILED)
            case verdict:
                self.escalations += verdict is Verdict.ESCALATE
                self.lose(node)

    def hold_round(self, node: Node, parent: Node) -> None:
        """End and start again whom a failure concerns."""
        order = [one.address for one in parent.order]
        names = (*affected(parent.kin.supervision.strategy, order, node.address), node.address)
        concerned = [one for one in parent.order if one.address in names]
        for one in concerned:
            if one is not node and one.kin.restart is Restart.TEMPORARY:
                self.lose(one)
            else:
                self.end(one)
        for one in concerned:
            if one in parent.order and not self.begin(one):
                return


def kin(depth: int, name: str) -> st.SearchStrategy[Kin]:
    """Draw an actor with a family of this depth below it."""
    children = (
        st.integers(1, 3).flatmap(lambda count: st.tuples(*(kin(depth - 1, f"{name}{at}") for at in range(count))))
        if depth
        else st.just(())
    )
    limit = st.builds(RestartLimit, st.sampled_from([3, 2, 1, 0]), st.sampled_from([2.0, 5.0]))
    supervision = st.builds(Supervision, st.sampled_from(Strategy), limit, st.sampled_from([LONG, 0.0]))
    return st.builds(Kin, st.just(name), children, st.sampled_from(OFTEN_PERMANENT), supervision)


families = kin(2, "a")
misfortunes = st.tuples(st.sampled_from(MISFORTUNES), st.integers(0, 12))


@dataclass
class Scene:
    """A family, what it has written down, and its model."""

    system: ActorSystem
    clock: ManualClock
    model: Model
    diary: Diary

    def inflict(self, what: str, address: str) -> None:
        if what in ("stop", "kill"):
            ref = found(self.system, address)
            (ref.stop if what == "stop" else ref.kill)()
        else:
            tell(self.system, address, what)

    async def suffer(self, what: str, node: Node) -> None:
        """Let one misfortune happen, and wait until all is quiet again."""
        model = self.model
        if what == "forward":
            self.clock.advance(1.0)
            model.now += 1.0
        elif node.alive and what == "send":
            answer = await found(self.system, node.address).ask(b"hello", timeout_seconds=LONG)
            assert answer.decode() == f"{node.kin.name} {node.made}"
        elif node.alive:
            if what == "fault":
                # Only where the group may fail twice more: how children begin together is not the model's business.
                what = "boom"
                if len(model.recent(node)) + 2 <= node.limit.intensity and node.kin.restart is not Restart.TEMPORARY:
                    self.diary.start_faults[node.kin.name] = model.faults[node.kin.name] = 1
            model.suffer(node, EXITS[what])
            self.inflict(what, node.address)
        await self.system.wait_quiet()

    def compare(self) -> None:
        nodes = self.model.nodes
        assert set(self.system.addresses) == {node.address for node in nodes if node.alive}
        assert {node.kin.name: self.diary.made[node.kin.name] for node in nodes} == {
            node.kin.name: node.made for node in nodes
        }
        self.system.check_conservation()


async def play(family: Kin, script: list[tuple[str, int]]) -> None:
    clock, diary, raised = ManualClock(), Diary(), list[Escalated]()
    world = replace(World(), clock=clock)
    with anyio.fail_after(5):
        async with ActorSystem(world, restart_limit=TOP_LIMIT, on_escalation=raised.append) as system:
            settle(system, family, diary)
            await system.wait_quiet()
            scene = Scene(system, clock, Model(family), diary)
            scene.compare()
            for what, at in script:
                await scene.suffer(what, scene.model.nodes[at % len(scene.model.nodes)])
                scene.compare()
            assert len(raised) == scene.model.escalations
            assert diary.overlaps == []
    assert system.addresses == ()


@backends
@settings(max_examples=100, deadline=None)
@given(family=families, script=st.lists(misfortunes, max_size=40))
def test_who_lives_and_how_often_it_began_is_as_in_the_model(
    backend: str, family: Kin, script: list[tuple[str, int]]
) -> None:
    anyio.run(play, family, script, backend=backend)


async def riot(family: Kin, bursts: list[list[tuple[str, int, int]]], world: World | None = None) -> None:
    """Let many things happen at once; the order of their effects is open, their bounds are not."""
    diary, model, inflicted, stopped = Diary(), Model(family), 0, set[str]()
    with anyio.fail_after(5):
        async with ActorSystem(world, restart_limit=TOP_LIMIT, on_escalation=lambda error: None) as system:
            settle(system, family, diary)
            await system.wait_quiet()
            for burst in bursts:
                for what, at, pauses in burst:
                    node = model.nodes[at % len(model.nodes)]
                    ref = system.lookup(node.address)
                    if ref is None:
                        continue
                    inflicted += {"hello": 0, "fault": 2}.get(what, 1)
                    if what == "fault":
                        what, diary.start_faults[node.kin.name] = "boom", 1
                    if what in ("stop", "kill"):
                        stopped |= {node.address} if what == "stop" else set()
                        (ref.stop if what == "stop" else ref.kill)()
                    else:
                        ref.tell_nowait(" ".join(["pause"] * pauses + [what]).encode())
                await system.wait_quiet()
                check(system, model, diary, inflicted, stopped)
    system.check_conservation()
    assert system.addresses == ()


def check(system: ActorSystem, model: Model, diary: Diary, inflicted: int, stopped: set[str]) -> None:
    """No misfortune starts anybody twice, and nobody is missing who has not been let go."""
    system.check_conservation()
    names = set(system.addresses)
    assert diary.overlaps == []
    for node in model.nodes:
        assert diary.made[node.kin.name] <= 1 + inflicted
        if node.parent is None:
            continue
        if node.address in names:
            assert node.parent.address in names, "a child ends before its parent"
        elif node.parent.address in names and node.kin.restart is Restart.PERMANENT:
            assert node.address in stopped, f"{node.address} is missing"


commotions = st.tuples(st.sampled_from([*EXITS, "fault", "hello"]), st.integers(0, 12), st.integers(0, 3))


@backends
@settings(max_examples=100, deadline=None)
@given(family=families, bursts=st.lists(st.lists(commotions, max_size=12), max_size=5))
def test_whatever_happens_at_once_every_group_comes_to_rest_with_nobody_missing(
    backend: str, family: Kin, bursts: list[list[tuple[str, int, int]]]
) -> None:
    anyio.run(riot, family, bursts, backend=backend)
