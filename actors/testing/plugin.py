"""The plugin that pytest loads: two fixtures, two markers and an option, and nothing else until one of them is used.

It is installed as `casework.pytest_plugin`, outside of the houses, since importing anything in a house imports the
house. It does not know what a bench or a crash is.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from casework.actors.testing.bench import CaseBench
    from casework.actors.testing.ending import Ending

_OPTION = "--crash-at"
_MARKER = (
    "crash_anywhere(crew, flow, inputs, **options): what the fixture `crashes` runs, once whole and once for each"
    " append with a crash before it and after it; `every=N` tries each N-th append only"
)
_MUTE = (
    "no call of `crashes` came to its end, so nothing was tried: crash_anywhere kills nothing by itself;"
    " take the fixture `crashes` and await it, in an `async def` test or fixture"
)
#: Whether a call of `crashes` came to its end, for tests that mean to make one.
_TRIED = pytest.StashKey[bool]()
_PROMISE = "promise(id): the test holds the promise that runtime/SEMANTICS.md lists under this id"

# What the suite for stores asserts is told as what a test asserts.
pytest.register_assert_rewrite("casework.runtime.store.conformance")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that picks one crash."""
    group = parser.getgroup("casework")
    group.addoption(_OPTION, default="", metavar="N-WHEN", help="try only this crash, such as 3-before or 3-after")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    config.addinivalue_line("markers", _MARKER)
    config.addinivalue_line("markers", _PROMISE)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that was to try crashes, and passed, even against expectation, without a call that came to its end.

    It bears the marker itself; or it takes the fixture, and a marker holds for it; or it called the fixture.
    """
    report = yield
    marked = any(marker.name == "crash_anywhere" for marker in item.own_markers)
    if report.when == "call" and report.passed and not item.stash.get(_TRIED, not marked):
        report.outcome, report.longrepr = "failed", _MUTE
    return report


@pytest.fixture
async def case_bench() -> "AsyncGenerator[Callable[..., Awaitable[CaseBench]]]":
    """Make benches: `bench = await case_bench(crew, tools=...)`, as `CaseBench`; each ends with the test."""
    import anyio

    from casework.actors.testing.bench import CaseBench

    benches: list[CaseBench] = []
    async with anyio.create_task_group() as group:

        async def make(crew: object, **options: object) -> CaseBench:
            bench = cast("Callable[..., CaseBench]", CaseBench)(crew, **options)
            benches.append(bench)
            await bench.begin(group)
            return bench

        yield make
        for bench in benches:
            await bench.end()


@pytest.fixture
def crashes(request: pytest.FixtureRequest) -> "Callable[..., Awaitable[Ending]]":
    """Crash a flow anywhere: `await crashes(crew, tools=...)`, with what the marker `crash_anywhere` says."""
    item: pytest.Item = request.node
    marker = item.get_closest_marker("crash_anywhere")
    declared: dict[str, object] = {} if marker is None else {**_named(marker.args), **marker.kwargs}
    if marker is not None:
        item.stash[_TRIED] = False

    def again(name: str) -> str:
        return f"pytest {item.nodeid!r} {_OPTION} {name}"

    async def run(options: dict[str, object]) -> "Ending":
        from casework.actors.testing.crashes import crash_anywhere

        __tracebackhide__ = True
        try:
            ended = await cast("Callable[..., Awaitable[Ending]]", crash_anywhere)(**options)
        except AssertionError:  # A difference is an end as well; some tests expect one.
            item.stash[_TRIED] = True
            raise
        item.stash[_TRIED] = True
        return ended

    def crash(*given: object, **options: object) -> "Awaitable[Ending]":
        item.stash.setdefault(_TRIED, False)
        only = request.config.getoption(_OPTION)
        return run({**declared, **_named(given), **options, "only": only, "again": again})

    return crash


def _named(given: Sequence[object]) -> dict[str, object]:
    return dict(zip(("crew", "flow", "inputs"), given, strict=False))
