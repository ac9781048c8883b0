"""How a case begins: its first record, made the same way for a caller of the runtime and for a parent case.

It does not know who opens it.
"""

from typing import Final, NamedTuple

from msgspec import Raw

from casework.protocols.codec import encode, kind_of, unpack
from casework.protocols.records import Child, Opened
from casework.protocols.wire import Mandate
from casework.runtime.flow.case import Flow
from casework.runtime.flow.messages import foreign
from casework.runtime.store.base import CaseKey, Opening, Record

#: Characters of the name of a tenant, a project or a user.
NAME_CHARS_MAX: Final = 200


class About(NamedTuple):
    """What a case is for: why data may be looked at, whose budgets its calls draw from, what its tasks may use."""

    purpose: str
    project: str
    user: str
    mandate: Mandate | None = None


def name_fault(name: str) -> str:
    """Say why something is no name of a tenant, a project or a user, or nothing."""
    if not name or name != name.strip() or not name.isprintable():
        return "a name is printable text without spaces around it"
    return f"a name has at most {NAME_CHARS_MAX} characters" if len(name) > NAME_CHARS_MAX else ""


def named(what: str, name: str) -> str:
    """Give the name of a tenant, a project or a user back; raises ValueError if it is none."""
    if why := name_fault(name):
        raise ValueError(f"{what} {name[:NAME_CHARS_MAX]!r}: {why}")
    return name


def about(purpose: str, project: str, user: str) -> About:
    """Say what a case is for, that nobody opened below another.

    Raises:
        ValueError: the project or the user is no name; empty, it has none.
    """
    for what, name in (("project", project), ("user", user)):
        if name:
            named(what, name)
    return About(purpose, project, user)


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


def below(parent: CaseKey, opened: Opened, child: Child, flow: Flow, *, crew: str, policy_hash: str) -> Opened:
    """Make the first entry of a case that another one opens; it is for what that was opened for.

    Raises:
        FrameInvalid: the inputs are not what the flow takes.
    """
    unpack(child.inputs, flow.inputs)
    what = About(opened.purpose, opened.project, opened.user, child.mandate)
    trace, above = opened.trace, parent.case_id
    return first_entry(flow, child.inputs, what, crew=crew, policy_hash=policy_hash, trace=trace, parent=above)


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
