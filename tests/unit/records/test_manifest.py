"""``run.json`` as typed entries, and what a run directory says of the last attempt at each job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_arena import JobRecord, RunDirectory, Status
from pytest_arena.records.files import write_json
from pytest_arena.records.manifest import Manifest
from tests.jobs import make_job


def shard(index: int) -> dict[str, Any]:
    whole = {"index": index, "count": 2, "label": "split", "nodeid": "t.py::split"}
    config = make_job("split", rollout={"episodes": 4, "shards": 2}).config()
    return {"nodeid": f"t.py::t[split-{index}]", "config": config, "shard": whole}


DATA = {
    "jobs": {
        "one": {"nodeid": "t.py::t[one]", "config": make_job("one").config()},
        "split-0": shard(0),
        "split-1": shard(1),
    }
}


def test_a_shard_is_a_part_of_its_job() -> None:
    manifest = Manifest.from_json(DATA)
    assert [*manifest.jobs["split-1"].job().wanted_episodes] == [2, 3]
    assert manifest.configs().keys() == {"one", "split", "split-0", "split-1"}
    assert manifest.tests_of(["one", "split"]) == ["t.py::t[one]", "t.py::t[split-0]", "t.py::t[split-1]"]
    assert manifest.tests_of(["split-1"]) == ["t.py::t[split-1]"]


def test_where_there_is_none_no_job_is_known(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert run.manifest_if_sound() == Manifest(jobs={})
    run.manifest_path.write_text("{")
    assert run.manifest_if_sound() == Manifest(jobs={})
    with pytest.raises(ValueError, match="expected JSON"):
        run.manifest()
    write_json(run.manifest_path, {"groups": []})
    with pytest.raises(ValueError, match="jobs: required, but missing"):
        run.manifest()


def recorded(run: RunDirectory, label: str, status: Status = Status.COMPLETED) -> Path:
    directory = run.claim(label)
    record = JobRecord(label, directory.attempt, "", "gymnasium", "CartPole-v1", "zero", status)
    write_json(directory.record, record.to_json())
    directory.episodes.touch()
    return directory.path


def test_what_is_wrong_with_the_last_attempt_names_its_file(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    recorded(run, "sound")
    recorded(run, "killed", Status.RUNNING)
    (recorded(run, "bare") / "episodes.jsonl").unlink()
    (recorded(run, "broken") / "record.json").write_text("{")
    recorded(run, "rerun")
    (recorded(run, "rerun") / "record.json").unlink()
    found = run.last_attempts(["sound", "never"])
    faults = {label: attempt.fault for label, attempt in found.items()}
    bare, broken, rerun = (
        tmp_path / place for place in ("bare/episodes.jsonl", "broken/record.json", "rerun.2/record.json")
    )
    assert faults.pop("broken", "").startswith(f"{broken}: the job's record cannot be read: expected JSON")
    assert faults == {
        "sound": None,
        "killed": None,
        "bare": f"{bare}: the job's episodes.jsonl is missing",
        "rerun": f"{rerun}: the job's record is missing",
        "never": None,
    }
    assert (found["never"].record, found["killed"].record is not None) == (None, True)
