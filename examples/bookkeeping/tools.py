"""The crew's tools: what it may read, and the one thing that it may write.

There is no tool that files a return, and the policy denies one by name as well.
It does not know who calls.
"""

import hashlib
import stat
from pathlib import Path

import msgspec

from casework.actors import KnownFailure, ToolContext, tool
from casework.protocols.wire import RiskTier
from casework.runtime.store.base import CaseKey
from examples.bookkeeping.bank import read_bank_folder
from examples.bookkeeping.business import read_business
from examples.bookkeeping.errors import OcrMissing, ReceiptUnreadable
from examples.bookkeeping.ledger import Problem
from examples.bookkeeping.messages import Folder, Imported, OverviewFiles, Reading, ToRead, Trails, Transcript, Wanted
from examples.bookkeeping.outfolder import is_gone, is_kept, is_shown, restore, write
from examples.bookkeeping.overview import overview_json
from examples.bookkeeping.paths import BAD_NAME, is_text, shown
from examples.bookkeeping.pdf import PDF_BYTES_MAX, read_pdf
from examples.bookkeeping.photo import ocr_lines
from examples.bookkeeping.trail import trail_of

PHOTOS = (".jpg", ".jpeg", ".png")
#: Receipts in one folder at most: a quarter of a small business has some hundred.
RECEIPTS_MAX = 10_000


@tool(tier=RiskTier.READ_ONLY, timeout_seconds=60.0, workers=1)
async def read_input(arguments: Folder, context: ToolContext) -> Imported:
    """Read the business, its bank exports and the list of its receipts from the run's input folder."""
    return await context.offload(_read_input, _input(context), arguments)


@tool(tier=RiskTier.READ_ONLY, timeout_seconds=60.0, workers=1)
async def read_receipt(arguments: ToRead, context: ToolContext) -> Transcript:
    """Read the text of one receipt, PDF or photo; one at a time, for the reader of PDFs is not thread safe."""
    data = await _bytes(arguments.ref, context)
    return await context.offload(transcribe, arguments.label, data)


@tool(tier=RiskTier.READ_ONLY)
async def read_trails(arguments: Wanted, context: ToolContext) -> Trails:
    """Read what was decided in some cases, from their logs."""
    trails = {
        name: tuple(trail_of(await context.reader.records(CaseKey(context.tenant, case_id))))
        for name, case_id in arguments.cases.items()
    }
    return Trails(trails=trails)


async def written(arguments: OverviewFiles, result: str, context: ToolContext) -> bool:
    """Read the overview back and compare it with what was to be written."""
    newest = await context.offload(is_shown, _out(context), arguments.overview)
    return newest and _hash(overview_json(arguments.overview)) == result


async def written_before(arguments: OverviewFiles, context: ToolContext) -> str | None:
    """Say whether exactly this revision is there already."""
    overview, out = arguments.overview, _out(context)
    there = await context.offload(is_kept, out, overview) and await context.offload(is_shown, out, overview)
    return _hash(overview_json(overview)) if there else None


@tool(tier=RiskTier.REVERSIBLE, verify=written, lookup=written_before, undo="restore_overview", keyed=True, workers=1)
async def write_overview(arguments: OverviewFiles, context: ToolContext) -> str:
    """Write overview.json and overview.html into the run's output folder; gives the SHA-256 of overview.json."""
    overview = arguments.overview
    delivered = {path for flag in overview.exceptions for path in flag.evidence if path.startswith("artifact:")}
    evidence = {path: await _bytes(path, context) for path in sorted(delivered)}
    return await context.offload(write, _out(context), overview, evidence, _input(context))


async def restored(arguments: OverviewFiles, result: int, context: ToolContext) -> bool:
    """Say whether the revision that was to go is gone."""
    return await context.offload(is_gone, _out(context), arguments.overview)


@tool(tier=RiskTier.REVERSIBLE, verify=restored, undo="write_overview", keyed=True, workers=1)
async def restore_overview(arguments: OverviewFiles, context: ToolContext) -> int:
    """Take a revision back: the one before it is shown again; gives its number, 0 if there is none."""
    overview = arguments.overview
    return await context.offload(restore, _out(context), overview.quarter, overview.revision, _input(context))


