"""Ten manipulation tasks, evaluated with their scripted experts."""

import pytest


@pytest.mark.arena("jobs/metaworld.yaml")
def test_metaworld(arena_rollout):
    result = arena_rollout()
    result.assert_thresholds()
    assert result.metrics["return"] > 0
