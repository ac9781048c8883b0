"""A cable to a PostgreSQL server that is cut about a commit: just before it leaves, or before its answer comes back.

It passes on every message as it is, and knows just enough of the protocol to see where a transaction ends: a `COMMIT`,
or a statement that writes by itself. Cut before the answer, the commit is done and nobody is told; cut before the
request, it is not done, and the server has let go of everything before the client notices.
It does not know what is written.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum

import anyio
from anyio.abc import SocketAttribute, SocketStream

#: The code of a request to talk encrypted, which is answered by one byte.
_SECRECY = (80877103).to_bytes(4, "big")
#: What only a connection that writes ever says.
_WRITES = (b"BEGIN", b"INSERT", b"UPDATE", b"DELETE")


class Cut(Enum):
    """Where the cable is cut at a commit."""

    REQUEST = "request"
    """Before the commit has left: it does not happen."""
    ANSWER = "answer"
    """After it has happened, before the client is told."""


class Cable:
    """All connections through one port; the next commit on any of them may be cut."""

    def __init__(self, port: int) -> None:
        """Prepare for a server at this port of the loopback."""
        self._server = port
        self._next: tuple[Cut, int] | None = None
        self.cuts = 0  #: connections that were cut

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[int]:
        """Pass on connections for as long as the block lasts; gives the port at which they are taken."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, self._connection)
            port: int = listener.extra(SocketAttribute.local_port)
            yield port
            group.cancel_scope.cancel()

    def cut(self, where: Cut, *, after: int = 0) -> None:
        """Cut at the next commit, or after so many others."""
        self._next = where, after

    def spare(self) -> None:
        """Cut nothing."""
        self._next = None

    def due(self) -> Cut | None:
        """Hear of a commit, and say whether it is the one."""
        if self._next is None:
            return None
        where, after = self._next
        self._next = (where, after - 1) if after else None
        self.cuts += not after
        return None if after else where

    async def _connection(self, client: SocketStream) -> None:
        async with client, await anyio.connect_tcp("127.0.0.1", self._server) as server:
            await _Connection(self, client, server).run()


class _Connection:
    """One client's talk with the server."""

    def __init__(self, cable: Cable, client: SocketStream, server: SocketStream) -> None:
        self._cable = cable
        self._client = client
        self._server = server
        self._writes = False
        self._within = False  #: a transaction
        self._executes = False
        self._silent = False  #: the client is told nothing more

    async def run(self) -> None:
        """Pass on both ways until one side ends or the cable is cut."""
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
            await self._begin()
            async with anyio.create_task_group() as group:
                group.start_soon(self._requests, group.cancel_scope)
                group.start_soon(self._answers, group.cancel_scope)

    async def _begin(self) -> None:
        """Pass on the first messages, which have no type."""
        while True:
            length = await _exactly(self._client, 4)
            opening = await _exactly(self._client, int.from_bytes(length, "big") - 4)
            await self._server.send(length + opening)
            if not opening.startswith(_SECRECY):
                return
            await self._client.send(await _exactly(self._server, 1))

    async def _requests(self, scope: anyio.CancelScope) -> None:
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
            while True:
                message = await _message(self._client)
                where = self._cable.due() if self._commits(message) else None
                if where is Cut.REQUEST:
                    await self._part()
                    break
                self._silent |= where is Cut.ANSWER
                await self._server.send(message)
        scope.cancel()

    async def _answers(self, scope: anyio.CancelScope) -> None:
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
            while True:
                message = await _message(self._server)
                ready = message[:1] == b"Z"
                if ready:
                    self._within = message[5:6] != b"I"
                if not self._silent:
                    await self._client.send(message)
                elif ready:
                    break
        scope.cancel()

    def _commits(self, message: bytes) -> bool:
        """Tell whether a message ends a transaction that writes."""
        kind = message[:1]
        self._writes |= kind in b"QP" and any(word in message for word in _WRITES)
        if kind == b"E":
            self._executes = True
        if kind == b"Q":
            return message[5:11] == b"COMMIT"
        if kind == b"S":
            executes, self._executes = self._executes, False
            return executes and self._writes and not self._within
        return False

    async def _part(self) -> None:
        """Leave the server, and wait until it has let go."""
        self._silent = True
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream):
            await self._server.send(b"X\0\0\0\4")
            await anyio.sleep_forever()


async def _message(stream: SocketStream) -> bytes:
    head = await _exactly(stream, 5)
    return head + await _exactly(stream, int.from_bytes(head[1:], "big") - 4)


async def _exactly(stream: SocketStream, count: int) -> bytes:
    """Read so many bytes.

    Raises:
        EndOfStream: the other side has ended before.
    """
    read = b""
    while len(read) < count:
        read += await stream.receive(count - len(read))
    return read
