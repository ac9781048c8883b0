"""What pointers point to is fetched on use and recorded nowhere; what changed or is gone is told, not shown."""

import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import anyio
import anyio.lowlevel
import pytest
from msgspec import Struct
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from casework.actors import Crew, CrewInvalid, Policy, SourceContext, ToolContext, source, tool
from casework.actors.errors import NotFetched, PointerChanged, PointerGone, SourceFailed
from casework.actors.simulation.effects import Effects
from casework.actors.simulation.wired import wired
from casework.actors.sources import Sources
from casework.actors.testing import CaseBench, crash_anywhere
from casework.actors.testing.people import FakePerson
from casework.actors.tools import Tool
from casework.actors.trace import jaeger_json
from casework.protocols import Pointer, RiskTier
from casework.protocols.codec import pack
from casework.protocols.records import CaseResult, Intent, ReviewAction
from casework.protocols.wire import FailureKind
from casework.runtime import Flow, Runtime, Telemetry
from casework.runtime.export import export_case
from casework.runtime.flow.case import Case
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey, CaseStatus, WaitKind
from tests.support import tracing
from tests.support.pointing_crew import ANNA, MAIL, MOVED, PERSONAL, TO_ANNA, Outside, Payee, Payout, crew
from tests.support.staff_scene import Scene

INPUTS = Payout(TO_ANNA, 1_250)
APPROVES = FakePerson(rule="look")
#: Told where Anna's account has changed.
CHANGED = f"Payee 'p-17' is not what was pointed to: it has changed since it had hash {TO_ANNA.sha256}"
GONE = "Payee 'p-17' is not there any more"


def lost() -> object:
    raise ConnectionError(f"no answer about {MAIL}")


def odd() -> object:
    return {"email": MAIL}


