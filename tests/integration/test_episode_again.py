"""One episode of a run is run again: ``rollout.only``, and the command that the page shows for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.records.episode_command import episode_command
from pytest_arena.records.run_directory import read_record
from tests.integration.conftest import TEST_BODY, Suite

SAME = ("episode", "rebuild", "seed", "initial_state", "length", "outcome", "return", "end_reason", "metrics")
FILMED = {"id": "tests.registered:arena/Skilled-v0", "cameras": {"render": {}}}
SKILL = {"type": "tests.registered:Skill", "level": 0.5}


def line(suite: Suite, label: str, episode: int) -> dict[str, Any]:
    return next(found for found in suite.episodes(label) if found["episode"] == episode)


def again(suite: Suite, label: str, episode: int, *, run: Path | None = None) -> dict[str, Any]:
    """Run the command for one episode in a shell, somewhere else; returns the line of that episode."""
    run = suite.run_dir if run is None else run
    manifest = json.loads((run / "run.json").read_text())
    command = episode_command(manifest, read_record(run / label / "record.json"), episode)
    assert command is not None
    before = {*suite.run_dirs}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        shell=True,
        cwd="/",
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    (new,) = {*suite.run_dirs} - before
    (folder,) = [path.parent for path in new.glob("*/record.json")]
    record = json.loads((folder / "record.json").read_text())
    assert (record["only"], record["verdict"]) == ([episode], "none"), command
    (found,) = map(json.loads, (folder / "episodes.jsonl").read_text().splitlines())
    return found


def require_same(suite: Suite, label: str, episode: int, *, films: int = 1) -> None:
    run, first = suite.run_dir, line(suite, label, episode)
    found = again(suite, label, episode)
    assert {key: found[key] for key in SAME} == {key: first[key] for key in SAME}
    assert len(found["videos"]) == films
    shutil.rmtree(suite.run_dir)
    assert suite.run_dir == run


def test_a_job_file(suite: Suite) -> None:
    """Filmed by every camera, whatever the job keeps of films; other jobs of the file are not run."""
    record = {"video": "off", "cameras": ["render"], "video_every": 5, "video_environments": [1]}
    suite.jobs(
        {"reach": {"thresholds": {"success_rate": ">= 0.99"}, "environment": {"num_envs": 2}}, "other": {}},
        name="more jobs.yaml",
        environment={**FILMED, "num_envs": 2},
        policy=SKILL,
        rollout={"episodes": 7},
        record=record,
    )
    suite.run("--arena-jobs", "more jobs.yaml", "-x", "-q", "-p", "no:randomly", "--junitxml=junit.xml")
    (suite.path / "junit.xml").unlink()
    require_same(suite, "reach", 3)
    require_same(suite, "reach", 6)
    assert not (suite.path / "junit.xml").exists()


def test_a_job_file_of_the_ini_file_beside_a_test(suite: Suite) -> None:
    for name in ("always.yaml", "jobs.yaml"):
        suite.jobs({name.partition(".")[0]: {}}, name=name, policy=SKILL, environment=FILMED)
    suite.pytester.makeini("[pytest]\narena_jobs = always.yaml\narena_set = record.trajectory=true\n")
    suite.test()
    suite.run()
    require_same(suite, "always", 1)
    require_same(suite, "jobs", 1)


CONFTEST = """
import pytest

def pytest_addoption(parser):
    parser.addoption("--level", default=0.0, type=float)

@pytest.fixture
def arena_env_options(arena_env_options, request):
    return {**arena_env_options, "make": {"first": request.config.getoption("--level")}}
"""
LEVELLED = """
import gymnasium
from tests.registered import Skilled

class Levelled(Skilled):
    def __init__(self, first=0.0, **settings):
        super().__init__(**settings)
        self.first = first

    def step(self, action):
        return super().step(action * 0 + self.first)

gymnasium.register("arena/Levelled-v0", Levelled, max_episode_steps=50, disable_env_checker=True)
"""


@pytest.mark.parametrize("args", [[], ["-n", "2"]], ids=["in-process", "n2"])
def test_a_directory_of_tests(suite: Suite, args: list[str]) -> None:
    """Begun below the root directory, with an option of the suite's own and overrides."""
    evals = suite.path / "suite" / "evals"
    evals.mkdir(parents=True)
    (suite.path / "pytest.ini").write_text("[pytest]\n")
    (evals / "conftest.py").write_text(CONFTEST)
    (evals / "levelled.py").write_text(LEVELLED)
    job = {"environment": {"id": "levelled:arena/Levelled-v0"}}
    suite.jobs({"reach": job, "push": job}, name="suite/evals/jobs.yaml", rollout={"episodes": 9})
    (evals / "test_it.py").write_text(TEST_BODY)
    chosen = ["--level", "0.7", "--arena-set", "environment.seed=5", "--arena-output", "../arena-results"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "evals", "-k", "test_it", "-m", "", *chosen, *args],
        cwd=suite.path / "suite",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = {e["episode"]: e["outcome"] for e in suite.episodes("reach")}
    for outcome in ("success", "failure"):
        require_same(suite, "reach", next(e for e, found in outcomes.items() if found == outcome), films=0)


