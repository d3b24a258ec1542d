"""The session's end: one step that fails costs no other, and ``run.json`` has the status of the process."""

from __future__ import annotations

import textwrap

import pytest

from tests.integration.conftest import Suite, parse

BROKEN = """
import pytest
from pytest_arena.session import end, suite_verdicts

def broken(*_, **__):
    raise RuntimeError("out of luck")

end.metrics_of = suite_verdicts.judge_suite = broken

def pytest_arena_record(record):
    if record.status == "error":
        broken()

@pytest.fixture
def arena_recorders(arena_job):
    if arena_job.name == "unready":
        assert False
    return []
"""


def test_a_step_that_fails_is_a_line_and_costs_no_other(suite: Suite) -> None:
    suite.jobs({"good": {}, "unready": {}})
    suite.test()
    suite.pytester.makeconftest(BROKEN)
    result = suite.run()
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "the hook pytest_arena_record of job 'unready' failed: RuntimeError: out of luck",
            "the verdicts over several jobs failed: RuntimeError: out of luck",
            "metrics.json failed: RuntimeError: out of luck",
            "*in broken",
        ]
    )
    assert "INTERNALERROR" not in result.stdout.str()
    assert parse((suite.run_dir / "run.json").read_text())["exit_status"] == 1
    assert suite.outcomes() == {"good": "passed", "unready": "error"}


CHANGED = {
    "outermost": """
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_sessionfinish(session):
            yield
            session.exitstatus = 7
        """,
    "exit": """
        def pytest_sessionfinish():
            pytest.exit("enough", 7)
        """,
    "raises": """
        def pytest_sessionfinish():
            raise RuntimeError("out of luck")
        """,
}


@pytest.mark.parametrize("how", CHANGED)
def test_the_manifest_has_the_status_of_the_process(suite: Suite, how: str) -> None:
    suite.jobs({"good": {}})
    suite.test()
    suite.pytester.makeconftest("import pytest\n" + textwrap.dedent(CHANGED[how]))
    status = suite.run().ret
    assert status == (1 if how == "raises" else 7)
    assert parse((suite.run_dir / "run.json").read_text())["exit_status"] == status
