"""What the parts of a running case share: its log, its clock, its staff, and ways to start and hold work.

A record of references, made once per incarnation, so that tasks and calls need not know the cell they work for.
It does not know what they do with it.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Final, Protocol, TypeVar

from msgspec import Raw, Struct

from casework.protocols.codec import digest, encode
from casework.protocols.records import Chapter, Child, Opened, Review
from casework.protocols.wire import Mandate, RiskTier
from casework.runtime.flow.entries import identify
from casework.runtime.flow.logbook import Logbook
from casework.runtime.flow.operations import CallTool
from casework.runtime.seams import World
from casework.runtime.staff import CallRequest, CaseRef, Grant, Staff
from casework.runtime.store.accounts import Drawn, DrawRefused, Overdrawn
from casework.runtime.store.base import CaseKey, Opening, ReviewRow
from casework.runtime.telemetry import Telemetry
from casework.runtime.timers import Timers

T = TypeVar("T")

#: Calls that a flow itself may make in one chapter.
FLOW_CALLS_MAX: Final = 10_000
#: What so many flows may do is remembered: a crew has some dozens, and each of its cases asks at every call.
GRANTS_MAX: Final = 1_024


class FindOut(Protocol):
    """Starts a job of a case."""

    def __call__(self, name: str, find: Callable[[], Awaitable[T]], hear: Callable[[T], None]) -> None:
        """Await `find()` beside the case, and have it hear what was found."""
        ...


class Purse(Protocol):
    """The store's budgets, as one case draws from them."""

    async def draw(self, id_: str, accounts: tuple[str, ...], micros: int) -> Drawn | Overdrawn | DrawRefused:
        """Reserve under an id so many millionths of each of these accounts; the same again does no harm."""
        ...

    async def left(self, account: str) -> int:
        """Say what is left of an account."""
        ...


class Shell(Protocol):
    """The cell in which a case runs, as the parts of one incarnation see it."""

    @property
    def ref(self) -> CaseRef:
        """How agents reach the case."""
        ...

    def tell(self, event: Callable[[], None]) -> None:
        """Run a function as the case's next message; the way back in from whatever is no job of it, as alarms are."""
        ...

    def when_durable(self, seq: int, run: Callable[[], None]) -> None:
        """Run a function once the record with that sequence number is durable."""
        ...

    async def entitled(self) -> bool:
        """Wait until the case may have an effect on the world; False if it is another node's by now."""
        ...

    def chapter(self, state: Raw) -> Chapter:
        """Make the record that begins the next chapter from a state; raises FrameInvalid."""
        ...

    def opening(self, child: Child) -> Opening:
        """Make the opening of a child case; raises FlowUnknown, FrameInvalid."""
        ...

    def look(self) -> None:
        """Have the inbox read again."""
        ...

    def halt(self, reason: str) -> None:
        """Park the case for an operator, with the reason."""
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
    purse: Purse
    cell: Shell
    find_out: FindOut
    """Start a job that ends with the case's cell, and hear what it found: at once if no message waits."""

    def request(self, step_id: str, operation: CallTool, tools: tuple[str, ...]) -> CallRequest:
        """Make the request for a call of the flow itself, which may use these tools."""
        opened = self.opened
        grant = _grant(opened.flow, tools, opened.mandate, opened.purpose)
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


@lru_cache(maxsize=GRANTS_MAX)
def _grant(flow: str, tools: tuple[str, ...], mandate: Mandate | None, purpose: str) -> Grant:
    """Say what a flow may do in its own name that may use these tools; the same for every call of it."""
    return Grant(
        caller=f"flow:{flow}",
        tools_allowed=tools if mandate is None else tuple(each for each in tools if each in mandate.tools_allowed),
        risk_tier=RiskTier.IRREVERSIBLE if mandate is None else mandate.risk_tier,
        calls_left=FLOW_CALLS_MAX,
        micros_left=0,
        purpose=purpose,
    )
