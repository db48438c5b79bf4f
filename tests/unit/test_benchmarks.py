"""What the benchmarks make of their times, and that they compare like with like."""

import json
import re
import sys
import time
from pathlib import Path

import pytest

import bench_peers
from modelctl import cli
from modelctl.benchmarks import imports, measurements, peers
from modelctl.benchmarks.functions import Function
from modelctl.benchmarks.imports import Step
from modelctl.benchmarks.measurements import Report
from modelctl.benchmarks.rows import Goal, compare
from modelctl.errors import UserError
from modelctl.local import memory

PAIRS = [(10.0, 5.0), (30.0, 10.0), (200.0, 50.0)]


def write(folder: Path, module: str, *lines: str) -> Function:
    """A function whose module consists of these lines."""
    (folder / f"{module}.py").write_text("\n".join(lines) + "\n")
    return Function(f"{module}.handler", folder, Path(sys.executable), {})


def test_a_ratio_is_the_median_of_the_pairs_ratios_and_not_the_ratio_of_the_medians() -> None:
    pairs = [(10.0, 10.0), (40.0, 20.0), (41.0, 41.0)]
    row = compare("ours", "theirs", pairs)
    assert (row.measured, row.baseline, row.ratio) == (40, 20, 1)


def test_ratios_say_how_many_times_the_cost_or_how_many_times_as_fast() -> None:
    assert compare("ours", "theirs", PAIRS).ratio == 3
    assert compare("ours", "theirs", PAIRS, faster=True).ratio == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("goal", "faster", "holds"),
    [
        (Goal("at most", 3, "times"), False, True),
        (Goal("at most", 2.9, "times"), False, False),
        (Goal("at least", 0.3, "times as fast"), True, True),
        (Goal("at least", 0.4, "times as fast"), True, False),
        (Goal("at most", 30, "ms"), False, True),
        (Goal("at most", 29, "ms"), False, False),
        (None, False, None),
    ],
)
def test_a_goal_bounds_the_ratio_or_what_was_measured(goal: Goal | None, faster: bool, holds: bool | None) -> None:
    assert compare("ours", "theirs", PAIRS, faster=faster, goal=goal).holds is holds


def test_the_spread_holds_half_of_what_the_goal_speaks_of() -> None:
    assert compare("ours", "theirs", PAIRS).spread == (2.5, 3.5)
    assert compare("ours", "theirs", PAIRS, goal=Goal("at most", 1, "ms")).spread == (20, 115)
    assert compare("ours", "theirs", PAIRS[:1]).spread == (2, 2)


