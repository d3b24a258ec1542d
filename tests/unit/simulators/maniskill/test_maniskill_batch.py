"""One environment of ManiSkill with all rows, as on a GPU, on a fake with its habits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

from pytest_arena.simulators.maniskill.env import ManiSkillEnv
from pytest_arena.simulators.maniskill.scenes import Scenes
from pytest_arena.testing import SimEnvContract

torch = pytest.importorskip("torch")

HORIZON = 5
ROWS = 3


class Batch:
    """All rows of ManiSkill: observations are [draw, t] and written in place.

    As there, what a reset draws comes from the first seed alone, in the order of the rows; a list of seeds must have one
    for each row; and all rows are observed anew. Row 0 succeeds in its third step, row 1 fails in its second.
    """

    num_envs, device, control_timestep, control_mode = ROWS, torch.device("cpu"), 0.05, "none"
    single_action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def __init__(self) -> None:
        self.seen, self.seeds, self.actions = torch.zeros(ROWS, 2), [], []
        self.scene = SimpleNamespace(sensors={}, human_render_cameras={})
        self.closed = 0

    @property
    def unwrapped(self) -> Batch:
        return self

    def reset(self, seed: list[int], options: dict[str, Any]) -> Any:
        assert len(seed) == ROWS
        rows = options["env_idx"]
        self.seeds.append((rows.tolist(), seed))
        generator = torch.Generator().manual_seed(seed[0])
        self.seen[rows, 0] = torch.rand(len(rows), generator=generator)
        self.seen[rows, 1] = 0
        return self.seen, self.info()

    def info(self) -> dict[str, Any]:
        row, t = torch.arange(ROWS), self.seen[:, 1]
        return {
            "success": (row == 0) & (t == 3),
            "fail": (row == 1) & (t == 2),
            "elapsed_steps": t,
            "reconfigure": False,
        }

    def step(self, actions: Any) -> Any:
        self.actions.append(actions.clone())
        self.seen[:, 1] += 1
        info = self.info()
        done = info["success"] | info["fail"]
        return self.seen, self.seen[:, 1], done, self.seen[:, 1] >= HORIZON, info

    def close(self) -> None:
        self.closed += 1
        assert self.closed == 1


def adapted(**settings: Any) -> tuple[ManiSkillEnv, Batch]:
    batch = Batch()
    return ManiSkillEnv(Scenes([batch], HORIZON), **settings), batch


@pytest.mark.parametrize("ignore", [True, False])
class TestContract(SimEnvContract):
    steps = 8

    @pytest.fixture
    def env(self, ignore: bool) -> ManiSkillEnv:
        return adapted(ignore_terminations=ignore)[0]


def test_no_row_draws_from_the_seed_of_another() -> None:
    env, batch = adapted()
    first = env.reset(None, [4, 5, 6]).observation
    assert batch.seeds == [([0], [4] * 3), ([1], [5] * 3), ([2], [6] * 3)]
    again = env.reset(np.array([2, 0]), [4, 9]).observation
    assert again[2, 0] == first[0, 0]
    assert again[1].tolist() == first[1].tolist()


def test_an_episode_is_not_promised_to_be_the_same_elsewhere() -> None:
    capabilities = adapted(rebuilt=False)[0].capabilities
    assert not capabilities.episode_seeds
    assert not capabilities.deterministic
    assert capabilities.partial_reset


def test_how_episodes_end() -> None:
    env, _ = adapted(ignore_terminations=False)
    env.reset(None, [1, 2, 3])
    ends = []
    for n in range(1, 6):
        ends += [
            (n, end.env_idx, end.reason, end.metrics["fail_once"]) for end in env.step(np.ones((3, 2))).ends
        ]
    assert ends == [(2, 1, "fail", 1.0), (3, 0, "success", 0.0), (5, 2, "time_out", 0.0)]


def test_a_parked_row_is_given_zeros_and_fails_no_more() -> None:
    env, batch = adapted(ignore_terminations=False)
    env.reset(None, [1, 2, 3])
    for _ in range(2):
        env.step(np.ones((3, 2), np.float32))
    step = env.step(np.array([[1, 1], [np.nan, 1], [1, 1]], np.float32))
    assert step.valid.tolist() == [True, False, True]
    assert batch.actions[-1].tolist() == [[1, 1], [0, 0], [1, 1]]


def test_numbers_of_the_info_are_given_at_reset_too() -> None:
    env, _ = adapted()
    env.watch_info({"elapsed_steps": "metrics.steps"})
    assert env.reset(None, [1, 2, 3]).info["elapsed_steps"].tolist() == [0, 0, 0]
    assert env.step(np.ones((3, 2))).info["elapsed_steps"].tolist() == [1, 1, 1]


def test_success_held_at_reset_is_seen() -> None:
    env, batch = adapted()
    batch.info = lambda: {"success": torch.tensor([True, False, True])}  # type: ignore[method-assign]
    assert env.reset(None, [1, 2, 3]).success.tolist() == [1, 0, 1]
