"""What is judged of a Meta-World job without Meta-World."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import Any

import pytest

from pytest_arena import MissingDependencyError
from pytest_arena.simulators.mujoco import rendering
from pytest_arena.simulators.mujoco.metaworld import MetaworldSimulator
from pytest_arena.simulators.registry import validate_simulation
from tests.jobs import make_job


def job(success: dict[str, Any] | None = None, **environment: Any) -> Any:
    return make_job(
        simulator="metaworld", environment={"id": "reach-v3", **environment}, success=success or {}
    )


def test_a_good_job_is_accepted() -> None:
    validate_simulation(
        job(
            {"info_key": "success", "when": "at_end"},
            num_envs=4,
            device="cpu",
            max_episode_steps=500,
            cameras={"corner2": {"width": 64, "height": 48}},
            options={"quality": "fast", "terminate_on_success": False},
        )
    )


def test_jobs_share_an_environment_only_under_one_seed() -> None:
    key = MetaworldSimulator().environment_key
    assert key(job(seed=1)) == key(job(seed=1))
    assert key(job(seed=1)) != key(job(seed=2))
    assert key(job(seed=1)) != key(job(seed=1, num_envs=2))


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "metaworld" else real(n))
    with pytest.raises(MissingDependencyError, match=r"pip install 'pytest-arena\[metaworld\]'"):
        MetaworldSimulator().launch(job())


@pytest.mark.process
def test_validation_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tests.jobs import make_job; "
        "from pytest_arena.simulators.registry import validate_simulation; "
        "validate_simulation(make_job(simulator='metaworld', environment={'id': 'reach-v3'})); "
        "print(sorted({'metaworld', 'mujoco', 'OpenGL', 'torch'} & set(sys.modules)))"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have one OpenGL")
@pytest.mark.parametrize(
    ("libraries", "environ", "chosen"),
    [
        ({"EGL", "GL"}, {}, "egl"),
        ({"EGL", "OpenGL", "OSMesa"}, {}, "egl"),
        ({"EGL"}, {}, "disabled"),
        ({"EGL", "OSMesa"}, {}, "osmesa"),
        (set(), {}, "disabled"),
        ({"EGL", "GL"}, {"MUJOCO_GL": "glfw"}, "glfw"),
        ({"EGL", "GL", "OSMesa"}, {"PYOPENGL_PLATFORM": "osmesa"}, "osmesa"),
    ],
)
def test_choice_of_opengl(
    monkeypatch: pytest.MonkeyPatch, libraries: set[str], environ: dict[str, str], chosen: str
) -> None:
    monkeypatch.setattr(os, "environ", dict(environ))
    monkeypatch.setattr(rendering, "_loads", libraries.__contains__)
    rendering.choose_platform()
    assert os.environ["MUJOCO_GL"] == chosen
