"""Whole jobs on real Isaac Lab 3.0: one run of pytest, and what it leaves."""

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

if find_spec("isaaclab") is None or find_spec("isaaclab_newton") is None:
    pytest.skip("needs Isaac Lab 3.0 (docs/isaaclab.md)", allow_module_level=True)

import av
import h5py

from pytest_arena import read_episodes

ROOT = Path(__file__).parents[2]
MOVING: dict[str, Any] = {
    "environment": {
        "max_episode_steps": 10,
        "options": {"overrides": {"scene.side": "null", "events.start.params.velocity_range": [-1.0, 1.0]}},
    },
    "policy": {"type": "zero"},
    "thresholds": {"success_rate": "<= 99%"},
    "record": {"trajectory": True},
}
JOBS: dict[str, Any] = {
    "first": {"record": {"trajectory": True, "video": "on"}},
    "between": {"policy": {"type": "zero"}, "environment": {"max_episode_steps": 10}},
    "again": {"environment": {"cameras": {}}},
    # The first job in its environment, and the second.
    "moving": MOVING,
    "moving_on": MOVING,
    "off": {
        # Driven to the left: who begins near the end runs off the rail in time, who does not is a failure.
        "policy": {"stiffness": -1.5},
        "environment": {"num_envs": 4, "max_episode_steps": 12},
        "rollout": {"episodes": 4},
        "success": {"term": "off_rail"},
        "thresholds": {"success_rate": "> 0"},
        "record": {"trajectory": True},
    },
    "rebuilt": {"rollout": {"episodes": 4, "rebuilds": 3}, "record": {"trajectory": True}},
    "unmeasured": {
        "environment": {"max_episode_steps": 10, "options": {"overrides": {"terminations.success": "null"}}},
        "thresholds": {"success_rate": ">= 0.5"},
    },
}
DEFAULTS = {
    "simulator": "isaaclab",
    "environment": {"id": "evals.cart:CartEnvCfg", "num_envs": 2, "device": "cpu", "seed": 3},
    "policy": {"type": "evals.cart:Driver"},
    "rollout": {"episodes": 3},
    "thresholds": {"success_rate": ">= 1"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run all jobs in one process: environments follow each other in it."""
    folder = tmp_path_factory.mktemp("jobs")
    jobs = folder / "jobs.yaml"
    jobs.write_text(yaml.safe_dump({"defaults": DEFAULTS, "jobs": JOBS}, sort_keys=False))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:warnings", "--arena-jobs", str(jobs)]
    (folder / "tmp").mkdir()
    done = subprocess.run(
        [*command, "--arena-output", str(folder / "out")],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        capture_output=True,
        text=True,
        timeout=500,
    )
    return done, next((folder / "out").glob("2*"))


def record(run: Any, job: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run[1] / job / "record.json").read_text())
    return found


def test_what_passes_and_what_does_not(run: Any) -> None:
    done, directory = run
    assert done.returncode == 1, done.stdout + done.stderr
    verdicts = {job: record(run, job)["verdict"] for job in JOBS}
    assert verdicts == {
        "first": "pass",
        "between": "fail",
        "again": "pass",
        "moving": "pass",
        "moving_on": "pass",
        "off": "pass",
        "rebuilt": "pass",
        "unmeasured": "error",
    }
    assert {test["outcome"] for test in json.loads((directory / "report.json").read_text())["tests"]} == {
        "passed",
        "failed",
    }


def test_unmeasured_success_is_an_error_with_a_name(run: Any) -> None:
    error = record(run, "unmeasured")["error"]
    assert "success_rate" in error["message"]
    assert "cannot be judged" in error["message"]


def test_the_same_job_gives_the_same_numbers_with_and_without_films(run: Any) -> None:
    """Another job ran between them, in the same process, with another environment."""
    numbers = [
        [(e.length, e.return_, e.outcome) for e in read_episodes(run[1] / job / "episodes.jsonl")]
        for job in ("first", "again")
    ]
    assert numbers[0] == numbers[1]


def test_the_first_job_in_an_environment_begins_like_the_second(run: Any) -> None:
    """Their carts begin with a velocity: that of an environment's first reset would be lost."""
    numbers = []
    for job in ("moving", "moving_on"):
        episodes = list(read_episodes(run[1] / job / "episodes.jsonl"))
        with h5py.File(run[1] / job / "dataset.hdf5") as file:
            demos = [file[str(e.trajectory).partition("#")[2]] for e in episodes]
            state = "initial_state/articulation/robot/joint_velocity"
            assert all(abs(demo[state][0, 0]) > 0.01 for demo in demos)
            numbers.append([demo["obs"][:].tolist() for demo in demos])
    assert numbers[0] == numbers[1]


def test_films_hold_every_frame_of_their_episode(run: Any) -> None:
    for episode in read_episodes(run[1] / "first" / "episodes.jsonl"):
        with av.open(str(run[1] / episode.videos["side"])) as film:
            assert sum(1 for _ in film.decode(video=0)) == episode.length + 1


def test_the_simulators_dataset_holds_the_counted_episodes(run: Any) -> None:
    found = record(run, "first")
    assert found["hdf5_path"] == "first/dataset.hdf5"
    with h5py.File(run[1] / "first" / "dataset.hdf5") as file:
        assert len(file["data"]) == 3
        for episode in read_episodes(run[1] / "first" / "episodes.jsonl"):
            path, _, group = str(episode.trajectory).partition("#")
            assert path == "first/dataset.hdf5"
            demo = file[group]
            assert demo.attrs["num_samples"] == episode.length
            assert demo.attrs["success"] == (episode.outcome == "success")
            assert demo["actions"].shape == (episode.length, 1)
    assert not list((run[1] / "first").glob(".*.hdf5"))


def test_success_in_the_dataset_is_by_the_term_that_the_job_names(run: Any) -> None:
    """Isaac Lab's recorder by itself knows the term ``success`` alone, which no cart here fulfils."""
    episodes = list(read_episodes(run[1] / "off" / "episodes.jsonl"))
    with h5py.File(run[1] / "off" / "dataset.hdf5") as file:
        written = {
            e.episode: bool(file[str(e.trajectory).partition("#")[2]].attrs["success"]) for e in episodes
        }
    assert written == {e.episode: e.outcome == "success" for e in episodes}
    assert {e.outcome: e.end_reason for e in episodes} == {"success": "success", "failure": "time_out"}


def test_rebuilds_have_files_and_seeds_of_their_own(run: Any) -> None:
    begins = []
    for name in ("dataset.hdf5", "dataset-1.hdf5", "dataset-2.hdf5"):
        with h5py.File(run[1] / "rebuilt" / name) as file:
            states = "initial_state/articulation/robot/joint_position"
            begins.append([demo[states][0, 0] for demo in file["data"].values()])
    assert [len(begin) for begin in begins] == [2, 1, 1]
    assert len({begin for begins_of_one in begins for begin in begins_of_one}) == 4


def test_nothing_is_left_in_the_folder_for_temporary_files(run: Any) -> None:
    """Isaac Lab's recorder makes a file with every environment."""
    assert not list((run[1].parents[1] / "tmp").glob("pytest-arena-*"))


def test_a_killed_process_leaves_a_dataset_that_holds_its_episodes(tmp_path: Path) -> None:
    """A worker is killed after two episodes; the main process settles what it left."""
    jobs = tmp_path / "jobs.yaml"
    jobs.write_text(yaml.safe_dump({"defaults": DEFAULTS, "jobs": {"cut": MOVING}}))
    command = [sys.executable, "-m", "pytest", "-q", "-n1", "-p", "tests.killer", "-p", "no:warnings"]
    done = subprocess.run(
        [*command, "--arena-jobs", str(jobs), "--arena-output", str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ, "KILL_AFTER": "2", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    directory = next((tmp_path / "out").glob("2*"))
    episodes = list(read_episodes(directory / "cut" / "episodes.jsonl"))
    assert len(episodes) == 2
    assert record((done, directory), "cut")["hdf5_path"] == "cut/dataset.hdf5"
    with h5py.File(directory / "cut" / "dataset.hdf5") as file:
        for episode in episodes:
            demo = file[str(episode.trajectory).partition("#")[2]]
            assert len(demo["actions"]) == episode.length
    assert not list((directory / "cut").glob(".*.hdf5"))


def test_isaac_lab_is_not_imported_to_collect() -> None:
    code = (
        "import sys, pytest; pytest.main(['evals/test_isaaclab.py', '--collect-only', '-q', '-p', 'no:warnings']); "
        "print('LOADED', *sorted(n for n in sys.modules if n.split('.')[0] in ('isaaclab', 'torch', 'warp', 'cart')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert "test_isaaclab[park]" in done.stdout
    assert done.stdout.splitlines()[-1] == "LOADED"
