"""Six mistakes that adapters make, each made on purpose: the contract must catch every one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from pytest_arena import Policy, RolloutContext, SimEnv
from pytest_arena.guards.deadline import Deadline
from pytest_arena.jobs.sections import Environment, Success
from pytest_arena.rollout.loop import Loop, Observers
from pytest_arena.rollout.schedule import fixed_schedule
from pytest_arena.simulators.arrays import copy_rows
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv
from pytest_arena.simulators.isaaclab.simulator import IsaacLabEnv
from tests.fakes import CountingVectorEnv
from tests.jobs import make_job
from tests.lab_fakes import LENGTHS, FakeLabEnv
from tests.unit.simulators.gymnasium.test_gymnasium import TestExactFakes as Gymnasium
from tests.unit.simulators.test_tensor_env import TestDirect as Direct
from tests.unit.simulators.test_tensor_env import TestManagerBased as ManagerBased

NEXT_STEP = AutoresetMode.NEXT_STEP


def counting(cls: type[GymnasiumEnv]) -> GymnasiumEnv:
    lengths, successes = [[n] for n in Gymnasium.lengths], [[ok] for ok in Gymnasium.successes]
    return cls(CountingVectorEnv(lengths, successes, NEXT_STEP))


class ResetRowCounted(GymnasiumEnv):
    def step(self, actions: Any) -> Any:
        return dataclasses.replace(super().step(actions), valid=np.ones(self.num_envs, np.bool_))


class NextObservationIsTerminal(IsaacLabEnv):
    def _terminal(self, observation: Any, extras: Any, done: Any) -> Any:
        return copy_rows(observation)


class BufferNotCopied(IsaacLabEnv):
    buffer = np.zeros(4)

    def step(self, actions: Any) -> Any:
        step = super().step(actions)
        self.buffer[:] = step.reward
        return dataclasses.replace(step, reward=self.buffer)


class StaleExtrasRead(IsaacLabEnv):
    def step(self, actions: Any) -> Any:
        return dataclasses.replace(
            super().step(actions), terminal_observation=self._base.extras.get("final_obs")
        )


class SuccessReadAfterReset(IsaacLabEnv):
    def _before_reset(self, env_ids: Any) -> None:
        """Too late: the state is asked after the step."""


class LengthReadAfterReset(Loop):
    def _episode(self, row: int, *args: Any) -> Any:
        episode = super()._episode(row, *args)
        episode.length = int(self.env.unwrapped.episode_length_buf[row])
        return episode


def exact_lengths(loop_class: type[Loop]) -> None:
    env = IsaacLabEnv(FakeLabEnv())
    job = make_job(rollout={"episodes": 8})
    schedule = fixed_schedule(range(8), Environment(id="any"), rebuild=0, num_envs=4, seeded=False)
    context = RolloutContext(job, "job", 1, Path("."), Path("."), env)
    loop = loop_class(context, Zeros(), schedule, Observers((), ()))
    loop.run(Deadline(None))
    assert [e.length for e in sorted(loop.episodes, key=lambda e: e.episode)] == [*LENGTHS, *LENGTHS]


class Zeros(Policy):
    def act(self, observation: Any) -> Any:
        return np.zeros((4, 2))

    def reset(self, env_ids: Any = None, seeds: Any = None) -> None:
        pass


def lab(cls: type[IsaacLabEnv]) -> SimEnv:
    return cls(FakeLabEnv())


def direct(cls: type[IsaacLabEnv]) -> SimEnv:
    return cls(FakeLabEnv(terms=()), Success(callable="tests.lab_fakes:held"))


CHECKS: dict[str, tuple[Callable[[Any], None], type[Any], type[Any]]] = {
    "reset row counted": (
        lambda cls: Gymnasium().test_counts_are_exact(counting(cls)),
        GymnasiumEnv,
        ResetRowCounted,
    ),
    "next episode's observation taken as terminal": (
        lambda cls: ManagerBased().test_counts_are_exact(lab(cls)),
        IsaacLabEnv,
        NextObservationIsTerminal,
    ),
    "buffer not copied": (
        lambda cls: ManagerBased().test_what_was_returned_never_changes(lab(cls)),
        IsaacLabEnv,
        BufferNotCopied,
    ),
    "stale extras read": (
        lambda cls: ManagerBased().test_stale_infos_are_not_read(lab(cls)),
        IsaacLabEnv,
        StaleExtrasRead,
    ),
    "length read after reset": (exact_lengths, Loop, LengthReadAfterReset),
    "success read after reset": (
        lambda cls: Direct().test_counts_are_exact(direct(cls)),
        IsaacLabEnv,
        SuccessReadAfterReset,
    ),
}


@pytest.mark.parametrize("mistake", CHECKS)
def test_the_mistake_is_caught(mistake: str) -> None:
    check, right, wrong = CHECKS[mistake]
    check(right)
    with pytest.raises(AssertionError):
        check(wrong)
