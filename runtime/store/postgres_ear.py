"""Hears what other processes wrote to a PostgreSQL store, for whoever works on its cases.

Each process that gave a case something says so by NOTIFY, without saying what: a hint, which may be lost. So the
store is looked at after each hint, after each new connection, when the lease of another node ends, and every
`POLL_SECONDS` at least. The hints of our own process are passed over, for it told its listener itself.

Nobody says that a node has come, and when one goes its lease ends in silence: our own renewals tell of others that
live, and a look finds out until when. A case that is free may not be there to be taken just then: whoever stands still
amid a transaction has it locked, or a clock is a little behind. As long as a look finds such, the next comes soon.
It does not know what the listener does.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from typing import Final, final

import anyio
from anyio.abc import TaskStatus

from casework.runtime.errors import StoreError
from casework.runtime.seams import MICROS, World
from casework.runtime.store import postgres_queries as queries
from casework.runtime.store.base import CaseKey
from casework.runtime.store.claims import NOBODY
from casework.runtime.store.door_wire import CircuitsAsked, TurnAsked
from casework.runtime.store.postgres_carrying import FOREIGN, OURS
from casework.runtime.store.postgres_link import DRIVER_ERRORS, Link, connect, part
from casework.runtime.store.postgres_switches import SwitchesHeard
from casework.runtime.store.postgres_url import PostgresAddress
from casework.runtime.store.settings import SWITCHES

#: Seconds between two looks when nothing is heard.
POLL_SECONDS: Final = 20.0
#: Seconds until the next look for cases that are free; twice as many each time that it finds no others.
AGAIN_SECONDS: Final = 0.5
#: Seconds until a server that is away is tried again, at first and at most.
RETRY_SECONDS_MIN: Final = 0.1
RETRY_SECONDS_MAX: Final = 2.0
#: Cases that one look tells of at most; a listener that is told of some looks for all.
NEWS_MAX: Final = 1_000

#: What we hold, and what nobody holds and is not left to others: they have ears themselves, and who dies has a lease
#: that ends.
_LOOK: Final = """
    WITH clock AS MATERIALIZED (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now), {foreign}
    SELECT c.tenant, c.case_id, NOT EXISTS (
        SELECT FROM node n WHERE n.name = c.node AND n.until > (SELECT now FROM clock)
    ) AS free
    FROM "case" c WHERE c.no IN (
        SELECT i.case_no FROM inbox i JOIN "case" p ON p.no = i.case_no
        WHERE NOT i.consumed AND p.status <> 'closed' AND i.position > p.seen AND ({ours} OR p.node = ANY($3))
        UNION ALL
        SELECT w.case_no FROM wait w JOIN "case" p ON p.no = w.case_no
        WHERE w.kind = 'timer' AND p.status = 'parked' AND w.due <= (SELECT now FROM clock) AND {ours}
        UNION ALL
        (SELECT o.no FROM "case" o WHERE o.status = 'open' AND {free_ours}
            AND NOT EXISTS (SELECT 1 FROM node n WHERE n.name = o.node AND n.until > (SELECT now FROM clock))
         LIMIT $1)
    ) LIMIT $1
""".replace("{foreign}", FOREIGN.format("$2", "(SELECT now FROM clock)", "$3"))
_NEWS: Final = _LOOK.replace("{free_ours}", OURS.format("o")).replace("{ours}", OURS.format("p"))
#: Microseconds until the next lease of another node ends (none: NULL), whether one has ended unseen, and how many bytes
#: stand there of what was switched.
_LEASES: Final = """
    WITH clock AS MATERIALIZED (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now)
    SELECT min(n.until - clock.now) FILTER (WHERE n.until > clock.now) AS next,
           count(*) FILTER (WHERE n.until <= clock.now) AS over,
           (SELECT octet_length(value) FROM setting WHERE name = $2) AS switches
    FROM node n, clock WHERE n.name <> ALL($1::text[])
