"""1,000 messages at once to 100 xoscar actors, in a pool without further processes.

As of `xoscar_ask.py`, there is a way in which no message is sent: `xoscar_fanout_local.py`.
"""
# mypy: ignore-errors
# xoscar is installed in its own environment only: nothing of it is known to our checker.

import asyncio
from time import perf_counter

import common
import xoscar


class Echo(xoscar.Actor):
    """Answers with what was asked."""

    async def answer(self, message: common.Question) -> common.Question:
        """Answer."""
        return message


async def ask_in_rounds(actors: list[xoscar.ActorRef], operations: int) -> None:
    """Call a round at once and await its answers."""
    for size in common.rounds(operations):
        await asyncio.gather(*(actors[number % len(actors)].answer(common.QUESTION) for number in range(size)))


async def ask_all(operations: int, *, local: bool) -> float:
    """Give the seconds that the asks took."""
    pool = await xoscar.create_actor_pool("127.0.0.1", n_process=0)
    async with pool:
        address = pool.external_address
        actors = [await xoscar.create_actor(Echo, address=address) for _ in range(common.ACTORS)]
        if local:
            actors = [await xoscar.actor_ref(actor) for actor in actors]
        await ask_in_rounds(actors, common.warm_up(operations))
        begun = perf_counter()
        await ask_in_rounds(actors, operations)
        return perf_counter() - begun


if __name__ == "__main__":
    common.run(lambda operations: asyncio.run(ask_all(operations, local=False)))
