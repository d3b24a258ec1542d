"""What is read of a run for its page: every attempt, and what it has to do with others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_arena.reports.html.stored_job import raw_manifest, stored_jobs
from tests.jobs import make_job


def shard(index: int) -> dict[str, Any]:
    return {"index": index, "count": 2, "label": "cut", "nodeid": "jobs.yaml::rollout[cut]"}


def test_attempts_shards_and_groups_know_of_each_other(tmp_path: Path) -> None:
    config = make_job("reach").config()
    entries: dict[str, Any] = {
        "reach": {"config": config, "nodeid": "jobs.yaml::rollout[reach]"},
        "cut-shard0of2": {"config": config, "nodeid": "a", "shard": shard(0), "file": "jobs.yaml", "line": 3},
        "cut-shard1of2": {"config": config, "nodeid": "b", "shard": shard(1)},
    }
    group = {"tag": "smoke", "nodeid": "g", "thresholds": {}, "jobs": {"reach": ["reach"]}}
    options = {"overrides": ["rollout.episodes=2"], "video": "on"}
    manifest = {"schema_version": "1.0", "jobs": entries, "groups": [group], "options": options}
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    for folder in ("reach", "reach.2", "cut-shard0of2", "cut"):
        (tmp_path / folder).mkdir()
    _, read, notes = raw_manifest(tmp_path)
    assert not notes
    found = {job.folder: job for job in stored_jobs(tmp_path, read, options)}
    assert [*found] == ["reach", "reach.2", "cut", "cut-shard0of2", "cut-shard1of2"]
    assert found["reach.2"].attempts == found["reach"].attempts == ["reach", "reach.2"]
    assert found["reach"].groups == ["smoke"]
    assert found["cut"].groups == ()
    assert found["cut"].shards == ["cut-shard0of2", "cut-shard1of2"]
    assert (found["cut"].entry.nodeid, found["cut"].entry.line) == ("jobs.yaml::rollout[cut]", 3)
    assert found["cut-shard0of2"].shards == ()
    assert found["reach"].overrides == ["rollout.episodes=2"]
    assert found["reach"].video == "on"
    assert found["reach"].notes == ["record.json is missing"]


def test_a_job_that_never_ran_was_skipped_where_the_run_says_so(tmp_path: Path) -> None:
    entries: dict[str, Any] = {
        "lost": {"nodeid": "lost"},
        "away": {"nodeid": "away"},
        "cut-shard0of2": {"nodeid": "a", "shard": shard(0)},
        "cut-shard1of2": {"nodeid": "b", "shard": shard(1)},
    }
    lost = {"exit_status": 3, "jobs": entries, "skipped": ["away", "a", "b"]}
    assert verdicts(tmp_path, lost) == ["never ran", "skipped", "skipped", "skipped", "skipped"]
    assert verdicts(tmp_path, {**lost, "skipped": ["away", "a"]})[2:] == ["never ran", "skipped", "never ran"]
    del lost["skipped"]  # as in runs of version 0.1
    assert {*verdicts(tmp_path, lost)} == {"never ran"}
    assert {*verdicts(tmp_path, {**lost, "exit_status": 0})} == {"skipped"}


def verdicts(run_dir: Path, manifest: dict[str, Any]) -> list[str]:
    (run_dir / "run.json").write_text(json.dumps(manifest))
    _, read, notes = raw_manifest(run_dir)
    assert not notes
    return [job.verdict for job in stored_jobs(run_dir, read)]


def test_a_skipped_test_may_leave_files_of_its_own_and_a_broken_record_is_none(tmp_path: Path) -> None:
    manifest = {"jobs": {"away": {"nodeid": "away"}}, "skipped": ["away"]}
    (tmp_path / "away").mkdir()
    assert verdicts(tmp_path, manifest) == ["skipped"]
    (tmp_path / "away" / "record.json").write_text("{")
    assert verdicts(tmp_path, manifest) == ["unreadable"]
