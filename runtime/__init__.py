"""The machine: actors, time and durability. It knows no models, no prompts and no business rules."""

if __name__ != "casework.runtime":
    raise ImportError(
        f"this package is casework.runtime, but was imported as {__name__!r}: write 'import casework.runtime', "
        "and do not put the folder that holds it on sys.path"
    )

from casework.runtime.actorsystem import ActorSystem as ActorSystem
from casework.runtime.errors import CallFailed as CallFailed
from casework.runtime.errors import CaseCancelled as CaseCancelled
from casework.runtime.errors import DecisionInvalid as DecisionInvalid
from casework.runtime.errors import ReviewRejected as ReviewRejected
from casework.runtime.errors import TaskFailed as TaskFailed
from casework.runtime.flow.case import Case as Case
from casework.runtime.flow.case import Flow as Flow
from casework.runtime.flow.case import Result as Result
from casework.runtime.flow.case import Reviewed as Reviewed
from casework.runtime.runtime import Runtime as Runtime
from casework.runtime.seams import World as World
from casework.runtime.telemetry import Telemetry as Telemetry

__all__ = [
    "ActorSystem",
    "CallFailed",
    "Case",
    "CaseCancelled",
    "DecisionInvalid",
    "Flow",
    "Result",
    "ReviewRejected",
    "Reviewed",
    "Runtime",
    "TaskFailed",
    "Telemetry",
    "World",
]
