"""Learned policies, against thresholds that they meet: not every one has to be perfect."""

from importlib.util import find_spec

import pytest


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch: pip install 'pytest-arena[torch]'")
@pytest.mark.arena("jobs/learned.yaml")
def test_learned(arena_rollout):
    arena_rollout().assert_thresholds()
