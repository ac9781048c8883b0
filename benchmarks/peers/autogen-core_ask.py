"""One caller sends messages to one agent of autogen-core's single-threaded runtime and awaits each answer.

Its tracing is switched off as its documentation says; its event log has no handler, as it comes.
"""
# mypy: ignore-errors
# autogen-core is installed in its own environment only: nothing of it is known to our checker.

import asyncio
import os

os.environ["AUTOGEN_DISABLE_RUNTIME_TRACING"] = "true"

from time import perf_counter

import common
from autogen_core import AgentId, MessageContext, RoutedAgent, SingleThreadedAgentRuntime, message_handler


class Echo(RoutedAgent):
    """Answers with what was asked."""

    @message_handler
    async def answer(self, message: common.Question, ctx: MessageContext) -> common.Question:
        """Answer."""
        return message


async def ask_all(operations: int) -> float:
    """Give the seconds that the asks took."""
    runtime = SingleThreadedAgentRuntime()
    await Echo.register(runtime, "echo", lambda: Echo("echo"))
    runtime.start()
    echo = AgentId("echo", "default")
    for _ in range(common.warm_up(operations)):
        await runtime.send_message(common.QUESTION, echo)
    begun = perf_counter()
    for _ in range(operations):
        await runtime.send_message(common.QUESTION, echo)
    seconds = perf_counter() - begun
    await runtime.stop_when_idle()
    return seconds


if __name__ == "__main__":
    common.run(lambda operations: asyncio.run(ask_all(operations)))
