"""Jobs spread over real xdist workers."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.integration.conftest import Suite
from tests.integration.what_ran import LOGGED, ran


@pytest.fixture
def logged(suite: Suite) -> Suite:
    suite.pytester.makeconftest(LOGGED)
    return suite


def job_of(line: dict[str, Any]) -> str:
    return line["item"].partition("[")[2][:-1]


def times_run(suite: Suite) -> dict[str, int]:
    return dict(Counter(map(job_of, ran(suite))))


def grouped_jobs(groups: int, size: int) -> dict[str, Any]:
    return {
        f"g{group}-{i}": {"environment": {"num_envs": group + 1}, "rollout": {"episodes": 2 + i}}
        for i in range(size)
        for group in range(groups)
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_of_an_environment_run_on_one_worker_together(logged: Suite, workers: int) -> None:
    jobs = grouped_jobs(4, 3)
    logged.jobs(jobs)
    logged.test()
    result = logged.run("-n", str(workers), "-v")
    result.assert_outcomes(passed=12)
    result.stdout.fnmatch_lines(["*scheduling tests via ArenaScheduling*"])
    assert times_run(logged) == dict.fromkeys(jobs, 1)
    builds = 0
    for worker in ("gw0", "gw1")[:workers]:
        groups = [job_of(line)[:2] for line in ran(logged) if line["worker"] == worker]
        builds += sum(a != b for a, b in zip(["", *groups], groups, strict=False))
    # With two, a group is split where a worker would idle; how often depends on how busy the machine is.
    # What the rule does to a given clock is in the scheduler's own tests.
    assert builds == 4 if workers == 1 else 4 <= builds < len(jobs)


def test_node_ids_are_those_of_a_run_in_one_process(logged: Suite) -> None:
    logged.jobs(grouped_jobs(2, 2))
    logged.test()
    logged.run("-n", "2")
    names = sorted(line["item"] for line in ran(logged))
    assert names == sorted(f"test_it.py::test_it[{job}]" for job in grouped_jobs(2, 2))


@pytest.mark.parametrize("position", [0, 2, 4])
def test_a_job_that_kills_its_worker_is_reported_once_and_the_others_run_once(
    logged: Suite, position: int
) -> None:
    jobs: dict[str, Any] = {
        f"job{i}": {"environment": {"num_envs": i + 1}, "rollout": {"episodes": 9 - i}} for i in range(5)
    }
    trap = {"id": "tests.registered:arena/Trap-v0", "options": {"make": {"trap": "exit"}}}
    jobs[f"job{position}"]["environment"] = trap
    logged.jobs(jobs)
    logged.test()
    result = logged.run("-n", "1")
    result.assert_outcomes(passed=4, failed=1)
    lines = ran(logged)
    assert [job_of(line) for line in lines] == list(jobs), "once each, the longest first"
    pids = [line["pid"] for line in lines]
    assert len(set(pids[: position + 1])) == 1
    assert not set(pids[: position + 1]) & set(pids[position + 1 :]), "the rest ran in the replacement"


def test_a_crashed_job_runs_again_where_reruns_are_asked_for(logged: Suite) -> None:
    pytest.importorskip("pytest_rerunfailures")
    logged.jobs({f"job{i}": {} for i in range(4)})
    logged.test(
        """
        import os, pathlib
        import pytest

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout, arena_job):
            arena_rollout()
            if arena_job.name == "job1" and not pathlib.Path("died").exists():
                pathlib.Path("died").touch()
                os._exit(3)
        """
    )
    result = logged.run("-n", "2", "--reruns", "1")
    assert result.parseoutcomes() == {"passed": 4, "rerun": 1}
    assert times_run(logged) == {"job0": 1, "job1": 2, "job2": 1, "job3": 1}
    assert (logged.run_dir / "job1.2").is_dir()


def test_jobs_and_other_tests_in_one_session(logged: Suite) -> None:
    logged.jobs(grouped_jobs(2, 2))
    logged.test()
    logged.pytester.makepyfile(
        test_plain="""
        import pytest

        @pytest.mark.parametrize("i", range(30))
        def test_plain(i):
            assert i != 7
        """
    )
    result = logged.run("-n", "3")
    result.assert_outcomes(passed=33, failed=1)
    assert set(Counter(line["item"] for line in ran(logged)).values()) == {1}


LAUNCHES = """
from pytest_arena.simulators.gymnasium.simulator import GymnasiumSimulator

