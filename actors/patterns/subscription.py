"""Subscriptions: work that begins when an event of some type is published and a predicate over its value holds.

A subscriber is a case with a cursor: the position in the topic up to which it has handled everything. As a pattern it
waits for one event and hands it on; a flow that `follow`s a topic handles one after the other and keeps its cursor from
chapter to chapter, so what was published while it was away, or before it came, is handled as well, in order and once.
It does not know who publishes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Struct

from casework.actors.patterns.base import Edge, Pattern
from casework.actors.patterns.errors import PatternFailed
from casework.actors.patterns.fitting import misfits
from casework.actors.patterns.terms import Terms
from casework.actors.patterns.topic import TOPIC_KEY, Batch, Event, Read, batch_key, kind_of
from casework.protocols.codec import unpack
from casework.protocols.errors import ProtocolError
from casework.protocols.wire import FailureKind
from casework.runtime.flow.case import Case, Result

#: Events that a subscriber handles before it begins a new chapter.
CHAPTER_EVENTS: Final = 50


class Cursor(Struct, frozen=True, kw_only=True):
    """Up to where a subscriber has come: everything before `position` is handled."""

    position: int = 0
    """0 replays a topic from its beginning."""


def every(_event: object, /) -> bool:
    """Let every event of the type through."""
    return True


@dataclass(slots=True, frozen=True, eq=False)
class Subscription:
    """Hands events of one type on, those for which a predicate holds."""

    name: str
    topic: str
    """The case of the topic."""
    event: type[Struct]
    handler: Pattern
    """Takes the event."""
    where: Callable[[Any], bool] = every
    """Given the event's value."""
    start: int = 0
    """As a pattern: the position from which on an event counts."""
    takes: Any = field(default=object, init=False)
    kind: str = field(default="subscription", init=False)

    @property
    def gives(self) -> Any:
        """Give what the handler gives."""
        return self.handler.gives

    @property
    def parts(self) -> Sequence[Edge]:
        """Give the handler."""
        return (Edge(self.handler, kind_of(self.event)),)

    def flaws(self) -> Sequence[str]:
        """Say what is wrong with topic, type or start."""
        who = f"subscription {self.name!r}"
        checks = (
            (bool(self.topic), "names no topic; give the id of the topic's case"),
            (self.start >= 0, f"begins at {self.start}; positions begin with 0"),
        )
        return [
            *(f"{who} {why}" for fine, why in checks if not fine),
            *misfits(who, self.handler, given=self.event),
        ]

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        """Wait for the first event that fits, whatever was given, and hand it on.

        Raises:
            PatternFailed: too many wait for the topic already (UNAVAILABLE).
        """
        value, _cursor = await self._next(case, Cursor(position=self.start))
        return await self.handler(case, value, terms)

    async def follow(self, case: Case, cursor: Cursor, terms: Callable[[int], Terms]) -> Cursor:
        """Handle the next events in order, and give the cursor for the next chapter:

            cursor = await ORDERS.follow(case, inputs.cursor, terms)
            await case.next_chapter(Inputs(cursor=cursor))

        `terms` makes the terms of one event, given the moment in microseconds since the epoch at which it is there.

        Raises:
            PatternFailed: too many wait for the topic already (UNAVAILABLE); else as the handler.
        """
        for _ in range(CHAPTER_EVENTS):
            value, cursor = await self._next(case, cursor)
            await self.handler(case, value, terms(await case.now()))
        return cursor

    async def _next(self, case: Case, cursor: Cursor) -> tuple[Any, Cursor]:
        """Wait for the next event that fits, and give its value and the cursor after it."""
        while True:
            batch = await self._ask(case, cursor.position)
            for event in batch.events:
                found = await self._fitting(case, event)
                if found is not None:
                    return found, Cursor(position=event.position + 1)
            cursor = Cursor(position=batch.position)

    async def _ask(self, case: Case, position: int) -> Batch:
        kind = kind_of(self.event)
        await case.send(self.topic, TOPIC_KEY, Read(reader=case.id, kind=kind, position=position))
        key = batch_key(self.topic, kind, position)
        arrived = await case.park(key, reason=f"the next {kind} of topic {self.topic}")
        batch = unpack(arrived.value, Batch)
        if batch.refused:
            raise PatternFailed(self.name, FailureKind.UNAVAILABLE, batch.refused)
        return batch

    async def _fitting(self, case: Case, event: Event) -> Struct | None:
        try:
            value = unpack(event.value, self.event)
        except ProtocolError as error:
            why = f"event {event.position} of topic {self.topic} is no {event.kind}: {error}; it is passed over"
            await case.note(why, level="warning")
            return None
        return value if self.where(value) else None
