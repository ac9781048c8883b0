"""The crew that spends, for tests of the command: each file of the input folder is a job that costs so many micros."""

from collections.abc import Mapping
from pathlib import Path

from casework.actors import Crew, Intake, OpenCase
from casework.runtime import Flow
from tests.support.budget_crew import CLERK, Job, buy, guess, job, policy, think


def intake(folder: Path, settings: Mapping[str, str]) -> Intake:
    """Open a case for each file, in the order of their names."""
    jobs = {file.stem: Job(micros=int(file.read_text(encoding="utf-8"))) for file in sorted(folder.glob("*.txt"))}
    return Intake(tuple(OpenCase("job", name, inputs) for name, inputs in jobs.items()))


crew = Crew(
    "budgets",
    flows=(Flow.of(job, inputs=Job),),
    agents=(CLERK,),
    tools=(think, guess, buy),
    policy=policy("[budgets]\nproject = 0.021\n"),
    intake=intake,
)
