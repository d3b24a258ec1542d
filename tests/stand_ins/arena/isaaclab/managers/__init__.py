"""Recorders and terminations, with the habits of the real ones."""

from __future__ import annotations

import os
from enum import Enum
from types import SimpleNamespace
from typing import Any

import h5py
import torch

from isaaclab.app import require_app

require_app(__name__)


class DatasetExportMode(Enum):
    EXPORT_NONE = 0
    EXPORT_ALL = 1


class HDF5DatasetFileHandler:
    def create(self, file_path: str, env_name: str | None = None) -> None:
        os.makedirs(os.path.dirname(file_path), exist_ok=True)
        self._file = h5py.File(file_path, "w")
        self._demos = 0
        self._file.create_group("data").attrs["env_name"] = env_name or ""

    def write(self, parts: dict[str, list[torch.Tensor]], success: bool) -> None:
        group = self._file["data"].create_group(f"demo_{self._demos}")
        for name, rows in parts.items():
            group.create_dataset(name, data=torch.stack(rows).numpy())
        group.attrs["success"] = success
        self._demos += 1
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class RecorderManagerCfg:
    """What Arena composes: a container of terms, with the recorder's own settings beside them."""

    def __init__(self, terms: dict[str, Any]) -> None:
        self.terms = terms
        self.dataset_file_handler_class_type = HDF5DatasetFileHandler
        self.dataset_export_dir_path = "/proc/shared-by-all-processes"
        self.dataset_filename = "dataset_20260101_000000_rank0"
        self.dataset_export_mode = DatasetExportMode.EXPORT_ALL
        self.export_in_record_pre_reset = True


class RecorderManager:
    def __init__(self, cfg: RecorderManagerCfg | None, env: Any) -> None:
        self.cfg, self._env = cfg, env
        self._terms = {} if cfg is None else {name: cls(env) for name, cls in cfg.terms.items()}
        self._episodes: dict[int, dict[str, list[torch.Tensor]]] = {}
        self._dataset_file_handler = None
        if self._terms and cfg.dataset_export_mode != DatasetExportMode.EXPORT_NONE:
            self._dataset_file_handler = cfg.dataset_file_handler_class_type()
            path = os.path.join(cfg.dataset_export_dir_path, f"{cfg.dataset_filename}.hdf5")
            self._dataset_file_handler.create(path)

    @property
    def active_terms(self) -> list[str]:
        return list(self._terms)

    def _add(self, key: str | None, values: Any, rows: list[int]) -> None:
        if key is not None:
            for row, value in zip(rows, values, strict=True):
                self._episodes.setdefault(row, {}).setdefault(key, []).append(value.clone())

    def record_post_step(self) -> None:
        rows = [row for row in range(self._env.num_envs) if self._env.active_episode_mask[row]]
        for term in self._terms.values():
            key, values = term.record_post_step()
            self._add(key, None if values is None else values[rows], rows)

    def record_pre_reset(self, env_ids: Any, force_export_or_skip: bool | None = None) -> None:
        if not self._terms:
            return
        rows = [int(row) for row in env_ids]
        for term in self._terms.values():
            self._add(*term.record_pre_reset(env_ids), rows)
        if force_export_or_skip or (force_export_or_skip is None and self.cfg.export_in_record_pre_reset):
            self.export(rows)

    def export(self, rows: list[int]) -> None:
        for row in rows:
            parts = self._episodes.pop(row, {})
            if parts and self._dataset_file_handler is not None:
                success = bool(self._env.termination_manager.get_term("success")[row])
                self._dataset_file_handler.write(parts, success)

    def reset(self, env_ids: Any) -> None:
        for row in env_ids:
            self._episodes.pop(int(row), None)


class RecorderTerm:
    def __init__(self, env: Any) -> None:
        self._env = env

    def record_post_step(self) -> Any:
        return None, None

    def record_pre_reset(self, env_ids: Any) -> Any:
        return None, None


class TerminationManager:
    def __init__(self, env: Any, terms: list[str], success: Any) -> None:
        self._names, self._success = terms, success
        self.columns = torch.zeros((env.num_envs, len(terms)), dtype=torch.bool)

    @property
    def active_terms(self) -> list[str]:
        return self._names

    def get_term(self, name: str) -> torch.Tensor:
        return self.columns[:, self._names.index(name)]

    def get_term_cfg(self, name: str) -> Any:
        assert name == "success"
        return SimpleNamespace(func=self._success, params={})
