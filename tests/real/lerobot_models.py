"""Small policies with random weights, saved as LeRobot saves trained ones, and an easy PushT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.policies.vqbet.configuration_vqbet import VQBeTConfig

STATE = {"observation.state": PolicyFeature(FeatureType.STATE, (2,))}
KEYPOINTS = {**STATE, "observation.environment_state": PolicyFeature(FeatureType.ENV, (16,))}
PIXELS = {**STATE, "observation.image": PolicyFeature(FeatureType.VISUAL, (3, 96, 96))}
OUTPUT = {"action": PolicyFeature(FeatureType.ACTION, (2,))}


def common(inputs: Any) -> dict[str, Any]:
    return {"input_features": inputs, "output_features": OUTPUT, "device": "cpu", "push_to_hub": False}


def act(inputs: Any = KEYPOINTS, **changes: Any) -> Any:
    """Chunks of 8 actions, of which 6 are executed."""
    sizes = {
        "dim_model": 32,
        "n_heads": 2,
        "dim_feedforward": 32,
        "n_encoder_layers": 1,
        "n_vae_encoder_layers": 1,
    }
    steps = {"latent_dim": 4, "chunk_size": 8, "n_action_steps": 6, **changes}
    return ACTConfig(**common(inputs), pretrained_backbone_weights=None, **sizes, **steps)


def diffusion(inputs: Any = KEYPOINTS, **changes: Any) -> Any:
    """Two observations, chunks of 8 actions, of which 5 are executed, and 4 steps of denoising, with noise in each."""
    sizes = {
        "down_dims": (16, 32),
        "n_groups": 4,
        "diffusion_step_embed_dim": 16,
        "spatial_softmax_num_keypoints": 4,
    }
    steps = {"n_obs_steps": 2, "horizon": 8, "n_action_steps": 5, "num_train_timesteps": 4, **changes}
    return DiffusionConfig(**common(inputs), pretrained_backbone_weights=None, **sizes, **steps)


def vqbet(inputs: Any = PIXELS) -> Any:
    """Three observations, chunks of 4 actions, each drawn from a code book."""
    gpt = {"gpt_n_layer": 1, "gpt_n_head": 2, "gpt_hidden_dim": 32, "gpt_output_dim": 32, "gpt_input_dim": 32}
    codes = {"vqvae_embedding_dim": 16, "vqvae_enc_hidden_dim": 16, "spatial_softmax_num_keypoints": 4}
    steps = {"n_obs_steps": 3, "n_action_pred_token": 2, "action_chunk_size": 4}
    return VQBeTConfig(**common(inputs), pretrained_backbone_weights=None, **gpt, **codes, **steps)


def save(folder: Path, config: Any) -> Path:
    """Save a policy with the random weights of a fixed seed, which moves the agent through the whole of PushT."""
    torch.manual_seed(0)
    model = get_policy_class(config.type)(config)
    middle = {"observation.state": 2, "action": 2, "observation.environment_state": 16}
    stats = {
        name: {
            "min": torch.zeros(size), "max": torch.full((size,), 512.0),
            "mean": torch.full((size,), 256.0), "std": torch.full((size,), 150.0),
        }
        for name, size in middle.items()
    }  # fmt: skip
    stats["observation.image"] = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.25)}
    model.save_pretrained(folder)
    for processor in make_pre_post_processors(config, dataset_stats=stats):
        processor.save_pretrained(folder)
    return folder


def easy_pusht(monkeypatch: pytest.MonkeyPatch, coverage: float = 0.05) -> None:
    """Let PushT succeed at this *coverage*, so that a policy with random weights has successes and failures."""
    from gym_pusht.envs.pusht import PushTEnv

    make = PushTEnv.__init__

    def easier(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        self.success_threshold = coverage

    monkeypatch.setattr(PushTEnv, "__init__", easier)
