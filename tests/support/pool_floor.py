"""A floor of workers: what the hands of a pool did, and the tokens without which they do not go on.

It does not know what a test wants of them.
"""

import anyio

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.mailbox import Envelope


class Floor:
    """What the workers of one pool have done, and the tokens without which they do not go on."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, bytes]] = []
        self.done: list[tuple[str, bytes]] = []
        self.ends: list[str] = []
        self.cancelled: list[str] = []
        self.tokens: dict[str, anyio.Semaphore] = {}

    def let(self, worker: str) -> None:
        """Let one worker finish one message."""
        self.token(worker).release()

    def token(self, worker: str) -> anyio.Semaphore:
        return self.tokens.setdefault(worker, anyio.Semaphore(0))

    def hand(self) -> "Hand":
        return Hand(self)


class Hand:
    """A worker: waits for a token on `wait...`, raises on `boom`, ends itself on `leave`, else answers."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor

    async def receive(self, context: Context, envelope: Envelope) -> None:
        me = context.self_ref.address
        self.floor.begun.append((me, envelope.frame))
        if envelope.frame.startswith(b"wait"):
            try:
                await self.floor.token(me).acquire()
            except BaseException:
                self.floor.cancelled.append(me)
                raise
        if envelope.frame.endswith(b"boom"):
            raise ValueError("boom")
        if envelope.frame == b"leave":
            context.stop()
        self.floor.done.append((me, envelope.frame))
        context.reply(me.encode())

    async def stopped(self, context: Context) -> None:
        self.floor.ends.append(context.self_ref.address)


def loads(system: ActorSystem, name: str = "p") -> dict[str, int]:
    """Give what each worker of a pool has to do."""
    return {worker.address: worker.waiting + worker.running for worker in system.pool_statistics(name).workers}
