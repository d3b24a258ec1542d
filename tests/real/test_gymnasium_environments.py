"""Packages of gymnasium environments as they are: the job files of `evals/environments`, made short."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import gymnasium
import numpy as np
import pytest

from pytest_arena import (
    Episode,
    Job,
    JobRecord,
    RunDirectory,
    VideoRecorder,
    evaluate,
    load_jobs,
    read_episodes,
)
from pytest_arena.evaluation.validate import validate

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "evals" / "environments"
STEPS = {
    "robosuite_lift": 30,
    "robosuite_lift_with_images": 3,
    "fetch_reach": 20,
    "fetch_push_by_chance": 20,
    "pusht_by_chance": 10,
    "pusht_with_images_by_chance": 10,
    "aloha_transfer_cube_by_chance": 3,
    "dm_control_cartpole_by_chance": 10,
}
"""Job -> the steps of an episode here."""
PACKAGES = {
    "robosuite": "robosuite",
    "gymnasium_robotics": "gymnasium_robotics",
    "gym_pusht": "gym_pusht",
    "gym_aloha": "gym_aloha",
    "dm_control": "shimmy",
}
"""Job file -> the module that it needs."""


def needs(file: str) -> pytest.MarkDecorator:
    module = PACKAGES[file]
    return pytest.mark.skipif(find_spec(module) is None, reason=f"needs {module}: docs/environments.md")


def jobs() -> list[Any]:
    return [
        pytest.param(FOLDER / f"{file}.yaml", name, id=name, marks=needs(file))
        for file in PACKAGES
        for name in STEPS
        if f"  {name}:" in (FOLDER / f"{file}.yaml").read_text()
    ]


def job(file: Path, name: str, num_envs: int = 1, **changes: Any) -> Job:
    """The job of the file, with short episodes and *changes* of its top-level keys."""
    (found,) = (made for made in load_jobs(file) if made.name == name)
    environment = {"num_envs": num_envs, "max_episode_steps": STEPS[name]}
    updated = {
        "environment": found.environment.model_copy(update={**environment, **changes.pop("environment", {})}),
        "rollout": found.rollout.model_copy(update={"episodes": 3}),
        "thresholds": {},
    }
    made = found.model_copy(update={**updated, **changes})
    validate(made)
    return made


def run(output: Path, made: Job, films: bool = False) -> tuple[JobRecord, list[Episode], Path]:
    evaluate(made, output=output, recorders=[VideoRecorder("on")] if films else [])
    (path,) = (path for path in output.iterdir() if not path.is_symlink())
    (record,) = RunDirectory(path).records()
    return record, sorted(read_episodes(path / str(record.episodes_path)), key=lambda e: e.episode), path


def told(episodes: list[Episode]) -> list[Any]:
    """What must not depend on the number of rows."""
    return [
        (
            *(e.episode, e.seed, e.length, e.return_, e.outcome, e.success_at_end, e.end_reason),
            *(e.initial_state, {name: v for name, v in e.metrics.items() if "inference" not in name}),
        )
        for e in episodes
    ]


def test_every_job_of_the_files_is_here() -> None:
    found = {job.name for file in PACKAGES for job in load_jobs(FOLDER / f"{file}.yaml")}
    assert found == set(STEPS)


@pytest.mark.parametrize(("file", "name"), jobs())
def test_1_and_3_rows_give_equal_episodes_and_films(tmp_path: Path, file: Path, name: str) -> None:
    filmed = name not in ("fetch_push_by_chance",)
    record, alone, path = run(tmp_path / "1", job(file, name), films=filmed)
    _, several, _ = run(tmp_path / "3", job(file, name, 3, environment={"cameras": {}}))
    assert told(alone) == told(several)
    assert len({e.seed for e in alone}) == 3
    if filmed:
        assert len(record.videos) == 3, record.notes
        for episode in alone:
            (film,) = episode.videos.values()
            with av.open(str(path / film)) as opened:
                frames = [frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)]
            assert len(frames) == episode.length + 1
            assert frames[0].std() > 5


def plain(env: Any, episode: Episode, act: Callable[[Any], Any]) -> tuple[int, float, bool, bool]:
    """Return length, return, success at some step and at the end of the episode in a loop of its own."""
    observation, _ = env.reset(seed=episode.seed)
    total, successes, length, over = 0.0, [], 0, False
    while not over:
        observation, reward, terminated, truncated, info = env.step(act(observation))
        total, length, over = total + float(reward), length + 1, terminated or truncated
        successes.append(bool(info.get("success", info.get("is_success", False))))
    return length, total, any(successes), successes[-1]


def rows_of(policy: Any) -> Callable[[Any], Any]:
    return lambda observation: policy.act({name: value[None] for name, value in observation.items()})[0]


@needs("gymnasium_robotics")
def test_fetch_succeeds_where_a_plain_loop_says_so(tmp_path: Path) -> None:
    made = job(FOLDER / "gymnasium_robotics.yaml", "fetch_reach", 3)
    _, episodes, _ = run(tmp_path, made)
    from simple_policies import Reach

    env = gymnasium.make("FetchReach-v4", max_episode_steps=20)
    for episode in episodes:
        length, total, _, at_end = plain(env, episode, rows_of(Reach()))
        assert (episode.length, episode.return_, episode.success_at_end) == (length, total, at_end)
        assert at_end
    env.close()


@needs("robosuite")
def test_robosuite_succeeds_where_the_task_says_so_and_seeds_alone_decide(tmp_path: Path) -> None:
    made = job(FOLDER / "robosuite.yaml", "robosuite_lift", 2, environment={"cameras": {}})
    _, episodes, _ = run(tmp_path, made)
    from robosuite_tasks import Task
    from simple_policies import Lift

    env = gymnasium.wrappers.TimeLimit(Task("Lift"), 30)
    env.reset(seed=12345)  # what happened before does not matter
    for episode in reversed(episodes):
        length, total, once, at_end = plain(env, episode, rows_of(Lift()))
        assert (episode.length, episode.return_) == (length, total)
        assert (episode.success_once, episode.success_at_end) == (once, at_end)
        assert once
    env.close()


class Lenient(gymnasium.Wrapper[Any, Any, Any, Any]):
    """PushT that is solved where the block covers a thousandth of its goal."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        env.unwrapped.success_threshold = 1e-3


