"""What environments and policies may do at the beginning, in the middle and at the end of a job, and what not."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_arena import EvaluationError, Metric, Recorded, Recorder, evaluate, load_baseline, load_jobs
from tests.integration.conftest import TEST_BODY, Folder, Suite
from tests.jobs import make_job

MISDEEDS = {
    "skip-build": ("error", "Skipped"),
    "exit-build": ("error", "SystemExit"),
    "hang-build": ("error", "RolloutTimeoutError"),
    "skip-reset": ("failed", "Skipped"),
    "hang-reset": ("failed", "RolloutTimeoutError"),
    "xfail": ("failed", "XFailed"),
    "SkipTest": ("failed", "SkipTest"),
    "pytest.exit": ("failed", "Exit"),
    "base": ("failed", "GeneratorExit"),
    "swallows": ("failed", "RolloutTimeoutError"),
    "async": ("failed", "RolloutTimeoutError"),
    "recorder": ("failed", "RuntimeError"),
    "slow-identity": ("failed", "RolloutTimeoutError"),
}
"""Job -> outcome of its test, and the error of its record."""
HARMLESS = (
    "close-raises", "close-exits", "close-hangs", "forks", "forks-and-exits", "forks-reset", "forks-render",
    "policy-forks", "policy-identity", "policy-close",
)  # fmt: skip
BODY = """
import pytest
from pytest_arena import Recorder

class Breaks(Recorder):
    def close(self):
        raise RuntimeError("the disk is gone")

@pytest.fixture
def arena_recorders(arena_job, arena_recorders):
    return [*arena_recorders, Breaks()] if arena_job.name == "recorder" else arena_recorders

@pytest.mark.arena("jobs.yaml")
def test_it(arena_rollout):
    arena_rollout().assert_thresholds()
"""


def environment(deed: str, **options: Any) -> dict[str, Any]:
    return {"id": "tests.registered:arena/Unruly-v0", "options": {"make": {"deed": deed}, **options}}


@pytest.fixture(scope="module", params=[(), ("-n", "1")], ids=["alone", "n1"])
def misbehaved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All of it in one session; each job beside an innocent one that is built anew."""
    from tests.integration.test_fault_matrix import launch

    folder = Folder(tmp_path_factory.mktemp("misbehaved"))
    jobs: dict[str, Any] = {}
    for deed in (*MISDEEDS, *HARMLESS):
        jobs[deed] = {"environment": environment(deed)}
        if deed.startswith("forks"):
            jobs[deed]["rollout"] = {"episodes": 4, "timeout": 60}
        if deed in ("hang-build", "hang-reset", "swallows", "async", "close-hangs", "slow-identity"):
            jobs[deed]["rollout"] = {"episodes": 4, "timeout": 1}
    jobs["async"]["environment"] = {**environment("hang", vectorization="async"), "num_envs": 2}
    jobs["forks-render"]["environment"]["cameras"] = {"render": {}}
    jobs["forks-render"]["record"] = {"video": "on"}
    jobs["policy-identity"]["policy"] = {"type": "tests.registered:Recursive"}
    jobs["slow-identity"]["policy"] = {"type": "tests.registered:SlowIdentity"}
    jobs["policy-forks"]["policy"] = {"type": "tests.registered:ForksAtReset"}
    jobs["policy-close"]["policy"] = {"type": "tests.registered:Unclosable"}
    jobs["innocent"] = {}
    folder.jobs(jobs)
    (folder.path / "test_it.py").write_text(BODY)
    status, output = launch(folder, *request.param)
    return folder, status, output


def test_whoever_misbehaves_is_an_error_and_nobody_else(misbehaved: Any) -> None:
    folder, status, output = misbehaved
    assert status == 1, output
    assert "INTERNALERROR" not in output
    assert json.loads((folder.run_dir / "run.json").read_text())["exit_status"] == 1
    outcomes, metrics = folder.outcomes(), json.loads((folder.run_dir / "metrics.json").read_text())
    for job, (outcome, error) in MISDEEDS.items():
        record = folder.record(job)
        assert (job, outcomes[job], record["status"]) == (job, outcome, "error")
        assert (job, record["error"]["type"]) == (job, error)
        assert metrics[job]["status"] == folder.arena(job)["status"] == "error"
        assert metrics[job]["verdict"] == "error"
    for job in (*HARMLESS, "innocent"):
        assert (job, outcomes[job]) == (job, "passed")
        assert folder.record(job)["status"] == metrics[job]["status"] == "completed"
        assert [e["episode"] for e in folder.episodes(job)] == [0, 1, 2, 3]


