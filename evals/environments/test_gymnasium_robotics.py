"""Tasks of gymnasium-robotics; see docs/environments.md for what it needs."""

from importlib.util import find_spec

import pytest

if find_spec("gymnasium_robotics") is None:
    pytest.skip("needs gymnasium-robotics: pip install gymnasium-robotics", allow_module_level=True)


@pytest.mark.arena("gymnasium_robotics.yaml")
def test_gymnasium_robotics(arena_rollout):
    arena_rollout().assert_thresholds()
