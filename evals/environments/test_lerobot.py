"""Tasks of LeRobot; see docs/environments.md for what it needs."""

from importlib.util import find_spec

import pytest

if not all(map(find_spec, ("lerobot", "gym_pusht", "metaworld"))):
    pytest.skip("needs lerobot: pip install 'lerobot[pusht,metaworld]'", allow_module_level=True)


@pytest.mark.arena("lerobot.yaml")
def test_lerobot(arena_rollout):
    arena_rollout().assert_thresholds()
