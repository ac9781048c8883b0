"""How the command ends: its exit codes, and which error leads to which.

It does not know which command ran.
"""

import enum

from casework.protocols.errors import CaseworkError
from casework.runtime.errors import ReviewUnknown, StoreOwned, StoreUnavailable


class Exit(enum.IntEnum):
    """Exit codes, the same for every sub-command."""

    OK = 0
    WRONG = 1
    """Something was found wrong, or a decision came too late."""
    USAGE = 2
    """Bad input: arguments, files, a crew, a store of another version; what was usable was used."""
    NOT_FOUND = 3
    STORE = 4
    """The store is owned by another process, or cannot be reached just now."""
    BROKEN = 5
    """Something that must hold did not, in a simulated run."""
    INTERRUPTED = 130


#: What `--help` says of them.
TABLE = (
    "Exit codes: 0 done; 1 something is wrong (verify or lint found something, a decision came too late); "
    "2 bad input or usage; 3 not found; 4 the store is owned by another process or cannot be reached; "
    "5 a simulated run broke an invariant; 130 interrupted."
)


class Quit(CaseworkError):
    """The command cannot do what it was asked; its text is one line and says what to do."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code


def exit_code(error: CaseworkError | OSError) -> Exit:
    """Give the exit code for an error that reached the top."""
    match error:
        case Quit():
            return error.code
        case StoreOwned() | StoreUnavailable():
            return Exit.STORE
        case ReviewUnknown():
            return Exit.NOT_FOUND
        case _:
            return Exit.USAGE