@needs("gym_pusht")
def test_pusht_succeeds_where_the_goal_is_covered(tmp_path: Path) -> None:
    options = {"wrappers": [{"class": f"{__name__}:Lenient"}]}
    made = job(FOLDER / "gym_pusht.yaml", "pusht_by_chance", environment={"options": options})
    zero = made.policy.model_copy(update={"type": "zero"})
    episodes_of_many = made.rollout.model_copy(update={"episodes": 20})
    record, episodes, _ = run(tmp_path, made.model_copy(update={"policy": zero, "rollout": episodes_of_many}))
    env = gymnasium.wrappers.TimeLimit(Lenient(gymnasium.make("gym_pusht/PushT-v0")), 10)
    for episode in episodes:
        length, total, once, _ = plain(env, episode, lambda observation: np.zeros(2, np.float32))
        assert (episode.length, episode.return_, episode.success_once) == (length, total, once)
    assert 0 < sum(bool(episode.success_once) for episode in episodes) < 20
    assert record.metrics["success_rate"] == sum(bool(e.success_once) for e in episodes) / 20
    assert all((e.metrics["coverage"] > 1e-3) == e.success_once for e in episodes)


@needs("dm_control")
def test_dm_control_succeeds_where_the_last_reward_is_high(tmp_path: Path) -> None:
    made = job(FOLDER / "dm_control.yaml", "dm_control_cartpole_by_chance", environment={"cameras": {}})
    zero = made.policy.model_copy(update={"type": "zero"})
    limit = made.success.model_copy(update={"reward": ">= 0.9995"})
    six = made.rollout.model_copy(update={"episodes": 6})
    made = made.model_copy(update={"policy": zero, "rollout": six, "success": limit})
    _, episodes, _ = run(tmp_path, made)
    rewards: list[float] = []
    env = gymnasium.wrappers.TimeLimit(gymnasium.make("dm_control/cartpole-balance-v0"), 10)
    env = gymnasium.wrappers.TransformReward(env, lambda reward: rewards.append(reward) or reward)  # type: ignore[func-returns-value]
    for episode in episodes:
        length, total, _, _ = plain(env, episode, lambda observation: np.zeros(1))
        assert (episode.length, episode.return_, episode.success_at_end) == (
            length,
            total,
            rewards[-1] >= 0.9995,
        )
    assert len({episode.success_at_end for episode in episodes}) == 2, "some succeed, some do not"


@needs("gym_aloha")
def test_aloha_succeeds_where_its_reward_is_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gym_aloha.tasks.sim import TransferCubeTask

    rewards = iter([0, 4, 2, 3, 2, 1, 0, 0])  # one success after two steps, then none in three
    monkeypatch.setattr(TransferCubeTask, "get_reward", lambda self, physics: next(rewards))
    made = job(FOLDER / "gym_aloha.yaml", "aloha_transfer_cube_by_chance")
    made = made.model_copy(update={"rollout": made.rollout.model_copy(update={"episodes": 2})})
    _, episodes, _ = run(tmp_path, made)
    found = [(e.length, e.outcome.value, e.end_reason) for e in episodes]
    assert found == [(2, "success", "success"), (3, "failure", "time_out")]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        pytest.param("gym_aloha", "aloha_transfer_cube_by_chance", marks=needs("gym_aloha")),
        pytest.param("dm_control", "dm_control_cartpole_by_chance", marks=needs("dm_control")),
    ],
)
def test_a_machine_without_a_display_films(tmp_path: Path, file: str, name: str) -> None:
    """In a fresh process: these packages choose OpenGL when they are imported."""
    environ = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "DISPLAY", "PYOPENGL_PLATFORM")}
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--arena-video", "on"),
        *("--arena-jobs", str(FOLDER / f"{file}.yaml"), "--arena-output", str(tmp_path)),
        *("--arena-set", "environment.max_episode_steps=2", "--arena-set", "rollout.episodes=1"),
        *("--arena-set", "environment.num_envs=1", "--arena-set", "thresholds=null"),
    ]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.glob(f"*/{name}/videos/*.mp4"))
