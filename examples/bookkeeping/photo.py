"""A photographed receipt becomes lines of text: the `[ocr]` extra.

The reader and its models are imported on first use, for they cost a second and 100 MB.
Not thread safe: callers serialise.
It does not know what a receipt looks like.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from typing import Final, Protocol, cast

from examples.bookkeeping.errors import OcrMissing, ReceiptUnreadable
from examples.bookkeeping.textlines import Box, rebuild_lines

PHOTO_BYTES_MAX: Final = 20 * 1024 * 1024
# Below this the reader guesses; a guessed digit is worse than a question to a person.
CONFIDENCE_MIN: Final = 0.6

_STARTS: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")

_Point = Sequence[float]
_Found = tuple[Sequence[_Point], str, float]


class _Reader(Protocol):
    def __call__(self, image: bytes) -> tuple[list[_Found] | None, object]: ...


def ocr_available() -> bool:
    """Say whether the extra is installed, by trying to load it."""
    try:
        _reader()
    except OcrMissing:
        return False
    return True


def ocr_lines(image: bytes) -> list[str]:
    """Read the lines of a JPEG or PNG.

    Raises:
        OcrMissing: the extra casework[ocr] is not installed.
        ReceiptUnreadable: not a JPEG or PNG, too big, damaged, or nothing legible on it.
    """
    if len(image) > PHOTO_BYTES_MAX:
        raise ReceiptUnreadable(f"photo is more than {PHOTO_BYTES_MAX >> 20} MiB; deliver a smaller one")
    if not image.startswith(_STARTS):
        raise ReceiptUnreadable("file is neither JPEG nor PNG; deliver a photo in one of these formats")
    reader = _reader()
    try:
        found, _ = reader(image)
    except Exception as error:
        # The reader has no root of errors: OpenCV, Pillow and onnxruntime each raise their own on damaged pixels.
        raise ReceiptUnreadable(f"photo is damaged ({type(error).__name__}); take it again") from error
    boxes = [_box(corners, text) for corners, text, sure in found or () if float(sure) >= CONFIDENCE_MIN]
    if not boxes:
        raise ReceiptUnreadable("nothing legible on the photo; take it again, straight and in good light")
    return rebuild_lines(boxes)


@cache
def _reader() -> _Reader:
    try:
        module = importlib.import_module("rapidocr_onnxruntime")
    except ImportError as error:
        raise OcrMissing from error
    return cast("_Reader", module.RapidOCR())


def _box(corners: Sequence[_Point], text: str) -> Box:
    a, b, c, d = ((float(point[0]), float(point[1])) for point in corners)
    return Box(text, (a, b, c, d))
