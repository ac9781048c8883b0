"""What is not simulated is refused: the error names the call and the line of whoever made it."""

import os
import socket
import sqlite3
import subprocess
import sys
import threading
import zoneinfo
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from casework.runtime.simulation import FaultPlan, Simulation, SimulationLeak, simulate
from casework.runtime.simulation.world import InlineOffload


async def to_thread(_: Simulation) -> None:
    await anyio.to_thread.run_sync(len, "abc")


async def in_executor(simulation: Simulation) -> None:
    await simulation.loop.run_in_executor(None, len, "abc")


async def connect(_: Simulation) -> None:
    await anyio.connect_tcp("localhost", 1)


async def connect_by_number(_: Simulation) -> None:
    await anyio.connect_tcp("127.0.0.1", 1)


async def listen(_: Simulation) -> None:
    await anyio.create_tcp_listener()


async def run_process(_: Simulation) -> None:
    await anyio.run_process([sys.executable, "--version"])


async def open_file(_: Simulation) -> None:
    open(__file__).close()  # noqa: ASYNC230


async def make_socket(_: Simulation) -> None:
    socket.socket().close()


async def run_subprocess(_: Simulation) -> None:
    subprocess.run([sys.executable, "--version"], check=False)  # noqa: ASYNC221


async def system(_: Simulation) -> None:
    os.system("true")  # noqa: ASYNC221


async def start_thread(_: Simulation) -> None:
    threading.Thread(target=len, args=("abc",)).start()


async def offload_thread(simulation: Simulation) -> None:
    InlineOffload(simulation.loop).thread("writer", lambda: None)


async def connect_database(_: Simulation) -> None:
    sqlite3.connect("some.db").close()


def run(main: Callable[[Simulation], Awaitable[object]]) -> object:
    return simulate(main, plan=FaultPlan()).value


@pytest.mark.parametrize(
    ("main", "call"),
    [
        (to_thread, "threading.Thread.start"),
        (in_executor, "loop.run_in_executor"),
        (connect, "loop."),
        (connect_by_number, "loop."),
        (listen, "loop."),
        (run_process, "loop.subprocess_exec"),
        (open_file, "open"),
        (make_socket, "socket.socket"),
        (run_subprocess, "subprocess.Popen"),
        (system, "os.system"),
        (start_thread, "threading.Thread.start"),
        (offload_thread, "World.offload.thread('writer')"),
        (connect_database, "sqlite3.connect"),
    ],
)
def test_a_way_out_is_refused_and_named_with_the_line(
    main: Callable[[Simulation], Awaitable[object]], call: str
) -> None:
    with pytest.raises(SimulationLeak) as error:
        run(main)
    assert error.value.call.startswith(call)
    line = main.__code__.co_firstlineno + 1
    assert error.value.where == f"{__file__}:{line} in {main.__name__}"


def test_a_leak_that_is_caught_ends_the_run_all_the_same() -> None:
    async def main(_: Simulation) -> None:
        try:
            open(__file__).close()  # noqa: ASYNC230
        except Exception:  # noqa: BLE001
            await anyio.sleep(1)

    with pytest.raises(SimulationLeak):
        run(main)


def test_modules_and_time_zones_may_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wave", raising=False)

    async def main(_: Simulation) -> str:
        import wave

        assert wave.__name__ == "wave"
        sqlite3.connect(":memory:").close()
        return zoneinfo.ZoneInfo.no_cache("Europe/Vienna").key

    assert run(main) == "Europe/Vienna"


def test_nothing_is_refused_outside_of_a_run_nor_in_another_thread() -> None:
    async def main(_: Simulation) -> None:
        await anyio.sleep(1)

    run(main)
    assert Path(__file__).read_text(encoding="utf-8")
    began, over, read = threading.Event(), threading.Event(), []

    def elsewhere() -> None:
        began.wait(5)
        read.append(len(Path(__file__).read_bytes()))
        over.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()

    async def meanwhile(_: Simulation) -> None:
        began.set()
        assert over.wait(5)

    run(meanwhile)
    thread.join(5)
    assert read
