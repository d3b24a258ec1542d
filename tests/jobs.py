"""Jobs for tests, with little to type."""

from __future__ import annotations

from typing import Any

from pytest_arena import Job


def make_job(name: str = "job", **changes: Any) -> Job:
    """Return a job on a gymnasium environment; *changes* replace top-level keys."""
    data: dict[str, Any] = {
        "name": name,
        "simulator": "gymnasium",
        "environment": {"id": "CartPole-v1"},
        "policy": {"type": "zero"},
        "rollout": {"episodes": 4},
    }
    return Job.model_validate({**data, **changes})
