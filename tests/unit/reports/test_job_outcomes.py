"""What became of jobs, worst first."""

from __future__ import annotations

from pathlib import Path

from pytest_arena.records.schema import Status
from pytest_arena.reports.job_outcomes import EXPECTED, OTHERWISE, JobOutcome, counts, job_outcomes, reasons
from tests.unit.reports.run_of_jobs import write_broken_job, write_job, write_manifest


def outcomes_of(run_dir: Path, jobs: list[str], failed: set[str]) -> list[JobOutcome]:
    """Return the outcomes; *failed* names jobs."""
    nodeids = {f"jobs.yaml::rollout[{name}]" for name in failed}
    return job_outcomes(run_dir, write_manifest(run_dir, jobs), nodeids)


def test_the_worst_stands_first_and_every_kind_is_counted(tmp_path: Path) -> None:
    write_job(tmp_path, "good", [True])
    write_job(tmp_path, "bad", [False])
    write_job(tmp_path, "known", [False])
    write_job(tmp_path, "other", [True])
    write_job(tmp_path, "free", [True], job={"thresholds": {}})
    write_broken_job(tmp_path, "broken", "no")
    write_broken_job(tmp_path, "died", "killed", Status.CRASHED)
    jobs = ["good", "bad", "known", "other", "free", "broken", "died", "never"]
    found = outcomes_of(tmp_path, jobs, {"bad", "other", "broken", "died"})
    assert {o.job.label: o.word for o in found} == {
        "broken": "error",
        "died": "crashed",
        "bad": "fail",
        "other": OTHERWISE,
        "never": "never ran",
        "known": EXPECTED,
        "free": "none",
        "good": "pass",
    }
    assert [o.job.label for o in found] == [
        "died",
        "broken",
        "never",
        "bad",
        "other",
        "known",
        "free",
        "good",
    ]
    assert [o.job.label for o in found if o.bad] == ["died", "broken", "never", "bad", "other"]
    assert counts(found) == (
        "8 jobs: 1 crashed, 1 with an error, 1 never ran, 1 failed, 1 failed otherwise, 1 expected to fail, "
        "1 without verdict, 1 passed"
    )


def test_an_undecided_job_is_bad_where_its_test_fails(tmp_path: Path) -> None:
    def gate(inconclusive: str) -> dict[str, object]:
        return {
            "gate": {"episodes_max": 4, "inconclusive": inconclusive},
            "thresholds": {"success_rate": ">= 0.5"},
        }

    write_job(tmp_path, "strict", [True, False] * 2, job=gate("fail"))
    write_job(tmp_path, "lax", [True, False] * 2, job=gate("pass"))
    strict, lax = outcomes_of(tmp_path, ["strict", "lax"], {"strict"})
    assert (strict.word, strict.bad, strict.undecided) == ("inconclusive", True, False)
    assert (lax.word, lax.bad, lax.undecided) == ("inconclusive", False, True)


def test_the_last_attempt_counts(tmp_path: Path) -> None:
    write_job(tmp_path, "job", [False])
    write_job(tmp_path, "job", [True], attempt=2)
    (found,) = outcomes_of(tmp_path, ["job"], set())
    assert (found.job.folder, found.word) == ("job.2", "pass")


def test_the_parts_of_a_sharded_job_are_one_job_with_a_place(tmp_path: Path) -> None:
    shard = {"label": "big", "nodeid": "jobs.yaml::rollout[big]", "count": 2}
    parts = {
        f"big-shard{k}of2": {
            "nodeid": f"jobs.yaml::rollout[big-shard{k}of2]",
            "file": "jobs.yaml",
            "line": 7,
            "shard": {"index": k, **shard},
        }
        for k in range(2)
    }
    for name in parts:
        write_job(tmp_path, name, [True], job={"thresholds": {}})
    write_job(tmp_path, "big", [True, False])
    manifest = write_manifest(tmp_path, [], **parts)
    (found,) = job_outcomes(tmp_path, manifest, {"jobs.yaml::rollout[big]"})
    assert (found.job.label, found.word, found.job.entry.line) == ("big", "fail", 7)


def test_of_a_gate_that_decided_nothing_the_reasons_say_what_would(tmp_path: Path) -> None:
    gate = {"gate": {"episodes_max": 4}, "thresholds": {"success_rate": ">= 0.5"}}
    record = write_job(tmp_path, "open", [True, False] * 2, job=gate)
    threshold, decides = reasons(record)
    assert threshold.startswith("? success_rate = 0.5 ")
    assert decides.startswith("success_rate >= 0.5: inconclusive after all 4 episodes: 2 successes, ")
