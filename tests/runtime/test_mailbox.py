"""The mailbox: two lanes, a bound, and nobody who jumps the queue."""

from collections import deque

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from casework.protocols.codec import FRAME_BYTES_MAX
from casework.runtime.errors import ActorStopped, FrameOversized, MailboxFull
from casework.runtime.lifecycle import Down, Exit, JobFailed, Stop
from casework.runtime.mailbox import Envelope, Mailbox, Overflow


def message(text: str = "") -> Envelope:
    return Envelope("someone", text.encode())


def test_messages_are_taken_in_the_order_of_their_acceptance() -> None:
    mailbox = Mailbox()
    sent = [message(str(number)) for number in range(5)]
    for envelope in sent:
        mailbox.offer_nowait(envelope)
    assert [mailbox.take() for _ in range(6)] == [*sent, None]


@pytest.mark.promise("KERNEL-2")
def test_a_signal_overtakes_every_waiting_message() -> None:
    mailbox = Mailbox(depth_max=10_000)
    for _ in range(10_000):
        mailbox.offer_nowait(message())
    mailbox.signal(Stop())
    assert mailbox.take() == Stop()


@pytest.mark.promise("KERNEL-2")
def test_signals_of_one_kind_and_subject_coalesce_and_keep_their_place() -> None:
    mailbox = Mailbox()
    failed = JobFailed("job", ValueError())
    for signal in (Down("a", Exit.NORMAL), failed, Down("a", Exit.KILLED), Down("b", Exit.NORMAL)):
        mailbox.signal(signal)
    assert mailbox.statistics().signals == 3
    assert [mailbox.take() for _ in range(4)] == [Down("a", Exit.KILLED), failed, Down("b", Exit.NORMAL), None]


@pytest.mark.promise("KERNEL-3")
@pytest.mark.parametrize("overflow", [Overflow.WAIT, Overflow.REFUSE])
def test_a_full_mailbox_refuses_and_gives_the_envelope_back(overflow: Overflow) -> None:
    mailbox = Mailbox(depth_max=1, overflow=overflow)
    mailbox.offer_nowait(message("first"))
    second = message("second")
    with pytest.raises(MailboxFull) as caught:
        mailbox.offer_nowait(second)
    assert caught.value.envelope is second
    assert caught.value.depth_max == 1
    assert mailbox.statistics().refused == 1


@pytest.mark.promise("KERNEL-3")
def test_a_full_mailbox_that_sheds_gives_the_oldest_message_up() -> None:
    mailbox = Mailbox(depth_max=2, overflow=Overflow.SHED_OLDEST)
    first, second, third = message(), message(), message()
    assert mailbox.offer_nowait(first) is None
    assert mailbox.offer_nowait(second) is None
    assert mailbox.offer_nowait(third) is first
    assert [mailbox.take(), mailbox.take()] == [second, third]


def test_a_closed_mailbox_refuses_and_gives_what_was_waiting() -> None:
    mailbox = Mailbox(overflow=Overflow.SHED_OLDEST)
    waiting, late = message(), message()
    mailbox.offer_nowait(waiting)
    mailbox.signal(Stop())
    assert mailbox.close() == [waiting]
    with pytest.raises(ActorStopped) as caught:
        mailbox.offer_nowait(late)
    assert caught.value.envelope is late
    mailbox.signal(Stop())
    assert mailbox.take() is None


@pytest.mark.promise("KERNEL-3")
async def test_offer_waits_for_room_and_keeps_the_order_of_those_who_wait() -> None:
    mailbox = Mailbox(depth_max=1, overflow=Overflow.WAIT)
    sent = [message(str(number)) for number in range(4)]
    taken: list[object] = []
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for envelope in sent:
                group.start_soon(mailbox.offer, envelope)
                await anyio.wait_all_tasks_blocked()
            assert mailbox.statistics().senders_waiting == 3
            while len(taken) < 4:
                taken.append(mailbox.take())
                await anyio.wait_all_tasks_blocked()
    assert taken == sent


async def test_room_given_to_one_who_waits_is_not_taken_by_one_who_came_later() -> None:
    mailbox = Mailbox(depth_max=1, overflow=Overflow.WAIT)
    first, second = message(), message()
    mailbox.offer_nowait(first)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(mailbox.offer, second)
            await anyio.wait_all_tasks_blocked()
            assert mailbox.take() is first
            with pytest.raises(MailboxFull):
                mailbox.offer_nowait(message())
    assert mailbox.take() is second