def test_a_missed_goal_is_exit_status_1_and_says_no(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missed = compare("cold start", "the shortest handler", PAIRS, goal=measurements.DIRECT_COLD_START)
    cold, warm = Step("initialisation", "numpy", 40.0), Step("each input", "decoding", 0.125)
    report = Report([missed], {"direct call": [cold]}, {"batch of 10": [warm]})
    monkeypatch.setattr(measurements, "measure", lambda runtimes, runs: report)
    assert cli.main(["bench", "litert", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    (row,) = document["rows"]
    contract = {key: row[key] for key in ("name", "measured", "baseline", "ratio", "goal", "holds")}
    assert contract == {
        "name": "cold start, against the shortest handler",
        "measured": 30,
        "baseline": 10,
        "ratio": 3,
        "goal": 1.15,
        "holds": False,
    }
    assert document["profile"] == {
        "direct call": [{"phase": "initialisation", "what": "numpy", "ms": 40}],
        "batch of 10": [{"phase": "each input", "what": "decoding", "ms": 0.125}],
    }
    assert cli.main(["bench"]) == 1
    printed = capsys.readouterr().out
    assert "at most 1.15 times  NO" in printed
    assert re.search(r"^decoding +0\.125$", printed, re.MULTILINE)


def test_the_goals_are_those_that_the_page_lists() -> None:
    page = (Path(measurements.__file__).with_name("README.md")).read_text()
    listed = page.partition("## Goals")[2].partition("\n\n**")[0].strip().splitlines()[2:]
    goals = [
        measurements.DIRECT_COLD_START,
        measurements.AGAINST_TENSORFLOW,
        measurements.UPLOAD_COLD_START,
        measurements.UPLOAD_PROCESSOR_TIME,
        measurements.WARM_DIRECT_CALL,
        measurements.WARM_UPLOAD,
        measurements.AGAINST_PREDICT_OF_EACH,
        measurements.AGAINST_PREDICT_OF_ALL,
        measurements.MEMORY,
    ]
    assert [line.split(" | ")[1].removesuffix(" |") for line in listed] == list(map(str, goals))
    assert [goal.value for goal in goals] == [1.15, 20, 0.6, 0.35, 1.75, 7.5, 10, 1.5, 80]


def test_a_peer_is_compared_by_what_it_takes_for_each_of_ours() -> None:
    ours, theirs = peers.Figures(50, 40, 0.25), peers.Figures(600, 120, 0.5)
    slower = peers.Figures(1000, 120, 0.75)
    found = [each.document() for each in peers.comparisons("digits", "mlserver", [(ours, theirs), (ours, slower)])]
    assert [(each["figure"], each["unit"], each["ours"], each["theirs"], each["ratio"]) for each in found] == [
        ("first answer", "ms", 50, 800, 16),
        ("memory", "MB", 40, 120, 3),
        ("processor time", "ms", 0.25, 0.625, 2.5),
    ]
    assert [(each["model"], each["peer"], each["runs"]) for each in found] == [("digits", "mlserver", 2)] * 3
    assert found[0]["spread"] == [14, 18]


def test_peers_that_cannot_be_measured_are_an_error_and_a_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(runs: int) -> list[peers.Comparison]:
        raise UserError(f"no answer in {runs} runs")

    monkeypatch.setattr(peers, "measure", fails)
    assert bench_peers.main(["--runs", "2", "--json"]) == 1
    captured = capsys.readouterr()
    assert "no answer in 2 runs" in captured.err
    assert json.loads(captured.out) == {"error": "no answer in 2 runs"}


def test_the_processes_of_a_peer_are_ended_with_it_whatever_happens(tmp_path: Path) -> None:
    # What the shell starts outlives it unless somebody ends it.
    command = ["sh", "-c", "setsid sleep 60 & echo started; wait"]
    pids: list[int] = []

    def measure() -> None:
        with peers.running(command, {"PATH": "/usr/bin:/bin"}, tmp_path) as process:
            while len(pids) < 2 or not (tmp_path / "output").read_text():
                pids[:] = memory.tree(process.pid)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure()
    until = time.monotonic() + 20
    while (alive := list(filter(is_alive, pids))) and time.monotonic() < until:
        time.sleep(0.01)
    assert not alive


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended may still be listed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_goals_that_hold_and_rows_without_one_are_exit_status_0(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [compare("ours", "theirs", PAIRS, goal=Goal("at most", 3, "times")), compare("ours", "theirs", PAIRS)]
    monkeypatch.setattr(measurements, "measure", lambda runtimes, runs: Report(rows, {}, {}))
    assert cli.main(["bench", "--json"]) == 0


@pytest.mark.parametrize("arguments", [["pytorch"], ["--runs", "0"], ["--runs", "often"]])
def test_what_cannot_be_measured_is_exit_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["bench", *arguments])
    assert exit_.value.code == 2


def test_two_sides_that_answer_differently_are_no_comparison(tmp_path: Path) -> None:
    ours = write(tmp_path, "ours", "def handler(event, context):", "    return {'predictions': [[0.5, 0.25]]}")
    alike = write(tmp_path, "alike", "def handler(event, context):", "    return {'predictions': [[0.5, 0.2500001]]}")
    other = write(tmp_path, "other", "def handler(event, context):", "    return {'predictions': [[0.5, 0.26]]}")
    (calls,) = measurements.in_turns("alike", ours, alike, [{}], 1, measurements.direct_answer)
    assert [run.answers for run in calls] == [[{"predictions": [[0.5, 0.25]]}], [{"predictions": [[0.5, 0.2500001]]}]]
    with pytest.raises(UserError, match=r"other: the two sides do not answer alike: \[\[0\.5, 0\.25\]\]"):
        measurements.in_turns("other", ours, other, [{}], 1, measurements.direct_answer)


def test_a_side_that_fails_is_named_with_its_error(tmp_path: Path) -> None:
    fails = write(tmp_path, "fails", "import nothing_like_it", "def handler(event, context):", "    pass")
    with pytest.raises(UserError, match=r"fails\.handler failed: .*No module named 'nothing_like_it'"):
        fails.run([{}])


def test_imports_count_for_the_phase_in_which_they_are_made(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text("import time\ntime.sleep(0.02)\n")
    (tmp_path / "late.py").write_text("import time\ntime.sleep(0.02)\n")
    function = write(tmp_path, "lazy", "import early", "def handler(event, context):", "    import late")
    steps = imports.profile(lambda: function.run([{}], *imports.OPTIONS), 2)
    took = {(step.phase, step.what): step.ms for step in steps}
    assert took["initialisation", "early"] >= 20
    assert took["first call", "late"] >= 20
    assert ("first call", "early") not in took
    assert took["initialisation", "Python's standard library"] > 0
    assert {("initialisation", "awslambdaric"), *((phase, rest) for phase, rest in imports.REST.items())} <= set(took)


def test_small_steps_are_shown_as_one() -> None:
    steps = [
        Step("initialisation", "numpy", 40.0),
        Step("initialisation", "six", 0.25),
        Step("initialisation", "copy", 0.125),
        Step("first call", "botocore", 30.0),
    ]
    assert list(imports.shown(steps)) == [
        steps[0],
        Step("initialisation", "2 others, each below 0.5 ms", 0.375),
        steps[3],
    ]
