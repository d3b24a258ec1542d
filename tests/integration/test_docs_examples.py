"""The examples of the documentation run: an adapter, policies, a recorder, a policy from a fixture."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.inner import ROOT
from tests.integration.conftest import Suite

ENTRY_POINT = "[pytest_arena.simulators]\npoint = point_simulator:PointSimulator\n"
JOBS = """
defaults:
  simulator: point
  environment: {id: point, num_envs: 2}
  rollout: {episodes: 4}
jobs:
  seeker: {policy: {type: "point_policy:Seeker", gain: 10}, thresholds: {success_rate: ">= 1"}}
  gain: {policy: {type: "arena_policy:Gain", gain: 10}, thresholds: {success_rate: ">= 1"}}
  planner: {policy: {type: "my_planner:Planner", gain: 10, execute: 1}, thresholds: {success_rate: ">= 1"}}
"""


def example(page: str, containing: str) -> str:
    """Return the Python example of *page* that contains a text."""
    found = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in found if containing in block]
    return block


@pytest.fixture
def project(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the adapter of docs/simulators.md, installed, and the policies of docs/own-policies.md."""
    path = suite.path
    (path / "point_simulator.py").write_text(example("simulators.md", "class PointSimulator"))
    (path / "point_cameras.py").write_text(example("simulators.md", "class PointCameras"))
    (path / "point_policy.py").write_text(example("own-policies.md", "class Seeker"))
    (path / "my_planner.py").write_text(example("own-policies.md", "class Planner"))
    (path / "arena_policy.py").write_text(example("own-policies.md", "class Gain"))
    installed = path / "point-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: point\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(ENTRY_POINT)
    (path / "jobs.yaml").write_text(JOBS)
    monkeypatch.setenv("PYTHONPATH", str(path), prepend=":")
    return path


def test_the_adapter_keeps_the_contract(project: Path, suite: Suite) -> None:
    (project / "test_contract.py").write_text(example("simulators.md", "SimEnvContract"))
    result = suite.run("test_contract.py")
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] >= 8


def test_the_policies_solve_the_task_of_the_adapter(project: Path, suite: Suite) -> None:
    result = suite.run("--arena-jobs", "jobs.yaml")
    result.assert_outcomes(passed=3)
    assert run_example(suite, "results.md", "print(record.job").startswith("seeker 1.0 [")
    assert run_example(suite, "statistics.md", "recheck") == "seeker holds\ngain holds\nplanner holds\n"


def run_example(suite: Suite, page: str, containing: str) -> str:
    """Return what an example prints that reads a run directory; it reads that of the latest run."""
    code = re.sub(r"arena-results/\w+-\w+", str(suite.run_dir), example(page, containing))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    return printed.getvalue()


def test_jobs_are_evaluated_without_pytest(project: Path, suite: Suite) -> None:
    (project / "script.py").write_text(example("tests-and-fixtures.md", "import evaluate, load_jobs"))
    done = suite.pytester.run(sys.executable, "script.py")
    assert done.outlines == ["seeker pass 1.0", "gain pass 1.0", "planner pass 1.0"]


def test_the_fixtures_give_another_policy_and_a_recorder(project: Path, suite: Suite) -> None:
    (project / "conftest.py").write_text(
        example("tests-and-fixtures.md", "class Constant")
        + example("tests-and-fixtures.md", "class ActionLog")
    )
    result = suite.run("--arena-jobs", "jobs.yaml", "-k", "seeker", "--arena-set", "thresholds=null")
    result.assert_outcomes(passed=1)
    actions = np.load(suite.run_dir / "seeker" / "actions.npy")
    assert actions.shape[1] == 1
    assert (actions == 0.5).all()


def test_the_cameras_of_the_adapter_are_filmed(project: Path, suite: Suite) -> None:
    (project / "conftest.py").write_text(
        "import pytest\n"
        "from point_cameras import PointCameras\n\n"
        "@pytest.fixture\n"
        "def arena_env(arena_env):\n"
        "    arena_env.cameras = PointCameras(arena_env)\n"
        "    return arena_env\n"
    )
    suite.run("--arena-jobs", "jobs.yaml", "-k", "seeker", "--arena-video", "on").assert_outcomes(passed=1)
    assert len(suite.record("seeker")["videos"]) == 4


def test_a_class_with_act_alone_is_a_policy(suite: Suite) -> None:
    (suite.path / "line.py").write_text(
        """
import gymnasium
import numpy as np

class Line(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-9, 9, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.goal = self.np_random.uniform(-2, 2, 2)
        return np.array([self.x, self.goal], np.float32), {}

    def step(self, action):
        self.x += 0.2 * float(action[0])
        near = abs(self.x - self.goal) < 0.1
        return np.array([self.x, self.goal], np.float32), 0.0, near, False, {"success": near}

gymnasium.register("line/Line-v0", entry_point=Line, max_episode_steps=60)
"""
    )
    (suite.path / "my_policies.py").write_text(example("own-policies.md", "class Proportional"))
    (suite.path / "jobs.yaml").write_text(
        "jobs:\n"
        "  reach:\n"
        "    simulator: gymnasium\n"
        '    environment: {id: "line:line/Line-v0", num_envs: 2}\n'
        "    rollout: {episodes: 4}\n"
        '    thresholds: {success_rate: ">= 0.99"}\n'
        '    policy: {type: "my_policies:Proportional", gain: 5}\n'
    )
    suite.test()
    suite.run().assert_outcomes(passed=1)
    assert suite.record("reach")["reproducible"]
