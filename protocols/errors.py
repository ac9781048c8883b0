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


class CaseworkError(Exception):
    """Root of every error that Casework raises on purpose; its text is one line."""


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


class ContractIncomplete(ProtocolError):
    """A task lacks a term of its contract; it was not sent."""

    def __init__(self, task: str, missing: tuple[str, ...]) -> None:
        super().__init__(f"task {task!r} was not sent: its contract lacks {', '.join(missing)}")
        self.task = task
        self.missing = missing


class ContractWidened(ProtocolError):
    """A child task asked for more than its parent grants; it was not sent."""

    def __init__(self, task: str, term: str, asked: str, granted: str) -> None:
        super().__init__(f"task {task!r} was not sent: {term} {asked} is wider than the parent's {granted}")
        self.task = task
        self.term = term
        self.asked = asked
        self.granted = granted
