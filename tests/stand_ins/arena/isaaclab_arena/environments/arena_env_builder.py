from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium
from isaaclab import GENERATION, LOG
from isaaclab.app import require_app
from isaaclab.envs import ManagerBasedRLEnvCfg
from isaaclab.managers import RecorderManagerCfg

from isaaclab_arena.metrics.metrics import RECORDERS
from isaaclab_arena.recording.episode_recorder_manager import VariationRecorder

require_app(__name__)

ENVIRONMENT = "isaaclab_arena.environments.isaaclab_arena_manager_based_env:IsaacLabArenaManagerBasedRLEnv"


class ArenaEnvBuilder:
    """*arena_env* is what `isaaclab_arena_environments` describes; *cfg* a typed one, or parsed arguments."""

    def __init__(self, arena_env: Any, cfg: Any, hydra_overrides: list[str] | None = None) -> None:
        self.arena_env, self.cfg, self.hydra_overrides = arena_env, cfg, hydra_overrides or []
        LOG.append(("builder", arena_env, cfg, self.hydra_overrides))

    def _compose(self) -> Any:
        env, cfg = self.arena_env, ManagerBasedRLEnvCfg()
        known = ("light.hdr_image", "light.intensity", f"{env.embodiment}.camera_extrinsics_wrist_camera")
        for override in self.hydra_overrides:
            if not override.startswith(tuple(f"{name}." for name in known)):
                raise ValueError(f"no variation {override}; valid ones: {', '.join(known)}")
        if GENERATION >= (0, 3):
            cfg.seed = self.cfg.seed
        cfg.cameras, cfg.script, cfg.broken_at = env.enable_cameras, env.script, env.broken_at
        cfg.scene.num_envs, cfg.sim.device = self.cfg.num_envs, self.cfg.device
        cfg.recorders = RecorderManagerCfg(dict(RECORDERS)) if env.recorders else None
        cfg.metrics = env.metrics if env.recorders else None
        cfg.task_description = self.cfg.language_instruction or "open the microwave"
        sensor = SimpleNamespace(name="wrist_camera")
        if env.enable_cameras:
            term = SimpleNamespace(params={"sensor_cfg": sensor})
            cfg.observations.camera_obs = SimpleNamespace(wrist_camera_rgb=term)
        return cfg

    def build_registered(self, env_cfg: Any = None, env_kwargs: Any = None) -> Any:
        cfg = self._compose() if env_cfg is None else env_cfg
        if env_kwargs is None:
            path = getattr(self.cfg, "recorded_variation_samples_path", None)
            env_kwargs = {"variation_recorder": VariationRecorder(path)}
        gymnasium.register(
            id=self.arena_env.name,
            entry_point=ENVIRONMENT,
            kwargs={"env_cfg_entry_point": "pinned for ever"},
            disable_env_checker=True,
        )
        return (self.arena_env.name, cfg, env_kwargs)[: 3 if GENERATION >= (0, 3) else 2]

    def make_registered(
        self, env_cfg: Any = None, env_kwargs: Any = None, render_mode: str | None = None
    ) -> Any:
        assert (env_kwargs is not None) == (GENERATION >= (0, 3))
        return gymnasium.make(self.arena_env.name, cfg=env_cfg, render_mode=render_mode, **(env_kwargs or {}))
