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
    async with anyio.create_task_group() as jobs:
        jobs.start_soon(node.run)
        try:
            yield jobs
        finally:
            # Cancelled from outside, everything in here has ended already: there is nobody left to wait for.
            seconds = 0.0 if anyio.current_effective_deadline() == -math.inf else DRAIN_SECONDS
            try:
                with anyio.CancelScope(shield=True):
                    await node.drain(seconds)
            finally:
                jobs.cancel_scope.cancel()
                node.watchers.stop()
