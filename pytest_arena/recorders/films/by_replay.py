"""Films by replay: after the rollout, episodes are played again from their seeds and actions, with cameras.

A replay that does not give every reward and the end again, bit for bit, is not what happened; a note says so.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from pytest_arena.errors import first_few
from pytest_arena.guards.deadline import interrupt_as_error
from pytest_arena.recorders.films.filming import ROWS_AT_ONCE, Filming, add_note
from pytest_arena.recorders.trajectories.step_buffer import Arrays, StepBuffer
from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.rollout.recorder import Recorded, RolloutContext
from pytest_arena.rollout.schedule import EpisodeStart
from pytest_arena.simulators.array_types import Action, FloatArray, IndexArray
from pytest_arena.simulators.arrays import to_numpy
from pytest_arena.simulators.base import SimEnv


@dataclass(slots=True, eq=False)
class _Replay:
    """An episode of T steps that is to be played again."""

    start: EpisodeStart
    episode: Episode
    steps: Arrays
    """``actions`` (T, …), as the environment got them, and ``rewards`` (T,)."""
    at: int = 0
    """The step that comes next."""
    difference: str | None = None
    """What was not as recorded; the first such thing."""

    def compare(self, reward: np.float64, end_reason: str | None) -> None:
        """Take in the next step of the replay; *end_reason* is None where the episode goes on."""
        rewards, at = self.steps["rewards"], self.at
        self.at += 1
        if self.difference is not None:
            return
        if reward.tobytes() != rewards[at].tobytes():
            self.difference = f"the reward of step {at} was {rewards[at]:.9g}, and in the replay {reward:.9g}"
        elif self.episode.outcome == Outcome.ERROR and at == len(rewards) - 1:
            return  # the policy could not go on: there was no end
        elif (at == len(rewards) - 1) != (end_reason is not None):
            self.difference = f"it ended after {len(rewards)} steps, and not so in the replay"
        elif end_reason is not None and end_reason != self.episode.end_reason:
            self.difference = f"it ended with {self.episode.end_reason}, and in the replay with {end_reason}"


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


class FilmingByReplay:
    """Remembers what the episodes of an environment did, and films those that are kept after the rollout.

    Each is played again in the row that it had: others may compute in another order. A disk without room for
    the actions costs films, not the rollout.
    """

    def __init__(self, context: RolloutContext, filming: Filming, found: Recorded) -> None:
        """Prepare for the context's environment; notes on the films go into *found*."""
        self._env, self._filming, self._found = context.env, filming, found
        self._steps = StepBuffer(context.directory, context.env.num_envs)
        self._starts: dict[int, EpisodeStart] = {}
        """Row → the episode that it is in."""
        self._unfilmed: list[_Replay] = []
        """Episodes to be filmed, in the order of their ends; an episode stays until it is."""
        self._lost: list[int] = []
        """Episodes that cannot be played again."""
        self._why_lost = ""
        self._device: Any = None
        """Where actions were, if they were torch tensors."""

    @property
    def title(self) -> str:
        """What is to be filmed, e.g. ``3 failures``; empty if nothing is."""
        if not self._unfilmed:
            return ""
        failures = all(replay.episode.outcome == Outcome.FAILURE for replay in self._unfilmed)
        count = len(self._unfilmed)
        return f"{count} {'failure' if failures else 'episode'}{'s' * (count > 1)}"

    def begin(self, starts: Mapping[int, EpisodeStart]) -> None:
        """Rows begin these episodes."""
        if starts:
            self._starts.update(starts)
            self._steps.begin(np.array(list(starts), np.int64))

    def after_step(self, rows: IndexArray, actions: Action, rewards: FloatArray) -> None:
        """Remember one step.

        Where it cannot be kept, the films of all running episodes are lost, and nothing is raised.

        Args:
            rows: (K,) int64, the rows that took a counted step.
            actions: (N, …) what the environment was given, of all N rows.
            rewards: (N,) float64, of all N rows.
        """
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
        """The episode of *row* ended; it will be filmed if it is worth to *keep*.

        Args:
            row: The episode's row. One whose episode was not begun here, or was lost, is left alone.
            episode: The episode, with its end.
            keep: Whether `film` plays it again; otherwise its steps are dropped.
        """
        start = self._starts.pop(row, None)
        if start is None:
            return
        if not keep or episode.length == 0:
            self._steps.end(row)
            return
        try:
            self._unfilmed.append(_Replay(start, episode, self._steps.keep(row)))
        except OSError as error:
            self._lose([episode.episode], error)

    def film(self, tick: Callable[[], None]) -> None:
        """Play again what was kept, and film it; *tick* is called between steps.

        Raises what the environment or *tick* raises, and nothing that is left is filmed then.
        """
        running: dict[int, _Replay] = {}
        try:
            with interrupt_as_error():
                while self._unfilmed:
                    tick()
                    self._begin_in_free_rows(running)
                    self._play_step(running)
        except Exception as error:
            self._lose([replay.episode.episode for replay in self._unfilmed], error)
            self._unfilmed.clear()
            raise
        finally:
            for row in running:
                self._filming.discard(row)

    def close(self) -> None:
        """Give up what was not filmed, with notes on it."""
        self._steps.close()
        if self._unfilmed:
            episodes = [replay.episode.episode for replay in self._unfilmed]
            add_note(
                self._found,
                f"no video of {self.title} ({_listed(episodes)}): the rollout ended before they were filmed, "
                "which is done after it; record.video: on films live",
            )
        if self._lost:
            note = f"no video of {_listed(self._lost)}, to be filmed by replay: {self._why_lost}"
            add_note(self._found, note)
        self._unfilmed, self._lost = [], []

    def _lose(self, episodes: Sequence[int], error: Exception) -> None:
        self._lost += episodes
        self._why_lost = self._why_lost or f"{type(error).__name__}: {error}"

    def _begin_in_free_rows(self, running: dict[int, _Replay]) -> None:
        begun: dict[int, _Replay] = {}
        for replay in self._unfilmed:
            row = replay.episode.env_idx
            if row not in running and row not in begun and len(running) + len(begun) < ROWS_AT_ONCE:
                begun[row] = replay
        if begun:
            rows = np.array(list(begun), np.int64)
            self._env.set_episodes(rows, [replay.start.episode for replay in begun.values()])
            self._env.reset(rows, [replay.start.seed for replay in begun.values()])
            running.update(begun)
            self._filming.begin({row: replay.start for row, replay in begun.items()})

    def _play_step(self, running: dict[int, _Replay]) -> None:
        step = self._env.step(self._actions(running))
        ends = {end.env_idx: end.reason for end in step.ends}
        for row, replay in running.items():
            replay.compare(step.reward[row], ends.get(row))
        self._filming.after_step(np.array(list(running), np.int64), step)
        for row, replay in list(running.items()):
            if row in ends or replay.at == len(replay.steps["rewards"]):
                del running[row]
                self._unfilmed.remove(replay)
                self._filmed(row, replay)

    def _filmed(self, row: int, replay: _Replay) -> None:
        episode, found = replay.episode, self._found
        self._filming.finish(row, episode)
        found.revised = True
        if replay.difference is not None:
            episode.videos_note = f"filmed by a replay that was not faithful: {replay.difference}"
            found.live_films = sorted({*found.live_films, episode.episode})
            note = (
                f"the video of episode {episode.episode} is not faithful: the environment did not repeat "
                f"itself, {replay.difference}; the next run films this episode live"
            )
            add_note(found, note)

    def _actions(self, running: Mapping[int, _Replay]) -> Any:
        """Return the batch of this step; rows without an episode get any valid action."""
        own = {row: replay.steps["actions"][replay.at] for row, replay in running.items()}
        first = next(iter(own.values()))
        batch = np.repeat(first[None], self._env.num_envs, axis=0)
        for row, action in own.items():
            batch[row] = action
        if self._device is None:
            return batch
        return importlib.import_module("torch").as_tensor(batch, device=self._device)


def _listed(episodes: Sequence[int]) -> str:
    """Return e.g. ``episodes 1, 4``."""
    return f"episode{'s' * (len(episodes) > 1)} {first_few(sorted(episodes))}"
