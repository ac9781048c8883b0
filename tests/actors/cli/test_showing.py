"""What `casework show` tells of a case beside its story, on real files and in processes of its own."""

import json

from tests.support.command_desk import Desk


def test_show_tells_where_the_time_of_a_case_went(desk: Desk) -> None:
    desk.put(fine="ok", late="wait")
    desk.run()
    said = json.loads(desk("show", "fine", "--times", "--json").stdout)["times"]
    (step,) = said["steps"]
    assert (step["step"], step["kind"], step["over"]) == ("read", "completed", True)
    assert sum(step["spent"].values()) == step["ended"] - step["began"] == said["path_micros"]
    assert step["spent"]["working"] > 0
    assert said["micros"] == said["path_micros"] + sum(each.get("micros", 0) for each in said["chain"])
    lines = desk("show", "fine", "--times").stdout.splitlines()
    assert lines[1].split() == ["step", "seconds", "queue", "working", "tools", "people", "waiting"]
    assert lines[2].startswith("read ")
    assert "of the critical path:" in lines[4]
    assert "park (not over)" in desk("show", "late", "--times").stdout
