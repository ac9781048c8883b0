"""Looks through a crew's source for what a simulation cannot see: clocks, chance, threads and sockets used directly.

Nothing in the interpreter tells of a clock that is read or a number that is drawn, and a run that depends on one has
another digest each time. So the crew's module, and what it imports from its own folder, is read before anything runs:
names are followed through imports to what they stand for. It does not run any of that code, nor knows which part of
it a stub replaces.
"""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from casework.actors.errors import CrewInvalid

_CLOCK: Final = "case.now() in a flow, context.world.clock in a tool"
_SLEEP: Final = "case.sleep() in a flow, context.world.clock.sleep() in a tool"
_CHANCE: Final = "case.random() in a flow, context.world.randomness.stream(name) in a tool"
_IDS: Final = "case.new_id() in a flow, context.world.ids.new() in a tool"
_THREAD: Final = "context.offload(function, ...) in a tool"
_NET: Final = "a tool that is stubbed in simulation, by @stub_in_simulation"

#: What is found, and what to use in its place. A name that ends with a dot stands for everything below it.
INSTEAD: Final = {
    "anyio.sleep": _SLEEP,
    "anyio.to_thread.": _THREAD,
    "asyncio.open_connection": _NET,
    "asyncio.sleep": _SLEEP,
    "asyncio.to_thread": _THREAD,
    "concurrent.futures.": _THREAD,
    "datetime.date.today": _CLOCK,
    "datetime.datetime.now": _CLOCK,
    "datetime.datetime.today": _CLOCK,
    "datetime.datetime.utcnow": _CLOCK,
    "multiprocessing.": _NET,
    "os.getrandom": _CHANCE,
    "os.urandom": _CHANCE,
    "random.": _CHANCE,
    "secrets.": _CHANCE,
    "socket.": _NET,
    "subprocess.": _NET,
    "threading.": _THREAD,
    "time.gmtime": _CLOCK,
    "time.localtime": _CLOCK,
    "time.monotonic": _CLOCK,
    "time.monotonic_ns": _CLOCK,
    "time.perf_counter": _CLOCK,
    "time.perf_counter_ns": _CLOCK,
    "time.process_time": _CLOCK,
    "time.sleep": _SLEEP,
    "time.time": _CLOCK,
    "time.time_ns": _CLOCK,
    "uuid.getnode": _IDS,
    "uuid.uuid1": _IDS,
    "uuid.uuid4": _IDS,
}


class SourceFinding(Struct, frozen=True):
    """One place in a crew's source that goes round the world."""

    file: str
    line: int
    """Counted from 1."""
    call: str
    """What is used, by its full name."""
    instead: str
    """What to use in its place."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.call} is not simulated; use {self.instead}"


def check_source(module: str) -> tuple[SourceFinding, ...]:
    """Look through a crew's module, and through what it imports from below its own folder.

    Args:
        module: the module that holds the crew, importable by this name.

    Raises:
        CrewInvalid: there is no such module, or it has no source that can be read.
    """
    path = _path(module)
    if path is None:
        raise CrewInvalid(module, "has no source that can be looked through; is the module spelt right?")
    folder, found = path.parent, list[SourceFinding]()
    todo, seen = [(module, path)], {path: None}
    while todo:
        name, path = todo.pop(0)
        try:
            tree = ast.parse(path.read_bytes(), filename=str(path))
        except (OSError, SyntaxError, ValueError) as error:
            raise CrewInvalid(module, f"{path} cannot be looked through: {error}") from error
        reader = _Reader(str(path))
        reader.visit(tree)
        found += reader.found
        for imported in _imported(tree, name, package=path.name == "__init__.py"):
            at = _path(imported) if _own(imported, module, folder) else None
            if at is not None and at not in seen and at.is_relative_to(folder):
                seen[at] = None
                todo.append((imported, at))
    return tuple(sorted(found, key=lambda each: (each.file, each.line, each.call)))


class _Reader(ast.NodeVisitor):
    """Reads one file; annotations say nothing about what runs."""

    def __init__(self, file: str) -> None:
        self.found: list[SourceFinding] = []
        self._file = file
        self._names: dict[str, str] = {}

    def visit_Import(self, node: ast.Import) -> None:
        """Follow `import a.b`, which binds `a`, and `import a.b as c`."""
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            self._names[bound] = alias.name if alias.asname else bound

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Follow `from a import b`."""
        if not node.level:
            for alias in node.names:
                self._names[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def visit_Name(self, node: ast.Name) -> None:
        """Look at a name that is used."""
        if isinstance(node.ctx, ast.Load):
            self._used(node, self._names.get(node.id, ""))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Look at `a.b.c` as a whole."""
        full = self._full(node)
        if full:
            self._used(node, full)
        else:
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Look at the value only."""
        if node.value is not None:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        """Look at nothing: a parameter is a name and an annotation."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Look at everything but what the function is annotated to return."""
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Look at everything but what the function is annotated to return."""
        self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for each in ast.iter_child_nodes(node):
            if each is not node.returns:
                self.visit(each)

    def _full(self, node: ast.expr) -> str:
        """Give the full name of what an expression stands for; empty if it is none that was imported."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id, "")
        if isinstance(node, ast.Attribute):
            above = self._full(node.value)
            return f"{above}.{node.attr}" if above else ""
        return ""

    def _used(self, node: ast.expr, full: str) -> None:
        for name, instead in INSTEAD.items():
            if full == name or (name.endswith(".") and full.startswith(name)):
                self.found.append(SourceFinding(self._file, node.lineno, full, instead))
                return


def _imported(tree: ast.Module, name: str, *, package: bool) -> Iterator[str]:
    """Name the modules that may be imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                base = ".".join([*parts[: len(parts) - node.level + package], *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _own(imported: str, module: str, folder: Path) -> bool:
    """Say whether a name may be that of a module beside the crew's; asking where others stand would import them."""
    first = imported.partition(".")[0]
    beside = (folder / first).is_dir() or (folder / f"{first}.py").is_file()
    return bool(first) and (first == module.partition(".")[0] or beside)


def _path(module: str) -> Path | None:
    """Give the file of a module; None for what is none, or has no source."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):
        return None
    origin = spec.origin if spec is not None and spec.has_location else None
    return Path(origin).resolve() if origin and origin.endswith(".py") else None
