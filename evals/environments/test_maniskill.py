"""Tasks of ManiSkill; see docs/environments.md for what it needs."""

from importlib.util import find_spec

import pytest

if find_spec("mani_skill") is None:
    pytest.skip("needs mani-skill: pip install mani-skill", allow_module_level=True)


@pytest.mark.arena("maniskill.yaml")
def test_maniskill(arena_rollout):
    arena_rollout().assert_thresholds()
