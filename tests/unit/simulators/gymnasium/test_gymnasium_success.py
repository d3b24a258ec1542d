"""Success of vector environments: by key, by function, and what is known where rows are reset within a step."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from pytest_arena import UNMEASURED, EvaluationError, Step
from pytest_arena.jobs.sections import Success
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv
from tests.fakes import BOX, CountingVectorEnv, ScriptedEnv

SAME, NEXT, MANUAL = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED
MODES = pytest.mark.parametrize("mode", [SAME, NEXT, MANUAL], ids=lambda mode: mode.name)


class Goal(gymnasium.Env[Any, Any]):
    """Is solved in its last state alone, after *length* steps; no info tells of it."""

    observation_space, action_space = BOX, gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, length: int = 2) -> None:
        self.length = length

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(3), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return (
            np.full(3, float(self.t)),
            1.0,
            self.t == self.length,
            False,
            {"distance": self.length - self.t},
        )

    @property
    def solved(self) -> bool:
        return self.t == self.length


def solved(vec: Any) -> Any:
    return [row.unwrapped.solved for row in vec.unwrapped.envs]


def solved_at_reset(vec: Any) -> Any:
    return [row.unwrapped.t == 0 for row in vec.unwrapped.envs]


def steps(env: GymnasiumEnv, count: int) -> list[Step]:
    env.reset(None, [0] * env.num_envs)
    return [env.step(np.zeros((env.num_envs, 2), np.float32)) for _ in range(count)]


def ended(found: list[Step]) -> list[int]:
    """Success of the rows that ended, in the order in which they did."""
    return [int(step.success[end.env_idx]) for step in found for end in step.ends]


@MODES
@pytest.mark.parametrize(("name", "expected"), [("solved", 1), ("solved_at_reset", 0)])
def test_a_function_is_never_asked_about_the_next_episode(mode: Any, name: str, expected: int) -> None:
    """Limited by gymnasium's own wrapper or by the environment itself."""
    rows = [Goal, lambda: Goal(3), lambda: gymnasium.wrappers.TimeLimit(Goal(9), 2)]
    vec = SyncVectorEnv(rows, autoreset_mode=mode)
    found = steps(GymnasiumEnv(vec, Success(callable=f"{__name__}:{name}")), 3)
    assert ended(found)[:3] == [expected, 0, expected]


class Vec(VectorEnv[Any, Any, Any]):
    """A package's own: every row ends after two steps, and is reset in the second. What it tells is chosen."""

    def __init__(self, metadata: Any = None, **told: Any) -> None:
        self.num_envs, self.told = 2, told
        self.metadata = {"autoreset_mode": SAME} if metadata is None else metadata
        self.single_observation_space, self.single_action_space = BOX, Goal.action_space

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.t = 0
        return self.told.get("reset", (np.zeros((2, 3)), {}))

    def step(self, actions: Any) -> Any:
        self.t += 1
        last = self.t % 2 == 0
        info = {"success": np.zeros(2, bool), **(self.told.get("info", {}) if last else {})}
        given = [np.full((2, 3), float(self.t)), np.ones(2), np.full(2, last), np.zeros(2, bool), info]
        for place, value in self.told.get("given", {}).items():
            given[place] = value
        return tuple(given[: self.told.get("count", 5)])


FINAL = np.full((2, 3), 7.0)
BOTH = np.array([True, True])


@pytest.mark.parametrize(
    ("info", "success", "terminal"),
    [
        ({}, [-1, -1], False),
        ({"final_info": {"success": BOTH}}, [1, 1], False),
        ({"final_info": {"success": BOTH, "_success": ~BOTH}}, [-1, -1], False),
        ({"final_info": {"success": BOTH}, "_final_info": np.array([True, False])}, [1, -1], False),
        ({"final_info": {"success": [True, None]}}, [1, -1], False),
        ({"final_info": [{"success": True}, None]}, [1, -1], False),
        ({"final_info": None, "final_obs": None}, [-1, -1], False),
        ({"final_obs": FINAL}, [-1, -1], True),
        ({"final_obs": FINAL, "_final_obs": BOTH}, [-1, -1], True),
        ({"final_obs": FINAL, "_final_obs": np.array([True, False])}, [-1, -1], False),
    ],
    ids=str,
)
def test_what_is_not_told_of_rows_reset_within_the_step_is_unmeasured(
    info: Any, success: list[int], terminal: bool
) -> None:
    last = steps(GymnasiumEnv(Vec(info=info)), 2)[1]
    assert last.success.tolist() == success
    assert (last.terminal_observation is not None) == terminal
    assert not terminal or (last.terminal_observation == FINAL).all()


