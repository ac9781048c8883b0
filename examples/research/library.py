"""The library: text files in one folder, a sentence a line; a line `See: TITLE` points to another page.

It stands for a search service. It does not know what a question is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from casework.actors import KnownFailure
from examples.research.messages import Hits, Page

#: Pages of one library at most, and bytes of one page.
PAGES_MAX: Final = 1_000
BYTES_MAX: Final = 65_536
#: What begins a line that points elsewhere.
SEE: Final = "See: "


def read_library(folder: Path) -> Mapping[str, str]:
    """Read every page by its name.

    Raises:
        KnownFailure: the folder or a page cannot be read, or is too large; names it.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".txt")
        if len(paths) > PAGES_MAX:
            raise KnownFailure(f"{folder} has {len(paths)} pages; {PAGES_MAX} are read at most")
        return {path.stem: _text(path) for path in paths}
    except OSError as error:
        raise KnownFailure(f"{folder} cannot be read ({error.strerror}); the input folder needs it") from error


def search(pages: Mapping[str, str], words: str, limit: int) -> Hits:
    """Give the pages with most of the words in their name or text, the best first, then by name."""
    wanted = words.lower().split()
    scores = {page: _score(page, text, wanted) for page, text in pages.items()}
    found = [page for page in sorted(pages, key=lambda page: (-scores[page], page)) if scores[page] == len(wanted)]
    return Hits(tuple(found[:limit]))


def page_of(pages: Mapping[str, str], page: str) -> Page:
    """Give a page.

    Raises:
        KnownFailure: there is no such page.
    """
    if page not in pages:
        raise KnownFailure(f"there is no page {page!r}")
    return Page(page, pages[page])


def sentences(text: str) -> list[str]:
    """Give the sentences of a page, without what points elsewhere."""
    return [line for line in text.splitlines() if line and not line.startswith(SEE)]


def pointers(text: str) -> list[str]:
    """Give the topics that a page points to."""
    return [line.removeprefix(SEE) for line in text.splitlines() if line.startswith(SEE)]


def _score(page: str, text: str, wanted: list[str]) -> int:
    told = " ".join((page.replace("-", " "), *sentences(text))).lower()
    return sum(word in told for word in wanted)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise KnownFailure(f"{path.name} has more than {BYTES_MAX} bytes; split the page")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise KnownFailure(f"{path.name} is not UTF-8") from error
