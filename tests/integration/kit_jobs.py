"""Jobs for Isaac Lab on Kit's stand-in."""

from __future__ import annotations

from typing import Any

import pytest

JOBS: dict[str, Any] = {
    # Rows 0 and 3 succeed, 1 falls, 2 runs out of time: a rate of one half.
    "good": {"thresholds": {"success_rate": ">= 0.5"}},
    "bad": {"thresholds": {"success_rate": ">= 0.9"}},
}
DEFAULTS: dict[str, Any] = {
    "simulator": "isaaclab",
    "environment": {"id": "Isaac-Count-v0", "num_envs": 4, "device": "cpu", "cameras": {"wrist": {}}},
    "rollout": {"episodes": 8},
}

both_generations = pytest.mark.parametrize("generation", ["2.3", "3.0"])
"""`AppLauncher`, which starts Kit before anything else, and `launch_simulation`, which starts it for a job."""
