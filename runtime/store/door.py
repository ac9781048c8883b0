"""The owner's side of a store's door: a Unix socket on which other processes of the same user deliver and decide.

The socket is made inside a private directory, gets its mode there and is moved to its name, so nobody else can
connect at any moment, and one that a killed owner left is replaced. Whoever sends what is no request is cut off
alone. Only the owner of a file serves, so no two servers meet at one name. What is asked quickly is answered quickly,
however many wait for the runtime to come to rest.
It does not know what the requests mean to a case.
"""

import logging
import os
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, final

import anyio
from anyio.abc import SocketListener, SocketStream, TaskStatus

from casework.protocols.errors import FrameInvalid, ProtocolError
from casework.runtime.errors import Stopping, StoreError, StoreUnavailable
from casework.runtime.store import ledger_rules
from casework.runtime.store.base import StoreDoor
from casework.runtime.store.door_places import Place, Places
from casework.runtime.store.door_wire import (
    MAKING,
    ArtifactAsked,
    Channel,
    CircuitsAsked,
    DecideAsked,
    DeliverAsked,
    Failing,
    Invalid,
    Kept,
    LimitAsked,
    Reply,
    Request,
    SettleAsked,
    Settled,
    Told,
    TurnAsked,
    answer,
    socket_path,
)
from casework.runtime.store.sqlite_call import OutcomeUnknown

#: Clients served at once; more wait until one leaves.
CONNECTIONS_MAX: Final = 64
#: Clients that wait at once for the runtime to come to rest; they hold no place that others need.
SETTLING_MAX: Final = 256
#: How long the store may take for one request.
REQUEST_SECONDS_MAX: Final = 30.0
#: How long a client may wait for the runtime to come to rest.
SETTLE_SECONDS_MAX: Final = 600.0
#: How long no connection is taken after the system refused one, for want of descriptors.
ACCEPT_PAUSE_SECONDS: Final = 0.2

_LOGGER: Final = logging.getLogger(__name__)


