"""What is not deterministic comes through the seams: names that go round them are banned, each with its remedy."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from sources import HOME, HOUSES, files, imports, shown, tree

#: Modules that nobody imports, with what to use instead. A name covers the modules below it.
MODULES = {
    "anyio.from_thread": "World.offload, or runtime.wakeup from a thread of one's own",
    "anyio.to_thread": "World.offload",
    "asyncio": "anyio",
    "concurrent": "World.offload",
    "multiprocessing": "World.offload",
    "opentelemetry": "casework.runtime.telemetry",
    "prometheus_client": "casework.runtime.telemetry",
    "random": "World.randomness",
    "secrets": "World.ids",
    "socket": "anyio's sockets, at an edge",
    "subprocess": "anyio.run_process, at an edge",
    "threading": "World.offload",
    "time": "World.clock",
    "trio": "anyio",
    "uuid": "World.ids",
}

#: Calls that nobody makes, by the end of their dotted name.
CALLS = {
    "date.today": "World.clock",
    "datetime.now": "World.clock",
    "datetime.today": "World.clock",
    "datetime.utcnow": "World.clock",
    "os.getrandom": "World.ids",
    "os.urandom": "World.ids",
}

#: (file, name) that may, each with its reason.
EXEMPT = {
    ("examples/bookkeeping/generate.py", "random"): "the generator of samples is seeded, and no part of a case",
    ("runtime/parking.py", "asyncio"): "a future parks a job in a third of the time that an event takes",
    ("runtime/parking.py", "trio"): "a future parks a job in a third of the time that an event takes",
    ("runtime/seams.py", "anyio.to_thread"): "it is the seam: World.offload",
    ("runtime/seams.py", "random"): "it is the seam: World.randomness",
    ("runtime/seams.py", "secrets"): "it is the seam: World.ids",
    ("runtime/seams.py", "threading"): "it is the seam: threads that serve as a writer for life",
    ("runtime/seams.py", "time"): "it is the seam: World.clock",
    ("runtime/simulation/guard.py", "threading"): "it refuses to have threads started",
    ("runtime/simulation/loop.py", "asyncio"): "it is an event loop",
    ("runtime/simulation/loop.py", "random"): "its order is the seed's",
    ("runtime/simulation/mischief.py", "random"): "it draws what goes wrong, from the seed",
    ("runtime/simulation/node.py", "asyncio"): "it hears of jobs at the root of a process; its loop is its own",
    ("runtime/simulation/plan.py", "random"): "it draws what goes wrong, from the seed",
    ("runtime/simulation/process.py", "asyncio"): "it holds callbacks of an event loop back",
    ("runtime/simulation/simulation.py", "asyncio"): "it hears of errors that nobody awaits; its loop is its own",
    ("runtime/simulation/waiting.py", "asyncio"): "it tells where jobs of an event loop wait",
    ("runtime/simulation/world.py", "random"): "it is the seam of simulated processes",
    ("runtime/telemetry.py", "opentelemetry"): "it is the only place that emits",
    ("runtime/telemetry.py", "prometheus_client"): "it is the only place that emits",
    ("runtime/telemetry_export.py", "opentelemetry"): "the same place: where spans go",
    ("runtime/telemetry_sdk.py", "opentelemetry"): "the same place: what the SDK is given of ours",
    ("runtime/telemetry_spans.py", "opentelemetry"): "the same place: how spans are made",
    ("runtime/untasked.py", "asyncio"): "it takes the loop's job of now away from a flow, which has none of its own",
    ("runtime/wakeup.py", "asyncio"): "it wakes a loop from a thread, which anyio cannot do once for many waiters",
    ("runtime/wakeup.py", "trio"): "it wakes a loop from a thread, which anyio cannot do once for many waiters",
}

Offence = tuple[str, int]


def banned_imports(path: Path) -> Iterator[Offence]:
    """Give the banned modules that a file imports, and where."""
    for found in imports(path):
        for module in MODULES:
            if found.module == module or found.module.startswith(f"{module}."):
                yield module, found.line


def banned_uses(path: Path) -> Iterator[Offence]:
    """Give the banned calls of a file, also through an attribute of an allowed module."""
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Attribute):
            continue
        dotted = ast.unparse(node)
        for name in (*CALLS, "anyio.to_thread", "anyio.from_thread"):
            if dotted == name or (name in CALLS and dotted.endswith(f".{name}")):
                yield name, node.lineno


def loops_over_sets(path: Path) -> Iterator[int]:
    """Give the lines that iterate over a set, whose order differs between processes."""
    for node in ast.walk(tree(path)):
        source = node.iter if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension) else None
        named = isinstance(source, ast.Call) and ast.unparse(source.func) in {"set", "frozenset"}
        if source is not None and (named or isinstance(source, ast.Set | ast.SetComp)):
            yield source.lineno


@pytest.mark.parametrize("path", files(*HOUSES, "examples"), ids=shown)
def test_nothing_goes_round_the_seams(path: Path) -> None:
    remedies = MODULES | CALLS
    offences = [
        f"{shown(path)}:{line}: {name} is banned, use {remedies[name]}"
        for name, line in (*banned_imports(path), *banned_uses(path))
        if (shown(path), name) not in EXEMPT
    ]
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("path", files(*HOUSES, "examples"), ids=shown)
def test_no_order_is_taken_from_a_set(path: Path) -> None:
    lines = list(loops_over_sets(path))
    assert not lines, f"{shown(path)}, lines {lines}: sort it, or use a dict, whose order is that of insertion"


def test_only_files_that_need_it_are_exempt() -> None:
    idle = [
        f"{name} in {file}"
        for file, name in EXEMPT
        if (HOME / file).exists() and name not in {found for found, _ in banned_imports(HOME / file)}
        if not file.startswith("examples/")
    ]
    assert not idle, f"exempt without need: {idle}"


@pytest.mark.parametrize(
    "source",
    [
        "import time", "from time import monotonic", "import os\nos.urandom(4)", "from anyio import to_thread",
        "import anyio\nanyio.to_thread.run_sync(f)", "import datetime\ndatetime.datetime.now()",
        "def late():\n    import random", "from opentelemetry import trace",
    ],
)  # fmt: skip
def test_the_net_has_no_hole(source: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.py"
    path.write_text(source, encoding="utf-8")
    assert [*banned_imports(path), *banned_uses(path)]
