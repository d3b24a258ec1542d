"""Hashes of what an episode begins with."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from pytest_arena.rollout.initial_state import initial_states, leaves_out_images

STATE = np.arange(12, dtype=np.float64).reshape(4, 3)
IMAGE = np.zeros((4, 8, 8, 3), np.uint8)


def states(observation: Any, rows: tuple[int, ...] = (0, 1, 2, 3), space: Any = None) -> list[str | None]:
    return initial_states(observation, np.array(rows, np.int64), space)


def test_a_row_is_hashed_by_itself() -> None:
    every = states(STATE)
    assert len(set(every)) == 4
    assert all(state is not None and len(state) == 16 for state in every)
    assert states(STATE, (3, 1)) == [every[3], every[1]]
    assert states(STATE[::-1].copy(), (0,)) == [every[3]]


def test_the_hash_is_the_same_in_every_process() -> None:
    content = b" <f8 (2,)" + bytes(16)
    assert states(np.zeros((1, 2)), (0,)) == [blake2b(content, digest_size=8).hexdigest()]


@pytest.mark.parametrize(
    "other",
    [
        STATE.astype(np.float32),
        np.nextafter(STATE, 99.0),
        STATE.reshape(4, 3, 1),
        {"state": STATE},
        (STATE, STATE),
    ],
    ids=["type", "last bit", "shape", "name", "number of entries"],
)
def test_everything_counts(other: Any) -> None:
    assert not set(states(other)) & set(states(STATE))


def test_images_count_only_where_there_is_nothing_else() -> None:
    other = np.ones_like(IMAGE)
    assert states({"state": STATE, "eye": IMAGE}) == states({"eye": other, "state": STATE})
    assert states({"eye": IMAGE}) != states({"eye": other})
    assert states(IMAGE) != states(other)


def test_nested_observations() -> None:
    nested = {"robot": {"arm": STATE, "hand": STATE + 1}, "seen": (STATE, IMAGE)}
    assert len(set(states(nested))) == 4
    changed = {**nested, "seen": (STATE + 1, IMAGE)}
    assert not set(states(changed)) & set(states(nested))


@pytest.mark.parametrize("nothing", [None, {}, (), {"a": {}}, 3.0, np.zeros((4, 0))])
def test_nothing_to_hash(nothing: Any) -> None:
    assert states(nothing) == [None] * 4


def test_the_hashes_of_numbers_are_pinned() -> None:
    """Stored baselines have them: another way to hash would make every episode another one."""
    nested = {"robot": {"arm": STATE, "hand": STATE.astype(np.int32)}, "seen": (STATE, IMAGE)}
    assert states(STATE, (0,)) == ["19e834f609903631"]
    assert states(nested, (0,)) == ["10492abb094d6240"]
    assert states(IMAGE, (0,)) == ["bd496800696df538"]


def test_other_keys_are_other_content() -> None:
    alike: list[Any] = [
        {1: STATE}, {"1": STATE}, {(1,): STATE}, {True: STATE}, {1.0: STATE}, {None: STATE}, {"None": STATE},
        (IMAGE[:, 0, 0, 0], STATE), {"0": IMAGE[:, 0, 0, 0], "1": STATE}, {0: IMAGE[:, 0, 0, 0], 1: STATE},
        {"a/b": STATE}, {"a": {"b": STATE}}, {"a~1b": STATE}, {"a~b": STATE}, {"a~0b": STATE}, {"": STATE},
        {"/": STATE}, {"a.b": STATE}, {"a": STATE}, {"a (x": STATE}, {"a ~2x": STATE},
    ]  # fmt: skip
    hashes = [states(observation)[0] for observation in alike]
    assert len(set(hashes)) == len(alike)
    assert states({1: STATE, "1": STATE + 1}) == states({"1": STATE + 1, 1: STATE}), "whatever the order"
    assert states({1: STATE, "1": STATE + 1}) != states({1: STATE + 1, "1": STATE})


TEXTS = ("lift the cube", "", "lift the cup", "lift the cube")
GRAPHS = tuple(
    spaces.GraphInstance(np.full((n, 2), n, np.float32), np.ones((1, 1)), np.array([[0, n - 1]]))
    for n in (1, 2, 3, 1)
)
SEQUENCES = ((np.zeros(2), np.ones(2)), (), (np.ones(2), np.zeros(2)), (np.zeros(2), np.ones(2)))
CHOICES = ((0, np.int64(1)), (1, np.int64(1)), (1, np.zeros(1)), (0, np.int64(1)))
TEXT, OWN = spaces.Text(20), type("Own", (spaces.Space,), {})()
GRAPH = spaces.Graph(spaces.Box(0, 9, (2,)), spaces.Box(0, 9, (1,)))
SEQUENCE = spaces.Sequence(spaces.Box(0, 9, (2,)))
CHOICE = spaces.OneOf([spaces.Discrete(3), spaces.Box(0, 1, (1,))])


@pytest.mark.parametrize(
    ("values", "space"),
    [
        (TEXTS, TEXT),
        (list(TEXTS), TEXT),
        (np.array(TEXTS), TEXT),
        (np.array(TEXTS, object), None),
        (GRAPHS, GRAPH),
        (SEQUENCES, SEQUENCE),
        (CHOICES, CHOICE),
        (({"a": 1}, {"b": 1}, {"a": 2}, {"a": 1}), OWN),
        ((b"x", bytearray(b"y"), "x", b"x"), OWN),
        ((1, 1.0, True, 1), OWN),
        ((None, "None", {}, None), OWN),
        (({1, 2}, {1}, frozenset(), {2, 1}), OWN),
        ((np.array(["a", None], object), np.array(["a"]), "a", np.array(["a", None], object)), OWN),
        (np.array(["2001-01-01", "2002-01-01", "2003-01-01", "2001-01-01"], "M8[D]"), None),
    ],
    ids=lambda value: str(value)[:30],
)
def test_values_of_any_kind_are_hashed_row_by_row(values: Any, space: Any) -> None:
    found = states(values, space=space)
    assert found[0] == found[3]
    assert len(set(found)) == 3
    assert None not in found
    assert states(values, (2, 0), space) == [found[2], found[0]]
    nested = (
        spaces.Dict({"state": spaces.Box(-9, 99, (3,)), "more": spaces.Tuple([space])}) if space else None
    )
    with_state = states({"state": np.zeros((4, 3)), "more": (values,)}, space=nested)
    assert with_state[0] == with_state[3]
    assert len(set(with_state)) == 3


def test_a_text_is_the_same_whatever_the_other_rows_say() -> None:
    short, long = np.array(["a", "b"]), np.array(["a", "a long text"])
    assert states(short, (0,)) == states(long, (0,)) == states(("a", "c"), (0,), TEXT)


def test_what_cannot_be_hashed_leaves_its_row_without_a_hash() -> None:
    """A hash that leaves something out would call different states equal."""
    cycle: list[Any] = []
    cycle.append(cycle)
    values = (object(), "text", lambda: 0, cycle)
    found = states({"state": STATE, "more": values}, space=spaces.Dict({"more": OWN}))
    assert [state is None for state in found] == [True, False, True, True]
    assert states({"state": STATE, "more": ("one",)}, (0, 1), spaces.Dict({"more": OWN}))[1] is None


def test_a_text_does_not_stand_for_the_images_beside_it() -> None:
    instructed = {"eye": IMAGE, "task": ("lift",) * 4}
    space = spaces.Dict({"task": TEXT})
    assert states(instructed, space=space) != states({**instructed, "eye": IMAGE + 1}, space=space)


def test_a_tensor_is_hashed_as_an_array() -> None:
    torch = pytest.importorskip("torch")
    assert states({"state": torch.from_numpy(STATE.copy())}) == states({"state": STATE})
    half = torch.from_numpy(STATE.copy()).to(torch.bfloat16)
    assert states(half) == states(STATE.astype(np.float32))


@pytest.mark.parametrize(
    ("parts", "left_out"),
    [
        ({"state": spaces.Box(-1, 1, (3,))}, False),
        ({"pixels": spaces.Box(0, 255, (8, 8, 3), np.uint8)}, False),
        ({"state": spaces.Box(-1, 1, (3,)), "pixels": spaces.Box(0, 255, (8, 8, 3), np.uint8)}, True),
        ({"state": spaces.Box(-1, 1, (3,)), "depth": spaces.Box(0, 9, (8, 8, 1))}, False),
        ({"state": spaces.Discrete(3), "text": spaces.Text(5)}, False),
    ],
)
def test_which_images_no_hash_tells_apart(parts: dict[str, Any], left_out: bool) -> None:
    space = spaces.Dict(parts)
    assert leaves_out_images(space) is left_out
    batch = {key: np.stack([part.sample()] * 2) for key, part in parts.items() if key != "text"}
    if "pixels" in batch:
        batch["pixels"][1] = 255 - batch["pixels"][1]
        first, second = states(batch, (0, 1))
        assert (first == second) is left_out
