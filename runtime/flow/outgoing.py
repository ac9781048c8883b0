"""What a flow causes goes into the log here, and what leaves its case with that: messages, cases, reviews.

It leaves with the append, and only the store knows then who is there. Where nobody is, or a case that was to be opened
is somebody else's, something comes back in the same transaction (`messages`), into the sender's inbox. A flow never
waits for that; but its case does not close before it has read its inbox since, for a closed one hears nothing.
It does not know what becomes of what comes back.
"""

from typing import final

from casework.protocols.records import Child, Review, Sent, Stopped, Withdrawn
from casework.runtime.flow.engine import Engine
from casework.runtime.flow.messages import message, readable
from casework.runtime.flow.services import Services


@final
class Outgoing:
    """What one incarnation of a case sends out, and of what it does not know yet whether anybody takes it."""

    def __init__(self, services: Services) -> None:
        """Begin with nothing: what earlier incarnations sent is in the inbox by now, if it came back."""
        self._services = services
        self._last = -1  # sequence number of the last record that tells of something that may come back
        self.asking = False  #: whether the inbox is to be read for it

    @property
    def in_doubt(self) -> bool:
        """Tell whether something may still come back."""
        return self._last >= 0

    def write(self, engine: Engine) -> None:
        """Write what the flow caused, with everything that goes out in the same append.

        Raises:
            FlowUnknown, ProtocolError: it cannot be; nothing of that stands in the log.
        """
        logbook = self._services.logbook
        outputs, engine.outputs = engine.outputs, []
        for output in outputs:
            entry = output.entry
            # Made first: a child that cannot be opened must not stand in the log as if it were.
            opened = self._services.cell.opening(entry) if isinstance(entry, Child) else None
            record = logbook.write(output.step_id, entry, readable(entry))
            pending = engine.pending.get(output.step_id)
            if pending is not None and pending.entry is entry:
                pending.frame = record.frame
            if opened is not None:
                logbook.open(opened)
                self._last = record.seq
            elif isinstance(entry, Review):
                self._services.queue(output.step_id, entry, record.at)
            elif isinstance(entry, Withdrawn):
                logbook.withdraw(entry.review_id)
            elif isinstance(entry, Sent | Stopped):
                logbook.send(message(self._services.key, entry, record.seq))
                self._last = record.seq

    def ask(self) -> None:
        """Have the inbox read once all that was sent is durable."""
        if self.asking:
            return
        self.asking = True
        if self._last < self._services.logbook.durable:
            self._services.cell.look()
        else:
            self._services.cell.when_durable(self._last, self._services.cell.look)

    def heard(self) -> None:
        """Hear that the inbox was read, with all that had come by then."""
        self.asking = False
        if self._last < self._services.logbook.durable:
            self._last = -1
