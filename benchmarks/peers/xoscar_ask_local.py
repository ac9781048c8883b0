"""One caller calls one xoscar actor of its own process: a method call behind the actor's lock, no message."""
# mypy: ignore-errors
# xoscar is installed in its own environment only: nothing of it is known to our checker.

import asyncio

import common
import xoscar_ask

if __name__ == "__main__":
    common.run(lambda operations: asyncio.run(xoscar_ask.ask_all(operations, local=True)))
