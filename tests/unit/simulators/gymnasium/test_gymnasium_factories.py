"""Environments that a function of the job's own makes, and wrappers around rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from pytest_arena import EvaluationError, Job, JobFileError, evaluate, read_episodes
from pytest_arena.simulators.gymnasium.simulator import GymnasiumSimulator
from pytest_arena.simulators.registry import validate_simulation
from tests.fakes import ScriptedEnv
from tests.jobs import make_job

pytestmark = pytest.mark.process

HERE = __name__


class Scaled(gymnasium.RewardWrapper[Any, Any]):
    """Multiplies rewards, and notes the factor in the info."""

    def __init__(self, env: gymnasium.Env[Any, Any], factor: float = 1.0) -> None:
        super().__init__(env)
        self.factor = factor

    def reward(self, reward: Any) -> float:
        return self.factor * float(reward)


class Shifted(Scaled):
    def reward(self, reward: Any) -> float:
        return self.factor + float(reward)


def scripted(length: int, shown: list[str] | None = None, render_mode: str | None = None) -> ScriptedEnv:
    script = dict.fromkeys((None, 0), (length, True))
    return ScriptedEnv(script, render_mode)


def plain(**kwargs: Any) -> Any:
    return ScriptedEnv(**kwargs)


def limited() -> Any:
    return gymnasium.wrappers.TimeLimit(ScriptedEnv(), 2)


def nothing() -> Any:
    return 3


def no_wrapper(env: Any) -> Any:
    return "wrapped"


class Unwrapped(gymnasium.Env[Any, Any]):
    """As robosuite's wrapper: its `unwrapped` is no environment of gymnasium."""

    @property
    def unwrapped(self) -> Any:
        return object()


class Cart(ScriptedEnv):
    pass


gymnasium.register("FactoryExact", Cart, max_episode_steps=5)
FactoryExact = Cart


def job(function: str, num_envs: int = 2, make: Any = None, steps: int | None = 50, **options: Any) -> Job:
    environment: dict[str, Any] = {"id": f"{HERE}:{function}", "num_envs": num_envs}
    environment["options"] = {**options, **({"make": make} if make is not None else {})}
    if steps is not None:
        environment["max_episode_steps"] = steps
    return make_job(environment=environment, policy={"type": "random"})


def episodes(output: Path, made: Job) -> Any:
    record = evaluate(made, output=output)
    (path,) = (path for path in output.iterdir() if not path.is_symlink())
    found = read_episodes(path / str(record.episodes_path))
    return record, [(e.seed, e.length, e.return_, str(e.outcome), e.end_reason) for e in found]


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_function_makes_every_row(tmp_path: Path, vectorization: str) -> None:
    """The same episodes as of the registered environment, on one row and on several."""
    one = job("plain", 1, steps=6)
    record, alone = episodes(tmp_path / "1", one)
    _, several = episodes(tmp_path / "3", job("plain", 3, steps=6, vectorization=vectorization))
    gymnasium.register("factories/Plain-v0", ScriptedEnv, max_episode_steps=6, disable_env_checker=True)
    by_id = make_job(environment={"id": "factories/Plain-v0"}, policy={"type": "random"})
    _, registered = episodes(tmp_path / "id", by_id)
    assert alone == several == registered
    assert record.identity["environment"]["spec"] == f"{HERE}:plain"
    assert record.identity["capabilities"]["episode_seeds"] is True


def test_a_class_is_such_a_function_and_its_arguments_are_those_of_make() -> None:
    validate_simulation(job("Cart", make={"fail_at": 3}))
    env = GymnasiumSimulator().make(job("Cart", make={"fail_at": 3}))
    assert env.unwrapped.envs[0].unwrapped.fail_at == 3
    env.close()


def test_the_horizon_is_the_jobs_else_the_functions() -> None:
    for function, steps, horizon in (("plain", 7, 7), ("plain", None, None), ("limited", None, 2)):
        env = GymnasiumSimulator().make(job(function, steps=steps))
        assert env.max_episode_steps == horizon
        env.close()


