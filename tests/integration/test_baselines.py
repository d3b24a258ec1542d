"""``--arena-baseline``, ``arena_family_error`` and ``groups``: from job files to exit statuses."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

import pytest_arena.session.item_rollout  # noqa: F401
import tests.registered  # noqa: F401  (numpy must not be loaded by a run within this process)
from tests.integration.conftest import Suite, parse

SKILLED = {
    "environment": {"id": "tests.registered:arena/Skilled-v0", "num_envs": 3},
    "policy": {"type": "tests.registered:Skill", "level": 0.9},
    "rollout": {"episodes": 40},
    "regression": {"margin": 0.2},
}


def manifest(suite: Suite) -> dict[str, Any]:
    return parse((suite.run_dir / "run.json").read_text())


def with_groups(path: Path, groups: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "groups": groups}, sort_keys=False))


def test_from_a_run_to_its_regression(suite: Suite) -> None:
    jobs = {"reach": {}, "push": {"environment": {"seed": 5}}, "whole": {"rollout": {"shards": 2}}}
    suite.jobs(jobs, **SKILLED)
    suite.test()

    first = suite.run()
    assert first.ret == 0, first.stdout.str()
    note = "in 3 jobs: regression of success_rate is not judged: no baseline was given (--arena-baseline)"
    assert note in first.stdout.str()
    assert "intervals: 95%, Wilson's" in first.stdout.str()
    assert suite.record("reach")["comparison"]["verdict"] == "not judged"
    assert suite.record("reach")["verdict"] == "none"
    states = [e["initial_state"] for e in suite.episodes("reach")]
    assert len(set(states)) == 40
    baseline = suite.run_dir

    same = suite.run("--arena-baseline", str(baseline), "--arena-set", "reach:environment.num_envs=1")
    assert same.ret == 0
    for job in jobs:
        found = suite.record(job)["comparison"]
        assert (found["verdict"], found["paired"], found["pairs"]) == ("non-inferior", True, 40)
        assert (found["difference"], found["failed"]) == (0.0, False)
        assert suite.record(job)["verdict"] == "pass"
    same.stdout.fnmatch_lines(
        [
            "*✓ success_rate against the baseline: non-inferior; *",
            "*not worse by 20 points or more (score test, one-sided p *, error rate 0.05); paired, 40 episodes*",
        ]
    )

    worse = ("--arena-set", "reach:policy.level=0.3", "--arena-set", "whole:policy.level=0.3")
    seeds = ("--arena-set", "push:environment.seed=8")
    ended = suite.run("-n", "2", "--junitxml=j.xml", f"--arena-baseline={baseline}", *worse, *seeds)
    assert ended.ret == 1
    failed = [name for name, outcome in suite.outcomes().items() if outcome == "failed"]
    assert sorted(failed) == ["reach", "whole"]
    told = suite.arena("reach")
    assert (told["verdict"], told["comparison"]["verdict"]) == ("fail", "regression")
    assert told["comparison"]["table"]["only_candidate"] == 0
    assert told["comparison"]["baseline"] == str(baseline)
    unpaired = suite.arena("push")["comparison"]
    assert (unpaired["paired"], unpaired["reason"]) == (False, "the seeds differ")
    assert unpaired["worse"]["test"] == "Boschloo"
    ended.stdout.fnmatch_lines(["*job 'reach': regression of success_rate over 40 episodes*"])
    properties = [p.get("value") for p in ET.parse(suite.path / "j.xml").iter("property")]
    assert "regression" in properties

    family = suite.run(f"--arena-baseline={baseline / 'metrics.json'}", "--arena-family-error=0.05", *worse)
    assert family.ret == 1
    outcomes = {test["nodeid"]: test["outcome"] for test in suite.report()["tests"]}
    assert [nodeid for nodeid, outcome in outcomes.items() if outcome != "passed"] == ["arena::family"]
    assert suite.arena("reach")["comparison"]["family"]["rejected"] is True
    assert suite.record("reach")["verdict"] == suite.arena("reach")["verdict"] == "fail"
    assert suite.record("push")["verdict"] == "pass"
    assert {k: f["rejected"] for k, f in manifest(suite)["family"]["comparisons"].items()} == {
        "push": False,
        "reach": True,
        "whole": True,
    }
    line = "2 of 2 regressions in 3 comparisons hold at a family error of 0.05 (Holm): reach, whole"
    family.stdout.fnmatch_lines([line])

    metrics = json.loads((baseline / "metrics.json").read_text())
    assert metrics["whole"]["episodes_measured"] == 40
    (suite.path / "kept.json").write_text(json.dumps({"reach": metrics["reach"], "push": {"return": 1.0}}))
    kept = suite.run("--arena-baseline=kept.json", *worse)
    assert kept.ret == 1
    verdicts = {job: suite.record(job)["comparison"]["verdict"] for job in jobs}
    assert verdicts == {"reach": "regression", "push": "not comparable", "whole": "not judged"}
    assert suite.outcomes() | {"whole": "passed"} == suite.outcomes()
    kept.stdout.fnmatch_lines(
        [
            "*job 'push': success_rate not comparable with the baseline over 40 episodes",
            "*✗ success_rate against the baseline: not comparable: success_rate: its metrics.json has no*",
            "*regression of success_rate is not judged: the baseline has no job 'whole'",
        ]
    )


def test_baselines_that_are_none(suite: Suite) -> None:
    suite.jobs({"reach": {}, "push": {}}, **SKILLED)
    suite.test()
    nameless = suite.path / "eval_info.json"
    nameless.write_text('{"per_episode": [], "overall": {"n_success": 1, "n_episodes": 2}}')
    (suite.path / "metrics.json").write_text('{"lift": {"success_rate": 1.0, "episodes_measured": 2}}')
    for path, words in (
        ("nowhere", "ERROR: --arena-baseline *nowhere: expected a run directory, * there is nothing"),
        ("eval_info.json", "ERROR: --arena-baseline *it does not name its job, * got 2"),
        ("metrics.json", "ERROR: --arena-baseline *expected some of the jobs push, reach, it has lift"),
    ):
        result = suite.pytester.runpytest_inprocess("--co", "--arena-baseline", path)
        assert result.ret == 4
        result.stderr.fnmatch_lines([words])
    (suite.path / "metrics.json").write_text('{"reach": {"success_rate": 1.7, "episodes_measured": 2}}')
    words = (
        "ERROR: --arena-baseline: job 'reach': *metrics.json: job 'reach': success_rate: expected a share *"
    )
    result = suite.pytester.runpytest_inprocess("--co", "--arena-baseline", "metrics.json")
    assert result.ret == 4
    result.stderr.fnmatch_lines([words])
    alone = suite.pytester.runpytest_inprocess("--co", "--arena-baseline", "metrics.json", "-k", "push")
    assert alone.ret == 0  # what is not selected is not compared
    result = suite.pytester.runpytest_inprocess("--co", "--arena-family-error=5%")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: --arena-family-error 5%: expected a rate between 0 and 0.5*"])
    for line, words in (
        ("arena_family_error = 5%", "arena_family_error 5%: expected a rate between 0 and 0.5*"),
        ("arena_baseline = nowhere", "arena_baseline *nowhere: expected a run directory, * there is nothing"),
        ("arena_baseline = metrics.json", "arena_baseline: job 'reach': *: expected a share of 2 episodes*"),
        ("arena_baseline = eval_info.json", "arena_baseline *it does not name its job, * got 2"),
        ("arena_jobs = nothing.yaml", "arena_jobs *nothing.yaml: expected a job file, this is missing"),
        ("arena_resume = nowhere", "arena_resume nowhere: expected a run directory*"),
    ):
        (suite.path / "pytest.ini").write_text(f"[pytest]\n{line}\n")
        result = suite.pytester.runpytest_inprocess("--co")
        assert result.ret == 4
        result.stderr.fnmatch_lines([f"ERROR: {words}"])


def test_what_becomes_of_an_inconclusive_comparison(suite: Suite) -> None:
    choices = {choice: {"regression": {"inconclusive": choice}} for choice in ("pass", "fail", "xfail")}
    environment = {**SKILLED["environment"], "num_envs": 1}
    rollout = {"episodes": 4}
    parts = {"rollout": {"episodes": 4, "shards": 2}, "regression": {"inconclusive": "xfail"}}
    suite.jobs({**choices, "parts": parts}, **{**SKILLED, "environment": environment, "rollout": rollout})
    suite.test()
    values = {"success_rate": 1.0, "episodes_measured": 4}
    (suite.path / "kept.json").write_text(json.dumps(dict.fromkeys([*choices, "parts"], values)))
    ini = "[pytest]\narena_baseline = kept.json\n"
    (suite.path / "pytest.ini").write_text(ini)
    assert suite.run().ret == 1
    wanted = {"pass": "passed", "fail": "failed", "xfail": "xfailed", "parts": "xfailed"}
    assert suite.outcomes() | wanted == suite.outcomes()
    verdicts = {job: suite.record(job)["verdict"] for job in wanted}
    assert verdicts == {
        "pass": "pass",
        "fail": "inconclusive",
        "xfail": "inconclusive",
        "parts": "inconclusive",
    }


@pytest.mark.parametrize("args", [[], ["-n", "2"]], ids=["in-process", "n2"])
def test_a_group_fails_once(suite: Suite, args: list[str]) -> None:
    tags = {"tags": ["easy"]}
    jobs = {
        "good": {**tags, "policy": {"level": 1.0}},
        "parts": {**tags, "policy": {"level": 0.0}, "rollout": {"shards": 2}},
        "other": {"tags": ["other"]},
    }
    defaults = {**SKILLED, "rollout": {"episodes": 4}, "regression": None}
    path = suite.jobs(jobs, **defaults)
    with_groups(path, {"easy": {"success_rate": ">= 60%"}, "other": {"episode_length": "< 100"}})
    suite.test()
    result = suite.run(*args)
    assert result.ret == 1
    outcomes = {test["nodeid"]: test["outcome"] for test in suite.report()["tests"]}
    assert outcomes["jobs.yaml::group[other]"] == "passed"
    assert [n for n, outcome in outcomes.items() if outcome != "passed"] == ["jobs.yaml::group[easy]"]
    told = {group["tag"]: group["verdict"] for group in manifest(suite)["groups"]}
    assert (told["easy"]["verdict"], told["other"]["verdict"]) == ("fail", "pass")
    assert told["easy"]["jobs"] == {"good": {"success_rate": 1.0}, "parts": {"success_rate": 0.0}}
    result.stdout.fnmatch_lines(
        ["group easy, mean over 2 jobs: ✗ success_rate = 0.5 (95% interval *), expected >= 60%*"]
    )
    if not args:
        again = suite.pytester.runpytest_inprocess("--lf", "--co", "-q")
        again.stdout.fnmatch_lines(
            ["*[[]good[]]", "*[[]parts-shard0of2[]]", "*[[]parts-shard1of2[]]", "3 tests collected*"]
        )
        with_groups(path, {"easy": {"success_rate": ">= 50%"}})
        old = suite.pytester.runpytest_inprocess("--co", "--arena-resume", str(suite.run_dir))
        assert old.ret == 4
        old.stderr.fnmatch_lines(["*jobs.yaml::group[[]easy[]] was begun with other thresholds*"])
        result.stdout.fnmatch_lines(
            ["FAILED jobs.yaml::group[[]easy[]] - success_rate = 0.5, expected >= 60%*"]  # in 80 columns
        )
        part = suite.run("-k", "good or other", "-p", "no:cacheprovider")
        assert part.ret == 0
        assert "group easy is not judged: 1 of 2 jobs not selected (parts)" in part.stdout.str()
