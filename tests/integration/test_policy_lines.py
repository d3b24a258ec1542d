"""Each line of "I have …" in docs/policies.md is run as it stands, with the files that it names."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import ROOT, Suite
from tests.integration.test_docs_examples import example
from tests.policy_files import LINES, MAKERS, PENDULUM, TABLE, environment_of

SERVERS = {"openpi", "roboarena", "gr00t", "vla_eval"}
ENVIRONMENT = """
import gymnasium
import numpy as np

class Still(gymnasium.Env):
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, size):
        self.observation_space = gymnasium.spaces.Box(-1, 1, (size,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-1, 1, self.observation_space.shape).astype(np.float32)
        return self.state, {}

    def step(self, action):
        return self.state, float(action[0]), False, False, {}
"""


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the lines name."""
    folder = tmp_path_factory.mktemp("policy_files")
    subprocess.run([sys.executable, "-m", "tests.policy_files", str(folder)], cwd=ROOT, check=True)
    return folder


def run_with_one_row_and_three(suite: Suite, line: dict[str, Any], environment: dict[str, Any]) -> None:
    rows = {"one": {"environment": {"num_envs": 1}}, "three": {"environment": {"num_envs": 3}}}
    environment = {"max_episode_steps": 12, **environment}
    suite.jobs(
        rows, policy=line, environment=environment, rollout={"episodes": 4}, success={"length": ">= 3"}
    )
    suite.run("--arena-jobs", "jobs.yaml").assert_outcomes(passed=2)
    keys = ("initial_state", "length", "return")
    one, three = ([[e[key] for key in keys] for e in suite.episodes(job)] for job in rows)
    assert one == three
    assert len({state for state, *_ in one}) == 4


@pytest.mark.parametrize(
    "line",
    [line for line in LINES if line["type"] in {*MAKERS, "random"}],
    ids=lambda line: "-".join(map(str, line.values()))[:60],
)
def test_a_file(suite: Suite, files: Path, line: dict[str, Any]) -> None:
    package, _ = MAKERS.get(line["type"], ("gymnasium", None))
    if find_spec(package) is None:
        pytest.skip(f"needs {package}")
    shutil.copytree(files, suite.path, dirs_exist_ok=True)
    run_with_one_row_and_three(suite, line, {"id": environment_of(line)})


@pytest.mark.parametrize(
    ("line", "size"),
    [(line, 2 if "Proportional" in line["type"] else 1) for line in LINES if ":" in line["type"]],
    ids=lambda given: given["type"] if isinstance(given, dict) else "",
)
def test_a_class(suite: Suite, line: dict[str, Any], size: int) -> None:
    module, _, name = line["type"].partition(":")
    (suite.path / f"{module}.py").write_text(example("own-policies.md", f"class {name}:"))
    (suite.path / "line_environment.py").write_text(ENVIRONMENT)
    environment = {"id": "line_environment:Still", "options": {"make": {"size": size}}}
    run_with_one_row_and_three(suite, {**line, "gain": 0.1}, environment)


def test_recorded_actions(suite: Suite) -> None:
    (line,) = [line for line in LINES if line["type"] == "replay"]
    environment = {"id": PENDULUM, "max_episode_steps": 12}
    jobs = {"job": {"environment": environment, "success": {"length": ">= 3"}}}
    suite.jobs(jobs, record={"trajectory": True}, policy={"type": "random"})
    suite.run("--arena-jobs", "jobs.yaml")
    recorded = [e["return"] for e in suite.episodes("job")]
    shutil.copy(suite.run_dir / "job" / "dataset.hdf5", suite.path / line["dataset"])
    suite.jobs(jobs, policy=line)
    suite.run("--arena-jobs", "jobs.yaml").assert_outcomes(passed=1)
    assert [e["return"] for e in suite.episodes("job")] == recorded


def test_the_lines_of_the_readme_are_those_of_the_page() -> None:
    readme = (ROOT / "README.md").read_text()
    lines = [yaml.safe_load(found)["policy"] for found in re.findall(r"`(policy: \{.*?\})`", readme)]
    assert len(lines) == 4
    assert all(line in LINES for line in lines)


def test_every_line_is_run_by_a_test() -> None:
    """Those of servers on their own page, that of LeRobot with LeRobot's packages."""
    page = (ROOT / "docs" / "policy-servers.md").read_text()
    of_servers = [yaml.safe_load(found)["policy"] for found in re.findall(r"`(policy: \{.*?\})`", page)]
    rows = [row for row in TABLE.splitlines() if row.startswith("| ") and "policy:" in row]
    assert len(rows) == len(LINES)
    for line in LINES:
        if line["type"] in SERVERS:
            assert line in of_servers
        else:
            assert line["type"] in {*MAKERS, "lerobot", "replay", "random"} or ":" in line["type"]
