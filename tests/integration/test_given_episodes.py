"""Seeds and initial states that a job gives its episodes: the same in shards, rebuilds, and a run that goes on."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.conftest import Suite

KEPT = ("episode", "seed", "length", "outcome", "return", "initial_state")
SEEDS = [7, 7, 3, 2**31 - 1, 0, 12]


def kept(suite: Suite, job: str) -> list[dict[str, Any]]:
    return [{key: e[key] for key in KEPT} for e in suite.episodes(job)]


def test_whatever_runs_them(suite: Suite) -> None:
    environment = {"id": "tests.registered:arena/Numbered-v0", "options": {"episode_option": "state"}}
    suite.jobs(
        {
            "whole": {},
            "rows": {"environment": {"num_envs": 4}},
            "sharded": {"rollout": {"shards": 3}},
            "rebuilt": {"rollout": {"rebuilds": 2}},
        },
        environment={**environment, "seeds": SEEDS},
        rollout={"episodes": 6},
        regression={},
    )
    suite.test()
    assert suite.run().ret == 0
    whole = kept(suite, "whole")
    assert [e["seed"] for e in whole] == SEEDS
    assert [e["length"] for e in whole] == [2, 3, 4, 5, 2, 3]
    for job in ("rows", "sharded", "rebuilt"):
        assert kept(suite, job) == whole, job

    for job in ("rows", "rebuilt"):
        folder = suite.run_dir / job
        lines = (folder / "episodes.jsonl").read_text().splitlines(keepends=True)
        (folder / "episodes.jsonl").write_text("".join(lines[:2]))
        record = json.loads((folder / "record.json").read_text())
        (folder / "record.json").write_text(json.dumps({**record, "status": "running"}))
    first = suite.run_dir
    assert suite.run("--arena-resume", str(first)).ret == 0
    for job in ("rows", "rebuilt"):
        assert kept(suite, job) == whole, job

    assert suite.run("--arena-baseline", str(first)).ret == 0
    assert suite.record("sharded")["comparison"]["matched"] == 6
    other = suite.run("--arena-baseline", str(first), "--arena-set", "environment.seeds={start: 40}")
    assert suite.record("whole")["comparison"]["reason"] == "the seeds differ", other.stdout.str()

    path = first / "whole" / "episodes.jsonl"
    path.write_text(path.read_text().replace('"seed": 3,', '"seed": 4,'))
    refused = suite.run("--arena-resume", str(first))
    assert refused.ret != 0
    assert "line 3: seed: expected 3, got 4" in refused.stderr.str() + refused.stdout.str()
