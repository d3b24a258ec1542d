"""A policy that answers with chunks of actions: each row follows its own plan, and fails by itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.conftest import Suite

PLANNER = {"type": "tests.registered:Planner", "execute": 2}
SAME = ("episode", "seed", "length", "outcome", "return", "initial_state", "time_to_success")


def told(episodes: list[dict[str, Any]]) -> list[Any]:
    return [tuple(e[key] for key in SAME) for e in episodes]


def rows(count: int, **more: Any) -> dict[str, Any]:
    return {"environment": {"num_envs": count, **more}}


def test_the_same_episodes_on_any_number_of_rows_shards_and_rebuilds(suite: Suite) -> None:
    films = {"render": {"width": 16, "height": 16}}
    suite.jobs(
        {
            "one": rows(1),
            "seven": rows(7),
            "fifty": rows(50),
            "shards": {**rows(3), "rollout": {"episodes": 20, "shards": 4}},
            "filmed": rows(3, cameras=films),
            "built_twice": {**rows(7), "rollout": {"episodes": 20, "rebuilds": 2}},
            "built_twice_one": {**rows(1), "rollout": {"episodes": 20, "rebuilds": 2}},
        },
        policy=PLANNER,
        rollout={"episodes": 20},
    )
    suite.test()
    assert suite.run("-n2", "--dist=worksteal").ret == 0
    one = told(suite.episodes("one"))
    assert len({entry[4] for entry in one}) == 20, "the returns tell the episodes apart"
    for job in ("seven", "fifty", "shards", "filmed"):
        assert told(suite.episodes(job)) == one, job
        assert suite.record(job)["reproducible"]
    assert told(suite.episodes("built_twice")) == told(suite.episodes("built_twice_one")) != one
    failures = [e for e in suite.episodes("filmed") if e["outcome"] == "failure"]
    assert all(e["videos"] and not e["videos_note"] for e in failures)
    assert failures


def test_a_row_without_a_plan_costs_its_episode_alone_and_the_job_is_an_error(suite: Suite) -> None:
    failing = {**PLANNER, "failing": [3, 5], "fail_at": 2, "once": str(suite.path / "failed")}
    camera = {"cameras": {"render": {"width": 16, "height": 16}}}
    suite.jobs(
        {"whole": rows(2), "broken": {**rows(2, **camera), "policy": failing}},
        policy=PLANNER,
        rollout={"episodes": 8},
    )
    suite.test()
    result = suite.run("-k", "broken")
    assert result.ret == 1
    words = (
        "6 of 8 requested episodes were measured; episode 3 ended as an error: the server said: out of memory"
    )
    result.stdout.fnmatch_lines([f"*{words}*"])
    assert "Traceback" not in result.stdout.str()
    record, episodes = suite.record("broken"), suite.episodes("broken")
    assert (record["status"], record["verdict"]) == ("error", "error")
    assert record["episodes"] == {"requested": 8, "measured": 6, "errors": 2}
    assert [e["episode"] for e in episodes if e["outcome"] == "error"] == [3, 5]
    cut_off = episodes[3]
    assert (cut_off["length"], cut_off["end_reason"], cut_off["success_once"]) == (2, "policy", None)
    assert cut_off["videos"], "what led to it can be seen"

    again = suite.run("-k", "broken", f"--arena-resume={suite.run_dir}")
    assert again.ret == 0
    assert suite.record("broken")["episodes"] == {"requested": 8, "measured": 8, "errors": 0}
    resumed = told(suite.episodes("broken"))
    assert suite.run("-k", "whole").ret == 0
    assert resumed == told(suite.episodes("whole"))


def test_a_row_without_a_plan_is_an_error_of_a_job_that_is_limited_by_steps(suite: Suite) -> None:
    failing = {**PLANNER, "failing": [1], "fail_at": 2}
    suite.jobs({"steps": rows(2)}, policy=failing, rollout={"steps": 60}, thresholds={"return": ">= -1000"})
    suite.test()
    result = suite.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*1 episode was not measured; episode 1 ended as an error: the server said*"]
    )
    record = suite.record("steps")
    assert (record["status"], record["episodes"]["errors"]) == ("error", 1)


def test_a_map_that_does_not_fit_the_environment_is_one_line(suite: Suite) -> None:
    suite.jobs({"lost": rows(2)}, policy={**PLANNER, "observation": {"x": {"from": "pixels"}}})
    suite.test()
    result = suite.run()
    result.stdout.fnmatch_lines(["E *policy.observation.x: the observation has no 'pixels'; it has *"])
    assert "def arena_policy" not in result.stdout.str()


def test_what_the_policy_took_is_in_the_record_and_can_have_a_threshold(suite: Suite) -> None:
    suite.jobs(
        {
            "fast": {"thresholds": {"inference_ms_p95": "< 10000"}},
            "slow": {"thresholds": {"inference_ms_p95": "< 0.0000001"}},
            "shards": {
                "thresholds": {"inference_ms_p95": "< 10000"},
                "rollout": {"episodes": 8, "shards": 2},
            },
        },
        policy=PLANNER,
        rollout={"episodes": 8},
        environment={"id": "tests.registered:arena/Scripted-v0", "num_envs": 2},
    )
    suite.test()
    result = suite.run()
    result.assert_outcomes(passed=4, failed=1)  # both shards, and the job that they make
    for job in ("fast", "slow", "shards"):
        record = suite.record(job)
        took = record["inference"]
        assert took["batch"] == 2
        assert took["act"]["count"] == record["steps"]
        assert 0 < took["requests"]["count"] < record["steps"]
        assert took["act"]["p50_ms"] <= took["act"]["p95_ms"] <= took["act"]["max_ms"]
        assert record["metrics"]["inference_ms_p95"] == took["act"]["p95_ms"]
    assert suite.arena("slow")["thresholds"][0]["passed"] is False


@pytest.mark.parametrize(
    ("settings", "place", "words"),
    [
        ({"execute": 0}, "policy.execute", "expected at least 1, got 0"),
        ({"ensemble": 0.1}, "policy", "expected no execute beside ensemble"),
        (
            {"observation": {"x": {"form": "a"}}},
            "policy.observation.x.form",
            "unknown key (did you mean 'from'?)",
        ),
        (
            {"observation": {"x": {"camera": "top"}}},
            "policy.observation.x.camera",
            "which has none, got 'top'",
        ),
        ({"action": {"scale": "envs"}}, "policy.action.scale", "'env'"),
    ],
)
def test_wrong_settings_are_found_at_collection(
    suite: Suite, settings: dict[str, Any], place: str, words: str
) -> None:
    suite.jobs({"job": {}}, policy={**PLANNER, **settings})
    suite.test()
    result = suite.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: jobs.yaml:*: defaults.{place}*{words}*"])
