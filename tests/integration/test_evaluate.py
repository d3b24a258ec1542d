"""`evaluate` without pytest: it leaves what a session leaves, and raises what is no measurement."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_arena import (
    EvaluationError,
    Metric,
    Recorded,
    Recorder,
    evaluate,
    load_baseline,
    load_jobs,
    read_episodes,
)
from tests.integration.conftest import Folder
from tests.jobs import make_job


def unruly(deed: str, **options: Any) -> dict[str, Any]:
    return {"id": "tests.registered:arena/Unruly-v0", "options": {"make": {"deed": deed}, **options}}


@pytest.fixture
def jobs(tmp_path: Path) -> Any:
    def load(**job: Any) -> Any:
        folder = Folder(tmp_path)
        return load_jobs(
            folder.jobs({"a": {"environment": {"id": "tests.registered:arena/Scripted-v0"}, **job}})
        )

    return load


def only(output: Path) -> Path:
    """The only run in *output*."""
    (run,) = (path for path in output.iterdir() if not path.is_symlink())
    return run


def test_evaluate_leaves_what_a_session_leaves(jobs: Any, tmp_path: Path) -> None:
    (job,) = jobs(
        environment={"id": "tests.registered:arena/Scripted-v0", "cameras": {"render": {}}},
        record={"video": "on", "trajectory": True},
        thresholds={"success_rate": ">= 0.0001"},
    )
    record = evaluate(job, output=tmp_path / "runs")
    run = only(tmp_path / "runs")
    assert len(record.videos) == 4
    assert all((run / path).exists() for path in [*record.videos, *record.overview.values()])
    assert record.hdf5_path is not None
    assert (run / record.hdf5_path).exists()
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["jobs"]["a"]["config"] == job.config()
    assert {"versions", "machine", "started_at", "finished_at"} <= manifest.keys()
    assert "exit_status" not in manifest
    assert json.loads((run / "metrics.json").read_text())["a"]["status"] == "completed"
    for path in (run, run / "metrics.json"):
        assert load_baseline(path).find("a") is not None


def test_evaluate_some_episodes(jobs: Any, tmp_path: Path) -> None:
    """Of a part no threshold is judged."""
    rules = {"thresholds": {"success_rate": ">= 0.99", "episode_length": "< 1"}}
    found = {}
    for name, chosen in (("whole", None), ("part", [2])):
        (job,) = jobs(**rules, rollout={"episodes": 4, "only": chosen})
        record = evaluate(job, output=tmp_path / name)
        episodes = read_episodes(only(tmp_path / name) / "a" / "episodes.jsonl")
        found[name] = {e.episode: (e.seed, e.return_) for e in episodes}
        assert (record.only, record.config_sha256) == (chosen, job.sha256())
    assert found["part"] == {2: found["whole"][2]}
    assert record.verdict == "none"


def test_evaluate_in_a_relative_folder_that_the_environment_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = evaluate(make_job(environment=unruly("chdir")), output=Path("here"))
    assert record.status == "completed"
    assert json.loads((only(tmp_path / "here") / "job/record.json").read_text())["status"] == "completed"
    assert Path(os.getcwd()) == tmp_path


@pytest.mark.parametrize("deed", ["skip-build", "hang-build"])
def test_evaluate_raises_what_is_no_measurement(tmp_path: Path, deed: str) -> None:
    made = make_job(environment=unruly(deed), rollout={"episodes": 2, "timeout": 0.5})
    with pytest.raises(Exception, match=r"raised Skipped|timed out after 0\.5 s"):
        evaluate(made, output=tmp_path)
    run = only(tmp_path)
    assert json.loads((run / "job/record.json").read_text())["status"] == "error"
    assert json.loads((run / "metrics.json").read_text())["job"]["status"] == "error"


class Breaks(Recorder):
    """Loses what it has recorded."""

    closed = 0

    def close(self) -> Recorded:
        Breaks.closed += 1
        raise RuntimeError("the disk is gone")


def test_a_recorder_that_cannot_be_closed_makes_the_job_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the disk is gone"):
        evaluate(make_job(environment=unruly("none")), output=tmp_path, recorders=[Breaks()])
    record = json.loads((only(tmp_path) / "job/record.json").read_text())
    assert (record["status"], record["verdict"]) == ("error", "error")
    assert record["error"]["message"] == "the disk is gone"


class SaysNothing(Recorder):
    def close(self) -> Any:
        """Forgets what it is to return."""


def test_a_recorder_that_does_not_say_what_it_left(tmp_path: Path) -> None:
    words = r"SaysNothing.close\(\) returned None, expected a Recorded: return super\(\).close\(\)"
    with pytest.raises(EvaluationError, match=words):
        evaluate(make_job(), output=tmp_path, recorders=[SaysNothing()])
    assert json.loads((only(tmp_path) / "job/record.json").read_text())["status"] == "error"


class Fails(Metric):
    name, reduction = "fails", "mean"

    def end(self, row: int, episode: Any) -> float:
        if row == 1:
            raise ZeroDivisionError("no such number")
        return 1.0


def test_no_episode_is_lost_where_a_metric_fails(tmp_path: Path) -> None:
    made = make_job(environment={"id": "tests.registered:arena/Scripted-v0", "num_envs": 2})
    with pytest.raises(ZeroDivisionError):
        evaluate(made, output=tmp_path, metrics=[Fails()])
    lines = [json.loads(line) for line in (only(tmp_path) / "job/episodes.jsonl").read_text().splitlines()]
    assert sorted(line["episode"] for line in lines) == list(range(len(lines)))
    failed = [line for line in lines if line["outcome"] == "error" and line["env_idx"] == 1]
    assert [line["error"] for line in failed] == ["ZeroDivisionError: no such number"]


def test_evaluate_wants_a_job_and_the_main_thread(jobs: Any, tmp_path: Path) -> None:
    loaded = jobs(rollout={"episodes": 1, "timeout": 60})
    with pytest.raises(
        EvaluationError, match=r"expected a Job, got a list of 1: load_jobs\(path\) gives a li"
    ):
        evaluate(loaded, output=tmp_path / "runs")
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(EvaluationError, match=r"rollout\.timeout can end .* main thread"),
    ):
        pool.submit(evaluate, loaded[0], output=tmp_path / "runs").result()
    assert not (tmp_path / "runs").exists()
    (unlimited,) = jobs()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(evaluate, unlimited, output=tmp_path / "runs").result().status == "completed"


def test_a_policy_has_its_word_also_after_an_error(tmp_path: Path) -> None:
    made = make_job(
        environment={"id": "tests.registered:arena/Breaking-v0"},
        policy={"type": "tests.registered:Reviewing"},
        rollout={"episodes": 4},
    )
    with pytest.raises(RuntimeError, match="the simulator broke"):
        evaluate(made, output=tmp_path, recorders=[Breaks()])
    record = json.loads((only(tmp_path) / "job/record.json").read_text())
    assert record["error"]["message"] == "the simulator broke"
    assert "I saw 2 episodes" in record["notes"]
    assert "Breaks could not be closed: RuntimeError: the disk is gone" in record["notes"]
