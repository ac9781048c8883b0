"""One try at a tool's body, as it ended: what it gave, what it cost, and what is told of it.

It does not know who tried, nor whether it is tried again.
"""

from typing import Final

from msgspec import Raw, Struct

from casework.actors.admission import Refusal
from casework.actors.tools import Tool, ToolContext
from casework.protocols.codec import CARRIED_BYTES_MAX, pack, unpack
from casework.protocols.errors import FrameTooLarge
from casework.protocols.wire import NIL, Cost, FailureKind
from casework.runtime.staff import CallResult

#: Types of which every value that has bytes is one again when they are read.
SIMPLE: Final = frozenset({bool, int, str, type(None)})
#: What one try costs that costs nothing.
FREE: Final = Cost(calls=1)


class Tried(Struct, frozen=True, gc=False):
    """How one try at a tool's body ended."""

    value: object = None
    failure: FailureKind | None = None
    message: str = ""
    begun: bool = True
    """False: the body was not called."""
    known: bool = True
    """False: if it is a write, it may have happened."""
    retryable: bool = False
    held: str = ""
    """What is paused, so that it waits."""
    unfetched: bool = False
    """Stopped at what a pointer points to, which tells nothing of an earlier try at the same call."""
    circuit: str = ""
    """Whose circuit is open, so that it was not called."""

    @property
    def speaks_for_key(self) -> bool:
        """Tell whether it says what became of every call with its key; what may pass is true of this one alone."""
        return self.known and not (self.retryable or self.unfetched)


def encoded(tool: Tool, value: object) -> Raw:
    """Encode what a tool returned, and hold it to what it declared; raises ProtocolError."""
    raw = pack(value)
    if len(raw) > CARRIED_BYTES_MAX:
        raise FrameTooLarge(len(raw), CARRIED_BYTES_MAX)
    if type(value) is not tool.returns or tool.returns not in SIMPLE:
        unpack(raw, tool.returns)
    return raw


def not_begun(refusal: Refusal) -> Tried:
    """Make that of a body that was not called."""
    held = refusal.held.target if refusal.held is not None else ""
    return Tried(
        failure=refusal.kind,
        message=refusal.why,
        begun=False,
        retryable=refusal.passing,
        held=held,
        circuit=refusal.circuit,
    )


def cost_of(tool: Tool, context: ToolContext, tries: int, *, begun: bool) -> Cost:
    """Say what a call cost: what its tool said, or else the most that it could, if its last try was begun."""
    spent = context.micros_spent
    if tries == 1 and not (spent or tool.micros_max):
        return FREE
    return Cost(calls=tries, micros=(tool.micros_max if begun else 0) if spent is None else spent)


def micros_of(tool: Tool, before: int | None, after: int | None) -> int:
    """Say what one try cost, from what its context had spent before and after."""
    return tool.micros_max if after == before else (after or 0) - (before or 0)


def unknown(why: str, cost: Cost | None = None) -> CallResult:
    """Make the result of a write that may have happened."""
    return CallResult(value=NIL, failure=FailureKind.UNKNOWN, message=why, cost=cost or Cost())
