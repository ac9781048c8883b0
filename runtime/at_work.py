"""A node at work, from its first look to the end of its drain.

It does not know what the node works on, nor who asks it for anything.
"""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.abc import TaskGroup

from casework.runtime.node import Node

#: Seconds that working cases get to park or close when a runtime is left.
DRAIN_SECONDS: Final = 10.0


@asynccontextmanager
async def at_work(node: Node) -> AsyncGenerator[TaskGroup, None]:
    """Run a node, and what else is started in the group; then let it drain, and nobody wait for it any more.

    If cancelled, this happens all the same, past every shield without the drain.
    """
    draining = anyio.CancelScope(shield=True)

    async def run() -> None:
        try:
            await node.run()
        finally:
            draining.cancel()

    async with anyio.create_task_group() as jobs:
        jobs.start_soon(run)
        try:
            yield jobs
        finally:
            # Cancelled from outside, before or meanwhile, everything in here ends: there is nobody left to wait for.
            cancelled = anyio.current_effective_deadline() == -math.inf
            try:
                if not cancelled:
                    with draining:
                        await node.drain(DRAIN_SECONDS)
                if cancelled or draining.cancelled_caught:
                    with anyio.CancelScope(shield=True):
                        await node.drain(0.0)
            finally:
                jobs.cancel_scope.cancel()
                node.watchers.stop()
