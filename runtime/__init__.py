"""The machine: actors, time and durability. It knows no models, no prompts and no business rules."""

if __name__ != "casework.runtime":
    raise ImportError(
        f"this package is casework.runtime, but was imported as {__name__!r}: write 'import casework.runtime', "
        "and do not put the folder that holds it on sys.path"
    )

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from casework.runtime.actorsystem import ActorSystem as ActorSystem
    from casework.runtime.behavior import Behavior as Behavior
    from casework.runtime.behavior import Context as Context
    from casework.runtime.deadletters import DeadLetter as DeadLetter
    from casework.runtime.errors import ActorStopped as ActorStopped
    from casework.runtime.errors import AskFailed as AskFailed
    from casework.runtime.errors import CallFailed as CallFailed
    from casework.runtime.errors import CaseCancelled as CaseCancelled
    from casework.runtime.errors import ChildForeign as ChildForeign
    from casework.runtime.errors import ContentsDropped as ContentsDropped
    from casework.runtime.errors import DecisionInvalid as DecisionInvalid
    from casework.runtime.errors import Draining as Draining
    from casework.runtime.errors import EnteredBefore as EnteredBefore
    from casework.runtime.errors import Escalated as Escalated
    from casework.runtime.errors import Expired as Expired
    from casework.runtime.errors import ForeignCancel as ForeignCancel
    from casework.runtime.errors import FrameOversized as FrameOversized
    from casework.runtime.errors import KindTaken as KindTaken
    from casework.runtime.errors import LetterUnknown as LetterUnknown
    from casework.runtime.errors import MailboxFull as MailboxFull
    from casework.runtime.errors import NameTaken as NameTaken
    from casework.runtime.errors import NotRunning as NotRunning
    from casework.runtime.errors import NotSent as NotSent
    from casework.runtime.errors import ReviewRejected as ReviewRejected
    from casework.runtime.errors import Stopping as Stopping
    from casework.runtime.errors import TaskFailed as TaskFailed
    from casework.runtime.errors import WakeFailed as WakeFailed
    from casework.runtime.flow.case import Case as Case
    from casework.runtime.flow.case import Flow as Flow
    from casework.runtime.flow.case import Result as Result
    from casework.runtime.flow.case import Reviewed as Reviewed
    from casework.runtime.flow.schedules import BusinessDay as BusinessDay
    from casework.runtime.flow.schedules import BusinessDays as BusinessDays
    from casework.runtime.flow.schedules import Cron as Cron
    from casework.runtime.flow.schedules import QuarterEnd as QuarterEnd
    from casework.runtime.lifecycle import ChildEnded as ChildEnded
    from casework.runtime.lifecycle import Down as Down
    from casework.runtime.lifecycle import Exit as Exit
    from casework.runtime.mailbox import Envelope as Envelope
    from casework.runtime.mailbox import Overflow as Overflow
    from casework.runtime.ref import Ref as Ref
    from casework.runtime.runtime import Runtime as Runtime
    from casework.runtime.seams import World as World
    from casework.runtime.supervision import Restart as Restart
    from casework.runtime.supervision import RestartLimit as RestartLimit
    from casework.runtime.supervision import Strategy as Strategy
    from casework.runtime.supervision import Supervision as Supervision
    from casework.runtime.telemetry import Telemetry as Telemetry
else:
    from casework.runtime.lazy import exports

    __getattr__, __dir__, __all__ = exports(
        __name__,
        {
            "actorsystem": ("ActorSystem",),
            "behavior": ("Behavior", "Context"),
            "deadletters": ("DeadLetter",),
            "errors": (
                "ActorStopped",
                "AskFailed",
                "CallFailed",
                "CaseCancelled",
                "ChildForeign",
                "ContentsDropped",
                "DecisionInvalid",
                "Draining",
                "EnteredBefore",
                "Escalated",
                "Expired",
                "ForeignCancel",
                "FrameOversized",
                "KindTaken",
                "LetterUnknown",
                "MailboxFull",
                "NameTaken",
                "NotRunning",
                "NotSent",
                "ReviewRejected",
                "Stopping",
                "TaskFailed",
                "WakeFailed",
            ),
            "flow.case": ("Case", "Flow", "Result", "Reviewed"),
            "flow.schedules": ("BusinessDay", "BusinessDays", "Cron", "QuarterEnd"),
            "lifecycle": ("ChildEnded", "Down", "Exit"),
            "mailbox": ("Envelope", "Overflow"),
            "ref": ("Ref",),
            "runtime": ("Runtime",),
            "seams": ("World",),
            "supervision": ("Restart", "RestartLimit", "Strategy", "Supervision"),
            "telemetry": ("Telemetry",),
        },
    )
