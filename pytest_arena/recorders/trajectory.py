"""Trajectories of a rollout: what the policy saw and did, step by step, in ``dataset.hdf5``.

Row t of an episode's datasets belongs to its step t: ``obs`` is what the policy saw before it, ``actions``
what it did, ``rewards`` what it got. `pytest_arena.records.hdf5_writer` has the layout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pytest_arena.recorders.trajectories.layout import OBSERVATION, Layout
from pytest_arena.recorders.trajectories.step_buffer import StepBuffer
from pytest_arena.records.files import DATASET, TRAJECTORIES
from pytest_arena.records.hdf5_writer import (
    GYM_TYPE,
    collect,
    episode_file,
    location,
    plain_reason,
    write_rows,
    write_tree,
)
from pytest_arena.records.schema import SCHEMA_VERSION, Episode, Outcome
from pytest_arena.rollout.recorder import Recorded, Recorder, RolloutContext
from pytest_arena.rollout.schedule import EpisodeStart
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.arrays import to_numpy
from pytest_arena.simulators.base import Step


@dataclass(frozen=True, slots=True)
class _Running:
    """The episode that a row is in."""

    start: EpisodeStart
    state: Mapping[str, Any]
    """The simulator's state at its reset, (1, …) arrays."""


class TrajectoryRecorder(Recorder):
    """Records every episode that ends; a trajectory that cannot be written costs the rollout nothing.

    What goes wrong ends the recording and becomes a note in what `close` returns.
    """

    watches_steps: ClassVar[bool] = True

    def __init__(self) -> None:
        self._context: RolloutContext | None = None
        self._steps: StepBuffer | None = None
        self._header: dict[str, Any] = {}
        self._running: dict[int, _Running] = {}
        self._observed, self._actions = Layout("obs", None, 0), Layout("actions", None, 0)
        self._observation: Observation = None
        self._terminal: Observation | None = None
        self._problem: str | None = None
        self._recorded: Recorded | None = None

    def start(self, context: RolloutContext) -> None:
        """Begin; episodes that an environment before this one has not ended are dropped."""
        self._running.clear()
        if self._steps is not None:
            self._steps.close()
        self._context, env = context, context.env
        self._observed = Layout("obs", env.single_observation_space, env.num_envs, OBSERVATION)
        self._actions = Layout("actions", env.single_action_space, env.num_envs)
        self._steps = StepBuffer(context.directory, env.num_envs)
        self._header = _header(context)

    def on_reset(self, rows: IndexArray, starts: Sequence[EpisodeStart], observation: Observation) -> None:
        """Note where the rows' episodes begin, and from which state."""
        if self._steps is None or self._context is None or self._problem is not None:
            return
        self._observation = observation
        try:
            states = self._context.env.state(rows)
        except Exception as error:
            self._end_recording(f"the environment's state: {type(error).__name__}: {error}")
            return
        self._steps.begin(rows)
        for i, (row, start) in enumerate(zip(rows.tolist(), starts, strict=True)):
            self._running[row] = _Running(start, _row(states, i))

    def on_step(self, rows: IndexArray, actions: Action, step: Step) -> None:
        """Keep the step of all rows."""
        if self._steps is None or self._problem is not None:
            return
        try:
            arrays = self._actions.arrays(actions) | self._observed.arrays(self._observation)
            self._steps.append(rows, {"rewards": step.reward} | arrays)
        except Exception as error:
            self._end_recording(plain_reason(error))
        self._observation = step.observation
        self._terminal = step.terminal_observation

    def on_end(self, row: int, episode: Episode) -> None:
        """Write the episode's file, and forget the steps that no running episode needs."""
        running, steps, context = self._running.pop(row, None), self._steps, self._context
        if running is None or steps is None or context is None or self._problem is not None:
            return
        if episode.outcome == Outcome.ERROR:  # it is run again when the run is resumed
            steps.end(row)
            return
        try:
            with episode_file(context.directory, episode.episode, self._header) as group:
                group.attrs.update(_attributes(running.start, episode))
                self._write(steps, group, row, running, episode.length)
        except Exception as error:
            self._end_recording(f"episode {episode.episode}: {plain_reason(error)}")
            return
        episode.trajectory = location(context.relative(context.directory / DATASET), episode.episode)
        steps.end(row)

    def close(self) -> Recorded:
        """Put the episodes together into ``dataset.hdf5``."""
        if self._recorded is not None:
            return self._recorded
        self._recorded = Recorded()
        if self._steps is not None and self._context is not None:
            self._steps.close()
            if self._problem is not None:
                self._recorded.notes.append(self._problem)
            self._recorded.notes += [
                *self._observed.notes("trajectories"),
                *self._actions.notes("trajectories"),
            ]
            directory = self._context.directory
            try:
                collect(directory)
            except (OSError, RuntimeError) as error:
                self._recorded.notes.append(
                    f"the trajectories stay in {self._context.relative(directory / TRAJECTORIES)}, a file an "
                    f"episode, since {DATASET} cannot be written: {plain_reason(error)}"
                )
            if (directory / DATASET).exists():
                self._recorded.hdf5_path = self._context.relative(directory / DATASET)
        return self._recorded

    def _write(self, steps: StepBuffer, group: Any, row: int, running: _Running, length: int) -> None:
        for name in steps.names:
            write_rows(group, name, length, steps.pieces(name, row))
        dones = np.zeros(length, np.uint8)
        dones[-1:] = 1
        group["dones"] = dones
        write_tree(group, "initial_state", running.state)
        if self._terminal is not None:
            for name, array in self._observed.arrays(self._terminal).items():
                group[name.replace("obs", "terminal_obs", 1)] = array[row : row + 1]

    def _end_recording(self, reason: str) -> None:
        self._problem = f"trajectories are incomplete: {reason}"
        self._running.clear()
        if self._steps is not None:
            self._steps.close()


def _row(states: Mapping[str, Any], i: int) -> dict[str, Any]:
    """Return row *i* of nested (K, …) arrays, as owned (1, …) arrays."""
    return {
        key: _row(value, i) if isinstance(value, Mapping) else np.array(to_numpy(value)[i : i + 1])
        for key, value in states.items()
    }


def _header(context: RolloutContext) -> dict[str, Any]:
    """Return the attributes of the group ``data``."""
    job, env = context.job, context.env
    env_args = {
        "env_name": job.environment.id,
        "type": GYM_TYPE,
        "env_kwargs": job.config()["environment"]["options"],
        "sim_args": {"step_dt": env.step_dt, "num_envs": env.num_envs},
    }
    about = {
        "schema_version": SCHEMA_VERSION,
        "job": context.label,
        "config_sha256": job.sha256(),
        "simulator": job.simulator,
        "environment": job.environment.id,
        "seed": job.environment.seed,
        "seeds": job.config()["environment"]["seeds"],
    }
    return {"env_args": json.dumps(env_args), "arena": json.dumps(about)}


def _attributes(start: EpisodeStart, episode: Episode) -> dict[str, Any]:
    """Return the attributes of an episode's group; ``success`` is missing where it was not measured."""
    attributes: dict[str, Any] = {
        "num_samples": episode.length,
        "seed": start.seed,
        "policy_seed": start.policy_seed,
        "episode": episode.episode,
        "rebuild": episode.rebuild,
        "env_idx": episode.env_idx,
        "return": episode.return_,
        "end_reason": episode.end_reason,
    }
    if episode.outcome in (Outcome.SUCCESS, Outcome.FAILURE):
        attributes["success"] = episode.outcome == Outcome.SUCCESS
    return attributes
