"""The staff: tools, policies, models and people. It knows no sockets and no SQL."""

if __name__ != "casework.actors":
    raise ImportError(
        f"this package is casework.actors, but was imported as {__name__!r}: write 'import casework.actors', "
        "and do not put the folder that holds it on sys.path"
    )

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from casework.actors.agent import Agent as Agent
    from casework.actors.agent import Answer as Answer
    from casework.actors.agent import Skill as Skill
    from casework.actors.agent import Work as Work
    from casework.actors.agent import skill as skill
    from casework.actors.crew import Crew as Crew
    from casework.actors.crew import load_crew as load_crew
    from casework.actors.errors import CallRefused as CallRefused
    from casework.actors.errors import CrewInvalid as CrewInvalid
    from casework.actors.errors import KnownFailure as KnownFailure
    from casework.actors.errors import NotFetched as NotFetched
    from casework.actors.errors import PointerChanged as PointerChanged
    from casework.actors.errors import PointerGone as PointerGone
    from casework.actors.errors import PolicyInvalid as PolicyInvalid
    from casework.actors.errors import SourceFailed as SourceFailed
    from casework.actors.errors import ToolInvalid as ToolInvalid
    from casework.actors.errors import WorkFailed as WorkFailed
    from casework.actors.intake import DeliverKey as DeliverKey
    from casework.actors.intake import Intake as Intake
    from casework.actors.intake import OpenCase as OpenCase
    from casework.actors.intake import Problem as Problem
    from casework.actors.policy import Policy as Policy
    from casework.actors.policy import load_policy as load_policy
    from casework.actors.sources import Source as Source
    from casework.actors.sources import SourceContext as SourceContext
    from casework.actors.sources import source as source
    from casework.actors.tools import Tool as Tool
    from casework.actors.tools import ToolContext as ToolContext
    from casework.actors.tools import tool as tool
else:
    from casework.runtime.lazy import exports

    __getattr__, __dir__, __all__ = exports(
        __name__,
        {
            "agent": ("Agent", "Answer", "Skill", "Work", "skill"),
            "crew": ("Crew", "load_crew"),
            "errors": (
                "CallRefused",
                "CrewInvalid",
                "KnownFailure",
                "NotFetched",
                "PointerChanged",
                "PointerGone",
                "PolicyInvalid",
                "SourceFailed",
                "ToolInvalid",
                "WorkFailed",
            ),
            "intake": ("DeliverKey", "Intake", "OpenCase", "Problem"),
            "policy": ("Policy", "load_policy"),
            "sources": ("Source", "SourceContext", "source"),
            "tools": ("Tool", "ToolContext", "tool"),
        },
    )
