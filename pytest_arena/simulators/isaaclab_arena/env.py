"""An environment of IsaacLab-Arena: Isaac Lab's, with a budget of episodes, metrics and images to observe.

Two generations. Up to 0.3.0 a row that ended is reset inside the step. From 0.3.1 on, a job that is limited
by episodes leaves it alone until `reset` names it, and starts exactly as many as were announced.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from pytest_arena.jobs.sections import Success
from pytest_arena.simulators.array_types import BoolArray, IndexArray, Observation, SuccessArray
from pytest_arena.simulators.base import Capabilities, EpisodeEnd, Reset
from pytest_arena.simulators.cameras import Frames
from pytest_arena.simulators.isaaclab.own_dataset import IsaacLabDataset
from pytest_arena.simulators.isaaclab.simulator import IsaacLabEnv
from pytest_arena.simulators.isaaclab_arena.episodes import EpisodeRecords, scores
from pytest_arena.simulators.tensor_cameras import TensorCameras

IMAGES = "camera_obs"
"""The group of observations that are images."""


def tear_down(*, suppress_exceptions: bool) -> None:
    """Stop the simulation and begin a new stage, as Arena does it between environments."""
    module = importlib.import_module("isaaclab_arena.utils.isaaclab_utils.simulation_app")
    module.teardown_simulation_app(suppress_exceptions=suppress_exceptions, make_new_stage=True)


class ObservedCameras(TensorCameras):
    """Cameras whose images are observations."""

    final: Mapping[str, Any] | None = None
    """Camera -> the images of all rows, (N, H, W, C), as the latest step left those that it ended; None:
    none ended, or this Arena does not say."""

    def begin_step(self) -> None:
        """What is reset from now on ends in this step."""
        self.final = None

    def keep_last(self, env_ids: Any) -> None:
        """Nothing: what is an observation before the reset is of the step before."""

    def last_frames(self, env_ids: IndexArray) -> Frames | None:
        """Return the last observations of these rows."""
        if self.final is None:
            return None
        images = self._gathered(env_ids, self.final.__getitem__)
        return {camera: batch.cpu().numpy() for camera, batch in images.items()}


class ArenaDataset(IsaacLabDataset):
    """Arena's recorders: of steps, in the HDF5 file, and of episodes, a line each in a file beside it."""

    def __init__(self, base: Any, scratch: Path | None, success: Any, records: EpisodeRecords) -> None:
        """See `IsaacLabDataset`; *records* are those of episodes."""
        super().__init__(base, scratch, success)
        self._records_of_episodes = records

    def open(self, path: Path) -> None:
        """Write steps to *path*, and records of episodes beside it."""
        super().open(path)
        self._records_of_episodes.open(path.parent)


