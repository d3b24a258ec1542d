"""The workflows of docs/ci.md: their schemas, and their commands, run as the services' runners run them.

What needs a network is stood in for: ``pip``, ``apt-get`` and ``sudo`` do nothing, ``gh``, artifacts and the
cache are folders.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.inner import ROOT, inner_environment
from tests.lacking import lacking

BLOCKS = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", (ROOT / "docs" / "ci.md").read_text(), re.M | re.S)
WORKFLOW, ACTION, PIPELINE = (
    ".github/workflows/evals.yml",
    ".github/actions/evaluate/action.yml",
    ".gitlab-ci.yml",
)
SCHEMAS = {
    WORKFLOW: "vendor.github-workflows",
    ACTION: "vendor.github-actions",
    PIPELINE: "vendor.gitlab-ci",
}
TEST = """
import pytest

@pytest.mark.arena("jobs.yaml")
def test_evals(arena_rollout):
    arena_rollout().assert_thresholds()
"""
JOBS = """
defaults:
  simulator: gymnasium
  environment: {{id: "tests.registered:arena/Skilled-v0", num_envs: 2}}
  policy: {{type: "tests.registered:Skill", level: {level}}}
  rollout: {{episodes: 40}}
jobs:
  compared: {{regression: {{margin: 0.2}}}}
  gated: {{thresholds: {{success_rate: ">= 0.1"}}, gate: {{episodes_max: 40}}}}
