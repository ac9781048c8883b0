"""What waits in a case's inbox, as far as one incarnation of it has read it, and what of that it has consumed.

A case that was claimed in vain takes one message at a time, and the next one when that is durable.
It does not know who waits for a message, nor what becomes of one.
"""

from collections.abc import Sequence
from typing import TypeAlias

from casework.protocols.records import Arrived, Entry
from casework.runtime.flow.asides import Asides
from casework.runtime.flow.messages import read_message
from casework.runtime.flow.orders import order_of
from casework.runtime.store.base import InboxItem

#: An item, and what it says; None where it cannot be read.
Message: TypeAlias = tuple[InboxItem, Entry | None]


class Mail:
    """The messages of one incarnation of a case."""

    def __init__(self, case_id: str) -> None:
        """Begin with none of a case."""
        self.seen = 0  #: highest inbox position that was read
        self.due = True  #: what was given with the claim is not taken in yet
        self.asides = Asides(case_id)  #: those that nobody takes
        self._careful = self._held = False
        self._waiting: dict[str, Message] = {}
        self._consumed: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def none(self) -> bool:
        """Tell whether nothing waits or is known to come, and the case was not claimed in vain."""
        return not (self._waiting or self.due or self._careful)

    @property
    def held(self) -> bool:
        """Tell whether messages wait that are not taken yet because another one was."""
        return self._held and bool(self._waiting)

    def take_in(self, items: Sequence[InboxItem]) -> list[Message]:
        """Hear what is in the inbox, and give what is new; what was consumed before is passed over."""
        self.due, fresh = False, list[Message]()
        for item in items:
            self.seen = max(self.seen, item.position)
            if item.id not in self._consumed and item.id not in self._waiting:
                read = self._waiting[item.id] = item, read_message(item)
                fresh.append(read)
        return fresh

    def waiting(self) -> list[Message]:
        """Give what may be consumed, in order."""
        if self._held:
            return []
        if not self.asides.reasons:
            return list(self._waiting.values())
        return [read for read in self._waiting.values() if read[0].id not in self.asides]

    def consume(self, item: InboxItem) -> None:
        """Take a message out."""
        del self._waiting[item.id]
        self._consumed[item.id] = None
        self._held = self._careful

    def spare(self, *, careful: bool, held: bool = False) -> None:
        """Have messages taken one at a time, or any number; `held` says that none is for now."""
        self._careful, self._held = careful, held

    def ordered(self, order: Arrived) -> InboxItem | None:
        """Hear what an operator says of a message that is set aside; give it if it is dropped, for it is taken out."""
        found = next((item for item, _ in self._waiting.values() if self.asides.key(item.id) == order.key), None)
        self.asides.hear(order)
        return found if order_of(order.value).drop else None

    def dropped(self, item: InboxItem, key: str) -> bool:
        """Say whether an operator had an item dropped, by what arrived under a key after it."""
        return any(
            isinstance(entry, Arrived)
            and entry.key == key
            and later.position > item.position
            and order_of(entry.value).drop
            for later, entry in self._waiting.values()
        )
