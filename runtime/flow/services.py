"""What the parts of a running case share: its log, its clock, its staff, and ways to start and hold work.

A record of references, made once per incarnation, so that tasks and calls need not know the cell they work for.
It does not know what they do with it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeVar

from msgspec import Raw, Struct

from casework.protocols.codec import digest, encode
from casework.protocols.records import Chapter, Opened, Review
from casework.protocols.wire import RiskTier
from casework.runtime.flow.entries import identify
from casework.runtime.flow.logbook import Logbook
from casework.runtime.flow.operations import CallTool
from casework.runtime.seams import World
from casework.runtime.staff import CallRequest, CaseRef, Grant, Staff
from casework.runtime.store.accounts import Drawn, DrawRefused, Overdrawn
from casework.runtime.store.base import CaseKey, ReviewRow
from casework.runtime.telemetry import Telemetry
from casework.runtime.timers import Timers

T = TypeVar("T")

#: Calls that a flow itself may make in one chapter.
FLOW_CALLS_MAX: Final = 10_000


class FindOut(Protocol):
    """Starts a job of a case."""

    def __call__(self, name: str, find: Callable[[], Awaitable[T]], hear: Callable[[T], None]) -> None:
        """Await `find()` beside the case, and have it hear what was found."""
        ...


class Services(Struct, frozen=True, eq=False):
    """What tasks and calls of one incarnation of a case work with."""

    key: CaseKey
    opened: Opened
    identity: bytes
    """Hash of the case's first record."""
    number: int
    """Of its chapter, 0 for the first."""
    doomed: Mapping[str, str]
    """Why tasks that were under way are not given out again, by step; they end as their contracts say."""
    logbook: Logbook
    world: World
    staff: Staff
    timers: Timers
    telemetry: Telemetry
    ref: CaseRef
    find_out: FindOut
    """Start a job that ends with the case's cell, and hear what it found: at once if no message waits."""
    tell: Callable[[Callable[[], None]], None]
    """Run a function as the case's next message; the way back in from whatever is no job of it, as alarms are."""
    when_durable: Callable[[int, Callable[[], None]], None]
    """Run a function once the record with that sequence number is durable."""
    entitled: Callable[[], Awaitable[bool]]
    """Wait until the case may have an effect on the world; False if it is another node's by now."""
    draw: Callable[[str, tuple[str, ...], int], Awaitable[Drawn | Overdrawn | DrawRefused]]
    """Reserve under an id so many millionths of each of these accounts; the same again does no harm."""
    left: Callable[[str], Awaitable[int]]
    """Say what is left of an account."""
    chapter: Callable[[Raw], Chapter]
    """Make the record that begins the next chapter from a state; raises FrameInvalid."""
    look: Callable[[], None]
    """Have the inbox read again."""
    halt: Callable[[str], None]
    """Park the case for an operator, with the reason."""

    def request(self, step_id: str, operation: CallTool, tools: tuple[str, ...]) -> CallRequest:
        """Make the request for a call of the flow itself, which may use these tools."""
        mandate = self.opened.mandate
        grant = Grant(
            caller=f"flow:{self.opened.flow}",
            tools_allowed=tools if mandate is None else tuple(each for each in tools if each in mandate.tools_allowed),
            risk_tier=RiskTier.IRREVERSIBLE if mandate is None else mandate.risk_tier,
            calls_left=FLOW_CALLS_MAX,
            micros_left=0,
            purpose=self.opened.purpose,
        )
        opened = self.opened
        return CallRequest(
            key=self.key,
            step_id=step_id,
            tool=operation.name,
            arguments=operation.arguments,
            grant=grant,
            trace=opened.trace,
            project=opened.project,
            user=opened.user,
        )

    def identify(self, step_id: str) -> str:
        """Give the id that grows from a step: 32 hex digits, the same on every replay."""
        return identify(self.identity, step_id)

    def ask(self, step_id: str, title: str, proposal: Raw, rule: str, *, summary: str = "") -> tuple[Review, int]:
        """Write a review into the log and the queue, for a step inside a task or call; give it and its moment."""
        review = Review(
            id=self.identify(step_id),
            title=title,
            proposal=proposal,
            proposal_hash=digest(proposal).hex(),
            rule=rule,
            summary=summary,
        )
        record = self.logbook.write(step_id, review)
        self.queue(step_id, review, record.at)
        return review, record.at

    def queue(self, step_id: str, review: Review, at: int) -> None:
        """Show a review in the queue, once its record is durable, as asked at the moment of that."""
        self.logbook.review(
            ReviewRow(
                id=review.id,
                key=self.key,
                step_id=step_id,
                title=review.title,
                state="open",
                opened_at=at,
                expires=review.expires,
                proposal_hash=review.proposal_hash,
                frame=encode(review),
            )
        )