"""


@final
class Again:
    """Says when to look again for what is free: soon, and ever more rarely for what nobody takes."""

    def __init__(self) -> None:
        self._left: Set[CaseKey] = frozenset()
        self._seconds = POLL_SECONDS

    def seconds(self, free: Set[CaseKey]) -> float:
        """Hear what a look found free, and give the seconds until the next."""
        known, self._left = free <= self._left, free
        self._seconds = min(self._seconds * 2, POLL_SECONDS) if known else AGAIN_SECONDS
        return self._seconds if free else POLL_SECONDS


@final
class PostgresEar:
    """Listens for one store; run `serve` beside whatever works on its cases."""

    def __init__(
        self,
        address: PostgresAddress,
        world: World,
        heard: Callable[[Sequence[CaseKey]], None],
        own: Mapping[str, Sequence[str]],
    ) -> None:
        """Prepare.

        Args:
            address: where the store is.
            world: clock and ids.
            heard: called on the event loop with the cases that have news.
            own: this process's nodes with what each carries, as they come to be known; their leases are not watched.
        """
        self._address = address
        self._world = world
        self._heard = heard
        self._own = own
        self.name = world.ids.new()  #: what our own hints bear
        self.settled: Callable[[], Awaitable[None]] | None = None
        """Set by the runtime, as of everything that serves a store; nobody asks here."""
        self.told: Callable[[CircuitsAsked | TurnAsked], Awaitable[bytes]] | None = None
        """The same."""
        self.switches = SwitchesHeard()
        self._woken = anyio.Event()
        self._again = Again()
        self._alone = False  # the last look found no living node of others

    def on_switch(self, heard: Callable[[str], None]) -> None:
        """Call `heard` with all that was switched so far, each time that another process has switched something."""
        self.switches.listener = heard

    def met(self) -> None:
        """Hear that a node of another process lives; it is looked at until when, unless a look is due then anyway."""
        if self._alone:
            self._woken.set()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled, over as many connections as it takes."""
        task_status.started()
        pause = RETRY_SECONDS_MIN
        while True:
            try:
                link = await connect(self._address)
            except StoreError:
                await self._world.clock.sleep(pause)
                pause = min(pause * 2, RETRY_SECONDS_MAX)
                continue
            try:
                await self._listen(link)
            except DRIVER_ERRORS:
                await self._world.clock.sleep(RETRY_SECONDS_MIN)
            finally:
                await part(link)
            pause = RETRY_SECONDS_MIN

    async def _listen(self, link: Link) -> None:
        await link.add_listener(self._address.channel, self._notified)
        link.add_termination_listener(self._wake)
        while True:
            self._woken = anyio.Event()
            seconds = await self._look(link)
            async with anyio.create_task_group() as jobs:
                jobs.start_soon(self._alarm, seconds)
                await self._woken.wait()
                jobs.cancel_scope.cancel()

    async def _look(self, link: Link) -> float:
        """Tell the listener what there is, and say for how many seconds nothing is due."""
        carried = [*self._own.values()]
        # A node that does not say what it carries takes everything.
        carries = {pin for pins in carried for pin in pins} if all(carried) else ()
        news = await link.fetch(_NEWS, NEWS_MAX, list(carries), list(self._own))
        keys = [CaseKey(tenant, case_id) for tenant, case_id, _ in news]
        free = {CaseKey(tenant, case_id) for tenant, case_id, free in news if free}
        leases = await link.fetchrow(_LEASES, list(self._own), SWITCHES)
        assert leases is not None, "an aggregate has a row"
        if self.switches.missed(leases["switches"] or 0):
            self.switches.hear(await queries.setting(link, SWITCHES) or "")
        if leases["over"]:
            keys.append(NOBODY)
            free.add(NOBODY)
        if keys:
            self._heard(keys)
        seconds = self._again.seconds(free)
        self._alone = leases["next"] is None
        # A little later, so that the lease is really over when it is looked at again.
        return seconds if self._alone else min(seconds, float(leases["next"]) / MICROS + RETRY_SECONDS_MIN)

    async def _alarm(self, seconds: float) -> None:
        await self._world.clock.sleep(seconds)
        self._woken.set()

    def _notified(self, _link: object, _pid: int, _channel: str, payload: object) -> None:
        if payload != self.name:
            self._woken.set()

    def _wake(self, _link: object) -> None:
        self._woken.set()
