"""Job files in IsaacLab-Arena's two formats, as they are."""

from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("isaaclab_arena") is None,
    reason="needs IsaacLab-Arena: pip install 'pytest-arena[isaaclab]', then its own package",
)


@pytest.mark.arena(
    "jobs/arena/getting_started_jobs_config.json",
    "jobs/arena/zero_action_jobs_config.json",
    "jobs/arena/droid_pnp_variations_config.json",
)
def test_isaaclab_arena(arena_rollout):
    arena_rollout().assert_thresholds()


@pytest.mark.arena("jobs/arena/droid_pnp_variations_experiment.yaml")
def test_typed(arena_rollout):
    arena_rollout().assert_thresholds()


@pytest.mark.skipif(find_spec("isaaclab_arena_gr00t") is None, reason="needs Arena's package for GR00T")
@pytest.mark.arena("jobs/arena/gr00t_jobs_config.json")
def test_gr00t(arena_rollout):
    arena_rollout().assert_thresholds()
