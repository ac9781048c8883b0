"""The one place that hands spans to OpenTelemetry and numbers to Prometheus, all of them named in `telemetry_table`.

Both libraries are imported when a `Telemetry` that needs them is made, never before; two objects in one process
share nothing. Off, every call is one attribute test, and messages between actors make not even the call. The modules
beside this one, `telemetry_spans`, `telemetry_export` and `telemetry_sdk`, are its hands: nobody else imports them.

One trace belongs to a case for its whole life: its context is made when the case is opened, stands in the case's
first record, and is the parent of everything that any later process does for it. Telemetry may run ahead of the
log, and replay emits none. It does not know what the engine does next, and nothing depends on what it returns
except the traceparents that it makes.
"""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from casework.runtime.seams import Clock, Randomness, SystemClock, SystemRandomness
from casework.runtime.telemetry_export import Exporting, exporting_asked_for
from casework.runtime.telemetry_table import (
    AGENT,
    BUCKETS_SECONDS,
    CASES,
    CHAPTERS,
    CIRCUIT,
    LETTERS,
    MAILBOX,
    METRICS,
    OPEN,
    PARKS,
    RETRIES,
    REVIEWS,
    STEP_TIME,
    STEPS,
    TOOL,
    UNTAKEN,
    WORKFLOW,
    MetricRow,
    SpanRow,
)
from casework.runtime.traceparent import derived_traceparent

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider
    from prometheus_client import Counter, Gauge, Histogram

    from casework.runtime.telemetry_spans import MessageSpan, Spans

Child = TypeVar("Child", "Counter", "Gauge", "Histogram")


#: Different label values of one metric at most; what is beyond counts as `other`, for each one costs memory for ever.
CHILDREN_MAX: Final = 1_000
#: Root spans held between the opening of a case and its first stretch; beyond, the oldest ends early.
ROOTS_MAX: Final = 10_000
#: How circuit breakers may stand, in the order of their numbers.
_CIRCUIT_STATES: Final = ("closed", "half_open", "open")
#: Seconds that a shutdown waits for a collector that does not answer.
SHUTDOWN_SECONDS: Final = 3.0


class SpanHandle:
    """Something that has begun and will end, perhaps in another message of its actor."""

    __slots__ = ("_kind", "_span", "_started", "_telemetry", "traceparent")

    def __init__(
        self, traceparent: str, telemetry: "Telemetry | None" = None, span: "Span | None" = None, kind: str = ""
    ) -> None:
        self.traceparent = traceparent  #: context for what happens inside; the parent's own when nothing records
        self._telemetry = telemetry
        self._span = span
        self._kind = kind
        self._started = telemetry.monotonic() if telemetry is not None and kind else 0.0

    def end(self, error: str = "", *, agent: str = "") -> None:
        """End it, once; `error` is a kind of failure and never a message, `agent` who did the work."""
        telemetry, self._telemetry = self._telemetry, None
        if telemetry is None:
            return
        if self._kind:
            telemetry.took(self._kind, telemetry.monotonic() - self._started)
        if self._span is not None:
            telemetry.end_span(self._span, error, agent)


class BeginMessage(Protocol):
    """Begins the span of one message that an actor handles."""

    def __call__(self, kind: str, trace: str, *, asked: bool) -> "SpanHandle | MessageSpan":
        """Begin it; the handle's traceparent is what the messages that the handler sends are to carry.

        Args:
            kind: of actor, of which there are few; it becomes part of the span's name.
            trace: the traceparent that came with the message; if it is not sampled, nothing is begun, and it goes on.
            asked: an ask, whose span is a child of `trace`; otherwise the span begins a trace and links to `trace`.
        """
        ...


