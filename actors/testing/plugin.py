"""The plugin that pytest loads: two fixtures, two markers and an option, and nothing else until one of them is used.

It is installed as `casework.pytest_plugin`, outside of the houses, since importing anything in a house imports the
house. It does not know what a bench or a crash is.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
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


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a test that bears the marker and does not take the fixture: it would pass, and nothing would be killed."""
    marked = any(marker.name == "crash_anywhere" for marker in item.own_markers)
    if marked and "crashes" not in getattr(item, "fixturenames", ()):
        pytest.fail("crash_anywhere kills nothing by itself: take the fixture `crashes` and await it", pytrace=False)


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

    def again(name: str) -> str:
        return f"pytest {item.nodeid!r} {_OPTION} {name}"

    async def crash(*given: object, **options: object) -> "Ending":
        from casework.actors.testing.crashes import crash_anywhere

        __tracebackhide__ = True
        run = cast("Callable[..., Awaitable[Ending]]", crash_anywhere)
        only = request.config.getoption(_OPTION)
        return await run(**{**declared, **_named(given), **options, "only": only, "again": again})

    return crash


def _named(given: Sequence[object]) -> dict[str, object]:
    return dict(zip(("crew", "flow", "inputs"), given, strict=False))
