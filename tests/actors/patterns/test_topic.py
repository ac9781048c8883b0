"""A topic keeps what was published, in order, and answers whoever asks, about what was long ago as well."""

from collections import deque
from dataclasses import dataclass, field

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from casework.actors.patterns import Topic, publish
from casework.actors.patterns.topic import (
    BATCH_EVENTS,
    EVENT_BYTES_MAX,
    READERS_MAX,
    SEGMENT_EVENTS,
    Answer,
    Batch,
    Publish,
    Read,
    batch_key,
    full,
    heard,
    published,
    segment_id,
)
from casework.actors.patterns.topic import TOPIC as FLOW
from casework.actors.testing import CaseBench
from casework.protocols.codec import pack
from casework.protocols.records import Arrived, Noted, Sent
from casework.runtime.store.base import CaseStatus, Delivered, Duplicate, Nobody
from tests.support.pattern_crew import staffed


class Paid(Struct, frozen=True):
    number: int


def read(kind: str, position: int, reader: str = "c1") -> Read:
    return Read(reader=reader, kind=kind, position=position)


@dataclass
class Post:
    """Topics and subscribers without a runtime: messages are handed over in the order of a list."""

    topics: dict[str, Topic] = field(default_factory=lambda: {"t": Topic()})
    waiting: deque[tuple[str, Publish | Read]] = field(default_factory=deque)
    had: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """What each subscriber was given, by its kind of event."""

    def send(self, topic: str, message: Publish | Read) -> None:
        self.waiting.append((topic, message))

    def deliver(self) -> None:
        name, message = self.waiting.popleft()
        topic, answers = heard(self.topics[name], "t", message)
        if full(topic):
            self.topics[segment_id("t", topic.base)] = Topic(base=topic.base, events=topic.events, sealed=True)
            topic = Topic(base=topic.base + SEGMENT_EVENTS, readers=topic.readers)
        self.topics[name] = topic
        for answer in answers:
            self._answered(answer)

    def _answered(self, answer: Answer) -> None:
        if isinstance(answer.value, Read):
            self.send(answer.case_id, answer.value)
            return
        kind = answer.case_id
        self.had.setdefault(kind, []).extend((each.position, each.kind) for each in answer.value.events)
        self.send("t", read(kind, answer.value.position, kind))


@given(
    st.lists(st.sampled_from(["publish a", "publish b", "ask a", "ask b", "deliver"]), max_size=60), st.integers(0, 3)
)
def test_whoever_begins_whenever_gets_every_event_of_its_kind_once_and_in_order(acts: list[str], segments: int) -> None:
    post, asked, sent = Post(), set[str](), ""
    for act in [*["publish a", "deliver"] * (segments * SEGMENT_EVENTS), *acts]:
        what, _, kind = act.partition(" ")
        if what == "publish":
            post.send("t", Publish(kind=kind, value=pack(1)))
            sent += kind
        elif what == "ask" and kind not in asked:
            asked.add(kind)
            post.send("t", read(kind, 0, kind))
        elif what == "deliver" and post.waiting:
            post.deliver()
    while post.waiting:
        post.deliver()
    for kind in asked:
        assert post.had.get(kind, []) == [(at, each) for at, each in enumerate(sent) if each == kind]


def test_an_answer_has_so_many_events_and_says_where_to_ask_next() -> None:
    topic = Topic()
    for _ in range(BATCH_EVENTS + 2):
        topic, _ = heard(topic, "t", Publish(kind="a", value=pack(1)))
    _, (answer,) = heard(topic, "t", read("a", 1))
    assert isinstance(answer.value, Batch)
    assert [event.position for event in answer.value.events] == list(range(1, BATCH_EVENTS + 1))
    assert (answer.key, answer.value.position) == (batch_key("t", "a", 1), BATCH_EVENTS + 1)


def test_who_asks_for_what_comes_later_is_not_given_what_comes_before() -> None:
    topic, _ = heard(Topic(), "t", read("a", 1))
    topic, answers = heard(topic, "t", Publish(kind="a", value=pack(1)))
    assert (answers, len(topic.readers)) == ((), 1)
    topic, (answer,) = heard(topic, "t", Publish(kind="a", value=pack(2)))
    assert isinstance(answer.value, Batch)
    assert ([event.position for event in answer.value.events], topic.readers) == ([1], ())


