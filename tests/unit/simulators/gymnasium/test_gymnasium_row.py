"""What a row of a vector environment gives is checked before it is mixed with what the others give."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from pytest_arena import EvaluationError
from pytest_arena.simulators.gymnasium.row import CheckedRow, check_row, checked_row
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv, GymnasiumSimulator
from tests.jobs import make_job

BOX = spaces.Box(-9, 9, (2,), np.float32)
GOOD = (np.zeros(2, np.float32), 1.0, False, False, {"success": True})


class Given(gymnasium.Env[Any, Any]):
    """Gives what it is told to give."""

    action_space = BOX

    def __init__(self, step: Any = GOOD, reset: Any = None, space: Any = BOX) -> None:
        self.observation_space = space
        self.given, self.at_reset = step, reset
        self.secret = 7

    def reset(self, **given: Any) -> Any:
        return (GOOD[0], {}) if self.at_reset is None else self.at_reset

    def step(self, action: Any) -> Any:
        return self.given


def changed(place: int, value: Any) -> tuple[Any, ...]:
    given = list(GOOD)
    given[place] = value
    return tuple(given)


def row(**given: Any) -> Any:
    return check_row(Given(**given), ("success", "is_success"), 4)


def test_what_is_right_goes_through() -> None:
    observation, reward, terminated, truncated, info = row().step(None)
    assert observation is GOOD[0]
    assert (reward, terminated, truncated, info) == (1.0, False, False, {"success": 1.0})


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (1, None, "a reward that is None in row 4, expected a number"),
        (1, "1.5", "a reward that is the text '1.5' in row 4, expected a number"),
        (1, 1 + 2j, "a reward that is a complex in row 4, expected a number"),
        (1, np.array([1.0, 2.0]), "a reward that is an array of shape (2,) and type float64 in row 4"),
        (1, 10**400, "a reward that is an integer too large for a float in row 4"),
        (1, [1.0], "a reward that is a list of 1 in row 4"),
        (2, None, "as terminated None in row 4, expected a boolean"),
        (2, "False", "as terminated the text 'False' in row 4, expected a boolean"),
        (2, np.array([True, True]), "as terminated an array of shape (2,) and type bool in row 4"),
        (3, float("nan"), "as truncated nan in row 4, expected a boolean"),
        (3, 2, "as truncated 2 in row 4, expected a boolean"),
        (3, {}, "as truncated an empty dict in row 4"),
        (4, None, "None as its info in row 4, expected a dict"),
        (4, [], "a list of 0 as its info in row 4, expected a dict"),
        (0, np.zeros(3), "an observation of shape (3,), its observation space has (2,) in row 4"),
        (0, None, "None as its observation, expected an array of shape (2,) in row 4"),
        (0, "left", "the text 'left' as its observation, expected an array of shape (2,) in row 4"),
        (
            0,
            np.array(["a", None], object),
            "an observation of type object, its observation space has numbers",
        ),
        (0, [[1], [2, 3]], "a list of 2 as its observation, expected an array"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_wrong_is_named(place: int, value: Any, words: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        row(step=changed(place, value)).step(None)
    assert str(raised.value).startswith(f"the environment's step() gave {words}")


@pytest.mark.parametrize(
    ("place", "value", "read"),
    [
        (1, np.float32(1.5), 1.5),
        (1, np.array([1.5]), 1.5),
        (1, 3, 3.0),
        (1, True, 1.0),
        (1, float("-inf"), float("-inf")),
        (2, np.bool_(True), True),
        (2, np.array([True]), True),
        (2, 1, True),
        (3, 0.0, False),
        (4, {}, {}),
        (4, {"success": None, "is_success": np.array([True])}, {"success": None, "is_success": 1.0}),
        (4, {"dist": "far"}, {"dist": "far"}),
        (0, [1, 2], [1, 2]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_can_be_read_is_read(place: int, value: Any, read: Any) -> None:
    found = row(step=changed(place, value)).step(None)[place]
    if isinstance(found, dict) and found.get("success") is not None:
        assert np.isnan(found.pop("success")), "None is unmeasured"
        read = {key: value for key, value in read.items() if key != "success"}
    assert found == read
    assert type(found) is type(read)


def test_a_reward_that_is_no_number_stays() -> None:
    assert np.isnan(row(step=changed(1, float("nan"))).step(None)[1])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            (GOOD[0], 1.0, False, {}),
            "returned a tuple of 4 in row 4, expected a tuple of 5: observation, rew",
        ),
        (None, "returned None in row 4, expected a tuple of 5"),
        (GOOD[0], "returned an array of shape (2,) and type float32 in row 4, expected a tuple of 5"),
    ],
    ids=["old", "none", "observation"],
)
def test_a_step_is_five_things_and_a_reset_two(given: Any, words: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        row(step=given).step(None)
    assert str(raised.value).startswith(f"the environment's step() {words}")
    with pytest.raises(
        EvaluationError, match=r"reset\(\) returned .* expected a tuple of 2: an observation and"
    ):
        row(reset=GOOD[0]).reset()
    with pytest.raises(EvaluationError, match=r"reset\(\) gave None as its info"):
        row(reset=(GOOD[0], None)).reset()


@pytest.mark.parametrize(
    ("space", "observation", "words"),
    [
        (
            spaces.Dict(a=BOX),
            GOOD[0],
            "an array of shape (2,) and type float32 as its observation, expected a",
        ),
        (spaces.Dict(a=BOX, b=BOX), {"a": GOOD[0]}, "an observation without 'b'"),
        (spaces.Dict(a=BOX), {"a": np.zeros(3)}, "an observation['a'] of shape (3,)"),
        (spaces.Tuple([BOX, BOX]), (GOOD[0],), "a tuple of 1 as its observation, expected a tuple of 2"),
        (spaces.Tuple([BOX, spaces.Discrete(2)]), (GOOD[0], [1]), "an observation[1] of shape (1,)"),
    ],
    ids=str,
)
def test_nested_observations(space: Any, observation: Any, words: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        row(space=space, reset=(observation, {})).reset()
    assert words in str(raised.value)


@pytest.mark.parametrize("space", [spaces.Text(5), spaces.Sequence(BOX)], ids=str)
def test_observations_without_a_shape_are_the_environments_own_business(space: Any) -> None:
    assert row(space=space, reset=("any", {})).reset()[0] == "any"


def test_the_check_is_below_the_wrappers_of_gymnasium_that_unpack_steps() -> None:
    made = OrderEnforcing(TimeLimit(Given(step=(GOOD[0], 1.0, False, {})), 5))
    assert check_row(made, ()) is made
    assert check_row(made, ()) is made, "once is enough"
    assert isinstance(made.env.env, CheckedRow)
    assert not isinstance(made.env.env.env, CheckedRow)
    assert checked_row(made) is made.env.env
    made.reset()
    with pytest.raises(EvaluationError, match="returned a tuple of 4, expected a tuple of 5"):
        made.step(None)


def test_a_row_is_what_it_was_for_who_asks_it() -> None:
    assert row().secret == 7
    assert row().unwrapped.given is GOOD
    with pytest.raises(AttributeError):
        row().nothing  # noqa: B018


@pytest.mark.parametrize(
    "told", [[True, None], [True, 0.9], [1, 0.6], [0.0, None], [True, np.array([True])], [None, True]]
)
def test_rows_of_different_types_do_not_change_each_others_success(told: list[Any]) -> None:
    """gymnasium puts them into one array of the first row's type: there None is False and 0.9 is 0."""
    rows = [lambda value=value: Given(step=changed(4, {"success": value})) for value in told]
    env = GymnasiumEnv(SyncVectorEnv(rows, autoreset_mode=AutoresetMode.DISABLED))
    env.reset(None, [0, 1])
    expected = [-1 if value is None else int(np.ravel(value)[0] > 0.5) for value in told]
    assert env.step(np.zeros((2, 2))).success.tolist() == expected


class Texts(Given):
    def __init__(self) -> None:
        super().__init__(step=changed(4, {"success": "False"}))


@pytest.mark.process
def test_rows_of_other_processes_are_checked_where_a_job_makes_them() -> None:
    gymnasium.register("arena/Texts-v0", entry_point=Texts, disable_env_checker=True)
    try:
        options = {"vectorization": "async"}
        env = GymnasiumSimulator().make(
            make_job(environment={"id": "arena/Texts-v0", "num_envs": 2, "options": options})
        )
        assert isinstance(env.unwrapped.unwrapped, AsyncVectorEnv)
        env.reset(None, [0, 1])
        with pytest.raises(
            EvaluationError, match=r"info\['success'\] is the text 'False', expected a boolean"
        ):
            env.step(np.zeros((2, 2), np.float32))
        env.close()
    finally:
        del gymnasium.registry["arena/Texts-v0"]
