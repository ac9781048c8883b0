"""Groups: actors that are found and sent to together, as OTP's `pg` has it.

An actor joins as many groups as it likes, each at most once, and leaves them all by itself when it ends for good; a
restart keeps its place. A group is there as long as it has members: nobody makes one and nobody deletes one.
It does not know what a group is for.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, final

from casework.runtime.errors import NotSent
from casework.runtime.kernel import Kernel
from casework.runtime.lifecycle import Down
from casework.runtime.names import running_ref
from casework.runtime.ref import Ref


class GroupSent(NamedTuple):
    """What became of a message to a group."""

    accepted: int
    """Members that took it."""
    refused: tuple[NotSent, ...]
    """Why each other member did not; the envelope is on the error."""


class _Member(NamedTuple):
    """An actor's place in one group."""

    ref: Ref
    watch: Callable[[Down], None]


@final
class Groups:
    """The groups of one system."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._groups: dict[str, dict[str, _Member]] = {}

    def __len__(self) -> int:
        """Count the groups that have members."""
        return len(self._groups)

    def __iter__(self) -> Iterator[str]:
        """Give the groups that have members now, the oldest first."""
        return iter(tuple(self._groups))

    def join(self, group: str, ref: Ref) -> None:
        """Put an actor into a group until it leaves or ends; nothing happens if it is in already.

        Raises:
            NotRunning: the actor has ended, or is ending.
        """
        found = running_ref(self._kernel, ref.address)
        address = found.address
        if address in self._groups.get(group, ()):
            return

        def ended(_: Down) -> None:
            self._forget(group, address)

        self._groups.setdefault(group, {})[address] = _Member(found, ended)
        self._kernel.watch(address, ended)

    def leave(self, group: str, ref: Ref) -> None:
        """Take an actor out of a group; nothing happens if it is not in."""
        address = self._kernel.names.get(ref.address, ref.address)
        member = self._groups.get(group, {}).get(address)
        if member is not None:
            self._kernel.unwatch(address, member.watch)
            self._forget(group, address)

    def members(self, group: str) -> tuple[Ref, ...]:
        """Give the members of a group in the order of their joining; none if there is no such group."""
        return tuple(member.ref for member in self._groups.get(group, {}).values())

    def tell_nowait(
        self, group: str, frame: bytes, *, sender: str = "", attempt: int = 1, deadline: float = 0.0, trace: str = ""
    ) -> GroupSent:
        """Send a frame to every member without waiting; one that refuses keeps it from no other.

        Args:
            group: may have no members; then nothing is sent.
            frame: the encoded message.
            deadline: monotonic seconds of the system's clock, 0 for none; afterwards the message is dropped unread.
        """
        accepted, refused = 0, list[NotSent]()
        for ref in self.members(group):
            try:
                ref.tell_nowait(frame, sender=sender, attempt=attempt, deadline=deadline, trace=trace)
            except NotSent as error:
                refused.append(error)
            else:
                accepted += 1
        return GroupSent(accepted, tuple(refused))

    def _forget(self, group: str, address: str) -> None:
        members = self._groups[group]
        del members[address]
        if not members:
            del self._groups[group]
