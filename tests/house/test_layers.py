"""Three houses on one street, and in each house a room imports only rooms above it."""

from pathlib import Path

import pytest
from sources import HOME, HOUSES, files, imports, module_name, shown

#: Rooms of each floor from the top down. A floor is a package; a room is a module or package directly in it.
#: A room that is not listed may stand anywhere, but may close no circle; on a floor of `GROWING` it stands below all
#: that are listed there, so that whoever adds one need not write it down, and nothing that is there leans on it.
FLOORS = {
    "casework.protocols": ("errors", "wire", "effects", "records", "codec", "jsonrpc", "sse", "auth", "a2a", "mcp"),
    "casework.runtime": (
        "errors", "seams", "parking", "wakeup", "timers", "traceparent", "telemetry_table", "telemetry_sdk",
        "telemetry_export", "telemetry_spans", "telemetry", "lifecycle", "supervision", "reply", "mailbox", "deadlines",
        "ref", "children", "behavior", "blame", "jobs", "store", "transport", "switches", "staff", "deadletters",
        "kernel", "names", "groups", "belongings", "life", "cell", "homes", "pool", "actorsystem", "flow", "limits",
        "letters", "poison", "setaside", "renewal", "watchers", "node", "switchboard", "runtime", "simulation",
    ),
    "casework.runtime.store": (
        "accounts", "taking", "base", "chain", "rules", "claims", "damage", "ledger_rules", "queries",
        "sqlite_accounts", "changes", "schema", "migrations", "connections", "lock", "batch", "memory_accounts",
        "memory",
        "sqlite_claims", "sqlite_call", "sqlite_upkeep", "sqlite_hand", "sqlite_writer", "sqlite", "sqlite_reader",
        "verify", "door_wire", "door_places", "door", "door_client", "urls", "conformance",
    ),
    "casework.runtime.simulation": (
        "errors", "trace", "process", "waiting", "loop", "order", "burial", "guard", "plan", "kinds", "planfile",
        "shrinking", "world", "mischief", "messages", "outside", "sql", "disk", "node", "simulation",
    ),
    "casework.runtime.flow": (
        "operations", "saga", "case", "remainder", "entries", "engine", "logbook", "opening", "replay", "services",
        "callwork", "reserving", "calls", "reckoning", "tasks", "outgoing", "incarnation", "casecell",
    ),
    "casework.actors": (
        "errors", "failures", "declared", "budgets", "policy", "permissions", "breaker", "repeats", "rates", "fairness",
        "bulkhead", "tools", "intake", "gate", "admission", "tries", "retry", "calling", "desk", "undoing", "review",
        "criteria", "agent", "staff", "supervisor", "fallbacks", "conflicts", "patterns",
        "checks", "crew", "sandbox", "drawing", "costs", "timeline",
        "times", "timing", "seen", "trace", "simulation",
        "gateway", "console", "cli",
    ),
    "casework.actors.patterns": (
        "errors", "terms", "base", "walk", "description", "flows", "shape", "pipeline", "sidebyside",
        "resolving", "merging", "fanout", "ballot", "voting", "alternative", "fitting", "router", "bounds",
        "manager", "approval", "evidence", "verified", "topic", "subscription",
    ),
    "casework.actors.drawing": (
        "words", "sketch", "outlines", "svg", "kinds", "facts", "diagrams", "crews",
    ),
    "casework.actors.simulation": (
        "effects", "report", "finished", "scenario", "builtin", "wired", "people", "run", "points", "sources",
    ),
}  # fmt: skip

GROWING = frozenset({"casework.actors.patterns"})
STREET = tuple(f"casework.{house}" for house in HOUSES)


def graph() -> dict[str, set[str]]:
    """Map each module of the houses to the modules of the houses that it imports when it runs."""
    modules = {module_name(path): path for path in files(*HOUSES)}
    return {
        name: {found.module for found in imports(path, checking=False) if found.module in modules} - {name}
        for name, path in modules.items()
    }


def room(module: str, floor: str) -> str | None:
    """Say in which room of a floor a module lives; None when it lives elsewhere, or is the floor itself."""
    return module.removeprefix(f"{floor}.").split(".")[0] if module.startswith(f"{floor}.") else None


def house(module: str) -> int:
    """Say how far down the street a module lives."""
    return next(at for at, name in enumerate(STREET) if module == name or module.startswith(f"{name}."))


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Give what is left once every module that imports none of the rest is taken away: circles and their importers."""
    left = {name: set(targets) for name, targets in edges.items()}
    while free := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


def test_a_house_imports_only_houses_before_it() -> None:
    upward = [f"{name} imports {to}" for name, targets in graph().items() for to in targets if house(to) > house(name)]
    assert not upward, f"protocols <- runtime <- actors: {upward}"


@pytest.mark.parametrize("floor", FLOORS)
def test_a_room_imports_only_rooms_above_it(floor: str) -> None:
    order = {name: at for at, name in enumerate(FLOORS[floor])}
    if floor in GROWING:
        order = {found: len(order) for name in graph() if (found := room(name, floor))} | order
    wrong = []
    for name, targets in graph().items():
        here = room(name, floor)
        for to in targets:
            there = room(to, floor)
            if here in order and there in order and order[there] > order[here]:
                wrong.append(f"{name} imports {to}, but {there} stands below {here}")
    assert not wrong, "\n".join(wrong)


def test_no_imports_go_in_a_circle() -> None:
    assert not circle(graph())


def test_a_circle_would_be_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


@pytest.mark.parametrize("path", [path for path in files(*HOUSES) if path.name != "__init__.py"], ids=shown)
def test_no_module_imports_from_its_own_package_init(path: Path) -> None:
    own = module_name(path).rpartition(".")[0]
    lines = [found.line for found in imports(path) if found.module == own]
    assert not lines, f"{shown(path)}, lines {lines}: import from the module that is the name's home"


def test_a_room_is_listed_once() -> None:
    for floor, rooms in FLOORS.items():
        assert len(rooms) == len(set(rooms)), floor
        assert (HOME / floor.removeprefix("casework.").replace(".", "/")).is_dir(), floor
