"""``rollout.shards``: one job over several tests, one verdict."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from tests.integration.conftest import Suite

CHANGING = ("started_at", "wall_time_seconds", "job", "env_idx", "start_step", "end_step", "videos")
WORDS = {"thresholds": {"success_rate": ">= 0.01", "episode_length": "< 100"}}


def comparable(suite: Suite, job: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in e.items() if k not in CHANGING} for e in suite.episodes(job)]


@pytest.mark.parametrize("args", [[], ["-n", "1"], ["-n", "3"]], ids=["in-process", "n1", "n3"])
def test_equal_to_the_unsharded_run(suite: Suite, args: list[str]) -> None:
    rollout = {"episodes": 10, "rebuilds": 2}
    suite.jobs(
        {"whole": {"rollout": rollout, **WORDS}, "parts": {"rollout": {**rollout, "shards": 4}, **WORDS}}
    )
    suite.test()
    result = suite.run("--junitxml=junit.xml", *args)
    assert result.ret == 0, result.stdout.str()
    names = ["whole", *(f"parts-shard{i}of4" for i in range(4)), "parts"]
    assert sorted(suite.outcomes()) == sorted(names)
    assert set(suite.outcomes().values()) == {"passed"}
    assert [len(suite.episodes(f"parts-shard{i}of4")) for i in range(4)] == [3, 3, 2, 2]
    assert comparable(suite, "parts") == comparable(suite, "whole")
    whole, parts = suite.arena("whole"), suite.arena("parts")
    for key in ("metrics", "thresholds", "verdict", "status", "episodes", "reproducible"):
        assert parts[key] == whole[key], key
    metrics = json.loads((suite.run_dir / "metrics.json").read_text())
    assert metrics["parts"] == metrics["whole"]
    cases = {case.get("name"): case for case in ET.parse(suite.path / "junit.xml").iter("testcase")}
    assert "test_it[parts]" in cases
    result.stdout.fnmatch_lines(["parts *10/10*pass*"])


def test_every_shard_on_every_worker(suite: Suite) -> None:
    """The verdict is drawn when each shard has been reported, while others may run some of them once more."""
    suite.jobs({"parts": {"rollout": {"episodes": 4, "shards": 2}, **WORDS}})
    suite.test()
    suite.pytester.makeconftest(
        """
        import os, time
        import pytest

        def second_waits_for(path):
            ends = time.monotonic() + 30
            while os.environ["PYTEST_XDIST_WORKER"] == "gw1" and not path.exists():
                assert time.monotonic() < ends, path
                time.sleep(0.01)

        @pytest.fixture
        def arena_env_options(arena_env_options, arena_run_dir):
            second_waits_for(arena_run_dir / "parts-shard0of2" / "record.json")
            return arena_env_options

        @pytest.fixture
        def arena_policy(arena_policy, arena_run_dir):
            second_waits_for(arena_run_dir / "parts" / "record.json")
            return arena_policy
        """
    )
    result = suite.run("-n", "2", "--dist", "each")
    assert result.ret == 0, result.stdout.str()
    assert suite.record("parts")["verdict"] == "pass"
    assert len(list(suite.run_dir.glob("parts-shard*/record.json"))) == 4


@pytest.mark.parametrize("args", [[], ["-n", "2"]], ids=["in-process", "n2"])
def test_the_verdict_fails_once(suite: Suite, args: list[str]) -> None:
    suite.jobs({"parts": {"rollout": {"episodes": 6, "shards": 3}, "thresholds": {"success_rate": "> 0.99"}}})
    suite.test()
    result = suite.run(*args)
    assert result.ret == 1
    assert [name for name, outcome in suite.outcomes().items() if outcome == "failed"] == ["parts"]
    assert suite.arena("parts")["verdict"] == "fail"
    result.stdout.fnmatch_lines(["*job 'parts': 1 of 1 thresholds failed over 6 episodes*"])


def test_a_broken_shard_makes_the_job_an_error(suite: Suite) -> None:
    policy = {"type": "tests.registered:Broken", "at": 1}
    suite.jobs({"parts": {"rollout": {"episodes": 4, "shards": 2}, "policy": policy, **WORDS}})
    suite.test()
    assert suite.run().ret == 1
    assert suite.outcomes() == {"parts-shard0of2": "failed", "parts-shard1of2": "failed", "parts": "failed"}
    assert "2 of 2 shards did not complete" in suite.arena("parts")["error"]["message"]


def test_a_single_shard_has_no_verdict(suite: Suite) -> None:
    suite.jobs({"parts": {"rollout": {"episodes": 4, "shards": 2}, "thresholds": {"success_rate": "> 0.99"}}})
    suite.test()
    result = suite.run("-k", "shard0of2")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["no verdict on parts: 1 of 2 shards ran"])


def test_custom_metrics_are_reduced_over_all_shards(suite: Suite) -> None:
    suite.pytester.makeconftest(
        """