@pytest.mark.process
@pytest.mark.parametrize(
    "make",
    [Vec, lambda: AsyncVectorEnv([Goal] * 2, autoreset_mode=SAME)],
    ids=["a package's own", "other processes"],
)
def test_a_function_that_could_only_be_asked_too_late_is_refused(make: Any) -> None:
    vec = make()
    try:
        with pytest.raises(EvaluationError, match=r"autoreset mode same_step.*about their next episode"):
            GymnasiumEnv(vec, Success(callable=f"{__name__}:solved"))
    finally:
        vec.close()


class Tells(Goal):
    """Succeeds in row 0, and says something else in the others."""

    def __init__(self, row: int, other: Any) -> None:
        super().__init__()
        self.told = True if row == 0 else other

    def step(self, action: Any) -> Any:
        observation, reward, *_ = super().step(action)
        return observation, reward, True, False, {"success": self.told, "deep": {"success": "yes"}}


@pytest.mark.process
@pytest.mark.parametrize("mode", [AutoresetMode.DISABLED, AutoresetMode.NEXT_STEP, SAME])
@pytest.mark.parametrize("other", [None, float("nan"), np.array([False])])
def test_rows_that_somebody_put_into_processes_say_what_rows_here_say(mode: Any, other: Any) -> None:
    told = []
    for kind in (SyncVectorEnv, AsyncVectorEnv):
        vec = kind([functools.partial(Tells, row, other) for row in range(2)], autoreset_mode=mode)
        try:
            told.append(steps(GymnasiumEnv(vec), 1)[0].success.tolist())
        finally:
            vec.close()
    assert told[0] == told[1] == [1, 0 if isinstance(other, np.ndarray) else UNMEASURED]


@pytest.mark.process
@pytest.mark.parametrize("mode", [AutoresetMode.DISABLED, SAME])
def test_text_of_a_row_that_somebody_put_into_a_process_is_refused(mode: Any) -> None:
    vec = AsyncVectorEnv([functools.partial(Tells, row, "False") for row in range(2)], autoreset_mode=mode)
    try:
        with pytest.raises(EvaluationError, match=r"info\['success'\] is the text 'False' in row 1"):
            steps(GymnasiumEnv(vec), 1)
    finally:
        vec.close()


@pytest.mark.parametrize("metadata", [{}, {"render_fps": 30}, "none"])
def test_a_mode_that_is_not_declared_is_refused(metadata: Any) -> None:
    with pytest.raises(EvaluationError) as raised:
        GymnasiumEnv(Vec(metadata))
    assert str(raised.value).startswith("the vector environment Vec does not declare its autoreset mode, ")
    assert "set metadata['autoreset_mode'] to one of AutoresetMode.NEXT_STEP, " in str(raised.value)


@pytest.mark.parametrize("mode", [None, "sometimes", 3, "NEXT_STEP"])
def test_a_mode_that_nobody_knows_is_refused(mode: Any) -> None:
    with pytest.raises(EvaluationError, match=f"Vec declares the autoreset mode {mode!r}: set metadata"):
        GymnasiumEnv(Vec({"autoreset_mode": mode}))


