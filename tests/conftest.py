"""What all tests share: the event loops on which async tests run, and the way to the conformance suites."""

import sys
from pathlib import Path

import pytest

#: The suites are importable by their file's name, so that a store made elsewhere can run them as well.
CONFORMANCE = Path(__file__).parent / "conformance"

pytest.register_assert_rewrite("check_store", "store_log", "store_messages", "store_support")
sys.path.append(str(CONFORMANCE))


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    backend: tuple[str, dict[str, object]] = request.param
    return backend
