"""ManiSkill itself, on the CPU: seeds, success as its own evaluation reads it, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if find_spec("mani_skill") is None:
    pytest.skip("needs ManiSkill: pip install 'mani-skill>=3.0.1'", allow_module_level=True)

import torch

from pytest_arena import EvaluationError, evaluate
from pytest_arena.simulators.maniskill.env import ManiSkillEnv
from pytest_arena.simulators.maniskill.simulator import ManiSkillSimulator
from pytest_arena.testing import SimEnvContract, same
from tests.jobs import make_job

MakeEnv = Callable[..., ManiSkillEnv]
STEPS = 12
PUSHES = "PlugCharger-v1"
"""A task in which what PhysX remembers of earlier contacts can be seen."""


def task_job(task: str = "PickCube-v1", success: Any = None, **environment: Any) -> Any:
    base: dict[str, Any] = {"id": task, "num_envs": 3, "device": "cpu", "max_episode_steps": STEPS}
    return make_job(
        simulator="maniskill",
        environment={**base, **environment},
        success=success or {},
        policy={"type": "random"},
        rollout={"episodes": 5},
    )


@pytest.fixture
def make_env() -> Iterator[MakeEnv]:
    made: list[Any] = []

    def make(task: str = "PickCube-v1", **changes: Any) -> Any:
        made.append(ManiSkillSimulator().make(task_job(task, **changes)))
        return made[-1]

    yield make
    for env in made:
        env.close()


class TestContract(SimEnvContract):
    steps = STEPS + 3

    @pytest.fixture
    def env(self, make_env: MakeEnv) -> ManiSkillEnv:
        return make_env()


class TestContractOfTwoRobots(SimEnvContract):
    """Their actions are a dict."""

    steps = STEPS + 3

    @pytest.fixture
    def env(self, make_env: MakeEnv) -> ManiSkillEnv:
        return make_env("TwoRobotPickCube-v1", num_envs=2, options={"obs_mode": "state_dict"})

    def test_the_seed_decides_the_episode(self, env: Any) -> None:
        env.reset(None, [5, 6])
        first = self.row(env, env.reset(np.array([1]), [5]), 1)
        env.reset(np.array([0]), [9])
        assert same(first, self.row(env, env.reset(np.array([1]), [5]), 1))


def pushes(env: ManiSkillEnv, seeds: list[int], steps: int = STEPS) -> list[Any]:
    """Play an episode in each row; return what each has seen and been rewarded with."""
    seen = [env.reset(None, seeds).observation.numpy()]
    generators = [np.random.default_rng([seed, 1]) for seed in seeds]
    size = env.single_action_space.shape
    for _ in range(steps):
        step = env.step(np.stack([g.uniform(-1, 1, size) for g in generators]).astype(np.float32))
        seen.append(np.concatenate([step.observation.numpy(), step.reward[:, None]], axis=1))
    return [[moment[row].tolist() for moment in seen] for row in range(env.num_envs)]


def test_an_episode_depends_on_its_seed_alone(make_env: MakeEnv) -> None:
    limit = {"max_episode_steps": 60}
    one, three = make_env(PUSHES, num_envs=1, **limit), make_env(PUSHES, **limit)
    assert one.capabilities.episode_seeds
    assert one.capabilities.deterministic
    expected = [pushes(one, [seed], 40)[0] for seed in (5, 6, 7)]
    assert pushes(three, [5, 6, 7], 40) == expected
    assert pushes(three, [7, 5, 6], 40) == [expected[2], expected[0], expected[1]]


def test_a_scene_that_is_kept_is_not_said_to_be_deterministic(make_env: MakeEnv) -> None:
    kept = make_env(num_envs=1, options={"reconfiguration_freq": 0})
    assert kept.capabilities.episode_seeds
    assert not kept.capabilities.deterministic
    rebuilt = make_env(num_envs=1)
    assert same(kept.reset(None, [5]).observation, rebuilt.reset(None, [5]).observation)


def bare_loop(seeds: list[int]) -> list[dict[str, Any]]:
    """Evaluate as ManiSkill's own baselines do: its vector wrapper, and metrics that it records."""
    import gymnasium
    import mani_skill.envs  # noqa: F401
    from mani_skill.vector.wrappers.gymnasium import ManiSkillVectorEnv

    made = gymnasium.make(
        "RollBall-v1",
        num_envs=1,
        obs_mode="state",
        sim_backend="physx_cpu",
        render_backend="none",
        reconfiguration_freq=1,
        max_episode_steps=STEPS,
    )
    env = ManiSkillVectorEnv(made, ignore_terminations=True, auto_reset=False, record_metrics=True)
    found = []
    for seed in seeds:
        env.reset(seed=seed)
        for step in range(STEPS):
            *_, info = env.step(torch.full((1, *env.single_action_space.shape), (-1.0) ** step))
        found.append({key: value.item() for key, value in info["episode"].items()})
    env.close()
    return found


