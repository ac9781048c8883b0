"""Every benchmark runs at its smallest size, so that none rots; a peer's script runs where the peer is installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sources import HOME, files, shown

sys.path.append(str(HOME / "benchmarks"))

import harness
import peers
import plot
import postgres_server
import run_all

BENCHMARKS = [path for path in files("benchmarks") if path.name.startswith("bench_")]
PEER_SCRIPTS = [path for path in files("benchmarks/peers") if "_" in path.stem]


def run(command: list[str], **environment: str) -> str:
    """Run a command in the project's root and give what it printed."""
    ended = subprocess.run(
        command, cwd=HOME, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def have_postgres() -> None:
    """Skip where no server is installed, but never in CI."""
    try:
        postgres_server.binaries()
    except postgres_server.PostgresMissing as error:
        if os.environ.get("CI", "") not in {"", "0", "false"}:
            pytest.fail(str(error))
        pytest.skip(str(error))


def a_report(**changes: object) -> harness.Report:
    """Make a report in which we take 20 us, the floor 10 and a peer 100."""
    micros = {"floor": (9.0, 10.0, 30.0), "casework ask": (20.0, 20.0, 40.0), "peer": (100.0, 100.0, 100.0)}
    measures = [
        harness.Measure(name=name, micros=taken[1], spread=0.0, ratio=10.0 / taken[1], taken=taken)
        for name, taken in micros.items()
    ]
    facts: dict[str, object] = {"question": "ask", "python": "3", "floor": "floor", "operations": 1, "repetitions": 3}
    return harness.Report(**facts | {"measures": tuple(measures)} | changes)  # type: ignore[arg-type]  # facts by name


@pytest.mark.parametrize("path", BENCHMARKS, ids=shown)
def test_a_benchmark_runs_without_peers_and_gives_a_record(path: Path, tmp_path: Path) -> None:
    if path.stem.endswith("_postgres"):
        have_postgres()
    command = [sys.executable, str(path), "--operations", "20", "--repetitions", "1", "--json", "--plot", str(tmp_path)]
    reports = json.loads(run(command, CASEWORK_PEERS=str(tmp_path)))
    assert reports
    for report in reports:
        assert report["measures"] or report["figures"]
        assert all(measure["micros"] > 0 for measure in report["measures"])
        assert len(report["verdicts"]) == len(report["reach"])
    assert len(list(tmp_path.glob("*.svg"))) == len(reports)


@pytest.mark.parametrize("path", PEER_SCRIPTS, ids=shown)
def test_a_peers_script_gives_its_figures(path: Path) -> None:
    peer, _, question = path.stem.partition("_")
    contender = peers.contender(peer, question)
    if contender is None:
        pytest.skip(f"{peer} is {harness.NOT_INSTALLED}")
    assert contender.run(20).seconds > 0


def test_every_peers_script_is_of_a_peer_that_is_pinned() -> None:
    assert {path.stem.partition("_")[0] for path in PEER_SCRIPTS} == set(peers.PINNED)


def pretend_installed(environments: Path, peer: str) -> None:
    """Give a peer this interpreter as its own."""
    python = peers.interpreter(peer, environments)
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (environments / peer / "installed").write_text(peers.digest(peer))


def test_a_peer_measures_itself_in_a_process_of_its_own(tmp_path: Path) -> None:
    pretend_installed(tmp_path, "pykka")
    script = 'import sys; print(\'noise\'); print(\'{"seconds": 2.0, "operations": %s, "mb": 7}\' % sys.argv[2])'
    (tmp_path / "pykka_ask.py").write_text(script)
    contender = peers.contender("pykka", "ask", share=0.5, environments=tmp_path, scripts=tmp_path)
    assert contender is not None
    assert contender.run(8) == harness.Run(seconds=2.0, operations=4, figures={"mb": 7.0})


@pytest.mark.parametrize("script", ["raise SystemExit('no broker')", "print('no figures')", "pass"])
def test_a_peer_that_gives_no_figures_fails_with_its_words(script: str, tmp_path: Path) -> None:
    pretend_installed(tmp_path, "pykka")
    (tmp_path / "pykka_ask.py").write_text(script)
    contender = peers.contender("pykka", "ask", environments=tmp_path, scripts=tmp_path)
    assert contender is not None
    with pytest.raises(peers.PeerFailed, match=r"pykka_ask\.py (ended with 1: no broker|printed no figures)"):
        contender.run(1)


def test_a_peer_is_not_installed_without_its_environment_or_with_other_versions(tmp_path: Path) -> None:
    assert peers.contender("pykka", "ask", environments=tmp_path) is None
    pretend_installed(tmp_path, "pykka")
    (tmp_path / "pykka" / "installed").write_text("of another pin")
    assert peers.contender("pykka", "ask", environments=tmp_path) is None


def test_a_missing_peer_is_named_in_the_table_and_judges_nothing() -> None:
    reach = harness.Reach(contender="one", against="absent", at_least=2.0)
    contenders: dict[str, harness.Contender | None] = {"one": lambda operations: 1.0, "absent": None}
    report = harness.measure("which", contenders, floor="one", operations=2, repetitions=1, reach=[reach])
    assert report.missing == ("absent",)
    assert [verdict.reached for verdict in report.verdicts] == [None]
    assert harness.NOT_INSTALLED in harness.table(report)
    assert harness.NOT_INSTALLED in plot.svg(report)


def test_a_contender_of_ours_runs_in_a_fresh_process_each_time() -> None:
    seen: list[int] = []

    def contend(operations: int) -> float:
        seen.append(operations)
        return float(len(seen))

    report = harness.measure("which", {"one": contend}, floor="one", operations=10, repetitions=3)
    assert seen == []
    assert report.measures[0].taken == (200_000.0,) * 3


def test_a_contender_that_raises_fails_the_benchmark() -> None:
    def contend(operations: int) -> None:
        raise ValueError(operations)

    with pytest.raises(RuntimeError, match="a contender failed"):
        harness.run_fresh(contend, 1)


@pytest.mark.parametrize(
    ("reach", "measured", "reached"),
    [
        (harness.Reach(contender="casework ask", against="floor", at_least=0.5), 0.5, True),
        (harness.Reach(contender="casework ask", against="floor", at_least=0.6), 0.5, False),
        (harness.Reach(contender="casework ask", against="peer", at_least=5.0), 5.0, True),
        (harness.Reach(contender="casework ask", against="floor", at_most=1.9), 2.0, False),
        (harness.Reach(contender="casework ask", at_most=20.0), 20.0, True),
        (harness.Reach(contender="casework ask", against="nobody", at_most=2.0), None, None),
    ],
)
def test_a_requirement_is_judged_by_ratios_within_each_repetition(
    reach: harness.Reach, measured: float | None, reached: bool | None
) -> None:
    (verdict,) = harness.judged(a_report(reach=(reach,))).verdicts
    assert (verdict.measured, verdict.reached) == (measured, reached)


def test_a_plot_has_a_bar_for_each_contender_and_the_strictest_requirement() -> None:
    reach = (
        harness.Reach(contender="casework ask", against="floor", at_least=0.4),
        harness.Reach(contender="casework ask", against="peer", at_least=5.0),
    )
    drawn = plot.svg(a_report(reach=reach, question="a < b & c"))
    assert drawn.count("<rect") == 1 + 3
    assert "required: at most 20 us" in drawn
    assert "a &lt; b &amp; c" in drawn
    assert "logarithmic" in drawn


def test_records_plots_and_the_readme_are_written_from_the_same_figures(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{run_all.BEGIN}\nold figures\n{run_all.END}\nafter\n")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "stale.svg").write_text("of a question that is gone")
    reach = (harness.Reach(contender="casework ask", against="floor", at_least=0.6),)
    report = harness.judged(a_report(reach=reach))
    result = run_all.Result(name="ask", on="2026-01-01", machine="two cores", quick=False, reports=(report,))
    run_all.write({"ask": result}, tmp_path)
    assert run_all.read(tmp_path / "results.json") == {"ask": result}
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["ask.svg"]
    told = readme.read_text()
    assert told.startswith("before\n")
    assert told.endswith("\nafter\n")
    assert "old figures" not in told
    assert "| ask | casework ask: at least 60% of the speed of floor | 50% | NOT REACHED |" in told
