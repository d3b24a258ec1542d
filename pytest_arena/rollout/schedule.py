"""Which episode runs where, with which seed. All of it is decided before the first step."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pytest_arena.jobs.sections import ENVIRONMENT_SEEDS, Environment


def episode_seeds(job_seed: int, rebuild: int, episode: int) -> tuple[int, int]:
    """Return the seeds of one episode: the environment's, of 31 bits, and the policy's, of 32 bits.

    They are spawned from `numpy.random.SeedSequence`, whose children are independent of each other and stable
    over versions.

    Args:
        job_seed: ``environment.seed`` of the job.
        rebuild: Number of the rebuild that the episode is a part of, from 0.
        episode: Index of the episode, from 0.

    Returns:
        The environment's seed and the policy's.
    """
    sequence = np.random.SeedSequence(job_seed, spawn_key=(rebuild, episode))
    environment, policy = sequence.generate_state(2, np.uint32)
    return int(environment) % ENVIRONMENT_SEEDS, int(policy)


def seeds_of(environment: Environment, rebuild: int, episode: int) -> tuple[int, int]:
    """Return the seeds of one episode of a job, as its *environment* gives them.

    Args:
        environment: The job's: ``seeds`` gives the environment's seed, without them ``seed`` does.
        rebuild: Number of the rebuild that the episode is a part of, from 0.
        episode: Index of the episode in the job, from 0.

    Returns:
        The environment's seed, and the policy's, which ``seed`` gives in any case: see `episode_seeds`.
    """
    computed, policy = episode_seeds(environment.seed, rebuild, episode)
    given = environment.given_seed(episode)
    return computed if given is None else given, policy


class Schedule(Protocol):
    """Gives a free row its next episode."""

    def next_for(self, row: int) -> EpisodeStart | None:
        """Return the episode that *row* runs next; None when it has run all of its own."""


class QueueSchedule:
    """A free row takes the next episode of the list: right where a seed alone decides an episode.

    The list is fixed, every listed episode runs to its end, so which row ran it carries no information.
    """

    def __init__(self, starts: Iterable[EpisodeStart]) -> None:
        self._starts: Iterator[EpisodeStart] = iter(starts)

    def next_for(self, row: int) -> EpisodeStart | None:
        """Return the next episode of the list, whichever row asks."""
        return next(self._starts, None)


class QuotaSchedule:
    """Row i runs episodes i, i+N, i+2N …: for simulators whose rows share one stream of random numbers.

    A queue would give more episodes to rows whose episodes are short, which favours short episodes.
    """

    def __init__(self, starts: Iterable[EpisodeStart], num_envs: int) -> None:
        self._queues: list[deque[EpisodeStart]] = [deque() for _ in range(num_envs)]
        for index, start in enumerate(starts):
            self._queues[index % num_envs].append(start)

    def next_for(self, row: int) -> EpisodeStart | None:
        """Return the next episode of this row's own quota."""
        queue = self._queues[row]
        return queue.popleft() if queue else None


def fixed_schedule(
    episodes: Iterable[int], environment: Environment, *, rebuild: int, num_envs: int, seeded: bool
) -> Schedule:
    """Return the schedule that runs exactly *episodes*.

    Args:
        episodes: Indices of the episodes, from 0, in the order of their start.
        environment: The job's, which gives their seeds.
        rebuild: Number of the rebuild that they are a part of, from 0.
        num_envs: Rows of the environment.
        seeded: Whether a seed alone decides an episode, so that any row may run it.

    Returns:
        A queue of all rows where *seeded*; otherwise a quota for each row.
    """
    starts = _starts(episodes, environment, rebuild)
    return QueueSchedule(starts) if seeded else QuotaSchedule(starts, num_envs)


def open_schedule(episodes: Iterator[int], environment: Environment, *, rebuild: int) -> Schedule:
    """Return the schedule of ``steps`` mode: rows begin *episodes* until the steps are used up.

    Args:
        episodes: Indices of the episodes, from 0, without an end; each is taken when a row begins it.
        environment: The job's, which gives their seeds.
        rebuild: Number of the rebuild that they are a part of, from 0.

    Returns:
        A queue of all rows.
    """
    return QueueSchedule(_starts(episodes, environment, rebuild))


def _starts(episodes: Iterable[int], environment: Environment, rebuild: int) -> Iterator[EpisodeStart]:
    for episode in episodes:
        yield EpisodeStart(episode, rebuild, *seeds_of(environment, rebuild, episode))


@dataclass(frozen=True, slots=True)
class EpisodeStart:
    """The episode that a row begins."""

    episode: int
    rebuild: int
    seed: int
    """The environment's seed."""
    policy_seed: int
    """The policy's seed: one shared with the environment would correlate their noise."""
