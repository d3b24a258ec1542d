"""``python -m pytest_arena compare``: the table, the words, the exit status."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_arena import JobRecord, RunDirectory, Status
from pytest_arena.__main__ import main
from pytest_arena.records.episodes import write_episodes
from pytest_arena.records.files import write_json
from tests.jobs import make_job
from tests.unit.gate.samples import scheduled


def make_run(path: Path, jobs: Mapping[str, Sequence[int]], **changes: Any) -> str:
    """A run in which job *name* had these successes."""
    run = RunDirectory(path)
    path.mkdir()
    configs = {}
    for name, successes in jobs.items():
        directory = run.claim(name)
        job = make_job(name, **{"rollout": {"episodes": len(successes)}, **changes})
        episodes = scheduled(job, [bool(success) for success in successes])
        for one, success in zip(episodes, successes, strict=True):
            one.return_ = float(success) * 10 + one.episode % 3
        write_episodes(directory.episodes, episodes)
        record = JobRecord(name, 1, "", "gymnasium", "CartPole-v1", "zero", Status.COMPLETED)
        record.record_path, record.episodes_path = f"{name}/record.json", f"{name}/episodes.jsonl"
        record.identity = {"horizon": 500}
        write_json(directory.record, record.to_json())
        configs[name] = {"config": job.config()}
    write_json(run.manifest_path, {"jobs": configs})
    return str(path)


GOOD, BAD, EVEN = [1] * 20 + [0] * 2, [1] * 10 + [0] * 12, [1] * 19 + [0] * 3


def test_a_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = make_run(tmp_path / "one", {"reach": GOOD, "push": GOOD})
    two = make_run(tmp_path / "two", {"reach": BAD, "push": EVEN})
    assert main(["compare", one, two]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"A: {one}", f"B: {two}"]
    table = {line.split()[0]: line.split() for line in lines[3:6]}
    assert table["job"][:4] == ["job", "pairs", "A", "B"]
    assert table["push"][1:4] == ["22", "90.9%", "86.4%"]
    assert table["push"][-6:] == ["19", "1", "0", "2", "0.80", "inconclusive"]
    assert table["reach"][1:5] == ["22", "90.9%", "45.5%", "-45.5"]
    assert table["reach"][-6:] == ["10", "10", "0", "2", "0.29", "regression"]
    assert (
        "reach: success_rate, regression; worse (McNemar, one-sided p 0.00051, error rate 0.05)"
        in "\n".join(lines)
    )


@pytest.mark.parametrize(
    ("before", "after", "options", "status"),
    [
        (GOOD, GOOD, [], 2),
        (GOOD, BAD, [], 1),
        (BAD, GOOD, [], 0),
        ([1] * 100, [1] * 100, [], 0),
        ([1] * 100, [1] * 100, ["--margin", "0"], 2),
        ([1] * 100, [1] * 100, ["--margin", "0.05", "--confidence", "0.9999"], 2),
        (BAD, GOOD, ["--metric", "return"], 2),
        (BAD, GOOD, ["--metric", "return", "--bounds", "0", "12"], 0),
        (GOOD, BAD, ["--metric", "return", "--bounds", "0", "12"], 1),
        ([1] * 100, [1] * 100, ["--metric", "episode_length", "--margin", "50"], 0),
    ],
)
def test_exit_statuses(
    tmp_path: Path, before: list[int], after: list[int], options: list[str], status: int
) -> None:
    one, two = make_run(tmp_path / "one", {"reach": before}), make_run(tmp_path / "two", {"reach": after})
    assert main(["compare", one, two, *options]) == status


def test_what_the_job_says_holds_unless_asked_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    regression = {"metric": "return", "bounds": [0, 12], "margin": 3.0}
    one = make_run(tmp_path / "one", {"reach": GOOD})
    two = make_run(tmp_path / "two", {"reach": BAD}, regression=regression)
    assert main(["compare", one, two]) == 1
    assert "reach: return, regression" in capsys.readouterr().out
    assert main(["compare", one, two, "--metric", "success_rate", "--margin", "0.1"]) == 1
    assert "reach: success_rate, regression" in capsys.readouterr().out
    assert main(["compare", one, two, "--metric", "success_rate"]) == 1  # a margin of 3.0 is one of returns
    assert "reach: success_rate, regression" in capsys.readouterr().out


def test_a_job_that_was_lost_is_undecided_a_new_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = make_run(tmp_path / "both", {"reach": BAD, "push": GOOD})
    better = make_run(tmp_path / "better", {"reach": GOOD})
    assert main(["compare", both, better]) == 2
    assert "push: only in A" in capsys.readouterr().out
    one = make_run(tmp_path / "one", {"reach": BAD})
    more = make_run(tmp_path / "more", {"reach": GOOD, "push": GOOD})
    assert main(["compare", one, more]) == 0
    assert "push: only in B" in capsys.readouterr().out


def test_files_that_are_not_what_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = make_run(tmp_path / "one", {"reach": BAD, "push": BAD})
    two = make_run(tmp_path / "two", {"reach": GOOD, "push": GOOD})
    for content in ("[]", "{"):
        (tmp_path / "one" / "push" / "record.json").write_text(content)
        assert main(["compare", one, two]) == 4
        assert f"error: job 'push': {one}/push/record.json: the job's record" in capsys.readouterr().err
    (tmp_path / "one" / "push" / "record.json").unlink()
    path = tmp_path / "two" / "reach" / "episodes.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")
    assert main(["compare", one, two]) == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert (
        f"error: job 'reach': {path}: line 23: episode: expected each once, it is in line 1 too" in told.err
    )


def test_jobs_that_are_judged_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of many comparisons some are worse by chance: together they are not, and what is far worse is."""
    slightly = [1] * 18 + [0] * 4
    jobs = {f"job{i}": [1] * 22 for i in range(30)}
    one = make_run(tmp_path / "one", jobs)
    two = make_run(tmp_path / "two", {**jobs, "job7": slightly})
    assert main(["compare", one, two, "--margin", "0.2"]) == 1
    told = capsys.readouterr().out
    assert "30 comparisons, each with its own error rate: where nothing got worse, up to 1.5 regres" in told
    for option in ("--family-error", "--arena-family-error"):
        assert main(["compare", one, two, "--margin", "0.2", option, "0.05"]) == 2
        told = capsys.readouterr().out
        assert "0 of 1 regressions in 30 comparisons hold at a family error of 0.05 (Holm)\n" in told
        assert "does not hold among the 30 comparisons" in told
    bad = make_run(tmp_path / "bad", {**jobs, "job7": slightly, "job9": BAD})
    for method, how in (("0.05", "Holm"), ("0.05 e-bh", "e-BH")):
        assert main(["compare", one, bad, "--family-error", method]) == 1
        told = capsys.readouterr().out
        assert f"1 of 2 regressions in 30 comparisons hold at a family error of 0.05 ({how}): job9" in told
    assert main(["compare", one, one, "--margin", "0.2", "--family-error", "0.05"]) == 0


