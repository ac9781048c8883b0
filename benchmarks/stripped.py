"""Loads the kernel with its hook calls deleted: every statement that exists only so that messages can be traced.

The cell is parsed, what mentions the hook's variables is taken out, and the rest is compiled, in this process alone and
without touching any cached bytecode. If there is nothing to take out, or something is left over, or another module has
come to call the hook, it fails: a benchmark that compares a thing with itself would always be content.
It does not know what is measured.
"""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

RUNTIME = Path(__file__).resolve().parents[1] / "runtime"
#: The module whose statements call the hook, and the method in which they stand on the way of every message.
HOOKED = "casework.runtime.cell"
HOT = "run"
#: The variables that exist for the hook alone.
NAMES = frozenset({"messages", "span"})
#: Modules that only hand the hook on, once, when a system is made.
WIRING = frozenset({"actorsystem.py", "kernel.py", "runtime.py"})


class NothingToStrip(RuntimeError):
    """The hook calls were not where they were expected, so that nothing would be compared."""


class Strip(ast.NodeTransformer):
    """Takes out the statements, arguments and parameters that are there for the hook."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        """Drop `span = ...`; of `a, messages = b, c` keep `a = b`."""
        (target,) = node.targets if len(node.targets) == 1 else (None,)
        if isinstance(target, ast.Name) and target.id in NAMES:
            self.removed.append(ast.unparse(node))
            return None
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = list(zip(target.elts, node.value.elts, strict=True))
            kept = [pair for pair in pairs if not _hooked(pair[0])]
            if len(kept) < len(pairs):
                self.removed.append(ast.unparse(node))
                target.elts, node.value.elts = [one for one, _ in kept], [one for _, one in kept]
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        """Drop `if span is not None: ...`."""
        if not _mentions(node.test):
            return self.generic_visit(node)
        self.removed.append(ast.unparse(node))
        return [self.visit(one) for one in node.orelse]

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """Of `x if span is None else y` keep `x`."""
        if ast.unparse(node.test) != "span is None":
            return self.generic_visit(node)
        self.removed.append(ast.unparse(node))
        kept: ast.AST = self.visit(node.body)
        return kept

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Drop `span` from what is handed to others."""
        kept = [argument for argument in node.args if not _hooked(argument)]
        if len(kept) < len(node.args):
            self.removed.append(ast.unparse(node))
            node.args = kept
        return self.generic_visit(node)

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        """Drop the parameter `span`."""
        node.args = [one for one in node.args if one.arg not in NAMES]
        return self.generic_visit(node)


class Loader(importlib.machinery.SourceFileLoader):
    """Compiles the tree, stripped or as it is; neither reads nor writes bytecode."""

    strip = True

    def get_code(self, fullname: str) -> CodeType:
        """Give the code of the module."""
        tree = stripped(Path(self.path))
        if not self.strip:
            # Stripped as well, for nothing: the two processes are to differ in these statements and in nothing else.
            tree = ast.parse(self.get_data(self.path), filename=self.path)
        return compile(tree, self.path, "exec", dont_inherit=True)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the hooked module before anybody else does."""

    def __init__(self, *, strip: bool) -> None:
        self.strip = strip
        self.loaded = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Give a spec for the hooked module alone."""
        if fullname != HOOKED:
            return None
        self.loaded = True
        file = RUNTIME / f"{HOOKED.rpartition('.')[2]}.py"
        loader = Loader(fullname, str(file))
        loader.strip = self.strip
        return importlib.util.spec_from_file_location(fullname, file, loader=loader)


def install(*, strip: bool) -> None:
    """Have this process import the kernel, without its hook calls if `strip` is true.

    Raises:
        NothingToStrip: the kernel is loaded already, or its hook calls are not where they were expected.
    """
    if any(isinstance(finder, Finder) for finder in sys.meta_path):
        return
    if HOOKED in sys.modules:
        raise NothingToStrip(f"{HOOKED} was imported already")
    finder = Finder(strip=strip)
    sys.meta_path.insert(0, finder)
    importlib.import_module(HOOKED)
    if not finder.loaded or is_hooked() is strip:
        raise NothingToStrip(f"{HOOKED} was found by somebody else")


def is_hooked() -> bool:
    """Say whether the kernel of this process has its hook calls."""
    code = getattr(importlib.import_module(HOOKED).Cell, HOT).__code__
    return not NAMES.isdisjoint(code.co_names + code.co_varnames)


def stripped(path: Path) -> ast.Module:
    """Parse a module and take out its hook calls."""
    strays = [file.name for file in RUNTIME.rglob("*.py") if file != path and _calls_hook(file)]
    if strays:
        raise NothingToStrip(f"the hook is called in {strays} as well")
    whole = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    before = _method(whole, HOT)
    strip = Strip()
    tree = _without_unused(strip.visit(whole))
    left = sorted({node.lineno for node in ast.walk(tree) if isinstance(node, ast.expr) and _hooked(node)})
    if not strip.removed or _method(tree, HOT) == before:
        raise NothingToStrip(f"no hook calls are left in {path.name}: what is compared?")
    if left:
        raise NothingToStrip(f"{path.name} mentions the hook where it could not be taken out, lines {left}")
    return ast.fix_missing_locations(tree)


def _without_unused(tree: ast.Module) -> ast.Module:
    """Drop the private methods that nobody calls any more; they were there for the hook."""
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        cls.body = [
            one
            for one in cls.body
            if not isinstance(one, ast.FunctionDef) or one.name.startswith("__") or not one.name.startswith("_")
            or one.name in used
        ]  # fmt: skip
    return tree


def _calls_hook(file: Path) -> bool:
    if file.name in WIRING or file.name.startswith("telemetry"):
        return False
    tree = ast.parse(file.read_text(encoding="utf-8"))
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return any(one.attr == "messages" and ast.unparse(one.value).endswith("kernel") for one in attributes)


def _hooked(node: ast.AST) -> bool:
    """Say whether it is one of the hook's variables, by itself or as an attribute of the kernel."""
    return (isinstance(node, ast.Name) and node.id in NAMES) or (isinstance(node, ast.Attribute) and node.attr in NAMES)


def _mentions(node: ast.AST) -> bool:
    return any(_hooked(one) for one in ast.walk(node))


def _method(tree: ast.Module, name: str) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef) and node.name == name:
            return ast.unparse(node)
    raise NothingToStrip(f"there is no method {name!r}")
