"""``success`` and ``metrics`` from what environments say: in shards, in a run that goes on, against a baseline."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.conftest import Suite

ENVIRONMENT = {"id": "tests.registered:arena/Telling-v0"}
BEST = {"info": "covered", "reduce": "max", "direction": "higher"}
KEPT = ("episode", "outcome", "time_to_success", "end_reason", "max_reward", "metrics")


def kept(suite: Suite, job: str) -> list[dict[str, Any]]:
    return [{key: e[key] for key in KEPT} for e in suite.episodes(job)]


def test_from_the_keys_to_the_verdicts(suite: Suite) -> None:
    jobs = {"whole": {}, "rows": {"environment": {"num_envs": 3}}, "sharded": {"rollout": {"shards": 3}}}
    suite.jobs(
        jobs,
        environment=ENVIRONMENT,
        rollout={"episodes": 20},
        success={"info": "covered", "at_least": 0.5},
        metrics={"best": BEST},
        thresholds={"success_rate": ">= 0.1", "best": "0.2..0.9", "max_reward": ">= 2"},
        regression={"metric": "best", "bounds": [0, 1], "margin": 0.3},
    )
    suite.test()
    ran = suite.run()
    assert ran.ret == 0, ran.stdout.str()
    whole = kept(suite, "whole")
    assert [e["metrics"]["best"] for e in whole] == [e["max_reward"] / 10 for e in whole]
    for episode in whole:
        assert (episode["outcome"] == "success") is (episode["max_reward"] >= 5)
        assert episode["end_reason"] in ("terminated", "time_out")
    for job in jobs:
        assert kept(suite, job) == whole, job
        assert suite.record(job)["metrics"]["best"] == suite.record("whole")["metrics"]["best"]

    first = suite.run_dir
    lines = (first / "rows" / "episodes.jsonl").read_text().splitlines(keepends=True)
    (first / "rows" / "episodes.jsonl").write_text("".join(lines[:7]))
    record = json.loads((first / "rows" / "record.json").read_text())
    (first / "rows" / "record.json").write_text(json.dumps({**record, "status": "running"}))
    assert suite.run("--arena-resume", str(first)).ret == 0
    assert kept(suite, "rows") == whole

    compared = suite.run("--arena-baseline", str(first))
    assert compared.ret == 0, compared.stdout.str()
    for job in jobs:
        found = suite.record(job)["comparison"]
        assert (found["metric"], found["verdict"], found["matched"]) == ("best", "non-inferior", 20), found

    by_reward = suite.run("--arena-set", "whole:success={info: null, at_least: null, reward: '>= 3'}")
    assert by_reward.ret == 0, by_reward.stdout.str()
    lengths = [e["max_reward"] for e in whole]
    assert [e["time_to_success"] for e in suite.episodes("whole")] == [3 if n >= 3 else None for n in lengths]


def test_keys_that_no_info_has_are_errors_of_their_jobs_alone(suite: Suite) -> None:
    suite.jobs(
        {
            "good": {"metrics": {"best": BEST}},
            "metric": {"metrics": {"best": {"info": "covred"}}},
            "success": {"success": {"info": "covred", "at_most": 1}},
        },
        environment=ENVIRONMENT,
    )
    suite.test()
    result = suite.run()
    assert suite.outcomes() == {"good": "passed", "metric": "failed", "success": "failed"}
    hint = "never had 'covred' (did you mean 'covered'?)"
    assert hint in suite.record("metric")["error"]["message"]
    assert suite.record("success")["error"]["message"].startswith("success.info: ")
    assert "metrics.best.info: up to the end of an episode" in result.stdout.str()
