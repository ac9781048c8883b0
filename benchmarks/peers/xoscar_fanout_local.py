"""1,000 calls at once to 100 xoscar actors of one process: method calls behind each actor's lock, no messages."""
# mypy: ignore-errors
# xoscar is installed in its own environment only: nothing of it is known to our checker.

import asyncio

import common
import xoscar_fanout

if __name__ == "__main__":
    common.run(lambda operations: asyncio.run(xoscar_fanout.ask_all(operations, local=True)))
