"""Tasks of robosuite; see docs/environments.md for what it needs."""

from importlib.util import find_spec

import pytest

if find_spec("robosuite") is None:
    pytest.skip("needs robosuite: pip install robosuite", allow_module_level=True)


@pytest.mark.arena("robosuite.yaml")
def test_robosuite(arena_rollout):
    arena_rollout().assert_thresholds()
