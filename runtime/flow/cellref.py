"""How agents reach the case whose task they work on.

What they hand in or ask for happens in the case at once, if nothing is to happen there before it: a handler of a case
never waits, and the way through its mailbox costs more than most of what there is to tell. Else it is a message.
It does not know what they hand in or ask for.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import anyio

from casework.runtime.errors import NotSent
from casework.runtime.ref import Ref
from casework.runtime.store.base import CaseKey


def cell_address(key: CaseKey, epoch: int) -> str:
    """Give the address of a case's cell: what cannot be printed, and would be no address, stands escaped."""
    address = f"case:{key.tenant}:{key.case_id}:{epoch}"
    plain = address.isprintable() and "\\" not in address
    return address if plain else address.encode("unicode_escape").decode()


@dataclass(slots=True, eq=False)
class CellRef:
    """How agents reach the case: the `CaseRef` that goes with a task."""

    ref: Ref
    asked: Callable[[bytes, Callable[[bytes], None]], None]
    step_in: Callable[[Callable[[], None]], bool]
    """Has something happen in the case at once, if nothing is to happen before it."""
    ended: Callable[[bytes, int], None]

    @property
    def address(self) -> str:
        """Name the case's cell."""
        return self.ref.address

    def outcome(self, frame: bytes, *, attempt: int) -> None:
        """Hand in an outcome; if the cell is gone it is dropped, for the task runs again when the case does."""
        if self.step_in(lambda: self.ended(frame, attempt)):
            return
        with suppress(NotSent):
            self.ref.tell_nowait(frame, attempt=attempt)

    async def call(self, frame: bytes) -> bytes:
        """Ask for a tool call and wait; if cancelled, the call is still recorded and its answer dropped."""
        answered = anyio.Event()
        answers: list[bytes] = []

        def answer(reply: bytes) -> None:
            answers.append(reply)
            answered.set()

        if not self.step_in(lambda: self.asked(frame, answer)):
            self.ref.tell_local(lambda: self.asked(frame, answer))
        await answered.wait()
        return answers[0]
