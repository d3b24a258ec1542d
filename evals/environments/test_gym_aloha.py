"""Tasks of gym-aloha; see docs/environments.md for what it needs."""

from importlib.util import find_spec

import pytest

if find_spec("gym_aloha") is None:
    pytest.skip("needs gym-aloha: pip install gym-aloha", allow_module_level=True)


@pytest.mark.arena("gym_aloha.yaml")
def test_gym_aloha(arena_rollout):
    arena_rollout().assert_thresholds()
