"""The supervisor: the actor that decides who does a task.

It never awaits. A task's frame is sent on, byte for byte, to a free worker of the agent that has the skill; while
none is free it waits in a bounded list, and beyond that it is refused. An agent whose circuit is open gets nothing.
Answers never pass through here: they go from the agent straight to the case.
It does not know what a task is about, nor whether it will be tried again.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import Struct

from casework.actors.desk import Desk, InHand
from casework.actors.guards import Circuits
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


def choose_route(skill: str, agent: str, workers: Sequence[str], busy: Sequence[bool], *, room: bool) -> Route:
    """Choose the worker for a task; pure. `agent` is empty when none has the skill; `room`: more may wait."""
    if not agent:
        return Route("", "", "route.skill", f"no agent has the skill {skill!r}", refused=True)
    free = [worker for worker, taken in zip(workers, busy, strict=True) if not taken]
    if free:
        return Route(agent, free[0], "route.free", f"{len(free)} of {len(workers)} workers are free")
    if room:
        return Route(agent, "", "route.wait", f"all {len(workers)} workers of {agent} are busy")
    return Route(agent, "", "route.full", f"{agent} is busy and the waiting list is full", refused=True)


@dataclass(slots=True, frozen=True, eq=False)
class Roster:
    """Who is there: agents by skill, and the workers of each agent."""

    agents: Mapping[str, str]
    workers: Mapping[str, Mapping[str, Ref]]
    pending_max: int
    """Tasks that may wait for a free worker."""


@dataclass(slots=True, eq=False)
class SupervisorBehavior:
    """The actor's behavior; what it must not forget lies on the desk, so a new one goes on where it was."""

    roster: Roster
    desk: Desk
    circuits: Circuits
    timers: Timers
    policy_hash: str
    pending: dict[str, deque[InHand]] = field(default_factory=dict[str, "deque[InHand]"])
    """Waiting tasks by agent; those that were recalled leave when their turn comes."""

    async def started(self, context: Context) -> None:
        """Keep the alarms of the staff ringing, and take up again what waited when an earlier one ended."""
        context.start_soon(self.timers.run, name="alarms")
        for in_hand in self.desk.unrouted():
            in_hand.agent = ""
            self._take(context, in_hand)

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Route one task, or give a free worker the task that has waited longest."""
        if isinstance(envelope.local, Freed):
            self._next(context, envelope.local.agent)
            return
        in_hand = self.desk.waiting(envelope.frame, envelope.attempt)
        if in_hand is not None and not in_hand.agent:
            self._take(context, in_hand)

    def _take(self, context: Context, in_hand: InHand) -> None:
        skill = in_hand.task.task
        agent = self.roster.agents.get(skill, "")
        workers = self.roster.workers.get(agent, {})
        queue = self.pending.setdefault(agent, deque())
        # Whoever waits goes first: a worker that became free just now is not for the newcomer.
        busy = [bool(queue) or self.desk.busy(worker) for worker in workers]
        route = choose_route(skill, agent, tuple(workers), busy, room=self._room())
        if route.refused:
            self._refuse(in_hand, route)
        elif route.worker:
            self._send(context, in_hand, route)
        else:
            in_hand.agent = agent
            queue.append(in_hand)
            self._next(context, agent)

    def _next(self, context: Context, agent: str) -> None:
        queue = self.pending.get(agent)
        workers = self.roster.workers.get(agent, {})
        free = [worker for worker in workers if not self.desk.busy(worker)]
        while queue and free:
            in_hand = queue.popleft()
            if in_hand.recalled:
                continue
            why = f"{len(free)} of {len(workers)} workers are free"
            if self._send(context, in_hand, Route(agent, free[-1], "route.waited", why)):
                free.pop()

    def _send(self, context: Context, in_hand: InHand, route: Route) -> bool:
        """Send a task on; tells whether the worker has it."""
        if not self.circuits.of(route.agent).admit(context.clock.monotonic()):
            closed = Route(route.agent, "", "route.circuit", f"the circuit of {route.agent} is open", refused=True)
            self._refuse(in_hand, closed)
            return False
        in_hand.agent = route.agent
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
        self.desk.drop(in_hand)
        failed = Failed(
            task_id=in_hand.task.id,
            kind=FailureKind.UNAVAILABLE if route.agent else FailureKind.REFUSED,
            message=f"{route.rule}: {route.why}",
            retryable=bool(route.agent),
            attempt=in_hand.attempt,
        )
        in_hand.case.outcome(encode(failed), attempt=in_hand.attempt)

    def _room(self) -> bool:
        waiting = sum(map(len, self.pending.values()))
        if waiting >= self.roster.pending_max:
            for agent, queue in self.pending.items():
                self.pending[agent] = deque(each for each in queue if not each.recalled)
            waiting = sum(map(len, self.pending.values()))
        return waiting < self.roster.pending_max

    def _decision(self, in_hand: InHand, route: Route, workers: tuple[str, ...]) -> Decision:
        return Decision(
            subject=f"route {in_hand.task.task}",
            options=workers,
            chosen=route.worker,
            rule=route.rule,
            why=route.why,
            policy_hash=self.policy_hash,
        )
