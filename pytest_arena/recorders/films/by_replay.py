"""Films after the event: episodes are played again from their seeds and actions, this time with cameras.

A replay that does not give every reward and the end again, bit for bit, is not what happened, and says so.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from pytest_arena.errors import RolloutTimeoutError, TimeIsUp, first_few
from pytest_arena.recorders.films.encoder import Encoder
from pytest_arena.recorders.films.shots import Shot, Stage
from pytest_arena.recorders.trajectories.step_buffer import Arrays, StepBuffer
from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.rollout.observers import EpisodeStart
from pytest_arena.simulators.arrays import to_numpy
from pytest_arena.simulators.base import Action, FloatArray, IndexArray, SimEnv, Step

ROWS_AT_ONCE = 64
"""Each has a film a camera open, which costs memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """An episode that is to be played again."""

    start: EpisodeStart
    episode: Episode
    steps: Arrays
    """``actions`` (T, …), as the environment got them, and ``rewards`` (T,)."""


Finish = Callable[[Take, Shot, str | None], None]
"""Is told of an episode that was filmed, and of what was not as recorded."""


@dataclass(slots=True)
class _Running:
    take: Take
    shot: Shot
    step: int = 0
    difference: str | None = None
    """What was not as recorded; the first such thing."""


def can_replay(env: SimEnv) -> bool:
    """Whether *env* gives an episode again from its seed and actions, without rendering it the first time.

    Not where observations hold images: they are rendered in any case.
    """
    caps = env.capabilities
    repeats = caps.episode_seeds and caps.deterministic
    resets = caps.autoreset == "manual" and caps.partial_reset
    return repeats and resets and _plain_actions(env) and not _holds_images(env.single_observation_space)


def _plain_actions(env: SimEnv) -> bool:
    spaces = gymnasium.spaces
    kinds = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    return isinstance(env.single_action_space, kinds)


def _holds_images(space: gymnasium.Space[Any]) -> bool:
    if isinstance(space, gymnasium.spaces.Dict):
        return any(_holds_images(part) for part in space.spaces.values())
    if isinstance(space, gymnasium.spaces.Tuple):
        return any(_holds_images(part) for part in space.spaces)
    shape = space.shape or ()
    return len(shape) >= 3 or (len(shape) == 2 and space.dtype == np.uint8)


class Afterwards:
    """Remembers what the episodes of an environment did, and films those that are kept afterwards.

    A disk without room for that costs films, not the rollout.
    """

    def __init__(self, stage: Stage) -> None:
        """Prepare for the rows of the stage's environment."""
        self._stage = stage
        self._steps = StepBuffer(stage.context.directory, stage.env.num_envs)
        self._starts: dict[int, EpisodeStart] = {}
        self._takes: list[Take] = []
        self._lost: list[int] = []
        """Episodes that cannot be played again."""
        self._why_lost = ""
        self._device: Any = None
        """Where actions were, if they were torch tensors."""

    @property
    def title(self) -> str:
        """What is to be filmed, e.g. ``3 failures``; empty if nothing is."""
        if not self._takes:
            return ""
        failures = all(take.episode.outcome == Outcome.FAILURE for take in self._takes)
        return f"{len(self._takes)} {'failure' if failures else 'episode'}{'s' * (len(self._takes) > 1)}"

    def begin(self, starts: Mapping[int, EpisodeStart]) -> None:
        """Rows begin these episodes."""
        if starts:
            self._starts.update(starts)
            self._steps.begin(np.array(list(starts), np.int64))

    def step(self, rows: IndexArray, actions: Action, rewards: FloatArray) -> None:
        """Take in one step of *rows*; the arrays have all N."""
        if not self._starts:
            return
        self._device = actions.device if hasattr(actions, "detach") else None
        try:
            arrays = {"actions": np.asarray(to_numpy(actions)), "rewards": rewards}
            self._steps.append(rows, arrays, same=False)
        except (OSError, ValueError, TypeError) as error:
            self._lose([start.episode for start in self._starts.values()], error)
            self._starts.clear()
            self._steps.close()

    def end(self, row: int, episode: Episode, *, keep: bool) -> None:
        """The episode of *row* ended; it will be filmed if it is worth to *keep*."""
        start = self._starts.pop(row, None)
        if start is None:
            return
        if not keep:
            self._steps.end(row)
            return
        try:
            self._takes.append(Take(start, episode, self._steps.keep(row)))
        except OSError as error:
            self._lose([episode.episode], error)

    def film(self, encoder: Encoder, finish: Finish, tick: Callable[[], None]) -> None:
        """Play again what was kept, and film it. Raises what the environment or *tick* raises."""

        def filmed(take: Take, shot: Shot, difference: str | None) -> None:
            self._takes.remove(take)
            finish(take, shot, difference)

        try:
            Replay(self._stage, encoder, filmed, self._device).run(self._takes, tick)
        except (Exception, TimeIsUp) as error:
            self._lose([take.episode.episode for take in self._takes], error)
            self._takes.clear()
            raise

    def close(self) -> list[str]:
        """Give up what was not filmed; returns notes on it."""
        self._steps.close()
        notes = []
        if self._takes:
            notes.append(
                f"no video of {self.title} ({_listed([take.episode.episode for take in self._takes])}): the "
                "rollout ended before they were filmed, which is done after it; record.video: on films live"
            )
        if self._lost:
            notes.append(f"no video of {_listed(self._lost)}, to be filmed by replay: {self._why_lost}")
        self._takes, self._lost = [], []
        return notes

    def _lose(self, episodes: Sequence[int], error: BaseException) -> None:
        self._lost += episodes
        late = RolloutTimeoutError("the job's time was used up") if isinstance(error, TimeIsUp) else error
        self._why_lost = self._why_lost or f"{type(late).__name__}: {late}"


