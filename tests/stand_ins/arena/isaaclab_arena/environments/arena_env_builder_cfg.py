from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class PhysicsBackend(Enum):
    PHYSX = "physx"
    NEWTON = "newton"


@dataclass
class ArenaEnvBuilderCfg:
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
    record_trajectories: bool = False

    def __post_init__(self) -> None:
        assert self.num_envs > 0, "num_envs must be greater than zero"
