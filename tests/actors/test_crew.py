"""Crews that do not fit together are refused where they are written, with what to do about it."""

import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from casework.actors.agent import Agent, Skill, skill
from casework.actors.crew import Crew, load_crew
from casework.actors.errors import CrewInvalid
from casework.actors.policy import parse_policy
from casework.actors.staff import CrewStaff
from casework.actors.tools import ToolContext, tool
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.telemetry import Telemetry


class Amount(Struct, frozen=True):
    amount: int


@tool(tier=RiskTier.READ_ONLY)
async def read(arguments: Amount, context: ToolContext) -> int:
    return 1


async def run(case: Case, inputs: Amount) -> int:
    return 1


async def work(inputs: Any, work: Any) -> int:
    return 1


FLOW = Flow.of(run, inputs=Amount)
SKILL = Skill(Amount, int, work)
UNDECLARED = Skill(dict, int, work)  # type: ignore[arg-type]  # for crews that are not type-checked


def crew(name: str = "books", policy: str = "", **parts: Any) -> Crew:
    return Crew(name, policy=parse_policy("name = 'p'\n" + policy), **{"flows": [FLOW], **parts})


def test_a_crew_gives_the_runtime_its_flows_by_name_and_routes_by_skill() -> None:
    made = crew(
        agents=[Agent("a", {"work": SKILL}, tools=("read",))], tools=[read], policy="[agents.a]\ntools=['read']"
    )
    assert (made.name, made.version, dict(made.flows), made.skills) == ("books", "1", {"run": FLOW}, {"work": "a"})


@pytest.mark.promise("CREW-1")
@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"name": "my books"}, "needs a name"),
        ({"flows": []}, "has no flow; give it at least one"),
        ({"flows": [FLOW, FLOW]}, "two flows are called 'run'"),
        ({"flows": [Flow.of(run, inputs=dict)]}, "flow 'run' must take a msgspec.Struct"),
        (
            {"flows": [Flow.of(run, inputs=Amount, tools=["read"])]},
            "flow 'run' names 'read', which the crew does not have",
        ),
        ({"agents": [Agent("a", {}), Agent("a", {})]}, "two agents are called 'a'"),
        (
            {"agents": [Agent("a", {"work": SKILL}), Agent("b", {"work": SKILL})]},
            "skill 'work' is handled by 'a' and by 'b'; keep one of them",
        ),
        ({"agents": [Agent("a", {"do it": SKILL})]}, "skill 'do it' needs a name"),
        ({"agents": [Agent("a", {"work": UNDECLARED})]}, "must declare its inputs as a msgspec.Struct"),
        (
            {"agents": [Agent("a", {}, tools=("read",))]},
            "agent 'a' names 'read', which the crew does not have; register",
        ),
        ({"agents": [Agent("a", {}, workers=0)]}, "at least 1 worker"),
        ({"flows": [run]}, "'run' is no flow; make it by Flow.of"),
        ({"agents": [work]}, "'work' is no agent; make it by Agent"),
        ({"agents": [Agent("a", {"work": work})]}, "'work' is no skill; put @skill above it"),  # type: ignore[dict-item]
        ({"tools": [work]}, r"'work' is no tool; put @tool\(tier=...\) above it"),
        ({"sources": [Amount(1)]}, "'Amount' is no source; put @source above it"),
        ({"policy": "[agents.b]"}, r"\[agents\] names 'b', which the crew does not have; add the agent or remove"),
        ({"policy": "[flows.walk]"}, r"\[flows\] names 'walk'"),
        ({"policy": "[flows.run]\ntools=['raed']"}, "table 'run' names 'raed'"),
        ({"policy": "[timeouts.tasks]\nocr=1"}, "names 'ocr'"),
        ({"policy": '[breakers."tool:raed"]'}, r"\[breakers\] names 'raed', which the crew does not have; correct"),
        ({"policy": '[breakers."agent:b"]'}, r"\[breakers\] names 'b'"),
        ({"policy": '[breakers."model:big"]'}, r"\[breakers\] names 'big'"),
        ({"policy": '[rates.limits]\n"tool:raed"={per_second=1}'}, r"\[rates.limits\] names 'raed'"),
        ({"policy": '[rates.limits]\n"agent:*"={per_second=1}\n"agent:b"={per_second=1}'}, r"limits\] names 'b'"),
        ({"policy": "[[approvals]]\nrule='r'\ntitle='t'\ntool='x'"}, "approval 'r' names 'x'"),
        (
            {"tools": [read], "policy": "[flows.run]\ntools=['read']\n[denied]\nread='no'"},
            "both allows and denies 'read'",
        ),
    ],
)
def test_a_crew_that_does_not_fit_together_is_refused(parts: dict[str, Any], why: str) -> None:
    with pytest.raises(CrewInvalid, match=why) as caught:
        crew(**parts)
    assert "\n" not in str(caught.value)


