"""Sub-commands about dead letters: list them, have one tried again, or have its case go on without it.

They tell who, what, how often and the last error, never what a letter contains. They do not know why it broke anybody.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

import anyio
from cyclopts import Parameter

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.options import STORE, ByOption, JsonOption, StoreOption, person
from casework.actors.cli.output import moment, say_columns, say_json, tell
from casework.actors.cli.reading import read_store
from casework.actors.cli.working import write
from casework.actors.cli.writing import tell_aftermath
from casework.runtime.errors import StoreUnavailable
from casework.runtime.letters import Letter, dead_letters, drop, redrive
from casework.runtime.seams import World
from casework.runtime.store.base import DeliverResult, Nobody, StoreDoor, StoreReader, Unavailable, Unknown

Key = Annotated[str, Parameter(name="LETTER", help="Its key, or its case if that has no other.")]
Reason = Annotated[str, Parameter(name="--reason", help="Why; it stands in the log.")]


def list_letters(*, store: StoreOption = STORE, json_: JsonOption = False) -> int:
    """List what was set aside because it broke whoever took it, the oldest first."""
    letters = read_store(store, dead_letters)
    if json_:
        say_json([_json(letter) for letter in letters])
    elif letters:
        head = ("letter", "kind", "what", "whom it broke", "tries", "set aside", "last error")
        say_columns([head, *map(_row, letters)])
    else:
        tell("note", f"{store} has no dead letter")
    return Exit.OK


def redrive_letter(
    letter: Key, /, *, reason: Reason, by: ByOption = "", store: StoreOption = STORE, json_: JsonOption = False
) -> int:
    """Have a dead letter tried again, with time and attempts as at first."""
    return _order(store, letter, "redriven", redrive, person(by), reason, json_=json_)


def drop_letter(
    letter: Key, /, *, reason: Reason, by: ByOption = "", store: StoreOption = STORE, json_: JsonOption = False
) -> int:
    """Have a case go on without a dead letter: its flow hears that the task failed, a message is left out."""
    return _order(store, letter, "dropped", drop, person(by), reason, json_=json_)


def _order(
    url: str, name: str, done: str, order: Callable[..., Awaitable[DeliverResult]], by: str, reason: str, *, json_: bool
) -> int:
    if not reason.strip():
        raise Quit(Exit.USAGE, "--reason: say why; it stands in the log of the case")

    async def act(reader: StoreReader, door: StoreDoor) -> tuple[Letter, DeliverResult]:
        letter = _named(await dead_letters(reader), name)
        try:
            return letter, await order(door, letter, by=by, reason=reason, world=World())
        except ValueError as error:
            raise Quit(Exit.USAGE, str(error)) from error

    (letter, result), after = anyio.run(write, url, act)
    if isinstance(result, Nobody):
        raise Quit(Exit.NOT_FOUND, f"{letter.key} is no dead letter any more; somebody was faster")
    if isinstance(result, Unavailable | Unknown):
        raise StoreUnavailable(url, f"{result.why}; see `casework letter list` and run it again")
    tell_aftermath(f"{letter.key}: {done}", after, json_=json_)
    return Exit.OK


def _named(letters: list[Letter], name: str) -> Letter:
    """Find a letter by its key, or by its case if that has no other."""
    found = [letter for letter in letters if letter.key == name] or [
        letter for letter in letters if letter.case.case_id == name
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Quit(Exit.NOT_FOUND, f"there is no dead letter {name!r}; `casework letter list` has them all")
    raise Quit(Exit.USAGE, f"{name} has several dead letters: {', '.join(letter.key for letter in found)}")


def _row(letter: Letter) -> tuple[str, ...]:
    at = moment(letter.at)
    return letter.key, letter.kind, letter.what, letter.who, str(letter.tries), at, letter.error


def _json(letter: Letter) -> dict[str, object]:
    return {
        "letter": letter.key,
        "tenant": letter.case.tenant,
        "case": letter.case.case_id,
        "kind": letter.kind,
        "what": letter.what,
        "who": letter.who,
        "tries": letter.tries,
        "set_aside_at": letter.at,
        "error": letter.error,
    }
