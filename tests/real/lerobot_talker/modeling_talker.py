from __future__ import annotations

from collections import deque
from typing import Any

import torch
from lerobot.policies.pretrained import PreTrainedPolicy

from tests.real.lerobot_talker.configuration_talker import TalkerConfig


class TalkerPolicy(PreTrainedPolicy):
    """Moves to the middle and a bit further for each word of the instruction, and shakes."""

    config_class = TalkerConfig
    name = "talker"

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(config)
        self.middle = torch.nn.Parameter(torch.full((2,), 256.0))
        self.reset()

    def reset(self) -> None:
        self._action_queue: Any = deque(maxlen=self.config.n_action_steps)

    def predict_action_chunk(self, batch: dict[str, Any], **kwargs: Any) -> Any:
        state = batch["observation.state"]
        words = torch.tensor([float(len(text.split())) for text in batch["task"]])
        shape = (len(state), self.config.chunk_size, 2)
        noise = torch.normal(mean=0.0, std=20.0, size=shape, dtype=torch.float32, device=state.device)
        return self.middle + noise + words[:, None, None]

    def select_action(self, batch: dict[str, Any], **kwargs: Any) -> Any:
        if not self._action_queue:
            chunk = self.predict_action_chunk(batch)[:, : self.config.n_action_steps]
            self._action_queue.extend(chunk.transpose(0, 1))
        return self._action_queue.popleft()

    def forward(self, batch: dict[str, Any]) -> Any: ...

    def get_optim_params(self) -> Any: ...
