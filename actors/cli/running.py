"""The sub-command run: opens what an input folder asks for and works until nothing can go on by itself.

Bad input is told on standard error, one line each, and everything else goes on. It does not know what the crew does.
"""

import hashlib
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import anyio
from cyclopts import Parameter

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.options import STORE, TENANT, JsonOption, StoreOption, TenantOption
from casework.actors.cli.output import complain, say_json, tell
from casework.actors.cli.standing import Standing, notes, say_summary, standing, summary_json
from casework.actors.cli.working import Interrupts, interruptible, refuse_other_crew, remembered
from casework.actors.crew import Crew, load_crew
from casework.actors.intake import DeliverKey, Intake, Problem
from casework.protocols.codec import decode_entry, encode, pack
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Arrived, Entry, Opened
from casework.runtime.delivery import TARGET_BYTES_MAX
from casework.runtime.errors import FlowUnknown, StoreInvalid, StoreUnavailable
from casework.runtime.flow.case import CASE_ID_TOLD_MAX, case_id_fault
from casework.runtime.flow.opening import NAME_CHARS_MAX, name_fault
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey, CaseStatus, Nobody, Store, StoreReader, Unavailable, Unknown
from casework.runtime.store.rules import keyed
from casework.runtime.store.urls import MEMORY, SQLITE, open_store, wait_settled

#: Where a crew writes, unless `--out` or the store's memory says otherwise.
OUT: Final = "out"
#: Seconds between two looks at the progress, on a terminal.
LOOK_SECONDS: Final = 0.25
#: Cases that one warning names.
CASES_TOLD_MAX: Final = 3
#: How one opening or delivery is refused that has nothing to do with the others.
REFUSALS: Final = (ValueError, FlowUnknown, ProtocolError)

OutOption = Annotated[Path | None, Parameter(name="--out", help="Folder for what the crew writes; `out` if left out.")]


ProjectOption = Annotated[str, Parameter(name="--project", help="Whose budget its cases draw from, see budgets.md.")]
UserOption = Annotated[str, Parameter(name="--user", help="For whom they are opened; that is a budget as well.")]


@dataclass(slots=True, frozen=True)
class Errand:
    """What one run is to do."""

    crew: Crew
    settings: dict[str, str]
    intake: Intake
    project: str
    """Whose budgets its cases draw from as well, if it is named; likewise the user."""
    user: str


def run(
    crew: str,
    input_: Annotated[Path, Parameter(name="INPUT")],
    /,
    *,
    store: StoreOption = STORE,
    out: OutOption = None,
    tenant: TenantOption = TENANT,
    project: ProjectOption = "",
    user: UserOption = "",
    json_: JsonOption = False,
) -> int:
    """Open a crew's cases on an input folder and work until nothing can go on by itself.

    Run it again at any time: what was done is not done again.

    Parameters
    ----------
    crew
        The crew, as module:attribute.
    input_
        The input folder.
    """
    for option, name in (("--tenant", tenant), ("--project", project or "none"), ("--user", user or "none")):
        if why := name_fault(name):
            raise Quit(Exit.USAGE, f"{option} {name[:NAME_CHARS_MAX]!r}: {why}")
    folder = Path.cwd()
    loaded = load_crew(crew, folder=folder)
    if not input_.is_dir():
        raise Quit(Exit.USAGE, f"{input_}: no such folder; name the folder that holds the input")
    settings = {"crew": crew, "input": str(input_.resolve()), "tenant": tenant, "folder": str(folder)}
    if out is not None:
        settings["out"] = str(_writable(out).resolve())

    # Read before the store is opened: input that cannot be used leaves no empty store behind.
    intake = loaded.intake(Path(settings["input"]), settings) if loaded.intake is not None else Intake()

    async def work(interrupts: Interrupts) -> int:
        opened = await open_store(store, World())
        try:
            return await _work(Errand(loaded, settings, intake, project, user), opened, interrupts, json_=json_)
        finally:
            await opened.aclose()

    return anyio.run(interruptible, work)