def test_episodes_that_began_elsewhere_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """97 % before, and 52 % now because the policy fails wherever the start has moved."""
    one = make_run(tmp_path / "one", {"reach": [1] * 97 + [0] * 3})
    two = make_run(tmp_path / "two", {"reach": [1] * 52 + [0] * 48})
    path = tmp_path / "two" / "reach" / "episodes.jsonl"
    lines = path.read_text().splitlines()
    moved = [line.replace('"state ', '"moved ') if index >= 52 else line for index, line in enumerate(lines)]
    path.write_text("\n".join(moved) + "\n")
    assert main(["compare", one, two]) == 1
    told = capsys.readouterr().out
    assert "100, 52 same start" in told
    assert "97.0%  52.0%" in told
    assert "reach: success_rate, regression; paired by index, 100 episodes, of which 52 began in the " in told


def test_files_of_lerobot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = {
        name: {
            "per_task": [{"task_group": "reach", "task_id": 0, "metrics": {"successes": successes}}],
            "overall": {},
        }
        for name, successes in (("one", [True] * 40), ("two", [False] * 10 + [True] * 30))
    }
    for name, data in tasks.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    assert main(["compare", str(tmp_path / "one.json"), str(tmp_path / "two.json")]) == 1
    assert "unpaired, 40 and 40 episodes" in capsys.readouterr().out
    twins = [{"task_group": "t", "task_id": i, "metrics": {"successes": [True] * 40}} for i in range(2)]
    (tmp_path / "twins.json").write_text(json.dumps({"per_task": twins, "overall": {}}))
    assert main(["compare", str(tmp_path / "twins.json"), str(tmp_path / "twins.json")]) == 2
    table = capsys.readouterr().out
    assert "t_0: success_rate" in table
    assert "t_1: success_rate" in table
    run = make_run(tmp_path / "run", {"reach": [1] * 40})
    assert main(["compare", str(tmp_path / "one.json"), run, "--margin", "0.3"]) == 0
    assert "only in" not in capsys.readouterr().out
    rows = [{"episode_ix": i, "sum_reward": 1.0, "success": True} for i in range(40)]
    (tmp_path / "three.json").write_text(json.dumps({"per_episode": rows}))
    assert main(["compare", str(tmp_path / "three.json"), run, "--margin", "0.3"]) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["{one}", "{nowhere}"], "there is nothing"),
        (["{one}", "{other}"], "have no job in common"),
        (["{one}", "{one}", "--margin", "-1"], "margin: expected at least 0"),
        (["{one}", "{one}", "--margin", "2"], "job 'reach': expected a margin below 1, the range of success"),
        (["{one}", "{one}", "--bounds", "0", "1"], "job 'reach': expected no bounds: success_rate is a rate"),
        (
            ["{one}", "{one}", "--metric", "foo"],
            "--metric: no job has values of 'foo' for each episode; known",
        ),
        (["{one}", "{one}", "--metric", "sucess_rate"], "(did you mean 'success_rate'?)"),
        (["{one}", "{one}", "--confidence", "95"], "confidence: expected less than 1"),
        (["{one}", "{one}", "--family-error", "5%"], "--family-error 5%: expected a rate between 0 and 0.5"),
        (["{one}", "{one}", "--bounds", "3", "1"], "expected bounds as [lowest, highest]"),
        (["{nameless}", "{two}"], "does not name its job: expected one job in the other run"),
    ],
)
def test_mistakes_are_one_line_and_status_4(
    tmp_path: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nameless.json").write_text(
        '{"per_episode": [], "overall": {"n_success": 1, "n_episodes": 2}}'
    )
    paths = {
        "one": make_run(tmp_path / "one", {"reach": GOOD}),
        "other": make_run(tmp_path / "other", {"push": GOOD}),
        "two": make_run(tmp_path / "two", {"push": GOOD, "reach": GOOD}),
        "nowhere": str(tmp_path / "nowhere"),
        "nameless": str(tmp_path / "nameless.json"),
    }
    assert main(["compare", *(option.format(**paths) for option in options)]) == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert words in told.err
    assert told.err.count("\n") == 1


