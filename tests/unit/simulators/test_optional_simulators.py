"""What is judged of jobs on ManiSkill and LIBERO without them."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from pytest_arena import JobFileError, MissingDependencyError
from pytest_arena.simulators.registry import find_simulator, validate_simulation
from tests.jobs import make_job

LIBERO: dict[str, Any] = {"id": "libero_spatial/0"}


def job(simulator: str, success: Any = None, **environment: Any) -> Any:
    base = {"id": "PickCube-v1"} if simulator == "maniskill" else LIBERO
    return make_job(simulator=simulator, environment={**base, **environment}, success=success or {})


@pytest.mark.parametrize(
    ("simulator", "changes", "key"),
    [
        ("maniskill", {"variations": {"light": {}}}, "environment.variations"),
        ("maniskill", {"success": {"callable": "a:b"}}, "success.callable"),
        ("maniskill", {"options": {"make": {"num_envs": 3}}}, "environment.options.make.num_envs"),
        ("maniskill", {"options": {"reconfiguration_freq": 2}}, "environment.options.reconfiguration_freq"),
        ("maniskill", {"options": {"obs_mod": "rgb"}}, "environment.options.obs_mod"),
        ("libero", {"id": "libero_spatial"}, "environment.id"),
        ("libero", {"variations": {"light": {}}}, "environment.variations"),
        ("libero", {"device": "cuda:0"}, "environment.device"),
        ("libero", {"success": {"term": "done"}}, "success.term"),
        ("libero", {"cameras": {"agentview": {}}}, "environment.cameras.agentview"),
        ("libero", {"options": {"images": ["agentveiw"]}}, "environment.options.images"),
        ("libero", {"options": {"settle_steps": -1}}, "environment.options.settle_steps"),
    ],
)
def test_a_mistake_is_named_with_its_key(simulator: str, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(JobFileError) as error:
        validate_simulation(job(simulator, **changes))
    assert f"job.{key}" in str(error.value)


@pytest.mark.parametrize(
    ("simulator", "changes"),
    [
        ("maniskill", {"options": {"make": {"enable_shadow": True}, "modules": []}, "cameras": {"top": {}}}),
        ("maniskill", {"success": {"info_key": "is_grasped", "when": "at_end"}}),
        ("libero", {"cameras": {"render_agentview": {}}, "options": {"image_size": [128, 128]}}),
    ],
)
def test_good_jobs_are_accepted(simulator: str, changes: dict[str, Any]) -> None:
    validate_simulation(job(simulator, **changes))


@pytest.mark.parametrize("simulator", ["maniskill", "libero"])
def test_a_missing_package_is_named(simulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    made = job(simulator)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'pytest-arena\[{simulator}\]'"):
        find_simulator(made).launch(made)
