"""The top of the page after real sessions: verdicts over several jobs, and why the session ended as it did."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import yaml

from tests.integration.conftest import Suite
from tests.unit.reports.html.table_rows import ShownTable

SKILLED = {
    "environment": {"id": "tests.registered:arena/Skilled-v0", "num_envs": 3},
    "policy": {"type": "tests.registered:Skill", "level": 0.9},
    "rollout": {"episodes": 40},
    "regression": {"margin": 0.2},
}


def with_groups(path: Path, groups: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "groups": groups}, sort_keys=False))


def page_of(suite: Suite) -> str:
    return (suite.run_dir / "index.html").read_text()


def texts(page: str, pattern: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(pattern, page)]


def headline(page: str) -> str:
    (found,) = texts(page, r"<h1><b class=\"verdict [a-z-]+\">(.*?)</b></h1>")
    return found


def test_groups_and_the_family_are_said_as_in_the_terminal(suite: Suite) -> None:
    path = suite.jobs({"reach": {}, "push": {}, "whole": {"rollout": {"shards": 2}}}, **SKILLED)
    data = yaml.safe_load(path.read_text())
    for job in data["jobs"].values():
        job["tags"] = ["easy"]
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    with_groups(path, {"easy": {"success_rate": ">= 0.8"}})
    suite.test()
    assert suite.run().ret == 0
    page = page_of(suite)
    assert headline(page) == "All 3 jobs have no verdict"
    assert "Exit status 0: success" in page
    baseline = suite.run_dir

    worse = (
        "--arena-set",
        "reach:policy.level=0.1",
        f"--arena-baseline={baseline}",
        "--arena-family-error=0.05",
    )
    ended = suite.run(*worse)
    assert ended.ret == 1
    page = page_of(suite)
    said = texts(page, r'<li><b class="verdict (?:pass|fail|none)">.*?</b> <bdi>(.*?)</bdi>')
    assert [line.split()[0] for line in said] == ["1", "group"]
    for line in said:
        assert line in ended.stdout.str().splitlines()
    assert headline(page) == "1 of 3 jobs failed (reach)"
    assert "Exit status 1: tests failed" in page
    rows = {row.name.split()[0]: row for row in ShownTable(page).rows}
    assert [*rows] == ["reach", "push", "whole", "whole-shard0of2", "whole-shard1of2"]
    assert rows["reach"].cells[-1].startswith("regression -")
    assert rows["whole"].cells[-1] == "non-inferior +0.0 points"


def test_a_test_that_fails_beside_its_job_is_no_good_run(suite: Suite) -> None:
    suite.jobs({"reach": {"thresholds": {"success_rate": ">= 1%"}}} | {"late": {}})
    suite.test(
        """
        import pytest

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout):
            result = arena_rollout()
            assert result.metrics["return"] < 0
        """
    )
    assert suite.run("-x").ret == 1
    page = page_of(suite)
    assert headline(page).startswith("1 of 2 jobs never ran (late)")
    assert suite.run("-k", "reach").ret == 1
    page = page_of(suite)
    assert headline(page) == "The job reach passed, but the session ended with exit status 1"
    assert "Exit status 1: a test failed for another reason than its job&#39;s verdict" in page


def test_a_job_whose_test_was_skipped_is_not_lost(suite: Suite) -> None:
    thresholds = {"thresholds": {"success_rate": ">= 1%"}}
    suite.jobs({"reach": thresholds, "away": {}, "cut": {"rollout": {"shards": 2}}})
    suite.test(
        """
        import pytest

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_job, arena_rollout):
            if arena_job.name != "reach":
                pytest.skip("no robot")
            arena_rollout().assert_thresholds()
        """
    )
    assert suite.run().ret == 0
    page = page_of(suite)
    assert headline(page) == "1 of 3 jobs passed, 2 were skipped (away, cut)"
    assert [row.cells[1] for row in ShownTable(page).rows if "part" not in row.attributes["class"]] == [
        *("skipped", "skipped", "pass")
    ]
    assert suite.run("-k", "away or cut").ret == 0
    assert headline(page_of(suite)) == "All 2 jobs were skipped"
