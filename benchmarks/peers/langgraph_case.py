"""LangGraph's five-step case: a graph of five nodes with a checkpoint after every step, in SQLite or (`--postgres URL`)
in PostgreSQL.

Used as its documentation has it: an `AsyncSqliteSaver` from a file name (which sets WAL itself) or an
`AsyncPostgresSaver` from a URL (a pool of connections changes nothing, for its calls wait for one lock), a
`StateGraph` compiled once, `ainvoke` with a thread id for each case, `durability="sync"` so that a step is durable
before the next begins, and `asyncio.gather` for many at once. `synchronous=FULL` is said aloud, though it is the
default. It does not know what it is compared with.
"""
# mypy: ignore-errors
# LangGraph is installed in its own environment only: nothing of it is known to our checker.

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import TypedDict

import common
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

STEPS = 5


class State(TypedDict):
    """What goes from node to node."""

    number: int


async def double(state: State) -> State:
    """Give a small value, as a look-up does."""
    return {"number": state["number"] * 2}


def built() -> StateGraph:
    """Make the graph: five nodes in a row."""
    graph = StateGraph(State)
    names = [f"step-{place}" for place in range(STEPS)]
    for name in names:
        graph.add_node(name, double)
    for before, after in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(before, after)
    return graph


@asynccontextmanager
async def saver_in(folder: str) -> AsyncIterator[AsyncSqliteSaver]:
    """Keep checkpoints in a file of a folder."""
    async with AsyncSqliteSaver.from_conn_string(str(Path(folder, "cases.db"))) as saver:
        await saver.setup()
        await saver.conn.execute("PRAGMA synchronous = FULL")
        yield saver


@asynccontextmanager
async def saver_at(url: str) -> AsyncIterator[AsyncPostgresSaver]:
    """Keep checkpoints in a database."""
    async with AsyncPostgresSaver.from_conn_string(url) as saver:
        await saver.setup()
        yield saver


async def measured(url: str, operations: int, at_once: int) -> float:
    """Run so many cases after a warm-up, in PostgreSQL if there is a URL; give the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        async with saver_at(url) if url else saver_in(folder) as saver:
            graph = built().compile(checkpointer=saver)

            async def run(name: str, count: int) -> None:
                numbers = iter(range(1, count + 1))

                async def caller() -> None:
                    for number in numbers:
                        config = {"configurable": {"thread_id": f"{name}-{number}"}}
                        ended = await graph.ainvoke({"number": number}, config, durability="sync")
                        assert ended["number"] == number * 2**STEPS

                await asyncio.gather(*(caller() for _ in range(min(at_once, count))))

            await run("warm", common.warm_up(operations))
            begun = perf_counter()
            await run("case", operations)
            return perf_counter() - begun


def main() -> None:
    """Print what was measured as one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--operations", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--postgres", metavar="URL", default="")
    options = parser.parse_args()
    seconds = asyncio.run(measured(options.postgres, options.operations, options.at_once))
    common.tell(seconds, options.operations)


if __name__ == "__main__":
    main()