def test_who_asks_from_before_the_beginning_is_answered_from_the_beginning_and_by_nobody_for_ever() -> None:
    first = heard(Topic(), "t", published(Paid(1)))[0]
    for topic, name in ((first, "t"), (Topic(events=first.events, sealed=True), segment_id("t", 0))):
        (answer,) = heard(topic, "t", read("Paid", -5))[1]
        assert (answer.case_id, answer.key) == ("c1", batch_key("t", "Paid", -5)), name
    assert heard(Topic(base=SEGMENT_EVENTS), "t", read("Paid", -5))[1][0].case_id == segment_id("t", 0)


def test_more_readers_than_a_topic_has_room_for_are_told_so() -> None:
    topic = Topic(readers=tuple(read("a", 0, f"c{number}") for number in range(READERS_MAX)))
    after, (answer,) = heard(topic, "t", read("a", 0))
    assert after == topic
    assert isinstance(answer.value, Batch)
    assert answer.value.refused == f"{READERS_MAX} subscribers wait for topic t already"


def test_the_largest_segment_with_the_most_readers_has_room_in_a_frame() -> None:
    event = published(Blob("x" * (EVENT_BYTES_MAX - 20)))
    topic = Topic(readers=tuple(read("k" * 64, 10**9, "c" * 100) for _ in range(READERS_MAX)))
    for _ in range(SEGMENT_EVENTS):
        topic, _ = heard(topic, "t", event)
    assert len(bytes(pack(topic))) > SEGMENT_EVENTS * (EVENT_BYTES_MAX - 20)


class Blob(Struct, frozen=True):
    text: str


async def test_an_event_that_is_too_large_is_not_published() -> None:
    with anyio.fail_after(5):
        async with CaseBench(staffed({}, FLOW)) as bench:
            with pytest.raises(ValueError, match=r"at most 8192 bytes, this one 9[0-9]{3}; publish a reference to it"):
                await publish(bench.runtime, "orders", Blob("x" * 9_000), by="shop", event_id="1")


async def test_an_event_is_published_once_however_often_its_sender_tries() -> None:
    with anyio.fail_after(5):
        async with CaseBench(staffed({}, FLOW)) as bench:
            assert isinstance(await publish(bench.runtime, "orders", Paid(1), by="shop", event_id="1"), Nobody)
            await bench.open("topic", "orders", Topic())
            assert isinstance(await publish(bench.runtime, "orders", Paid(1), by="shop", event_id="1"), Delivered)
            await bench.crash()
            assert isinstance(await publish(bench.runtime, "orders", Paid(1), by="shop", event_id="1"), Duplicate)
            await bench.settle()
            assert len([entry for entry in bench.log("orders").entries if isinstance(entry, Arrived)]) == 1


async def test_what_is_neither_event_nor_question_does_not_stop_a_topic() -> None:
    with anyio.fail_after(5):
        async with CaseBench(staffed({}, FLOW)) as bench:
            await bench.open("topic", "orders", Topic())
            await bench.deliver("orders", "good morning", by="ann")
            assert bench.row("orders").status is CaseStatus.PARKED
            (note,) = [entry for entry in bench.log("orders").entries if isinstance(entry, Noted)]
    assert note.text.startswith("ann sent what is neither event nor question")


async def test_full_segments_become_cases_that_answer_about_the_past_and_the_topics_own_log_begins_anew() -> None:
    with anyio.fail_after(20):
        async with CaseBench(staffed({}, FLOW)) as bench:
            await bench.open("topic", "orders", Topic())
            for number in range(SEGMENT_EVENTS + 1):
                await publish(bench.runtime, "orders", Paid(number), by="shop", event_id=str(number))
            await bench.settle()
            segment = bench.row(segment_id("orders", 0))
            assert segment.status is CaseStatus.PARKED
            assert bench.row("orders").chapter > SEGMENT_EVENTS
            await bench.deliver("orders", read("Paid", 3, "nobody"))
            (sent,) = [each for each in bench.log(segment.key.case_id).entries if isinstance(each, Sent)]
            assert (sent.case_id, sent.key) == ("nobody", batch_key("orders", "Paid", 3))