def test_a_mode_may_be_declared_by_its_value() -> None:
    assert GymnasiumEnv(Vec({"autoreset_mode": "SameStep"})).capabilities.autoreset == "same_step"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            {"count": 4},
            "step() returned a tuple of 4, expected a tuple of 5: observation, reward, terminated",
        ),
        (
            {"reset": np.zeros((2, 3))},
            "reset() returned an array of shape (2, 3) and type float64, expected a t",
        ),
        ({"reset": (np.zeros((2, 3)), None)}, "reset() gave None as its info, expected a dict"),
        ({"given": {4: []}}, "step() gave a list of 0 as its info, expected a dict"),
        ({"given": {1: None}}, "step() gave as reward None, expected 2 numbers"),
        (
            {"given": {1: np.ones((2, 2))}},
            "step() gave as reward a value of shape (2, 2), expected 2 numbers",
        ),
        ({"given": {1: ["1", "2"]}}, "step() gave as reward values of type <U1, expected 2 numbers"),
        ({"given": {1: [10**400, 0]}}, "step() gave as reward values of type object, expected 2 numbers"),
        ({"given": {1: [[1], [2, 3]]}}, "step() gave as reward a list of 2, expected 2 numbers"),
        (
            {"given": {2: [None, True]}},
            "step() gave as terminated values of type object, expected 2 booleans",
        ),
        ({"given": {3: [0, 2]}}, "step() gave as truncated integers other than 0 and 1, expected 2 booleans"),
        (
            {"given": {3: np.zeros(3, bool)}},
            "step() gave as truncated a value of shape (3,), expected 2 bool",
        ),
    ],
    ids=str,
)
def test_a_vector_environments_answers_are_checked(told: Any, words: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        steps(GymnasiumEnv(Vec(**told)), 2)
    assert str(raised.value).startswith(f"the vector environment's {words}")


def test_columns_and_whole_numbers_are_read() -> None:
    given = {1: np.array([[1], [2]]), 2: np.array([[1], [0]]), 3: [False, False]}
    last = steps(GymnasiumEnv(Vec({"autoreset_mode": NEXT}, given=given)), 1)[0]
    assert last.reward.tolist() == [1.0, 2.0]
    assert last.terminated.tolist() == [True, False]


def test_a_dict_under_success_is_refused_with_its_keys() -> None:
    told = {"info": {"success": {"task": BOTH, "_task": BOTH}}}
    with pytest.raises(
        EvaluationError, match=r"info\['success'\] is a dict with the keys task, _task, expected"
    ):
        steps(GymnasiumEnv(Vec({"autoreset_mode": NEXT}, **told)), 2)


@MODES
def test_a_misspelt_key_is_an_error_at_the_first_end(mode: Any) -> None:
    vec = SyncVectorEnv([ScriptedEnv] * 2, autoreset_mode=mode)
    with pytest.raises(
        EvaluationError, match=r"never had 'sucess' \(did you mean 'success'\?\); it had success"
    ):
        steps(GymnasiumEnv(vec, Success(info_key="sucess")), 9)


def test_a_key_that_one_row_has_is_not_misspelt() -> None:
    class Tells(Goal):
        def step(self, action: Any) -> Any:
            return (*super().step(action)[:4], {"held": self.solved} if self.solved else {})

    env = GymnasiumEnv(SyncVectorEnv([Tells, Goal], autoreset_mode=MANUAL), Success(info_key="held"))
    assert [step.success.tolist() for step in steps(env, 2)] == [[-1, -1], [1, -1]]


def test_rows_may_tell_under_different_keys() -> None:
    class Other(Goal):
        def step(self, action: Any) -> Any:
            return (*super().step(action)[:4], {"is_success": self.solved})

    class Plain(Goal):
        def step(self, action: Any) -> Any:
            return (*super().step(action)[:4], {"success": False})

    env = GymnasiumEnv(SyncVectorEnv([Plain, Other], autoreset_mode=MANUAL))
    assert steps(env, 2)[1].success.tolist() == [0, 1]


def test_success_of_the_counting_environment_is_exact_in_every_mode() -> None:
    for mode in (SAME, NEXT, MANUAL):
        env = GymnasiumEnv(CountingVectorEnv([[2], [3]], [[True], [False]], mode))
        assert ended(steps(env, 3))[:2] == [1, 0]
