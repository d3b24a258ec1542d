from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from isaaclab import GENERATION


class PhysicsBackend(Enum):
    PHYSX = "physx"
    NEWTON = "newton"


@dataclass
class _BuilderCfg:
    num_envs: int = 1
    env_spacing: float = 30.0
    seed: int = 42
    solve_relations: bool = True
    placement_seed: int | None = None
    resolve_on_reset: bool | None = None
    disable_fabric: bool = False
    mimic: bool = False
    presets: PhysicsBackend | None = None
    device: str = "cuda:0"
    language_instruction: str | None = None

    def __post_init__(self) -> None:
        assert self.num_envs > 0, "num_envs must be greater than zero"


if GENERATION < (0, 3, 1):
    ArenaEnvBuilderCfg = _BuilderCfg
else:

    @dataclass
    class ArenaEnvBuilderCfg(_BuilderCfg):
        record_trajectories: bool = False
        recorder_dataset_export_dir_path: str | None = None
        recorder_dataset_filename: str | None = None
        recorded_variation_samples_path: str | None = None
        camera_height: int | None = None
