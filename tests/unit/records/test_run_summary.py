"""What a history keeps of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.records.files import write_json
from pytest_arena.records.run_summary import JobSummary, summarize_run
from pytest_arena.records.schema import Status, Verdict
from tests.made_up_runs import made_up_job, make_up_run
from tests.stored_runs.store import FOLDER

NAME = "20260102T030405Z-0000"


def summarized(tmp_path: Path, **changes: Any) -> JobSummary:
    """Return the summary of one job with these changes, each in a folder of its own."""
    results = tmp_path / str(len(list(tmp_path.iterdir())))
    (job,) = summarize_run(make_up_run(results, NAME, [made_up_job(**changes)])).jobs
    return job


def test_the_numbers_of_run_and_job(tmp_path: Path) -> None:
    files = {"checkpoint": "ab" * 32}
    run = summarize_run(make_up_run(tmp_path, NAME, [made_up_job("reach", 0.75, policy_files=files)]))
    assert (run.name, run.started_at, run.exit_status) == (NAME, "2026-01-02T03:04:05.000Z", 0)
    assert (run.commit, run.dirty, run.machine) == ("c0ffee" * 7, False, "desk")
    assert run.versions == {"python": "3.11.7", "mujoco": "3.3.0"}
    (job,) = run.jobs
    assert (job.label, job.folder, job.status, job.verdict) == ("reach", "reach", "completed", "pass")
    assert (job.success_rate, job.interval, job.measured, job.requested) == (0.75, [0.65, 0.85], 20, 20)
    (threshold,) = job.thresholds
    assert (threshold.metric, threshold.expression, threshold.passed) == ("success_rate", ">= 0.5", True)
    assert (job.policy, job.policy_sha256, job.seconds) == ("zero", "ab" * 32, 12.5)
    assert run.notes == []


def test_the_last_attempt_counts(tmp_path: Path) -> None:
    run = make_up_run(tmp_path, NAME, [made_up_job("a", 0.1), made_up_job("a", 0.8, attempt=2)])
    (job,) = summarize_run(run).jobs
    assert (job.label, job.folder, job.success_rate) == ("a", "a.2", 0.8)


def test_a_job_that_is_named_like_an_attempt_is_none(tmp_path: Path) -> None:
    run = make_up_run(tmp_path, NAME, [made_up_job("a", 0.1), made_up_job("a.2", 0.8)])
    assert [(job.label, job.success_rate) for job in summarize_run(run).jobs] == [("a", 0.1), ("a.2", 0.8)]


def test_a_job_that_never_ran_is_left_out(tmp_path: Path) -> None:
    run = make_up_run(tmp_path, NAME, [made_up_job("a")])
    (run / "a" / "record.json").unlink()
    (run / "a").rmdir()
    found = summarize_run(run)
    assert (found.jobs, found.notes) == ([], [])


def test_a_part_of_a_job_is_no_measurement_of_it(tmp_path: Path) -> None:
    run = make_up_run(tmp_path, NAME, [made_up_job("a"), made_up_job("b")])
    record = json.loads((run / "a" / "record.json").read_text())
    write_json(run / "a" / "record.json", {**record, "only": [3]})
    assert [job.label for job in summarize_run(run).jobs] == ["b"]


def test_of_a_sharded_job_the_whole_counts() -> None:
    found = summarize_run(FOLDER / "v0.1.0" / "interrupted")
    assert [job.label for job in found.jobs if job.label.startswith("sharded")] == ["sharded"]
    (running,) = (job for job in found.jobs if job.label == "interrupted")
    assert (running.status, running.verdict) == (Status.RUNNING, Verdict.NONE)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"job": "a"}', "\x00"])
def test_a_broken_record_costs_its_job_and_a_note(tmp_path: Path, content: str | None) -> None:
    run = make_up_run(tmp_path, NAME, [made_up_job("a"), made_up_job("b")])
    record = run / "a" / "record.json"
    record.unlink() if content is None else record.write_text(content)
    found = summarize_run(run)
    assert [job.label for job in found.jobs] == ["b"]
    (note,) = found.notes
    assert note.startswith(f"{NAME}/a: a/record.json")
    assert "\n" not in note


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"jobs": {"a": 3}}', '{"jobs": {}, "machine": 1}'])
def test_a_broken_manifest_is_one_line(tmp_path: Path, content: str) -> None:
    run = make_up_run(tmp_path, NAME)
    (run / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"expected|missing"):
        summarize_run(run)


def test_what_does_not_bear_on_the_measurement_is_no_change(tmp_path: Path) -> None:
    plain = summarized(tmp_path)
    for changes in (
        {"tags": ("smoke",)},
        {"expected": ">= 0.7"},
        {"record": {"video": "off"}},
        {"rollout": {"episodes": 20, "timeout": 60.0}},
    ):
        other = summarized(tmp_path, **changes)
        assert other.config_sha256 != plain.config_sha256
        assert other.measuring == plain.measuring, changes


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("rollout", {"rollout": {"episodes": 10}}),
        ("environment", {"environment": {"id": "CartPole-v1", "seed": 1}}),
        ("environment", {"environment": {"id": "CartPole-v1", "options": {"a": {"b": [1]}}}}),
        ("policy", {"policy": {"type": "zero", "gain": 2}}),
        ("success", {"success": {"when": "at_end"}}),
        ("gate", {"gate": {"episodes_max": 20}, "rollout": {}}),
        ("language_instruction", {"language_instruction": "reach"}),
        ("simulator", {"simulator": "other"}),
    ],
)
def test_what_bears_on_the_measurement_is_told_by_its_key(
    tmp_path: Path, key: str, changes: dict[str, Any]
) -> None:
    before, now = summarized(tmp_path).measuring, summarized(tmp_path, **changes).measuring
    differing = {name for name in {**before, **now} if before.get(name) != now.get(name)}
    assert key in differing
    assert differing <= {key, "rollout"}


def test_another_file_of_the_policy_is_another_policy_and_no_other_configuration(tmp_path: Path) -> None:
    def trained(step: int) -> JobSummary:
        policy = {"type": "zero", "checkpoint": f"run{step}.pt", "heads": [f"head{step}.pt", "b"]}
        files = {"checkpoint": f"{step}" * 64, "heads[0]": f"{step + 2}" * 64}
        return summarized(tmp_path, policy=policy, policy_files=files)

    one, two = trained(1), trained(2)
    assert one.measuring == two.measuring
    assert one.policy_sha256 != two.policy_sha256


def test_the_policys_code_is_a_part_of_the_policy(tmp_path: Path) -> None:
    one, other = (summarized(tmp_path, policy_source=letter * 64) for letter in "ab")
    assert (one.policy_sha256, other.policy_sha256) == ("a" * 64, "b" * 64)
    both = summarized(tmp_path, policy_source="a" * 64, policy_files={"checkpoint": "c" * 64})
    assert both.policy_sha256 not in (None, "a" * 64, "c" * 64)
    assert summarized(tmp_path).policy_sha256 is None


def test_a_policy_that_only_the_record_knows(tmp_path: Path) -> None:
    run = make_up_run(tmp_path, NAME, [made_up_job("a")])
    record = json.loads((run / "a" / "record.json").read_text())
    write_json(run / "a" / "record.json", {**record, "identity": {"policy": {"sha256": "d" * 64}}})
    (job,) = summarize_run(run).jobs
    assert job.policy_sha256 == "d" * 64
