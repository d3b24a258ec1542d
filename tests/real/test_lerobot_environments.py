"""LeRobot's own environments as a simulator: what a job says of them, and what they are above the seam."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("lerobot", reason="pip install 'pytest-arena[lerobot]'")
pytest.importorskip("gym_pusht", reason="pip install 'lerobot[pusht]'")

from gymnasium.vector import SyncVectorEnv
from lerobot.envs.configs import EnvConfig

from pytest_arena import EvaluationError, Job, JobFileError, MissingDependencyError
from pytest_arena.evaluation.validate import validate
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.lerobot import LeRobotEnv
from pytest_arena.simulators.registry import find_simulator
from pytest_arena.testing import SimEnvContract
from tests.real.lerobot_models import act, easy_pusht, save

DOCS = Path(__file__).parents[2] / "docs"
KEYPOINTS = {"obs_type": "environment_state_agent_pos", "episode_length": 20}


def job(kind: str = "pusht", options: Any = None, num_envs: int = 2, **environment: Any) -> Job:
    return Job.model_validate(
        {
            "name": "job",
            "simulator": "lerobot",
            "environment": {"id": kind, "num_envs": num_envs, "options": options or {}, **environment},
            "policy": {"type": "random"},
            "rollout": {"episodes": 3},
        }
    )


def make(made: Job) -> SimEnv:
    simulator = find_simulator(made)
    simulator.launch(made)
    return simulator.make(made)


@pytest.fixture
def opened() -> Iterator[Any]:
    """Make environments, and close them."""
    envs: list[SimEnv] = []

    def open_(*args: Any, **kwargs: Any) -> SimEnv:
        envs.append(make(job(*args, **kwargs)))
        return envs[-1]

    yield open_
    for env in envs:
        env.close()


class TestPushT(SimEnvContract):
    steps = 30

    @pytest.fixture
    def env(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        easy_pusht(monkeypatch)
        made = make(job(options=KEYPOINTS))
        yield made
        made.close()


class TestTheRows:
    def test_are_lerobots_with_its_horizon_and_pace(self, opened: Any) -> None:
        env = opened(options={"obs_type": "pixels_agent_pos"})
        assert isinstance(env, LeRobotEnv)
        assert (env.max_episode_steps, env.step_dt) == (300, 0.1)
        assert env.identity["spec"] == "pusht/PushT-v0"
        assert env.single_observation_space["pixels"].shape == (96, 96, 3)
        assert opened(options=KEYPOINTS).max_episode_steps == 20
        assert opened(options=KEYPOINTS, max_episode_steps=7).max_episode_steps == 7

    def test_end_at_the_limit_of_the_job(self, opened: Any) -> None:
        env = opened(options=KEYPOINTS, max_episode_steps=7)
        env.reset(None, [0, 1])
        steps = [env.step(np.zeros((2, 2), np.float32)) for _ in range(7)]
        assert [len(step.ends) for step in steps] == [0, 0, 0, 0, 0, 0, 2]
        assert {end.reason for end in steps[-1].ends} == {"time_out"}
        with pytest.raises(EvaluationError, match=r"max_episode_steps.*after 20 steps"):
            opened(options=KEYPOINTS, max_episode_steps=21)

    def test_give_their_images_to_films(self, opened: Any) -> None:
        cameras: dict[str, Any] = {"render": {}, "pixels": {}}
        env = opened(options={"obs_type": "pixels_agent_pos"}, cameras=cameras)
        observation = env.reset(None, [0, 1]).observation
        frames = env.cameras.frames(np.array([1]))
        assert frames["render"].shape == (1, 384, 384, 3)
        assert np.array_equal(frames["pixels"], observation["pixels"][1:])


@pytest.mark.parametrize(
    ("made", "key", "words"),
    [
        (job("pushT"), "environment.id", "did you mean 'pusht'"),
        (job("gym_manipulator"), "environment.id", "robot"),
        (job("isaaclab_arena"), "environment.id", "use the simulator isaaclab_arena"),
        (job(options={"obs_typ": "pixels"}), "environment.options.obs_typ", "did you mean 'obs_type'"),
        (job(options={"episode_length": "long"}), "environment.options.episode_length", "int"),
        (job("metaworld", {"obs_type": "state"}), "environment.options", "obs_type"),
        (job(device="cuda:0"), "environment.device", "expected cpu"),
        (job(variations={"light": 1}), "environment.variations", "no variations"),
    ],
)
def test_a_mistake_is_found_before_anything_runs(made: Job, key: str, words: str) -> None:
    with pytest.raises(JobFileError, match=f"{re.escape(key)}: .*{words}"):
        validate(made)


def test_a_package_that_is_missing_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in gymnasium.registry if name.startswith("gym_pusht/")]:
        monkeypatch.delitem(gymnasium.registry, name)
    monkeypatch.setitem(sys.modules, "gym_pusht", None)
    with pytest.raises(MissingDependencyError, match=r"gym_pusht.*pip install 'lerobot\[pusht\]'"):
        make(job())


class FixedStates(gymnasium.Env[Any, Any]):
    """Begins in the next of its states at each reset, as LIBERO of LeRobot does, and shows which one."""

    observation_space = gymnasium.spaces.Box(0, 100, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, row: int, stride: int, task: int) -> None:
        self.init_state_id, self.stride, self.task = row, stride, f"task {task}"
        self.task_description = f"do the {task}th thing"
        self._max_episode_steps = 2

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        state, self.init_state_id = self.init_state_id, self.init_state_id + self.stride
        return np.array([state], np.float32), {"is_success": False}

    def step(self, action: Any) -> Any:
        return np.zeros(1, np.float32), 0.0, False, False, {"is_success": False}


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(config: Any, n_envs: int) -> Any:
        ids = range(2) if config.task == "two" else range(1)
        return {
            "suite": {
                k: SyncVectorEnv([lambda r=r, k=k: FixedStates(r, n_envs, k) for r in range(n_envs)])
                for k in ids
            }
        }

    monkeypatch.setattr("lerobot.envs.factory.make_env", create)


class TestFixedInitialStates:
    def test_go_by_the_index_of_the_episode(self, fixed: None, opened: Any) -> None:
        env = opened()
        env.set_episodes(np.array([0, 1]), [4, 9])
        assert env.reset(None, [0, 0]).observation.tolist() == [[4], [9]]
        env.step(np.zeros((2, 1), np.float32))
        step = env.step(np.zeros((2, 1), np.float32))
        assert len(step.ends) == 2
        env.set_episodes(np.array([1]), [5])
        assert env.reset(np.array([1]), [0]).observation[1].tolist() == [5]
        assert env.task_description == "do the 0th thing"

    def test_a_job_evaluates_one_task(self, fixed: None, opened: Any) -> None:
        with pytest.raises(
            EvaluationError, match=r"'two'.*2 environments.*set task to one of task 0, task 1"
        ):
            opened(options={"task": "two"})


@pytest.mark.skipif(find_spec("gym_aloha") is None, reason="pip install 'lerobot[aloha]'")
def test_aloha_has_its_instruction_and_image(opened: Any) -> None:
    options = {"task": "AlohaTransferCube-v0"}
    env = opened("aloha", options, num_envs=1)
    reset = env.reset(None, [3])
    assert reset.observation["pixels"]["top"].shape == (1, 480, 640, 3)
    assert (env.max_episode_steps, env.step_dt) == (400, 1 / 50)
    assert env.task_description == "transfer_cube"
    again = env.reset(np.array([0]), [3])
    assert np.array_equal(reset.observation["pixels"]["top"], again.observation["pixels"]["top"])


@pytest.mark.skipif(find_spec("metaworld") is None, reason="pip install 'lerobot[metaworld]'")
def test_metaworld_has_lerobots_words_for_its_task(opened: Any) -> None:
    env = opened("metaworld", {"task": "push-v3"}, num_envs=1)
    assert env.task_description == "Push the puck to a goal"
    assert env.max_episode_steps == 500


def test_the_jobs_of_the_documentation_run_as_they_stand(pytester: pytest.Pytester) -> None:
    """With a small policy in the place of the trained one, and few episodes."""
    save(pytester.path / "outputs" / "pusht_act" / "pretrained_model", act())
    files = []
    for page in ("policies", "environments"):
        found = re.findall(
            r"^```yaml\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL
        )
        (text,) = [block for block in found if "simulator: lerobot" in block and "pusht" in block]
        pytester.makefile(".yaml", **{page: text})
        files += ["--arena-jobs", f"{page}.yaml"]
    changes = ["rollout.episodes=2", "thresholds=null", "environment.max_episode_steps=10"]
    result = pytester.runpytest(*files, *(word for change in changes for word in ("--arena-set", change)))
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("kind", sorted(EnvConfig.get_known_choices()))
def test_every_type_of_lerobot_is_accepted_or_refused_with_a_reason(kind: str) -> None:
    if kind in ("gym_manipulator", "isaaclab_arena"):
        with pytest.raises(JobFileError, match=f"'{kind}' of LeRobot is"):
            validate(job(kind))
    else:
        validate(job(kind))
