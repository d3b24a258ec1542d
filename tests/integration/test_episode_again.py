"""One episode of a run is run again: ``rollout.only``, and the command that the page shows for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pytest_arena.records.episode_command import episode_command
from pytest_arena.records.run_directory import read_record
from tests.integration.conftest import Suite

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
    record = {"video": "off", "cameras": ["render"], "video_every": 5}
    suite.jobs(
        {"reach": {"thresholds": {"success_rate": ">= 0.99"}, "environment": {"num_envs": 2}}, "other": {}},
        name="more jobs.yaml",
        environment=FILMED,
        policy=SKILL,
        rollout={"episodes": 7},
        record=record,
    )
    suite.run("--arena-jobs", "more jobs.yaml", "-x", "-q", "-p", "no:randomly")
    require_same(suite, "reach", 3)
    require_same(suite, "reach", 6)
