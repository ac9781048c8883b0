"""A subscriber handles each event that fits once and in order, whenever it comes and however often its process dies."""

import anyio
import pytest
from msgspec import Struct

from casework.actors.patterns import TOPIC, Code, Cursor, Subscription, Terms, Topic, announce, publish
from casework.actors.patterns.base import Use
from casework.actors.patterns.subscription import CHAPTER_EVENTS
from casework.actors.patterns.topic import SEGMENT_EVENTS, TOPIC_KEY, Publish
from casework.actors.testing import CaseBench
from casework.protocols.codec import pack
from casework.protocols.records import Closed, Noted, Sent
from casework.protocols.wire import RiskTier
from casework.runtime import Case, Flow
from casework.runtime.seams import MICROS
from casework.runtime.store.base import CaseStatus
from tests.support.pattern_crew import NAMES, Crashes, Job, crew, fakes, staffed

WRITE = Use("ledger.write", Job, Job, RiskTier.REVERSIBLE)


class Other(Struct, frozen=True):
    number: int


#: Cases that watch from the beginning, and when all is there.
LATE = ("early", "late")


async def number_of(case: Case, event: Other, terms: Terms) -> int:
    return event.number


def odd(job: Job) -> bool:
    return job.number % 2 == 1


EVERY = Subscription("all", "orders", Job, WRITE)
ODD = Subscription("odd", "orders", Job, WRITE, odd)


class Watch(Struct, frozen=True, kw_only=True):
    cursor: Cursor = Cursor()


def terms(now: int) -> Terms:
    return Terms(deadline=now + 60 * MICROS, calls=3, tools=NAMES, tier=RiskTier.REVERSIBLE)


async def watch(case: Case, inputs: Watch) -> None:
    """Handle every event, for ever."""
    cursor = await EVERY.follow(case, inputs.cursor, terms)
    await case.next_chapter(Watch(cursor=cursor))


async def shop(case: Case, inputs: Job) -> None:
    """Announce some orders."""
    for number in range(inputs.number):
        await announce(case, "orders", Job(number))


WATCH = Flow.of(watch, inputs=Watch, tools=NAMES)
FLOWS = (TOPIC, WATCH, Flow.of(shop, inputs=Job))


def bench_of(subscription: Subscription) -> CaseBench:
    return CaseBench(crew(subscription, flows=FLOWS), tools=fakes())


async def tell(bench: CaseBench, *events: Struct) -> None:
    for number, event in enumerate(events):
        await publish(bench.runtime, "orders", event, by="shop", event_id=f"{number}:{bench.clock.wall_micros()}")
    await bench.forward(seconds=1)


async def test_the_first_event_of_the_type_for_which_the_predicate_holds_is_handled() -> None:
    with anyio.fail_after(5):
        async with bench_of(ODD) as bench:
            await bench.open("topic", "orders", Topic())
            await bench.open("odd", "c1", Job())
            await tell(bench, Job(2), Other(1))
            assert bench.row("c1").status is CaseStatus.PARKED
            await tell(bench, Job(4), Job(5), Job(7))
            assert bench.value("c1", Job) == Job(5)
            assert bench.calls("ledger.write") == [Job(5)]


async def test_who_comes_late_replays_from_the_beginning_or_from_where_it_says() -> None:
    later = Subscription("later", "orders", Job, WRITE, start=2)
    with anyio.fail_after(5):
        async with CaseBench(crew(later, flows=FLOWS), tools=fakes()) as bench:
            await bench.open("topic", "orders", Topic())
            await tell(bench, Job(1), Job(2), Job(3))
            await bench.open("watch", "w1", Watch())
            assert bench.calls("ledger.write") == [Job(1), Job(2), Job(3)]
            await bench.open("watch", "w2", Watch(cursor=Cursor(position=1)))
            assert bench.calls("ledger.write")[3:] == [Job(2), Job(3)]
            await bench.open("later", "c1", Job())
            assert bench.value("c1", Job) == Job(3)


@pytest.mark.promise("EVENT-1")
async def test_what_is_published_while_nobody_runs_is_handled_afterwards_once() -> None:
    with anyio.fail_after(5):
        async with bench_of(EVERY) as bench:
            await bench.open("topic", "orders", Topic())
            await bench.open("watch", "w1", Watch())
            await tell(bench, Job(1))
            await bench.crash()
            await tell(bench, Job(2))
            await bench.crash()
            await tell(bench, Job(3))
            assert bench.calls("ledger.write") == [Job(1), Job(2), Job(3)]


async def test_a_flow_publishes_as_well() -> None:
    with anyio.fail_after(5):
        async with bench_of(EVERY) as bench:
            await bench.open("topic", "orders", Topic())
            await bench.open("watch", "w1", Watch())
            await bench.open("shop", "s1", Job(3))
            assert bench.calls("ledger.write") == [Job(0), Job(1), Job(2)]


async def test_a_topic_that_nobody_has_opened_gets_nothing() -> None:
    with anyio.fail_after(5):
        async with bench_of(EVERY) as bench:
            await bench.open("shop", "s1", Job(1))
            await bench.open("topic", "orders", Topic())
            await bench.open("shop", "s2", Job(2))
            await bench.open("watch", "w1", Watch())
            assert bench.calls("ledger.write") == [Job(0), Job(1)]


