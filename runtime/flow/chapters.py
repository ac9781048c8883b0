"""How long a chapter of a case has become: when a person is warned of it, and when the case parks.

At 10 us a record a replay takes 20 ms when the warning comes, and 100 ms when the case parks, and its log has some
megabytes by then. A flow whose chapters wait for nothing may never end, and would work for ever: after so many in a row
it parks as well. An operator may let a case go on for as many again. It does not know what the records hold.
"""

from typing import Final

import msgspec

from casework.protocols.records import Chapter, Noted
from casework.runtime.errors import ChapterFull
from casework.runtime.flow.engine import OUTPUTS_MAX
from casework.runtime.flow.replay import Logged, marked
from casework.runtime.flow.services import Services

#: Records of one chapter from which on a person is warned.
RECORDS_LONG: Final = 2_000
#: Records of one chapter at which the case parks.
RECORDS_MAX: Final = OUTPUTS_MAX
#: Chapters in a row that wait for nothing after which the case parks: at two commits each, some seconds of work.
HASTY_MAX: Final = 1_000
#: Why it does.
ENDLESS: Final = f"{HASTY_MAX} chapters in a row ended without waiting for anything: its flow may never end"
#: Step under which the warning stands.
WARNING_STEP: Final = marked("case", "chapter")
#: Step under which stands what an operator delivered to have a halted case tried again.
OPERATOR_STEP: Final = marked("case", "operator")


class ChapterLength:
    """The length of the chapter that a case is in."""

    def __init__(self, begins: int) -> None:
        """Begin to count at a sequence number."""
        self._begins = begins
        self._warned = self._extended = False

    def remember(self, logged: Logged) -> None:
        """Hear an inner record of the log."""
        if logged.record.step_id == WARNING_STEP:
            self._warned = True
        elif logged.record.step_id == OPERATOR_STEP:
            self.extended(logged.record.seq)

    def extended(self, seq: int) -> None:
        """Hear that an operator lets the case go on from a record."""
        self._begins = seq
        self._extended = True

    def measure(self, services: Services) -> str:
        """Say why the case parks, if its chapter is too long; warn of a long one, once."""
        length = services.logbook.written - self._begins
        if length >= RECORDS_MAX:
            return f"ChapterFull: {ChapterFull(RECORDS_MAX)}"
        if length >= RECORDS_LONG and not self._warned:
            self._warned = True
            services.logbook.write(WARNING_STEP, warning())
            services.telemetry.chapter_long(services.opened.flow)
        return ""

    def following(self, chapter: Chapter) -> Chapter | None:
        """Give the record with which the next chapter begins; None if the case parks, for it may never end."""
        if self._extended:
            return msgspec.structs.replace(chapter, hasty=0)
        return chapter if chapter.hasty < HASTY_MAX else None


def warning() -> Noted:
    """Make the note that stands in the log of a case whose chapter is long."""
    text = f"{RECORDS_LONG} records in this chapter, and at {RECORDS_MAX} the case parks: call case.next_chapter(state)"
    return Noted(text=text, level="warning")