"""
STAND_INS = {
    "sudo": 'exec "$@"',
    "apt-get": 'echo "apt-get $*" >> "$CALLS"',
    "pip": 'echo "pip $*" >> "$CALLS"',
    "pytest": f'exec "{sys.executable}" -m pytest "$@"',
    "gh": """
        echo "gh $*" >> "$CALLS"
        [ -n "$GH_TOKEN" ]
        if [ "$1 $2" = "run list" ]; then
            if [ -d "$ARTIFACTS" ]; then echo 4711; fi
        else
            [ "$1 $2 $3 $4 $6" = "run download 4711 --name --dir" ]
            mkdir -p "$7"
            cp -r "$ARTIFACTS/$5/." "$7"
        fi
        """,
}
"""Commands of the workflows -> what they do here."""


def document(name: str) -> Any:
    """Return the workflow of the page that is called *name*."""
    (text,) = [text for found, text in BLOCKS if found == name]
    return yaml.safe_load(text)


@pytest.mark.parametrize("name", SCHEMAS)
def test_it_is_what_the_service_expects(name: str, tmp_path: Path) -> None:
    if find_spec("check_jsonschema") is None:
        lacking("no check_jsonschema: pip install check-jsonschema")
    (tmp_path / "file.yml").write_text(next(text for found, text in BLOCKS if found == name))
    command = ["check_jsonschema", "--builtin-schema", SCHEMAS[name], "file.yml"]
    done = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_workflow_of_the_page_is_tried() -> None:
    assert [name for name, _ in BLOCKS] == [*SCHEMAS]


@dataclass
class Ran:
    """What a workflow left."""

    status: int
    workspace: Path
    output: str
    summary: str = ""
    artifact: Path | None = None
    """Where the service keeps what was uploaded."""

    @property
    def run_dir(self) -> Path:
        """The one run in the artifact."""
        assert self.artifact is not None
        (manifest,) = self.artifact.glob("*/run.json")
        return manifest.parent


@dataclass
class Service:
    """A repository with evaluations, and what a service keeps between workflows."""

    path: Path
    count: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.git = self.path / "repository"
        (self.git / "evals").mkdir(parents=True)
        (self.git / "evals" / "test_evals.py").write_text(TEST)
        (self.git / "requirements.txt").write_text("pytest-arena\n")
        self._git("init", "-q", "-b", "main")
        commands = self.path / "bin"
        commands.mkdir()
        for name, text in STAND_INS.items():
            (commands / name).write_text(f"#!/usr/bin/env bash\nset -e\n{text}\n")
            (commands / name).chmod(0o755)
        self.environment = {
            **inner_environment(),
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(self.path / "calls"),
            "ARTIFACTS": str(self.path / "main"),
            "CI": "true",
        }

    def _git(self, *args: str) -> None:
        identity = ("-c", "user.name=someone", "-c", "user.email=someone@example.com")
        subprocess.run(["git", "-C", str(self.git), *identity, *args], check=True)

    def checkout(self, level: float) -> Path:
        """Commit a policy that succeeds in a share *level* of the episodes; return a fresh clone."""
        (self.git / "evals" / "jobs.yaml").write_text(JOBS.format(level=level))
        self._git("add", "-A")
        self._git("commit", "-q", "--allow-empty", "-m", f"level {level}")
        self.count += 1
        clone = self.path / f"runner-{self.count}" / "checkout"
        subprocess.run(["git", "clone", "-q", str(self.git), str(clone)], check=True)
        return clone

    def bash(self, options: list[str], script: str, where: Path, environment: Mapping[str, str]) -> Any:
        """Run *script* as a runner does."""
        file = where.parent / "script.sh"
        file.write_text(script)
        return subprocess.run(
            ["bash", *options, str(file)],
            cwd=where,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )


class GitHub(Service):
    """Runs the steps of a workflow, or those of the action in place of the last three."""

    def run(self, steps: list[dict[str, Any]], event: str, level: float, **inputs: str) -> Ran:
        workspace = self.checkout(level)
        ran = Ran(0, workspace, "")
        known = {
            "github.event_name": event,
            "github.token": "a-token",
            "github.workflow": "evals",
            "github.event.repository.default_branch": "main",
            **{f"inputs.{name}": value for name, value in inputs.items()},
        }
        set_by_steps: dict[str, str] = {}
        for number, step in enumerate(steps):
            if not self._wanted(step.get("if", "success()"), ran, event):
                continue
            if "uses" in step:
                self._use(step, ran, event, known)
                continue
            files = {
                name: workspace.parent / f"{name}-{number}" for name in ("GITHUB_ENV", "GITHUB_STEP_SUMMARY")
            }
            for file in files.values():
                file.touch()
            own = {name: filled(str(value), known) for name, value in step.get("env", {}).items()}
            runner = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(workspace)}
            paths = {name: str(file) for name, file in files.items()}
            environment = {**self.environment, **runner, **paths, **set_by_steps, **own}
            options = ["--noprofile", "--norc", "-eo", "pipefail"] if step.get("shell") == "bash" else ["-e"]
            assert "${{" not in step["run"], "what others can set is no part of a script"
            done = self.bash(options, step["run"], workspace, environment)
            ran.output += done.stdout
            ran.status = ran.status or done.returncode
            ran.summary += files["GITHUB_STEP_SUMMARY"].read_text()
            set_by_steps |= dict(line.split("=", 1) for line in files["GITHUB_ENV"].read_text().splitlines())
        return ran

    def _wanted(self, condition: str, ran: Ran, event: str) -> bool:
        return {
            "always()": True,
            "success()": ran.status == 0,
            "github.event_name == 'pull_request'": ran.status == 0 and event == "pull_request",
        }[condition]

    def _use(self, step: dict[str, Any], ran: Ran, event: str, known: Mapping[str, str]) -> None:
        action = step["uses"].partition("@")[0]
        if action == "actions/upload-artifact":
            settings = {name: filled(str(value), known) for name, value in step["with"].items()}
            kept = self.path / ("main" if event == "push" else f"pull-{self.count}")
            ran.artifact = kept / settings["name"]
            hidden = shutil.ignore_patterns(".*")
            shutil.copytree(ran.workspace / settings["path"], ran.artifact, ignore=hidden, symlinks=False)
        else:
            assert action in ("actions/checkout", "actions/setup-python")


def filled(text: str, known: Mapping[str, str]) -> str:
    """Return *text* with the values of its expressions."""
    return re.sub(r"\$\{\{ (\S+) \}\}", lambda found: known[found[1]], text)


def github_steps(name: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the steps of the workflow, or of one that uses the action, and the action's inputs."""
    steps = document(WORKFLOW)["jobs"]["evals"]["steps"]
    if name == WORKFLOW:
        return steps, {}
    action = document(ACTION)
    defaults = {name: str(given["default"]) for name, given in action["inputs"].items()}
    return [*steps[:-3], *action["runs"]["steps"]], defaults


