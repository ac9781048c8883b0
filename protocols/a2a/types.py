"""State, message, part and artifact as A2A 1.0 names them (package `lf.a2a.v1`, ProtoJSON field names).

Only the vocabulary: enum values stand verbatim as on the wire, fields are camelCase there and snake_case here.
It does not know of servers, clients or transports.
"""

import enum
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from casework.protocols.errors import FrameInvalid


class TaskState(enum.StrEnum):
    """Where a task stands, in the words of A2A."""

    SUBMITTED = "TASK_STATE_SUBMITTED"
    WORKING = "TASK_STATE_WORKING"
    COMPLETED = "TASK_STATE_COMPLETED"
    FAILED = "TASK_STATE_FAILED"
    CANCELED = "TASK_STATE_CANCELED"
    INPUT_REQUIRED = "TASK_STATE_INPUT_REQUIRED"
    REJECTED = "TASK_STATE_REJECTED"
    AUTH_REQUIRED = "TASK_STATE_AUTH_REQUIRED"


#: Every legal move of a task. A terminal state has none.
LEGAL: Final[dict[TaskState, frozenset[TaskState]]] = {
    TaskState.SUBMITTED: frozenset(
        {TaskState.WORKING, TaskState.REJECTED, TaskState.CANCELED, TaskState.FAILED, TaskState.COMPLETED}
    ),
    TaskState.WORKING: frozenset(
        {
            TaskState.COMPLETED,
            TaskState.FAILED,
            TaskState.CANCELED,
            TaskState.INPUT_REQUIRED,
            TaskState.AUTH_REQUIRED,
        }
    ),
    TaskState.INPUT_REQUIRED: frozenset({TaskState.WORKING, TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELED}),
    TaskState.AUTH_REQUIRED: frozenset({TaskState.WORKING, TaskState.FAILED, TaskState.CANCELED}),
    TaskState.COMPLETED: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.CANCELED: frozenset(),
    TaskState.REJECTED: frozenset(),
}


class Role(enum.StrEnum):
    """Who speaks."""

    USER = "ROLE_USER"
    AGENT = "ROLE_AGENT"


class Part(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A piece of content: exactly one of `text`, `raw`, `url`, `data` is present."""

    text: str | UnsetType = UNSET
    raw: bytes | UnsetType = UNSET
    url: str | UnsetType = UNSET
    data: object = UNSET
    media_type: str = ""
    filename: str = ""
    metadata: dict[str, object] = {}

    def __post_init__(self) -> None:
        """Refuse a part with no content or with two.

        Raises:
            ValueError: not exactly one content field is present.
        """
        present = [f for f in (self.text, self.raw, self.url, self.data) if f is not UNSET]
        if len(present) != 1:
            raise ValueError(f"a part holds exactly one of text, raw, url, data; this one holds {len(present)}")


class Message(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One turn of a conversation about a task."""

    message_id: str
    role: Role
    parts: tuple[Part, ...]
    context_id: str = ""
    task_id: str = ""
    metadata: dict[str, object] = {}
    extensions: tuple[str, ...] = ()
    reference_task_ids: tuple[str, ...] = ()


class Artifact(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Something that a task made."""

    artifact_id: str
    parts: tuple[Part, ...]
    name: str = ""
    description: str = ""
    metadata: dict[str, object] = {}
    extensions: tuple[str, ...] = ()


def advance(state: TaskState, to: TaskState) -> TaskState:
    """Make one move of a task; the only place that does.

    Raises:
        FrameInvalid: the move is not legal.
    """
    if to not in LEGAL[state]:
        raise FrameInvalid("task state", f"{state} may not become {to}")
    return to
