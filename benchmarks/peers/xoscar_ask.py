"""One caller sends to one xoscar actor and awaits each answer, in a pool without further processes.

The ref that `create_actor` gives sends messages over a channel within the process; the one that `actor_ref` gives there
calls the actor's method behind its lock, and no message is sent: `xoscar_ask_local.py`.
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


async def ask_all(operations: int, *, local: bool) -> float:
    """Give the seconds that the asks took."""
    pool = await xoscar.create_actor_pool("127.0.0.1", n_process=0)
    async with pool:
        echo = await xoscar.create_actor(Echo, address=pool.external_address)
        if local:
            echo = await xoscar.actor_ref(echo)
        for _ in range(common.warm_up(operations)):
            await echo.answer(common.QUESTION)
        begun = perf_counter()
        for _ in range(operations):
            await echo.answer(common.QUESTION)
        return perf_counter() - begun


if __name__ == "__main__":
    common.run(lambda operations: asyncio.run(ask_all(operations, local=False)))