GymnasiumSimulator.launch_key = lambda self, job: job.environment.num_envs
"""
"""For conftest.py: environments of different sizes need processes of their own."""


@pytest.mark.parametrize("workers", [2, 3])
def test_launch_settings_never_meet_in_a_process(logged: Suite, workers: int) -> None:
    logged.pytester.makeconftest(LOGGED + LAUNCHES)
    logged.jobs(
        {
            f"g{size}-{i}": {"environment": {"num_envs": size, "seed": i}}
            for i in range(3)
            for size in (1, 2, 3)
        }
        | {"longest": {"environment": {"num_envs": 1}, "rollout": {"episodes": 9}}}
        | {"longer": {"environment": {"num_envs": 2}, "rollout": {"episodes": 8}}}
    )
    logged.test()
    result = logged.run("-n", str(workers))
    had: dict[int, set[str]] = {}
    for line in ran(logged):
        group = {"longest": "g1", "longer": "g2"}.get(job_of(line), job_of(line)[:2])
        had.setdefault(line["pid"], set()).add(group)
    assert all(len(groups) == 1 for groups in had.values())
    if workers == 3:
        result.assert_outcomes(passed=11)
        return
    assert not any("g3" in groups for groups in had.values())
    assert result.parseoutcomes()["passed"] == 8
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(
        ["ERROR: these jobs need 3 simulator processes*3 of them will not run*use -n 3*"]
    )


def test_fewer_jobs_than_workers(logged: Suite) -> None:
    logged.jobs({"only": {}})
    logged.test()
    logged.run("-n", "3").assert_outcomes(passed=1)
    assert times_run(logged) == {"only": 1}


def test_the_first_failure_ends_the_session_where_that_is_asked_for(logged: Suite) -> None:
    logged.jobs({f"job{i}": {"thresholds": {"success_rate": "> 0.99"}} for i in range(6)})
    logged.test()
    result = logged.run("-n", "1", "-x")
    assert result.parseoutcomes()["failed"] == 1
    assert result.ret == 2


def test_the_longest_job_of_the_last_run_is_the_first_of_the_next(logged: Suite) -> None:
    logged.jobs({f"job{i}": {"environment": {"num_envs": i + 1}} for i in range(4)})
    logged.test()
    logged.run("-n", "1").assert_outcomes(passed=4)
    for job, seconds in {"job0": 1.0, "job1": 3.0, "job2": 9.0, "job3": 2.0}.items():
        path = logged.run_dir / job / "record.json"
        record = json.loads(path.read_text())
        record["timings"]["total_seconds"] = seconds
        path.write_text(json.dumps(record))
    (logged.path / "ran.jsonl").unlink()
    logged.run("-n", "1").assert_outcomes(passed=4)
    assert [job_of(line) for line in ran(logged)] == ["job2", "job1", "job3", "job0"]


def test_without_jobs_tests_are_spread_as_without_the_plugin(logged: Suite) -> None:
    logged.pytester.makepyfile(
        test_plain="""
        import pytest

        @pytest.mark.parametrize("i", range(24))
        def test_plain(i):
            pass
        """
    )
    first = []
    for args in ([], ["-p", "no:arena"]):
        logged.run("-n", "2", *args).assert_outcomes(passed=24)
        lines = ran(logged)
        (logged.path / "ran.jsonl").unlink()
        # Which worker is ready first decides who gets which chunk, and which is faster decides over the rest:
        # the first chunks, whoever has them, are xdist's choice alone.
        first.append(
            sorted([line["item"] for line in lines if line["worker"] == w][:3] for w in ("gw0", "gw1"))
        )
    assert first[0] == first[1]
    assert not (logged.path / "arena-results").exists()


@pytest.mark.parametrize("dist", ["worksteal", "each"])
def test_other_ways_to_spread_are_left_to_xdist(logged: Suite, dist: str) -> None:
    logged.jobs({"a": {}, "b": {}})
    logged.test()
    result = logged.run("-n", "1", "--dist", dist, "-v")
    result.assert_outcomes(passed=2)
    assert "ArenaScheduling" not in result.stdout.str()