@pytest.mark.parametrize(("function", "mode"), [("scripted", "rgb_array"), ("limited", None)])
def test_it_is_told_to_render_where_it_takes_that(function: str, mode: str | None) -> None:
    made = job(function, make={"length": 3} if function == "scripted" else {})
    cameras = made.environment.model_copy(update={"cameras": {"render": {}}})
    env = GymnasiumSimulator().make(made.model_copy(update={"environment": cameras}))
    assert env.unwrapped.envs[0].unwrapped.render_mode == mode
    env.close()


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_wrappers_go_around_each_row_in_their_order(tmp_path: Path, vectorization: str) -> None:
    chosen = [{"class": f"{HERE}:Scaled", "kwargs": {"factor": 2.0}}, f"{HERE}:Shifted"]
    _, wrapped = episodes(tmp_path / "a", job("plain", wrappers=chosen, vectorization=vectorization))
    _, bare = episodes(tmp_path / "b", job("plain"))
    assert [row[2] for row in wrapped] == [2.0 * row[2] + row[1] for row in bare]


def test_wrappers_change_what_is_observed() -> None:
    stacked = {"class": "gymnasium.wrappers:FrameStackObservation", "kwargs": {"stack_size": 4}}
    made = make_job(environment={"id": "CartPole-v1", "num_envs": 2, "options": {"wrappers": [stacked]}})
    validate_simulation(made)
    env = GymnasiumSimulator().make(made)
    assert env.single_observation_space.shape == (4, 4)
    assert env.reset(None, [0, 1]).observation.shape == (2, 4, 4)
    env.step(np.array([0, 1]))
    env.close()


def test_an_id_that_is_registered_word_for_word_is_gymnasiums() -> None:
    validate_simulation(job("FactoryExact", steps=None))
    env = GymnasiumSimulator().make(job("FactoryExact", steps=None))
    assert env.max_episode_steps == 5
    env.close()


@pytest.mark.parametrize(
    ("made", "key"),
    [
        (job("plane"), "environment.id"),
        (job("plain-v0"), "environment.id"),
        (job("scripted"), "environment.options.make"),
        (job("scripted", make={"lenght": 3}), "environment.options.make.lenght"),
        (job("plain", vectorization="vector_entry_point"), "environment.options.vectorization"),
        (job("plain", wrappers=["Scaled"]), "environment.options.wrappers[0]"),
        (job("plain", wrappers=["nowhere_at_all:Scaled"]), "environment.options.wrappers[0]"),
        (job("plain", wrappers=[f"{HERE}:Scale"]), "environment.options.wrappers[0]"),
        (
            job("plain", wrappers=[{"class": f"{HERE}:Scaled", "kwargs": {"fator": 1}}]),
            "environment.options.wrappers[0].kwargs.fator",
        ),
        (job("plain", wrappers=[{"kwargs": {}}]), "environment.options.wrappers[0].class"),
        (job("plain", wrappers=[3]), "environment.options.wrappers[0]"),
    ],
    ids=lambda value: None if isinstance(value, Job) else value,
)
def test_a_mistake_in_the_job_is_one_line_with_its_key(made: Job, key: str) -> None:
    with pytest.raises(JobFileError, match=re.escape(f"{key}: ")) as caught:
        validate_simulation(made)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        ("nothing", {}, "'.*:nothing' returned an int, expected a gymnasium.Env"),
        ("Unwrapped", {}, "returned what has as its unwrapped an object, expected a gymnasium.Env"),
        ("plain", {"wrappers": [f"{HERE}:no_wrapper"]}, "gave the text 'wrapped', expected a gymnasium.Wrap"),
    ],
    ids=str,
)
def test_what_is_no_environment_is_named(
    function: str, options: dict[str, Any], words: str, vectorization: str
) -> None:
    made = job(function, steps=None, vectorization=vectorization, **options)
    validate_simulation(made)
    with pytest.raises(EvaluationError, match=words):
        GymnasiumSimulator().make(made)
