"""Films of failures in JUnit's file, where GitLab looks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.integration.conftest import Suite

TRAP = {"id": "tests.registered:arena/Trap-v0", "options": {"make": {"trap": "SIGKILL", "episode": 2}}}
FILMED = {"cameras": {"render": {"width": 64, "height": 64}}}
JOBS: dict[str, Any] = {
    "good": {"thresholds": {"success_rate": ">= 0.1"}},
    "bad": {"thresholds": {"success_rate": ">= 0.95"}, "record": {"overview": False}},
    "shown": {"thresholds": {"success_rate": ">= 0.95"}},
    "unfilmed": {"thresholds": {"success_rate": ">= 0.95"}, "record": {"video": "off"}},
    "parts": {"rollout": {"episodes": 4, "shards": 2}, "thresholds": {"success_rate": ">= 0.99"}},
}
BODY = """
import pytest

@pytest.mark.arena("jobs.yaml")
def test_it(arena_rollout):
    print("of the test")
    arena_rollout().assert_thresholds()

def test_without_a_job():
    print("[[ATTACHMENT|mine.png]]")
    assert False
"""


def write(suite: Suite, **jobs: Any) -> None:
    suite.jobs(
        jobs,
        environment={"id": "tests.registered:arena/Skilled-v0", **FILMED},
        policy={"type": "tests.registered:Skill", "level": 0.5},
    )
    suite.test(BODY)


def cases(suite: Suite, file: str = "junit.xml") -> dict[str, ET.Element]:
    """Test name in brackets -> its element."""
    found = ET.parse(suite.path / file).iter("testcase")
    return {case.get("name", "").partition("[")[2].removesuffix("]"): case for case in found}


def attachments(case: ET.Element) -> list[str]:
    """Return the paths as GitLab reads them, from the one output that a test has."""
    outputs = case.findall("system-out")
    assert len(outputs) <= 1
    lines = [line for output in outputs for line in (output.text or "").splitlines()]
    marked = [line for line in lines if line.startswith("[[ATTACHMENT|")]
    return [line.removeprefix("[[ATTACHMENT|").removesuffix("]]") for line in marked]


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_failed_jobs_name_a_film_below_the_project(
    suite: Suite, workers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_PROJECT_DIR", str(suite.path.parent))
    write(suite, **JOBS)
    assert suite.run("--junitxml=junit.xml", *workers).ret == 1
    found = {name: attachments(case) for name, case in cases(suite).items()}
    folder = f"{suite.path.name}/arena-results/{suite.run_dir.name}"
    first = next(e for e in suite.episodes("bad") if e["outcome"] == "failure")
    assert found.pop("bad") == [f"{folder}/{first['videos']['render']}"]
    assert found.pop("shown") == [f"{folder}/shown/overview.mp4"]
    assert found.pop("parts") == [f"{folder}/parts/overview.mp4"]
    assert not any(found.values())
    assert {"good", "unfilmed", ""} <= {*found}


def test_output_that_pytest_writes_stays_and_is_the_only_one(suite: Suite) -> None:
    write(suite, bad=JOBS["bad"], good=JOBS["good"])
    assert suite.run("--junitxml=junit.xml", "-o", "junit_logging=all").ret == 1
    found = cases(suite)
    (path,) = attachments(found["bad"])
    assert (suite.path / path).is_file()
    assert "of the test" in (found["bad"].findtext("system-out") or "")
    assert attachments(found["good"]) == []


def test_a_job_whose_worker_died_keeps_its_properties(suite: Suite) -> None:
    dies = {
        "environment": {**TRAP, **FILMED},
        "record": {"video": "on"},
        "policy": {"type": "zero", "level": None},
    }
    write(suite, dies=dies)
    assert suite.run("--junitxml=junit.xml", "-n", "1").ret == 1
    case = cases(suite)["dies"]
    properties = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert properties["arena_status"] == "crashed"
    assert properties["arena_record"] == "dies/record.json"
    assert properties["arena_seed"] == "0"
    assert attachments(case) == []  # it was to be filmed after its last episode


def test_a_film_outside_of_the_project_is_not_named(suite: Suite, tmp_path: Path) -> None:
    write(suite, bad=JOBS["bad"])
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    assert suite.run("--junitxml=junit.xml", f"--arena-output={elsewhere}").ret == 1
    assert attachments(cases(suite)["bad"]) == []
