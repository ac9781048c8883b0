"""No file stands about that nothing imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

from sources import HOUSES, files, imports, module_name, tree

#: Modules that something outside the tree calls, with who does.
DOORS = {
    "casework.actors.cli": "the command, by its entry point",
    "casework.actors.testing.plugin": "pytest, by its entry point, under the name that it is installed with",
    "examples.bookkeeping.crew": "the command's CREW argument",
    "examples.refunds.crew": "the command's CREW argument",
    "examples.research.crew": "the command's CREW argument",
    "examples.bookkeeping.generate": "a person: makes the sample anew",
    "examples.bookkeeping.expected": "a person: works out the expected figures by another way",
}


#: Folders whose files are each for people to import; one is in use when the test that bears its name does so. A pattern
#: is added as a file and its test, and nothing else has to know of it.
SHELVES = {"casework.actors.patterns": "tests/actors/patterns"}


def named(path: Path) -> Iterator[str]:
    """Give the modules that a file imports, and those that it names as `module:attribute` to import them late."""
    yield from (found.module for found in imports(path))
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and ":" in node.value:
            yield node.value.partition(":")[0]


def offered() -> Iterator[str]:
    """Give the modules that stand on a shelf and are imported by a test of their own."""
    for shelf, tests in SHELVES.items():
        for path in files(tests):
            own = f"{shelf}.{path.stem.removeprefix('test_')}"
            yield from (name for name in named(path) if name == own)


def test_every_module_is_imported_by_another() -> None:
    importers = files(*HOUSES, "examples")
    used = {name for path in importers for name in named(path) if name != module_name(path)} | set(offered())
    dead = [
        module_name(path)
        for path in importers
        if path.name != "__init__.py" and module_name(path) not in used | DOORS.keys()
    ]
    assert not dead, f"nothing imports these: use them, or delete them: {dead}"


def test_every_test_file_is_collected_or_imported() -> None:
    used = {part for path in files("tests") for name in named(path) for part in name.split(".")}
    strays = [
        path.name
        for path in files("tests")
        if not path.name.startswith("test_") and path.stem not in used | {"conftest", "requirements", "__init__"}
        if "typing" not in path.parts
    ]
    assert not strays, f"neither collected nor imported: {strays}"