def test_what_could_not_be_closed_is_a_note_and_a_warning(misbehaved: Any) -> None:
    folder, _, output = misbehaved
    for job, words in (
        ("close-raises", "the environment could not be closed: RuntimeError: cannot close"),
        ("close-exits", "the environment could not be closed: StrayOutcomeError"),
        ("close-hangs", "the environment could not be closed: RolloutTimeoutError: timed out after 1 s"),
        ("policy-close", "the policy could not be closed: RuntimeError: cannot close"),
    ):
        (note,) = folder.record(job)["notes"]
        assert note.startswith(words)
        assert f"job {job!r}: {words}" in output
    assert folder.record("innocent")["notes"] == []


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Three rebuilds in all ways that one session can have."""
    from tests.integration.test_fault_matrix import launch

    folder = Folder(tmp_path_factory.mktemp("rebuilt"))
    folder.jobs(
        {
            "plain": {},
            "sharded": {"rollout": {"episodes": 6, "rebuilds": 3, "shards": 2}},
            "gated": {
                "thresholds": {"success_rate": ">= 0.5"},
                "gate": {"episodes_max": 6, "confidence": 0.7, "inconclusive": "pass"},
            },
            "filmed": {
                "environment": {"id": "tests.registered:arena/Endless-v0", "cameras": {"render": {}}},
                "record": {"video": "retain-on-failure", "trajectory": True},
            },
        },
        rollout={"episodes": 6, "rebuilds": 3},
    )
    (folder.path / "test_it.py").write_text(TEST_BODY)
    status, output = launch(folder)
    assert status == 0, output
    return folder


@pytest.mark.parametrize("job", ["plain", "sharded", "gated", "filmed"])
def test_any_number_of_rebuilds(rebuilt: Folder, job: str) -> None:
    record, episodes = rebuilt.record(job), rebuilt.episodes(job)
    assert record["status"] == "completed"
    assert [(e["episode"], e["rebuild"]) for e in episodes] == [
        (0, 0),
        (1, 0),
        (2, 1),
        (3, 1),
        (4, 2),
        (5, 2),
    ]
    if job == "filmed":
        assert len(record["videos"]) == 6


def test_rebuilds_in_a_worker_and_resumed(rebuilt: Folder) -> None:
    """The third environment was under way when the first run was cut off."""
    from tests.integration.test_fault_matrix import launch

    folder = rebuilt.run_dir / "plain"
    lines = (folder / "episodes.jsonl").read_text().splitlines(keepends=True)
    (folder / "episodes.jsonl").write_text("".join(lines[:1]))
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**record, "status": "running"}))
    status, output = launch(rebuilt, "--arena-resume", str(rebuilt.run_dir), "-n", "1")  # type: ignore[arg-type]
    assert status == 0, output
    kept = ("episode", "rebuild", "seed", "return", "length")
    before = [{key: json.loads(line)[key] for key in kept} for line in lines]
    assert [{key: e[key] for key in kept} for e in rebuilt.episodes("plain")] == before


# -- without pytest


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


def test_evaluate_in_a_relative_folder_that_the_environment_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = evaluate(make_job(environment=environment("chdir")), output=Path("here"))
    assert record.status == "completed"
    assert json.loads((only(tmp_path / "here") / "job/record.json").read_text())["status"] == "completed"
    assert Path(os.getcwd()) == tmp_path


@pytest.mark.parametrize("deed", ["skip-build", "hang-build"])
def test_evaluate_raises_what_is_no_measurement(tmp_path: Path, deed: str) -> None:
    made = make_job(environment=environment(deed), rollout={"episodes": 2, "timeout": 0.5})
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
        evaluate(make_job(environment=environment("none")), output=tmp_path, recorders=[Breaks()])
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


def test_no_limit_at_all_is_told_at_once(suite: Suite) -> None:
    unlimited = {"id": "tests.registered:arena/Forever-v0"}
    suite.jobs(
        {
            "no_limit": {"environment": unlimited},
            "time": {"environment": unlimited, "rollout": {"episodes": 2, "timeout": 100}},
            "steps": {"environment": {**unlimited, "max_episode_steps": 9}},
        }
    )
    suite.test()
    result = suite.run("-n", "1")
    result.assert_outcomes(passed=3)
    result.stderr.fnmatch_lines(
        ["arena: job 'no_limit': the environment has no step limit (*max_episode_steps*"]
    )
    assert result.stderr.str().count("no step limit") == 1
    assert len(suite.record("no_limit")["notes"]) == 1
    assert suite.record("time")["notes"] == suite.record("steps")["notes"] == []
