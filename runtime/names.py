"""Names: what an actor is called besides its address, as OTP's `register` has it.

A name is borne for as long as its actor runs: a restart keeps it, the actor's end frees it at once. Names and
addresses are found alike, so no name is the address of another running actor; an actor may bear several names.
It does not know what an actor does, nor why it bears a name.
"""

from collections.abc import Callable, Iterator
from typing import Final, final

from casework.runtime.errors import NameTaken, NotRunning
from casework.runtime.kernel import Kernel
from casework.runtime.lifecycle import Down, Phase
from casework.runtime.ref import Ref

_ENDING: Final = frozenset({Phase.DRAINING, Phase.STOPPED})


def running_ref(kernel: Kernel, address: str) -> Ref:
    """Give the ref of a running actor by its address or by one of its names; the ref bears the address.

    Raises:
        NotRunning: there is no such actor, or it takes nothing new any more.
    """
    member = kernel.find(address)
    if member is None or member.phase in _ENDING:
        raise NotRunning(address)
    return Ref(member.address, kernel, member)


@final
class Names:
    """The names of one system."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._watches: dict[str, Callable[[Down], None]] = {}

    def __len__(self) -> int:
        """Count the names that are borne."""
        return len(self._watches)

    def __iter__(self) -> Iterator[str]:
        """Give the names that are borne now, in the order of their registration."""
        return iter(tuple(self._watches))

    def register(self, name: str, ref: Ref) -> None:
        """Give an actor a name until it ends, or until the name is released.

        Raises:
            NameTaken: another actor bears the name, this one does already, or it is some actor's address.
            NotRunning: the actor has ended, or is ending.
        """
        kernel = self._kernel
        if kernel.taken(name):
            raise NameTaken(name)
        address = running_ref(kernel, ref.address).address

        def free(_: Down) -> None:
            self._forget(name)

        kernel.names[name] = address
        self._watches[name] = free
        kernel.watch(address, free)

    def release(self, name: str) -> None:
        """Free a name; nothing happens if nobody bears it."""
        watch = self._watches.get(name)
        if watch is not None:
            self._kernel.unwatch(self._kernel.names[name], watch)
            self._forget(name)

    def find(self, name: str) -> Ref | None:
        """Find the actor that bears a name; its ref stays that actor's, whoever bears the name later."""
        address = self._kernel.names.get(name)
        return None if address is None else Ref(address, self._kernel)

    def _forget(self, name: str) -> None:
        del self._kernel.names[name], self._watches[name]