def kept_in(folder: Path) -> bytes:
    """Give every byte that a store has left in a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


def assert_impersonal(*texts: bytes) -> None:
    assert not [word for word in PERSONAL for text in texts if word in text]


class Kept(NamedTuple):
    """All that is left of a case that was worked."""

    stored: bytes
    exported: bytes
    trace: bytes
    spans: bytes


async def worked(outside: Outside, folder: Path, flow: str) -> Kept:
    """Work a case on a file, with a restart while it waits for a person, and give what is left of it."""
    key, url, spans = CaseKey("default", "c1"), f"sqlite:///{folder / 'cases.db'}", InMemorySpanExporter()
    telemetry = Telemetry(provider=tracing.provider(SimpleSpanProcessor(spans)))
    with anyio.fail_after(20):
        async with Runtime(crew(outside), url, telemetry=telemetry) as first:
            await first.open(flow, "c1", INPUTS)
            row = await first.wait("c1")
            while row.status is not CaseStatus.CLOSED and not await first.store.reviews():
                await anyio.lowlevel.checkpoint()
            reviews = await first.store.reviews()
        async with Runtime(crew(outside), url, telemetry=telemetry) as second:
            for review in reviews:
                await second.decide(review.id, ReviewAction.APPROVE, by="ann")
                row = await second.wait("c1")
            assert row.status is CaseStatus.CLOSED
            text = await export_case(second.store, url, key, with_children=True)
            logs = [(each, await second.store.records(each.key)) for each in await second.store.cases("default")]
    trace = json.dumps(jaeger_json(logs, contents=True)).encode()
    shown = "".join(span.to_json() for span in spans.get_finished_spans()).encode()
    return Kept(kept_in(folder), text, trace, shown)


@pytest.mark.promise("POINTER-1")
async def test_no_log_export_or_trace_of_a_whole_case_holds_what_is_pointed_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    outside = Outside()
    kept = await worked(outside, tmp_path, "payout")
    assert list(outside.paid.values()) == [(ANNA.iban, 1_250)]
    assert b"p-17" in kept.stored
    assert TO_ANNA.sha256.encode() in kept.stored
    assert b"c1/kid" in kept.exported
    assert b"execute_tool pay" in kept.spans
    assert_impersonal(*kept, caplog.text.encode())


@pytest.mark.promise("POINTER-1")
@pytest.mark.parametrize("now", [MOVED, None, lost, odd], ids=["changed", "gone", "lost", "odd"])
async def test_neither_do_they_where_it_was_not_had(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, now: "Payee | Callable[[], object] | None"
) -> None:
    caplog.set_level(logging.DEBUG)
    outside = Outside()
    outside.book = {} if now is None else {"p-17": now}
    kept = await worked(outside, tmp_path, "pays")
    assert not outside.paid
    assert_impersonal(*kept, caplog.text.encode())


@pytest.mark.promise("POINTER-1")
async def test_a_replay_fetches_nothing_and_gives_the_same_bytes() -> None:
    outside = Outside()
    async with CaseBench(crew(outside)) as bench:
        await bench.open("payout", "c1", INPUTS)
        before, asked = bench.log("c1").records, list(outside.asked)
        outside.book = {"p-17": lost}
        await bench.crash()
        assert bench.log("c1").records == before
        assert outside.asked == asked == ["default:p-17"] * 3
        outside.book = {"p-17": ANNA}
        await bench.decide("approve", rule="look")
        assert bench.value("c1", str) == "t-1"
        assert bench.log("c1").records[: len(before)] == before
        assert outside.asked == ["default:p-17"] * 4


async def test_a_case_that_points_survives_a_crash_at_every_append() -> None:
    outside, runs = Outside(), list[object]()

    def paid() -> object:
        runs.append(sorted(outside.paid.values()))
        return runs[-1]

    with anyio.fail_after(30):
        whole = await crash_anywhere(
            crew(outside), "payout", INPUTS, people=[APPROVES], fresh=outside.paid.clear, watch=paid
        )
    assert whole.value == "t-1"
    assert runs == [[(ANNA.iban, 1_250)]] * len(runs)
    assert len(runs) > 2 * whole.appends


@pytest.mark.promise("POINTER-1")
@pytest.mark.parametrize(
    ("now", "told"),
    [
        (MOVED, f"error: {CHANGED}"),
        (None, f"error: {GONE}"),
        (lost, "unavailable: Payee 'p-17' was not had: its source raised ConnectionError at test_sources.py:"),
        (odd, "error: Payee 'p-17' was not had: its source gave a dict"),
    ],
    ids=["changed", "gone", "lost", "odd"],
)
async def test_a_call_and_a_task_fail_and_did_not_happen_where_it_is_not_what_it_was(
    now: "Payee | Callable[[], object] | None", told: str
) -> None:
    outside = Outside()
    outside.book = {} if now is None else {"p-17": now}
    async with CaseBench(crew(outside)) as bench:
        await bench.open("pays", "c1", INPUTS)
        await bench.forward(minutes=10)
        assert bench.row("c1").result == CaseResult.COMPLETED, "a failure that is known asks nobody"
        assert bench.value("c1", str).startswith(told)
        bench.log("c1").assert_has("task screen", "noted note", "intent pay", "undone pay", "closed completed")
    assert not outside.paid


@pytest.mark.promise("POINTER-1")
async def test_what_was_approved_is_paid_only_while_it_is_the_same() -> None:
    outside = Outside()
    async with CaseBench(crew(outside)) as bench:
        await bench.open("payout", "c1", INPUTS)
        outside.book["p-17"] = MOVED
        await bench.decide("approve", rule="look")
        assert bench.row("c1").result == CaseResult.FAILED
        assert CHANGED in bench.log("c1").told()
    assert not outside.paid


async def test_bytes_and_key_of_a_call_come_from_the_pointer_alone() -> None:
    intents: list[Intent] = []
    for now in (ANNA, MOVED):
        outside = Outside()
        outside.book["p-17"] = now
        async with CaseBench(crew(outside)) as bench:
            await bench.open("pays", "c1", INPUTS)
            intents += [each for each in bench.log("c1").entries if isinstance(each, Intent)]
    one, other = intents
    assert bytes(one.arguments) == bytes(other.arguments) == bytes(pack(INPUTS))
    assert one.key == other.key


async def test_what_is_no_pointer_does_not_pass_the_gate() -> None:
    outside = Outside()
    async with CaseBench(crew(outside)) as bench:
        await bench.open("hands_on", "c1", INPUTS)
        assert bench.value("c1", str).startswith("refused: bytes are not a valid Known: Object contains unknown field")
    assert not outside.asked
    assert MAIL not in bench.log("c1").told().rpartition("closed")[2]


@pytest.mark.promise("POINTER-1")
async def test_a_flow_cannot_fetch_and_is_told_who_can() -> None:
    async with CaseBench(crew(Outside())) as bench:
        await bench.open("peeks", "c1", INPUTS)
        (wait,) = bench.waits("c1")
        assert wait.kind is WaitKind.OPERATOR
        assert "a flow cannot fetch what a pointer points to, its log would keep it" in wait.reason


# What became of a write that nobody saw end.


class Sent(Struct, frozen=True):
    payee: Pointer[Payee]


def sends(*, lookup: bool) -> Tool:
    async def stands(arguments: Sent, value: str, context: ToolContext) -> bool:
        return True

    async def look(arguments: Sent, context: ToolContext) -> str | None:
        return None

    @tool(tier=RiskTier.IRREVERSIBLE, verify=stands, lookup=look if lookup else None, keyed=True)
    async def send(arguments: Sent, context: ToolContext) -> str:
        return (await context.fetch(arguments.payee, returns=Payee)).iban

    return send


@pytest.mark.promise("POINTER-1")
async def test_that_it_is_gone_now_does_not_tell_that_an_earlier_try_did_nothing(scene: Scene) -> None:
    calling = scene.calling([sends(lookup=False)])
    with anyio.fail_after(5):
        async with scene.running(calling):
            request = scene.request("send", Sent(TO_ANNA))
            found = await calling.look_up(request, idempotency_key="k1", intended_at=0, call_before=0)
    assert (found.failure, "Payee 'p-17' has no source" in found.message) == (FailureKind.UNKNOWN, True)


async def test_a_lookup_still_tells_it_once_nothing_can_appear_any_more(scene: Scene) -> None:
    made = sends(lookup=True)
    calling = scene.calling([made])
    with anyio.fail_after(5):
        async with scene.running(calling), anyio.create_task_group() as jobs:
            jobs.start_soon(_pass_time, scene, made.timeout_seconds)
            request = scene.request("send", Sent(TO_ANNA))
            found = await calling.look_up(request, idempotency_key="k1", intended_at=0, call_before=0)
    assert (found.failure, found.message) == (FailureKind.UNAVAILABLE, "send did not happen, says its lookup")


async def _pass_time(scene: Scene, seconds: float) -> None:
    await scene.clock.until_asleep()
    scene.clock.forward(seconds)


# The sources themselves.


async def _had(find: Callable[[str, SourceContext], Awaitable[Any]]) -> NotFetched:
    @source
    async def people(number: str, context: SourceContext) -> Payee | None:
        found: Payee | None = await find(number, context)
        return found

    with pytest.raises(NotFetched) as refused:
        await Sources({Payee: people}, {}, World()).fetch(TO_ANNA, Payee, "t1")
    return refused.value


async def test_the_error_has_type_id_and_hash_and_nothing_of_the_thing() -> None:
    async def moved(number: str, context: SourceContext) -> object:
        return MOVED

    async def gone(number: str, context: SourceContext) -> object:
        return None

    async def fails(number: str, context: SourceContext) -> object:
        return lost()

    async def surrogate(number: str, context: SourceContext) -> object:
        return Payee("\ud800Anna", "", "")

    changed = await _had(moved)
    assert isinstance(changed, PointerChanged)
    assert (changed.named, changed.id, changed.sha256) == ("Payee", "p-17", TO_ANNA.sha256)
    assert isinstance(await _had(surrogate), PointerChanged)
    assert isinstance(await _had(gone), PointerGone)
    failed = await _had(fails)
    assert (type(failed), failed.retryable, failed.__cause__, failed.__context__) == (SourceFailed, True, None, None)
    assert_impersonal(*(f"{each!r} {each} {each.__dict__}".encode() for each in (changed, failed)))


async def test_a_source_hears_whose_thing_it_is_and_the_settings_of_the_run() -> None:
    heard: list[tuple[str, str, str]] = []

    @source
    async def people(number: str, context: SourceContext) -> Payee | None:
        heard.append((number, context.tenant, context.settings["book"]))
        return await context.offload(lambda: ANNA)

    assert await Sources({Payee: people}, {"book": "b"}, World()).fetch(TO_ANNA, Payee, "t1") == ANNA
    assert heard == [("p-17", "t1", "b")]


async def test_a_source_that_would_end_the_process_has_only_failed() -> None:
    async def exits(number: str, context: SourceContext) -> object:
        raise BaseExceptionGroup(MAIL, [SystemExit(MAIL)])

    failed = await _had(exits)
    assert isinstance(failed, SourceFailed)
    assert "its source raised RuntimeError at test_sources.py:" in failed.why


async def test_a_source_that_is_cancelled_is_cancelled() -> None:
    async def waits(number: str, context: SourceContext) -> Payee | None:
        await anyio.sleep_forever()
        return None

    with anyio.move_on_after(0) as scope:
        await Sources({Payee: source(waits)}, {}, World()).fetch(TO_ANNA, Payee, "t1")
    assert scope.cancelled_caught


def test_what_is_no_source_is_refused_when_it_is_made() -> None:
    def at_once(number: str, context: SourceContext) -> Payee | None:
        return None

    async def untyped(number: str, context: SourceContext):  # type: ignore[no-untyped-def]  # what it lacks is the point
        return None

    async def text(number: str, context: SourceContext) -> str | None:
        return None

    with pytest.raises(CrewInvalid, match="must be an `async def`"):
        source(at_once)  # type: ignore[arg-type]  # nothing to await
    with pytest.raises(CrewInvalid, match=r"a source gives one type.*SomeStruct \| None"):
        source(untyped)
    with pytest.raises(CrewInvalid, match="a source gives one type"):
        source(text)  # type: ignore[arg-type]  # a text has no fields


@pytest.mark.parametrize("returns", [list[Payee], type[Payee], Pointer[Payee], Payee | Payout, Struct | None, None])
def test_a_source_that_gives_something_of_a_type_and_not_the_thing_is_refused(returns: object) -> None:
    async def people(number: str, context: SourceContext) -> Any:
        return None

    people.__annotations__["return"] = returns
    with pytest.raises(CrewInvalid, match="a source gives one type"):
        source(people)


def test_a_source_whose_type_is_there_for_a_type_checker_alone_is_refused() -> None:
    async def people(number: str, context: SourceContext) -> "Absent | None":  # type: ignore[name-defined]  # noqa: F821
        return None

    with pytest.raises(CrewInvalid, match="cannot be read at run time: name 'Absent' is not defined"):
        source(people)


async def test_a_pointer_to_something_else_fails_the_check_of_types() -> None:
    with pytest.raises(SourceFailed, match="Payout 'p-17' has no source; give the crew one of its type"):
        await Sources().fetch(TO_ANNA, Payout, "t1")  # type: ignore[misc]  # it points to a Payee


def test_a_simulated_crew_has_its_own_sources() -> None:
    made = crew(Outside())
    assert wired(made, {}, Effects(), cast("Any", None)).sources == made.sources


async def nothing(case: Case, inputs: Payout) -> None:
    """A flow that does not matter."""


def test_two_sources_of_one_type_are_refused() -> None:
    @source
    async def people(number: str, context: SourceContext) -> Payee | None:
        return None

    with pytest.raises(CrewInvalid, match="two sources give Payee; keep one of them"):
        Crew("c", flows=[Flow.of(nothing, inputs=Payout)], policy=Policy(name="c"), sources=[people, people])
