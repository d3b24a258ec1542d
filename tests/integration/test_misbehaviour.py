"""What environments and policies may do at the beginning, in the middle and at the end of a job, and what not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.conftest import Folder, Suite, launch

MISDEEDS = {
    "skip-build": ("error", "Skipped"),
    "exit-build": ("error", "SystemExit"),
    "hang-build": ("error", "RolloutTimeoutError"),
    "skip-reset": ("failed", "Skipped"),
    "hang-reset": ("failed", "RolloutTimeoutError"),
    "xfail": ("failed", "XFailed"),
    "SkipTest": ("failed", "SkipTest"),
    "pytest.exit": ("failed", "Exit"),
    "base": ("failed", "GeneratorExit"),
    "swallows": ("failed", "RolloutTimeoutError"),
    "async": ("failed", "RolloutTimeoutError"),
    "recorder": ("failed", "RuntimeError"),
    "slow-identity": ("failed", "RolloutTimeoutError"),
}
"""Job -> outcome of its test, and the error of its record."""
HARMLESS = (
    "close-raises", "close-exits", "close-hangs", "forks", "forks-and-exits", "forks-reset", "forks-render",
    "policy-forks", "policy-identity", "policy-close",
)  # fmt: skip
BODY = """
import pytest
from pytest_arena import Recorder

class Breaks(Recorder):
    def close(self):
        raise RuntimeError("the disk is gone")

@pytest.fixture
def arena_recorders(arena_job, arena_recorders):
    return [*arena_recorders, Breaks()] if arena_job.name == "recorder" else arena_recorders

@pytest.mark.arena("jobs.yaml")
def test_it(arena_rollout):
    arena_rollout().assert_thresholds()
"""


def environment(deed: str, **options: Any) -> dict[str, Any]:
    return {"id": "tests.registered:arena/Unruly-v0", "options": {"make": {"deed": deed}, **options}}


@pytest.fixture(scope="module", params=[(), ("-n", "1")], ids=["alone", "n1"])
def misbehaved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All of it in one session; each job beside an innocent one that is built anew."""
    folder = Folder(tmp_path_factory.mktemp("misbehaved"))
    jobs: dict[str, Any] = {}
    for deed in (*MISDEEDS, *HARMLESS):
        jobs[deed] = {"environment": environment(deed)}
        if deed.startswith("forks"):
            jobs[deed]["rollout"] = {"episodes": 4, "timeout": 60}
        if deed in ("hang-build", "hang-reset", "swallows", "async", "close-hangs", "slow-identity"):
            jobs[deed]["rollout"] = {"episodes": 4, "timeout": 1}
    jobs["async"]["environment"] = {**environment("hang", vectorization="async"), "num_envs": 2}
    jobs["forks-render"]["environment"]["cameras"] = {"render": {}}
    jobs["forks-render"]["record"] = {"video": "on"}
    jobs["policy-identity"]["policy"] = {"type": "tests.registered:Recursive"}
    jobs["slow-identity"]["policy"] = {"type": "tests.registered:SlowIdentity"}
    jobs["policy-forks"]["policy"] = {"type": "tests.registered:ForksAtReset"}
    jobs["policy-close"]["policy"] = {"type": "tests.registered:Unclosable"}
    jobs["innocent"] = {}
    folder.jobs(jobs)
    (folder.path / "test_it.py").write_text(BODY)
    status, output = launch(folder, *request.param)
    return folder, status, output


def test_whoever_misbehaves_is_an_error_and_nobody_else(misbehaved: Any) -> None:
    folder, status, output = misbehaved
    assert status == 1, output
    assert "INTERNALERROR" not in output
    assert json.loads((folder.run_dir / "run.json").read_text())["exit_status"] == 1
    outcomes, metrics = folder.outcomes(), json.loads((folder.run_dir / "metrics.json").read_text())
    for job, (outcome, error) in MISDEEDS.items():
        record = folder.record(job)
        assert (job, outcomes[job], record["status"]) == (job, outcome, "error")
        assert (job, record["error"]["type"]) == (job, error)
        assert metrics[job]["status"] == folder.arena(job)["status"] == "error"
        assert metrics[job]["verdict"] == "error"
    for job in (*HARMLESS, "innocent"):
        assert (job, outcomes[job]) == (job, "passed")
        assert folder.record(job)["status"] == metrics[job]["status"] == "completed"
        assert [e["episode"] for e in folder.episodes(job)] == [0, 1, 2, 3]


def test_what_could_not_be_closed_is_a_note_and_a_warning(misbehaved: Any) -> None:
    folder, _, output = misbehaved
    for job, words in (
        ("close-raises", "the environment could not be closed: RuntimeError: cannot close"),
        ("close-exits", "the environment could not be closed: StrayOutcomeError"),
        ("close-hangs", "the environment could not be closed: RolloutTimeoutError: timed out after 1 s"),
        ("policy-close", "the policy could not be closed: RuntimeError: cannot close"),
    ):
        # An own policy says nothing of itself, which is another note.
        (note,) = (note for note in folder.record(job)["notes"] if "does not declare" not in note)
        assert note.startswith(words)
        assert f"job {job!r}: {words}" in output
    assert folder.record("innocent")["notes"] == []


def test_no_limit_at_all_is_told_at_once(suite: Suite) -> None:
    unlimited = {"id": "tests.registered:arena/Forever-v0"}
    suite.jobs(
        {
            "no_limit": {"environment": unlimited},
            "time": {"environment": unlimited, "rollout": {"episodes": 2, "timeout": 100}},
            "steps": {"environment": {**unlimited, "max_episode_steps": 9}},
        }
    )
    suite.test()
    result = suite.run("-n", "1")
    result.assert_outcomes(passed=3)
    result.stderr.fnmatch_lines(
        ["arena: job 'no_limit': the environment has no step limit (*max_episode_steps*"]
    )
    assert result.stderr.str().count("no step limit") == 1
    assert len(suite.record("no_limit")["notes"]) == 1
    assert suite.record("time")["notes"] == suite.record("steps")["notes"] == []
