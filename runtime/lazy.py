"""What a package offers, imported when it is first asked for: whoever wants one name does not wait for all of them.

A module's own `__getattr__` is PEP 562's. Nothing is kept in the package, so a name is always what its home says.
It does not know what the names stand for.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType


def exports(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Give a package's `__getattr__`, `__dir__` and `__all__`.

    Args:
        package: its whole name.
        homes: for each of its modules, by the name below the package, what it offers there. The modules themselves
            are there as well, as if they had been imported with the package.
    """
    home_of = {name: f"{package}.{module}" for module, names in homes.items() for name in names}
    modules = {module.partition(".")[0] for module in homes}

    def get(name: str) -> object:
        if name in home_of:
            found: object = getattr(_imported(home_of[name]), name)
            return found
        if name in modules:
            return _imported(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of, *modules})

    return get, listed, sorted(home_of)


def _imported(module: str) -> ModuleType:
    try:
        return import_module(module)
    except AttributeError as error:
        # Whoever asked would take it to mean that there is no such name.
        raise ImportError(f"{module} cannot be imported: {error}", name=module) from error
