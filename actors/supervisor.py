"""The supervisor: the actor that decides who does a task.

It never awaits. A task's frame is sent on, byte for byte, to a free worker of the agent that has the skill; while
none is free it waits in a bounded list in which tenants take turns; beyond that it is refused, or whoever came last of
the tenant of whom most wait. An agent whose circuit is open gets nothing; another one does its work, if the policy
names one.
Answers never pass through here: they go from the agent straight to the case.
It does not know what a task is about, nor whether it will be tried again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from msgspec import Struct

from casework.actors.breaker import Circuits
from casework.actors.desk import Desk, InHand
from casework.actors.fairness import FairQueue, Lately
from casework.protocols.codec import encode
from casework.protocols.records import Decision
from casework.protocols.wire import Failed, FailureKind
from casework.runtime.behavior import Context
from casework.runtime.errors import NotSent
from casework.runtime.mailbox import Envelope
from casework.runtime.ref import Ref
from casework.runtime.timers import Timers


class Freed(Struct, frozen=True):
    """A worker of that agent has nothing to do."""

    agent: str


class Route(NamedTuple):
    """Who does a task, or why nobody does."""

    agent: str
    worker: str
    """Empty: it waits, or is refused."""
    rule: str
    why: str
    refused: bool = False


def choose_route(skill: str, agent: str, free: Sequence[str], workers: int, *, room: bool) -> Route:
    """Choose one of an agent's `workers` that are `free` for a task; pure.

    `agent` is empty when none has the skill; `room`: more may wait.
    """
    if not agent:
        return Route("", "", "route.skill", f"no agent has the skill {skill!r}", refused=True)
    if free:
        return Route(agent, free[0], "route.free", f"{len(free)} of {workers} workers are free")
    if room:
        return Route(agent, "", "route.wait", f"all {workers} workers of {agent} are busy")
    return Route(agent, "", "route.full", f"{agent} is busy and the waiting list is full", refused=True)


@dataclass(slots=True, frozen=True, eq=False)
class Roster:
    """Who is there: agents by skill, and the workers of each agent."""

    agents: Mapping[str, str]
    workers: Mapping[str, Mapping[str, Ref]]
    pending_max: int
    """Tasks that may wait for a free worker."""
    fallbacks: Mapping[str, str] = field(default_factory=dict[str, str])
    """Who does the work of an agent whose circuit is open."""


@dataclass(slots=True, eq=False)
class SupervisorBehavior:
    """The actor's behavior; what it must not forget lies on the desk, so a new one goes on where it was."""

    roster: Roster
    desk: Desk
    circuits: Circuits
    timers: Timers
    policy_hash: str
    pending: dict[str, FairQueue[InHand]] = field(default_factory=dict[str, "FairQueue[InHand]"])
    """Waiting tasks by agent, tenants in turn; those that were recalled leave when their turn comes."""
    lately: dict[str, Lately] = field(default_factory=dict[str, Lately])
    """By agent, whether several tenants are about."""

    async def started(self, context: Context) -> None:
        """Keep the alarms of the staff ringing, and take up again what waited when an earlier one ended."""
        context.start_soon(self.timers.run, name="alarms")
        # A handler of a supervisor never waits: where nothing waits for it, it can as well act at once. But not when a
        # worker becomes free: a case that takes back many tasks would have each given out before it takes it back.
        self.desk.route_now = lambda in_hand: context.step_in(partial(self._take, context, in_hand))
        self.desk.awaited = lambda agent: bool(self.pending.get(agent))
        for in_hand in self.desk.unrouted():
            in_hand.agent = ""
            if not in_hand.recalled:
                self._take(context, in_hand)

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Route one task, or give a free worker the task that has waited longest."""
        context.at_end(partial(self._received, context, envelope))

    def _received(self, context: Context, envelope: Envelope) -> None:
        if isinstance(envelope.local, Freed):
            self._next(context, envelope.local.agent)
            return
        in_hand = self.desk.waiting(envelope.frame, envelope.attempt, envelope.sender)
        if in_hand is not None and not in_hand.agent:
            self._take(context, in_hand)

    def _take(self, context: Context, in_hand: InHand) -> None:
        skill = in_hand.task.task
        agent, instead, now = self.roster.agents.get(skill, ""), "", context.clock.monotonic()
        if agent in self.roster.fallbacks:
            agent, instead = self._standing_in(agent, now)
        workers = self.roster.workers.get(agent, {})
        queue = self.pending.get(agent)
        if queue is None:
            queue = self.pending[agent] = FairQueue()
        # Whoever waits goes first: a worker that became free just now is not for the newcomer.
        free = () if queue or not self._may(agent, in_hand.task.tenant) else self.desk.free(workers)
        room = bool(free) or not workers or self._room(in_hand.task.tenant)
        route = choose_route(skill, agent, free, len(workers), room=room)
        if instead and route.worker:
            route = route._replace(rule="route.fallback", why=instead)
        if route.refused:
            self._refuse(in_hand, route)
        elif route.worker:
            self._send(context, in_hand, route, now)
        else:
            in_hand.agent = agent
            queue.put(in_hand.task.tenant, in_hand)
            self._next(context, agent)

    def _standing_in(self, agent: str, now: float) -> tuple[str, str]:
        """Give who does an agent's work now and, if that is another one, why."""
        why, fallbacks = "", self.roster.fallbacks
        while agent in fallbacks and not self.circuits.of(agent).lets(now):
            why = f"the circuit of {agent} is open, and the policy names {fallbacks[agent]} in its place"
            agent = fallbacks[agent]
        return agent, why

    def _next(self, context: Context, agent: str) -> None:
        queue = self.pending.get(agent)
        workers = self.roster.workers.get(agent, {})
        free = self.desk.free(workers)
        while queue and free:
            try:
                in_hand = queue.take(lambda tenant: self._may(agent, tenant))
            except IndexError:
                return
            if in_hand.recalled:
                continue
            why = f"{len(free)} of {len(workers)} workers are free"
            if self._send(context, in_hand, Route(agent, free[-1], "route.waited", why), context.clock.monotonic()):
                free.pop()

    def _may(self, agent: str, tenant: str) -> bool:
        """Tell whether a tenant may have one more worker of an agent, if one is free."""
        lately = self.lately.get(agent)
        if lately is None or not lately.others(tenant):
            return True
        workers = self.roster.workers.get(agent, {})
        return self.desk.held(workers, tenant) < max(len(workers) - 1, 1)

    def _send(self, context: Context, in_hand: InHand, route: Route, now: float) -> bool:
        """Send a task on; tells whether the worker has it."""
        circuit = self.circuits.of(route.agent)
        if not circuit.admit(now):
            if self._standing_in(route.agent, now)[1]:
                # It waited while the circuit opened: somebody else is to do it.
                in_hand.agent = ""
                self._take(context, in_hand)
                return False
            why = f"the circuit of {route.agent} is open"
            self._refuse(in_hand, Route(route.agent, "", "route.circuit", why, refused=True))
            return False
        in_hand.agent, in_hand.since = route.agent, now
        lately = self.lately.get(route.agent)
        if lately is None:
            lately = self.lately[route.agent] = Lately()
        lately.note(in_hand.task.tenant)
        workers = self.roster.workers[route.agent]
        self.desk.route(in_hand, route.worker, self._decision(in_hand, route, tuple(workers)))
        try:
            workers[route.worker].tell_nowait(
                in_hand.frame, sender=context.self_ref.address, attempt=in_hand.attempt, trace=in_hand.task.trace
            )
        except NotSent as error:
            self.desk.returned(in_hand)
            self._refuse(in_hand, route._replace(worker="", rule="route.lost", why=error.why))
            return False
        return True

    def _refuse(self, in_hand: InHand, route: Route) -> None:
        workers = tuple(self.roster.workers.get(route.agent, ()))
        self.desk.refused(in_hand.task_of, self._decision(in_hand, route, workers))
        self.desk.drop(in_hand)
        failed = Failed(
            task_id=in_hand.task.id,
            kind=FailureKind.UNAVAILABLE if route.agent else FailureKind.REFUSED,
            message=f"{route.rule}: {route.why}",
            retryable=bool(route.agent),
            attempt=in_hand.attempt,
        )
        in_hand.case.outcome(encode(failed), attempt=in_hand.attempt)

    def _room(self, tenant: str) -> bool:
        """Say whether one more of a tenant may wait; if need be, the tenant of whom most wait makes room."""
        queues = self.pending.values()
        if sum(map(len, queues)) < self.roster.pending_max:
            return True
        if self.desk.stale:
            self.desk.stale = 0
            for queue in queues:
                queue.keep(_wanted)
            if sum(map(len, queues)) < self.roster.pending_max:
                return True
        waiting = Counter[str]()
        for queue in queues:
            waiting.update(queue.tenants())
        crowd, most = waiting.most_common(1)[0]
        if most <= waiting[tenant] + 1:
            return False
        longest = max(queues, key=lambda queue: queue.tenants().get(crowd, 0))
        why = f"the waiting list is full, and {most} of it are of tenant {crowd}"
        shed = longest.shed(crowd)
        self._refuse(shed, Route(shed.agent, "", "route.crowd", why, refused=True))
        return True

    def _decision(self, in_hand: InHand, route: Route, workers: tuple[str, ...]) -> Decision:
        return Decision(
            subject=f"route {in_hand.task.task}",
            options=workers,
            chosen=route.worker,
            rule=route.rule,
            why=route.why,
            policy_hash=self.policy_hash,
        )


def _wanted(in_hand: InHand) -> bool:
    return not in_hand.recalled
