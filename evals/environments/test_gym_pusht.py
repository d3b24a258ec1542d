"""Tasks of gym-pusht; see docs/environments.md for what it needs."""

from importlib.util import find_spec

import pytest

if find_spec("gym_pusht") is None:
    pytest.skip("needs gym-pusht: pip install gym-pusht", allow_module_level=True)


@pytest.mark.arena("gym_pusht.yaml")
def test_gym_pusht(arena_rollout):
    arena_rollout().assert_thresholds()
