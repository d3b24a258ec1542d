"""Observations of every kind of space, in every mode: the row's own, as the environment gave them, for ever."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from pytest_arena import EvaluationError, JobFileError
from pytest_arena.rollout.initial_state import initial_states
from pytest_arena.simulators.arrays import leaves
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv, GymnasiumSimulator
from pytest_arena.simulators.gymnasium.vector import shares_memory
from pytest_arena.simulators.registry import validate_simulation
from pytest_arena.testing import same
from tests.jobs import make_job

pytestmark = pytest.mark.process


class Own(spaces.Space[Any]):
    """A space that gymnasium does not know: its values are plain dicts."""

    def __init__(self) -> None:
        super().__init__()

    def contains(self, x: Any) -> bool:
        return isinstance(x, dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own)

    __hash__ = None  # type: ignore[assignment]


BOX = spaces.Box(-1e6, 1e6, (2,), np.float64)
SPACES: dict[str, spaces.Space[Any]] = {
    "box": BOX,
    "half": spaces.Box(-1e3, 1e3, (2,), np.float16),
    "image": spaces.Box(0, 255, (4, 4, 3), np.uint8),
    "discrete": spaces.Discrete(10**6, start=-3),
    "multi_discrete": spaces.MultiDiscrete([10**6, 10**6], start=[5, 1]),
    "multi_binary": spaces.MultiBinary(40),
    "text": spaces.Text(40),
    "tuple": spaces.Tuple([BOX, spaces.Text(40), spaces.Discrete(10**6)]),
    "sequence": spaces.Sequence(BOX),
    "stacked": spaces.Sequence(BOX, stack=True),
    "graph": spaces.Graph(BOX, spaces.Box(0, 1, (1,))),
    "one_of": spaces.OneOf([BOX, spaces.Discrete(10**6)]),
    "own": Own(),
    "empty": spaces.Dict({"state": BOX, "nothing": spaces.Dict()}),
    "dict": spaces.Dict(
        {
            "a/b": BOX,
            "a": spaces.Dict({"b": BOX, ".": spaces.Text(40)}),
            "a.b": spaces.Tuple([spaces.Text(9)]),
        }
    ),
    "odd keys": spaces.Dict({1: BOX, "1": BOX, (2, "x"): spaces.Text(40)}, sort_keys=False),  # type: ignore[dict-item]
}


def value(space: Any, x: int) -> Any:
    """The value of *space* that belongs to the number *x*; another number, another value."""
    if isinstance(space, spaces.Dict):
        return {key: value(part, x) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(value(part, x) for part in space.spaces)
    if isinstance(space, spaces.Box):
        return np.full(space.shape, x % 251 if np.dtype(space.dtype).itemsize < 4 else x, space.dtype)
    if isinstance(space, spaces.Discrete):
        return np.int64(x)
    if isinstance(space, spaces.MultiDiscrete):
        return np.array([x + 5, x + 1])
    if isinstance(space, spaces.MultiBinary):
        return np.array([x >> bit & 1 for bit in range(40)], np.int8)
    if isinstance(space, spaces.Text):
        return f"n{x}"
    if isinstance(space, spaces.Sequence):
        parts = [np.full(2, x, np.float64)] * (1 + x % 3)
        return np.stack(parts) if space.stack else tuple(parts)
    if isinstance(space, spaces.Graph):
        links = np.zeros((1, 2), np.int64)
        return spaces.GraphInstance(
            np.full((1 + x % 3, 2), x, np.float64), np.ones((1, 1), np.float32), links
        )
    if isinstance(space, spaces.OneOf):
        return (np.int64(1), np.int64(x)) if x % 2 else (np.int64(0), np.full(2, x, np.float64))
    return {"number": x, "list": [x]}


def overwrite(held: Any, new: Any) -> Any:
    """Write *new* into what *held* holds, where that can be done: buffers that are used again."""
    if isinstance(held, np.ndarray) and held.shape == np.shape(new):
        held[...] = new
        return held
    if isinstance(held, dict):
        for key in held:
            held[key] = overwrite(held[key], new[key])
        return held
    return new


class Kind(gymnasium.Env[Any, Any]):
    """Its observation tells the seed and the step, in the same buffers all the time; ends after 2 or 3 steps."""

    action_space = spaces.Discrete(2)

    def __init__(self, kind: str, render_mode: Any = None) -> None:
        self.observation_space = copy.deepcopy(SPACES[kind])
        self.held: Any = None
        self.resets = 0

    def see(self) -> Any:
        self.held = overwrite(self.held, value(self.observation_space, 100 * self.x + self.t))
        return self.held

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        assert options is None, "the first reset and later ones are alike"
        super().reset(seed=seed)
        self.resets += 1
        self.x = seed if seed is not None else 50 + self.resets
        self.t = 0
        return self.see(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.see(), float(100 * self.x + self.t), False, self.t == 2 + self.x % 2, {"success": True}


gymnasium.register("arena/Kind-v0", Kind, disable_env_checker=True)
MODES = [(v, a) for v in ("sync", "async") for a in ("manual", "next_step", "same_step")]


def make(kind: str, vectorization: str, autoreset: str, **make: Any) -> GymnasiumEnv:
    options = {"vectorization": vectorization, "autoreset": autoreset, "make": {"kind": kind, **make}}
    environment = {"id": "arena/Kind-v0", "num_envs": 3, "options": options}
    made = GymnasiumSimulator().make(make_job(environment=environment))
    assert isinstance(made, GymnasiumEnv)
    return made


def row(observation: Any, space: Any, i: int) -> Any:
    """One row of a batch, by what gymnasium says a batch is."""
    if isinstance(space, spaces.Dict):
        return {key: row(observation[key], part, i) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(row(batch, part, i) for batch, part in zip(observation, space.spaces, strict=True))
    return observation[i]


def is_of(observation: Any, space: Any, numbers: Any) -> bool:
    return all(same(row(observation, space, i), value(space, int(x))) for i, x in enumerate(numbers))


@pytest.mark.parametrize(("vectorization", "autoreset"), MODES, ids=lambda word: word)
@pytest.mark.parametrize("kind", SPACES)
def test_every_row_sees_what_it_was_given_and_keeps_it(kind: str, vectorization: str, autoreset: str) -> None:
    env, space = make(kind, vectorization, autoreset), SPACES[kind]
    try:
        kept: list[tuple[Any, Any]] = []
        first = env.reset(None, [1, 2, 3]).observation
        assert is_of(first, space, [100, 200, 300])
        kept.append((first, copy.deepcopy(first)))
        seen = 0
        for _ in range(7):
            step = env.step(np.zeros(3, np.int64))
            kept.append((step.observation, copy.deepcopy(step.observation)))
            ended = np.array([end.env_idx for end in step.ends], np.int64)
            reached = step.terminal_observation
            if reached is not None:
                kept.append((reached, copy.deepcopy(reached)))
                for i in ended:
                    assert same(row(reached, space, i), value(space, int(step.reward[i]))), (
                        "the last of its own"
                    )
                seen += len(ended)
            ongoing = [i for i in range(3) if step.valid[i] and not (autoreset == "same_step" and i in ended)]
            for i in ongoing:
                assert same(row(step.observation, space, i), value(space, int(step.reward[i])))
            if autoreset == "manual" and len(ended):
                again = env.reset(ended, [7 + int(i) for i in ended]).observation
                kept.append((again, copy.deepcopy(again)))
                assert all(same(row(again, space, i), value(space, 100 * (7 + int(i)))) for i in ended)
        assert seen >= 5
        assert all(same(given, copied) for given, copied in kept)
    finally:
        env.close()


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("kind", SPACES)
def test_a_rows_hash_is_that_of_its_own_state(kind: str, vectorization: str) -> None:
    env, space = make(kind, vectorization, "manual"), SPACES[kind]
    try:
        rows = np.arange(3)
        first = initial_states(env.reset(None, [1, 2, 1]).observation, rows, space)
        assert first[0] == first[2] != first[1]
        assert None not in first
        alone = initial_states(env.reset(np.array([1]), [1]).observation, np.array([1]), space)
        assert alone == first[:1]
    finally:
        env.close()


@pytest.mark.parametrize("kind", SPACES)
def test_memory_is_shared_only_where_it_holds_what_was_written(kind: str) -> None:
    env = make(kind, "async", "next_step")
    shared = kind in ("box", "half", "image", "discrete", "multi_discrete", "multi_binary", "empty")
    assert shares_memory(SPACES[kind]) == shared
    assert env.unwrapped.unwrapped.shared_memory == shared
    env.reset(None, [1, 2, 3])
    assert env.spent == (not shared), "such processes would repeat an automatic reset"
    env.close()


def test_memory_that_would_hold_old_texts_is_refused_where_it_was_asked_for() -> None:
    with pytest.raises(EvaluationError, match="shared_memory cannot hold observations of Text"):
        make("text", "async", "manual", vector_kwargs={"shared_memory": True})
    env = make("box", "async", "manual", vector_kwargs={"shared_memory": False, "copy": False})
    assert not env.unwrapped.unwrapped.shared_memory
    env.close()


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_arguments_of_the_vector_environment_reach_it(vectorization: str) -> None:
    env = make("dict", vectorization, "same_step", vector_kwargs={"copy": False})
    assert env.unwrapped.unwrapped.copy is False
    given = env.reset(None, [1, 2, 3]).observation
    before = copy.deepcopy(given)
    env.step(np.zeros(3, np.int64))
    assert same(given, before), "what the policy has is its own in any case"
    env.close()


VECTOR = r"environment\.options\.make\.vector_kwargs\."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"make": {"vector_kwargs": {"nonsense": 1}}},
            VECTOR + "nonsense: SyncVectorEnv has no such argument",
        ),
        ({"make": {"vector_kwargs": {"copi": False}}}, VECTOR + "copi: .*did you mean 'copy'"),
        (
            {"make": {"vector_kwargs": {"context": "spawn"}}},
            VECTOR + "context: SyncVectorEnv has no such arg",
        ),
        (
            {"make": {"vector_kwargs": {"env_fns": []}}},
            VECTOR + "env_fns: SyncVectorEnv has no such argument",
        ),
        (
            {"vectorization": "async", "make": {"vector_kwargs": {"contxt": "spawn"}}},
            VECTOR + r"contxt: AsyncVectorEnv has no such argument \(did you mean 'context'\?\)",
        ),
    ],
    ids=str,
)
def test_arguments_that_gymnasium_does_not_have_are_refused(options: dict[str, Any], words: str) -> None:
    """Which it has depends on its version, so that no message is the same everywhere."""
    with pytest.raises(JobFileError, match=words):
        validate_simulation(make_job(environment={"id": "CartPole-v1", "options": options}))


def test_leaves_are_told_apart_by_their_space() -> None:
    space = spaces.Dict({"x": spaces.Tuple([BOX, spaces.Text(9)]), "y": spaces.Text(9)})
    batch = {"y": ("a", "b"), "x": (np.zeros((2, 2)), ("c", "d"))}
    assert [value for _, value in leaves(batch, space)][1:] == [("c", "d"), ("a", "b")]
