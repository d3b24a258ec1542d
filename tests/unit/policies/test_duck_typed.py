"""An object with nothing but ``act``, from a job file or from a fixture; what cannot be called is one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_arena import JobFileError, Policy
from pytest_arena.policies.duck_typed import CustomPolicy, policy_name
from pytest_arena.policies.isaaclab_arena import ArenaPolicy
from pytest_arena.policies.registry import as_policy, validate_policy
from tests.fakes import LongFailures
from tests.jobs import make_job

ENV = LongFailures(num_envs=2, rate=1.0)
ROWS, SEEDS = np.array([0]), [5]


class Plain:
    def act(self, observation: Any) -> Any:
        return observation


class Arena(Plain):
    act = None  # type: ignore[assignment]

    def get_action(self, env: Any, observation: Any) -> Any:
        return env, observation


class Own(Policy):
    def act(self, observation: Any) -> Any:
        return observation


def test_what_a_fixture_gives_becomes_a_policy() -> None:
    own = Own()
    assert as_policy(own, ENV) is own
    plain = as_policy(Plain(), ENV)
    plain.begin(ENV)
    plain.set_episodes(ROWS, [0])
    plain.reset(ROWS, SEEDS)
    plain.set_task_description("reach")
    assert plain.act(3) == 3
    assert plain.identity["class"] == policy_name(plain) == f"{__name__}:Plain"
    assert plain.review([]) == []
    plain.close()
    arena = as_policy(Arena(), ENV)
    assert isinstance(arena, ArenaPolicy)
    assert arena.act(3) == (ENV, 3)


def nothing(self: Any) -> Any:
    return "nothing"


def rows(self: Any, env_ids: Any) -> Any:
    return env_ids


def seeds(self: Any, seeds: Any = None) -> Any:
    return seeds


def both(self: Any, seeds: Any, env_ids: Any = None) -> Any:
    return env_ids, seeds


def placed(self: Any, env_ids: Any, seeds: Any, /) -> Any:
    return env_ids, seeds


def named(self: Any, *, seeds: Any, env_ids: Any) -> Any:
    return env_ids, seeds


def anything(self: Any, *args: Any) -> Any:
    return args


def any_names(self: Any, **kwargs: Any) -> Any:
    return kwargs["env_ids"], kwargs["seeds"]


def more(self: Any, env_ids: Any, hard: bool = False) -> Any:
    return env_ids


@pytest.mark.parametrize(
    ("reset", "told"),
    [
        (nothing, "nothing"),
        (rows, ROWS),
        (seeds, SEEDS),
        (both, (ROWS, SEEDS)),
        (placed, (ROWS, SEEDS)),
        (named, (ROWS, SEEDS)),
        (anything, (ROWS, SEEDS)),
        (any_names, (ROWS, SEEDS)),
        (more, ROWS),
        (staticmethod(lambda env_ids: env_ids), ROWS),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_resets_of_any_signature(reset: Any, told: Any) -> None:
    seen = []

    class Resets(Plain):
        pass

    Resets.reset = reset  # type: ignore[attr-defined]
    policy = CustomPolicy(Resets())
    original = policy._reset
    assert original is not None
    policy._reset = lambda *args, **kwargs: seen.append(original(*args, **kwargs))
    policy.reset(ROWS, SEEDS)
    assert seen == [told]


def test_the_first_reset_of_a_rollout_names_all_rows() -> None:
    """`act` gets the observations of all rows: a policy may keep something of each, also of idle ones."""
    told: list[Any] = []

    class Remembers(Plain):
        def reset(self, env_ids: Any, seeds: Any) -> None:
            told.append((env_ids.tolist(), seeds))

    policy = CustomPolicy(Remembers())
    for _ in range(2):
        policy.begin(ENV)
        policy.reset(np.array([1]), [5])
        policy.reset(np.array([1]), [6])
    assert told == [([1, 0], [5, 0]), ([1], [6])] * 2
    policy.begin(ENV)
    policy.reset(np.array([0, 1]), [7, 8])
    assert told[-1] == ([0, 1], [7, 8])


class WantsSeed(Plain):
    def reset(self, seed: Any) -> None: ...


def test_methods_of_a_named_class_are_looked_at_before_anything_runs() -> None:
    with pytest.raises(JobFileError, match=r"its argument 'seed' is neither \(did you mean 'seeds'\?\)"):
        validate_policy(make_job(policy={"type": f"{__name__}:WantsSeed"}), may_import=True)


def test_what_is_no_method_is_not_called() -> None:
    policy = as_policy(
        type("Odd", (Plain,), {"reset": None, "close": None, "set_task_description": 3})(), ENV
    )
    policy.reset(ROWS, SEEDS)
    policy.set_task_description("reach")
    policy.close()


def test_an_identity_is_a_dict() -> None:
    assert as_policy(type("Named", (Plain,), {"identity": {"sha": "x"}})(), ENV).identity["sha"] == "x"
