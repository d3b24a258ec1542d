"""Isaac Lab 3.0 on the CPU: a task of our own, see docs/isaaclab.md for the installation."""

from importlib.util import find_spec

import pytest


@pytest.mark.skipif(
    find_spec("isaaclab") is None or find_spec("isaaclab_newton") is None,
    reason="needs Isaac Lab 3.0: docs/isaaclab.md says how to install it",
)
@pytest.mark.arena("jobs/isaaclab.yaml")
def test_isaaclab(arena_rollout):
    arena_rollout().assert_thresholds()