from pytest_arena import Metric

class Longest(Metric):
    name, reduction = "longest", "max"

    def end(self, row, episode):
        return float(episode.length)

def pytest_arena_metrics(job):
    return [Longest()]
"""
    )
    suite.jobs({"parts": {"rollout": {"episodes": 9, "shards": 3}, "thresholds": {"longest": "< 1000"}}})
    suite.test()
    for args in ([], ["-n", "2"]):
        assert suite.run(*args).ret == 0
        assert suite.arena("parts")["metrics"]["longest"] == max(e["length"] for e in suite.episodes("parts"))


def test_files_without_python(suite: Suite) -> None:
    suite.jobs({"parts": {"rollout": {"episodes": 4, "shards": 2}, **WORDS}}, name="more.yaml")
    assert suite.run("--arena-jobs", "more.yaml").ret == 0
    assert list(suite.outcomes()) == ["parts-shard0of2", "parts-shard1of2", "parts"]


@pytest.mark.parametrize("args", [[], ["-n", "2"]], ids=["in-process", "n2"])
def test_beside_other_parameters(suite: Suite, args: list[str]) -> None:
    """The job's part of a node id may stand anywhere among the parameters of a test."""
    limit = {"thresholds": {"success_rate": ">= 0.99"}}
    suite.jobs({"parts": {"rollout": {"episodes": 4, "shards": 2}, **limit}})
    suite.test(
        """
        import pytest

        @pytest.mark.arena("jobs.yaml")
        @pytest.mark.parametrize("before", ["x-y", "[1]"])
        def test_before(arena_rollout, before):
            arena_rollout()

        @pytest.mark.parametrize("behind", ["a b"])
        class TestBehind:
            @pytest.mark.arena("jobs.yaml")
            def test_behind(self, arena_rollout, behind):
                arena_rollout()
        """
    )
    result = suite.run(*args)
    assert result.ret == 1
    assert "no verdict" not in result.stdout.str()
    failed = [test["nodeid"] for test in suite.report()["tests"] if test["outcome"] == "failed"]
    assert sorted(
        nodeid.partition("::")[2].replace("parts-", "").replace("-parts", "") for nodeid in failed
    ) == [
        "TestBehind::test_behind[a b]",
        "test_before[[1]]",
        "test_before[x-y]",
    ]


def test_beside_a_job_that_is_called_like_a_shard(suite: Suite) -> None:
    """pytest gives their ids numbers then."""
    limit = {"thresholds": {"success_rate": ">= 0.99"}}
    suite.jobs({"parts": {"rollout": {"episodes": 4, "shards": 2}, **limit}, "parts-shard0of2": {}})
    suite.test()
    result = suite.run()
    assert result.ret == 1
    assert "no verdict" not in result.stdout.str()
    assert suite.outcomes()["parts"] == "failed"


def test_more_shards_than_episodes_are_refused(suite: Suite) -> None:
    suite.jobs({"parts": {"rollout": {"episodes": 2, "shards": 3}}})
    suite.test()
    result = suite.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*expected at least one episode a shard, got 2 episodes for 3 shards*"])


