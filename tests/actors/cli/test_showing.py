"""What `casework show` tells of a case beside its story, on real files and in processes of its own."""

import json

from tests.support.command_desk import Desk


def test_show_prints_each_decision_in_a_line(desk: Desk) -> None:
    desk.put(fine="ok")
    desk.run()
    lines = desk("show", "fine").stdout.splitlines()
    told = [line.partition("decided on ")[2] for line in lines if "decided on " in line]
    assert told[-1] == "voice: low of [low, high] by rule quiet, confidence 0.90"
    assert told[0].startswith("route read: agent-reader-0 of [agent-reader-0, ")
    assert not [line for line in lines if "options:" in line]


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


def test_show_tells_who_saw_which_fields(desk: Desk) -> None:
    desk.put(fine="ok")
    desk.run()
    said = json.loads(desk("show", "fine", "--seen", "--json").stdout)["seen"]
    assert said == [{"who": "agent reader/1", "step": "read", "what": "inputs of read", "fields": ["name", "text"]}]
    assert "agent reader/1  read  inputs of read  name, text" in desk("show", "fine", "--seen").stdout
    both = desk("show", "fine", "--seen", "--times")
    assert (both.returncode, both.stderr) == (2, "casework: error: say either --times or --seen\n")
