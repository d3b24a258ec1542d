"""The smoke evaluations give the same episodes however they are run."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("metaworld", reason="pip install 'pytest-arena[metaworld]'")

from tests.inner import ROOT, inner_environment

CHANGING = {"env_idx", "start_step", "end_step", "started_at", "wall_time_seconds", "attempt"}
JOBS = ("reach", "drawer_close", "button_press")
EPISODES = 8


def play(output: Path, *args: str, **environ: str) -> int:
    command = [sys.executable, "-m", "pytest", "evals", "-m", "smoke", "-p", "no:cacheprovider", "-q"]
    command += [
        "--arena-output",
        str(output),
        "--arena-video",
        "off",
        "--arena-set",
        f"rollout.episodes={EPISODES}",
    ]
    # The Arena examples would have fewer episodes than rebuilds.
    command += ["--ignore", "evals/test_isaaclab_arena.py", *args]
    environment = {**inner_environment(), **environ}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=300).returncode


def told(output: Path) -> dict[str, Any]:
    (run,) = output.glob("2*")
    metrics = json.loads((run / "metrics.json").read_text())
    found: dict[str, Any] = {}
    for job in JOBS:
        lines = map(json.loads, (run / job / "episodes.jsonl").read_text().splitlines())
        episodes = sorted(lines, key=lambda e: e["episode"])
        found[job] = [{k: v for k, v in e.items() if k not in CHANGING} for e in episodes], metrics[job]
    return found


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("alone")
    assert play(output) == 0
    return told(output)


@pytest.mark.parametrize(
    "args",
    [
        ["-n", "1"],
        ["-n", "2"],
        ["-n", "4"],
        ["--arena-set", "rollout.shards=3"],
        ["-n", "2", "--arena-set", "rollout.shards=2"],
    ],
    ids=" ".join,
)
def test_workers_and_shards(in_process: dict[str, Any], tmp_path: Path, args: list[str]) -> None:
    assert play(tmp_path, *args) == 0
    assert told(tmp_path) == in_process


def test_resumed_after_a_kill_at_a_random_moment(in_process: dict[str, Any], tmp_path: Path) -> None:
    after = random.Random(20261122).randrange(1, len(JOBS) * EPISODES)
    assert play(tmp_path, "-p", "tests.killer", KILL_AFTER=str(after)) == -9
    (run,) = tmp_path.glob("2*")
    assert play(tmp_path, "--arena-resume", str(run)) == 0
    assert told(tmp_path) == in_process
