"""How a case begins: its first record, made the same way for a caller of the runtime and for a parent case.

It does not know who opens it.
"""

from typing import NamedTuple

from msgspec import Raw

from casework.protocols.codec import encode, kind_of
from casework.protocols.records import Opened
from casework.protocols.wire import Mandate
from casework.runtime.flow.case import Flow
from casework.runtime.flow.messages import foreign
from casework.runtime.store.base import CaseKey, Opening, Record


class About(NamedTuple):
    """What a case is for: why data may be looked at, whose budgets its calls draw from, what its tasks may use."""

    purpose: str
    project: str
    user: str
    mandate: Mandate | None = None


def first_entry(
    flow: Flow, inputs: Raw, about: About, *, crew: str, policy_hash: str, trace: str, parent: str = ""
) -> Opened:
    """Make the first entry of a case of a flow, in the version that the crew has now."""
    return Opened(
        flow=flow.name,
        version=flow.version,
        source_hash=flow.source_hash,
        crew=crew,
        inputs=inputs,
        policy_hash=policy_hash,
        parent=parent,
        trace=trace,
        purpose=about.purpose,
        project=about.project,
        user=about.user,
        mandate=about.mandate,
    )


def opening(key: CaseKey, opened: Opened, at: int) -> Opening:
    """Make the opening of a case; `at` is the moment in microseconds since the epoch."""
    record = Record(seq=0, epoch=0, kind=kind_of(opened), step_id="case", at=at, frame=encode(opened))
    return Opening(
        key=key,
        record=record,
        flow=opened.flow,
        version=opened.version,
        source_hash=opened.source_hash,
        crew=opened.crew,
        parent=opened.parent,
        otherwise=foreign(key, opened.parent) if opened.parent else None,
    )
