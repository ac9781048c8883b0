"""Files that commands make: each whole or not at all, and none in the place of a store or of what belongs to one.

What a command makes can be made again, a store cannot, and neither can a file into which chapters of cases went: one
slip of a name is all that lies between them. So a database is known by how it begins, whichever name leads to it, what
stands beside one by how its name ends, and a file of chapters by its name, which is a hash. A file is written beside
its place and then moved there; a name that is a link is followed, and a pipe or a device is written to as it is. It
does not know what is in the files.
"""

import os
import re
import shutil
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Final

from casework.actors.cli.exits import Exit, Quit

#: How every file of SQLite begins.
_DATABASE: Final = b"SQLite format 3\0"
#: How the name ends of what a store's owner remembers of it; it outlives the file, and a backup is compared with it.
_MEMORY: Final = (".generation", ".generation.new")
#: How the names end of what stands beside a store's file.
_BESIDE: Final = ("-wal", "-shm", "-journal", ".lock", ".sock", *_MEMORY)
#: How compaction calls a file: by its hash. What the name says is not looked at, for a damaged one is evidence as well.
_CHAPTERS: Final = re.compile(r"[0-9a-f]{64}\.json")


def write_files(*made: tuple[Path, bytes]) -> None:
    """Write files, once it was seen that each of them may be written; raises Quit.

    No connection to a store may be open in this process, for looking into its file would give up SQLite's locks.
    """
    check_files(*(path for path, _ in made))
    for path, data in made:
        try:
            _write(path, data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Quit(Exit.USAGE, f"{path}: cannot be written ({error.strerror}); name another file") from error


def check_files(*paths: Path) -> None:
    """See beforehand whether files may be written; raises Quit."""
    for path in paths:
        if why := _refusal(path):
            raise Quit(Exit.USAGE, f"{path}: {why}")
    for first, second in combinations(paths, 2):
        if _place(first) == _place(second) or (first.exists() and second.exists() and first.samefile(second)):
            raise Quit(Exit.USAGE, f"{second}: is the same file as {first}; name another one for either")


def _refusal(path: Path) -> str:
    if path.is_dir():
        return "is a folder; name a file in it"
    if kept := _kept(path) or _kept(_place(path)):
        return f"that is {kept}, which would be lost; name another file"
    if _is_stream(path):
        return "" if os.access(path, os.W_OK) else "cannot be written; name another file"
    folder = _place(path).parent
    if not folder.is_dir():
        return f"there is no folder {folder if path.is_symlink() else path.parent}; make it, or name another file"
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.R_OK | os.W_OK)):
        return "cannot be written; name another file"
    return ""


def _kept(path: Path) -> str:
    """Say what stands at a path that no command may replace, or nothing."""
    if _is_database(path):
        return "a store, or another database"
    for end in _BESIDE:
        store = Path(str(path).removesuffix(end))
        if store != path and _is_database(store):
            return f"a part of the store {store.name}"
    if _CHAPTERS.fullmatch(path.name) and path.exists():
        return "a file of chapters that left a store"
    return "what a store's owner remembers" if path.name.endswith(_MEMORY) and path.exists() else ""


def _is_database(path: Path) -> bool:
    # Looked at first, for a pipe that is opened waits for somebody to write to it.
    if not path.is_file() or not os.access(path, os.R_OK):
        return False
    with path.open("rb") as file:
        return file.read(len(_DATABASE)) == _DATABASE


def _is_stream(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _place(path: Path) -> Path:
    """Give where a path leads in the end."""
    return Path(os.path.realpath(path))


def _write(path: Path, data: bytes) -> None:
    if _is_stream(path):
        path.write_bytes(data)
        return
    place = _place(path)
    with tempfile.TemporaryDirectory(prefix=".casework-", dir=place.parent) as folder:
        making = Path(folder, "made")
        with making.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            shutil.copymode(place, making)
        making.replace(place)
