"""The table of every span, metric and attribute: the contract with dashboards.

Nothing is emitted that does not stand here, and only ids, names and hashes are, never contents of a case. Names of
`gen_ai.*` and `messaging.*` follow the OpenTelemetry conventions for generative systems and for messaging. It does
not know how anything is emitted.
"""

from typing import Final

from msgspec import Struct


class AttributeRow(Struct, frozen=True):
    """One attribute that a span may carry."""

    name: str
    help: str


class SpanRow(Struct, frozen=True):
    """One kind of span; `{}` in its name stands for what it is about."""

    name: str
    help: str
    attributes: tuple[str, ...]
    kind: str = "internal"
    """What OpenTelemetry calls the span's kind."""


class MetricRow(Struct, frozen=True):
    """One metric; `kind` is counter, gauge or histogram."""

    name: str
    kind: str
    help: str
    unit: str
    labels: tuple[str, ...] = ()


ATTRIBUTES: Final = (
    AttributeRow("gen_ai.operation.name", "What the span is: invoke_workflow, invoke_agent or execute_tool."),
    AttributeRow("gen_ai.workflow.name", "Name of the flow."),
    AttributeRow("gen_ai.agent.name", "Name of the agent; of the task, until an agent has answered."),
    AttributeRow("gen_ai.tool.name", "Name of the tool."),
    AttributeRow("gen_ai.tool.call.id", "Step of the case that the call is."),
    AttributeRow("gen_ai.conversation.id", "Id of the case."),
    AttributeRow("casework.step.id", "Step of the case that the task is."),
    AttributeRow("casework.task.name", "Skill that was asked for."),
    AttributeRow("messaging.system", "Whose mailboxes they are: casework."),
    AttributeRow("messaging.operation.name", "What is done with the message: process."),
    AttributeRow("messaging.operation.type", "The same in the words of the conventions: process."),
    AttributeRow("messaging.destination.name", "Kind of actor: its address before the first colon, without a number."),
    AttributeRow("error.type", "Kind of failure; absent when there was none."),
)

_COMMON: Final = ("gen_ai.operation.name", "gen_ai.conversation.id", "error.type")
WORKFLOW: Final = SpanRow(
    "invoke_workflow {}",
    "One stretch of a case in memory. The first one is the root of the case's trace.",
    (*_COMMON, "gen_ai.workflow.name"),
)
AGENT: Final = SpanRow(
    "invoke_agent {}",
    "One attempt at a task.",
    (*_COMMON, "gen_ai.agent.name", "casework.step.id", "casework.task.name"),
)
TOOL: Final = SpanRow(
    "execute_tool {}",
    "One tool call, at the moment when it is made.",
    (*_COMMON, "gen_ai.tool.name", "gen_ai.tool.call.id"),
)
MESSAGE: Final = SpanRow(
    "process {}",
    "One message handled by an actor. An ask is a child of what asked; a tell is a trace of its own, with a link.",
    (
        "messaging.system",
        "messaging.operation.name",
        "messaging.operation.type",
        "messaging.destination.name",
        "error.type",
    ),
    "consumer",
)
SPANS: Final = (WORKFLOW, AGENT, TOOL, MESSAGE)

CASES: Final = MetricRow("casework_cases_total", "counter", "Cases that closed.", "cases", ("flow", "result"))
STEPS: Final = MetricRow("casework_steps_total", "counter", "Records written to case logs.", "records", ("kind",))
RETRIES: Final = MetricRow("casework_retries_total", "counter", "Tasks that were tried again.", "tasks", ("task",))
PARKS: Final = MetricRow("casework_parks_total", "counter", "Waits for named things.", "waits")
CHAPTERS: Final = MetricRow(
    "casework_chapters_long_total", "counter", "Chapters of cases that are long to replay.", "chapters", ("flow",)
)
UNTAKEN: Final = MetricRow(
    "casework_messages_untaken_total", "counter", "Messages to cases that were not there.", "messages", ("flow",)
)
LETTERS: Final = MetricRow(
    "casework_dead_letters_total", "counter", "Tasks, messages and cases that were set aside.", "letters", ("kind",)
)
REVIEWS: Final = MetricRow("casework_reviews_total", "counter", "Decisions of people.", "decisions", ("action",))
MAILBOX: Final = MetricRow("casework_mailbox_depth", "gauge", "Messages that wait.", "messages", ("actor",))
STEP_TIME: Final = MetricRow("casework_step_seconds", "histogram", "Time a task or call took.", "seconds", ("kind",))
OPEN: Final = MetricRow("casework_cases_open", "gauge", "Cases in memory.", "cases")
CIRCUIT: Final = MetricRow(
    "casework_circuit_state",
    "gauge",
    "Circuit breakers of agents, tools and models: 0 closed, 1 half open, 2 open.",
    "state",
    ("kind", "name"),
)
METRICS: Final = (CASES, STEPS, RETRIES, PARKS, CHAPTERS, UNTAKEN, LETTERS, REVIEWS, MAILBOX, STEP_TIME, OPEN, CIRCUIT)

#: Upper bounds of `casework_step_seconds`: from a lookup in memory to a slow model.
BUCKETS_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
