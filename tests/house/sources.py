"""The files of the tree as the house tests read them: parsed, never imported.

It does not know any rule.
"""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
HOUSES = ("protocols", "runtime", "actors")


@dataclass(frozen=True)
class Import:
    """One import, as the most precise module name that exists, or the name as it was written."""

    module: str
    line: int


def files(*folders: str) -> list[Path]:
    """List the Python files under these folders of the project, sorted."""
    return sorted(
        path for folder in folders for path in (HOME / folder).rglob("*.py") if "__pycache__" not in path.parts
    )


def shown(path: Path) -> str:
    """Name a file from the project's root."""
    return path.relative_to(HOME).as_posix()


@functools.cache
def tree(path: Path) -> ast.Module:
    """Parse a file, once."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def module_name(path: Path) -> str:
    """Say under which name a file is imported."""
    parts = path.relative_to(HOME).with_suffix("").parts
    if parts[0] in HOUSES:
        parts = ("casework", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def known_modules() -> frozenset[str]:
    """Give the names of all modules of the three houses and the examples."""
    return frozenset(module_name(path) for path in files(*HOUSES, "examples"))


def imports(path: Path, *, checking: bool = True) -> Iterator[Import]:
    """Give each import of a file, also those within functions.

    With `checking=False`, those under `if TYPE_CHECKING` are left out: they never run.
    """
    yield from _imports_below(tree(path), checking=checking)


def _imports_below(node: ast.AST, *, checking: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING" and not checking:
            continue
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            for alias in child.names:
                full = f"{base}.{alias.name}"
                precise = full in known_modules() or not base.startswith(("casework", "examples"))
                yield Import(full if precise else base, child.lineno)
        else:
            yield from _imports_below(child, checking=checking)
