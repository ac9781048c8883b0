"""The errors of the language: what a frame or a contract can have wrong.

    CaseworkError                     root of everything this library raises on purpose
    └── ProtocolError
        ├── FrameTooLarge             ours: we refuse to make or to read so many bytes
        ├── FrameTooDeep              ours: we refuse to make or to read so many levels
        ├── FrameInvalid              theirs: bytes that are no frame of this protocol
        │   └── FrameUnknown          theirs, perhaps newer than we are: a tag nobody here knows
        ├── ContractIncomplete        ours: a task that lacks a term is not sent
        └── ContractWidened           ours: a child task asked for more than its parent has

It does not know how an error is shown to a person.
"""

from typing import Final


class CaseworkError(Exception):
    """Root of every error that Casework raises on purpose; its text is one line."""


def worded(error: BaseException) -> str:
    """Give an error's type and text; somebody else's may not even be able to say it, then its type alone."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  # whatever it is, it says less than the type
        return type(error).__name__


class ProtocolError(CaseworkError):
    """Root of the language's errors."""


class FrameTooLarge(ProtocolError):
    """A frame has more bytes than the limit; nothing was sent or read."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"frame of {size} bytes is over the limit of {limit}; pass large things by reference")
        self.size = size
        self.limit = limit


class FrameTooDeep(ProtocolError):
    """A value nests too deeply; nothing was sent or read."""

    def __init__(self, depth_max: int | None = None) -> None:
        over = "the caller's stack has room for" if depth_max is None else f"the limit of {depth_max} levels"
        super().__init__(f"frame nests deeper than {over}; flatten what it carries")
        self.depth_max = depth_max
        """The limit; None where the interpreter's stack ended first, so that a shallower caller may succeed."""


class FrameInvalid(ProtocolError):
    """Bytes that do not decode as the message they should be."""

    def __init__(self, expected: str, why: str) -> None:
        super().__init__(f"bytes are not a valid {expected}: {why}")
        self.expected = expected
        self.why = why


class FrameUnknown(FrameInvalid):
    """A frame whose tag this version does not know, perhaps written by a newer one."""


#: What to do about a term of a contract that is missing or makes no sense; the others are the runtime's own to fill.
REMEDIES: Final = {
    "task": "name the skill",
    "goal": "say in a sentence what is to be achieved",
    "success_criteria": "name at least one predicate of the crew, such as 'returned'",
    "inputs": "give what the skill declares",
    "tools_allowed": "name tools, or none at all",
    "risk_tier": "give a RiskTier",
    "deadline": "give it some time, and an end before the year 10000",
    "attempts": "allow from 1 to 1000",
    "budget": "give calls and micros as whole numbers, 0 or more",
    "on_stop": "give an OnStop",
    "purpose": "say what its case is for",
    "within": "open it within a Mandate, no wider than what is left of this case's own",
}


class ContractIncomplete(ProtocolError):
    """A task, or a case below another, lacks a term of its contract; it was not sent. The text says what to do."""

    def __init__(self, task: str, missing: tuple[str, ...]) -> None:
        remedies = "; ".join(f"{term}: {REMEDIES[term]}" for term in missing if term in REMEDIES)
        lacks = f"{task!r} was not sent: its contract lacks {', '.join(missing)}"
        super().__init__(f"{lacks} ({remedies})" if remedies else lacks)
        self.task = task
        self.missing = missing


class ContractWidened(ProtocolError):
    """A task, or a case below another, asked for more than what it is part of was granted; it was not sent."""

    def __init__(self, task: str, term: str, asked: str, granted: str) -> None:
        super().__init__(
            f"{task!r} was not sent: {term} {asked} is wider than the {granted} that is left above it; ask for no more"
        )
        self.task = task
        self.term = term
        self.asked = asked
        self.granted = granted
