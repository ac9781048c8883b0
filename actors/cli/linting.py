"""The sub-command that looks for personal data: lint. It looks at a crew alone, and opens no store; nothing runs."""

from pathlib import Path
from typing import Final

from casework.actors.cli.exits import Exit
from casework.actors.cli.options import JsonOption
from casework.actors.cli.output import say, say_json
from casework.actors.crew import load_crew
from casework.actors.linting import Finding, lint_crew

#: Places of a field that are printed, at most; `--json` has all.
PLACES_MAX: Final = 3
#: What to do about a field.
REMEDY: Final = (
    "Hand on a `Pointer` in its stead, which holds an id and a hash and is fetched on use, or say on the field why it "
    'may stay: `Annotated[str, kept("...")]`; see docs/personal.md.'
)


def lint(crew: str, *, json_: JsonOption = False) -> int:
    """Name each field of what a crew declares that looks like raw personal data; exit code 1 if there is one.

    Parameters
    ----------
    crew
        The crew, as module:attribute.
    """
    loaded = load_crew(crew, folder=Path.cwd())
    findings = lint_crew(loaded)
    raw = [each for each in findings if not each.kept]
    if json_:
        say_json({"crew": loaded.name, "findings": findings, "remedy": REMEDY if raw else ""})
    else:
        for each in findings:
            say(*_told(each))
        say(*([REMEDY] if raw else []), f"{loaded.name}: {_sum(len(raw), len(findings))}")
    return Exit.WRONG if raw else Exit.OK


def _told(finding: Finding) -> list[str]:
    more = len(finding.places) - PLACES_MAX
    places = [*finding.places[:PLACES_MAX], *([f"{more} more"] if more > 0 else [])]
    head = f"{finding.field} looks like {finding.what}: {finding.why}"
    return [head, *([f"  may stay: {finding.kept}"] if finding.kept else []), f"  in {', '.join(places)}"]


def _sum(raw: int, found: int) -> str:
    if not found:
        return "nothing looks like raw personal data"
    return f"of {found} that look like raw personal data, {found - raw} may stay"