def test_the_workflow_of_github(tmp_path: Path) -> None:
    service = GitHub(tmp_path)
    steps, inputs = github_steps(WORKFLOW)
    first = service.run(steps, "pull_request", 0.9, **inputs)
    assert first.status == 0, first.output
    assert "not judged" in first.summary
    main = service.run(steps, "push", 0.9, **inputs)
    assert main.status == 0, main.output
    assert main.summary.startswith("## ✅ arena, 2 jobs: ")
    assert (main.run_dir / "index.html").is_file()
    good = service.run(steps, "pull_request", 0.9, **inputs)
    assert good.status == 0, good.output
    assert "| non-inferior: " in good.summary
    found_worse(service.run(steps, "pull_request", 0.4, **inputs))
    bad = service.run(steps, "pull_request", 0.0, **inputs)
    assert bad.status == 1
    assert "<code>gated</code>: fail" in bad.summary
    calls = (tmp_path / "calls").read_text().splitlines()
    assert {"pip install -r requirements.txt", "apt-get install -y -q libegl1 libgl1"} <= {*calls}


def test_the_action_of_github(tmp_path: Path) -> None:
    service = GitHub(tmp_path)
    steps, inputs = github_steps(ACTION)
    main = service.run(steps, "push", 0.9, **inputs)
    assert main.status == 0, main.output
    found_worse(service.run(steps, "pull_request", 0.4, **inputs))


def found_worse(ran: Ran) -> None:
    """The run failed for a regression, and everything that GitHub shows says so."""
    assert ran.status == 1, ran.output
    assert ran.summary.startswith("## ❌ arena, 2 jobs: 1 failed, 1 passed\n\nExit status 1")
    assert "| regression: " in ran.summary
    seed = next(e["seed"] for e in episodes(ran.run_dir / "compared") if e["outcome"] == "failure")
    assert f"| {seed} | failure, " in ran.summary
    assert "::error file=evals/jobs.yaml,line=8,title=compared%3A fail::" in ran.output


def episodes(folder: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, (folder / "episodes.jsonl").read_text().splitlines())


class GitLab(Service):
    """Runs the job of a pipeline."""

    def run(self, source: str, level: float) -> Ran:
        job, workspace = document(PIPELINE)["evals"], self.checkout(level)
        branch = {"push": {"CI_COMMIT_BRANCH": "main"}, "merge_request_event": {}}[source]
        given = {"CI_PIPELINE_SOURCE": source, "CI_DEFAULT_BRANCH": "main", **branch}
        rules = {
            '$CI_PIPELINE_SOURCE == "merge_request_event"': source == "merge_request_event",
            "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH": source == "push",
        }
        assert {rule["if"] for rule in job["rules"]} == {*rules}
        given |= next(rule["variables"] for rule in job["rules"] if rules[rule["if"]])
        environment = {**self.environment, "GITLAB_CI": "true", "CI_PROJECT_DIR": str(workspace), **given}
        environment |= {k: v.replace("$CI_PROJECT_DIR", str(workspace)) for k, v in job["variables"].items()}
        cache = next(entry for entry in job["cache"] if entry["key"] == "evals-baseline")
        (folder,) = cache["paths"]
        if (self.path / "cache").exists():
            shutil.copytree(self.path / "cache", workspace / folder)
        script = "set -eo pipefail\n" + "\n".join([*job["before_script"], *job["script"]])
        done = self.bash([], script, workspace, environment)
        ran = Ran(done.returncode, workspace, done.stdout)
        if given[cache["policy"].removeprefix("$")] == "pull-push" and ran.status == 0:
            shutil.rmtree(self.path / "cache", ignore_errors=True)
            shutil.copytree(workspace / folder, self.path / "cache")
        assert job["artifacts"]["when"] == "always"
        (folder,) = job["artifacts"]["paths"]
        ran.artifact = workspace / folder
        assert (workspace / job["artifacts"]["reports"]["junit"]).is_file()
        return ran


def test_the_pipeline_of_gitlab(tmp_path: Path) -> None:
    service = GitLab(tmp_path)
    main = service.run("push", 0.9)
    assert main.status == 0, main.output
    assert (main.run_dir / "index.html").is_file()
    worse = service.run("merge_request_event", 0.4)
    assert worse.status == 1, worse.output
    assert "against the baseline: regression" in worse.output
    assert worse.artifact is not None
    cases = ET.parse(worse.artifact / "junit.xml").iter("testcase")
    assert {case.get("name"): case.find("failure") is not None for case in cases} == {
        "test_evals[compared]": True,
        "test_evals[gated]": False,
    }
    before = sorted(path.name for path in (tmp_path / "cache").iterdir())
    bad = service.run("push", 0.0)
    assert bad.status == 1
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == before
