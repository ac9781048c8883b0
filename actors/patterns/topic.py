"""Topics: durable streams of typed events, each a case that keeps what was published and answers those who ask.

Who publishes sends the topic an event, which is durable with that. Who subscribes asks for the events from a position
on and waits for the answer: the cursor is its own, and nothing piles up for one that is slow. An event keeps its
position for ever, so an answer about a position is right whenever it comes: asking again does no harm, nothing is lost
by a crash, and nobody who keeps the position of what it has handled gets anything twice.
Full segments become cases of their own, which answer about the past; so no log grows without end. All of them wait
without a process.
It does not know what an event means, nor what becomes of it.
"""

from typing import Final, NamedTuple, Protocol, cast

from msgspec import Raw, Struct
from msgspec.structs import replace

from casework.protocols.codec import pack, unpack
from casework.protocols.errors import ProtocolError
from casework.runtime.flow.case import Case, Flow
from casework.runtime.store.base import DeliverResult

#: The key under which a topic is sent events and questions.
TOPIC_KEY: Final = "topic"
#: Bytes of one event; what is larger goes by reference.
EVENT_BYTES_MAX: Final = 8 << 10
#: Events of one segment: all of them, and those who wait, have room in one frame.
SEGMENT_EVENTS: Final = 64
#: Events of one answer.
BATCH_EVENTS: Final = 16
#: Subscribers that wait for the next event of a topic at the same moment; more are refused.
READERS_MAX: Final = 1_000
#: Records after which a topic begins a new chapter, so that waking it stays cheap.
CHAPTER_RECORDS: Final = 1_000


class Event(Struct, frozen=True, kw_only=True):
    """One event of a topic."""

    position: int
    """Its place in the topic, from 0 on."""
    kind: str
    """The name of its type."""
    value: Raw


class Publish(Struct, frozen=True, kw_only=True, tag="publish"):
    """Asks a topic to keep an event."""

    kind: str
    value: Raw


class Read(Struct, frozen=True, kw_only=True, tag="read"):
    """Asks a topic for events of a kind from a position on; answered once there is one."""

    reader: str
    """The case that asks."""
    kind: str
    position: int


class Batch(Struct, frozen=True, kw_only=True):
    """Answers a Read: the events of that kind, in order, from the position asked for to before `position`."""

    events: tuple[Event, ...] = ()
    position: int
    """Where to ask next."""
    refused: str = ""
    """Why there is no answer."""


class Topic(Struct, frozen=True, kw_only=True):
    """What a topic holds: its last segment, and who waits for more."""

    base: int = 0
    """Position of the first event here; a segment begins every `SEGMENT_EVENTS`."""
    events: tuple[Event, ...] = ()
    readers: tuple[Read, ...] = ()
    sealed: bool = False
    """Whether this is a full segment, to which nothing is added any more."""


class Answer(NamedTuple):
    """What a topic sends in return: to which case, under which key."""

    case_id: str
    key: str
    value: Batch | Read


#: What a topic is sent.
MESSAGE: Final = cast("type[Publish | Read]", Publish | Read)


class Publisher(Protocol):
    """Who can deliver from outside: a runtime."""

    async def deliver(self, target: str, *, by: str, key: str, value: object, message_id: str) -> DeliverResult:
        """Deliver a thing to a case."""
        ...


def kind_of(event: type) -> str:
    """Name a type of event."""
    return event.__name__


def batch_key(topic: str, kind: str, position: int) -> str:
    """Name what a subscriber waits for."""
    return f"events:{topic}:{kind}:{position}"


def published(event: Struct) -> Publish:
    """Make what a topic is sent.

    Raises:
        ValueError: the event is too large.
    """
    value = pack(event)
    if len(bytes(value)) > EVENT_BYTES_MAX:
        size = len(bytes(value))
        raise ValueError(f"an event has at most {EVENT_BYTES_MAX} bytes, this one {size}; publish a reference to it")
    return Publish(kind=kind_of(type(event)), value=value)


