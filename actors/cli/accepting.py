"""The sub-command store accept: a person takes a store as it is, though its owner remembers more of it.

It only lets cases go on; it does not know which of their effects happened after the state that is accepted.
"""

import anyio

from casework.actors.cli.exits import Exit
from casework.actors.cli.options import STORE, ByOption, JsonOption, StoreOption, person
from casework.actors.cli.output import say, say_json, tell
from casework.actors.cli.standing import LINES_MAX
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey
from casework.runtime.store.generation import accept as accept_store
from casework.runtime.store.urls import open_reader, open_store


def accept(*, store: StoreOption = STORE, by: ByOption = "", json_: JsonOption = False) -> int:
    """Accept a store that is older than its owner remembers, such as a restored backup; its cases may then go on.

    What happened after that state is not in the store. Look at what the cases have done outside before you accept:
    effects without a key or a lookup may be done again. No process may own the store meanwhile.
    """
    keys = anyio.run(_accept, store, person(by))
    if json_:
        say_json(
            {"halted": keys is not None, "cases": [{"tenant": key.tenant, "case": key.case_id} for key in keys or ()]}
        )
        return Exit.OK
    if keys is None:
        tell("note", f"{store} is what its owner remembers; there is nothing to accept")
        return Exit.OK
    for key in keys[:LINES_MAX]:
        say(f"{key.case_id}: goes on")
    say(f"accepted: {len(keys)} cases were parked for it; `casework run` or `casework serve` goes on with them")
    return Exit.OK


async def _accept(url: str, by: str) -> list[CaseKey] | None:
    world = World()
    # Only what is there can be accepted: opening it as its owner would make a file that is not.
    await (await open_reader(url, world)).aclose()
    opened = await open_store(url, world)
    try:
        return await accept_store(opened, by=by, now=world.clock.wall_micros(), generation=world.ids.new())
    finally:
        await opened.aclose()
