"""Messages between real actors: which of them become spans, how those hang together, and that off means off."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Literal

import anyio
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import AskFailed
from casework.runtime.mailbox import Envelope
from casework.runtime.ref import Ref
from casework.runtime.runtime import Runtime
from casework.runtime.telemetry import Telemetry
from casework.runtime.telemetry_spans import MessageSpan
from casework.runtime.traceparent import trace_numbers
from tests.support import tracing
from tests.support.flow_scene import crew

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = f"{TRACE[:-2]}00"

Receive = Callable[[Context, Envelope], Awaitable[None]]


class Acting:
    """A behavior made of one function."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def receive(self, context: Context, envelope: Envelope) -> None:
        await self._receive(context, envelope)


class Counting:
    """Begins the spans of a `Telemetry`, and remembers what it was called with."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.calls: list[tuple[str, str, bool]] = []
        self._telemetry = telemetry

    def message(self, kind: str, trace: str, *, asked: bool) -> MessageSpan:
        self.calls.append((kind, trace, asked))
        handle = self._telemetry.message(kind, trace, asked=asked)
        assert isinstance(handle, MessageSpan)
        return handle


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def messages(exporter: InMemorySpanExporter) -> Iterator[Counting]:
    provider = tracing.provider(SimpleSpanProcessor(exporter))
    yield Counting(Telemetry(provider=provider))
    provider.shutdown()


async def echo(context: Context, envelope: Envelope) -> None:
    context.reply(envelope.frame)


def asking(below: str) -> Receive:
    async def receive(context: Context, envelope: Envelope) -> None:
        context.reply(await context.ask(_ref(context, below), envelope.frame, timeout_seconds=5))

    return receive


def telling(below: str) -> Receive:
    async def receive(context: Context, envelope: Envelope) -> None:
        context.tell_nowait(_ref(context, below), envelope.frame)

    return receive


def _ref(context: Context, address: str) -> Ref:
    ref = context.system.lookup(address)
    assert ref is not None
    return ref


def _spawn(system: ActorSystem, address: str, receive: Receive) -> Ref:
    return system.spawn(address, lambda: Acting(receive))


def _ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def _parent(span: ReadableSpan) -> tuple[int, int] | None:
    return (span.parent.trace_id, span.parent.span_id) if span.parent else None


def _links(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def _named(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


@pytest.mark.promise("KERNEL-18")
async def test_asks_across_two_hops_are_one_trace_each_below_the_last(
    messages: Counting, exporter: InMemorySpanExporter
) -> None:
    with anyio.fail_after(5):
        async with ActorSystem(messages=messages) as system:
            _spawn(system, "ledger", echo)
            _spawn(system, "clerk", asking("ledger"))
            desk = _spawn(system, "desk", asking("clerk"))
            assert await desk.ask(b"x", timeout_seconds=5, trace=TRACE) == b"x"
            await system.wait_quiet()
    spans = _named(exporter)
    caller = trace_numbers(TRACE)
    assert caller is not None
    assert _parent(spans["process desk"]) == caller[:2]
    assert _parent(spans["process clerk"]) == _ids(spans["process desk"])
    assert _parent(spans["process ledger"]) == _ids(spans["process clerk"])
    assert not any(span.links for span in spans.values())


@pytest.mark.promise("KERNEL-18")
async def test_a_tell_begins_a_trace_that_links_to_the_one_who_told(
    messages: Counting, exporter: InMemorySpanExporter
) -> None:
    with anyio.fail_after(5):
        async with ActorSystem(messages=messages) as system:
            _spawn(system, "ledger", echo)
            _spawn(system, "clerk", asking("ledger"))
            desk = _spawn(system, "desk", telling("clerk"))
            desk.tell_nowait(b"x", trace=TRACE)
            await system.wait_quiet()
    spans = _named(exporter)
    caller = trace_numbers(TRACE)
    assert caller is not None
    assert _parent(spans["process desk"]) is _parent(spans["process clerk"]) is None
    assert _links(spans["process desk"]) == [caller[:2]]
    assert _links(spans["process clerk"]) == [_ids(spans["process desk"])]
    assert _parent(spans["process ledger"]) == _ids(spans["process clerk"])
    assert len({_ids(spans[name])[0] for name in ("process desk", "process clerk")} | {caller[0]}) == 3


async def test_actors_of_one_kind_share_the_name_of_their_spans(
    messages: Counting, exporter: InMemorySpanExporter
) -> None:
    with anyio.fail_after(5):
        async with ActorSystem(messages=messages) as system:
            for address in ("case:42", "case:43", "worker-7", "worker-8"):
                await _spawn(system, address, echo).ask(b"x", timeout_seconds=5, trace=TRACE)
    assert {span.name for span in exporter.get_finished_spans()} == {"process case", "process worker"}


@pytest.mark.promise("KERNEL-18")
async def test_a_handler_that_fails_marks_its_span_and_the_next_message_has_one_of_its_own(
    messages: Counting, exporter: InMemorySpanExporter
) -> None:
    async def receive(context: Context, envelope: Envelope) -> None:
        if envelope.frame == b"boom":
            raise ValueError("the contents of a case")
        context.reply(envelope.frame)

    with anyio.fail_after(5):
        async with ActorSystem(messages=messages) as system:
            clerk = _spawn(system, "clerk", receive)
            with pytest.raises(AskFailed):
                await clerk.ask(b"boom", timeout_seconds=5, trace=TRACE)
            assert await clerk.ask(b"x", timeout_seconds=5, trace=TRACE) == b"x"
    failed, handled = exporter.get_finished_spans()
    assert failed.status.status_code is StatusCode.ERROR
    assert (failed.attributes or {})["error.type"] == "ValueError"
    assert "contents" not in failed.to_json()
    assert handled.status.is_ok
    assert "error.type" not in (handled.attributes or {})


async def test_a_handler_whose_asker_gave_up_ends_its_span_as_failed(
    messages: Counting, exporter: InMemorySpanExporter
) -> None:
    begun = anyio.Event()

    async def receive(context: Context, envelope: Envelope) -> None:
        begun.set()
        await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with ActorSystem(messages=messages) as system, anyio.create_task_group() as group:
            clerk = _spawn(system, "clerk", receive)

            async def ask() -> None:
                await clerk.ask(b"x", timeout_seconds=5, trace=TRACE)

            group.start_soon(ask)
            await begun.wait()
            group.cancel_scope.cancel()
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"]


async def test_a_message_without_a_trace_makes_no_span(messages: Counting, exporter: InMemorySpanExporter) -> None:
    with anyio.fail_after(5):
        async with ActorSystem(messages=messages) as system:
            _spawn(system, "ledger", echo)
            clerk = _spawn(system, "clerk", asking("ledger"))
            assert await clerk.ask(b"x", timeout_seconds=5) == b"x"
            clerk.tell_nowait(b"x")
            await system.wait_quiet()
    assert not messages.calls
    assert not exporter.get_finished_spans()


async def test_what_is_not_sampled_stays_so_over_every_hop(messages: Counting, exporter: InMemorySpanExporter) -> None:
    with anyio.fail_after(5):
        async with ActorSystem(messages=messages) as system:
            _spawn(system, "ledger", echo)
            _spawn(system, "clerk", asking("ledger"))
            await _spawn(system, "desk", asking("clerk")).ask(b"x", timeout_seconds=5, trace=UNSAMPLED)
    assert messages.calls == [(kind, UNSAMPLED, True) for kind in ("desk", "clerk", "ledger")]
    assert not exporter.get_finished_spans()


async def test_without_telemetry_the_trace_is_handed_on_as_it_came() -> None:
    seen: list[str] = []

    async def receive(context: Context, envelope: Envelope) -> None:
        seen.append(envelope.trace)
        context.reply(context.trace.encode())

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            _spawn(system, "ledger", receive)
            _spawn(system, "clerk", asking("ledger"))
            desk = _spawn(system, "desk", asking("clerk"))
            assert await desk.ask(b"x", timeout_seconds=5, trace=TRACE) == TRACE.encode()
    assert seen == [TRACE]


@pytest.mark.promise("KERNEL-18")
@pytest.mark.parametrize("which", ["off", "numbers alone", "spans"])
async def test_a_runtime_calls_telemetry_for_messages_only_if_it_records_spans(
    messages: Counting, which: Literal["off", "numbers alone", "spans"]
) -> None:
    provider = tracing.provider() if which == "spans" else None
    telemetry = Telemetry(provider=provider, metrics=which != "off")
    telemetry.message = messages.message
    with anyio.fail_after(5):
        async with Runtime(crew(), "memory:", telemetry=telemetry) as machine:
            clerk = _spawn(machine.node._system, "clerk", echo)
            assert await clerk.ask(b"x", timeout_seconds=5, trace=TRACE) == b"x"
    assert messages.calls == ([("clerk", TRACE, True)] if which == "spans" else [])