def test_a_skill_whose_types_are_there_for_a_type_checker_alone_says_so() -> None:
    async def judge(inputs: "Nowhere", work: Any) -> int:  # type: ignore[name-defined]  # noqa: F821
        return 1

    with pytest.raises(CrewInvalid, match="'judge': its annotations cannot be read at run time: name 'Nowhere'"):
        skill(judge)


def test_the_policy_may_deny_a_tool_that_does_not_exist() -> None:
    assert crew(policy="[denied]\nsubmit_vat_return='a person does it'").policy.denied


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "crew_that_breaks.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "crew_that_is_none.py").write_text("crew = 42\n")
    (tmp_path / "crew_misspelt.py").write_text("def (:\n")
    (tmp_path / "crew_misbuilt.py").write_text(
        "from casework.actors import Crew, Policy\ncrew = Crew('x', flows=[], policy=Policy(name='p'))\n"
    )
    return tmp_path


@pytest.mark.promise("CREW-1")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("books", "write it as module:attribute"),
        ("books:", "write it as module:attribute"),
        (":crew", "write it as module:attribute"),
        ("absent_of_course:crew", "module 'absent_of_course' cannot be imported: ModuleNotFoundError"),
        ("absent_of_course.crew:crew", "it is not here: start in the folder that holds it"),
        ("crew_that_breaks:crew", "No module named 'nothing_of_that_name'"),
        ("crew_misspelt:crew", "cannot be imported: SyntaxError"),
        ("crew_misbuilt:crew", "crew 'x': has no flow"),
        ("crew_that_is_none:crow", "has no 'crow'"),
        ("crew_that_is_none:crew", "'crew' is of type int, not a Crew"),
    ],
)
def test_a_crew_that_cannot_be_loaded_is_named_in_one_line(folder: Path, name: str, why: str) -> None:
    with pytest.raises(CrewInvalid, match=why) as caught:
        load_crew(name, folder=folder)
    assert "\n" not in str(caught.value)


def test_a_crew_is_loaded_by_module_and_attribute(folder: Path) -> None:
    (folder / "crew_that_works.py").write_text(
        "from msgspec import Struct\n"
        "from casework.actors import Crew, Policy\n"
        "from casework.runtime.flow.case import Flow\n"
        "class Empty(Struct): pass\n"
        "async def run(case, inputs): return None\n"
        "class Box: crew = Crew('x', flows=[Flow.of(run, inputs=Empty)], policy=Policy(name='p'))\n"
    )
    assert load_crew("crew_that_works:Box.crew", folder=folder).name == "x"


async def test_the_numbers_of_a_crew_that_has_left_keep_nothing_of_it() -> None:
    telemetry = Telemetry(metrics=True)
    machine = Runtime(crew(), telemetry=telemetry)
    async with machine:
        assert isinstance(machine.staff, CrewStaff)
        desk = weakref.ref(machine.staff.desk)
        assert b'casework_mailbox_depth{actor="supervisor"} 0.0' in telemetry.expose()
    gc.collect()
    assert desk() is None