async def publish(runtime: Publisher, topic: str, event: Struct, *, by: str, event_id: str) -> DeliverResult:
    """Publish an event from outside of any case; `Nobody`: there is no such topic, open a case of the flow first.

    The same `event_id` again is published once. If cancelled, it may have been published or not: do it again.

    Raises:
        ValueError: the event is too large.
    """
    message = published(event)
    return await runtime.deliver(topic, by=by, key=TOPIC_KEY, value=message, message_id=f"event:{event_id}")


async def announce(case: Case, topic: str, event: Struct) -> None:
    """Publish an event from a flow, once, whatever happens to its process.

    Raises:
        ValueError: the event is too large.
    """
    await case.send(topic, TOPIC_KEY, published(event))


def heard(topic: Topic, name: str, message: Publish | Read) -> tuple[Topic, tuple[Answer, ...]]:
    """Say what becomes of a topic that hears a message, and what it answers to whom."""
    if isinstance(message, Publish):
        return _added(topic, name, message)
    position = max(message.position, 0)  # Nothing is before the beginning: the first segment would ask itself for ever.
    if position < topic.base:
        segment = position // SEGMENT_EVENTS * SEGMENT_EVENTS
        return topic, (Answer(segment_id(name, segment), TOPIC_KEY, message),)
    fitting = [each for each in topic.events if each.kind == message.kind and each.position >= message.position]
    if fitting:
        given = tuple(fitting[:BATCH_EVENTS])
        return topic, (_answer(message, name, Batch(events=given, position=given[-1].position + 1)),)
    if topic.sealed:
        return topic, (_answer(message, name, Batch(position=topic.base + SEGMENT_EVENTS)),)
    if len(topic.readers) >= READERS_MAX:
        why = f"{READERS_MAX} subscribers wait for topic {name} already"
        return topic, (_answer(message, name, Batch(position=message.position, refused=why)),)
    return replace(topic, readers=(*topic.readers, message)), ()


def segment_id(name: str, base: int) -> str:
    """Name the case of a full segment."""
    return f"{name}/{base}"


def full(topic: Topic) -> bool:
    """Tell whether the last segment has to be put away."""
    return not topic.sealed and len(topic.events) >= SEGMENT_EVENTS


async def topic(case: Case, state: Topic) -> None:
    """Keep events and answer questions, for ever; a flow. Cancel the case to end the topic."""
    # A segment answers under the name of its topic, which is what its subscribers wait for.
    name = case.id.rpartition("/")[0] if state.sealed else case.id
    records = 0
    while records < CHAPTER_RECORDS and not full(state):
        arrived = await case.park(TOPIC_KEY, reason=f"events and questions for topic {name}")
        try:
            message = unpack(arrived.value, MESSAGE)
        except ProtocolError as error:
            await case.note(f"{arrived.by} sent what is neither event nor question: {error}", level="warning")
            records += 3
            continue
        state, answers = heard(state, name, message)
        for answer in answers:
            await case.send(answer.case_id, answer.key, answer.value)
        records += 2 + len(answers)
    if full(state):
        await case.open(topic.__name__, segment_id(name, state.base), replace(state, readers=(), sealed=True))
        await case.next_report()
        state = Topic(base=state.base + SEGMENT_EVENTS, readers=state.readers)
    await case.next_chapter(state)


#: The flow of topics, for a crew; a topic is a case of it: `runtime.open("topic", "orders", Topic())`.
TOPIC: Final = Flow.of(topic, inputs=Topic)


def _added(topic: Topic, name: str, message: Publish) -> tuple[Topic, tuple[Answer, ...]]:
    event = Event(position=topic.base + len(topic.events), kind=message.kind, value=message.value)
    waiting = [read for read in topic.readers if read.kind == event.kind and read.position <= event.position]
    batch = Batch(events=(event,), position=event.position + 1)
    readers = tuple(read for read in topic.readers if read not in waiting)
    return replace(topic, events=(*topic.events, event), readers=readers), tuple(
        _answer(read, name, batch) for read in waiting
    )


def _answer(read: Read, name: str, batch: Batch) -> Answer:
    return Answer(read.reader, batch_key(name, read.kind, read.position), batch)