def test_the_numbers_are_those_of_maniskills_own_evaluation(make_env: MakeEnv) -> None:
    """Success, at some step and at the last one, the return and the length."""
    seeds = [1, 2, 3]
    theirs = bare_loop(seeds)
    env = make_env("RollBall-v1")
    env.reset(None, seeds)
    returns, once = np.zeros(3), np.zeros(3, bool)
    for n in range(STEPS):
        step = env.step(np.full((3, *env.single_action_space.shape), (-1.0) ** n, np.float32))
        returns += step.reward
        once |= step.success == 1
    assert [end.reason for end in step.ends] == ["time_out"] * 3
    for row, episode in enumerate(theirs):
        assert once[row] == episode["success_once"]
        assert (step.success[row] == 1) == episode["success_at_end"]
        assert returns[row] == pytest.approx(episode["return"], rel=1e-6)
        assert episode["episode_len"] == STEPS


class TestSuccessAndFail:
    """With an `evaluate` of known answers: ManiSkill calls it after each step."""

    @pytest.fixture
    def scripted(self, make_env: MakeEnv) -> Callable[..., ManiSkillEnv]:
        def make(success: list[int], fail: list[int], **options: Any) -> ManiSkillEnv:
            env = make_env(num_envs=1, options=options)
            (wrapped,) = env.unwrapped
            base = wrapped.unwrapped
            evaluate_itself = base.evaluate

            def answer() -> dict[str, Any]:
                at = int(base.elapsed_steps[0])
                held = {"success": torch.tensor([at in success]), "fail": torch.tensor([at in fail])}
                return {**evaluate_itself(), **held}

            base.evaluate = answer
            return env

        return make

    def run(self, env: ManiSkillEnv) -> list[Any]:
        env.reset(None, [1])
        steps = []
        while not steps or not steps[-1].ends:
            steps.append(env.step(np.zeros((1, *env.single_action_space.shape), np.float32)))
        return steps

    def test_an_episode_takes_its_whole_horizon(self, scripted: Any) -> None:
        steps = self.run(scripted(success=[3, 4], fail=[6]))
        assert [int(step.success[0]) for step in steps] == [0, 0, 1, 1] + [0] * (STEPS - 4)
        (end,) = steps[-1].ends
        assert (end.reason, dict(end.metrics)) == ("time_out", {"fail_once": 1.0})

    @pytest.mark.parametrize(
        ("success", "fail", "length", "reason"),
        [([3], [], 3, "success"), ([], [5], 5, "fail"), ([], [], STEPS, "time_out")],
    )
    def test_success_and_fail_end_it_where_asked_for(
        self, scripted: Any, success: list[int], fail: list[int], length: int, reason: str
    ) -> None:
        steps = self.run(scripted(success=success, fail=fail, ignore_terminations=False))
        (end,) = steps[-1].ends
        assert (len(steps), end.reason) == (length, reason)
        assert end.metrics == {"fail_once": float(reason == "fail")}
        assert bool(steps[-1].terminated[0]) == (reason != "time_out")

    def test_success_already_held_at_reset(self, scripted: Any) -> None:
        assert scripted(success=[0], fail=[]).reset(None, [1]).success.tolist() == [1]


def run(tmp_path: Path, **environment: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    evaluate(task_job(**environment), output=tmp_path)
    record = json.loads(next(tmp_path.rglob("record.json")).read_text())
    lines = next(tmp_path.rglob("episodes.jsonl")).read_text().splitlines()
    return record, sorted(map(json.loads, lines), key=lambda line: line["episode"])


def test_a_job_gives_the_same_episodes_in_one_row_and_in_three(tmp_path: Path) -> None:
    records, episodes = zip(
        *(run(tmp_path / str(rows), num_envs=rows, seeds={"start": 40}) for rows in (1, 3)), strict=True
    )
    keys = ("seed", "initial_state", "return", "length", "success_once", "success_at_end", "end_reason")
    assert [[line[key] for key in keys] for line in episodes[0]] == [
        [line[key] for key in keys] for line in episodes[1]
    ]
    assert [line["seed"] for line in episodes[0]] == [40, 41, 42, 43, 44]
    assert len({line["initial_state"] for line in episodes[0]}) == 5
    assert records[0]["reproducible"]
    assert records[0]["identity"]["environment"]["sim_backend"] == "physx_cpu"
    assert records[0]["identity"]["environment"]["control_mode"] == "pd_joint_delta_pos"
    assert set(records[0]["metrics"]) >= {"success_rate", "success_at_end_rate"}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"task": "PikCube-v1"}, "environment.id"),
        ({"options": {"control_mode": "pd_joint_delta"}}, "environment.options.control_mode"),
        ({"options": {"reward_mode": "denser"}}, "environment.options.reward_mode"),
        ({"task": "AnymalC-Reach-v1"}, "environment.id"),
        ({"cameras": {"top": {}}}, "environment.cameras"),
    ],
)
def test_what_maniskill_lacks_is_one_line(make_env: MakeEnv, changes: Any, key: str) -> None:
    with pytest.raises(EvaluationError) as error:
        make_env(**changes)
    assert str(error.value).startswith(key)
    assert "\n" not in str(error.value)


def test_no_usable_vulkan_is_one_line(make_env: MakeEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    import sapien.render

    def none(*args: Any) -> Any:
        raise RuntimeError('Failed to find a supported physical device "cpu"')

    monkeypatch.setattr(sapien.render, "RenderSystem", none)
    with pytest.raises(EvaluationError, match="mesa-vulkan-drivers"):
        make_env(options={"obs_mode": "rgb"})
