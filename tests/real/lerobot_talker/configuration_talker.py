from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import NormalizationMode


@PreTrainedConfig.register_subclass("talker")
@dataclass
class TalkerConfig(PreTrainedConfig):
    chunk_size: int = 4
    n_action_steps: int = 3
    normalization_mapping: dict[str, NormalizationMode] = field(
        default_factory=lambda: {
            "VISUAL": NormalizationMode.IDENTITY,
            "STATE": NormalizationMode.IDENTITY,
            "ENV": NormalizationMode.IDENTITY,
            "ACTION": NormalizationMode.IDENTITY,
        }
    )

    observation_delta_indices: Any = None
    action_delta_indices: Any = None
    reward_delta_indices: Any = None

    def get_optimizer_preset(self) -> Any: ...

    def get_scheduler_preset(self) -> Any: ...

    def validate_features(self) -> None: ...
