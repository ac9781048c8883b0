"""1,000 messages at once to 100 agents of autogen-core's single-threaded runtime, all answers awaited.

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


async def ask_in_rounds(runtime: SingleThreadedAgentRuntime, agents: list[AgentId], operations: int) -> None:
    """Send a round at once and await its answers."""
    for size in common.rounds(operations):
        asks = (runtime.send_message(common.QUESTION, agents[number % len(agents)]) for number in range(size))
        await asyncio.gather(*asks)


async def ask_all(operations: int) -> float:
    """Give the seconds that the asks took."""
    runtime = SingleThreadedAgentRuntime()
    await Echo.register(runtime, "echo", lambda: Echo("echo"))
    runtime.start()
    agents = [AgentId("echo", str(number)) for number in range(common.ACTORS)]
    # An agent is made by its first message: each has had one before the clock starts.
    await ask_in_rounds(runtime, agents, max(common.warm_up(operations), common.ACTORS))
    begun = perf_counter()
    await ask_in_rounds(runtime, agents, operations)
    seconds = perf_counter() - begun
    await runtime.stop_when_idle()
    return seconds


if __name__ == "__main__":
    common.run(lambda operations: asyncio.run(ask_all(operations)))