def _writable(out: Path) -> Path:
    """Make the folder that the crew writes to, and see that it can be written to."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        # Permission bits do not tell of a file system that takes nothing, so a file without a name is made.
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        why = "it is no folder" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise Quit(Exit.USAGE, f"{out}: nothing can be written there: {why}; name another folder by --out") from error
    return out


async def _work(errand: Errand, store: Store, interrupts: Interrupts, *, json_: bool) -> int:
    crew, settings, intake = errand.crew, errand.settings, errand.intake
    before = await remembered(store)
    settings.setdefault("out", before.get("out") or str(Path(settings["folder"], OUT)))
    await refuse_other_crew(store, crew, settings["crew"])
    _writable(Path(settings["out"]))
    if before.get("input", settings["input"]) != settings["input"]:
        tell("warning", f"the cases in {store.url} were opened on {before['input']}, now they read {settings['input']}")
    for name, value in settings.items():
        await store.remember(name, value)
    await _warn_of_others(store, errand)
    refused = list[Problem]()
    async with Runtime(crew, store, tenant=settings["tenant"], settings=settings) as runtime:
        with interrupts.scope:
            await _open(runtime, errand, refused)
            await _deliver(store, errand, refused, partial(wait_settled, store, runtime.wait_idle, World()))
    problems = list(dict.fromkeys([*map(str, [*intake.problems, *refused]), *await _noted(store)]))
    after = await standing(store)
    _tell(after, problems, json_=json_)
    if store.url == MEMORY:
        tell("note", f"{MEMORY} all of it is gone now; name a file, --store {SQLITE}FILE, to keep what cases are told")
    if interrupts.heard:
        tell("note", "interrupted: run the same command again to go on")
        return Exit.INTERRUPTED
    return Exit.USAGE if problems else Exit.OK


async def _warn_of_others(reader: StoreReader, errand: Errand) -> None:
    """Tell whose budgets cases draw from that are there already, where another project or user was named now."""
    there: dict[tuple[str, str], list[str]] = {}
    for each in errand.intake.openings if errand.project or errand.user else ():
        if case_id_fault(each.case_id):
            continue
        opened = await _first(reader, CaseKey(errand.settings["tenant"], each.case_id))
        if not isinstance(opened, Opened):
            continue
        if opened.project != (errand.project or opened.project) or opened.user != (errand.user or opened.user):
            there.setdefault((opened.project, opened.user), []).append(each.case_id)
    for (project, user), cases in there.items():
        more = len(cases) - CASES_TOLD_MAX
        told = ", ".join(cases[:CASES_TOLD_MAX]) + (f" and {more} more" if more > 0 else "")
        whose = f"{f'project {project}' if project else 'no project'} and {f'user {user}' if user else 'no user'}"
        tell("warning", f"{told}: opened before, for {whose}; they draw from those budgets still")


async def _first(reader: StoreReader, key: CaseKey) -> Entry | None:
    """Give the first entry of a case; None if it is not there, or for `verify`, for it cannot be read."""
    with suppress(ProtocolError, StoreInvalid):
        records = await reader.records(key)
        return decode_entry(records[0].frame) if records and records[0].frame else None
    return None


async def _open(runtime: Runtime, errand: Errand, refused: list[Problem]) -> None:
    """Open what the input asks for, as far as it can be opened; add what was refused."""
    for each in errand.intake.openings:
        try:
            await runtime.open(each.flow, each.case_id, each.inputs, project=errand.project, user=errand.user)
        except REFUSALS as error:
            text = f"case {each.case_id[:CASE_ID_TOLD_MAX]!r} was not opened: {error}"
            refused.append(Problem(errand.settings["input"], text))


async def _deliver(
    store: Store, errand: Errand, refused: list[Problem], settled: Callable[[], Awaitable[None]]
) -> None:
    """Deliver what the input asks for and wait until nothing goes on, again while somebody then waits for more of it.

    What nobody waits for is left for another run. Raises as `_delivered`.
    """
    left, more = await _delivered(store, errand, errand.intake.deliveries, refused), True
    while more:
        await _watched(settled, store)
        before = len(left)
        left = await _delivered(store, errand, left, refused)
        more = len(left) < before


async def _delivered(
    store: Store, errand: Errand, deliveries: Sequence[DeliverKey], refused: list[Problem]
) -> list[DeliverKey]:
    """Deliver each, and give those that nobody waits for; add what was refused.

    Raises:
        StoreUnavailable: the store did not take one, or perhaps it did; delivering it again is harmless.
    """
    nobody: list[DeliverKey] = []
    for delivery in deliveries:
        told = f"{delivery.key[:CASE_ID_TOLD_MAX]!r} was not delivered"
        try:
            frame, item_id = _arrival(delivery)
            result = await store.deliver(errand.settings["tenant"], delivery.key, item_id, frame)
        except REFUSALS as error:
            refused.append(Problem(errand.settings["input"], f"{told}: {error}"))
            continue
        if isinstance(result, Unavailable | Unknown):
            raise StoreUnavailable(store.url, f"{told}: {result.why}; run it again, which does no harm")
        if isinstance(result, Nobody):
            nobody.append(delivery)
    return nobody


def _arrival(delivery: DeliverKey) -> tuple[bytes, str]:
    """Make the frame of a delivery; its id grows from its content, so a second run delivers nothing twice.

    Raises:
        ValueError: nobody can wait for its key.
        FrameTooLarge, FrameTooDeep: what it holds fits into no record.
    """
    keyed("a key", delivery.key, TARGET_BYTES_MAX)
    value = pack(delivery.value)
    content = bytes(value) + bytes(pack(delivery.evidence))
    item_id = f"intake:{delivery.key}:{hashlib.sha256(content).hexdigest()[:32]}"
    arrived = Arrived(key=delivery.key, message_id=item_id, by=delivery.by, value=value, evidence=delivery.evidence)
    return encode(arrived), item_id


async def _noted(reader: StoreReader) -> list[str]:
    """Give the notes of level error in all cases, as `place: text`."""
    return [
        f"{note.place or row.key.case_id}: {note.text}"
        for row in await reader.cases()
        for note in notes(await reader.records(row.key))
        if note.level == "error"
    ]


def _tell(after: Standing, problems: list[str], *, json_: bool) -> None:
    for line in problems:
        complain(line)
    if json_:
        say_json({**summary_json(after), "problems": problems})
    else:
        say_summary(after)


async def _watched(wait: Callable[[], Awaitable[None]], reader: StoreReader) -> None:
    """Wait, with a progress bar if somebody looks at a terminal."""
    if not sys.stderr.isatty():
        await wait()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("cases", total=None)

        async def look() -> None:
            clock = World().clock
            while True:
                rows = await reader.cases()
                resting = sum(row.status is not CaseStatus.OPEN for row in rows)
                waiting = sum(row.status is CaseStatus.PARKED for row in rows)
                progress.update(bar, total=len(rows), completed=resting, description=f"cases ({waiting} parked)")
                await clock.sleep(LOOK_SECONDS)

        async with anyio.create_task_group() as jobs:
            jobs.start_soon(look)
            await wait()
            jobs.cancel_scope.cancel()
