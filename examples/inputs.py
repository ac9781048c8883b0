"""Reads a folder of small JSON files, one thing in each, for examples whose input is that.

A file that cannot be used is told by name, with what is wrong; the others are read. It does not know what is in them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec

from casework.actors import Problem
from casework.runtime.flow.case import case_id_fault

#: Files of one folder at most, and bytes of one of them.
FILES_MAX: Final = 10_000
BYTES_MAX: Final = 65_536


class Named(Protocol):
    """A thing with an id of its own."""

    @property
    def id(self) -> str:
        """What its case is called."""
        ...


T = TypeVar("T", bound=Named)


def read_each(folder: Path, type_: type[T]) -> tuple[list[T], list[Problem]]:
    """Read every file of a folder, by name; gives what was read, and what could not be."""
    things: dict[str, T] = {}
    files: dict[str, Path] = {}
    problems: list[Problem] = []
    for path in _paths(folder, problems):
        read = _read(path, type_)
        if isinstance(read, Problem):
            problems.append(read)
        elif fault := case_id_fault(read.id):
            problems.append(Problem(str(path), fault))
        elif read.id in things:
            why = f"is called {read.id!r} like {files[read.id].name}; give it an id of its own"
            problems.append(Problem(str(path), why))
        else:
            things[read.id], files[read.id] = read, path
    return list(things.values()), problems


def _paths(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        problems.append(Problem(str(folder), f"cannot be read ({error.strerror}); it should hold JSON files"))
        return
    if len(paths) > FILES_MAX:
        why = f"only the first {FILES_MAX} files were read; put the others in another folder"
        problems.append(Problem(str(folder), why))
    yield from paths[:FILES_MAX]


def _read(path: Path, type_: type[T]) -> T | Problem:
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
        if len(data) > BYTES_MAX:
            return Problem(str(path), f"has more than {BYTES_MAX} bytes; a {type_.__name__} is a few lines")
        return msgspec.json.decode(data, type=type_)
    except OSError as error:
        return Problem(str(path), f"cannot be read ({error.strerror}); check the file and its rights")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Problem(str(path), f"is no {type_.__name__}: {error}")
