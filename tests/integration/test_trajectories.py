"""``record.trajectory`` through deaths, resumes and shards: no dataset is lost or overwritten."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np

from pytest_arena import RunDirectory, Status, TrajectoryRecorder, evaluate, read_episodes
from pytest_arena.records.disk_space import LEFT_TO_RESULTS
from tests.fakes import ScriptedEnv
from tests.integration.conftest import Suite
from tests.jobs import make_job


class Wide(ScriptedEnv):
    """Observations of 32 KiB: a disk is soon full."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4096,), np.float64)

    def _obs(self) -> Any:
        return np.full(4096, self.t, np.float64)


gymnasium.register("arena/Wide-v0", Wide, max_episode_steps=500, disable_env_checker=True)


def held(path: Path) -> dict[int, int]:
    """Episode -> number of actions."""
    with h5py.File(path) as file:
        return {int(name[5:]): len(demo["actions"]) for name, demo in file["data"].items()}


def test_a_killed_worker_a_resumed_run_and_shards(suite: Suite) -> None:
    make = {"trap": "SIGKILL", "episode": 2, "once": str(suite.path / "sprung")}
    environment = {
        "id": "tests.registered:arena/Trap-v0",
        "options": {"make": make},
        "cameras": {"render": {}},
    }
    rollout = {"episodes": 7, "shards": 2}
    record = {"trajectory": True, "video": "on"}
    suite.jobs({"cut": {"environment": environment, "rollout": rollout, "record": record}})
    suite.test()
    assert suite.run("-n", "1").ret == 1
    first = suite.run_dir
    crashed = "cut-shard0of2"
    record = suite.record(crashed)
    assert record["status"] == "crashed"
    assert record["hdf5_path"] == f"{crashed}/dataset.hdf5"
    assert held(first / record["hdf5_path"]) == {e["episode"]: e["length"] for e in suite.episodes(crashed)}
    assert record["episodes"]["measured"] == 2

    assert suite.run("--arena-resume", str(first)).ret == 0
    assert suite.arena("cut")["hdf5_path"] == "cut/dataset.hdf5"
    episodes = suite.episodes("cut")
    assert held(first / "cut/dataset.hdf5") == {e["episode"]: e["length"] for e in episodes}
    assert sorted(e["episode"] for e in episodes) == list(range(7))
    for episode in episodes:
        path, _, group = episode["trajectory"].partition("#")
        with h5py.File(first / path) as file:
            assert file[group].attrs["num_samples"] == episode["length"]
    # The films of all shards are put together once.
    assert suite.arena("cut")["overview"]["film"] == "cut/overview.mp4"
    assert [path.parent.name for path in first.glob("*/overview.*")] == ["cut"] * 3
    assert not list(first.glob("*/trajectories"))
    assert not list(first.glob("*/.*"))

    assert suite.run("--arena-resume", str(first)).ret == 0  # nothing is left to run
    assert suite.arena(crashed)["hdf5_path"] == f"{crashed}/dataset.hdf5"
    assert held(first / "cut/dataset.hdf5").keys() == set(range(7))


def test_a_rerun_has_a_dataset_of_its_own_and_a_replay_reproduces_it(suite: Suite) -> None:
    """One session records, fails and reruns; the next one replays, with workers."""
    policy, flaky = {"type": "random"}, {"success_rate": "> 0.99"}
    suite.jobs({"job": {"policy": policy, "record": {"trajectory": True}, "thresholds": flaky}})
    suite.test()
    suite.run("--reruns", "1")
    recorded, run = suite.episodes("job"), suite.run_dir
    both = [held(run / folder / "dataset.hdf5") for folder in ("job", "job.2")]
    assert both[0] == both[1] == {e["episode"]: e["length"] for e in recorded}
    assert suite.record("job.2")["hdf5_path"] == "job.2/dataset.hdf5"

    dataset = str((run / "job.2/dataset.hdf5").relative_to(suite.path))
    environment = {"environment": {"num_envs": 3}}
    suite.jobs({"job": {**environment, "policy": {"type": "replay", "dataset": dataset}}})
    assert suite.run("-n", "1").ret == 0
    kept = ("episode", "seed", "length", "return", "outcome")
    assert [[e[k] for k in kept] for e in suite.episodes("job")] == [[e[k] for k in kept] for e in recorded]
    suite.jobs({"job": {"rollout": {"episodes": 5}, "policy": {"type": "replay", "dataset": dataset}}})
    result = suite.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        ["ERROR: jobs.yaml:*: jobs.job.policy.dataset: expected all 5 episodes *demo_4"]
    )


def test_a_full_disk(small_disk: Path) -> None:
    """Some episodes fit, a dataset of them beside them does not; the results are whole."""
    environment = {"id": "arena/Wide-v0", "num_envs": 3}
    job = make_job(environment=environment, rollout={"episodes": 60}, record={"trajectory": True})
    record = evaluate(job, output=small_disk, recorders=[TrajectoryRecorder()])
    (run,) = (path for path in small_disk.iterdir() if not path.is_symlink())
    assert [found.notes for found in RunDirectory(run).records()] == [record.notes]
    parts = sorted((run / "job/trajectories").iterdir())
    assert (record.status, record.episodes["measured"]) == (Status.COMPLETED, 60)
    lost = [note.rpartition(": ")[2] for note in record.notes if "began in the same state" not in note]
    assert lost == [os.strerror(errno.ENOSPC)] * 2
    assert record.hdf5_path is None
    assert 0 < len(parts) < 60
    assert all(part.name.startswith("episode-") for part in parts)
    assert len(read_episodes(run / "job/episodes.jsonl")) == 60
    results = sum(path.stat().st_size + 4096 for path in run.rglob("*.json*"))
    assert shutil.disk_usage(small_disk).free + results >= LEFT_TO_RESULTS