class Telemetry:
    """What one runtime tells of itself: spans to a tracer, numbers to a registry of its own."""

    def __init__(
        self, *, provider: "TracerProvider | None" = None, metrics: bool = False, clock: Clock | None = None
    ) -> None:
        """Make one that records spans if there is a `provider`, and numbers if `metrics` is true."""
        self._clock = clock or SystemClock()
        self._spans = None if provider is None else _spans(provider, self._clock)
        #: Begins the span of one message; which way is decided once, for each message would pay to ask again.
        self.message: BeginMessage = _unrecorded if self._spans is None else self._spans.message
        self._owned: Exporting | None = None
        self._numbers = _Numbers() if metrics else None
        self._roots: dict[str, Span] = {}
        self._samplers: list[Callable[[], None]] = []
        self.tracing = provider is not None  #: whether spans are recorded
        self.recording = self.tracing or metrics  #: whether anything is recorded

    @classmethod
    def off(cls) -> "Telemetry":
        """Make one that records nothing."""
        return cls()

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        metrics: bool = False,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
    ) -> "Telemetry":
        """Make one that exports spans if the standard environment variables say so.

        Spans go out when an OTLP endpoint is named or OTEL_TRACES_EXPORTER is `otlp` or `console`. Without the
        package that exports, one warning is logged that names the extra, and no span is recorded.
        """
        owned = exporting_asked_for(os.environ if environ is None else environ, randomness or SystemRandomness())
        telemetry = cls(provider=owned.provider if owned else None, metrics=metrics, clock=clock)
        telemetry._owned = owned
        return telemetry

    def case_opened(self, flow: str, case_id: str, new_id: str, *, parent: str = "") -> str:
        """Make the traceparent of a new case, below `parent` if it has one; `new_id` is a fresh unique id."""
        derived = derived_traceparent(new_id, parent)
        if not self.tracing:
            return derived
        traceparent, span = self._start(WORKFLOW, flow, parent, _workflow(flow, case_id))
        if span is None:
            return derived
        if len(self._roots) >= ROOTS_MAX:
            self.end_span(self._roots.pop(next(iter(self._roots))), "", "")
        self._roots[traceparent] = span
        return traceparent

    def case_run(self, flow: str, case_id: str, trace: str) -> SpanHandle:
        """Begin a stretch of a case in memory; `trace` stands in its first record."""
        if not self.tracing:
            return SpanHandle(trace)
        root = self._roots.pop(trace, None)
        if root is not None:
            return SpanHandle(trace, self, root)
        return self._begin(WORKFLOW, flow, trace, _workflow(flow, case_id))

    def agent_work(self, task: str, trace: str, case_id: str, step_id: str) -> SpanHandle:
        """Begin one attempt at a task below the span `trace`."""
        if not self.recording:
            return SpanHandle(trace)
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": task,
            "gen_ai.conversation.id": case_id,
            "casework.step.id": step_id,
            "casework.task.name": task,
        }
        return self._begin(AGENT, task, trace, attributes, kind="task")

    def tool_call(self, tool: str, trace: str, case_id: str, step_id: str) -> SpanHandle:
        """Begin one tool call below the span `trace`."""
        if not self.recording:
            return SpanHandle(trace)
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "gen_ai.tool.call.id": step_id,
            "gen_ai.conversation.id": case_id,
        }
        return self._begin(TOOL, tool, trace, attributes, kind="call")

    def case_closed(self, flow: str, result: str) -> None:
        """Count a case that closed."""
        if self._numbers is not None:
            self._numbers.add(CASES, flow, result)

    def recorded(self, kind: str) -> None:
        """Count a record that was written to a case's log (not one that was replayed)."""
        if self._numbers is not None:
            self._numbers.add(STEPS, kind)
            if kind == "parked":
                self._numbers.add(PARKS)

    def retried(self, task: str) -> None:
        """Count a task that is tried again."""
        if self._numbers is not None:
            self._numbers.add(RETRIES, task)

    def chapter_long(self, flow: str) -> None:
        """Count a chapter of a case that has become long to replay."""
        if self._numbers is not None:
            self._numbers.add(CHAPTERS, flow)

    def untaken(self, flow: str) -> None:
        """Count what a case sent to another one that was not there or had closed."""
        if self._numbers is not None:
            self._numbers.add(UNTAKEN, flow)

    def set_aside(self, kind: str) -> None:
        """Count a dead letter: a `task`, a `message` or a `case` that is not tried again by itself."""
        if self._numbers is not None:
            self._numbers.add(LETTERS, kind)

    def reviewed(self, action: str) -> None:
        """Count a person's decision."""
        if self._numbers is not None:
            self._numbers.add(REVIEWS, action)

    def mailbox_depth(self, actor: str, depth: int) -> None:
        """Set how many messages wait for an actor, or for actors of one kind."""
        if self._numbers is not None:
            self._numbers.set(MAILBOX, depth, actor)

    def circuit(self, kind: str, name: str, state: str) -> None:
        """Set how a circuit breaker stands."""
        if self._numbers is not None:
            self._numbers.set(CIRCUIT, _CIRCUIT_STATES.index(state), kind, name)

    def cases_open(self, count: int) -> None:
        """Set how many cases are in memory."""
        if self._numbers is not None:
            self._numbers.set(OPEN, count)

    def took(self, kind: str, seconds: float) -> None:
        """Observe how long a task or call took."""
        if self._numbers is not None:
            self._numbers.observe(STEP_TIME, seconds, kind)

    def before_expose(self, sample: Callable[[], None]) -> Callable[[], None]:
        """Call `sample` before numbers are shown: it sets gauges, so that nobody needs to do so all the time.

        What this gives is to be called once, when there is nothing more to look at: it calls `sample` a last time.
        """
        self._samplers.append(sample)

        def end() -> None:
            self._samplers.remove(sample)
            sample()

        return end

    def expose(self) -> bytes:
        """Give the numbers in Prometheus' text format; empty when there are none."""
        if self._numbers is None:
            return b""
        for sample in self._samplers:
            sample()
        return self._numbers.text()

    def monotonic(self) -> float:
        """Give seconds that never go back."""
        return self._clock.monotonic()

    def end_span(self, span: "Span", error: str, agent: str) -> None:
        """End a span; `error` marks it as failed, `agent` gives it its final name."""
        assert self._spans is not None, "a span was made by what makes spans"
        self._spans.end(span, error, agent)

    def shutdown(self, timeout_seconds: float = SHUTDOWN_SECONDS) -> None:
        """Send what waits and stop, for at most so many seconds; blocks. A provider handed in is left alone."""
        for span in self._roots.values():
            self.end_span(span, "", "")
        self._roots.clear()
        self.tracing = False
        self.message = _unrecorded
        owned, self._owned = self._owned, None
        if owned is not None:
            owned.shutdown(timeout_seconds)

    def _begin(
        self, row: SpanRow, about: str, trace: str, attributes: Mapping[str, str], *, kind: str = ""
    ) -> SpanHandle:
        """Begin a span of the table below `trace`; `kind` has its time observed as well."""
        traceparent, span = self._start(row, about, trace, attributes)
        return SpanHandle(traceparent, self, span, kind)

    def _start(self, row: SpanRow, about: str, trace: str, attributes: Mapping[str, str]) -> "tuple[str, Span | None]":
        if self._spans is None or not self.tracing:
            return trace, None
        return self._spans.start(row, about, trace, attributes)


