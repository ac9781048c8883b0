"""Sub-commands about what works and what may: breakers, pause and resume.

They speak with the process that owns the store, for what is told of lives in it; where none does, what is paused or
resumed is written down for whoever comes. They do not know what a circuit stands before.
"""

from pathlib import Path
from typing import Annotated

import anyio
import msgspec
from cyclopts import Parameter

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.options import STORE, ByOption, JsonOption, StoreOption, person
from casework.actors.cli.output import say, say_columns, say_json, tell
from casework.actors.cli.working import remembered, write
from casework.actors.crew import load_crew
from casework.actors.errors import Misbuilt
from casework.runtime.errors import StoreUnavailable
from casework.runtime.flow.waiters import tell_parked
from casework.runtime.seams import World
from casework.runtime.staff import Circuit
from casework.runtime.store.base import Store, StoreDoor, StoreReader
from casework.runtime.store.door_client import DoorClient
from casework.runtime.store.door_wire import CircuitsAsked, TurnAsked
from casework.runtime.store.urls import open_door, open_reader, open_store
from casework.runtime.store.waiting import paged
from casework.runtime.switchboard import write_down
from casework.runtime.switches import Switch, check_switch, switch_key

ReasonOption = Annotated[str, Parameter(name="--reason", help="Why; it stands in the store and in what is held.")]


def breakers(*, store: StoreOption = STORE, json_: JsonOption = False) -> int:
    """Show every circuit breaker of the process that works on a store, and why it opened."""
    circuits = anyio.run(_circuits, store)
    if json_:
        say_json(msgspec.to_builtins(circuits))
        return Exit.OK
    if not circuits:
        say("no circuit yet: nothing was called and nobody had work since the process began")
        return Exit.OK
    rows = [
        (f"{each.kind}:{each.name}", each.state, f"{each.failures} of {each.calls} failed", f"{each.refused} refused",
         each.why)
        for each in circuits
    ]  # fmt: skip
    say_columns(rows)
    return Exit.OK


def pause(
    target: str, /, *, reason: ReasonOption, by: ByOption = "", store: StoreOption = STORE, json_: JsonOption = False
) -> int:
    """Let an agent, a tool or a tenant have no effect from now on; the cases that want one park.

    Parameters
    ----------
    target
        agent:NAME, tool:NAME or tenant:NAME.
    """
    asked = TurnAsked(target=target, paused=True, by=person(by), reason=reason)
    anyio.run(_turn, store, asked)
    if json_:
        say_json({"target": target, "paused": True})
    else:
        say(f"{target} is paused; `casework resume {target} --reason WHY` lets it go on")
    return Exit.OK


def resume(
    target: str, /, *, reason: ReasonOption, by: ByOption = "", store: StoreOption = STORE, json_: JsonOption = False
) -> int:
    """Let an agent, a tool or a tenant have effects again; the cases that it held go on.

    Parameters
    ----------
    target
        agent:NAME, tool:NAME or tenant:NAME.
    """
    asked = TurnAsked(target=target, paused=False, by=person(by), reason=reason)
    told = anyio.run(_turn, store, asked)
    if json_:
        say_json({"target": target, "paused": False, "cases": told})
    else:
        say(f"{target} is resumed; cases that go on: {told}")
    return Exit.OK


async def _circuits(url: str) -> list[Circuit]:
    # Looked at first, as every other command does: what is no store is told so, and not that nobody owns it.
    await (await open_reader(url, World())).aclose()
    door = await open_door(url, World())
    if not isinstance(door, DoorClient):
        raise StoreUnavailable(url, "it has no owner to ask; read casework_circuit_state at each node's /metrics")
    return msgspec.json.decode(await door.tell(CircuitsAsked()), type=list[Circuit])


async def _turn(url: str, asked: TurnAsked) -> int:
    if not asked.reason.strip():
        raise Quit(Exit.USAGE, "--reason: say why; it stands in the store and in every case that is held")
    try:
        check_switch(asked.target, asked.by, asked.reason)
    except ValueError as error:
        raise Quit(Exit.USAGE, str(error)) from error
    world = World()

    async def act(reader: StoreReader, door: StoreDoor) -> int:
        await warn_of_stranger(reader, asked.target, "so it holds nothing")
        if isinstance(door, DoorClient):
            return int(await door.tell(asked))
        if hasattr(door, "extend"):
            return await _alone(door, asked, world)  # type: ignore[arg-type]  # what can be added to is the store itself
        # Nodes work on it, and nobody owns it: what stands there is what they hear.
        store = await open_store(url, world)
        try:
            return await _alone(store, asked, world)
        finally:
            await store.aclose()

    told, _ = await write(url, act, resume=not asked.paused)
    return told


async def warn_of_stranger(reader: StoreReader, target: str, so: str) -> None:
    """Tell whoever mistypes the name of an agent or a tool, and what follows."""
    settings = await remembered(reader)
    try:
        crew = load_crew(settings.get("crew", ""), folder=Path(settings.get("folder", ".")))
    except Misbuilt:
        return  # by this name it cannot be loaded here; whoever runs it knows
    kind, _, name = target.partition(":")
    known = {"agent": tuple(crew.agents), "tool": crew.tools.names}.get(kind, (name,))
    if name not in known:
        tell("warning", f"crew {crew.name!r} has no {kind} {name!r}, {so}; it has {', '.join(known)}")


async def _alone(store: Store, asked: TurnAsked, world: World) -> int:
    now = world.clock.wall_micros()
    switch = Switch(target=asked.target, paused=asked.paused, by=asked.by, reason=asked.reason, at=now)
    # Counted first: where nodes are at work they hear of it themselves, and some go on at once.
    held = 0 if asked.paused else sum([len(rows) async for rows in paged(store, [switch_key(asked.target)])])
    await write_down(store, switch)
    if held:
        await tell_parked(store, switch)
    return held
