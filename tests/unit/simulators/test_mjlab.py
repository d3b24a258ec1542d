"""mjlab's habits on an exact fake, and what can be judged without mjlab."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

from pytest_arena import EvaluationError, JobFileError, MissingDependencyError, Policy, RolloutContext
from pytest_arena.guards.deadline import Deadline
from pytest_arena.jobs.sections import Environment, Success
from pytest_arena.rollout.loop import Loop, Observers
from pytest_arena.rollout.schedule import fixed_schedule
from pytest_arena.simulators import mjlab
from pytest_arena.simulators.cfg_overrides import override
from pytest_arena.simulators.mjlab import MjlabEnv, MjlabSimulator
from pytest_arena.simulators.registry import validate_simulation
from pytest_arena.testing import SimEnvContract, same
from tests.jobs import make_job
from tests.mjlab_fakes import LENGTHS, OUTCOMES, FakeMjlabEnv

torch = pytest.importorskip("torch")

BY_FUNCTION = Success(callable="tests.mjlab_fakes:held")
ZEROS = np.zeros((4, 2))


class ExactFakes(SimEnvContract):
    steps = 20

    def test_counts_are_exact(self, env: MjlabEnv) -> None:
        """Length, return, success, reason, first and last observation of every episode."""
        length, total, episodes, seen = np.zeros(4, int), np.zeros(4), np.zeros(4, int), 0
        observation = env.reset(None, [0] * 4).observation
        manual = env.capabilities.autoreset == "manual"
        for _ in range(30):
            fresh = np.flatnonzero(length == 0)
            assert observation["actor"][fresh, :3].tolist() == [[row, episodes[row], 0] for row in fresh]
            step = env.step(self.actions(env))
            observation = step.observation
            length += step.valid
            total += step.reward
            for end in step.ends:
                row = end.env_idx
                assert length[row] == LENGTHS[row]
                assert total[row] == LENGTHS[row] * (LENGTHS[row] + 1) / 2
                assert step.success[row] == (OUTCOMES[row] == "success")
                assert end.reason == OUTCOMES[row]
                if manual:
                    reached = step.terminal_observation["actor"][row, :3].tolist()
                    assert reached == [row, episodes[row], LENGTHS[row]]
                    image = env.cameras.frames(np.array([row]))["wrist"][0, 0, 0].tolist()
                    assert image == [row, episodes[row], LENGTHS[row]]
                length[row], total[row] = 0, 0
                episodes[row] += 1
                seen += 1
            if manual and step.ends:
                observation = env.reset(np.array([end.env_idx for end in step.ends]), None).observation
        assert seen == sum(30 // n for n in LENGTHS)


class TestManual(ExactFakes):
    @pytest.fixture(params=[None, BY_FUNCTION], ids=["term", "function"])
    def env(self, request: Any) -> MjlabEnv:
        return MjlabEnv(FakeMjlabEnv(), request.param)


class TestAutomatic(ExactFakes):
    @pytest.fixture(params=[None, BY_FUNCTION], ids=["term", "function"])
    def env(self, request: Any) -> MjlabEnv:
        return MjlabEnv(FakeMjlabEnv(auto_reset=True), request.param)

    def test_no_image_of_the_step_before_is_taken_for_the_last_one(self, env: MjlabEnv) -> None:
        """When rows are reset, the cameras have not yet seen what the step reached."""
        env.reset(None, [0] * 4)
        env.cameras.frames(np.arange(4))
        for _ in range(6):
            for end in env.step(ZEROS).ends:
                assert env.cameras.last_frames(np.array([end.env_idx])) is None
        assert not env.capabilities.terminal_frame


def test_a_row_that_goes_on_keeps_what_it_has_seen() -> None:
    env = MjlabEnv(FakeMjlabEnv())
    env.reset(None, [0] * 4)
    steps = [env.step(ZEROS) for _ in range(2)]
    for _ in range(2):  # also where rows are reset one after the other
        reset = env.reset(np.array([3]), [0])
        assert same(reset.observation["actor"][:3], steps[-1].observation["actor"][:3])
        assert reset.observation["actor"][3, :3].tolist() == [3, reset.observation["actor"][3, 1], 0]


def test_rows_that_ended_are_reset_before_mjlab_would_refuse_the_step() -> None:
    fake = FakeMjlabEnv()
    env = MjlabEnv(fake)
    env.reset(None, [0] * 4)
    for _ in range(3):
        env.step(ZEROS)
    assert fake.resets == [[0, 1, 2, 3], [3]]
    env.reset(np.array([0]), [0])  # rows 0 and 3 have ended; 3 is not needed any more
    valid = [env.step(ZEROS).valid.tolist() for _ in range(3)]
    assert valid == [[True, True, True, False], [True, True, False, False], [True, False, False, False]]
    assert fake.resets[2:] == [[0], [2, 3], [1]]  # 2 and 1 for the first time, 3 once more


def test_parked_rows_are_told_nothing() -> None:
    fake = FakeMjlabEnv()
    env = MjlabEnv(fake)
    env.reset(None, [0] * 4)
    actions = np.ones((4, 2))
    for _ in range(2):
        env.step(actions)
    actions[3] = np.nan
    env.step(actions)
    assert fake.actions[-1].tolist() == [[1.0, 1.0]] * 3 + [[0.0, 0.0]]
    assert fake.actions[-1].dtype == torch.float32


def test_each_rollout_begins_with_a_seeded_reset_of_all_rows() -> None:
    fake = FakeMjlabEnv()
    env = MjlabEnv(fake)
    for episodes in (1, 2):
        env.begin(episodes)
        env.reset(np.arange(episodes), [2**32 - 1, 7][:episodes])
        assert fake.common_step_counter == 0
        for _ in range(2):  # at the second one row 3 ends
            assert env.step(ZEROS).valid.tolist() == [row < episodes for row in range(4)]
    assert fake.resets == [[0, 1, 2, 3]] * 2
    assert fake.seeds == [2**31 - 1] * 2
    env.reset(np.array([0]), [5])
    assert fake.seeds[-1] is None  # one stream for all rows: a seed within a rollout would begin it anew


class Zeros(Policy):
    def act(self, observation: Any) -> Any:
        return ZEROS

    def reset(self, env_ids: Any = None, seeds: Any = None) -> None:
        pass


@pytest.mark.parametrize("auto_reset", [False, True])
@pytest.mark.parametrize("episodes", [3, 8, 11])
def test_every_listed_episode_runs_to_its_end(auto_reset: bool, episodes: int) -> None:
    env = MjlabEnv(FakeMjlabEnv(auto_reset=auto_reset))
    job = make_job(rollout={"episodes": episodes})
    schedule = fixed_schedule(range(episodes), Environment(id="any"), rebuild=0, num_envs=4, seeded=False)
    loop = Loop(
        RolloutContext(job, "job", 1, Path("."), Path("."), env), Zeros(), schedule, Observers((), ())
    )
    loop.run(Deadline(None))
    told = sorted(loop.episodes, key=lambda e: e.episode)
    assert [e.length for e in told] == [LENGTHS[i % 4] for i in range(episodes)]
    assert [e.success_once for e in told] == [OUTCOMES[i % 4] == "success" for i in range(episodes)]


def test_its_spaces_become_gymnasiums() -> None:
    env = MjlabEnv(FakeMjlabEnv())
    low, high = np.array([-1, -2], np.float32), np.array([1, 1], np.float32)
    assert env.single_action_space == gymnasium.spaces.Box(low, high)
    actor = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    assert env.single_observation_space == gymnasium.spaces.Dict(actor=actor)


def test_without_a_time_out_there_is_no_horizon() -> None:
    assert MjlabEnv(FakeMjlabEnv()).max_episode_steps == 5
    assert MjlabEnv(FakeMjlabEnv(terms=("success",))).max_episode_steps is None


def configuration(**changes: Any) -> Any:
    terms = {"time_out": SimpleNamespace(time_out=True), "success": SimpleNamespace(time_out=False)}
    base: dict[str, Any] = {
        "seed": None,
        "auto_reset": True,
        "decimation": 4,
        "episode_length_s": 20.0,
        "sim": SimpleNamespace(mujoco=SimpleNamespace(timestep=0.005)),
        "scene": SimpleNamespace(num_envs=1, sensors=(SimpleNamespace(name="wrist", width=160, height=120),)),
        "terminations": terms,
    }
    return SimpleNamespace(**{**base, **changes})


def mjlab_job(**environment: Any) -> Any:
    return make_job(simulator="mjlab", environment={"id": "Task", **environment})


def test_a_configuration_gets_what_the_job_says() -> None:
    held = configuration()
    mjlab.configure(held, mjlab_job(num_envs=7, seed=2**31 + 5, cameras={"wrist": {"width": 64}}))
    assert (held.seed, held.scene.num_envs, held.auto_reset, held.episode_length_s) == (5, 7, False, 20.0)
    assert (held.scene.sensors[0].width, held.scene.sensors[0].height) == (64, 120)


def test_the_jobs_own_keys_win_over_its_overrides() -> None:
    held = configuration()
    overrides = {"decimation": 10, "scene.num_envs": 3, "episode_length_s": 3.0}
    mjlab.configure(
        held, mjlab_job(max_episode_steps=9, options={"overrides": overrides, "auto_reset": True})
    )
    assert np.ceil(held.episode_length_s / (0.005 * 10)) == 9
    assert held.scene.num_envs == 1
    assert held.auto_reset is True


def test_variations_are_values_of_the_configuration_as_well() -> None:
    held = configuration()
    mjlab.configure(held, mjlab_job(variations={"sim.mujoco.timestep": 0.002}))
    assert held.sim.mujoco.timestep == 0.002
    with pytest.raises(EvaluationError, match=r"environment\.variations\.sim\.mujocco"):
        mjlab.configure(held, mjlab_job(variations={"sim.mujocco.timestep": 0.002}))


def test_an_evaluation_that_would_never_end_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"max_episode_steps: 'Task' lets an episode last 1e\+10 s"):
        mjlab.configure(configuration(episode_length_s=1e10), mjlab_job())
    steps = make_job(simulator="mjlab", environment={"id": "Task"}, rollout={"steps": 50})
    mjlab.configure(configuration(episode_length_s=1e10), steps)
    mjlab.configure(configuration(episode_length_s=1e10), mjlab_job(max_episode_steps=50))


def test_overrides_enter_configurations_and_replace_plain_values() -> None:
    import dataclasses

    term = dataclasses.make_dataclass("Term", ["weight", "params"])
    held = SimpleNamespace(rewards={"a": term(1.0, {"k": 1}), "b": term(2.0, {})}, gravity=(0, 0, -9.81))
    override(held, {"rewards": {"a": {"weight": 3.0}}, "rewards.a.params": {"j": 2}}, "overrides")
    override(held, {"rewards.b": "null", "gravity": [0, 0, -1]}, "overrides")
    assert (held.rewards["a"].weight, held.rewards["a"].params) == (3.0, {"j": 2})
    assert held.rewards["b"] is None
    assert held.gravity == (0, 0, -1)
    with pytest.raises(EvaluationError, match=r"overrides.rewards.c: dict has no 'c'"):
        override(held, {"rewards.c": None}, "overrides")
    override(held, {"rewards": {}}, "overrides")
    assert held.rewards == {}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"options": {"autoreset": True}}, r"did you mean 'auto_reset'"),
        ({"options": {"play": "yes"}}, r"environment\.options\.play"),
    ],
    ids=["unknown option", "wrong type"],
)
def test_what_it_refuses_before_anything_is_simulated(environment: dict[str, Any], words: str) -> None:
    with pytest.raises(JobFileError, match=words):
        validate_simulation(mjlab_job(**environment))


def test_a_job_is_validated_without_importing_mjlab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mjlab", None)
    validate_simulation(mjlab_job(options={"task_package": ["my_tasks"], "overrides": {"decimation": 2}}))


def test_without_mjlab_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mjlab, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'mjlab>=1\.6'"):
        MjlabSimulator().launch(mjlab_job())
    monkeypatch.setattr(mjlab, "find_spec", lambda name: ModuleType(name))
    MjlabSimulator().launch(mjlab_job())


def test_what_is_drawn_when_it_is_made_depends_on_the_seed() -> None:
    simulator = MjlabSimulator()
    keys = [simulator.environment_key(mjlab_job(seed=seed)) for seed in (0, 1, 0)]
    assert keys[0] == keys[2] != keys[1]
    seeds = [simulator.rebuilt(mjlab_job(seed=4), rebuild).environment.seed for rebuild in range(3)]
    assert seeds == [4, 5, 6]
