"""Replays reproduce what was recorded, whatever the number of rows, and say where they do not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest

from pytest_arena import (
    Episode,
    EvaluationError,
    Job,
    JobFileError,
    JobRecord,
    TrajectoryRecorder,
    evaluate,
    read_episodes,
)
from pytest_arena.evaluation.validate import validate
from pytest_arena.policies.registry import policy_files
from tests.fakes import ScriptedEnv
from tests.jobs import make_job

KEPT = ("episode", "seed", "length", "outcome", "return_", "end_reason", "success_once", "success_at_end")


def job(name: str = "job", num_envs: int = 1, **changes: Any) -> Job:
    environment = {"id": "tests.registered:arena/Scripted-v0", "num_envs": num_envs, "seed": 5}
    environment.update(changes.pop("environment", {}))
    return make_job(name, **{"environment": environment, "rollout": {"episodes": 7}, **changes})


def run(output: Path, job: Job, *recorders: Any) -> tuple[JobRecord, list[Episode]]:
    record = evaluate(job, output=output, recorders=recorders)
    path = next(output.glob(f"*/{record.job}/episodes.jsonl"))
    return record, read_episodes(path)


def told(episodes: list[Episode]) -> list[Any]:
    return [tuple(getattr(e, key) for key in KEPT) for e in episodes]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Episode]]:
    """Seven episodes of random actions; the rewards depend on the actions."""
    output = tmp_path_factory.mktemp("recording")
    _, episodes = run(output, job("recorded", 3, policy={"type": "random"}), TrajectoryRecorder())
    return next(output.glob("*/recorded/dataset.hdf5")).resolve(), episodes


def replay(path: Path, **settings: Any) -> dict[str, Any]:
    return {"type": "replay", "dataset": str(path), **settings}


@pytest.mark.parametrize("num_envs", [1, 2, 9])
def test_the_outcomes_are_reproduced(tmp_path: Path, recording: Any, num_envs: int) -> None:
    path, recorded = recording
    record, episodes = run(tmp_path, job("again", num_envs, policy=replay(path)), TrajectoryRecorder())
    assert told(episodes) == told(recorded)
    assert record.reproducible
    assert record.notes == []
    assert record.identity["policy"]["dataset"] == str(path)
    assert record.identity["policy"]["recorded"]["job"] == "recorded"
    with h5py.File(path) as first, h5py.File(next(tmp_path.glob("*/again/dataset.hdf5"))) as second:
        for name in first["data"]:
            for key in ("actions", "rewards", "obs/policy", "terminal_obs/policy"):
                assert np.array_equal(first["data"][name][key], second["data"][name][key])


def test_long_episodes_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_arena.policies.replay import ReplayPolicy

    environment = {"id": "tests.registered:arena/Endless-v0"}
    settings = {"environment": environment, "rollout": {"episodes": 3}}
    _, recorded = run(tmp_path, job("rec", 2, policy={"type": "random"}, **settings), TrajectoryRecorder())
    assert [e.length for e in recorded] == [100] * 3 > [ReplayPolicy.BLOCK]
    path = next(tmp_path.glob("*/rec/dataset.hdf5")).resolve()
    _, episodes = run(tmp_path, job("again", 1, policy=replay(path), **settings))
    assert told(episodes) == told(recorded)


def test_a_replay_that_ends_otherwise_is_named(tmp_path: Path, recording: Any) -> None:
    path, recorded = recording
    longest = max(e.length for e in recorded)
    changed = job(policy=replay(path), environment={"max_episode_steps": longest - 1})
    record, episodes = run(tmp_path, changed)
    assert not record.reproducible, "other things than the actions decide"
    cut = [e for e in recorded if e.length == longest]
    assert len(record.notes) == 2
    assert record.notes[1].startswith("reproducible: false, because ")
    assert record.notes[0].startswith(
        f"{len(cut)} of 7 replayed episodes did not end as they were recorded: "
    )
    assert f"{cut[0].episode} (failure after {longest - 1} steps, recorded: " in record.notes[0]
    assert [e.length for e in episodes] == [min(e.length, longest - 1) for e in recorded]


def problem(wrong: Job) -> str:
    with pytest.raises(JobFileError) as raised:
        validate(wrong)
    return str(raised.value)


def test_mistakes_are_found_before_anything_runs(tmp_path: Path, recording: Any) -> None:
    path, _ = recording
    validate(job(policy=replay(path)))
    text = problem(job(policy=replay(path), rollout={"episodes": 9}))
    assert text == f"jobs.job.policy.dataset: expected all 9 episodes of the job, {path} lacks demo_7, demo_8"
    text = problem(job(policy=replay(path), environment={"seed": 6}))
    assert text.startswith("jobs.job.environment.seed: expected 5, with which ")
    text = problem(job(policy=replay(path, episode_name="demo_70")))
    assert text == (
        f"jobs.job.policy.episode_name: expected one of demo_0, demo_1, demo_2, demo_3, demo_4, … in {path}"
    )
    assert "there is none at nowhere.hdf5" in problem(job(policy=replay(Path("nowhere.hdf5"))))
    assert "expected exactly one of dataset and replay_file_path, got neither" in problem(
        job(policy={"type": "replay"})
    )
    (tmp_path / "text.hdf5").write_text("text")
    assert "policy.dataset: expected an HDF5 file" in problem(job(policy=replay(tmp_path / "text.hdf5")))
    text = problem(job(num_envs=2, policy=replay(path), rollout={"steps": "policy"}))
    assert text.startswith("jobs.job.rollout.steps: how long a replay takes is known for a single row only")


def test_a_shard_needs_its_own_episodes_only(recording: Any) -> None:
    path, _ = recording
    parts = job(policy=replay(path), rollout={"episodes": 14, "shards": 2}).shards()
    validate(parts[0])
    assert "lacks demo_7" in problem(parts[1])


def test_other_rebuilds_are_other_episodes(tmp_path: Path, recording: Any) -> None:
    path = Path(shutil.copy(recording[0], tmp_path))
    other = job(policy=replay(path), rollout={"episodes": 7, "rebuilds": 2})
    assert problem(other) == (
        "jobs.job.rollout.rebuilds: expected the episodes and rebuilds of the recording: "
        f"demo_4 of {path} belongs to rebuild 0, here it would to rebuild 1"
    )
    with h5py.File(path, "r+") as file:  # one that does not tell
        for demo in file["data"].values():
            del demo.attrs["rebuild"]
    with pytest.raises(EvaluationError, match=r"episode 4 .* was recorded with another seed: .*rebuilds"):
        run(tmp_path, other)


def test_recorded_rebuilds_are_replayed(tmp_path: Path) -> None:
    rollout = {"episodes": 7, "rebuilds": 3}
    _, recorded = run(tmp_path, job("rec", policy={"type": "random"}, rollout=rollout), TrajectoryRecorder())
    path = next(tmp_path.glob("*/rec/dataset.hdf5")).resolve()
    _, episodes = run(tmp_path, job("again", 2, policy=replay(path), rollout=rollout))
    assert told(episodes) == told(recorded)
    assert "demo_3" in problem(job(policy=replay(path)))


def test_actions_of_another_environment_are_refused(tmp_path: Path, recording: Any) -> None:
    path, _ = recording
    other = {"id": "CartPole-v1"}
    assert problem(job(policy=replay(path), environment=other)) == (
        "jobs.job.environment.id: expected tests.registered:arena/Scripted-v0, in which "
        f"{path} was recorded, got CartPole-v1"
    )
    with pytest.raises(EvaluationError, match=r"actions of shape \(2,\), the environment expects \(\)"):
        run(tmp_path, job(policy=replay(path, episode_name="demo_3"), environment=other))


@pytest.mark.parametrize("autoreset", ["manual", "next_step"])
def test_as_many_steps_as_were_recorded(tmp_path: Path, recording: Any, autoreset: str) -> None:
    path, recorded = recording
    environment = {"options": {"autoreset": autoreset}}
    again = job(policy=replay(path), rollout={"steps": "policy"}, environment=environment)
    record, episodes = run(tmp_path, again)
    steps = sum(e.length for e in recorded)
    assert record.steps == steps + (6 if autoreset == "next_step" else 0)
    if autoreset == "manual":  # else only the first episode has its seed
        assert told(episodes) == told(recorded)


def test_more_steps_than_were_recorded(tmp_path: Path, recording: Any) -> None:
    path, recorded = recording
    steps = sum(e.length for e in recorded) + 20
    record, episodes = run(tmp_path, job(policy=replay(path), rollout={"steps": steps}))
    assert told(episodes)[:7] == told(recorded)
    assert len(episodes) > 7
    assert record.notes[-1].startswith(f"not in {path}, so nothing was replayed in episodes 7")


def test_one_episode_for_all(tmp_path: Path, recording: Any) -> None:
    path, recorded = recording
    named = {"policy": replay(path, episode_name="demo_3"), "rollout": {"steps": "policy"}}
    record, _ = run(tmp_path, job(num_envs=3, environment={"seed": 99}, **named), TrajectoryRecorder())
    assert record.steps == recorded[3].length
    assert not any("replayed" in note for note in record.notes)
    with h5py.File(path) as first, h5py.File(next(tmp_path.glob("*/job/dataset.hdf5"))) as second:
        actions = first["data/demo_3/actions"][()]
        for demo in second["data"].values():
            n = min(len(actions), len(demo["actions"]))
            assert np.array_equal(demo["actions"][:n], actions[:n])


def test_a_file_of_isaac_lab_with_the_settings_of_isaaclab_arena(tmp_path: Path) -> None:
    path = tmp_path / "demos.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["format_version"] = 1
        data = file.create_group("data")
        data.attrs["env_args"], data.attrs["total"] = json.dumps({"env_name": "x", "type": 2}), 30
        for name, length in (("demo_2", 10), ("demo_11", 20)):
            demo = data.create_group(name)
            demo.attrs["num_samples"], demo.attrs["seed"] = length, 1
            demo.create_dataset("actions", data=np.full((length, 2), 0.25, np.float32), compression="gzip")
    policy = {"type": "replay", "replay_file_path": str(path)}
    environment = {"id": "tests.registered:arena/Unlimited-v0"}
    first = job(num_envs=2, policy=policy, rollout={"steps": "policy"}, environment=environment)
    with pytest.raises(EvaluationError, match="no episode finished in 10 steps"):
        run(tmp_path, first)
    named = job(
        "named",
        policy={**policy, "episode_name": "demo_11"},
        environment=environment,
        rollout={"steps": "policy"},
    )
    with pytest.raises(EvaluationError, match="no episode finished in 20 steps"):
        run(tmp_path, named)
    assert list(policy_files(named)) == ["replay_file_path"]


def test_a_recording_of_an_earlier_version_says_that_its_seeds_were_others(
    tmp_path: Path, recording: Any
) -> None:
    """They had 32 bits, so half of them are others now; nothing else of the file tells."""
    path, _ = recording
    older = shutil.copy(path, tmp_path / "older.hdf5")
    with h5py.File(older, "a") as file:
        now = int(file["data/demo_2"].attrs["seed"])
        file["data/demo_2"].attrs["seed"] = now + 2**31
    record, _ = run(tmp_path / "out", job("again", 2, policy=replay(older)))
    assert record.notes == [
        "1 of 7 replayed episodes began from another seed than recorded, as an earlier version drew them: "
        f"2 (from {now}, recorded: {now + 2**31})"
    ]


class Counted(ScriptedEnv):
    """Takes the actions of `space` alone, and is longer in a replay than it was when it was recorded."""

    longer = 0

    def __init__(self, space: str, render_mode: Any = None) -> None:
        super().__init__()
        self.action_space = SPACES[space]

    def reset(self, **kwargs: Any) -> Any:
        found = super().reset(**kwargs)
        self.length = 3 + Counted.longer
        return found

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        return super().step(np.zeros(2))


SPACES: dict[str, Any] = {
    "discrete": gymnasium.spaces.Discrete(3, start=4),
    "multi": gymnasium.spaces.MultiDiscrete([3, 2], start=[5, -9]),
    "binary": gymnasium.spaces.MultiBinary(3),
    "box": gymnasium.spaces.Box(1, 2, (2,), np.float32),
    "dict": gymnasium.spaces.Dict(
        {"arm/left": gymnasium.spaces.Box(1, 2, (2,)), "grip": gymnasium.spaces.Discrete(2, start=1)}
    ),
    "tuple": gymnasium.spaces.Tuple(
        [gymnasium.spaces.Discrete(2, start=1), gymnasium.spaces.Box(1, 2, (2,))]
    ),
}
gymnasium.register("arena/Counted-v0", Counted, max_episode_steps=50, disable_env_checker=True)


@pytest.mark.parametrize("space", SPACES)
def test_after_a_recordings_end_there_is_still_a_valid_action(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: str
) -> None:
    environment = {"id": "arena/Counted-v0", "options": {"make": {"space": space}}}
    settings = {"environment": environment, "rollout": {"episodes": 3}}
    run(tmp_path, job("rec", 2, policy={"type": "random"}, **settings), TrajectoryRecorder())
    path = next(tmp_path.glob("*/rec/dataset.hdf5")).resolve()
    monkeypatch.setattr(Counted, "longer", 90)
    record, episodes = run(tmp_path, job("again", 2, policy=replay(path), **settings))
    assert [e.length for e in episodes] == [50] * 3, "the horizon ends them"
    assert record.notes[0].startswith("3 of 3 replayed episodes did not end as they were recorded")


def test_seeds_that_a_job_gives_are_those_of_the_recording(tmp_path: Path) -> None:
    seeds = {"environment": {"seeds": {"start": 1000}}}
    _, recorded = run(tmp_path, job("recorded", 2, policy={"type": "random"}, **seeds), TrajectoryRecorder())
    policy = replay(next(tmp_path.glob("*/recorded/dataset.hdf5")).resolve())
    _, again = run(tmp_path, job("again", 3, policy=policy, **seeds))
    assert told(again) == told(recorded)
    for wrong in ({}, {"seeds": {"start": 1001}}):
        with pytest.raises(JobFileError, match=r"environment\.seeds"):
            validate(job(policy=policy, environment=wrong))
