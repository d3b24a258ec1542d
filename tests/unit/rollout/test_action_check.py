"""What a policy gives is checked before the environment sees it, in numpy and in torch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from pytest_arena import EvaluationError
from pytest_arena.rollout.action_check import ActionCheck, outside_notes

ALL = np.ones(3, np.bool_)
FIRST_TWO = np.array([True, True, False])
BOX = spaces.Box(-1, 1, (2,), np.float32)
TEAM = spaces.Dict({"arm": BOX, "grip": spaces.Discrete(2)})
PAIR = spaces.Tuple([BOX, spaces.Discrete(2)])
GOOD = np.zeros((3, 2), np.float32)


def check(space: Any, *, clips: bool = False, columns: bool = False) -> ActionCheck:
    env: Any = SimpleNamespace(
        single_action_space=space, num_envs=3, clips_actions=clips, discrete_columns=columns
    )
    return ActionCheck(env, "mine:Policy")


def told(space: Any, actions: Any, active: Any = ALL, **more: Any) -> str:
    with pytest.raises(EvaluationError) as raised:
        check(space, **more)(actions, active)
    return str(raised.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "space", [BOX, spaces.Box(-np.inf, np.inf, (2,), np.float64)], ids=["bounds", "none"]
)
def test_what_is_not_finite_is_refused_in_rows_that_count(space: Any, bad: float) -> None:
    actions = GOOD.copy()
    actions[2, 1] = bad
    assert told(space, actions) == "policy mine:Policy: the actions of row 2 are not finite"
    assert told(space, np.full((3, 2), bad)).endswith("the actions of rows 0, 1, 2 are not finite")
    given = check(space)(actions, FIRST_TWO)
    assert np.isfinite(given).all(), "an environment that steps the row along may not stand it"
    assert np.isnan(actions[2, 1]) or np.isinf(actions[2, 1]), "what the policy gave is its own"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("width", [2, 12], ids=["few numbers", "many numbers"])
def test_what_is_not_finite_is_found_wherever_it_stands(width: int, bad: float) -> None:
    space = spaces.Box(-np.inf, np.inf, (width,), np.float32)
    for row, column in np.ndindex(3, width):
        actions = np.zeros((3, width), np.float32)
        actions[row, column] = bad
        assert told(space, actions) == f"policy mine:Policy: the actions of row {row} are not finite"


@pytest.mark.parametrize(
    "given",
    [GOOD, GOOD.astype(np.float64), GOOD.astype(np.float16), GOOD.astype(np.int64), -GOOD, GOOD + 1],
    ids=["float32", "float64", "float16", "int64", "-0.0", "on the bound"],
)
def test_what_a_box_takes(given: Any) -> None:
    taken = check(BOX)
    actions = taken(given, ALL)
    assert actions.dtype.kind == "f"
    assert np.array_equal(actions, given)
    assert (taken.actions, taken.outside) == (3, 0)


def test_actions_outside_a_box_are_counted_and_noted() -> None:
    taken, clipping = check(BOX), check(BOX, clips=True)
    for actions in (GOOD, GOOD + 1.5, np.array([[0, 2], [0, 0], [-3, 0]], np.float64)):
        for one in (taken, clipping):
            assert np.array_equal(one(actions, FIRST_TWO), actions)
    assert (taken.actions, taken.outside) == (6, 3)
    (note,) = outside_notes([taken, check(BOX)])
    assert note.startswith("3 of 6 actions were outside the action space Box(-1.0, 1.0, (2,), float32): ")
    assert outside_notes([clipping, check(BOX)]) == []


def test_bounds_are_those_of_each_entry() -> None:
    space = spaces.Box(np.array([0, -9], np.float32), np.array([1, 9], np.float32))
    taken = check(space)
    taken(np.array([[0.5, 8], [1, -9], [0, 0]], np.float32), ALL)
    assert taken.outside == 0
    taken(np.array([[-1, 8], [8, -9], [0, 0]], np.float32), ALL)
    assert taken.outside == 2


@pytest.mark.parametrize(
    ("space", "good", "bad", "words"),
    [
        (spaces.Discrete(3), [0, 1, 2], [0, 3, 1], "of row 1 are not in Discrete(3): row 1 has 3"),
        (spaces.Discrete(3, start=5), [5, 6, 7], [5, 4, 7], "of row 1 are not in Discrete(3, start=5)"),
        (spaces.Discrete(3), [0, 1, 2], [-1, 3, 2], "of rows 0, 1 are not in"),
        (
            spaces.MultiDiscrete([2, 3]),
            [[0, 2], [1, 0], [1, 2]],
            [[0, 2], [2, 0], [1, 2]],
            "of row 1 are not in MultiDiscrete([2 3]): row 1 has [2, 0]",
        ),
        (
            spaces.MultiDiscrete([2, 3], start=[5, 7]),
            [[5, 7], [6, 9], [5, 8]],
            [[5, 7], [6, 9], [0, 0]],
            "of row 2 are not in",
        ),
        (spaces.MultiBinary(2), [[0, 1], [1, 1], [0, 0]], [[0, 1], [2, 1], [0, 0]], "of row 1 are not in"),
        (
            spaces.Box(0, 9, (2,), np.uint8),
            [[0, 9], [1, 1], [0, 0]],
            [[0, 10], [1, 1], [0, 0]],
            "of row 0 are not in Box",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_integers_must_be_in_their_space(library: str, space: Any, good: Any, bad: Any, words: str) -> None:
    made: Any = np.array if library == "numpy" else pytest.importorskip("torch").tensor
    assert np.array_equal(np.asarray(check(space)(made(good), ALL)), good)
    assert words in told(space, made(bad))
    assert "of integers of shape" in told(space, made(good) * 1.0)
    assert "got shape" in told(space, made([good]))
    parked = ~np.asarray([not np.array_equal(g, b) for g, b in zip(good, bad, strict=True)])
    given = np.asarray(check(space)(made(bad), parked))
    assert all(space.contains(np.asarray(row, space.dtype)) for row in given)


def test_booleans_are_for_a_binary_space_alone() -> None:
    assert check(spaces.MultiBinary(2))(GOOD.astype(bool), ALL).dtype == np.bool_
    assert "got values of type bool" in told(spaces.Discrete(2), np.zeros(3, np.bool_))


def test_a_column_for_a_discrete_space_where_the_environment_has_them() -> None:
    column = np.zeros((3, 1), np.int64)
    assert "got shape (3, 1)" in told(spaces.Discrete(3), column)
    assert check(spaces.Discrete(3), columns=True)(column, ALL).shape == (3, 1)
    assert check(spaces.Discrete(3), columns=True)(column[:, 0], ALL).shape == (3,)
    assert "are not in" in told(spaces.Discrete(3), column + 3, columns=True)
    assert "got shape (3,)" in told(BOX, GOOD[:, 0], columns=True)


def test_entries_that_are_right_are_passed_on() -> None:
    taken = check(TEAM)
    given = taken({"grip": np.ones(3, np.int64), "arm": GOOD + 3}, ALL)
    assert list(given) == ["arm", "grip"]
    assert (taken.outside, taken.actions) == (3, 3)
    assert check(PAIR)((GOOD, np.ones(3, np.int64)), ALL)[1].tolist() == [1, 1, 1]
    assert "expected a tuple of 2 actions, got an array" in told(PAIR, GOOD)
    assert "actions [1] as an array or tensor of integers" in told(PAIR, (GOOD, GOOD))


def test_a_row_is_outside_once_however_many_of_its_entries_are() -> None:
    taken = check(spaces.Dict({"left": BOX, "right": BOX, "grip": spaces.Discrete(2)}))
    grip = np.zeros(3, np.int64)
    left, right = GOOD.copy(), GOOD + 5
    left[0] = 5
    taken({"left": left, "right": right, "grip": grip}, FIRST_TWO)
    taken({"left": left, "right": GOOD, "grip": grip}, ALL)
    assert (taken.outside, taken.actions) == (3, 5)


def test_any_other_space_is_the_environments_own_business() -> None:
    space = spaces.Text(5)
    assert check(space)(["a", "b", "c"], ALL) == ["a", "b", "c"]
    assert told(space, None) == "policy mine:Policy: expected actions, got None"


def test_tensors_are_checked_where_they_are() -> None:
    torch = pytest.importorskip("torch")
    good = torch.zeros(3, 2)
    learning = torch.nn.Parameter(good.clone())
    assert not check(BOX)(learning, ALL).requires_grad
    assert check(BOX)(good.bfloat16(), ALL).dtype == torch.float32
    assert check(BOX)(good.long(), ALL).dtype == torch.float32
    assert check(BOX)(good.double(), ALL).dtype == torch.float64
    assert "got shape (3, 3)" in told(BOX, torch.zeros(3, 3))
    assert "got values of type torch.complex64" in told(BOX, good.to(torch.complex64))
    assert "got values of type torch.bool" in told(BOX, good.bool())
    assert "floats of shape (3, 2), got a sparse tensor" in told(BOX, good.to_sparse())
    bad = good.clone()
    bad[1, 0], bad[2, 0] = float("nan"), 5
    assert "of row 1 are not finite" in told(BOX, bad)
    assert torch.isfinite(check(BOX)(bad, np.array([True, False, True]))).all()
    taken = check(BOX)
    for _ in range(2):
        assert taken(torch.nan_to_num(bad), ALL)[2, 0] == 5
    assert (taken.actions, taken.outside) == (6, 2)


def test_arrays_of_another_library_become_numpys() -> None:
    class Other:
        dtype, shape = np.dtype(np.float32), (3, 2)

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return GOOD

    assert isinstance(check(BOX)(Other(), ALL), np.ndarray)
    assert type(check(BOX)(np.asmatrix(GOOD), ALL)) is np.ndarray


def test_errors_of_rows_are_plain_numbers_and_texts() -> None:
    assert check(BOX).row_errors({np.int64(2): ValueError("broke")}) == {2: "broke"}


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ([0], "expected a dict of row to text, got a list of 1"),
        ({3: "x"}, "expected rows from 0 to 2, got 3"),
        ({-1: "the last row's episode would end"}, "expected rows from 0 to 2, got -1"),
        ({"0": "x"}, "expected rows from 0 to 2, got '0'"),
    ],
)
def test_errors_of_rows_that_there_are_not(errors: Any, words: str) -> None:
    with pytest.raises(EvaluationError, match=f"^policy mine:Policy: row_errors: {words}$"):
        check(BOX).row_errors(errors)