def test_a_shard_and_a_rebuild(suite: Suite) -> None:
    suite.jobs(
        {
            "parts": {"rollout": {"shards": 3}, "thresholds": {"success_rate": ">= 0.99"}},
            "rebuilt": {"rollout": {"rebuilds": 3}},
        },
        policy=SKILL,
        environment=FILMED,
        rollout={"episodes": 7},
    )
    suite.test()
    suite.run()
    require_same(suite, "parts", 4)
    require_same(suite, "parts-shard1of3", 4)
    require_same(suite, "rebuilt", 5)


def test_an_episode_of_a_resumed_run(suite: Suite) -> None:
    suite.jobs({"reach": {}}, policy=SKILL, environment=FILMED, rollout={"episodes": 5})
    suite.test()
    suite.run("--arena-set", "policy.level=0.3")
    first = suite.run_dir
    lines, record = first / "reach" / "episodes.jsonl", first / "reach" / "record.json"
    lines.write_text("".join(lines.read_text().splitlines(keepends=True)[:2]))
    record.write_text(json.dumps({**json.loads(record.read_text()), "status": "running"}))
    suite.run("--arena-resume", str(first), "--arena-set", "policy.level=0.3")
    assert suite.run_dir == first
    require_same(suite, "reach", 1)
    require_same(suite, "reach", 4)


def test_an_episode_of_a_part(suite: Suite) -> None:
    suite.jobs({"reach": {}}, policy=SKILL, environment=FILMED, rollout={"episodes": 5})
    suite.test()
    suite.run("--arena-set", "reach:rollout.only=[1, 4]")
    require_same(suite, "reach", 4)


@pytest.mark.parametrize("args", [[], ["-n", "1"]], ids=["in-process", "n1"])
def test_a_part_that_passes_does_not_make_its_job_pass(suite: Suite, args: list[str]) -> None:
    """``--lf`` runs what failed, until all of it has passed."""
    jobs = {"bad": {"thresholds": {"success_rate": ">= 1"}}, "good": {}}
    about = {"policy": SKILL, "rollout": {"episodes": 8}}
    suite.jobs(jobs, **about)
    suite.test()
    assert suite.run(*args).ret == 1
    assert suite.run("-k", "bad", "--arena-set", "bad:rollout.only=[1]", *args).ret == 0
    assert suite.run("--lf", *args).ret == 1
    assert suite.outcomes() == {"bad": "failed"}
    suite.jobs({"bad": {}, "good": {}}, **about)
    assert suite.run("--lf", *args).ret == 0
    assert suite.run("--lf", "--lfnf", "none", *args).ret == 5


@pytest.mark.parametrize("args", [[], ["-n", "1"]], ids=["in-process", "n1"])
def test_addresses_of_failures(suite: Suite, args: list[str]) -> None:
    """Where the page is written, the terminal and report.json lead into it."""
    suite.jobs(
        {"good": {}, "bad": {"thresholds": {"success_rate": ">= 0.99"}}}, policy=SKILL, environment=FILMED
    )
    suite.test()
    result = suite.run(*args)
    shown = f"arena-results/{suite.run_dir.name}/index.html"
    failed = [e["episode"] for e in suite.episodes("bad") if e["outcome"] != "success"]
    result.stdout.fnmatch_lines([f"page: {shown}", f"  failed: {shown}#bad"])
    assert f": {shown}#bad/episode-{failed[0]}" in result.stdout.str()
    assert f"{shown}#good" not in result.stdout.str()
    assert (suite.path / shown).is_file()
    pages = {
        test["metadata"]["arena"]["job"]: test["metadata"]["arena_page"] for test in suite.report()["tests"]
    }
    assert pages == {
        job: {"job": f"index.html#{job}", "episode": f"index.html#{job}/episode-{{episode}}"}
        for job in ("good", "bad")
    }

    result = suite.run("--arena-html", "off", *args)
    assert "index.html" not in result.stdout.str()
    assert all("arena_page" not in test["metadata"] for test in suite.report()["tests"])
