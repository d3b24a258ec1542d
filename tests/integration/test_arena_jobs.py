"""Arena's own job files through the whole plugin, on the stand-in: the app ends the process with status 0."""

from __future__ import annotations

import os
import shutil
import signal

import h5py
import pytest

from tests.arena_stand_in import GENERATIONS, PATH
from tests.integration.conftest import ROOT, Suite, needs_torch

pytestmark = pytest.mark.stand_in


@pytest.fixture
def arena(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Suite:
    needs_torch()
    monkeypatch.setenv("PYTHONPATH", f"{PATH}{os.pathsep}{os.environ['PYTHONPATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return suite


def evals(suite: Suite) -> None:
    """Copy the repository's eval of Arena, with its job files."""
    shutil.copy(ROOT / "evals" / "test_isaaclab_arena.py", suite.path)
    shutil.copytree(ROOT / "evals" / "jobs" / "arena", suite.path / "jobs" / "arena")


@pytest.mark.parametrize("generation", GENERATIONS[1:])
def test_arenas_example_jobs_run_as_they_are(
    arena: Suite, monkeypatch: pytest.MonkeyPatch, generation: str
) -> None:
    monkeypatch.setenv("ARENA_STAND_IN", generation)
    evals(arena)
    result = arena.run("--arena-set=variations_demo:record.video=on")  # the only one with cameras
    assert result.ret == 0
    result.assert_outcomes(passed=7, skipped=2)  # GR00T's package has no stand-in
    microwave = arena.arena("gr1_open_microwave_cracker_box-test_isaaclab_arena")
    maple = arena.arena("variations_demo-test_typed")
    assert microwave["episodes"] == {"requested": 4, "measured": 4, "errors": 0}
    assert microwave["metrics"]["object_moved_rate"] == 0.0
    assert microwave["hdf5_path"] == "gr1_open_microwave_cracker_box-test_isaaclab_arena/dataset.hdf5"
    # One row of ten steps: three episodes of three steps, filmed by two cameras.
    assert maple["episodes"] == {"requested": 0, "measured": 3, "errors": 0}
    assert [(b["start_step"], b["end_step"]) for b in maple["boundaries"]] == [(0, 2), (3, 5), (6, 8)]
    assert len(maple["videos"]) == 6
    assert all((arena.run_dir / path).exists() for path in [*maple["videos"], microwave["hdf5_path"]])


def test_failing_jobs_end_with_pytests_status_and_all_reports(
    arena: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARENA_STAND_IN", GENERATIONS[-1])
    arena.jobs(
        {
            "broken": {"environment": {"options": {"args": {"broken_at": 4}}}},
            "fails": {"thresholds": {"object_moved_rate": ">= 0.9"}, "rollout": {"episodes": 6}},
            "misnamed": {"environment": {"options": {"args": {"objekt": "x"}}}},
        },
        simulator="isaaclab_arena",
        environment={"id": "counting", "num_envs": 4},
    )
    result = arena.run("--arena-jobs=jobs.yaml", "--reruns=1", "--only-rerun=AssertionError")
    assert result.ret == 1, "closing the app ends the process with status 0"
    result.assert_outcomes(failed=2, errors=1)
    broken = arena.arena("broken")
    assert (broken["status"], broken["hdf5_path"]) == ("error", "broken/dataset.hdf5")
    assert [(b["env_idx"], b["end_step"]) for b in broken["boundaries"]] == [(0, 2), (3, 1)]
    assert arena.record("misnamed")["status"] == "error"
    # A rerun draws no other episodes: what the first attempt measured is judged again.
    for folder in ("fails", "fails.2"):
        record = arena.record(folder)
        assert (record["episodes"]["measured"], record["verdict"]) == (6, "fail")
        assert record["hdf5_path"] == "fails/dataset.hdf5"
    for path in ("broken/dataset.hdf5", "fails/dataset.hdf5", "metrics.json"):
        assert (arena.run_dir / path).exists()
    output = result.stdout.str()
    assert "environment.options.args: CountingCfg has no 'objekt'" in output
    assert "isaaclab_arena_build.py" not in output, "a user's mistake needs no traceback"
    assert "RuntimeError: the simulator broke" in output


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "n1"])
def test_a_killed_process_leaves_a_dataset_that_holds_its_episodes(
    arena: Suite, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ARENA_STAND_IN", GENERATIONS[-1])
    monkeypatch.setenv("KILL_AFTER", "4")
    arena.jobs(
        {"cut": {"rollout": {"episodes": 8}}},
        simulator="isaaclab_arena",
        environment={"id": "counting", "num_envs": 4},
    )
    killed = arena.run("--arena-jobs=jobs.yaml", "-p", "tests.killer", *workers)
    assert killed.ret == (1 if workers else -signal.SIGKILL)
    if not workers:  # the next session finds what was left
        assert arena.run("--arena-jobs=jobs.yaml", f"--arena-resume={arena.run_dir}").ret == 0
        assert len(arena.episodes("cut.2")) == 8
        found = arena.record("cut.2")
        assert found["hdf5_path"] == "cut.2/dataset.hdf5"
    else:
        assert arena.record("cut")["hdf5_path"] == "cut/dataset.hdf5"
    assert len(arena.episodes("cut")) == 4
    for folder in ("cut", "cut.2")[: 1 if workers else 2]:
        for episode in arena.episodes(folder):
            path, _, demo = episode["trajectory"].partition("#")
            with h5py.File(arena.run_dir / path) as file:
                assert len(file[demo]["step"]) == episode["length"]
        assert not list((arena.run_dir / folder).glob(".*"))