async def test_a_cancelled_offer_was_not_accepted_and_its_room_goes_to_the_next() -> None:
    mailbox = Mailbox(depth_max=1, overflow=Overflow.WAIT)
    mailbox.offer_nowait(message())
    cancelled, patient = message(), message()
    scope = anyio.CancelScope()

    async def offer_cancelled() -> None:
        with scope:
            await mailbox.offer(cancelled)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(offer_cancelled)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(mailbox.offer, patient)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert mailbox.statistics().senders_waiting == 1
            mailbox.take()
    assert mailbox.take() is patient
    assert mailbox.statistics().accepted == 2


async def test_closing_wakes_those_who_wait_for_room_with_an_error() -> None:
    mailbox = Mailbox(depth_max=1, overflow=Overflow.WAIT)
    mailbox.offer_nowait(message())
    late = message()
    refused: list[Envelope] = []

    async def offer() -> None:
        with pytest.raises(ActorStopped) as caught:
            await mailbox.offer(late)
        refused.append(caught.value.envelope)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(offer)
            await anyio.wait_all_tasks_blocked()
            mailbox.close()
    assert refused == [late]


class MailboxMachine(RuleBasedStateMachine):
    """Whatever the order of operations, the mailbox does what two plain lists would."""

    def __init__(self) -> None:
        super().__init__()
        self.overflow = Overflow.REFUSE
        self.bound = 3
        self.mailbox = Mailbox(depth_max=self.bound, overflow=self.overflow)
        self.messages: deque[Envelope] = deque()
        self.signals: dict[str, Exit] = {}
        self.closed = False

    @precondition(lambda self: not self.closed and not self.messages and not self.signals)
    @rule(overflow=st.sampled_from([Overflow.REFUSE, Overflow.SHED_OLDEST]), bound=st.integers(1, 4))
    def begin_with(self, overflow: Overflow, bound: int) -> None:
        self.overflow, self.bound = overflow, bound
        self.mailbox = Mailbox(depth_max=bound, overflow=overflow)

    @rule()
    def offer(self) -> None:
        envelope = message()
        if self.closed:
            with pytest.raises(ActorStopped):
                self.mailbox.offer_nowait(envelope)
        elif len(self.messages) < self.bound:
            assert self.mailbox.offer_nowait(envelope) is None
            self.messages.append(envelope)
        elif self.overflow is Overflow.SHED_OLDEST:
            assert self.mailbox.offer_nowait(envelope) is self.messages.popleft()
            self.messages.append(envelope)
        else:
            with pytest.raises(MailboxFull):
                self.mailbox.offer_nowait(envelope)

    @rule(subject=st.sampled_from("abc"), exit_=st.sampled_from(Exit))
    def signal(self, subject: str, exit_: Exit) -> None:
        self.mailbox.signal(Down(subject, exit_))
        if not self.closed:
            self.signals[subject] = exit_

    @rule()
    def take(self) -> None:
        if self.signals:
            subject = next(iter(self.signals))
            assert self.mailbox.take() == Down(subject, self.signals.pop(subject))
        elif self.messages:
            assert self.mailbox.take() is self.messages.popleft()
        else:
            assert self.mailbox.take() is None

    @rule()
    def close(self) -> None:
        assert self.mailbox.close() == list(self.messages)
        self.messages.clear()
        self.signals.clear()
        self.closed = True

    @invariant()
    def the_bound_holds(self) -> None:
        seen = self.mailbox.statistics()
        assert seen.depth == len(self.messages) <= self.bound
        assert seen.signals == len(self.signals)
        assert bool(self.mailbox) == bool(self.messages or self.signals)


TestMailboxMachine = MailboxMachine.TestCase
TestMailboxMachine.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


async def test_a_frame_that_is_too_large_takes_no_place_from_those_who_wait() -> None:
    mailbox = Mailbox(depth_max=1, overflow=Overflow.WAIT)
    mailbox.offer_nowait(message())
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            with pytest.raises(FrameOversized):
                await mailbox.offer(Envelope("a", bytes(FRAME_BYTES_MAX + 1)))
            group.start_soon(mailbox.offer, message())
            await anyio.wait_all_tasks_blocked()
            assert mailbox.take() is not None
    assert len(mailbox) == 1
