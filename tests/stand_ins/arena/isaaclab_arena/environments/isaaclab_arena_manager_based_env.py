from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from isaaclab import GENERATION, LOG
from isaaclab.envs import ManagerBasedRLEnv
from isaaclab.managers import DatasetExportMode, RecorderManagerCfg, RecorderTerm

from isaaclab_arena.metrics.metrics import compute
from isaaclab_arena.recording.episode_recorder_manager import EpisodeRecorderManager


class IsaacLabArenaManagerBasedRLEnv(ManagerBasedRLEnv):
    def __init__(
        self, cfg: Any, render_mode: str | None = None, variation_recorder: Any = None, **kwargs: Any
    ) -> None:
        self._limit, self._started = None, 0
        self._first_reset, self._episode_counts = True, dict.fromkeys(range(cfg.scene.num_envs), 0)
        self.variation_recorder = variation_recorder
        super().__init__(cfg, render_mode, **kwargs)

    def get_episode_index(self, env_id: int) -> int:
        return self._episode_counts[env_id]

    def _script(self, row: int) -> tuple[int, str]:
        script = self.cfg.script
        return script[row % len(script)] if script else super()._script(row)

    def step(self, action: Any) -> Any:
        if self.steps + 1 == self.cfg.broken_at:
            raise RuntimeError("the simulator broke")
        return super().step(action)

    def compute_metrics(self) -> Any:
        LOG.append(("compute_metrics",))
        return compute(self)

    if GENERATION >= (0, 3):

        def get_language_instruction(self) -> str | None:
            return self.cfg.task_description

    if GENERATION >= (0, 3, 1):

        def load_managers(self) -> None:
            """Results of episodes are a recorder too, one that writes no dataset."""
            if self.cfg.recorders is None:
                self.cfg.recorders = RecorderManagerCfg({"arena_episode_results": RecorderTerm})
                self.cfg.recorders.dataset_export_mode = DatasetExportMode.EXPORT_NONE
            super().load_managers()
            self.episode_recorder_manager = EpisodeRecorderManager(self)

        @property
        def episode_recorder(self) -> Any:
            return self.episode_recorder_manager

        def _end(self, done: torch.Tensor) -> None:
            if self.manual:
                self._record(done)
            super()._end(done)

        def _record(self, env_ids: Any) -> None:
            self.episode_recorder_manager.record_pre_reset(env_ids)
            for env_id in map(int, env_ids):
                self._episode_counts[env_id] += 1

        def set_episode_limit(self, episode_limit: int | None) -> None:
            assert episode_limit is None or self.manual, "Finite episode limits require DISABLED"
            assert self._started == 0, "The episode limit cannot change after episodes have started"
            self._limit = episode_limit

        @property
        def episode_scheduler(self) -> Any:
            active = int(self.active_episode_mask.sum()) if self._started else 0
            return SimpleNamespace(
                num_episodes_started=self._started, num_episodes_completed=self._started - active
            )

        def reset(self, env_ids: Any = None, *, seed: Any = None, options: Any = None) -> Any:
            if self._limit is not None:
                rows = torch.arange(self.num_envs)[slice(None) if env_ids is None else env_ids]
                assert not self.active_episode_mask[rows].any(), "Cannot reset active environments"
                env_ids = rows[: self._limit - self._started]
                if len(env_ids) == 0:
                    LOG.append(("reset that starts nothing",))
                    return self.obs_buf, self.extras
            return super().reset(env_ids, seed=seed, options=options)

        def _reset_idx(self, env_ids: Any) -> None:
            self._started += len(env_ids)
            assert self._limit is None or self._started <= self._limit, "exceeds the episode limit"
            if not self.manual and not self._first_reset:
                self._record(env_ids)
            self._first_reset = False
            for env_id in map(int, env_ids):
                self.variation_recorder.start(env_id, self._episode_counts[env_id])
            super()._reset_idx(env_ids)
