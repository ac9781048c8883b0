"""To what a flow pins the cases that it opens: its version, as it was named, and the text of its function.

Both stand in every case's log and row, and stores find cases by them. It does not know what becomes of a case whose
flow is another one.
"""

import hashlib
import inspect
from collections.abc import Callable
from typing import Final

#: Characters of a version of a flow, at most.
VERSION_CHARS_MAX: Final = 100


def named_version(name: str, version: object) -> str:
    """Give the version of a flow back; raises ValueError if it is none, such as the number 2."""
    if isinstance(version, str) and version.isprintable() and version == version.strip() and version:
        if len(version) <= VERSION_CHARS_MAX:
            return version
        version = f"{version[:VERSION_CHARS_MAX]}..."
    what = f"printable text of at most {VERSION_CHARS_MAX} characters without spaces around it, such as '2'"
    raise ValueError(f"flow {name!r}: its version must be {what}, not {version!r}")


def source_hash_of(name: str, function: Callable[..., object]) -> str:
    """Hash the text of a flow's function; raises ValueError if there is none."""
    try:
        source = inspect.getsource(function)
    except OSError as error:
        why = "its cases are pinned to the text of its function, and there is none: keep its .py file beside it"
        raise ValueError(f"flow {name!r}: {why}") from error
    return hashlib.sha256(source.encode()).hexdigest()[:16]
