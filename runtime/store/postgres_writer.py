"""Group commit on PostgreSQL: whoever finds nobody at work leads, and carries out what everybody has asked for.

    caller, caller, caller   -->   one of them leads: BEGIN; a few statements; COMMIT   -->   all are answered

There is no job in the background. The first to come leads one batch of what is queued by then, its own call among
it; after the commit the lead goes to the first that came meanwhile. A leader that is cancelled finishes its batch.
The connection is opened when it is needed; while the server is away calls are refused at once, and it is tried again
after a pause that grows. What was lost before COMMIT was sent did not happen, what was lost after may have happened.
It does not know what the calls do.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple, final

import anyio
import anyio.lowlevel

from casework.runtime.errors import StoreError, StoreInvalid, StoreUnavailable
from casework.runtime.parking import parking
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import CaseKey, Unavailable, Unknown
from casework.runtime.store.batch import BATCH_MAX
from casework.runtime.store.postgres_batch import Batch
from casework.runtime.store.postgres_calls import Asked, Call, Claim, Reclaim, Renewal, refuse
from casework.runtime.store.postgres_complaints import Complaints
from casework.runtime.store.postgres_generation import Keeper
from casework.runtime.store.postgres_link import (
    DRIVER_ERRORS,
    Fault,
    Link,
    damaged,
    ended_by_server,
    fault_of,
    part,
    told,
)
from casework.runtime.store.postgres_quick import Quick
from casework.runtime.store.postgres_schema import connected
from casework.runtime.store.postgres_standing import Standing, last_written
from casework.runtime.store.postgres_url import PostgresAddress

#: Times that a batch is begun anew because another transaction was in its way.
TRIES_MAX: Final = 5
#: Seconds until a server that is away is tried again: at first, and at most.
RETRY_SECONDS_MIN: Final = 0.05
RETRY_SECONDS_MAX: Final = 2.0
#: Seconds between two looks at the database's clock, and how far it may be off before we follow it.
COMPARE_SECONDS: Final = 1.0
SKEW_SECONDS_MAX: Final = 0.25
#: How long closing waits for a batch that is under way.
CLOSE_SECONDS_MAX: Final = 30.0
#: Fault points, for tests of a connection that breaks.
POINT_COMMIT_BEFORE: Final = "store.commit.before"
POINT_COMMIT_AFTER: Final = "store.commit.after"

_CLOCK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


class Ears(NamedTuple):
    """Who is told after a commit."""

    heard: Callable[[Sequence[CaseKey]], None]
    """Told which cases got an item or were opened."""
    others: Callable[[], None]
    """Told, before that, if nodes of other processes should hear of it too."""


@final
class PostgresWriter:
    """The one writing connection of a store, and the queue before it."""

    def __init__(
        self, address: PostgresAddress, world: World, own: Collection[str], ears: Ears, complaints: Complaints
    ) -> None:
        """Prepare; `own` are the names of this process's nodes, as they come to be known."""
        self._address = address
        self._world = world
        self._ears = ears
        self._own = own
        self.others = True  #: nodes of other processes live, as of the last claim or renewal
        self._quick = Quick()
        self._keeper = Keeper(address, world)
        self._complaints = complaints
        # A case did not stand as it was known: another has it, or the store is an older one.
        self._doubted = False
        self._link: Link | None = None
        self._new_parked = parking()
        self._queue: list[Call] = []
        self._leading = False
        self._closed = False
        self._rest: anyio.Event | None = None
        self._skew: int | None = None
        self._compared_at = 0.0
        self._pause = 0.0
        self._retry_at = 0.0
        self._why = ""

    @property
    def switches(self) -> int:
        """Give how many bytes stand there of what was switched, as of the last renewal."""
        return self._keeper.switches

    async def start(self) -> None:
        """Connect and migrate.

        Raises:
            StoreInvalid, StoreNewer, StoreUnavailable: it cannot be opened; nothing is held.
        """
        await self._connected()
        await self._keeper.save(now=True)

    async def ask(self, asked: Asked) -> object:
        """Write together with whatever else is asked; durable when it gives the call's answer.

        Gives Unavailable or Unknown instead where the commit did not go well. If cancelled while it waits for its
        batch nothing happened; in the middle of a batch it is carried out all the same.

        Raises:
            StoreInvalid: the server takes no such values; nothing happened. What carries none of a caller's, as a
                claim or a renewal, is never refused so.
        """
        if self._closed:
            return Unavailable("it was closed")
        call = Call(asked)
        self._queue.append(call)
        try:
            if self._leading:
                call.turn = self._new_parked()
                await call.turn
            else:
                self._leading = call.leads = True
            if call.leads and not call.answered:
                await self._lead()
        except BaseException:
            self._leave(call)
            raise
        assert call.answered, "a batch answers all its calls"
        if call.error is not None:
            raise call.error
        return call.answer

    async def aclose(self) -> None:
        """Finish the batch that is under way and close; if cancelled, it is closed all the same."""
        self._closed = True
        with anyio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
            if self._leading:
                self._rest = self._rest or anyio.Event()
                await self._rest.wait()
            await self._keeper.save(now=True)
        link, self._link = self._link, None
        if link is not None:
            await part(link)

    async def _lead(self) -> None:
        with anyio.CancelScope(shield=True):
            try:
                # Whoever else is ready in this round of the loop comes along; alone, each would have a commit.
                await anyio.lowlevel.checkpoint()
                calls, self._queue = self._queue[:BATCH_MAX], self._queue[BATCH_MAX:]
                await self._serve(calls)
            finally:
                self._hand_on()

    def _hand_on(self) -> None:
        self._leading = bool(self._queue)
        if self._queue:
            self._queue[0].lead()
        elif self._rest is not None:
            self._rest.set()

    def _leave(self, call: Call) -> None:
        """Take back a call whose caller was cancelled, unless its batch has begun."""
        if call in self._queue:
            self._queue.remove(call)
            if call.leads:
                self._hand_on()

    async def _serve(self, calls: Sequence[Call]) -> None:
        """Answer calls: those that fit by the short way, all others by the long one."""
        fitting = self._quick.fitting([call.asked for call in calls])
        if fitting:
            try:
                await self._attempt_quick([calls[place] for place in fitting])
            except BaseException:
                # Nobody was begun with whom this one interrupts.
                refuse(calls, Unavailable("it was interrupted"))
                raise
        rest = [call for call in calls if not call.answered]
        if rest:
            await self._serve_fully(rest)

    async def _attempt_quick(self, calls: Sequence[Call]) -> None:
        """Carry out calls as one statement; those that it leaves without an answer are served as all others."""
        try:
            link = await self._connected()
        except StoreError as error:
            self._refuse(calls, error.why)
            return
        asked = [call.asked for call in calls]
        try:
            self._point(POINT_COMMIT_BEFORE)
            values, opened, stand = await self._quick.carry_out(link, asked)
            self._point(POINT_COMMIT_AFTER)
        except DRIVER_ERRORS as error:
            self._quick.forget(asked)
            fault = fault_of(error, link)
            if fault is Fault.LOST:
                self._drop(link)
                why = f"the connection was lost ({told(error)})"
                refuse(calls, Unavailable(why) if ended_by_server(error) else Unknown(why))
            elif fault is Fault.PASSING:
                self._refuse(calls, told(error))
            else:
                self._doubted = True
            return
        except BaseException:
            self._quick.forget(asked)
            self._drop(link)
            refuse(calls, Unknown("it was interrupted"))
            raise
        self._learn(stand, asked)
        for place, answer in values.items():
            calls[place].settle(answer)
        self._tell(opened, foreign=False)

    async def _serve_fully(self, calls: Sequence[Call], *, apart: bool = False) -> None:
        error: Exception | None = None
        fault = Fault.AGAIN
        for _ in range(TRIES_MAX):
            error = await self._attempt(calls, apart=apart)
            if error is None:
                return
            fault = Fault.LOST if self._link is None else fault_of(error, self._link)
            if fault is not Fault.AGAIN:
                break
        else:
            refuse(calls, Unavailable(f"others were in the way each time ({told(error)})" if error else ""))
            return
        # Something was wrong with one, and the server does not say with which: each is tried by itself.
        if len(calls) > 1:
            for call in calls:
                await self._serve_fully([call])
            return
        asked = calls[0].asked
        if damaged(error) and isinstance(asked, Claim | Reclaim) and not apart:
            # Where it lies with one case, the others can be had.
            self._complaints.hear(told(error))
            await self._serve_fully(calls, apart=True)
        elif fault is Fault.OURS and not isinstance(asked, Reclaim | Renewal):
            why = f"it does not take this ({told(error)})"
            calls[0].settle(error=StoreInvalid(self._address.shown, why))
        else:
            self._refuse(calls, told(error))

    def _refuse(self, calls: Sequence[Call], why: str) -> None:
        """Answer calls that did not happen and may later, and tell the log why."""
        self._complaints.hear(why)
        refuse(calls, Unavailable(why))

    async def _attempt(self, calls: Sequence[Call], *, apart: bool) -> Exception | None:
        """Carry out a batch and answer it; gives the error after which it may be tried again in another way."""
        try:
            link = await self._connected()
        except StoreError as error:
            self._refuse(calls, error.why)
            return None
        asked = [call.asked for call in calls]
        batch = Batch(link, asked, self._own, self._keeper.mark, apart=apart)
        # A claim is one statement, and mostly finds nothing: it is a transaction by itself.
        committing = alone = not apart and all(isinstance(call, Claim) for call in asked)
        renewing = any(isinstance(call, Renewal) for call in asked)
        mark = 0
        try:
            if renewing or self._doubted:
                await self._keeper.check(link)
                self._doubted = False
            if not alone:
                await link.execute("BEGIN")
            await batch.carry_out(await self._compared(link, asked))
            if renewing:
                # Last of all, for whoever else renews waits for it.
                mark = await self._keeper.count(link)
            committing = True
            self._point(POINT_COMMIT_BEFORE)
            if not alone:
                await link.execute("COMMIT")
            self._point(POINT_COMMIT_AFTER)
        except DRIVER_ERRORS as error:
            fault = fault_of(error, link)
            again = fault is Fault.AGAIN or (damaged(error) and len(calls) == 1)
            if fault is Fault.LOST or not await _rolled_back(link):
                self._drop(link)
                why = f"the connection was lost ({told(error)})"
                refuse(calls, Unknown(why) if committing else Unavailable(why))
            elif fault is Fault.PASSING or (alone and not again):
                # Of several claims the first may have taken something: who made them looks what it holds.
                self._refuse(calls, told(error))
            else:
                return error
            return None
        except BaseException:
            self._drop(link)
            why = "it was interrupted"
            refuse(calls, Unknown(why) if committing else Unavailable(why))
            raise
        self._keeper.saw(mark)
        self._answer(calls, batch)
        if renewing:
            await self._keeper.save()
        return None

    def _answer(self, calls: Sequence[Call], batch: Batch) -> None:
        for place, call in enumerate(calls):
            call.settle(batch.values.get(place), batch.errors.get(place))
        if batch.leases.others is not None:
            self.others = batch.leases.others
        self._learn(batch.standings(), [call.asked for call in calls])
        self._doubted = self._doubted or batch.leases.older
        self._tell(batch.arrived, foreign=batch.foreign)

    def _learn(self, standings: Sequence[Standing], asked: Sequence[Asked]) -> None:
        """Take over how cases stand, now that it is durable."""
        self._quick.learn(standings)
        if (last := last_written(standings, asked)) is not None:
            self._keeper.wrote(last)

    def _tell(self, arrived: Sequence[CaseKey], *, foreign: bool) -> None:
        if arrived:
            if self.others or foreign:
                self._ears.others()
            self._ears.heard(tuple(dict.fromkeys(arrived)))

    async def _compared(self, link: Link, asked: Sequence[Asked]) -> int:
        """Say by how many microseconds the database's clock is ahead of ours, where a call needs to know.

        It is looked at from time to time, and followed once it is off by more than a little.
        """
        clock = self._world.clock
        if not any(isinstance(call, Claim | Renewal) for call in asked):
            return 0
        if self._skew is not None and clock.monotonic() - self._compared_at < COMPARE_SECONDS:
            return self._skew
        before = clock.wall_micros()
        theirs = int(await link.fetchval(_CLOCK))
        skew = theirs - (before + clock.wall_micros()) // 2
        self._compared_at = clock.monotonic()
        if self._skew is None or abs(skew - self._skew) > SKEW_SECONDS_MAX * MICROS:
            self._skew = skew
        return self._skew

    async def _connected(self) -> Link:
        if self._link is not None:
            if not self._link.is_closed():
                return self._link
            self._drop(self._link)
        clock = self._world.clock
        if clock.monotonic() < self._retry_at:
            raise StoreUnavailable(self._address.shown, self._why)
        try:
            self._link = await self._opened()
        except StoreError as error:
            self._pause = min(max(self._pause * 2, RETRY_SECONDS_MIN), RETRY_SECONDS_MAX)
            self._retry_at = clock.monotonic() + self._pause
            self._why = error.why
            raise
        self._pause = 0.0
        return self._link

    async def _opened(self) -> Link:
        """Open a connection, and see whether what it leads to is the store that we remember."""
        link = await connected(self._address, known=self._keeper.has_seen)
        try:
            await self._keeper.check(link)
        except DRIVER_ERRORS as error:
            link.terminate()
            raise StoreUnavailable(self._address.shown, f"it cannot be looked at ({told(error)})") from error
        except BaseException:
            link.terminate()
            raise
        return link

    def _drop(self, link: Link) -> None:
        link.terminate()
        self._link = None

    def _point(self, name: str) -> None:
        if self._world.faults is not None:
            self._world.faults.point(name)


async def _rolled_back(link: Link) -> bool:
    try:
        await link.execute("ROLLBACK")
    except DRIVER_ERRORS:
        return False
    return True
