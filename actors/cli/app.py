"""The command's front: its sub-commands, and the one place where errors become a line and an exit code.

Sub-commands are imported when they are used. Nothing but this file ends the process, except a second interrupt.
It does not know what a sub-command does.
"""

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from casework.actors.cli.exits import TABLE, Exit, exit_code
from casework.actors.cli.output import clean, tell
from casework.protocols.errors import CaseworkError

if TYPE_CHECKING:
    from cyclopts import App

_COMMANDS: Final = (
    (
        "run",
        "casework.actors.cli.running:run",
        "Open a crew's cases on an input folder and work until nothing can go on by itself.",
    ),
    ("cases", "casework.actors.cli.reading:cases", "List cases, where they stand and what they wait for."),
    ("show", "casework.actors.cli.showing:show", "Tell the story of one case, from its log alone."),
    (
        "deliver",
        "casework.actors.cli.writing:deliver",
        "Deliver a file to a case, or to whatever waits for a key; the parked case resumes.",
    ),
    ("cancel", "casework.actors.cli.writing:cancel", "Ask a case to stop."),
    ("verify", "casework.actors.cli.reading:verify", "Check every record of every case against the hash chain."),
    (
        "trace",
        "casework.actors.cli.reading:trace",
        "Write a case's trace as a file that the Jaeger UI opens by upload.",
    ),
    (
        "export",
        "casework.actors.cli.exporting:export",
        "Write a case as open JSON that anybody can read and check without Casework.",
    ),
    (
        "import",
        "casework.actors.cli.exporting:import_",
        "Take exported cases into a store that does not have them, after everything in the file was checked.",
    ),
    (
        "retain",
        "casework.actors.cli.exporting:retain",
        "Drop for good what long closed cases contained; their hashes stay and still verify.",
    ),
    (
        "replay",
        "casework.actors.cli.forking:replay",
        "Lead cases through their flows once more, from their logs alone; nothing is called.",
    ),
    (
        "fork",
        "casework.actors.cli.forking:fork",
        "Let a case go on from an earlier record, in memory, with all that it would write refused.",
    ),
    (
        "migrate",
        "casework.actors.cli.migrating:migrate",
        "Have a parked case go on with another version of its flow, if that does all that the log says.",
    ),
    ("graph", "casework.actors.cli.graphing:graph", "Draw a crew's flows from what they declare, as SVG."),
    ("lint", "casework.actors.cli.linting:lint", "Name what a crew declares that looks like raw personal data."),
    (
        "compact",
        "casework.actors.cli.compacting:compact",
        "Put earlier chapters of long cases into files; their hashes stay in the store and still verify.",
    ),
    ("breakers", "casework.actors.cli.switching:breakers", "Show the circuit breakers of the process at work."),
    ("pause", "casework.actors.cli.switching:pause", "Let an agent, a tool or a tenant have no effect from now on."),
    ("resume", "casework.actors.cli.switching:resume", "Let what was paused have effects again; its cases go on."),
    ("serve", "casework.actors.cli.serving:serve", "Run a crew as a service, with metrics and health over HTTP."),
    ("cost", "casework.actors.cli.spending:cost", "Say what calls cost and who caused it, from the logs alone."),
    (
        "simulate",
        "casework.actors.cli.simulating:simulate",
        "Run a crew in a simulated world, under seeded faults, and say what did not hold.",
    ),
)
_REVIEW_COMMANDS: Final = (
    ("list", "casework.actors.cli.reviewing:list_reviews", "List what waits for a person."),
    ("show", "casework.actors.cli.reviewing:show", "Show one review with its proposal."),
    ("approve", "casework.actors.cli.reviewing:approve", "Approve a proposal exactly as it is shown."),
    ("reject", "casework.actors.cli.reviewing:reject", "Reject a proposal."),
    ("edit", "casework.actors.cli.reviewing:edit", "Approve a proposal with changes."),
)
_LETTER_COMMANDS: Final = (
    ("list", "casework.actors.cli.letters:list_letters", "List what was set aside because it broke whoever took it."),
    ("redrive", "casework.actors.cli.letters:redrive_letter", "Have a dead letter tried again."),
    ("drop", "casework.actors.cli.letters:drop_letter", "Have a case go on without a dead letter."),
)
_STORE_COMMANDS: Final = (
    (
        "accept",
        "casework.actors.cli.accepting:accept",
        "Accept a store that is older than its owner remembers, such as a restored backup.",
    ),
)