def test_node_ids_of_somebody_else_are_refused(suite: Suite) -> None:
    """They would be printed as the test that failed, and no report would be that of a shard."""
    suite.jobs({"job": {"rollout": {"episodes": 4, "shards": 2}}})
    suite.test()
    suite.run()
    path = suite.run_dir / "run.json"
    written = path.read_text()
    assert suite.run("--arena-resume", str(suite.run_dir)).ret == 0
    for folder in suite.run_dir.glob("job*"):
        record = json.loads((folder / "record.json").read_text())
        (folder / "record.json").write_text(json.dumps({**record, "nodeid": None}))
    for key, words in {
        "job]": "jobs.job-shard0of2.shard.nodeid: expected 'test_it.py::test_it[job]'",
        "job-shard1of2]": "jobs.job-shard1of2.nodeid: expected 'test_it.py::test_it[job-shard1of2]'",
    }.items():
        path.write_text(written.replace(f"test_it.py::test_it[{key}", f"../../etc::test_it[{key}"))
        result = suite.run("--arena-resume", str(suite.run_dir))
        assert result.ret == 4
        assert f"run.json: {words}, got '../../etc::test_it[{key}'" in result.stderr.str()


def test_resumed(suite: Suite) -> None:
    make = {"trap": "SIGKILL", "episode": 1, "once": str(suite.path / "sprung")}
    environment = {"id": "tests.registered:arena/Trap-v0", "options": {"make": make}}
    suite.jobs({"parts": {"rollout": {"episodes": 6, "shards": 2}, "environment": environment, **WORDS}})
    suite.test()
    assert suite.run("-n", "1").ret == 1
    assert suite.run("--arena-resume", str(suite.run_dir)).ret == 0
    assert suite.record("parts")["status"] == "completed"
    assert [e["episode"] for e in suite.episodes("parts")] == list(range(6))


@pytest.mark.parametrize("args", [[], ["-n", "1"]], ids=["in-process", "n1"])
def test_skipped_shards(suite: Suite, args: list[str]) -> None:
    suite.jobs({"parts": {"rollout": {"episodes": 4, "shards": 2}, **WORDS}, "other": {}})
    suite.test(
        """
        import pytest

        @pytest.mark.skipif(True, reason="not here")
        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout): ...
        """
    )
    assert suite.run(*args).ret == 0
    assert set(suite.outcomes().values()) == {"skipped"}


def test_a_shard_that_skips_itself_leaves_no_verdict(suite: Suite) -> None:
    suite.jobs({"parts": {"rollout": {"episodes": 4, "shards": 2}, **WORDS}})
    suite.test(
        """
        import pytest

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout, request):
            if "shard1" in request.node.name:
                pytest.skip("not today")
            arena_rollout()
        """
    )
    result = suite.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["no verdict on parts: 1 of 2 shards skipped or xfailed"])
    assert not (suite.run_dir / "parts").exists()


def test_last_failed_runs_all_shards_again(suite: Suite) -> None:
    suite.jobs(
        {
            "parts": {"rollout": {"episodes": 4, "shards": 2}, "thresholds": {"success_rate": "> 0.99"}},
            "bad": {"thresholds": {"success_rate": "> 0.99"}},
            "good": {},
        }
    )
    suite.test()
    assert suite.run().ret == 1
    assert suite.run("--lf").ret == 1
    assert sorted(suite.outcomes()) == ["bad", "parts", "parts-shard0of2", "parts-shard1of2"]


def test_a_time_to_success_fails_as_in_the_unsharded_job(suite: Suite) -> None:
    environment = {"id": "tests.registered:arena/Endless-v0"}
    suite.jobs(
        {
            "parts": {
                "environment": environment,
                "rollout": {"episodes": 2, "shards": 2},
                "thresholds": {"time_to_success": "< 10"},
            }
        }
    )
    suite.test()
    assert suite.run().ret == 1
    assert suite.arena("parts")["verdict"] == "fail"