def _listed(episodes: Sequence[int]) -> str:
    """Return e.g. ``episodes 1, 4``."""
    return f"episode{'s' * (len(episodes) > 1)} {first_few(sorted(episodes))}"


class Replay:
    """Plays episodes again, each in the row that it had: others may compute in another order."""

    def __init__(self, stage: Stage, encoder: Encoder, finish: Finish, device: Any = None) -> None:
        """Prepare; actions are given as torch tensors on *device*, or without one as arrays."""
        self._stage, self._encoder, self._finish = stage, encoder, finish
        self._device = device
        self._running: dict[int, _Running] = {}

    def run(self, takes: Sequence[Take], tick: Callable[[], None]) -> None:
        """Film *takes*; *tick* is called between steps and may raise to end it."""
        waiting = list(takes)
        try:
            while waiting or self._running:
                tick()
                waiting = self._begin(waiting)
                self._step()
        finally:
            for running in self._running.values():
                for film in running.shot.films.values():
                    film.discard()

    def _begin(self, waiting: Sequence[Take]) -> list[Take]:
        """Let free rows begin the first take of their own; returns those that still wait."""
        begun: dict[int, Take] = {}
        left = []
        for take in waiting:
            row = take.episode.env_idx
            free = row not in self._running and row not in begun
            if free and len(self._running) + len(begun) < ROWS_AT_ONCE:
                begun[row] = take
            else:
                left.append(take)
        if begun:
            rows = np.array(list(begun), np.int64)
            self._stage.env.reset(rows, [take.start.seed for take in begun.values()])
            for row, take in begun.items():
                shot = self._stage.begin(self._encoder, take.start, row)
                self._running[row] = _Running(take, shot)
            self._stage.shoot(self._encoder, [self._running[row].shot for row in begun])
        return left

    def _step(self) -> None:
        step = self._stage.env.step(self._actions())
        ends = {end.env_idx: end.reason for end in step.ends}
        for row, running in self._running.items():
            running.difference = running.difference or _difference(row, running, step, ends.get(row))
            running.step += 1
        gone = ends if self._stage.ended_rows_show_next else {}
        self._stage.shoot(self._encoder, [r.shot for row, r in self._running.items() if row not in gone])
        for row in list(self._over(ends)):
            running = self._running.pop(row)
            for film in running.shot.films.values():
                film.finish()
            self._finish(running.take, running.shot, running.difference)

    def _over(self, ends: Mapping[int, str]) -> Iterator[int]:
        for row, running in self._running.items():
            if row in ends or running.step == len(running.take.steps["rewards"]):
                yield row

    def _actions(self) -> Any:
        """Return the batch of this step; rows without an episode get any valid action."""
        own = {row: running.take.steps["actions"][running.step] for row, running in self._running.items()}
        first = next(iter(own.values()))
        batch = np.repeat(first[None], self._stage.env.num_envs, axis=0)
        for row, action in own.items():
            batch[row] = action
        if self._device is None:
            return batch
        return importlib.import_module("torch").as_tensor(batch, device=self._device)


def _difference(row: int, running: _Running, step: Step, reason: str | None) -> str | None:
    """Return how this step of a row is not as recorded; None where it is."""
    at, rewards, episode = running.step, running.take.steps["rewards"], running.take.episode
    if step.reward[row].tobytes() != rewards[at].tobytes():
        return f"the reward of step {at} was {rewards[at]:.9g}, and in the replay {step.reward[row]:.9g}"
    if (at == len(rewards) - 1) != (reason is not None):
        return f"it ended after {len(rewards)} steps, and not so in the replay"
    if reason is not None and reason != episode.end_reason:
        return f"it ended with {episode.end_reason}, and in the replay with {reason}"
    return None
