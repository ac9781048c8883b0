"""Who waits for the cases of a node: for one of them to rest, or for any to change.

Were they all woken by each change, a hundred would look a hundred times a case, so who waits for one case is woken by
that one. Of a case that closes they are given the row, as it stands in the store by then: nobody has to read it.
It does not know why a case rests.
"""

from collections.abc import Callable, Iterable
from typing import final

import anyio

from casework.runtime.errors import Stopping
from casework.runtime.parking import Parked, parking
from casework.runtime.store.base import CaseKey, CaseRow


@final
class _Watch:
    """Those who wait for one case."""

    __slots__ = ("row", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Parked] = []
        self.row: CaseRow | None = None


@final
class Watchers:
    """All who wait for cases of one node."""

    def __init__(self, new_event: Callable[[], anyio.Event]) -> None:
        """Begin with nobody; to be made in the event loop in which they wait."""
        self._new_event = new_event
        self._new_parked = parking()
        self._changed: anyio.Event | None = None
        self._watches: dict[CaseKey, _Watch] = {}
        self._stopped = False

    @property
    def keys(self) -> Iterable[CaseKey]:
        """Give the cases that somebody waits for."""
        return self._watches

    def changed(self) -> anyio.Event:
        """Give the event that is set when next some case parks, ends or begins; raises Stopping if none will."""
        self._check()
        if self._changed is None:
            self._changed = self._new_event()
        return self._changed

    async def wait_rested(self, key: CaseKey) -> CaseRow | None:
        """Wait until a case that is at work may rest; give its row if it has closed and the store has told enough.

        Raises:
            Stopping: the node stops, or has stopped, and it does not rest any more.

        If cancelled, nothing is left behind.
        """
        self._check()
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = _Watch()
        parked = self._new_parked()
        watch.waiting.append(parked)
        try:
            await parked
        except BaseException:
            watch.waiting.remove(parked)
            if not watch.waiting and self._watches.get(key) is watch:
                del self._watches[key]
            raise
        return watch.row

    def notify(self, *keys: CaseKey) -> None:
        """Wake who waits for any change, and who waits for these cases."""
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()
        for key in keys:
            self._wake(key, None)

    def ended(self, key: CaseKey, last_row: Callable[[], CaseRow | None]) -> None:
        """Wake them for a case whose cell has ended; `last_row` gives its row if it has closed."""
        self.notify()
        if key in self._watches:
            self._wake(key, last_row())

    def stop(self) -> None:
        """Let nobody wait any more, and wake who does; again is harmless."""
        self._stopped = True
        self.notify(*self._watches)

    def _check(self) -> None:
        if self._stopped:
            raise Stopping

    def _wake(self, key: CaseKey, row: CaseRow | None) -> None:
        watch = self._watches.pop(key, None)
        if watch is not None:
            watch.row = row
            for parked in watch.waiting:
                if not parked.done():
                    parked.set_result(b"")
