"""Ownership of a store's file: one process at a time, by a lock that the system takes back when the process dies.

The lock is on a file of its own beside the database, which is never opened here. It holds the owner's process id for
whoever is refused, and is removed on release; whoever waits for a removed file notices and looks again.
It does not know what is owned.
"""

import fcntl
import os
from contextlib import suppress
from typing import final

from casework.runtime.errors import StoreInvalid, StoreOwned

#: How often a lock file that vanished between opening and locking is looked for again.
ATTEMPTS_MAX = 100


@final
class FileLock:
    """A held lock."""

    def __init__(self, path: str, descriptor: int) -> None:
        """Use `acquire`."""
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: str, url: str) -> "FileLock":
        """Take the lock without waiting.

        Raises:
            StoreOwned: another process has it.
            StoreInvalid: the lock's file cannot be made.
        """
        for _ in range(ATTEMPTS_MAX):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                why = f"its lock cannot be made ({error.strerror}: {path})"
                raise StoreInvalid(url, f"{why}; copy the store to where one can write, and name it there") from error
            if not _locked(descriptor):
                owner = _owner(descriptor)
                os.close(descriptor)
                raise StoreOwned(url, f"{owner} owns it; ask that process, or stop it")
            if _is_there(path, descriptor):
                # A full disk takes no number; whoever asks who owns it is told less, and the store itself says what is.
                with suppress(OSError):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
                return cls(path, descriptor)
            os.close(descriptor)
        raise StoreOwned(url, "other processes take and leave it all the time; try again")

    def release(self) -> None:
        """Give the lock back; again is harmless."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        # Removed while it is still held, so nobody can hold a lock on a name that another process made anew.
        with suppress(OSError):
            os.unlink(self._path)
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(descriptor: int) -> str:
    pid = os.pread(descriptor, 20, 0)
    return f"process {int(pid)}" if pid.isdigit() else "another process"


def _is_there(path: str, descriptor: int) -> bool:
    try:
        named = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))