class _Numbers:
    """The metrics of one `Telemetry`, in a registry of its own, their labelled children cached."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = registry = CollectorRegistry()
        rows = {kind: [row for row in METRICS if row.kind == kind] for kind in ("counter", "gauge", "histogram")}
        self._counters = _Family(
            {r.name: Counter(r.name, r.help, r.labels, registry=registry) for r in rows["counter"]}
        )
        self._gauges = _Family({r.name: Gauge(r.name, r.help, r.labels, registry=registry) for r in rows["gauge"]})
        self._histograms = _Family(
            {
                r.name: Histogram(r.name, r.help, r.labels, registry=registry, buckets=BUCKETS_SECONDS)
                for r in rows["histogram"]
            }
        )

    def add(self, row: MetricRow, *labels: str) -> None:
        self._counters.child(row, labels).inc()

    def set(self, row: MetricRow, value: float, *labels: str) -> None:
        self._gauges.child(row, labels).set(value)

    def observe(self, row: MetricRow, value: float, *labels: str) -> None:
        self._histograms.child(row, labels).observe(value)

    def text(self) -> bytes:
        from prometheus_client import generate_latest

        return generate_latest(self._registry)


class _Family(Generic[Child]):
    """Metrics of one kind; binding a child to its labels anew costs more than counting."""

    def __init__(self, parents: Mapping[str, Child]) -> None:
        self._parents: Mapping[str, Child] = parents
        self._children: dict[str, dict[tuple[str, ...], Child]] = {name: {} for name in parents}

    def child(self, row: MetricRow, labels: tuple[str, ...]) -> Child:
        if not labels:
            return self._parents[row.name]
        children = self._children[row.name]
        child = children.get(labels)
        if child is None:
            kept = labels if len(children) < CHILDREN_MAX else ("other",) * len(labels)
            child = self._parents[row.name].labels(*kept)
            if kept is labels:
                children[labels] = child
        return child


def _unrecorded(kind: str, trace: str, *, asked: bool) -> SpanHandle:
    """Begin no span; a `BeginMessage`."""
    del kind, asked
    return SpanHandle(trace)


def _spans(provider: "TracerProvider", clock: Clock) -> "Spans":
    from casework.runtime.telemetry_spans import Spans

    return Spans(provider, clock)


def _workflow(flow: str, case_id: str) -> dict[str, str]:
    return {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": flow,
        "gen_ai.conversation.id": case_id,
    }
