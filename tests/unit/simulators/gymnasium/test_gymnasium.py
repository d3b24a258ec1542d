from __future__ import annotations

from fractions import Fraction
from types import MappingProxyType
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from pytest_arena import EvaluationError, JobFileError
from pytest_arena.errors import TimeIsUp
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv, GymnasiumSimulator
from pytest_arena.simulators.gymnasium.vector import step_length
from pytest_arena.simulators.registry import validate_simulation
from pytest_arena.testing import SimEnvContract
from tests.exact import ExactContract
from tests.fakes import CountingVectorEnv, ScriptedEnv
from tests.jobs import make_job

MODES = [AutoresetMode.DISABLED, AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]
LENGTHS = [[3], [5], [4], [2]]
SUCCESSES = [[True], [False], [False], [True]]


class TestExactFakes(ExactContract):
    @pytest.fixture(params=MODES, ids=lambda mode: mode.name)
    def env(self, request: Any) -> Any:
        lengths, successes = [[n] for n in self.lengths], [[ok] for ok in self.successes]
        return GymnasiumEnv(CountingVectorEnv(lengths, successes, request.param), cameras=["render"])


class TestCartPole(SimEnvContract):
    @pytest.fixture(params=["manual", "next_step", "same_step"])
    def env(self, request: Any) -> Any:
        env = {"id": "CartPole-v1", "num_envs": 3, "max_episode_steps": 12}
        job = make_job(environment={**env, "options": {"vectorization": "sync", "autoreset": request.param}})
        made = GymnasiumSimulator().make(job)
        yield made
        made.close()

    def actions(self, env: Any) -> Any:
        return np.ones(env.num_envs, np.int64)


@pytest.mark.process
class TestAsyncPendulum(SimEnvContract):
    @pytest.fixture
    def env(self) -> Any:
        env = {"id": "Pendulum-v1", "num_envs": 2, "max_episode_steps": 15}
        made = GymnasiumSimulator().make(make_job(environment={**env, "options": {"vectorization": "async"}}))
        yield made
        made.close()


def test_a_packages_own_vector_class_is_used_where_asked_for() -> None:
    options = {"vectorization": "vector_entry_point"}
    job = make_job(environment={"id": "CartPole-v1", "num_envs": 2, "options": options})
    env = GymnasiumSimulator().make(job)
    assert not isinstance(env.unwrapped.unwrapped, SyncVectorEnv)
    assert env.capabilities.autoreset == "next_step"
    assert not env.capabilities.episode_seeds
    env.close()


