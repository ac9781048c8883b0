"""The people around a crew under simulation: a client, whoever brings things, those who decide, and an operator.

Everything they do goes through a node, by a request that may be lost, come twice, or find the node dead; so they ask
again, as people do. They decide late, twice, and against each other, as the plan says. What became of a write that
nobody saw end they know from the world's own books, once whatever was under way has arrived.
They do not know what should come of it.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar, final

import anyio
from anyio.abc import TaskGroup

from casework.actors.intake import OpenCase
from casework.actors.simulation.effects import Effects
from casework.actors.simulation.scenario import Arrival, Question, Said, Scenario
from casework.actors.simulation.wired import Service
from casework.protocols.codec import decode_entry, plain
from casework.protocols.records import Review, ReviewAction
from casework.runtime.errors import DecisionInvalid, NotAwaited, Stopping, StoreUnavailable
from casework.runtime.flow.replay import split_mark
from casework.runtime.runtime import Runtime
from casework.runtime.simulation.errors import Unreachable
from casework.runtime.simulation.node import SimulatedNode
from casework.runtime.simulation.simulation import Simulation
from casework.runtime.store.base import (
    CaseRow,
    Delivered,
    DeliverResult,
    Duplicate,
    ReviewRow,
    Unavailable,
    Unknown,
    WaitKind,
)

T = TypeVar("T")

#: Seconds between two looks of people at what waits for them.
LOOK_SECONDS: Final = 5.0
#: Seconds after which a write that was under way has arrived or never will.
SETTLED_SECONDS: Final = 60.0
#: Times that an operator lets one and the same thing be tried again.
RELEASES_MAX: Final = 5
#: The rule by which a person is asked what became of a write.
UNKNOWN_RULE: Final = "effect.unknown"


@final
class People:
    """Everybody who deals with a crew in one run."""

    def __init__(
        self, simulation: Simulation, nodes: list[SimulatedNode[Service]], scenario: Scenario, effects: Effects
    ) -> None:
        self.opened: dict[str, OpenCase] = {}
        """Cases that somebody was told are open, by case id."""
        self.thinking = 0
        """Decisions that somebody is about to take."""
        self._simulation = simulation
        self._nodes = nodes
        self._scenario = scenario
        self._effects = effects
        self._seen: set[str] = set()
        self._releases: Counter[tuple[str, str]] = Counter()
        self._chance = simulation.mischief.chance("people")

    async def open_all(self) -> None:
        """Open the scenario's cases one after the other, until each is known to be open."""
        for case in self._scenario.cases():
            await self._insist(lambda runtime, each=case: runtime.open(each.flow, each.case_id, each.inputs))  # type: ignore[misc]
            self.opened[case.case_id] = case
            await self._ponder()

    async def bring_all(self, group: TaskGroup) -> None:
        """Bring everything that the scenario has people bring, each by itself."""
        for number, arrival in enumerate(self._scenario.arrivals()):
            group.start_soon(self._bring, arrival, f"arrival:{number}")

    async def _bring(self, arrival: Arrival, message_id: str) -> None:
        await anyio.sleep(arrival.after_seconds)
        await self._ponder()
        offered = await self._offer(arrival, message_id)
        while not isinstance(offered, Delivered | Duplicate):
            await anyio.sleep(LOOK_SECONDS)
            offered = await self._offer(arrival, message_id)
        if self._simulation.mischief.strikes("person_twice"):
            await self._offer(arrival, message_id)

    async def _offer(self, arrival: Arrival, message_id: str) -> DeliverResult | None:
        try:
            return await self._insist(
                lambda runtime: runtime.deliver(
                    arrival.target,
                    by=arrival.by,
                    key=arrival.key or arrival.target,
                    value=arrival.value,
                    data=arrival.data,
                    label=arrival.label,
                    message_id=message_id,
                )
            )
        except NotAwaited:
            return None

    async def decide_all(self, group: TaskGroup) -> None:
        """Look at what is asked, again and again, and have somebody decide it."""
        store = self._simulation.disk.inner
        while True:
            await anyio.sleep(LOOK_SECONDS)
            for review in await store.reviews(state="open"):
                if review.id not in self._seen:
                    self._seen.add(review.id)
                    self.thinking += 1
                    group.start_soon(self._decide, review)

    async def _decide(self, review: ReviewRow) -> None:
        entry = decode_entry(review.frame)
        assert isinstance(entry, Review), "a review's frame is its record"
        if entry.rule == UNKNOWN_RULE:
            await anyio.sleep(SETTLED_SECONDS)
            done = self._effects.of_step(review.key.case_id, split_mark(review.step_id)[0])
            answer: Said | None = Said(ReviewAction.REJECT if done is None else ReviewAction.APPROVE)
        else:
            proposal = plain(entry.proposal)
            question = Question(review.key.case_id, entry.rule, entry.title, entry.summary, proposal)
            answer = self._scenario.decide(question)
            await self._ponder()
        if answer is not None:
            await self._say(review.id, ReviewAction(answer.action), answer, "ann")
            if self._simulation.mischief.strikes("person_twice"):
                await self._say(review.id, ReviewAction(answer.action), answer, "ann")
            if self._simulation.mischief.strikes("person_contrary"):
                contrary = ReviewAction.REJECT if answer.action != ReviewAction.REJECT else ReviewAction.APPROVE
                await self._say(review.id, contrary, Said(), "eve")
        self.thinking -= 1

    async def _say(self, review_id: str, action: ReviewAction, answer: Said, by: str) -> None:
        edited = answer.edited if action is ReviewAction.EDIT else None
        with suppress(DecisionInvalid):
            await self._insist(
                lambda runtime: runtime.decide(review_id, action, by=by, reason=answer.reason, edited=edited)
            )

    async def release(self, row: CaseRow) -> bool:
        """Have what an operator can help with in a case tried again; tells whether there was anything.

        Nobody has a task tried again before it is settled whether its writes happened.
        """
        released = False
        stopped = [wait for wait in row.waits if wait.kind is WaitKind.OPERATOR]
        if not stopped or await self._unsettled(row):
            return released
        for wait in stopped:
            times = self._releases[row.key.case_id, wait.key] = self._releases[row.key.case_id, wait.key] + 1
            if times <= RELEASES_MAX:
                released = True
                await self._again(row, wait.key)
        return released

    async def _unsettled(self, row: CaseRow) -> bool:
        reviews = await self._simulation.disk.inner.reviews(state="open")
        frames = [decode_entry(review.frame) for review in reviews if review.key == row.key]
        return any(isinstance(entry, Review) and entry.rule == UNKNOWN_RULE for entry in frames)

    async def _again(self, row: CaseRow, key: str) -> None:
        message_id = f"again:{key}:{row.next_seq}"
        await self._insist(
            lambda runtime: runtime.deliver(row.key.case_id, by="operator", key=key, message_id=message_id)
        )

    async def _ponder(self) -> None:
        seconds = self._simulation.mischief.seconds("person_seconds")
        if seconds:
            await anyio.sleep(seconds)

    async def _insist(self, request: Callable[[Runtime], Awaitable[T]]) -> T:
        """Ask one node after the other until one answers, and knows."""
        while True:
            try:
                given = await self._chance.choice(self._nodes).ask(lambda service: request(service.runtime))
            except (Unreachable, StoreUnavailable, Stopping):
                await anyio.sleep(1.0)
                continue
            if not isinstance(given, Unavailable | Unknown):
                return given
            await anyio.sleep(1.0)
