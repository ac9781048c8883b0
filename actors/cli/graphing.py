"""The sub-command that draws: graph. It looks at a crew alone, and opens no store; nothing runs."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.files import write_files
from casework.actors.cli.options import JsonOption
from casework.actors.cli.output import say, say_json
from casework.actors.crew import load_crew
from casework.actors.drawing.crews import crew_json, sketch_crew
from casework.actors.drawing.svg import as_svg

Out = Annotated[Path | None, Parameter(name=["-o", "--out"], help="Write the picture to this file.")]
FlowName = Annotated[str, Parameter(name="--flow", help="Only this flow.")]


def graph(crew: str, *, out: Out = None, flow: FlowName = "", json_: JsonOption = False) -> int:
    """Draw a crew's flows from what they declare, as SVG; without `--out` the picture goes to standard output.

    Parameters
    ----------
    crew
        The crew, as module:attribute.
    """
    loaded = load_crew(crew, folder=Path.cwd())
    if flow and flow not in loaded.flows:
        raise Quit(Exit.NOT_FOUND, f"crew {loaded.name!r} has no flow {flow!r}; it has {', '.join(loaded.flows)}")
    # Of a flow with several versions the one that new cases get; another is drawn where it is named.
    flows = [loaded.flows[flow]] if flow else [each for name, each in loaded.flows.items() if name == each.name]
    names = ", ".join(each.name for each in flows)
    picture = "" if json_ and out is None else as_svg(sketch_crew(loaded, flows), f"Crew {loaded.name}: {names}")
    if out is not None:
        write_files((out, picture.encode()))
    if json_:
        say_json(crew_json(loaded, flows) | ({} if out is None else {"file": str(out.resolve())}))
    elif out is None:
        say(*picture.splitlines())
    else:
        say(f"{out.resolve()}: {names}")
    return Exit.OK