class OwnVectorEnv(VectorEnv[Any, Any, Any]):
    """Sets what it is told to set; its `close` fails as well."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int, attributes: dict[str, Any]) -> None:
        space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        whole = {"num_envs": num_envs, "single_action_space": space, "single_observation_space": space}
        for name, value in (whole | attributes).items():
            if value != "lacks":
                setattr(self, name, value)

    def close(self, **given: Any) -> None:
        raise RuntimeError("half of it is missing")


gymnasium.register("own/Vector-v0", vector_entry_point=OwnVectorEnv)
gymnasium.register("own/None-v0", vector_entry_point=lambda num_envs: None)
gymnasium.register("own/Row-v0", vector_entry_point=lambda num_envs: ScriptedEnv())


@pytest.mark.parametrize(
    ("name", "attributes", "words"),
    [
        (
            "Vector",
            {"single_action_space": "lacks"},
            "OwnVectorEnv lacks single_action_space: derive it from",
        ),
        (
            "Vector",
            {"num_envs": "lacks", "single_observation_space": "lacks"},
            "OwnVectorEnv lacks num_envs, single_observation_space: derive it from gymnasium.vector.VectorEnv",
        ),
        ("Vector", {"num_envs": "2"}, "OwnVectorEnv has the text '2' as its num_envs, expected a number"),
        ("Vector", {"single_action_space": None}, "has None as its single_action_space, expected a space"),
        ("None", {}, "its vector_entry_point gave None, expected a gymnasium.vector.VectorEnv"),
        ("Row", {}, "ScriptedEnv lacks num_envs, single_action_space, single_observation_space"),
    ],
    ids=str,
)
def test_a_vector_class_that_lacks_something_is_told_what(
    name: str, attributes: dict[str, Any], words: str
) -> None:
    make = {"attributes": attributes} if name == "Vector" else {}
    job = make_job(environment={"id": f"own/{name}-v0", "options": {"make": make}})
    with pytest.raises(EvaluationError, match=words):
        GymnasiumSimulator().make(job)


def test_parked_rows_are_never_stepped_past_their_end() -> None:
    vec = CountingVectorEnv([[2], [9]], mode=AutoresetMode.DISABLED)
    env = GymnasiumEnv(vec)
    env.reset(None, [0, 0])
    for _ in range(9):
        env.step(np.zeros((2, 2)))
    assert vec.ended_and_stepped == 0


def test_success_is_unmeasured_where_the_environment_does_not_say() -> None:
    vec = SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")], autoreset_mode=AutoresetMode.DISABLED)
    env = GymnasiumEnv(vec)
    env.reset(None, [0])
    assert env.step(np.array([0])).success.tolist() == [-1]
    env.close()


def test_success_by_callable_and_by_key() -> None:
    made = lambda: SyncVectorEnv([ScriptedEnv], autoreset_mode=AutoresetMode.DISABLED)  # noqa: E731
    by_callable = make_job(
        success={"callable": "tests.unit.simulators.gymnasium.test_gymnasium:always"}
    ).success
    env = GymnasiumEnv(made(), by_callable)
    env.reset(None, [0])
    assert env.step(np.zeros((1, 2))).success.tolist() == [1]
    env = GymnasiumEnv(made(), make_job(success={"info_key": "nothing"}).success)
    env.reset(None, [0])
    assert env.step(np.zeros((1, 2))).success.tolist() == [-1]


def unready(self: Any) -> Any:
    raise RuntimeError("the model is loaded in reset")


@pytest.mark.parametrize(
    ("attributes", "step_dt"),
    [
        ({"dt": 0.05}, 0.05),
        ({"dt": np.float32(0.5)}, 0.5),
        ({"dt": np.array(0.25)}, 0.25),
        ({"dt": Fraction(1, 8)}, 0.125),
        ({"dt": 2}, 2.0),
        ({"metadata": {"render_fps": 20}}, 0.05),
        ({"metadata": {"render_fps": 29.97}}, 1 / 29.97),
        ({"metadata": {"render_fps": np.int64(10)}}, 0.1),
        ({"metadata": MappingProxyType({"render_fps": 4})}, 0.25),
        ({"dt": float("nan"), "metadata": {"render_fps": 20}}, 0.05),
        ({"dt": float("inf"), "metadata": {"render_fps": 20}}, 0.05),
        ({"dt": 0, "metadata": {"render_fps": 20}}, 0.05),
        ({"dt": -0.1, "metadata": {"render_fps": 20}}, 0.05),
        ({"dt": True, "metadata": {"render_fps": 20}}, 0.05),
        ({"dt": "0.1", "metadata": {"render_fps": 20}}, 0.05),
        ({"dt": lambda self: 0.1, "metadata": {"render_fps": 20}}, 0.05),
        ({"dt": property(unready), "metadata": {"render_fps": 20}}, 0.05),
        ({"dt": np.array([0.1, 0.1])}, 0.0),
        ({"dt": 10**400}, 0.0),
        ({"dt": 1e-320}, 0.0),
        ({"dt": 1 + 0j}, 0.0),
        ({"metadata": {"render_fps": True}}, 0.0),
        ({"metadata": {"render_fps": None}}, 0.0),
        ({"metadata": {"render_fps": 0}}, 0.0),
        ({"metadata": {"render_fps": -5}}, 0.0),
        ({"metadata": {"render_fps": float("nan")}}, 0.0),
        ({"metadata": {"render_fps": "20"}}, 0.0),
        ({"metadata": {"render_fps": [20]}}, 0.0),
        ({"metadata": None}, 0.0),
    ],
    ids=lambda value: str(value)[:40].partition(" at 0x")[0],  # the same in every worker
)
def test_a_steps_length_is_read_where_it_is_a_number_of_use(
    attributes: dict[str, Any], step_dt: float
) -> None:
    row = type("Row", (), attributes)()
    row.unwrapped = row
    vec = SyncVectorEnv([ScriptedEnv], autoreset_mode=AutoresetMode.DISABLED)
    vec.envs = [row]  # what a row says of itself is all that is read
    assert step_length(vec) == pytest.approx(step_dt)


def answer(env: Any) -> Any:
    return env.answer


def asked(given: Any) -> GymnasiumEnv:
    """An environment of two rows whose ``success.callable`` returns *given*."""
    vec = SyncVectorEnv([ScriptedEnv] * 2, autoreset_mode=AutoresetMode.DISABLED)
    name = "tests.unit.simulators.gymnasium.test_gymnasium:answer"
    env = GymnasiumEnv(vec, make_job(success={"callable": name}).success)
    vec.answer = given  # type: ignore[attr-defined]
    return env


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (True, "a bool, expected 2"),
        ([True], "a list of 1, expected 2"),
        (np.array([[True, False]]), "a value of shape (1, 2), expected 2"),
        (None, "None, expected 2"),
        ({"held": 1}, "a dict with the keys held, expected 2"),
        (["False", "True"], "the text 'False' in row 0, expected a"),
        (np.array([0j, 1j]), "a complex128 in row 0, expected a"),
    ],
    ids=str,
)
def test_a_callable_must_say_it_of_each_row(given: Any, told: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        asked(given).reset(None, [0, 0])
    name = "tests.unit.simulators.gymnasium.test_gymnasium:answer"
    assert str(raised.value).startswith(f"success.callable: {name!r} gave {told} boolean")


def test_a_callable_may_not_know_it_of_a_row() -> None:
    assert asked([float("nan"), 1.0]).reset(None, [0, 0]).success.tolist() == [-1, 1]
    assert asked([True, None]).reset(None, [0, 0]).success.tolist() == [1, -1]
    assert asked(np.array([[True], [False]])).reset(None, [0, 0]).success.tolist() == [1, 0]


def test_a_key_without_a_number_is_no_failure() -> None:
    class Unsure(ScriptedEnv):
        def step(self, action: Any) -> Any:
            return (*super().step(action)[:4], {"success": float("nan")})

    env = GymnasiumEnv(SyncVectorEnv([Unsure], autoreset_mode=AutoresetMode.DISABLED))
    env.reset(None, [0])
    assert env.step(np.zeros((1, 2))).success.tolist() == [-1]


def always(env: Any) -> Any:
    return np.ones(env.num_envs)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"id": "CartPol-v1"}, "CartPol"),
        ({"id": "nowhere_at_all:Thing-v0"}, "nowhere_at_all"),
        ({"id": "CartPole-v1", "variations": {"a": 1}}, "variations"),
        ({"id": "CartPole-v1", "device": "cuda:0"}, "cpu"),
        ({"id": "CartPole-v1", "options": {"vectorisation": "sync"}}, "vectorization"),
        ({"id": "CartPole-v1", "options": {"vectorization": "both"}}, "sync"),
        ({"id": "CartPole-v1", "options": {"modules": ["nowhere_at_all"]}}, "nowhere_at_all"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_it_refuses(environment: dict[str, Any], words: str) -> None:
    with pytest.raises(JobFileError, match=words):
        validate_simulation(make_job(environment=environment))


@pytest.mark.parametrize(("error", "mujoco"), [(TimeIsUp, True), (ValueError, False)])
def test_only_a_lack_of_opengl_is_made_up_for(error: type[Exception], mujoco: bool) -> None:
    """Neither the job's time limit nor another environment's mistake is taken for one."""

    class Failing(ScriptedEnv):
        def render(self) -> Any:
            raise error("here")

    vec = SyncVectorEnv([Failing], autoreset_mode=AutoresetMode.DISABLED)
    env = GymnasiumEnv(vec, cameras=["render"])
    env.cameras._mujoco = mujoco
    env.reset(seeds=[0])
    with pytest.raises(error, match="here"):
        env.cameras.frames(np.array([0]))
