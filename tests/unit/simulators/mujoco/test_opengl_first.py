"""OpenGL is chosen before a module of a job is imported: what is built on MuJoCo reads the choice once."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

from pytest_arena import load_jobs
from pytest_arena.evaluation.validate import validate
from pytest_arena.simulators import registry

MODULE = """
import os
import gymnasium

SEEN = os.environ.get("MUJOCO_GL")
gymnasium.register("opengl/Seen-v0", entry_point="gymnasium.envs.classic_control:CartPoleEnv")


class Zero:
    def act(self, observation):
        return [0] * len(observation)
"""
JOBS = """
jobs:
  job:
    simulator: gymnasium
    environment: {id: "opengl_seen:opengl/Seen-v0", cameras: {render: {}}}
    policy: {type: "opengl_seen:Zero"}
    rollout: {episodes: 1}
"""


@pytest.mark.parametrize("given", [None, "osmesa"])
def test_a_module_of_a_job_sees_the_choice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str | None
) -> None:
    name = f"opengl_seen_{given}"  # a process can have one module of a name
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / "jobs.yaml").write_text(JOBS.replace("opengl_seen", name))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"})
    if given is not None:
        os.environ["MUJOCO_GL"] = given
    registry._load.cache_clear()  # as at the first job of a process
    (job,) = load_jobs(tmp_path / "jobs.yaml")
    validate(job)
    seen = importlib.import_module(name).SEEN
    assert seen == os.environ["MUJOCO_GL"]
    assert seen in ("egl", "osmesa", "disabled") if given is None else seen == given
