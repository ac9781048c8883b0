"""Finds in frames the delivered files that these name as evidence, without decoding them.

Whoever keeps a file names it by reference and content hash (`delivery.keep`), and so does everything that is handed on
from there: a message, a task, a proposal, the state of a chapter. A frame that only speaks of a file, as a text that a
person or a model wrote may, names none.
It does not know whether the files are there.
"""

import re
from typing import Final

from casework.runtime.store.archive import Transfer

#: An `Evidence` of the store as it stands in a frame: its reference, then the hash once more, 64 characters of text.
_EVIDENCE: Final = re.compile(rb"artifact:([0-9a-f]{64})\xa6sha256\xd9\x40\1")


def files_named(transfer: Transfer) -> dict[str, int]:
    """Give the content hashes that a case names, each with the first record that does.

    What only a message names that was not read yet stands at the last record.
    """
    found: dict[str, int] = {}
    frames = [(record.seq, record.frame) for record in transfer.records]
    for seq, frame in [*frames, *((transfer.row.next_seq - 1, entry.frame) for entry in transfer.inbox)]:
        for name in _EVIDENCE.findall(frame):
            found.setdefault(name.decode(), seq)
    return found
