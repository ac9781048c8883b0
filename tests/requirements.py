"""The manifest: every promise of `runtime/SEMANTICS.md`, and the tests that say they hold it.

A promise is a line `- **ID** sentence`, which may go on in indented lines; a test holds it by bearing
`@pytest.mark.promise("ID")`, or several ids. Both are read from the sources. It does not know whether a test passes.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parent
SEMANTICS = TESTS.parent / "runtime" / "SEMANTICS.md"
SEMANTICS_LINES_MAX = 120
#: The suite for stores is shipped, so that whoever writes one can run it.
SUITE = TESTS.parent / "runtime" / "store" / "conformance"

_PROMISE = re.compile(r"^- \*\*(?P<id>[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*-\d+)\*\* (?P<sentence>\S.*)$")

Collected = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Promise:
    """One promise, and the line on which it stands."""

    id: str
    sentence: str
    line: int


@dataclass(frozen=True)
class Held:
    """One mark: which test says that it holds which promise."""

    promise: str
    test: str


def promises(text: str) -> list[Promise]:
    """Give the promises of a text in their order."""
    found = ((number, _PROMISE.match(line)) for number, line in enumerate(text.splitlines(), start=1))
    return [Promise(match["id"], match["sentence"], number) for number, match in found if match]


def held(*folders: Path) -> list[Held]:
    """Give every mark of the tests below folders, sorted by file and place; of ours if none is named."""
    found = [(path, folder) for folder in folders or (TESTS, SUITE) for path in sorted(folder.rglob("*.py"))]
    return [mark for path, folder in found for mark in _marks(path, path.relative_to(folder).as_posix())]


def _marks(path: Path, shown: str) -> Iterator[Held]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Collected) and node.name.startswith(("test_", "check_", "Test")):
            for decorator in node.decorator_list:
                yield from (Held(id_, f"{shown}::{node.name}") for id_ in _ids(decorator))
        elif isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["pytestmark"]:
            for call in ast.walk(node.value):
                yield from (Held(id_, shown) for id_ in _ids(call))


def _ids(node: ast.AST) -> list[str]:
    if not isinstance(node, ast.Call) or ast.unparse(node.func) not in {"pytest.mark.promise", "mark.promise"}:
        return []
    return [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]
