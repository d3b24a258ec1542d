"""Running pytest on itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.inner import ROOT as ROOT
from tests.inner import inner_environment

TEST_BODY = """
import pytest

@pytest.mark.arena("jobs.yaml")
def test_it(arena_rollout):
    arena_rollout().assert_thresholds()
"""


class Folder:
    """A folder in which pytest ran, and what its latest run left."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def jobs(self, jobs: dict[str, Any], name: str = "jobs.yaml", **defaults: Any) -> Path:
        """Write a job file of scripted environments."""
        base: dict[str, Any] = {
            "simulator": "gymnasium",
            "environment": {"id": "tests.registered:arena/Scripted-v0"},
            "policy": {"type": "zero"},
            "rollout": {"episodes": 4},
        }
        text = yaml.safe_dump({"defaults": {**base, **defaults}, "jobs": jobs}, sort_keys=False)
        path = self.path / name
        path.write_text(text)
        return path

    @property
    def run_dirs(self) -> list[Path]:
        """The directories of all runs, in their order."""
        found = (self.path / "arena-results").glob("2*")
        return sorted(found, key=lambda path: path.stat().st_ctime_ns)

    @property
    def run_dir(self) -> Path:
        """The directory of the latest run."""
        return self.run_dirs[-1]

    def report(self) -> dict[str, Any]:
        """report.json, strictly parsed: no NaN."""
        return parse((self.run_dir / "report.json").read_text())

    def outcomes(self) -> dict[str, str]:
        """Test name in brackets -> outcome."""
        return {t["nodeid"].partition("[")[2][:-1]: t["outcome"] for t in self.report()["tests"]}

    def arena(self, job: str) -> dict[str, Any]:
        """metadata.arena of a job in report.json."""
        for test in self.report()["tests"]:
            found = test.get("metadata", {}).get("arena")
            if found and found["job"] == job:
                return found
        raise KeyError(job)

    def record(self, folder: str) -> dict[str, Any]:
        """record.json of a folder."""
        return parse((self.run_dir / folder / "record.json").read_text())

    def episodes(self, folder: str) -> list[dict[str, Any]]:
        """episodes.jsonl of a folder, in episode order."""
        lines = (self.run_dir / folder / "episodes.jsonl").read_text().splitlines()
        return sorted(map(parse, lines), key=lambda e: e["episode"])


class Suite(Folder):
    """A folder with a job file and a test, for one test of ours."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        super().__init__(pytester.path)
        self.pytester = pytester

    def test(self, body: str = TEST_BODY) -> None:
        """Write the test module."""
        self.pytester.makepyfile(test_it=body)

    def run(self, *args: str) -> pytest.RunResult:
        """Run pytest in a process of its own."""
        return self.pytester.runpytest_subprocess(*args, timeout=120)


WITHOUT = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:rerunfailures"]


def launch(folder: Folder, *args: str) -> tuple[int, str]:
    """Run pytest in a session of processes of its own: an interrupt of its group ends nothing else."""
    process = subprocess.run(
        [sys.executable, "-m", "pytest", *WITHOUT, *args],
        cwd=folder.path,
        env={**os.environ, "SESSION_OF_THE_TESTS": str(os.getsid(0))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        timeout=120,
    )
    return process.returncode, process.stdout


def parse(text: str) -> Any:
    """Parse JSON and refuse what is none."""

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    inner = inner_environment()
    for name in os.environ.keys() - inner.keys():
        monkeypatch.delenv(name)
    for name, value in inner.items():
        monkeypatch.setenv(name, value)
    return Suite(pytester)


def needs_torch() -> None:
    """Skip without torch. It is not imported to tell: `pytester` would forget it, and it loads once a process."""
    if find_spec("torch") is None:
        pytest.skip("needs torch")


@pytest.fixture
def generation() -> str:
    """Isaac Lab's, for `kit`."""
    return "2.3"


@pytest.fixture
def kit(suite: Suite, generation: str, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite whose Isaac Lab is the stand-in that runs on Kit, and needs torch."""
    needs_torch()
    folder = ROOT / "tests" / "stand_ins" / "kit"
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder / generation), str(folder), str(ROOT)]))
    suite.test()
    return suite
