"""The contract on exact fakes: beside what holds for any simulator, every number is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from pytest_arena.testing import SimEnvContract


class ExactContract(SimEnvContract):
    """Row i's episodes last ``lengths[i]`` steps; observations are ``[env, episode, t]``, rewards ``t``."""

    steps = 20
    lengths: ClassVar[Sequence[int]] = (3, 5, 4, 2)
    reasons: ClassVar[Sequence[str]] = ("success", "time_out", "time_out", "success")
    successes: ClassVar[Sequence[bool]] = (True, False, False, True)
    first_episode: ClassVar[int] = 0
    """The number that the environment gives its first episode of this contract."""
    rewards: ClassVar[int] = 1
    """How often a step's reward counts: once for each agent of a team."""

    def state(self, observation: Any, row: int) -> list[float]:
        """Return ``[env, episode, t]`` of a row."""
        while isinstance(observation, dict):
            observation = next(iter(observation.values()))
        return [float(value) for value in observation[row]]

    def test_counts_are_exact(self, env: Any) -> None:
        """Length, return, success, first and last observation of every episode."""
        n = env.num_envs
        length, total, episodes = np.zeros(n, int), np.zeros(n), np.full(n, self.first_episode)
        fresh, seen = [True] * n, 0
        observation = env.reset(None, [0] * n).observation
        for _ in range(30):
            before = observation
            step = env.step(self.actions(env))
            observation = step.observation
            for row in np.flatnonzero(step.valid):
                if fresh[row]:
                    assert self.state(before, row) == [row, episodes[row], 0]
                fresh[row] = False
                length[row] += 1
                total[row] += step.reward[row]
            for end in step.ends:
                row = end.env_idx
                expected = self.lengths[row]
                assert length[row] == expected
                assert total[row] == self.rewards * expected * (expected + 1) / 2
                assert step.success[row] == self.successes[row]
                assert end.reason == self.reasons[row]
                if env.capabilities.terminal_observation:
                    assert self.state(step.terminal_observation, row) == [row, episodes[row], expected]
                length[row], total[row], fresh[row] = 0, 0, True
                episodes[row] += 1
                seen += 1
                if env.capabilities.autoreset == "manual":
                    observation = env.reset(np.array([row]), [0]).observation
        assert seen > 15

    def test_stale_infos_are_not_read(self, env: Any) -> None:
        """What an earlier step has left in the info dict is not this step's."""
        for step in self.play(env, 20):
            ended = {end.env_idx for end in step.ends}
            assert all(step.success[row] <= 0 for row in range(env.num_envs) if row not in ended)
            assert ended or step.terminal_observation is None

    def test_the_last_image_is_the_ended_episodes(self, env: Any) -> None:
        """Where it is promised, at its place: the next episode's image is another one."""
        if not env.cameras or not env.capabilities.terminal_frame:
            return
        camera = env.cameras.names[0]
        episodes = np.full(env.num_envs, self.first_episode)
        env.reset(None, [0] * env.num_envs)
        env.cameras.frames(np.arange(env.num_envs))  # who films takes the first image
        for _ in range(20):
            step = env.step(self.actions(env))
            for end in step.ends:
                row = end.env_idx
                if env.capabilities.autoreset == "same_step":
                    image = env.cameras.last_frames(np.array([row]))[camera][0]
                else:
                    image = env.cameras.frames(np.array([row]))[camera][0]
                assert image[0, 0].tolist() == [row, episodes[row], self.lengths[row]]
                episodes[row] += 1
            if env.capabilities.autoreset == "manual" and step.ends:
                env.reset(np.array([end.env_idx for end in step.ends]), [0] * len(step.ends))
            elif env.capabilities.autoreset == "next_step" and step.ends:
                env.step(self.actions(env))  # the step that resets them; others go on
                return
