"""A package's front door only re-exports, and each public name has one home.

A large house names its exports for type checkers, and once more in a table by which they are imported when asked for.
"""

import ast
import subprocess
import sys
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sources import HOUSES, files, module_name, shown, tree

INITS = [path for path in files(*HOUSES) if path.name == "__init__.py"]
HOUSE_INITS = [path for path in INITS if len(path.parent.parts) and shown(path).count("/") == 1]


def exported(path: Path) -> list[tuple[str, str]]:
    """Give (name, module of origin) for each re-export, and fail on any that is not written `X as X`."""
    pairs: list[tuple[str, str]] = []
    block = lazy(path)
    for node in block.body if block else tree(path).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name, f"{shown(path)}:{node.lineno}: write {alias.name} as {alias.name}"
                pairs.append((alias.name, node.module or ""))
    return pairs


def lazy(path: Path) -> ast.If | None:
    """Give the block that says what is exported where it is imported when asked for, or None where it is at once."""
    blocks = [
        node for node in tree(path).body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return blocks[0] if blocks else None


def defined(path: Path) -> set[str]:
    """Give the names that a module defines itself, at its top level."""
    names: set[str] = set()
    for node in tree(path).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case _:
                pass
    return names


def listed(path: Path) -> list[str] | None:
    """Give `__all__` as written, or None where there is none."""
    for node in tree(path).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__":
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert node.value is not None
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


@pytest.mark.parametrize("path", INITS, ids=shown)
def test_an_init_holds_re_exports_and_nothing_else(path: Path) -> None:
    block = lazy(path)
    for node in tree(path).body:
        text = ast.unparse(node)
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        guard = isinstance(node, ast.If) and text.startswith("if __name__ !=")
        wanted = node is block or (not block and (isinstance(node, ast.ImportFrom) or text.startswith("__all__")))
        assert docstring or guard or wanted or text == "from typing import TYPE_CHECKING", f"{shown(path)}: {text}"
    if block:
        assert all(isinstance(node, ast.ImportFrom) for node in block.body)
        first, second = map(ast.unparse, block.orelse)
        assert first == "from casework.runtime.lazy import exports"
        assert second.startswith("__getattr__, __dir__, __all__ = exports(__name__, {")


@pytest.mark.parametrize("path", INITS, ids=shown)
def test_an_inits_list_is_sorted_and_complete(path: Path) -> None:
    names = [name for name, _ in exported(path)]
    if names or listed(path) is not None:
        found: Any = import_module(module_name(path)).__all__ if lazy(path) else listed(path)
        assert found == sorted(names)


@pytest.mark.parametrize("path", [path for path in INITS if lazy(path)], ids=shown)
def test_what_is_imported_when_asked_for_is_what_type_checkers_are_told(path: Path) -> None:
    package = import_module(module_name(path))
    for name, module in exported(path):
        assert getattr(package, name) is getattr(import_module(module), name)
        assert name in dir(package)
    with pytest.raises(AttributeError, match=f"module '{module_name(path)}' has no attribute 'Nothing'"):
        _ = package.Nothing


def test_what_is_asked_for_is_what_its_home_says_now_and_its_modules_are_there_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package, home = import_module("casework.runtime"), import_module("casework.runtime.runtime")
    with monkeypatch.context() as patch:
        patch.setattr(home, "Runtime", None)
        assert package.Runtime is None
    assert package.Runtime is home.Runtime
    look = "import casework.runtime as r; print(r.errors.__name__, r.flow.__name__)"
    seen = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert seen.stdout.split() == ["casework.runtime.errors", "casework.runtime.flow"]


def test_a_home_that_cannot_be_imported_says_why_and_not_that_it_lacks_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lazy_house").mkdir()
    init = "from casework.runtime.lazy import exports; __getattr__, __dir__, __all__ = exports(__name__, {'a': ('A',)})"
    (tmp_path / "lazy_house" / "__init__.py").write_text(init)
    (tmp_path / "lazy_house" / "a.py").write_text("import os; A = os.nothing")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ImportError, match=r"^lazy_house\.a cannot be imported: module 'os' has no attribute 'nothing'$"
    ):
        from lazy_house import A  # type: ignore[import-not-found]  # noqa: F401


@pytest.mark.parametrize("path", [path for path in INITS if lazy(path)], ids=shown)
def test_whoever_imports_one_name_of_a_house_does_not_wait_for_the_others(path: Path) -> None:
    look = f"import sys, {module_name(path)}; print(*(name for name in sys.modules if name.startswith('casework.')))"
    seen = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert set(seen.stdout.split()) == {"casework.runtime", "casework.runtime.lazy", module_name(path)}


@pytest.mark.parametrize("path", INITS, ids=shown)
def test_what_is_re_exported_comes_from_where_it_is_made(path: Path) -> None:
    homes = {module_name(file): file for file in files(*HOUSES)}
    for name, module in exported(path):
        assert module in homes, f"{shown(path)}: {module} is no module of ours"
        assert name in defined(homes[module]), f"{shown(path)}: {name} is not made in {module}"


def test_a_public_name_has_one_home() -> None:
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for path in INITS:
        for name, module in exported(path):
            homes[name].add(module)
    assert not {name: found for name, found in homes.items() if len(found) > 1}


@pytest.mark.parametrize("path", HOUSE_INITS, ids=shown)
def test_each_house_is_guarded_and_typed(path: Path) -> None:
    assert f"if __name__ != 'casework.{path.parent.name}'" in ast.unparse(tree(path))
    assert (path.parent / "py.typed").is_file()
