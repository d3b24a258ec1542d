"""Isaac Lab's own HDF5 recorder, made to write one file a rollout that holds the counted episodes only.

By itself it opens its file when the environment is made, exports what a reset interrupts, and closes the file
when the garbage collector finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from pytest_arena.records.temporary_folders import remove_scratch
from pytest_arena.simulators.array_types import IndexArray
from pytest_arena.simulators.base import DatasetWriter


class IsaacLabDataset(DatasetWriter):
    """The recorder of one environment."""

    def __init__(
        self, base: Any, scratch: Path | None, success: Callable[[], Any | None] = lambda: None
    ) -> None:
        """Take over the recorder of *base*; *scratch* is the folder of the file that it made at its start.

        *success* gives (N,) success of the rows before they are reset, or None where the recorder's own way,
        the term ``success``, is right.
        """
        self._success = success
        self._manager = cast("Any", getattr(base, "recorder_manager", None))  # direct environments have none
        self._scratch = scratch
        self._configurations: list[Any] = [base.cfg.recorders, self._manager.cfg] if self.records else []
        self._rows = np.zeros(int(base.num_envs), np.bool_)
        self._open = False
        self.in_step = False
        """Set by the environment while it steps: only then a reset ends an episode."""
        if self.records:
            self._original = self._manager.record_pre_reset
            self._manager.record_pre_reset = self._record_pre_reset

    @property
    def records(self) -> bool:
        """Whether there is anything that the recorder records and writes."""
        if self._manager is None or not self._manager.active_terms:
            return False
        mode = getattr(self._manager.cfg, "dataset_export_mode", None)
        return mode is None or mode != type(mode)(0)  # EXPORT_NONE

    @property
    def is_open(self) -> bool:
        """Whether a file is being written."""
        return self._open

    def open(self, path: Path) -> None:
        """Write the episodes that follow to *path*; with the suffix ``.hdf5``."""
        if not self.records:
            return
        self.close()
        handler = self._configurations[0].dataset_file_handler_class_type()
        handler.create(str(path), env_name=getattr(self._manager._env.cfg, "env_name", None))
        self._manager._dataset_file_handler = handler
        for configuration in self._configurations:  # what computes metrics from the file looks here
            configuration.dataset_export_dir_path, configuration.dataset_filename = (
                str(path.parent),
                path.stem,
            )
        self._open = True

    def keep(self, env_ids: IndexArray, keep: bool) -> None:
        """Say which rows are in an episode that counts."""
        self._rows[env_ids] = keep

    def keeps(self, row: int) -> bool:
        """Whether *row* is in an episode that counts."""
        return bool(self._rows[row])

    def close(self) -> None:
        """Close the file."""
        handler = getattr(self._manager, "_dataset_file_handler", None)
        if handler is not None:
            handler.close()
            self._manager._dataset_file_handler = None
        self._open = False
        self._rows[:] = False

    def dispose(self) -> None:
        """Close the file, and remove the one that was made with the environment."""
        if self._manager is not None:
            self.close()
            vars(self._manager).pop("record_pre_reset", None)
        if self._scratch is not None:
            remove_scratch(self._scratch)

    def _record_pre_reset(self, env_ids: Any, force_export_or_skip: bool | None = None) -> None:
        """Export the counted episodes among *env_ids*, drop what was recorded of the others."""
        if isinstance(env_ids, slice) or env_ids is None:
            env_ids = range(len(self._rows))[env_ids or slice(None)]
        ids = [int(row) for row in (env_ids.tolist() if hasattr(env_ids, "tolist") else env_ids)]
        recording = self._open and self.in_step
        kept = [row for row in ids if recording and self._rows[row]]
        dropped = [row for row in ids if not (recording and self._rows[row])]
        held = self._success() if kept else None
        if held is not None:
            self._original(self._indices(kept), False)
            self._manager.set_success_to_episodes(kept, held[self._indices(kept)])
            self._manager.export_episodes(kept)
        elif kept:
            self._original(self._indices(kept), force_export_or_skip)
        if dropped:
            # Terms count resets, so they see all of them; without an export nothing of it is written.
            self._original(self._indices(dropped), False)
            self._manager.reset(dropped)

    def _indices(self, rows: list[int]) -> Any:
        import torch

        return torch.tensor(rows, dtype=torch.int64, device=self._manager._env.device)
