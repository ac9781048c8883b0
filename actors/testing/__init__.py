"""For tests of a user's crew: virtual time, fake tools and people, log assertions, a crash at every append."""

from casework.actors.testing.bench import CaseBench as CaseBench
from casework.actors.testing.crashes import crash_anywhere as crash_anywhere
from casework.actors.testing.ending import Ending as Ending
from casework.actors.testing.log import CaseLog as CaseLog
from casework.actors.testing.people import FakePerson as FakePerson
from casework.actors.testing.tools import Fails as Fails
from casework.actors.testing.tools import FakeTool as FakeTool
from casework.actors.testing.tools import TimesOut as TimesOut
from casework.actors.testing.tools import ToolCall as ToolCall
from casework.actors.testing.tools import Unsure as Unsure

__all__ = [
    "CaseBench",
    "CaseLog",
    "Ending",
    "Fails",
    "FakePerson",
    "FakeTool",
    "TimesOut",
    "ToolCall",
    "Unsure",
    "crash_anywhere",
]
