"""The errors of the staff: what a crew, a tool or a policy can have wrong.

    CaseworkError
    └── StaffError
        ├── Misbuilt                 found when a crew is built; nothing has run
        │   ├── ToolInvalid          theirs: a tool's registration lacks what its tier demands
        │   ├── PolicyInvalid        theirs: the policy file; names file and place
        │   └── CrewInvalid          theirs: the crew does not fit together, or cannot be loaded
        ├── ToolUnknown              nobody registered a tool of that name
        ├── Widened                  a part of some work asks for more than the work itself has
        ├── UndeclaredFields         more was handed over than the receiver declared
        ├── KnownFailure             raised by a tool: what it was asked for surely did not happen
        │   ├── NotFetched           what a pointer points to was not had
        │   │   ├── PointerChanged   the world: it is there, but no longer what it was
        │   │   ├── PointerGone      the world: it is not there any more
        │   │   └── SourceFailed     theirs: the source of its type did not say, or there is none
        │   └── FailedThen           raised in a sandbox: it failed like this when the log was written
        ├── CostInvalid              raised in a tool: it says that it cost what is no amount
        ├── WorkFailed               raised by an agent: it cannot do this task, and says why
        └── CallRefused              raised in an agent: its tool call has no value

It does not know how an error is shown to a person.
"""

from collections.abc import Sequence

from casework.protocols.errors import CaseworkError
from casework.protocols.wire import FailureKind


class StaffError(CaseworkError):
    """Root of the staff's errors."""


class Misbuilt(StaffError):
    """What a user declared does not stand; found before anything runs."""


class ToolInvalid(Misbuilt):
    """A tool cannot be registered as it is."""

    def __init__(self, tool: str, why: str) -> None:
        super().__init__(f"tool {tool!r}: {why}")
        self.tool = tool
        self.why = why


class PolicyInvalid(Misbuilt):
    """A policy cannot be used; `place` is the line or the key in question."""

    def __init__(self, file: str, place: str, why: str) -> None:
        super().__init__(f"{file}: {place}: {why}" if place else f"{file}: {why}")
        self.file = file
        self.place = place
        self.why = why


class CrewInvalid(Misbuilt):
    """A crew does not fit together, or cannot be loaded; the text says what to do."""

    def __init__(self, crew: str, why: str) -> None:
        super().__init__(f"crew {crew!r}: {why}")
        self.crew = crew
        self.why = why


class ToolUnknown(StaffError):
    """No tool of that name is registered."""

    def __init__(self, tool: str, known: Sequence[str]) -> None:
        super().__init__(f"no tool {tool!r} is registered; there is {', '.join(known) or 'none'}")
        self.tool = tool
        self.known = tuple(known)


class Widened(StaffError):
    """Work below other work asks for more than that one was given; nothing was sent."""

    def __init__(self, part: str, term: str, asked: str, granted: str) -> None:
        super().__init__(f"{part} asks for {term} {asked}, where {granted} is granted: ask for less or grant more")
        self.part = part
        self.term = term
        self.asked = asked
        self.granted = granted


class UndeclaredFields(StaffError):
    """Fields that the receiver did not declare; it is given nothing more than it declared."""

    def __init__(self, receiver: str, fields: Sequence[str]) -> None:
        super().__init__(f"{receiver} does not declare {', '.join(fields)}")
        self.receiver = receiver
        self.fields = tuple(fields)


class KnownFailure(StaffError):
    """Raised by a tool that knows for sure that what it was asked for did not happen.

    Its text goes to the log: one line, never contents of the case.
    """

    #: Of one that is made without its text.
    retryable = False

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable


class NotFetched(KnownFailure):
    """What a pointer points to was not had; `named` is its type. Nothing of it is said, whatever it is now."""

    def __init__(self, named: str, id_: str, why: str, *, retryable: bool = False) -> None:
        super().__init__(f"{named} {id_!r} {why}", retryable=retryable)
        self.named = named
        self.id = id_
        self.why = why


class PointerChanged(NotFetched):
    """What is there now is not what was pointed to, and may have been approved as; it had the hash `sha256`."""

    def __init__(self, named: str, id_: str, sha256: str) -> None:
        super().__init__(named, id_, f"is not what was pointed to: it has changed since it had hash {sha256}")
        self.sha256 = sha256


class PointerGone(NotFetched):
    """It is not there any more, as after somebody asked to have it erased."""

    def __init__(self, named: str, id_: str) -> None:
        super().__init__(named, id_, "is not there any more")


class SourceFailed(NotFetched):
    """The source of a type did not say what is there; `retryable` if it may say so later."""


class FailedThen(KnownFailure):
    """What a log says of a call that failed, as `kind`, and is not made again."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class CostInvalid(StaffError):
    """Raised in a tool that says that its call cost what is no amount, which is not taken down."""

    def __init__(self, micros: object, micros_max: int) -> None:
        super().__init__(f"a cost is a whole number of millionths, in all from 0 to {micros_max}")
        self.micros = micros
        self.micros_max = micros_max


class WorkFailed(StaffError):
    """Raised by an agent that cannot do a task.

    Its text goes to the log: one line, never contents of the case.
    """

    #: Of one that is made without its text.
    kind, retryable = FailureKind.ERROR, False

    def __init__(self, message: str, *, kind: FailureKind = FailureKind.ERROR, retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.retryable = retryable


class CallRefused(StaffError):
    """A tool call that an agent asked for has no value."""

    def __init__(self, tool: str, kind: FailureKind, message: str) -> None:
        super().__init__(f"tool {tool!r} gave no value ({kind}): {message}")
        self.tool = tool
        self.kind = kind
        self.message = message
