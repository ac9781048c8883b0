"""The language: bytes and rules. It knows no actors, no storage and no clock."""

if __name__ != "casework.protocols":
    raise ImportError(
        f"this package is casework.protocols, but was imported as {__name__!r}: write 'import casework.protocols', "
        "and do not put the folder that holds it on sys.path"
    )

from casework.protocols.errors import CaseworkError as CaseworkError
from casework.protocols.pointer import Pointer as Pointer
from casework.protocols.records import CaseResult as CaseResult
from casework.protocols.records import ReviewAction as ReviewAction
from casework.protocols.wire import Completed as Completed
from casework.protocols.wire import Evidence as Evidence
from casework.protocols.wire import Failed as Failed
from casework.protocols.wire import FailureKind as FailureKind
from casework.protocols.wire import OnStop as OnStop
from casework.protocols.wire import RiskTier as RiskTier
from casework.protocols.wire import Task as Task

__all__ = [
    "CaseResult",
    "CaseworkError",
    "Completed",
    "Evidence",
    "Failed",
    "FailureKind",
    "OnStop",
    "Pointer",
    "ReviewAction",
    "RiskTier",
    "Task",
]
