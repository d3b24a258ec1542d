"""What a mistake is told to be near to."""

from __future__ import annotations

import pytest

from pytest_arena.errors import did_you_mean

SIMULATORS = ("gymnasium", "isaaclab", "isaaclab_arena", "metaworld", "mjlab")
KEYS = ("environment", "gate", "language_instruction", "policy", "record", "rollout", "simulator", "success")
ENVIRONMENT = ("cameras", "device", "id", "max_episode_steps", "num_envs", "options", "seed", "variations")
METRICS = ("episode_length", "return", "success_at_end_rate", "success_rate", "time_to_success")


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("gym", SIMULATORS, "gymnasium"),
        ("Gymnasium", SIMULATORS, "gymnasium"),
        ("isaac-lab", SIMULATORS, "isaaclab"),
        ("IsaacLabArena", SIMULATORS, "isaaclab_arena"),
        ("isaac", SIMULATORS, "isaaclab"),
        ("env", KEYS, "environment"),
        ("lang", KEYS, "language_instruction"),
        ("rolout", KEYS, "rollout"),
        ("n_envs", ENVIRONMENT, "num_envs"),
        ("max_ep_steps", ENVIRONMENT, "max_episode_steps"),
        ("cams", ENVIRONMENT, "cameras"),
        ("SUCCESS-RATE", METRICS, "success_rate"),
        ("ep_len", METRICS, "episode_length"),
        ("success", METRICS, "success_rate"),
        ("eps", ("episodes", "steps"), "episodes"),
        ("episodes_per_env", ("episodes", "steps"), "episodes"),
        ("ckpt", ("checkpoint", "chunk"), "checkpoint"),
        ("cart_cgf", ("CART", "cart_cfg"), "cart_cfg"),
        ("reach", ("push-v3", "reach-wall-v3", "reach-v3"), "reach-v3"),
    ],
)
def test_a_near_miss(word: str, known: tuple[str, ...], meant: str) -> None:
    assert did_you_mean(word, known) == f" (did you mean {meant!r}?)"


@pytest.mark.parametrize(
    "word",
    ["", "to", "xyz", "foo", "sit", "cat", "model", "gpu", "horizon", "mujoco", "ros", "agent", "日本", "__"],
)
def test_an_unrelated_word(word: str) -> None:
    assert did_you_mean(word, (*SIMULATORS, *KEYS, *ENVIRONMENT, *METRICS)) == ""