async def test_the_cursor_goes_from_chapter_to_chapter_and_over_the_ends_of_segments() -> None:
    count = 2 * CHAPTER_EVENTS + 30
    with anyio.fail_after(30):
        async with bench_of(EVERY) as bench:
            await bench.open("topic", "orders", Topic())
            await bench.open("shop", "s1", Job(count))
            await bench.open("watch", "w1", Watch())
            assert bench.calls("ledger.write") == [Job(number) for number in range(count)]
            assert bench.row("w1").chapter > 0
            await bench.crash()
            await tell(bench, Job(count))
            assert bench.calls("ledger.write")[count:] == [Job(count)]


async def test_who_waits_for_a_rare_event_waits_over_the_ends_of_segments_and_who_comes_late_passes_over_them() -> None:
    rare = Subscription("rare", "orders", Other, Code("tell", Other, int, number_of))
    with anyio.fail_after(20):
        async with CaseBench(crew(rare, flows=FLOWS), tools=fakes()) as bench:
            await bench.open("topic", "orders", Topic())
            await bench.open("rare", "early", Job())
            await bench.open("shop", "s1", Job(SEGMENT_EVENTS + 1))
            await tell(bench, Other(7))
            await bench.open("rare", "late", Job())
            assert (bench.value("early", int), bench.value("late", int)) == (7, 7)
            asked = [len([each for each in bench.log(name).entries if isinstance(each, Sent)]) for name in LATE]
    assert asked == [1, 2]


async def test_a_topic_that_is_asked_often_begins_new_chapters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casework.actors.patterns.topic.CHAPTER_RECORDS", 5)
    with anyio.fail_after(5):
        async with bench_of(EVERY) as bench:
            await bench.open("topic", "orders", Topic())
            await bench.open("watch", "w1", Watch())
            await tell(bench, Job(1))
            first = bench.row("orders").chapter
            await bench.open("watch", "w2", Watch())
            await tell(bench, Job(2))
            assert 0 < first < bench.row("orders").chapter
            assert sorted(job.number for job in bench.calls("ledger.write") if isinstance(job, Job)) == [1, 1, 2, 2]


async def test_a_subscriber_that_the_topic_has_no_room_for_fails_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casework.actors.patterns.topic.READERS_MAX", 1)
    with anyio.fail_after(5):
        async with bench_of(EVERY) as bench:
            await bench.open("topic", "orders", Topic())
            await bench.open("watch", "w1", Watch())
            await bench.open("all", "c1", Job())
            closed = bench.log("c1").entries[-1]
    assert isinstance(closed, Closed)
    assert "1 subscribers wait for topic orders already" in closed.error


async def test_an_event_that_is_not_what_it_says_is_told_and_passed_over() -> None:
    with anyio.fail_after(5):
        async with bench_of(EVERY) as bench:
            await bench.open("topic", "orders", Topic())
            await bench.open("all", "c1", Job())
            await bench.runtime.deliver(
                "orders", by="x", key=TOPIC_KEY, value=Publish(kind="Job", value=pack("no job")), message_id="x"
            )
            await tell(bench, Job(1))
            assert bench.value("c1", Job) == Job(1)
            (note,) = [each for each in bench.log("c1").entries if isinstance(each, Noted)]
    assert note.text.startswith("event 0 of topic orders is no Job")


async def test_a_cancelled_subscriber_waits_no_longer_and_harms_nobody() -> None:
    with anyio.fail_after(5):
        async with bench_of(EVERY) as bench:
            await bench.open("topic", "orders", Topic())
            await bench.open("watch", "w1", Watch())
            await bench.open("watch", "w2", Watch())
            await bench.cancel("w1")
            assert bench.row("w1").result == "cancelled"
            await tell(bench, Job(1))
            assert bench.calls("ledger.write") == [Job(1)]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (Subscription("s", "", Job, WRITE), "names no topic; give the id of the topic's case"),
        (Subscription("s", "orders", Job, WRITE, start=-1), "begins at -1; positions begin with 0"),
        (Subscription("s", "orders", Other, WRITE), "'ledger.write' takes Job, but is given Other"),
    ],
)
def test_a_subscription_that_cannot_work_says_what_to_do(made: Subscription, says: str) -> None:
    (flaw,) = made.flaws()
    assert flaw.startswith("subscription 's'")
    assert says in flaw
    assert EVERY.flaws() == []


async def story(case: Case, inputs: Job) -> None:
    """Open a topic, announce before and after somebody watches."""
    await case.open("topic", "orders", Topic())
    await shop(case, inputs)
    await case.open("watch", f"{case.id}/watch", Watch())
    for _ in range(2):
        await case.next_report()
    await shop(case, inputs)


@pytest.mark.promise("EVENT-1")
@pytest.mark.crash_anywhere(
    staffed({}, TOPIC, WATCH, Flow.of(story, inputs=Job)), flow="story", inputs=Job(2), tools=fakes()
)
async def test_events_survive_whatever_happens_to_topic_publisher_and_subscriber(crashes: Crashes) -> None:
    whole = await crashes()
    assert list(whole.effects.times.values()) == [2, 2]  # two orders, each announced twice
