"""The README's example is the program that it says it is."""

import importlib.util
import pathlib
import re
import types

import pytest
from starlette.testclient import TestClient

README = pathlib.Path(__file__).parents[1] / "README.md"


def readme_program(folder: pathlib.Path) -> types.ModuleType:
    (source,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    path = folder / "readme_program.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("readme_program", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_embedded_example_decides_small_refunds_and_parks_large_ones(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with TestClient(readme_program(tmp_path).app) as client:
        small = client.put("/refunds/r-1", json={"customer": "c-7", "euros": 20})
        large = client.put("/refunds/r-2", json={"customer": "c-7", "euros": 900})
    assert small.json() == {"case": "r-1", "status": "closed", "decision": "approve"}
    assert large.json() == {"case": "r-2", "status": "parked", "decision": None}


def test_the_embedded_example_takes_the_same_refund_twice_and_keeps_it_over_a_restart(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = readme_program(tmp_path)
    for _ in range(2):
        with TestClient(program.app) as client:
            answer = client.put("/refunds/r-1", json={"customer": "c-7", "euros": 900})
            assert answer.json() == {"case": "r-1", "status": "parked", "decision": None}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"customer": "c-7", "euros": "many"}', "Expected `int`, got `str` - at `$.euros`"),
        (b'{"customer": "c-7"}', "Object missing required field `euros`"),
        (b'{"customer"', "Input data was truncated"),
    ],
)
def test_the_embedded_example_says_what_is_wrong_with_a_body_and_opens_nothing(
    body: bytes, why: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with TestClient(readme_program(tmp_path).app) as client:
        refused = client.put("/refunds/r-1", content=body)
        right = client.put("/refunds/r-1", json={"customer": "c-7", "euros": 20})
    assert (refused.status_code, refused.json()) == (422, {"error": why})
    assert right.json() == {"case": "r-1", "status": "closed", "decision": "approve"}


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    relative = [link for link in links if "://" not in link]
    missing = [link for link in relative if not (README.parent / link).exists()]
    assert relative
    assert not missing
