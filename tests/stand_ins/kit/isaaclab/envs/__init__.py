"""Stand-in for environments: one at a time, cameras as the app was started. 2.3: importable once Kit runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import kit_stand_in

from tests.lab_fakes import FakeLabEnv

if kit_stand_in.GENERATION == 2:
    kit_stand_in.require_running()


class ManagerBasedRLEnvCfg:
    """The part of a configuration that a job can set."""

    def __init__(self) -> None:
        self.seed: int | None = None
        self.scene = SimpleNamespace(num_envs=1, wrist=SimpleNamespace(width=6, height=4))
        self.sim = SimpleNamespace(device="cuda:0", dt=0.01)
        self.decimation, self.episode_length_s = 2, 0.1
        self.recorders = None
        self.num_rerenders_on_reset = 0
        if kit_stand_in.GENERATION > 2:
            self.compute_final_obs = False


class ManagerBasedRLEnv(FakeLabEnv):
    """The exact fake; its rows succeed, fail or time out as their index says."""

    open: ClassVar[list[Any]] = []

    def __init__(self, cfg: ManagerBasedRLEnvCfg, **kwargs: Any) -> None:
        kit_stand_in.require_running()
        kit_stand_in.update()
        if self.open:
            raise RuntimeError("Simulation context already exists. Cannot create a new one.")
        cameras = cfg.scene.wrist is not None
        if cameras and not kit_stand_in.STARTED["enable_cameras"]:
            raise RuntimeError("A camera was spawned without the --enable_cameras flag.")
        n = cfg.scene.num_envs
        outcomes = [("success", "fallen", "time_out", "success")[row % 4] for row in range(n)]
        super().__init__(
            [(3, 5, 4, 2)[row % 4] for row in range(n)], outcomes, final_obs=False, cameras=cameras
        )
        self.cfg = cfg
        self.open.append(self)

    def reset(self, **kwargs: Any) -> Any:
        """Reset rows; every row's first image needs a frame of the app."""
        kit_stand_in.update()
        return super().reset(**kwargs)

    def step(self, action: Any) -> Any:
        """Step all rows."""
        kit_stand_in.update()
        return super().step(action)

    def close(self) -> None:
        """Close it, once."""
        super().close()
        self.open.remove(self)
