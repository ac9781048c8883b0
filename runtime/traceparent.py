"""The W3C traceparent, by which everything done for a case belongs to one trace.

It is text in the case's first record and in every task, so it outlives each process. It does not know who records.
"""

import hashlib
import re
from typing import Final

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def trace_ids(traceparent: str) -> tuple[str, str] | None:
    """Give trace id and span id of a traceparent as hex digits; None if it is none."""
    matched = _TRACEPARENT.fullmatch(traceparent)
    if matched is None or not int(matched[1], 16) or not int(matched[2], 16):
        return None
    return matched[1], matched[2]


def derived_traceparent(new_id: str, parent: str = "") -> str:
    """Make a traceparent from an id, in the trace of `parent` if there is one; the same one for the same id.

    It is marked as sampled: a process that exports may take the case over from one that does not.
    """
    digest = hashlib.sha256(new_id.encode()).hexdigest()
    above = trace_ids(parent)
    return f"00-{above[0] if above else digest[:32]}-{digest[32:48]}-01"
