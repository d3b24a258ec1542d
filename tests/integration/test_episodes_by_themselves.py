"""``rollout.only``: some episodes of a job, with the numbers that they have in all of it, and without a verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import Suite, parse

SAME = (
    "episode",
    "rebuild",
    "seed",
    "initial_state",
    "length",
    "outcome",
    "return",
    "metrics",
    "success_once",
)
SKILLED: dict[str, Any] = {
    "environment": {"id": "tests.registered:arena/Skilled-v0"},
    "policy": {"type": "tests.registered:Skill", "level": 0.5},
    "rollout": {"episodes": 7},
    "thresholds": {"success_rate": ">= 0.99", "episode_length": "< 1"},
    "regression": {},
}
NUMBERED = {"id": "tests.registered:arena/Numbered-v0", "options": {"episode_option": "state"}}


def kept(suite: Suite, job: str) -> dict[int, dict[str, Any]]:
    return {e["episode"]: {key: e[key] for key in SAME} for e in suite.episodes(job)}


@pytest.mark.parametrize("args", [[], ["-n", "2"]], ids=["in-process", "n2"])
def test_the_numbers_are_those_of_the_whole_job(suite: Suite, args: list[str]) -> None:
    jobs: dict[str, dict[str, Any]] = {
        "plain": {},
        "rows": {"environment": {"num_envs": 3}},
        "rebuilt": {"rollout": {"rebuilds": 3}},
        "seeded": {
            "environment": {**NUMBERED, "seeds": [4, 4, 9, 1, 0, 7, 3]},
            "policy": {"level": None, "type": "zero"},
        },
        "gated": {"gate": {"episodes_max": 60}, "thresholds": {"success_rate": ">= 0.9"}},
    }
    suite.jobs(jobs, **SKILLED)
    suite.test()
    suite.run(*args)
    whole = {job: kept(suite, job) for job in jobs}
    result = suite.run(*args, "--arena-set", "rollout.only=[5, 2]")
    assert result.ret == 0, result.stdout.str()
    for job in jobs:
        assert kept(suite, job) == {episode: whole[job][episode] for episode in (2, 5)}, job
        record, told = suite.record(job), suite.arena(job)
        assert record["episodes"] == {"requested": 2, "measured": 2, "errors": 0}
        assert told["only"] == record["only"] == [2, 5]
        assert (record["verdict"], record["thresholds"], record["gate"], record["comparison"]) == (
            "none",
            [],
            None,
            None,
        )
        total = 60 if job == "gated" else 7
        note = f"a part of the job: 2 of its {total} episodes (2, 5), as rollout.only says"
        assert any(text.startswith(note) for text in record["notes"])
    result.stdout.fnmatch_lines(
        [
            "plain *2/2 *none *",
            "in 4 jobs: a part of the job: 2 of its 7 episodes (2, 5), as rollout.only says; thresholds and *",
        ]
    )
    metrics = parse((suite.run_dir / "metrics.json").read_text())["plain"]
    assert metrics["only"] == [2, 5]
    assert "episodes_measured" not in metrics


def test_a_part_is_gone_on_with(suite: Suite) -> None:
    suite.jobs({"reach": {}, "rebuilt": {"rollout": {"rebuilds": 2}}}, **SKILLED)
    suite.test()
    suite.run("--arena-set", "rollout.only=[6, 1, 3]")
    first, whole = suite.run_dir, {job: kept(suite, job) for job in ("reach", "rebuilt")}
    for job in whole:
        lines, record = first / job / "episodes.jsonl", first / job / "record.json"
        lines.write_text("".join(lines.read_text().splitlines(keepends=True)[:1]))
        record.write_text(json.dumps({**json.loads(record.read_text()), "status": "running"}))
    resume = ["--arena-resume", str(first)]
    other = suite.run(*resume)
    assert other.ret == 4
    assert "these keys differ: rollout.only" in other.stderr.str()
    result = suite.run(*resume, "--arena-set", "rollout.only=[6, 1, 3]")
    assert result.ret == 0, result.stdout.str()
    assert suite.run_dir == first
    for job, episodes in whole.items():
        assert kept(suite, job) == episodes
        notes = suite.record(job)["notes"]
        assert sum(note.startswith("a part of the job") for note in notes) == 1
    record = first / "reach" / "record.json"
    written = record.read_text()
    record.write_text(json.dumps({**json.loads(written), "only": None}))
    refused = suite.run(*resume, "--arena-set", "rollout.only=[6, 1, 3]")
    assert "reach/record.json: only: expected [1, 3, 6], got null" in refused.stderr.str()
    record.write_text(written)
    lines = first / "reach" / "episodes.jsonl"
    lines.write_text(lines.read_text().replace('"episode": 3', '"episode": 4'))
    refused = suite.run(*resume, "--arena-set", "rollout.only=[6, 1, 3]")
    assert "line 2: episode: expected one of the episodes 1, 3, 6, got 4" in refused.stderr.str()


def test_a_part_is_no_baseline(suite: Suite) -> None:
    suite.jobs({"reach": {}, "push": {}}, **{**SKILLED, "thresholds": {}})
    suite.test()
    suite.run("--arena-set", "reach:rollout.only=[3]")
    part = suite.run_dir
    (suite.path / "metrics.json").write_text((part / "metrics.json").read_text())
    words = "a part of the job ran (rollout.only: episodes 3): run all of it"
    for baseline in (part, suite.path / "metrics.json"):
        assert suite.run("--arena-baseline", str(baseline), "-k", "reach").ret == 1
        compared = suite.record("reach")["comparison"]
        assert (compared["verdict"], compared["reason"]) == ("not comparable", f"the baseline: {words}")
    whole = suite.run_dir
    assert (
        suite.run("--arena-baseline", str(whole), "--arena-set", "rollout.only=[3]", "-k", "reach").ret == 0
    )
    assert suite.record("reach")["comparison"] is None
    result = suite.pytester.runpython_c(
        f"from pytest_arena.__main__ import main; raise SystemExit(main(['compare', {str(whole)!r}, {str(part)!r}]))"
    )
    assert result.ret == 2
    assert f"B: {words}" in result.stdout.str()


def test_a_group_with_a_part_is_not_judged(suite: Suite) -> None:
    path = suite.jobs(
        {"reach": {"tags": ["hard"]}, "push": {"tags": ["hard"]}}, **{**SKILLED, "thresholds": {}}
    )
    groups = {"hard": {"success_rate": ">= 0.99"}}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "groups": groups}))
    suite.test()
    assert suite.run().ret == 1
    result = suite.run("--arena-set", "reach:rollout.only=[3]")
    assert result.ret == 0
    assert "group hard is not judged: 1 of 2 jobs ran in part (reach)" in result.stdout.str()


def test_other_numbers_are_noted(suite: Suite) -> None:
    """The policy draws as it likes: the episode runs, and nobody takes it for the one of the whole job."""
    suite.jobs({"chance": {}}, **{**SKILLED, "policy": {"type": "tests.registered:Coin"}})
    suite.test()
    result = suite.run("--arena-set", "chance:rollout.only=[3]")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["*its episodes may have other numbers than in the whole job: its policy, or *"]
    )
    assert not suite.record("chance")["reproducible"]


def test_rows_without_seeds_of_their_own(suite: Suite) -> None:
    """What a collection cannot know ends the job before its first step."""
    suite.jobs({"reach": {}}, **SKILLED)
    suite.test(
        """
        import dataclasses
        import pytest

        @pytest.fixture
        def arena_env(arena_env):
            arena_env.capabilities = dataclasses.replace(arena_env.capabilities, episode_seeds=False)
            return arena_env

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout):
            arena_rollout()
        """
    )
    result = suite.run("--arena-set", "rollout.only=[3]")
    assert result.ret == 1
    record = suite.record("reach")
    assert record["steps"] == 0
    assert record["error"]["type"] == "EvaluationError"
    assert record["error"]["message"] == (
        "rollout.only: the environment's rows cannot be seeded one by one, so that no episode can be run without "
        "those before it (row i of N runs episodes i, i+N, …): run the whole job"
    )


def test_what_the_job_does_not_have_is_refused(suite: Suite) -> None:
    suite.jobs({"reach": {"rollout": {"shards": 2}}}, **SKILLED)
    suite.test()
    for given, words in {
        "[7]": "rollout: only: expected episodes from 0 to 6, got 7",
        "[1, 1]": "expected each episode once, got 1 twice",
        "[1]": "rollout: expected shards: 1 beside only, which is one test, got 2",
    }.items():
        result = suite.run("--arena-set", f"reach:rollout.only={given}")
        assert result.ret == 4
        (line,) = [line for line in result.stderr.str().splitlines() if line.startswith("ERROR")]
        assert line.startswith(f"ERROR: --arena-set reach:rollout.only={given}: ")
        assert line.endswith(words)
    assert not Path(suite.path, "arena-results").exists()


@pytest.mark.parametrize("judged", ["thresholds", "regression"])
def test_a_file_does_not_ask_for_a_part_of_what_is_to_be_judged(suite: Suite, judged: str) -> None:
    """A part passes: left in a file, ``only`` would keep a job green that is never judged."""
    said = {judged: {"thresholds": {"success_rate": ">= 0.99"}, "regression": {}}[judged]}
    part = {**SKILLED, "thresholds": {}, "regression": None, "rollout": {"episodes": 7, "only": [3]}}
    suite.test()
    suite.jobs({"reach": said}, **part)
    refused = suite.run()
    assert refused.ret == 4
    assert (
        f"rollout.only: expected no {judged} beside it, which a part of a job is not judged by: for "
        "one session, write --arena-set reach:rollout.only=[3]"
    ) in refused.stderr.str()
    assert suite.run("--arena-set", "reach:rollout.only=[3]").ret == 0
    suite.jobs({"reach": {}}, **part)
    assert suite.run().ret == 0