@final
class DoorServer:
    """Serves a store to other processes."""

    def __init__(self, store: StoreDoor, database: str) -> None:
        """Prepare for the store of that file."""
        self._store = store
        self._path, self._directory = socket_path(database)
        self._settling = 0
        self.settled: Callable[[], Awaitable[None]] | None = None
        """Waits until the runtime has nothing to do, or raises Stopping; set by the runtime."""
        self.told: Callable[[CircuitsAsked | TurnAsked], Awaitable[bytes]] | None = None
        """Answers what only the runtime can; set by it."""

    def on_switch(self, heard: Callable[[str], None]) -> None:
        """Do nothing: one process owns the store, so nobody else switches anything."""

    @property
    def path(self) -> str:
        """Name the socket."""
        return self._path

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; the socket is there once started, and gone after.

        Raises:
            StoreUnavailable: the socket cannot be made.
        """
        try:
            listener = await self._listener()
        except OSError as error:
            raise StoreUnavailable(self._path, f"the socket cannot be made ({error})") from error
        try:
            async with listener, anyio.create_task_group() as group:
                task_status.started()
                places = Places(CONNECTIONS_MAX)
                while True:
                    place = await places.take()
                    group.start_soon(self._talk, await _accepted(listener), place)
        finally:
            with suppress(OSError):
                os.unlink(self._path)
                if self._directory:
                    os.rmdir(self._directory)

    async def _listener(self) -> SocketListener:
        if self._directory:
            with suppress(FileExistsError):
                os.mkdir(self._directory, 0o700)
            made = os.lstat(self._directory)
            if not stat.S_ISDIR(made.st_mode) or made.st_uid != os.geteuid() or stat.S_IMODE(made.st_mode) & 0o077:
                raise StoreUnavailable(self._path, f"{self._directory} is not private to this user; remove it")
        directory = f"{self._path}{MAKING[0]}"
        making = os.path.join(directory, MAKING[1])
        # A directory that a killed owner left is ours to reuse; somebody else's refuses the change of its mode.
        with suppress(FileExistsError):
            os.mkdir(directory, 0o700)
        os.chmod(directory, 0o700)
        try:
            listener = await anyio.create_unix_listener(making, mode=0o600)
            try:
                os.rename(making, self._path)
            except OSError:
                await listener.aclose()
                raise
        finally:
            # Who is cancelled meanwhile leaves nothing beside the store.
            with suppress(OSError):
                os.unlink(making)
            with suppress(OSError):
                os.rmdir(directory)
        return listener

    async def _talk(self, stream: SocketStream, place: Place) -> None:
        try:
            async with stream:
                await self._answer(Channel(stream), place)
        except ProtocolError as error:
            _LOGGER.warning("a client of %s was cut off: %r", self._path, str(error))
        except TimeoutError:
            _LOGGER.warning("a client of %s was cut off: its bytes took too long", self._path)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            _LOGGER.debug("a client of %s left before its answer", self._path)
        finally:
            place.leave()

    async def _answer(self, channel: Channel, place: Place) -> None:
        with place.transfer(channel):
            request = await channel.request()
        if request is None:
            return
        if isinstance(request, SettleAsked):
            place.leave()
            reply = await self._settled_for(channel, request)
        else:
            reply = await self._reply(request)
        if reply is None:
            return
        with place.transfer(channel):
            await channel.send(reply)

    async def _settled_for(self, channel: Channel, asked: SettleAsked) -> Reply | None:
        """Answer who waits for the runtime to come to rest; None where it is gone before that, and its place free."""
        reply: Reply | None = None
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                await channel.wait_gone()
                group.cancel_scope.cancel()

            group.start_soon(watch)
            reply = await self._reply(asked)
            group.cancel_scope.cancel()
        return reply

    async def _reply(self, request: Request) -> Reply:
        try:
            settling = SETTLE_SECONDS_MAX if isinstance(request, SettleAsked) else 0.0
            with anyio.move_on_after(REQUEST_SECONDS_MAX + settling):
                return await self._carry_out(request)
        except FrameInvalid as error:
            return Invalid(expected=error.expected, why=error.why)
        except ProtocolError as error:
            return Invalid(expected="frame", why=str(error))
        except StoreError as error:
            return Failing(why=error.why, certain=not isinstance(error, OutcomeUnknown))
        return Failing(why=f"the store took longer than {REQUEST_SECONDS_MAX} s", certain=False)

    async def _carry_out(self, request: Request) -> Reply:
        match request:
            case DeliverAsked():
                delivered = await self._store.deliver(request.tenant, request.target, request.item_id, request.frame)
                return answer(delivered)
            case DecideAsked():
                decided = await self._store.decide(request.review_id, request.proposal_hash, request.frame, request.now)
                return answer(decided)
            case ArtifactAsked():
                await self._store.put_artifact(request.sha256, request.data)
                return Kept()
            case LimitAsked(name=name, limit_micros=micros, by=by, at=at, only_new=only_new):
                fault = ledger_rules.account_fault(name) or ledger_rules.limit_fault(name, micros, by, at)
                if fault:
                    return Invalid(expected="limit", why=fault)
                return answer(await self._store.set_limit(name, micros, by=by, at=at, only_new=only_new))
            case CircuitsAsked() | TurnAsked():
                if self.told is None:
                    return Failing(why="the owner runs no crew", certain=True)
                return Told(value=await self.told(request))
            case SettleAsked():
                return await self._settle(request.timeout_seconds)

    async def _settle(self, timeout_seconds: float) -> Settled | Failing:
        if self.settled is None:
            return Settled(idle=False)
        if self._settling >= SETTLING_MAX:
            return Failing(why=f"{SETTLING_MAX} others wait already until it rests", certain=True)
        self._settling += 1
        try:
            with suppress(Stopping), anyio.move_on_after(min(max(0.0, timeout_seconds), SETTLE_SECONDS_MAX)):
                await self.settled()
                return Settled(idle=True)
            return Settled(idle=False)
        finally:
            self._settling -= 1


async def _accepted(listener: SocketListener) -> SocketStream:
    while True:
        try:
            return await listener.accept()
        except OSError as error:
            _LOGGER.warning("a client of the store was not taken: %s", error)
            await anyio.sleep(ACCEPT_PAUSE_SECONDS)
