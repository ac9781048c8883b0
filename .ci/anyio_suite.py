"""Run anyio's own tests of groups, scopes, locks and streams on the simulation's loop, in the order of several seeds.

The tests come from the source distribution of the anyio that is installed, which pip fetches once into `.cache`.
It does not know what they test.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tarfile
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).resolve().parent.parent
SEEDS = range(3)
#: What the suite's own configuration wants beside pytest.
TOOLS = ("trustme", "pytest-mock", "pytest-timeout")
FILES = (
    "test_taskgroups.py",
    "test_synchronization.py",
    "test_lowlevel.py",
    "test_functools.py",
    "test_itertools.py",
    "test_futures.py",
    "test_contextmanagers.py",
    "test_concurrency_utils.py",
    "streams/test_memory.py",
    "streams/test_stapled.py",
    "streams/test_buffered.py",
    "streams/test_text.py",
)
#: Tests that ask for what this loop does not give, and why it does not.
NOT_OURS = {
    "TestLock::test_cancel_after_release": "of two jobs that are ready, the first one made has to go first",
    "TestSemaphore::test_cancel_after_release": "of two jobs that are ready, the first one made has to go first",
    "::test_fail_after_scope_cancelled_before_timeout": "time has to pass while the thread is blocked",
}
LEAST = 450
"""Tests that must have been run, so that an empty run is not taken for a good one."""


def fetched() -> Path:
    """Give the folder with the sources of the installed anyio, and the tools beside them."""
    version = importlib.metadata.version("anyio")
    folder = HOME / ".cache" / f"anyio-{version}"
    if not (folder / "tools").is_dir():
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as down:
            wanted = ["--no-deps", "--no-binary", "anyio", f"anyio=={version}"]
            subprocess.run([*pip, "download", "--dest", down, *wanted], check=True)
            (packed,) = Path(down).glob("*.tar.gz")
            with tarfile.open(packed) as sources:
                if hasattr(tarfile, "data_filter"):  # from 3.11.4 on; Debian 12 has an earlier one
                    sources.extraction_filter = tarfile.data_filter
                sources.extractall(folder)
        subprocess.run([*pip, "install", "--target", str(folder / "tools"), *TOOLS], check=True)
    return folder


class OnOurLoop:
    """Have pytest run what anyio's tests run on asyncio on our loop, and nothing else."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._order = ExitStack()
        self.ran = 0

    def pytest_sessionstart(self) -> None:
        """Have scopes keep their order; here, for pytest wants to be the first who imports anyio."""
        from casework.runtime.simulation.order import insertion_order

        self._order.enter_context(insertion_order())

    def pytest_sessionfinish(self) -> None:
        """Leave anyio as it was."""
        self._order.close()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Choose the tests that run on the default loop of asyncio, and give them ours."""
        kept = [item for item in items if self._takes(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
        self.ran = len(kept)

    def _takes(self, item: pytest.Item) -> bool:
        from casework.runtime.simulation.loop import SimulationLoop

        params: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
        backend = params.get("anyio_backend")
        if not isinstance(backend, tuple) or backend[0] != "asyncio" or "loop_factory" in backend[1]:
            return False
        if any(each in item.nodeid for each in NOT_OURS):
            return False
        params["anyio_backend"] = ("asyncio", {"loop_factory": partial(SimulationLoop, self._seed)})
        return True


def run(seed: int) -> int:
    """Run the suite in this process, in the order of one seed; give the exit code."""
    folder = fetched()
    (sources,) = (each for each in folder.glob("anyio-*") if each.is_dir())
    sys.path.insert(0, str(folder / "tools"))
    os.chdir(sources)
    ours = OnOurLoop(seed)
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:casework")
    code = pytest.main([*options, *(f"tests/{name}" for name in FILES)], plugins=[ours])
    if code == 0 and ours.ran < LEAST:
        print(f"only {ours.ran} tests were found, {LEAST} were expected")
        return 1
    return int(code)


def main() -> int:
    """Run it for all seeds, each in a process of its own."""
    fetched()
    for name, why in NOT_OURS.items():
        print(f"left out: {name.strip(':')} ({why})")
    for seed in SEEDS:
        print(f"seed {seed}", flush=True)
        done = subprocess.run([sys.executable, __file__, str(seed)], check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1])) if len(sys.argv) > 1 else main())
