"""The one thread that writes a SQLite file: it drains what is queued, commits once and wakes everybody with one call.

    loop                      queue                   thread
    append, change   -->   [Call, Call, Call]   -->   BEGIN IMMEDIATE; many at once, others in order; COMMIT; a wake-up
    read             -->   [Call]               -->   after the commit, on the same connection

Calls made in one round of the loop are handed over together. A read sees exactly what is durable, and no second
connection ever writes or checkpoints. What the loop goes on from early is committed without waiting for the disk; its
caller is answered when a later commit, or one made for that, has brought it there. A call whose waiter was cancelled
is carried out all the same. When the disk fails the thread stops trusting it and closes the file: whatever was in
doubt is answered `OutcomeUnknown`, all later calls are refused, and only opening it anew finds out by reading.
It does not know what the calls do.
"""

import queue
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar, final

from casework.runtime.errors import StoreError, StoreInvalid, StoreUnavailable
from casework.runtime.parking import parking
from casework.runtime.seams import World
from casework.runtime.store import changes, connections
from casework.runtime.store.base import Append, Appended, CaseKey, Conflict, Fenced, Opening
from casework.runtime.store.batch import BATCH_MAX, Group, coalesce
from casework.runtime.store.connections import MACHINE, Binding, Fault, connect_owner, fault_of, store_error
from casework.runtime.store.migrations import SCHEMA_VERSION
from casework.runtime.store.sqlite_call import Call, Change, Early, OutcomeUnknown, copied, refuse, without
from casework.runtime.store.sqlite_generation import Keeper
from casework.runtime.store.sqlite_quick import Quick
from casework.runtime.store.sqlite_thread import HoldingThread
from casework.runtime.store.sqlite_upkeep import SqliteStatistics, Upkeep
from casework.runtime.wakeup import Wakeup

T = TypeVar("T")

#: How long what was taken and not yet answered waits for an append that brings it to the disk, in seconds.
OWED_SECONDS_MAX: Final = 0.005
#: Fault points, for simulations of a failing disk.
POINT_COMMIT_BEFORE: Final = "store.commit.before"
POINT_COMMIT_AFTER: Final = "store.commit.after"