_BUDGET_COMMANDS: Final = (
    ("list", "casework.actors.cli.spending:list_budgets", "List what each budget may spend, has spent and holds."),
    ("set", "casework.actors.cli.spending:set_budget", "Set what a budget may spend; the cases that wait go on."),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or os.environ.get("CASEWORK_DEBUG", "") not in {"", "0"}
    arguments = [argument for argument in arguments if argument != "--debug"]
    _prepare(debug=debug)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except (Exception, BaseExceptionGroup, KeyboardInterrupt) as raised:  # noqa: BLE001 - the top
        return _failed(raised, debug=debug)
    return code


def _failed(raised: BaseException, *, debug: bool) -> int:
    """Tell an error in one line; of several that happened side by side, the first."""
    error = raised
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseException", error.exceptions[0])
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has enough; what Python still wants to flush at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if debug:
        traceback.print_exception(raised)
    if isinstance(error, CaseworkError | OSError):
        tell("error", _sentence(error))
        return exit_code(error)
    tell("error", f"{type(error).__name__}: {error}; run it again with --debug to see where")
    return Exit.WRONG


def _sentence(error: CaseworkError | OSError) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def _run(arguments: list[str]) -> int:
    from cyclopts import CycloptsError

    app = _app()
    try:
        result: object = app(arguments or ["--help"], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        tell("error", f"{' '.join(str(error).split())} See casework --help.")
        return Exit.USAGE
    return result if isinstance(result, int) else Exit.OK


def _app() -> "App":
    from cyclopts import App

    from casework.actors.cli.options import STORE

    app = App(
        name="casework",
        help="Coordinates many agents on real business cases so that they behave like one reliable system.",
        help_epilogue=(
            f"{TABLE}\n\nThe store is --store, else CASEWORK_STORE, else {STORE}. Errors are one line; --debug or "
            "CASEWORK_DEBUG=1 adds where they came from."
        ),
        version=_version,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    review = App(name="review", help="What waits for a person: list, show, approve, reject or edit.")
    for name, path, text in _REVIEW_COMMANDS:
        review.command(path, name=name, help=text)
    for name, path, text in _COMMANDS:
        app.command(path, name=name, help=text)
    app.command(review)
    letters = App(name="letter", help="Dead letters: list, redrive or drop what broke whoever took it.")
    for name, path, text in _LETTER_COMMANDS:
        letters.command(path, name=name, help=text)
    app.command(letters)
    stores = App(name="store", help="The store itself: accept.")
    for name, path, text in _STORE_COMMANDS:
        stores.command(path, name=name, help=text)
    app.command(stores)
    budgets = App(name="budget", help="Budgets that cases share: list, or set what one may spend.")
    for name, path, text in _BUDGET_COMMANDS:
        budgets.command(path, name=name, help=text)
    app.command(budgets)
    return app


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"casework {version('casework')}"
    except PackageNotFoundError:
        return "casework (not installed)"


class _OneLine(logging.Formatter):
    """Log lines look like the command's other lines; where an error came from is shown only when asked for."""

    def __init__(self, *, debug: bool) -> None:
        super().__init__()
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        if self._debug:
            return super().format(record)
        return f"casework: {record.levelname.lower()}: {clean(record.getMessage())}"


def _prepare(*, debug: bool) -> None:
    for name in ("stdout", "stderr"):
        # Whoever has closed one wants none of it, and no other file is to get its number.
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - to the end
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(debug=debug))
    if not debug:
        # True of every command on many systems, and no danger to a file that only the command writes.
        handler.addFilter(lambda record: record.name != "casework.runtime.store.sqlite_version")
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, handlers=[handler])
