"""The sub-commands of review: what waits for a person, and the decisions on it.

A decision is on exactly the proposal that this process has read. It does not know what follows from it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import anyio
import msgspec
from cyclopts import Parameter

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.options import STORE, ByOption, JsonOption, StoreOption, person
from casework.actors.cli.output import moment, say, say_columns, say_json, tell
from casework.actors.cli.working import write
from casework.actors.cli.writing import tell_aftermath
from casework.protocols.codec import Plain
from casework.protocols.records import ReviewAction
from casework.runtime.errors import StoreUnavailable
from casework.runtime.review import ReviewView, decision_frame, open_reviews, review_of
from casework.runtime.seams import World
from casework.runtime.store.base import (
    DecideResult,
    DecisionRefused,
    StoreDoor,
    StoreReader,
    Unavailable,
    Unknown,
)
from casework.runtime.store.rules import DECIDED
from casework.runtime.store.urls import open_reader

Id = Annotated[str, Parameter(name="REVIEW", help="Id of the review, or how it begins.")]
Reason = Annotated[str, Parameter(name="--reason", help="Why; it stands in the log.")]


def list_reviews(*, store: StoreOption = STORE, json_: JsonOption = False) -> int:
    """List what waits for a person, oldest first."""

    async def read() -> Sequence[ReviewView]:
        reader = await open_reader(store, World())
        try:
            return await open_reviews(reader)
        finally:
            await reader.aclose()

    views = anyio.run(read)
    if json_:
        say_json([_json(view) for view in views])
    elif views:
        say_columns([(view.id[:12], view.case_id, view.title, f"({view.rule})") for view in views])
    else:
        tell("note", "nothing waits for a person")
    return Exit.OK


def show(review: Id, /, *, store: StoreOption = STORE, json_: JsonOption = False) -> int:
    """Show one review: the proposal, what supports it, and what each decision will do."""

    view = anyio.run(_read, store, review)
    if json_:
        say_json(_json(view))
        return Exit.OK
    say(view.title, f"  review {view.id}, {view.state}, of case {view.case_id}", f"  rule: {view.rule}")
    say(*(f"  {line}" for line in [view.summary] if line))
    if view.expires:
        say(f"  expires {moment(view.expires)}")
    say("  proposal:")
    say(*(f"    {line}" for line in json.dumps(view.proposal, indent=2, ensure_ascii=False).splitlines()))
    say(*(f"  evidence: {each.label} {each.ref}" for each in view.evidence))
    say(*(f"  {action}: {what}" for action, what in view.consequences))
    if view.decision is not None:
        unheard = "" if view.state == DECIDED else f" (too late: {_refusal(view.state)})"
        say(f"  {view.decision.by} decided to {view.decision.action}{unheard}: {view.decision.reason}")
    return Exit.OK


def approve(
    review: Id, /, *, by: ByOption = "", reason: Reason = "", store: StoreOption = STORE, json_: JsonOption = False
) -> int:
    """Approve a proposal exactly as it is shown."""
    return _decide(store, review, ReviewAction.APPROVE, by, reason, None, json_=json_)


def reject(
    review: Id, /, *, by: ByOption = "", reason: Reason = "", store: StoreOption = STORE, json_: JsonOption = False
) -> int:
    """Reject a proposal."""
    return _decide(store, review, ReviewAction.REJECT, by, reason, None, json_=json_)


def edit(
    review: Id,
    /,
    *,
    proposal: Annotated[Path | None, Parameter(name="--proposal", help="JSON file with the whole proposal.")] = None,
    set_: Annotated[
        list[str] | None, Parameter(name="--set", negative="", help="key=value; may be given several times.")
    ] = None,
    by: ByOption = "",
    reason: Reason = "",
    store: StoreOption = STORE,
    json_: JsonOption = False,
) -> int:
    """Approve a proposal with changes; it keeps its shape."""
    if (proposal is None) == (not set_):
        raise Quit(Exit.USAGE, "say what changes: either --proposal FILE.json or --set key=value")
    whole = None if proposal is None else _proposal(proposal)
    return _decide(store, review, ReviewAction.EDIT, by, reason, (whole, set_ or []), json_=json_)


Edit = tuple[Plain, list[str]]


async def _read(store: str, review: str) -> ReviewView:
    reader = await open_reader(store, World())
    try:
        return await review_of(reader, review)
    finally:
        await reader.aclose()


def _decide(
    store: str, review: str, action: ReviewAction, by: str, reason: str, edited: Edit | None, *, json_: bool
) -> int:
    async def act(reader: StoreReader, door: StoreDoor) -> tuple[ReviewView, DecideResult]:
        view = await review_of(reader, review)
        if view.state != "open":
            raise Quit(Exit.WRONG, f"review {view.id} was not decided: {_too_late(view)}")
        changed = None if edited is None else _edited(view.proposal, edited)
        now = World().clock.wall_micros()
        made = decision_frame(view, action, by=person(by), at=now, reason=reason, edited=changed)
        result = await door.decide(made.review_id, made.proposal_hash, made.frame, now)
        if isinstance(result, DecisionRefused):
            view = await review_of(reader, view.id)  # to say what came before this decision
        return view, result

    (view, result), after = anyio.run(write, store, act)
    if isinstance(result, Unavailable | Unknown):
        raise StoreUnavailable(store, f"{result.why}; see `casework review show {view.id}` and try again")
    if isinstance(result, DecisionRefused):
        why = _too_late(view) if result.why == "decided" else _refusal(result.why)
        raise Quit(Exit.WRONG, f"review {view.id} was not decided: {why}")
    if (now := anyio.run(_read, store, view.id)).state != DECIDED:
        raise Quit(Exit.WRONG, f"review {view.id} was not decided: it came too late, {_refusal(now.state)}")
    text = f"{view.case_id}: {action} of {view.title!r} is recorded"
    tell_aftermath(text, after, json_=json_)
    return Exit.OK


def _too_late(view: ReviewView) -> str:
    """Say why a review that is not open takes no decision: who decided what, if somebody did."""
    if view.decision is None or view.state != DECIDED:
        return _refusal(view.state)
    return f"{view.decision.by} has decided already to {view.decision.action}"


def _refusal(why: str) -> str:
    return {
        "decided": "somebody has decided it already",
        "withdrawn": "the case does not ask any more",
        "expired": "it has expired",
        "stale": "the proposal is not the one that was shown; look again",
        "absent": "there is no such review",
    }.get(why, why)


def _proposal(file: Path) -> Plain:
    try:
        read: Plain = msgspec.json.decode(file.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Quit(Exit.USAGE, f"{file}: not JSON: {error}") from error
    return read


def _edited(proposal: Plain, edited: Edit) -> Plain:
    whole, settings = edited
    if not settings:
        return whole
    if not isinstance(proposal, dict):
        raise Quit(Exit.USAGE, "this proposal has no fields; edit it with --proposal FILE.json")
    changed = dict(proposal)
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in proposal:
            raise Quit(Exit.USAGE, f"--set {setting}: write key=value; the keys are {', '.join(proposal)}")
        changed[name] = _value(proposal[name], text)
    return changed


def _value(before: Plain, text: str) -> Plain:
    """Read a value: as text where the proposal has text, else as JSON."""
    if isinstance(before, str):
        return text
    try:
        read: Plain = msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        return text
    return read


def _json(view: ReviewView) -> dict[str, object]:
    shown = msgspec.structs.asdict(view.decision) if view.decision is not None else None
    if shown is not None:
        del shown["edited"]
    return {
        "id": view.id,
        "tenant": view.tenant,
        "case": view.case_id,
        "step": view.step_id,
        "title": view.title,
        "summary": view.summary,
        "rule": view.rule,
        "state": view.state,
        "opened_at": view.opened_at,
        "expires": view.expires,
        "proposal": view.proposal,
        "proposal_hash": view.proposal_hash,
        "evidence": view.evidence,
        "consequences": view.consequences,
        "decision": shown,
    }
