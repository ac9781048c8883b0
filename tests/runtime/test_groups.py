"""Groups: members join, are sent to together, and leave by themselves when they end; names and groups by a model."""

from dataclasses import dataclass, field

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import MailboxFull, NameTaken, NotRunning
from casework.runtime.groups import GroupSent
from casework.runtime.mailbox import Envelope
from casework.runtime.ref import Ref
from casework.runtime.supervision import Restart, RestartLimit


class Keeps:
    """Keeps what it is sent; raises on `boom`."""

    def __init__(self, kept: list[tuple[str, bytes, str]] | None = None) -> None:
        self.kept = kept if kept is not None else []

    async def receive(self, context: Context, envelope: Envelope) -> None:
        if envelope.frame == b"boom":
            raise ValueError("boom")
        self.kept.append((context.self_ref.address, envelope.frame, envelope.sender))


async def end(ref: Ref) -> None:
    ref.stop()
    await ref.wait_stopped()


def addresses(refs: tuple[Ref, ...]) -> list[str]:
    return [ref.address for ref in refs]


@pytest.mark.promise("KERNEL-15")
async def test_members_are_listed_in_the_order_of_their_joining_each_once() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            refs = {name: system.spawn(name, Keeps) for name in "abc"}
            for name in "bacab":
                system.groups.join("all", refs[name])
            assert addresses(system.groups.members("all")) == ["b", "a", "c"]
            system.groups.leave("all", refs["b"])
            system.groups.leave("all", refs["b"])
            system.groups.join("all", refs["b"])
            assert addresses(system.groups.members("all")) == ["a", "c", "b"]


@pytest.mark.promise("KERNEL-15")
async def test_a_group_is_there_as_long_as_it_has_members() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Keeps)
            assert system.groups.members("one") == ()
            system.groups.join("one", ref)
            system.groups.join("two", ref)
            assert list(system.groups) == ["one", "two"]
            system.groups.leave("one", ref)
            assert list(system.groups) == ["two"]
            await end(ref)
            assert len(system.groups) == 0
            system.groups.leave("two", ref)


@pytest.mark.promise("KERNEL-15")
async def test_a_member_that_ends_leaves_all_its_groups_and_a_restarted_one_none() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            stays = system.spawn("stays", Keeps)
            goes = system.spawn("goes", Keeps, restart=Restart.TEMPORARY)
            for group in ("one", "two"):
                system.groups.join(group, stays)
                system.groups.join(group, goes)
            stays.tell_nowait(b"boom")
            goes.tell_nowait(b"boom")
            await system.wait_quiet()
            assert system.statistics().restarts == 1
            assert [addresses(system.groups.members(group)) for group in ("one", "two")] == [["stays"], ["stays"]]


@pytest.mark.promise("KERNEL-15")
async def test_a_new_actor_of_an_old_address_has_joined_nothing() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Keeps)
            system.groups.join("all", ref)
            await end(ref)
            system.spawn("a", Keeps)
            assert system.groups.members("all") == ()
            with pytest.raises(NotRunning):
                system.groups.join("all", Ref("nobody", system._kernel))


@pytest.mark.promise("KERNEL-15")
async def test_a_member_joins_and_leaves_by_its_name_too() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Keeps)
            system.names.register("chief", ref)
            by_name = Ref("chief", system._kernel)
            system.groups.join("all", by_name)
            system.groups.join("all", ref)
            assert addresses(system.groups.members("all")) == ["a"]
            system.groups.leave("all", by_name)
            assert list(system.groups) == []


async def test_a_message_to_a_group_reaches_every_member_and_says_who_refused() -> None:
    kept: list[tuple[str, bytes, str]] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            for name in "abc":
                system.groups.join("all", system.spawn(name, lambda: Keeps(kept), mailbox_depth_max=1))
            full = system.lookup("b")
            assert full is not None
            full.tell_nowait(b"first")
            sent = system.groups.tell_nowait("all", b"news", sender="s")
            assert sent.accepted == 2
            assert [(type(error), error.envelope.receiver) for error in sent.refused] == [(MailboxFull, "b")]
            await system.wait_quiet()
            assert sorted(kept) == [("a", b"news", "s"), ("b", b"first", ""), ("c", b"news", "s")]
            assert system.groups.tell_nowait("nobody", b"news") == GroupSent(0, ())
            assert system.statistics().sent == 4


@dataclass
class Model:
    """What names and groups must be: nothing but what was asked for, less what has ended."""

    running: dict[str, Restart] = field(default_factory=dict[str, Restart])
    names: dict[str, str] = field(default_factory=dict[str, str])
    groups: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def ended(self, address: str) -> None:
        del self.running[address]
        self.names = {name: bearer for name, bearer in self.names.items() if bearer != address}
        groups = {group: [one for one in members if one != address] for group, members in self.groups.items()}
        self.groups = {group: members for group, members in groups.items() if members}


Move = tuple[str, str, str]
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["spawn", "spawn", "end", "fail", "register", "register", "release", "join", "join", "leave"]),
        st.sampled_from("abc"),
        st.sampled_from("xy"),
    ),
    max_size=40,
)


async def perform(system: ActorSystem, model: Model, move: Move) -> None:
    """Do one thing to the system and to the model; what is refused changes neither."""
    what, address, key = move
    ref, runs = Ref(address, system._kernel), address in model.running
    match what:
        case "spawn" if not runs:
            restart = Restart.PERMANENT if key == "x" else Restart.TEMPORARY
            system.spawn(address, Keeps, restart=restart)
            model.running[address] = restart
        case "end" if runs:
            await end(ref)
            model.ended(address)
        case "fail" if runs:
            ref.tell_nowait(b"boom")
            await system.wait_quiet()
            if model.running[address] is Restart.TEMPORARY:
                model.ended(address)
        case "register":
            try:
                system.names.register(key, ref)
                assert runs
                assert key not in model.names
                model.names[key] = address
            except NameTaken:
                assert key in model.names
            except NotRunning:
                assert not runs
        case "release":
            system.names.release(key)
            model.names.pop(key, None)
        case "join" if runs:
            system.groups.join(key, ref)
            members = model.groups.setdefault(key, [])
            members += [address] if address not in members else []
        case "leave" if address in model.groups.get(key, []):
            system.groups.leave(key, ref)
            model.groups[key].remove(address)
            model.groups = {group: members for group, members in model.groups.items() if members}
        case _:
            pass


def shown(system: ActorSystem) -> Model:
    found = {name: system.names.find(name) for name in system.names}
    return Model(
        names={name: ref.address for name, ref in found.items() if ref is not None},
        groups={group: addresses(system.groups.members(group)) for group in system.groups},
    )


@pytest.mark.promise("KERNEL-15")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
async def test_names_and_groups_hold_what_was_asked_for_less_what_has_ended(moves: list[Move]) -> None:
    model = Model()
    with anyio.fail_after(5):
        async with ActorSystem(restart_limit=RestartLimit(intensity=1_000)) as system:
            for move in moves:
                await perform(system, model, move)
                seen = shown(system)
                assert (seen.names, seen.groups) == (model.names, model.groups), move
                assert set(system.addresses) == set(model.running)
        assert not system._kernel._watchers
        system.check_conservation()
