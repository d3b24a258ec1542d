"""What every adapter must do, as tests: subclass `SimEnvContract` and give it environments.

class TestMySimulator(SimEnvContract):
    @pytest.fixture
    def env(self):
        made = MySimulator().make(job)
        yield made
        made.close()
"""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
from gymnasium.vector.utils import batch_space

from pytest_arena.recorders.films.colours import kind_of_image
from pytest_arena.rollout.initial_state import initial_states
from pytest_arena.simulators.arrays import leaves
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.env_check import check_reset, check_step, require_env


def same(a: Any, b: Any) -> bool:
    """Whether two nested batches are equal."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(np.array_equal(np.asarray(a), np.asarray(b)))


class SimEnvContract:
    """Holds for any simulator. ``steps`` must be enough for some episodes to end."""

    steps = 60

    @pytest.fixture
    def env(self) -> Any:
        """Give the environment to test: override this fixture, and close what you give."""
        raise NotImplementedError

    def actions(self, env: SimEnv) -> Any:
        """Return valid actions for all rows."""
        space = batch_space(env.single_action_space, env.num_envs)
        space.seed(0)
        return space.sample()

    def begin(self, env: SimEnv) -> Any:
        """Reset all rows, each with a seed."""
        return env.reset(None, list(range(env.num_envs)))

    def play(self, env: SimEnv, steps: int) -> Any:
        """Yield the steps of a run that resets ended rows as the environment wants it."""
        self.begin(env)
        for _ in range(steps):
            step = env.step(self.actions(env))
            yield step
            if env.capabilities.autoreset == "manual" and step.ends:
                rows = np.array([end.env_idx for end in step.ends])
                env.reset(rows, [7] * len(rows))

    def test_it_has_all_that_a_rollout_needs(self, env: SimEnv) -> None:
        """No attribute lacks, and what tells it from another can be written down."""
        require_env(env)
        json.dumps(dict(env.identity))

    def test_shapes_and_dtypes(self, env: SimEnv) -> None:
        """Every array has N rows and the promised type."""
        n = env.num_envs
        reset = check_reset(env, self.begin(env))
        assert reset.success.shape == (n,)
        assert reset.success.dtype == np.int8
        for step in self.play(env, 3):
            check_step(env, step)
            assert step.reward.shape == (n,)
            assert step.reward.dtype == np.float64
            for flags in (step.terminated, step.truncated, step.valid):
                assert flags.shape == (n,)
                assert flags.dtype == np.bool_
            assert set(np.unique(step.success)) <= {-1, 0, 1}

    def test_what_was_returned_never_changes(self, env: SimEnv) -> None:
        """Buffers that a simulator writes in place must not be handed out."""
        kept: list[tuple[Any, Any]] = []
        for step in self.play(env, self.steps):
            parts = (step.observation, step.reward, step.terminated, step.truncated, step.valid, step.success)
            kept.append((parts, copy.deepcopy(parts)))
            if step.terminal_observation is not None:
                kept.append(((step.terminal_observation,), copy.deepcopy((step.terminal_observation,))))
        for parts, copied in kept:
            assert same(parts, copied)

    def test_ended_rows_say_so_once(self, env: SimEnv) -> None:
        """An end comes with its reason and, where promised, its terminal observation."""
        ended = 0
        for step in self.play(env, self.steps):
            rows = [end.env_idx for end in step.ends]
            assert len(rows) == len(set(rows))
            assert all(step.valid[row] for row in rows)
            assert all(step.terminated[row] or step.truncated[row] for row in rows)
            assert all(isinstance(end.reason, str) and end.reason for end in step.ends)
            assert (step.terminal_observation is not None) == (
                bool(rows) and env.capabilities.terminal_observation
            )
            check_step(env, step)  # and no end is forgotten
            ended += len(rows)
        assert ended, "the contract needs episodes that end"

    def test_a_row_that_ended_waits_for_its_reset(self, env: SimEnv) -> None:
        """In manual mode an ended row is parked."""
        if env.capabilities.autoreset != "manual":
            pytest.skip("resets by itself")
        self.begin(env)
        parked: set[int] = set()
        for _ in range(self.steps):
            step = env.step(self.actions(env))
            assert not any(step.valid[row] for row in parked)
            assert not parked & {end.env_idx for end in step.ends}
            parked |= {end.env_idx for end in step.ends}
        assert parked
        env.reset(np.array(sorted(parked)), [1] * len(parked))
        assert env.step(self.actions(env)).valid[sorted(parked)].all()

    def test_the_seed_decides_the_episode(self, env: SimEnv) -> None:
        """The same seed gives the same episode, whatever ran before."""
        if not (env.capabilities.episode_seeds and env.capabilities.deterministic):
            pytest.skip("no seeds per episode")
        last = env.num_envs - 1
        self.begin(env)
        first = [self.row(env, step, last) for step in [env.reset(np.array([last]), [5])]]
        first += [self.row(env, env.step(self.actions(env) * 0), last) for _ in range(3)]
        env.reset(np.array([0]), [9])
        again = [self.row(env, env.reset(np.array([last]), [5]), last)]
        again += [self.row(env, env.step(self.actions(env) * 0), last) for _ in range(3)]
        assert same(first, again)

    def row(self, env: SimEnv, moment: Any, row: int) -> Any:
        """Return one row's observation.

        Args:
            env: The environment that gave *moment*.
            moment: A reset or a step: what has an ``observation`` of all rows.
            row: Index of the row, from 0.

        Returns:
            Path in the nested observation → a copy of the row's value there.
        """
        return {
            path: copy.deepcopy(batch[row])
            for path, batch in leaves(moment.observation, env.single_observation_space)
        }

    def test_a_row_is_told_apart_by_what_it_begins_with(self, env: SimEnv) -> None:
        """Equal hashes mean equal observations, and every row has one."""
        reset = self.begin(env)
        rows = np.arange(env.num_envs)
        hashes = initial_states(reset.observation, rows, env.single_observation_space)
        assert None not in hashes
        for i in rows:
            for j in rows[:i]:
                if hashes[i] == hashes[j]:
                    first, second = (self.row(env, reset, int(row)) for row in (i, j))
                    images = {path for path, value in first.items() if np.ndim(value) >= 3}
                    assert all(path in images or same(first[path], second[path]) for path in first)

    def test_frames_are_owned_and_only_of_the_rows_asked_for(self, env: SimEnv) -> None:
        """Images are as `Frames` says, of K rows, and stay as they are."""
        if not env.cameras:
            pytest.skip("no camera")
        self.begin(env)
        frames = env.cameras.frames(np.array([env.num_envs - 1]))
        assert set(frames) == set(env.cameras.names)
        copied = {camera: image.copy() for camera, image in frames.items()}
        for image in frames.values():
            assert image.shape[0] == 1
            assert kind_of_image(image[0]) is not None
        env.step(self.actions(env))
        env.cameras.frames(np.arange(env.num_envs))
        assert all(np.array_equal(frames[camera], copied[camera]) for camera in frames)

    def test_close_twice(self, env: SimEnv) -> None:
        """Closing twice is harmless."""
        env.close()
        env.close()
