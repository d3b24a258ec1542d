"""How Isaac Lab on Kit ends, by a stand-in that does to its process what Kit does: what must survive it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from tests.integration.conftest import Suite, parse
from tests.integration.kit_jobs import DEFAULTS, JOBS, both_generations

pytestmark = pytest.mark.stand_in


def reports_are_whole(kit: Suite) -> None:
    tests = {test["nodeid"].partition("[")[2][:-1]: test for test in kit.report()["tests"]}
    assert tests["good"]["outcome"] == "passed"
    assert tests["bad"]["outcome"] == "failed"
    for name, test in tests.items():
        assert test["metadata"]["arena"]["metrics"]["success_rate"] == 0.5, name
    assert set(json.loads((kit.run_dir / "metrics.json").read_text())) == {"good", "bad"}
    suites = ElementTree.parse(kit.path / "junit.xml").getroot()
    assert suites.find("testsuite").attrib["failures"] == "1"


@pytest.mark.parametrize(
    ("generation", "words"),
    [("2.3", ""), ("2.3", "exit-code"), ("2.3", "late-zero"), ("3.0", ""), ("3.0", "late-zero")],
)
def test_a_failing_job_exits_1_with_all_reports_though_closing_ends_the_process(
    kit: Suite, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("KIT_STAND_IN", words)
    kit.jobs(JOBS, **DEFAULTS)
    result = kit.run("--junitxml", "junit.xml", "-m", "not slow", "-p", "no:hypothesispytest")
    assert result.ret == 1
    reports_are_whole(kit)
    result.stdout.fnmatch_lines(["*good *8/8*50.0%*pass*", "*bad *8/8*50.0%*fail*", "*1 failed, 1 passed*"])


@both_generations
def test_the_same_with_workers(kit: Suite) -> None:
    kit.jobs(JOBS, **DEFAULTS)
    result = kit.run("-n", "2", "--junitxml", "junit.xml", "-p", "no:hypothesispytest")
    assert result.ret == 1
    reports_are_whole(kit)
    result.stdout.fnmatch_lines(["*1 failed, 1 passed*"])


@both_generations
def test_a_passing_run_exits_0(kit: Suite) -> None:
    kit.jobs({"good": JOBS["good"]}, **DEFAULTS)
    assert kit.run("-p", "no:hypothesispytest").ret == 0


@both_generations
def test_a_close_that_hangs_is_ended(kit: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_STAND_IN", "hang")
    kit.jobs({"good": JOBS["good"]}, **DEFAULTS)
    (kit.path / "conftest.py").write_text(
        "from pytest_arena.simulators.isaaclab import app\napp.CLOSE_SECONDS = 0.5\n"
    )
    result = kit.run("-p", "no:hypothesispytest")
    assert result.ret == 0
    result.stderr.fnmatch_lines(["*the app did not close in 0.5 s and was left*"])
    assert kit.report()["exitcode"] == 0


@both_generations
@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "n1"])
def test_sys_exit_after_the_launch_is_a_failure_with_all_reports(
    kit: Suite, workers: tuple[str, ...]
) -> None:
    """pytest catches SystemExit, but the app is on its way out: what comes later in the process has none."""
    (kit.path / "leaver.py").write_text(
        """
import sys
import numpy as np

class Policy:
    steps = 0

    def act(self, observation):
        self.steps += 1
        if self.steps == 4:
            sys.exit(0)
        return np.zeros((4, 2))
"""
    )
    jobs = {"good": JOBS["good"], "leaves": {"policy": {"type": "leaver:Policy"}}, "later": JOBS["good"]}
    kit.jobs(jobs, **DEFAULTS)
    result = kit.run(*workers, "--junitxml", "junit.xml")
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=1, errors=1)
    assert kit.outcomes() == {"good": "passed", "leaves": "failed", "later": "error"}
    leaves, later = kit.record("leaves"), kit.record("later")
    assert (leaves["status"], leaves["verdict"], leaves["error"]["type"]) == ("error", "error", "SystemExit")
    assert (leaves["episodes"]["measured"], later["episodes"]["measured"]) == (2, 0)
    assert (later["status"], later["error"]["message"]) == ("error", "the app has been stopped")
    assert set(parse((kit.run_dir / "metrics.json").read_text())) == set(jobs)
    suites = ElementTree.parse(kit.path / "junit.xml").getroot().find("testsuite")
    assert (suites.attrib["tests"], suites.attrib["failures"], suites.attrib["errors"]) == ("3", "1", "1")


def test_a_report_that_cannot_be_written_is_no_success(kit: Suite) -> None:
    """What is raised while the session finishes must reach the terminal and the status."""
    kit.jobs({"good": JOBS["good"]}, **DEFAULTS)
    (kit.path / "file").write_text("")
    result = kit.run("--junitxml", "file/junit.xml", "-p", "no:hypothesispytest")
    assert result.ret == 1, "what Python ends with where no app ends the process"
    result.stderr.fnmatch_lines(["*Error*file*"])


@both_generations
def test_an_environment_that_cannot_be_closed_costs_its_job_nothing(
    kit: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_STAND_IN", "late-zero")
    kit.jobs({"good": JOBS["good"]}, **DEFAULTS)
    kit.pytester.makeconftest(
        """
        from pytest_arena.simulators.isaaclab.simulator import IsaacLabEnv

        def close(self):
            raise RuntimeError("the stage is gone")

        IsaacLabEnv.close = close
        """
    )
    result = kit.run("-p", "no:hypothesispytest")
    assert result.ret == 0
    assert kit.record("good")["verdict"] == "pass"
    assert [note for note in kit.record("good")["notes"] if "the stage is gone" in note]


@both_generations
def test_a_launch_that_fails_half_way_is_no_success(kit: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_STAND_IN", "late-zero,half-way")
    kit.jobs({"good": JOBS["good"]}, **DEFAULTS)
    result = kit.run("-p", "no:hypothesispytest")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*the renderer is missing*"])
