"""Names of files as text: which can be worked with, and how the others are shown.

A file may be called anything but a slash; what is no text cannot stand in a log, nor on one line of a message.
This module does not know what the files hold.
"""

from __future__ import annotations

import pathlib
import unicodedata
from typing import Final

# Controls, bytes that are no UTF-8 (they come as lone surrogates), ends of lines and paragraphs.
_NO_TEXT: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})

BAD_NAME: Final = "has a name with bytes or control characters that are no text; rename it"


def is_text(name: str) -> bool:
    """Say whether a file's name can stand in a log and on one line."""
    return name.isprintable() or not any(unicodedata.category(each) in _NO_TEXT for each in name)


def shown(path: pathlib.Path | str) -> str:
    """Give a path as one line of text: what is no text is written as a backslash escape."""
    name = str(path)
    if is_text(name):
        return name
    return "".join(each if is_text(each) else each.encode("unicode_escape").decode("ascii") for each in name)
