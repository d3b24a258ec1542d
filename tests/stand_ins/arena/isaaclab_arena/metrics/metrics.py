"""Metrics from the file on disk; what they are called and mean is upstream's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import torch
from isaaclab import GENERATION
from isaaclab.managers import RecorderTerm


class SuccessRecorder(RecorderTerm):
    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.first = True

    def record_pre_reset(self, env_ids: Any) -> Any:
        if self.first and GENERATION < (0, 3, 1):
            assert len(env_ids) == self._env.num_envs, "the first reset must be of all environments"
            self.first = False
            return None, None
        return "success", self._env.termination_manager.get_term("success")[env_ids]


class VelocityRecorder(RecorderTerm):
    def record_post_step(self) -> Any:
        fast = self._env.episode_length_buf >= 5
        return "object_linear_velocity", torch.stack([fast, fast & False, fast & False], dim=1).float()


class StepRecorder(RecorderTerm):
    def record_post_step(self) -> Any:
        n = self._env.num_envs
        return "step", torch.stack([torch.arange(n), self._env.episode, self._env.episode_length_buf], dim=1)


RECORDERS = {"success": SuccessRecorder, "velocity": VelocityRecorder, "step": StepRecorder}


@dataclass
class MetricData:
    term_name: str
    term_cfg: Any
    recorded_data: Any
    metric_value: Any


@dataclass
class MetricsDataCollection:
    num_episodes: int
    metric_data_entries: Any


def compute(env: Any) -> Any:
    recorders = env.cfg.recorders
    path = os.path.join(recorders.dataset_export_dir_path, f"{recorders.dataset_filename}.hdf5")
    with h5py.File(path, "r") as file:
        demos = list(file["data"].values())
        success = [demo["success"][0] for demo in demos]
        moved = [bool((np.abs(demo["object_linear_velocity"][:]) > 0.5).any()) for demo in demos]
    values = {
        "success_rate": np.mean(success) if success else 0.0,
        "object_moved_rate": np.float64(np.mean(moved)) if moved else float("nan"),
        "subtask_success_rate": [0.25, np.float32(0.5)],
        "path_length": float("nan"),
        **(env.cfg.metrics or {}),
    }
    if GENERATION < (0, 3):
        return {**values, "num_episodes": len(demos)}
    entries = {name: MetricData(name, None, [], value) for name, value in values.items()}
    return MetricsDataCollection(len(demos), entries if GENERATION >= (0, 3, 1) else list(entries.values()))