def test_hidden_folders_are_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = make_run(tmp_path / "one", {"reach": GOOD}), make_run(tmp_path / "two", {"reach": BAD})
    assert main(["compare", one, two]) == 1
    told = capsys.readouterr().out
    make_run(tmp_path / "forged", {"reach": GOOD})
    hidden = tmp_path / "two" / ".x"
    (tmp_path / "forged" / "reach").rename(hidden)
    record = json.loads((hidden / "record.json").read_text())
    write_json(hidden / "record.json", {**record, "attempt": 9})
    assert main(["compare", one, two]) == 1
    assert capsys.readouterr().out == told


def test_one_job_of_a_run_against_another_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", {"good": GOOD, "bad": BAD})
    assert main(["compare", f"{run}:good", f"{run}:bad"]) == 1
    told = capsys.readouterr().out
    assert told.startswith(f"A: {run}:good\nB: {run}:bad\n\njob ")
    assert "\ngood vs bad: success_rate, regression; worse (McNemar, one-sided p 0.00051" in told
    assert "only in" not in told
    assert main(["compare", f"{run}:bad", f"{run}:good"]) == 0
    other = make_run(tmp_path / "other", {"good": EVEN, "more": GOOD})
    assert main(["compare", f"{run}:good", other]) == 2
    assert "good: success_rate, inconclusive" in capsys.readouterr().out


