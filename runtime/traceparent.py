"""The W3C traceparent, by which everything done for a case belongs to one trace.

It is text in the case's first record and in every task, so it outlives each process. It does not know who records.
"""

import hashlib
import re
from typing import Final

#: Ids of nothing but zeros stand for no trace.
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_LENGTH: Final = 55
#: The last digit of flags whose lowest bit, `sampled`, is not set.
_NOT_SAMPLED: Final = "02468ace"


def trace_ids(traceparent: str) -> tuple[str, str] | None:
    """Give trace id and span id of a traceparent as hex digits; None if it is none."""
    matched = _TRACEPARENT.fullmatch(traceparent)
    return None if matched is None else (matched[1], matched[2])


def trace_numbers(traceparent: str) -> tuple[int, int, int] | None:
    """Give trace id, span id and flags of a traceparent as numbers; None if it is none."""
    matched = _TRACEPARENT.fullmatch(traceparent)
    if matched is None:
        return None
    trace_id, span_id, flags = matched.groups()
    return int(trace_id, 16), int(span_id, 16), int(flags, 16)


def is_unsampled(traceparent: str) -> bool:
    """Say whether its flags ask that nothing be recorded; only its length and its last digit are looked at."""
    return len(traceparent) == _LENGTH and traceparent[-1] in _NOT_SAMPLED


def derived_traceparent(new_id: str, parent: str = "") -> str:
    """Make a traceparent from an id, in the trace of `parent` if there is one; the same one for the same id.

    It is marked as sampled: a process that exports may take the case over from one that does not.
    """
    digest = hashlib.sha256(new_id.encode()).hexdigest()
    above = trace_ids(parent) if parent else None
    return f"00-{above[0] if above else digest[:32]}-{digest[32:48]}-01"
