"""The words of A2A 1.0, verbatim as on the wire, and the moves of a task that they allow."""

import itertools

import msgspec
import pytest

from casework.protocols.a2a.types import LEGAL, Artifact, Message, Part, Role, TaskState, advance
from casework.protocols.errors import FrameInvalid

TERMINAL = {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELED, TaskState.REJECTED}
MOVES = list(itertools.product(TaskState, TaskState))


def told(message: msgspec.Struct) -> object:
    return msgspec.json.decode(msgspec.json.encode(message))


def test_states_are_spelt_as_on_the_wire() -> None:
    assert [state.value for state in TaskState] == [
        "TASK_STATE_SUBMITTED",
        "TASK_STATE_WORKING",
        "TASK_STATE_COMPLETED",
        "TASK_STATE_FAILED",
        "TASK_STATE_CANCELED",
        "TASK_STATE_INPUT_REQUIRED",
        "TASK_STATE_REJECTED",
        "TASK_STATE_AUTH_REQUIRED",
    ]


def test_roles_are_spelt_as_on_the_wire() -> None:
    assert [role.value for role in Role] == ["ROLE_USER", "ROLE_AGENT"]


@pytest.mark.parametrize("never_sent", ["TASK_STATE_UNSPECIFIED", "TASK_STATE_CANCELLED", "completed"])
def test_words_of_other_versions_are_refused(never_sent: str) -> None:
    with pytest.raises(ValueError, match=never_sent):
        TaskState(never_sent)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_follows_a_terminal_state(state: TaskState) -> None:
    assert LEGAL[state] == frozenset()


def test_every_state_that_is_not_terminal_leads_somewhere() -> None:
    assert {state for state in TaskState if not LEGAL[state]} == TERMINAL


def test_only_a_submitted_task_can_be_rejected() -> None:
    assert [state for state in TaskState if TaskState.REJECTED in LEGAL[state]] == [TaskState.SUBMITTED]


def test_work_can_always_be_taken_up_again_after_an_interruption() -> None:
    for interrupted in (TaskState.INPUT_REQUIRED, TaskState.AUTH_REQUIRED):
        assert advance(interrupted, TaskState.WORKING) is TaskState.WORKING


@pytest.mark.parametrize(("state", "to"), MOVES, ids=lambda state: state.name)
def test_a_task_moves_as_the_table_says_and_no_other_way(state: TaskState, to: TaskState) -> None:
    if to in LEGAL[state]:
        assert advance(state, to) is to
    else:
        with pytest.raises(FrameInvalid, match=f"{state} may not become {to}"):
            advance(state, to)


@pytest.mark.parametrize(
    ("part", "wire"),
    [
        (Part(text="hi"), {"text": "hi"}),
        (Part(text=""), {"text": ""}),
        (Part(raw=b"\x00\xff"), {"raw": "AP8="}),
        (Part(url="https://example.org/r.pdf"), {"url": "https://example.org/r.pdf"}),
        (Part(data={"a": 1}), {"data": {"a": 1}}),
        (Part(data=None), {"data": None}),
        (Part(text="x", media_type="text/plain", filename="x.txt"),
         {"text": "x", "mediaType": "text/plain", "filename": "x.txt"}),
    ],
)  # fmt: skip
def test_a_part_is_told_by_its_one_content_field(part: Part, wire: dict[str, object]) -> None:
    assert told(part) == wire
    assert msgspec.json.decode(msgspec.json.encode(wire), type=Part) == part


@pytest.mark.parametrize(
    "content", [{}, {"text": "x", "url": "y"}, {"raw": "", "data": None}, {"text": "", "raw": "", "url": "", "data": 0}]
)
def test_a_part_without_content_or_with_two_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match="exactly one of text, raw, url, data"):
        msgspec.json.decode(msgspec.json.encode(content), type=Part)


def test_a_part_cannot_be_made_with_two_contents_either() -> None:
    with pytest.raises(ValueError, match="this one holds 2"):
        Part(text="x", data=None)


def test_a_message_uses_the_names_of_the_wire_and_leaves_out_what_is_empty() -> None:
    message = Message(message_id="m1", role=Role.USER, parts=(Part(text="hi"),), context_id="c1")
    assert told(message) == {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": "hi"}], "contextId": "c1"}


def test_a_message_reads_references_and_passes_over_what_it_does_not_know() -> None:
    wire = {
        "messageId": "m1",
        "role": "ROLE_AGENT",
        "parts": [{"data": [1, 2]}],
        "referenceTaskIds": ["t1"],
        "fromTheFuture": {"x": 1},
    }
    message = msgspec.json.decode(msgspec.json.encode(wire), type=Message)
    assert (message.role, message.reference_task_ids, message.parts[0].data) == (Role.AGENT, ("t1",), [1, 2])


def test_an_artifact_is_read_back_as_it_was_told() -> None:
    artifact = Artifact(artifact_id="a1", parts=(Part(url="artifact:ab"),), name="overview", extensions=("e",))
    assert told(artifact) == {
        "artifactId": "a1",
        "parts": [{"url": "artifact:ab"}],
        "name": "overview",
        "extensions": ["e"],
    }
    assert msgspec.json.decode(msgspec.json.encode(artifact), type=Artifact) == artifact
