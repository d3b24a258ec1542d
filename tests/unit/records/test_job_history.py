"""The runs of a folder, job by job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_arena.records.job_history import JobHistory, histories_of
from pytest_arena.records.run_index import read_runs
from pytest_arena.records.schema import Status
from tests.made_up_runs import made_up_job, make_up_run


def history_of(tmp_path: Path, *jobs: dict[str, Any]) -> JobHistory:
    """Return that of one job, with one run a day."""
    for day, job in enumerate(jobs, start=1):
        make_up_run(tmp_path, f"202601{day:02}T000000Z-0000", [made_up_job(**job)])
    (history,) = histories_of(read_runs(tmp_path).runs)
    return history


def test_the_worst_latest_verdict_is_first(tmp_path: Path) -> None:
    day = "20260101T000000Z-0000"
    jobs = [
        made_up_job("better", 0.1),
        made_up_job("open", None, expected=None),
        made_up_job("a_pass"),
        made_up_job("failed", 0.1),
    ]
    make_up_run(tmp_path, day, jobs)
    more = [
        made_up_job("better"),
        made_up_job("cut", status=Status.INTERRUPTED),
        made_up_job("now", status=Status.RUNNING),
    ]
    make_up_run(tmp_path, day.replace("0101T", "0102T"), more)
    histories = histories_of(read_runs(tmp_path).runs)
    assert [job.label for job in histories] == ["cut", "failed", "now", "open", "a_pass", "better"]
    assert [job.latest.outcome for job in histories] == [
        "interrupted",
        "fail",
        "running",
        "none",
        "pass",
        "pass",
    ]
    assert [len(job.measurements) for job in histories] == [1, 1, 1, 1, 1, 2]


def test_a_rate_of_a_job_that_did_not_complete_is_no_measurement(tmp_path: Path) -> None:
    history = history_of(tmp_path, {"rate": 0.4}, {"rate": 0.6, "status": Status.CRASHED})
    assert [found.success_rate for found in history.measurements] == [0.4, None]


def test_what_changed_is_told_where_it_changed(tmp_path: Path) -> None:
    history = history_of(
        tmp_path,
        {},
        {},
        {"rollout": {"episodes": 10}},
        {"rollout": {"episodes": 10}, "expected": ">= 0.1"},
        {"rollout": {"episodes": 10}, "policy_source": "a" * 64},
    )
    found = history.measurements
    assert [m.reconfigured for m in found] == [(), (), ("rollout",), (), ()]
    assert [m.other_policy for m in found] == [False, False, False, False, True]
    assert [m.threshold.expression for m in found if m.threshold][2:4] == [">= 0.5", ">= 0.1"]


def test_other_versions_are_told(tmp_path: Path) -> None:
    for day, versions in enumerate(
        ({"python": "3", "mujoco": "1"}, {"python": "3", "mujoco": "2", "av": "1"})
    ):
        make_up_run(tmp_path, f"2026010{day + 1}T000000Z-0000", [made_up_job()], versions=versions)
    (history,) = histories_of(read_runs(tmp_path).runs)
    assert history.latest.other_versions == ("mujoco 1 → 2", "av none → 1")
