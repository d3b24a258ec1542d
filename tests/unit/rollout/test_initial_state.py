"""Hashes of what an episode begins with."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import pytest

from pytest_arena.rollout.initial_state import initial_states

STATE = np.arange(12, dtype=np.float64).reshape(4, 3)
IMAGE = np.zeros((4, 8, 8, 3), np.uint8)


def states(observation: Any, rows: tuple[int, ...] = (0, 1, 2, 3)) -> list[str | None]:
    return initial_states(observation, np.array(rows, np.int64))


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


@pytest.mark.parametrize("nothing", [None, {}, {"text": np.array(["a", "b", "c", "d"], object)}, 3.0])
def test_nothing_to_hash(nothing: Any) -> None:
    assert states(nothing) == [None] * 4


def test_what_cannot_be_hashed_is_left_out() -> None:
    text = np.array(["a", "b", "c", "d"], object)
    assert states({"state": STATE, "text": text}) == states({"state": STATE})


def test_a_tensor_is_hashed_as_an_array() -> None:
    torch = pytest.importorskip("torch")
    assert states({"state": torch.from_numpy(STATE.copy())}) == states({"state": STATE})
    half = torch.from_numpy(STATE.copy()).to(torch.bfloat16)
    assert states(half) == states(STATE.astype(np.float32))
