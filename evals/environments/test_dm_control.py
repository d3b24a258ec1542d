"""Tasks of dm_control through shimmy; see docs/environments.md for what it needs."""

from importlib.util import find_spec

import pytest

if find_spec("shimmy") is None or find_spec("dm_control") is None:
    pytest.skip("needs dm_control: pip install 'shimmy[dm-control]'", allow_module_level=True)


@pytest.mark.arena("dm_control.yaml")
def test_dm_control(arena_rollout):
    arena_rollout().assert_thresholds()