def test_what_differs_stands_on_top(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = make_run(tmp_path / "one", {"reach": GOOD, "push": GOOD})
    two = make_run(tmp_path / "two", {"reach": GOOD, "push": GOOD}, policy={"type": "random"})
    assert main(["compare", one, two]) == 2
    assert capsys.readouterr().out.startswith(
        f"A: {one}\nB: {two}\ndiffers: policy.type: zero | random\n\njob "
    )


def test_two_runs_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = make_run(tmp_path / "one", {"reach": GOOD, "push": GOOD, "old": GOOD})
    two = make_run(tmp_path / "two", {"reach": BAD, "push": EVEN}, policy={"type": "random"})
    assert main(["compare", one, two, "--json", "--family-error", "0.05"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [*told] == ["runs", "differences", "exit_status", "comparisons", "family"]
    assert told["runs"] == {
        "A": {"path": one, "job": None, "only": ["old"]},
        "B": {"path": two, "job": None, "only": []},
    }
    assert told["differences"] == [
        {
            "part": "configuration",
            "key": "policy.type",
            "values": {"A": "zero", "B": "random"},
            "jobs": ["push", "reach"],
        }
    ]
    assert told["exit_status"] == 1
    reach = told["comparisons"]["reach"]
    assert (reach["verdict"], reach["table"]["only_baseline"], len(reach["lost"])) == ("regression", 10, 10)
    assert reach["family"] == {"p_value": reach["worse"]["p_value"], "e_value": reach["worse"]["e_value"]} | {
        "rejected": True,
        "size": 2,
    }
    assert told["family"]["comparisons"]["push"]["rejected"] is False


def test_three_runs_are_ranked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best, same, bad = [1] * 40, [1] * 39 + [0], [1] * 12 + [0] * 28
    runs = [
        make_run(tmp_path / name, {"reach": successes, "push": best})
        for name, successes in (("one", bad), ("two", best), ("three", same))
    ]
    assert main(["compare", *runs]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [f"A: {runs[0]}", f"B: {runs[1]}", f"C: {runs[2]}", ""]
    at = lines.index("reach: success_rate, higher is better")
    assert lines[at + 1 : at + 5] == [
        "     run  letters  value   episodes  interval",
        "  1  B    a        100.0%  40        91.2% to 100.0%",
        "  2  C    a        97.5%   40        87.1% to 99.6%",
        "  3  A    b        30.0%   40        18.1% to 45.4%",
    ]
    assert lines[-1] == (
        "runs that share a letter are not told apart; the probability that any two runs are told apart that are "
        "equal is at most 0.05, over all 6 pairs of 2 jobs (Holm; each p-value is twice the smaller one-sided one)"
    )
    assert main(["compare", *runs, "--json", "--confidence", "0.9"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["family"] == {"rate": 0.1, "method": "holm", "pairs": 6}
    ranking = told["rankings"]["reach"]
    assert [(run["run"], run["letters"]) for run in ranking["runs"]] == [
        ("B", ["a"]),
        ("C", ["a"]),
        ("A", ["b"]),
    ]
    assert (ranking["metric"], ranking["direction"], ranking["rate"]) == ("success_rate", "higher", True)
    assert [pair["different"] for pair in ranking["pairs"]] == [True, True, False]
    assert main(["compare", *runs, "--json", "--family-error", "0.01 e-bh"]) == 0
    assert json.loads(capsys.readouterr().out)["family"]["method"] == "e-bh"


def test_jobs_that_not_all_runs_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = make_run(tmp_path / "one", {"reach": GOOD, "push": GOOD, "old": GOOD})
    two = make_run(tmp_path / "two", {"reach": GOOD, "push": GOOD})
    three = make_run(tmp_path / "three", {"reach": GOOD})
    assert main(["compare", one, two, three]) == 2
    told = capsys.readouterr().out
    assert "  C is not ranked: it has no such job\n" in told
    assert "old: only in A\n" in told
    assert main(["compare", f"{one}:reach", two, three]) == 0
    assert main(["compare", f"{one}:reach", f"{one}:push", f"{one}:old"]) == 0
    assert "reach vs push vs old: success_rate" in capsys.readouterr().out


def test_another_task_is_not_ranked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (make_run(tmp_path / name, {"reach": GOOD}) for name in ("one", "two"))
    three = make_run(tmp_path / "three", {"reach": GOOD}, environment={"id": "Acrobot-v1"})
    assert main(["compare", one, two, three]) == 2
    told = capsys.readouterr().out
    assert "  C is not ranked: environment.id is 'Acrobot-v1', and 'CartPole-v1' in A\n" in told
    assert main(["compare", one, three, three]) == 2
    assert "  2  C" not in capsys.readouterr().out
    record = tmp_path / "one" / "reach" / "record.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "status": "error"}))
    assert main(["compare", one, two, two]) == 2
    assert "  A is not ranked: the job did not complete (error)\n" in capsys.readouterr().out
    assert main(["compare", one, two, three]) == 2
    assert (
        "reach: not ranked: fewer than two runs can be ranked; A: the job did not c"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--margin", "0.1"], "--margin: only of two runs; a ranking tells runs apart, by any amount"),
        (["--confidence", "95"], "confidence: expected less than 1"),
        (["--metric", "foo"], "--metric: no job has values of 'foo' for each episode; known"),
        (["--bounds", "0", "1"], "job 'reach': expected no bounds: success_rate is a rate"),
        (["--family-error", "2"], "--family-error 2: expected a rate between 0 and 0.5"),
    ],
)
def test_mistakes_in_a_ranking(
    tmp_path: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one = make_run(tmp_path / "one", {"reach": GOOD})
    assert main(["compare", one, one, one, *options]) == 4
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert words in told.err


def test_a_ranking_needs_one_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    regression = {"metric": "return", "bounds": [0, 12]}
    one, two = (make_run(tmp_path / name, {"reach": GOOD}) for name in ("one", "two"))
    three = make_run(tmp_path / "three", {"reach": BAD}, regression=regression)
    assert main(["compare", one, two, three]) == 4
    words = "job 'reach': the runs differ in regression.metric (success_rate in A, success_rate in B, return in C)"
    assert f"{words}: give --metric" in capsys.readouterr().err
    assert main(["compare", one, two, three, "--metric", "return"]) == 4
    assert (
        "regression.bounds (None in A, None in B, (0.0, 12.0) in C): give --bounds" in capsys.readouterr().err
    )
    assert main(["compare", one, two, three, "--metric", "return", "--bounds", "0", "12"]) == 0
    assert "reach: return, higher is better" in capsys.readouterr().out


def test_a_time_that_was_not_finite_costs_nothing(tmp_path: Path) -> None:
    one, two = make_run(tmp_path / "one", {"reach": BAD}), make_run(tmp_path / "two", {"reach": GOOD})
    path = tmp_path / "two" / "reach" / "episodes.jsonl"
    path.write_text(path.read_text().replace('"wall_time_seconds": 0.0', '"wall_time_seconds": null'))
    assert '"wall_time_seconds": null' in path.read_text()
    assert main(["compare", one, two]) == 0