def _input(context: ToolContext) -> Path:
    if "input" not in context.settings:
        raise KnownFailure("the run has no setting `input`; name the folder with bank exports and receipts")
    return Path(context.settings["input"])


def _out(context: ToolContext) -> Path:
    if "out" not in context.settings:
        raise KnownFailure("the run has no setting `out`; name the folder for the overview")
    return Path(context.settings["out"])


def _read_input(folder: Path, names: Folder) -> Imported:
    transactions, problems = read_bank_folder(folder / names.bank)
    receipts, more = _list_receipts(folder, names.receipts)
    placed = [msgspec.structs.replace(problem, file=_placed(folder, names.bank, problem.file)) for problem in problems]
    return Imported(
        business=read_business(folder),
        transactions=tuple(transactions),
        receipts=tuple(receipts),
        problems=(*placed, *more),
    )


def _placed(folder: Path, bank: str, file: str) -> str:
    return file if Path(file).is_absolute() else shown(folder / bank / file)


def _list_receipts(folder: Path, name: str) -> tuple[list[str], list[Problem]]:
    receipts: list[str] = []
    problems: list[Problem] = []
    try:
        paths = sorted(path for path in (folder / name).iterdir() if not path.name.startswith("."))
    except OSError as error:
        message = f"folder cannot be read ({error.strerror}); check path and rights"
        return [], [Problem(file=shown(folder / name), message=message)]
    for path in paths[:RECEIPTS_MAX]:
        refusal = _refusal(path, folder)
        if refusal:
            problems.append(Problem(file=shown(path), message=refusal))
        else:
            receipts.append(f"{name}/{path.name}")
    if len(paths) > RECEIPTS_MAX:
        problems.append(Problem(file=shown(folder / name), message=f"only the first {RECEIPTS_MAX} files were read"))
    return receipts, problems


def _refusal(path: Path, folder: Path) -> str:
    """Say why a file cannot be taken for a receipt; empty if it can."""
    if not is_text(path.name):
        return BAD_NAME
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return "is a folder; put the receipts in it beside the others"
        if path.suffix.lower() not in (".pdf", *PHOTOS):
            return "is neither PDF, JPEG nor PNG; take it out or convert it"
        if not stat.S_ISREG(mode):
            return "is not a file; take it out"
        if not path.resolve().is_relative_to(folder.resolve()):
            return "is a link that leads out of the input folder; put the file itself here"
        path.open("rb").close()
    except OSError as error:
        return f"cannot be read ({error.strerror}); check the file, its rights, and where it leads if it is a link"
    return ""


async def _bytes(ref: str, context: ToolContext) -> bytes:
    kind, _, name = ref.partition(":")
    if kind == "artifact":
        data = await context.reader.artifact(name)
        if data is None:
            raise KnownFailure(f"no artifact {name[:12]} is in the store; deliver the file again")
        return data
    folder = _input(context).resolve()
    path = (folder / name).resolve()
    if kind != "input" or not path.is_relative_to(folder):
        raise KnownFailure("a receipt is named by `input:` and a path below the input folder, or by `artifact:`")
    return await context.offload(_read_some, path)


def _read_some(path: Path) -> bytes:
    """Read a file, but not more than one byte beyond what any reader takes."""
    try:
        with path.open("rb") as file:
            return file.read(PDF_BYTES_MAX + 1)
    except OSError as error:
        raise KnownFailure(f"{path.name} cannot be read ({error.strerror})") from error


def transcribe(label: str, data: bytes) -> Transcript:
    """Read the text of a receipt, PDF or photo, by the ending of its label; what cannot be read says why."""
    digest = _hash(data)
    try:
        photo = Path(label).suffix.lower() in PHOTOS
        text = "\n".join(ocr_lines(data)) if photo else read_pdf(data)
    except OcrMissing as missing:
        return Transcript(outcome=Reading.NEEDS_OCR, sha256=digest, reason=str(missing))
    except ReceiptUnreadable as unreadable:
        return Transcript(outcome=Reading.UNREADABLE, sha256=digest, reason=str(unreadable))
    return Transcript(outcome=Reading.READ, sha256=digest, text=text)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
