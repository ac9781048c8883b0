"""The research crew's tools: a library that charges for each look, and a folder for reports.

They do not know who calls, nor why.
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from casework.actors import KnownFailure, ToolContext, tool
from casework.protocols.wire import RiskTier
from examples.research.library import page_of, read_library, search
from examples.research.messages import Hits, Page, PageRef, Query, ReportFile, ReportTaken

#: Pages that one search gives at most.
HITS_MAX: Final = 3
#: What the library charges, in micros.
SEARCH_MICROS: Final = 2_000
PAGE_MICROS: Final = 500


@tool(tier=RiskTier.READ_ONLY, micros_max=SEARCH_MICROS)
async def search_library(arguments: Query, context: ToolContext) -> Hits:
    """Look for pages."""
    pages = await context.offload(read_library, _folder(context, "input") / "library")
    return search(pages, arguments.words, HITS_MAX)


@tool(tier=RiskTier.READ_ONLY, micros_max=PAGE_MICROS)
async def read_page(arguments: PageRef, context: ToolContext) -> Page:
    """Read a page."""
    pages = await context.offload(read_library, _folder(context, "input") / "library")
    return page_of(pages, arguments.page)


async def report_there(arguments: ReportFile, result: str, context: ToolContext) -> bool:
    """Read a report back."""
    return await report_written(arguments, context) == result


async def report_written(arguments: ReportFile, context: ToolContext) -> str | None:
    """Say whether just this report is there already."""
    wanted = _encoded(arguments)
    return _hash(wanted) if await context.offload(_bytes, _file(context, arguments.id)) == wanted else None


async def report_gone(arguments: ReportTaken, result: str, context: ToolContext) -> bool:
    """Read back that a report is gone."""
    return await context.offload(_bytes, _file(context, arguments.id)) is None


@tool(tier=RiskTier.REVERSIBLE, verify=report_there, lookup=report_written, undo="remove_report", keyed=True, workers=1)
async def write_report(arguments: ReportFile, context: ToolContext) -> str:
    """Write a report into the output folder; gives its SHA-256."""
    data = _encoded(arguments)
    await context.offload(_replace, _file(context, arguments.id), data)
    return _hash(data)


@tool(tier=RiskTier.IRREVERSIBLE, verify=report_gone, keyed=True)
async def remove_report(arguments: ReportTaken, context: ToolContext) -> str:
    """Remove a report again."""
    await context.offload(_file(context, arguments.id).unlink, True)
    return arguments.id


TOOLS: Final = (search_library, read_page, write_report, remove_report)


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees a part of it."""
    draft = path.with_suffix(".part")
    draft.write_bytes(data)
    draft.replace(path)


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _encoded(arguments: ReportFile) -> bytes:
    return msgspec.json.format(msgspec.json.encode(arguments.report), indent=1) + b"\n"


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _file(context: ToolContext, name: str) -> Path:
    return _folder(context, "out") / f"{name.replace('/', '_')}.json"


def _folder(context: ToolContext, name: str) -> Path:
    if name not in context.settings:
        raise KnownFailure(f"the run has no setting {name!r}; name the folder with `casework run CREW INPUT --out OUT`")
    return Path(context.settings[name])