class ArenaEnv(IsaacLabEnv):
    """Adapts Arena's environment.

    It runs one rollout: Arena's recorder and its budget of episodes belong to the environment. Every reset is
    an episode for them, so there is none but those that the rollout needs.
    """

    cameras: ObservedCameras | None

    def __init__(
        self,
        env: Any,
        success: Success | None = None,
        cameras: Sequence[str] | None = None,
        scratch: Path | None = None,
        job_name: str = "",
    ) -> None:
        """Adapt *env*; *scratch* is the folder of the dataset that it opened when it was made.

        *job_name* is what Arena's own records of episodes say.
        """
        disabled = getattr(env.unwrapped.cfg, "autoreset_mode", None) == AutoresetMode.DISABLED
        self._manual = disabled  # the capabilities depend on it
        self._records = EpisodeRecords(getattr(env.unwrapped, "episode_recorder", None), job_name)
        super().__init__(env, success, cameras, scratch)
        instruction = getattr(self._base, "get_language_instruction", None)
        if instruction is not None:
            self.task_description = instruction()
        self._begun = False
        self._scores: dict[str, list[float]] = {}

    def _make_dataset(self, scratch: Path | None) -> ArenaDataset:
        return ArenaDataset(self._base, scratch, self._success_to_record, self._records)

    def _capabilities(self) -> Capabilities:
        """An image is an observation: the last one can be had where the last observation can."""
        found = super()._capabilities()
        return dataclasses.replace(found, terminal_frame=found.terminal_frame and found.terminal_observation)

    # -- episodes

    def begin(self, episodes: int | None) -> None:
        """Announce how many *episodes* there will be, where Arena wants to know."""
        self.spent = True
        if self._manual:
            self._base.set_episode_limit(episodes)

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> Reset:
        """Reset rows. The first reset seeds the environment, and starts the first rows if not all are to."""
        first, self._begun = not self._begun, True
        self._parking.release(np.arange(self.num_envs) if env_ids is None else env_ids)
        return super().reset(None if first else env_ids, seeds)

    def _reset_rows(self, rows: Any) -> Observation:
        return self._base.reset(env_ids=rows)[0]  # gymnasium's wrappers know no rows

    def _terminal(self, observation: Observation, extras: Mapping[str, Any], done: BoolArray) -> Observation:
        if self.cameras is not None and self.capabilities.terminal_observation:
            self.cameras.final = self._final(extras).get(IMAGES)
        return super()._terminal(observation, extras, done)

    def _ends(self, done: BoolArray, terminated: BoolArray, success: SuccessArray) -> tuple[EpisodeEnd, ...]:
        ends = super()._ends(done, terminated, success)
        return tuple(self._described(end) for end in ends)

    def _described(self, end: EpisodeEnd) -> EpisodeEnd:
        """Return *end* with what Arena has recorded of it; scores of an episode that counts are kept."""
        details = self._records.of_episode(end.env_idx)
        found = scores(details)
        if self.dataset.keeps(end.env_idx):
            for name, score in found.items():
                self._scores.setdefault(name, []).extend([] if score is None else [score])
        return dataclasses.replace(end, metrics=found, details=details)

    # -- images

    def _find_cameras(self) -> Mapping[str, str]:
        """Ask the manager: the spaces of some releases have only the last image of the group."""
        manager = self._base.observation_manager
        if IMAGES not in manager.active_terms or manager.group_obs_concatenate[IMAGES]:
            return {}
        shapes = zip(manager.active_terms[IMAGES], manager.group_obs_term_dim[IMAGES], strict=True)
        return {name: "rgb" for name, shape in shapes if len(shape) == 3 and shape[-1] in (3, 4)}

    def _image(self, camera: str) -> Any:
        return self._base.obs_buf[IMAGES][camera]

    def _make_cameras(self, names: tuple[str, ...]) -> ObservedCameras | None:
        return ObservedCameras(names, self._image, self.num_envs, self.device) if names else None

    # -- numbers

    def metrics(self) -> Mapping[str, float | None]:
        """Return mean scores of progress, and what Arena computes from the episodes in the file.

        Lists are numbered: ``name.0``.
        """
        means = {name: math.fsum(held) / len(held) if held else None for name, held in self._scores.items()}
        return {**means, **self._computed()}

    def _computed(self) -> dict[str, float | None]:
        if not self.dataset.is_open or getattr(self._base.cfg, "metrics", None) is None:
            return {}
        computed = self._base.compute_metrics()
        entries = getattr(computed, "metric_data_entries", None)
        if entries is None:  # before 0.3
            entries = {name: value for name, value in computed.items() if name != "num_episodes"}
        elif isinstance(entries, Mapping):
            entries = {name: entry.metric_value for name, entry in entries.items()}
        else:
            entries = {entry.term_name: entry.metric_value for entry in entries}
        return {key: value for name, found in entries.items() for key, value in _numbers(name, found)}

    def close(self) -> None:
        """Close the file, stop the simulation, close the environment: Arena's order."""
        if self._closed:
            return
        self.dataset.dispose()
        try:
            tear_down(suppress_exceptions=False)
        finally:
            super().close()
            gc.collect()
            if self._torch.cuda.is_available():
                self._torch.cuda.empty_cache()


def _numbers(name: str, value: Any) -> list[tuple[str, float | None]]:
    """Return the numbers in *value*, which may be nested; None for one that is missing or not finite."""
    if isinstance(value, Mapping):
        return [pair for key, part in value.items() for pair in _numbers(f"{name}.{key}", part)]
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, (list, tuple)):
        return [pair for index, part in enumerate(value) for pair in _numbers(f"{name}.{index}", part)]
    if value is None:
        return [(name, None)]
    if not isinstance(value, (bool, int, float)):
        return []
    return [(name, float(value) if math.isfinite(value) else None)]
