"""What an exception of somebody else's code says: which kind of failure, whether it may pass, and a safe line of text.

The text names the exception's type and the line that raised it, never its message: that may hold contents of a case.
Of a value that is not of its type it names the place, and does not say it back.
It does not know whether a write was under way.
"""

import re
from contextlib import suppress
from pathlib import PurePath
from typing import Final

from casework.actors.errors import CallRefused, FailedThen, KnownFailure, StaffError, UndeclaredFields, WorkFailed
from casework.protocols.errors import FrameInvalid, ProtocolError
from casework.protocols.wire import FailureKind

#: What is wrong with a file stays wrong, although Python counts it among the errors of the system.
_LASTING = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)

#: Characters that somebody else's code may say of its failure: the record of it must fit into a frame.
DESCRIBED_CHARS_MAX: Final = 2_000
#: What msgspec says with a part of the value behind it, and a place behind that; all else it says of the type alone.
_SAYS_BACK: Final = re.compile(
    r"(Invalid enum value|Invalid value|Object contains unknown field) .*?((?: - at `[^`]*`(?: in `[^`]*`)*)?)",
    re.DOTALL,
)


def classify(error: Exception) -> tuple[FailureKind, bool]:
    """Say which kind of failure an exception is, and whether it may pass by itself."""
    match error:
        case WorkFailed():
            return _kind(error.kind), error.retryable is True
        case FailedThen():
            return error.kind, False
        case KnownFailure():
            return (FailureKind.UNAVAILABLE, True) if error.retryable else (FailureKind.ERROR, False)
        case CallRefused():
            return error.kind, error.kind in (FailureKind.TIMEOUT, FailureKind.UNAVAILABLE)
        case UndeclaredFields() | ProtocolError():
            return FailureKind.INVALID, False
        case TimeoutError():
            return FailureKind.TIMEOUT, True
        case OSError() if not isinstance(error, _LASTING):
            return FailureKind.UNAVAILABLE, True
        case _:
            return FailureKind.ERROR, False


def _kind(said: str) -> FailureKind:
    """Give the kind that somebody else's code says, which may be none."""
    try:
        return FailureKind(said)
    except ValueError:
        return FailureKind.ERROR


def describe(error: Exception) -> str:
    """Describe an exception in one line without contents of the case, short, and such that it can be recorded."""
    return _told(error, unsaid=True)


def describe_arguments(error: Exception) -> str:
    """Describe what is wrong with the arguments of a call or a task, which stand in the log themselves."""
    return _told(error, unsaid=False)


def _told(error: Exception, *, unsaid: bool) -> str:
    if isinstance(error, StaffError | ProtocolError):
        # A subclass of somebody else's may not even be able to say it.
        with suppress(Exception):
            said = _unsaid(error) if unsaid and isinstance(error, FrameInvalid) else str(error)
            return " ".join(said[:DESCRIBED_CHARS_MAX].split()).encode(errors="backslashreplace").decode()
    return placed(error)


def _unsaid(error: FrameInvalid) -> str:
    """Say what is wrong with a value, and where, without what is said back of it."""
    cause = error.__cause__
    raised = None if cause is None else cause.__cause__
    if raised is not None:  # by a type of somebody else's when it was made: msgspec says that, and then the place
        return str(FrameInvalid(error.expected, f"it raises {type(raised).__name__}{error.why[len(str(raised)) :]}"))
    back = _SAYS_BACK.fullmatch(error.why)
    return str(FrameInvalid(error.expected, back[1] + back[2])) if back else str(error)


def placed(error: Exception) -> str:
    """Name an exception's type and the line that raised it, and nothing that it says."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    return f"{type(error).__name__} at {PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