@final
class SqliteWriter:
    """The writer thread of one file, seen from the event loop."""

    def __init__(
        self,
        path: str,
        url: str,
        world: World,
        heard: Callable[[Sequence[CaseKey]], None],
        *,
        binding: Binding = MACHINE,
        let_go: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; `heard` is called in the loop with those whose inbox grew or who were opened.

        `let_go` is called when nothing writes to the file any more, on the thread that did.
        """
        self._path = path
        self._url = url
        self._world = world
        self._heard = heard
        self._binding = binding
        self._upkeep = Upkeep(path, binding)
        self._wakeup = Wakeup()
        self._new_parked = parking()
        self._gathered: list[Call[object]] = []
        self._calls: queue.SimpleQueue[list[Call[object]] | None] = queue.SimpleQueue()
        self._closing = False
        self._thread = HoldingThread(world, self._wakeup, let_go)
        self._broken: StoreError | None = None
        self._quick = Quick()
        self._waits = True
        # What is committed and not known to be on the disk: whoever waits for it is answered when it is.
        self._owed: list[Call[object]] = []
        # Of these, what is on the disk by now, and is answered together with what took it there.
        self._paid: list[Call[object]] = []

    async def start(self) -> None:
        """Start the thread and wait until the file is open.

        Raises:
            StoreInvalid, StoreNewer, StoreUnavailable: the file cannot be opened; the thread has ended.

        If cancelled, the thread ends by itself once the caller calls `aclose`.
        """
        opened = Call[object](self._new_parked(), read=lambda _: None)
        self._thread.start("casework-sqlite-writer", partial(self._body, opened))
        await opened.result()

    def statistics(self) -> SqliteStatistics:
        """Count what the thread has done."""
        return self._upkeep.statistics()

    async def append(self, append: Append) -> Appended | Fenced | Conflict:
        """Append to one case together with whatever else is queued."""
        released = append.release and not (append.records or append.consumed)
        call: Call[object] = Call(self._new_parked(), append=append, passing=released)
        result = await self._submit(call)
        assert isinstance(result, Appended | Fenced | Conflict), "an append has one of these results"
        return result

    async def change(self, change: Change[T], opening: Opening | None = None) -> T:
        """Write together with whatever else is queued; durable when it returns. One that opens a case says so.

        Raises:
            OutcomeUnknown: perhaps durable, perhaps not.
            StoreUnavailable: nothing happened.
        """
        return await self._submit(Call(self._new_parked(), change=change, opening=opening))

    async def change_early(self, change: Change[T], early: Callable[[T], Early | None]) -> T:
        """Write as `change` does, and let the loop go on from what it gives before that is durable.

        `early` says on the thread what is to be called in the loop at once, if anything, cancelled or not: what is
        written from there takes this to the disk before itself, so one wait for the disk is enough for both.

        Raises:
            OutcomeUnknown, StoreUnavailable: as `change`; after OutcomeUnknown, it may have been called.
        """
        return await self._submit(Call(self._new_parked(), change=change, passing=True, early=early))

    async def hold(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Write who holds what: ordered among all else, but not waited for until the disk has it.

        When the power fails nobody holds anything any more, so no harm is done if that is forgotten as well; whatever
        is written under it later takes it to the disk before itself.

        Raises:
            OutcomeUnknown, StoreUnavailable: as `change`.
        """
        call = Call(self._new_parked(), change=lambda connection, _: change(connection), passing=True)
        return await self._submit(call)

    async def read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Read what is durable.

        Raises:
            StoreUnavailable, StoreInvalid: the file cannot be read.
        """
        return await self._submit(Call(self._new_parked(), read=read))

    async def aclose(self) -> None:
        """Finish what is queued, cut off the log and close the file; if cancelled, this happens all the same.

        If the disk hangs for `CLOSE_SECONDS_MAX`, this returns while the thread still has the file.
        """
        if not self._closing:
            self._closing = True
            self._hand_over()
            self._calls.put(None)
        await self._thread.wait_ended()

    async def _submit(self, call: Call[T]) -> T:
        if self._closing or self._thread.ended:
            raise copied(self._refusal())
        # Whoever else is ready in this round of the loop comes along: handed over one by one, the first of a hundred
        # would have a commit of its own and the others the next.
        if not self._gathered:
            self._wakeup.soon(self._hand_over)
        self._gathered.append(call)  # type: ignore[arg-type]  # nobody looks at the value on the way
        return await call.result()

    def _hand_over(self) -> None:
        if self._gathered:
            self._calls.put(self._gathered)
            self._gathered = []

    # From here on everything runs on the thread.

    def _body(self, opened: Call[object]) -> None:
        try:
            connection = connect_owner(self._path, self._url, self._binding)
            self._begin(connection)
        except StoreError as error:
            opened.error = error
            self._wake([opened])
            return
        except BaseException as error:
            # Whoever waits for the file must hear of a mistake of ours as well.
            opened.error = StoreUnavailable(self._url, f"it cannot be opened ({type(error).__name__}: {error})")
            self._wake([opened])
            raise
        self._wake([opened])
        try:
            while self._round(connection):
                pass
            if not self._broken:
                self._upkeep.end()
        except sqlite3.Error as error:
            # Only cutting off the log is left, which the next owner does as well.
            self._broken = StoreUnavailable(self._url, str(error))
        finally:
            connections.close(connection)

    def _begin(self, connection: sqlite3.Connection) -> None:
        """End the leases of nodes that are gone, and see whether this is the store that its owner remembers."""
        keeper = Keeper(connection, self._path, self._url)
        try:
            connection.execute("BEGIN IMMEDIATE")
            changes.forget_nodes(connection)
            keeper.begin(self._world.ids.new())
            connection.execute("COMMIT")
            self._upkeep.begin(connection, keeper)
        except sqlite3.Error as error:
            connections.close(connection)
            raise connections.opening_error(self._url, error) from error
        except ValueError as error:
            connections.close(connection)
            raise StoreInvalid(self._url, f"its settings cannot be read ({error}); {connections.REPAIR}") from error

    def _round(self, connection: sqlite3.Connection) -> bool:
        owed = bool(self._owed)
        calls, more = self._drained()
        for start in range(0, len(calls), BATCH_MAX):
            self._serve(connection, calls[start : start + BATCH_MAX])
        if owed or not more:
            self._settle(connection)
        if more and not self._broken:
            try:
                self._upkeep.look(idle=self._calls.empty(), rested=not calls)
            except sqlite3.Error as error:
                self._break(error)
        if self._broken:
            # Nothing more is written to a disk that failed; whoever opens the file next recovers it.
            connections.close(connection)
        return more

    def _serve(self, connection: sqlite3.Connection, calls: list[Call[object]]) -> None:
        writing = [call for call in calls if call.read is None]
        reading = [call for call in calls if call.read is not None]
        if writing:
            arrived = self._write(connection, writing)
            going = {call: go for call in writing if (go := call.going()) is not None}
            owed = [] if self._waits else [call for call in writing if call.early and call.error is None]
            answered = [*(call for call in writing if call not in owed), *self._paid]
            self._wakeup.call(partial(self._woken, answered, tuple(going.values()), tuple(dict.fromkeys(arrived))))
            self._paid = []
            self._owed += owed
            if any(call not in going for call in owed):
                self._settle(connection)
        if reading:
            self._settle(connection)
        for call in reading:
            self._read(connection, call)
        if reading:
            self._wake(reading)

    def _drained(self) -> tuple[list[Call[object]], bool]:
        calls: list[Call[object]] = []
        try:
            gathered = self._calls.get(timeout=OWED_SECONDS_MAX if self._owed else self._upkeep.again_seconds)
        except queue.Empty:
            return calls, True
        while gathered is not None:
            calls += gathered
            if len(calls) >= BATCH_MAX:
                return calls, True
            try:
                gathered = self._calls.get_nowait()
            except queue.Empty:
                return calls, True
        return calls, False

    def _write(self, connection: sqlite3.Connection, calls: list[Call[object]]) -> list[CaseKey]:
        """Carry out a batch in one transaction; one that raises is answered alone, and the others are done again."""
        quick = True
        while calls and not self._broken:
            arrived: list[CaseKey] = []
            culprits: list[Call[object]] = []
            committing = False
            try:
                self._wait_for_disk(connection, wait=not all(call.passing for call in calls))
                connection.execute("BEGIN IMMEDIATE")
                others = self._quick.write(connection, calls, arrived) if quick else calls
                for step in coalesce([call.append for call in others]):
                    culprits = [others[place] for place in (step.places if isinstance(step, Group) else (step,))]
                    self._apply(connection, step, culprits, arrived)
                committing = True
                self._point(POINT_COMMIT_BEFORE)
                connection.execute("COMMIT")
                self._point(POINT_COMMIT_AFTER)
            except sqlite3.Error as error:
                self._roll_back(connection)
                if fault_of(error) is not Fault.OURS or committing or not (culprits or quick):
                    self._fail(calls, error, committing=committing)
                    return []
                calls = without(calls, culprits, store_error(self._url, error))
            except Exception as error:  # noqa: BLE001  # the thread's boundary: an error belongs to its caller
                self._roll_back(connection)
                if committing or not (culprits or quick):
                    self._fail(calls, error, committing=committing)
                    return []
                calls = without(calls, culprits, error)
            else:
                self._committed()
                return arrived
            quick = False
        refuse(calls, self._refusal())
        return []

    def _committed(self) -> None:
        self._upkeep.committed(waited=self._waits)
        if self._waits:
            self._paid, self._owed = self._owed, []

    def _settle(self, connection: sqlite3.Connection) -> None:
        """Bring what is owed to the disk: by a commit that changes nothing, for a log has no other way."""
        if self._owed:
            sync = Call[object](None, change=lambda link, _: link.execute(f"PRAGMA user_version = {SCHEMA_VERSION}"))
            self._write(connection, [sync])
            for call in self._owed:
                call.error = OutcomeUnknown(self._url, f"its commit was not confirmed ({sync.error})")
            answered, self._paid, self._owed = self._paid + self._owed, [], []
            self._wake(answered)

    def _wait_for_disk(self, connection: sqlite3.Connection, *, wait: bool) -> None:
        if wait is not self._waits:
            connection.execute(f"PRAGMA synchronous = {'FULL' if wait else 'NORMAL'}")
            self._waits = wait

    def _apply(
        self, connection: sqlite3.Connection, step: Group | int, calls: list[Call[object]], arrived: list[CaseKey]
    ) -> None:
        if isinstance(step, Group):
            value: object = changes.append(connection, step.append, arrived)
        else:
            change = calls[0].change
            assert change is not None, "a call that writes is an append or a change"
            value = change(connection, arrived)
        for call in calls:
            call.value = value

    def _read(self, connection: sqlite3.Connection, call: Call[object]) -> None:
        assert call.read is not None, "this call reads"
        if self._broken:
            refuse([call], self._refusal())
            return
        try:
            call.value = call.read(connection)
        except sqlite3.Error as error:
            call.error = store_error(self._url, error)
        except Exception as error:  # noqa: BLE001  # the thread's boundary, as above
            call.error = error

    def _fail(self, calls: list[Call[object]], error: Exception, *, committing: bool) -> None:
        """Answer a whole batch whose transaction did not end well."""
        fault = fault_of(error) if isinstance(error, sqlite3.Error) else Fault.OURS
        if fault is Fault.BROKEN:
            self._break(error)
        why = f"the commit failed ({error})"
        if committing and fault is not Fault.PASSING:
            refuse(calls, OutcomeUnknown(self._url, why))
        else:
            refuse(calls, self._broken or StoreUnavailable(self._url, why))

    def _break(self, error: Exception) -> None:
        # A failed sync may have dropped pages that it will not miss next time: this connection must not go on.
        self._broken = connections.broken_error(self._url, error)

    def _refusal(self) -> StoreError:
        return self._broken or StoreUnavailable(self._url, "it was closed")

    def _point(self, name: str) -> None:
        if self._world.faults is not None:
            self._world.faults.point(name)

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        self._quick.forget()
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._broken = connections.broken_error(self._url, error)

    def _wake(self, calls: Sequence[Call[object]]) -> None:
        self._wakeup.call(partial(self._woken, calls, (), ()))

    # Again in the loop.

    def _woken(self, calls: Sequence[Call[object]], going: Sequence[Early], arrived: Sequence[CaseKey]) -> None:
        for call in calls:
            call.answer()
        for go in going:
            go()
        if arrived:
            self._heard(arrived)
