"""A test that is to evaluate a job and does not is never green, whatever kind of test it is."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Suite

UNPARAMETRIZED = """
import unittest
import pytest

@pytest.mark.arena("jobs.yaml")
class TestCases(unittest.TestCase):
    def test_class(self): pass

class TestMethods(unittest.TestCase):
    @pytest.mark.arena("jobs.yaml")
    def test_method(self): pass

def test_late(): pass

def documented():
    '''
    >>> 1 + 1
    2
    '''
"""
LATE = """
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        if "late" in item.name or "documented" in item.name:
            item.add_marker(pytest.mark.arena("jobs.yaml"))
"""


@pytest.mark.parametrize("chosen", ["", "late"])
def test_a_marked_test_without_a_job_is_refused(suite: Suite, chosen: str) -> None:
    suite.jobs({"job": {}})
    suite.test(UNPARAMETRIZED)
    suite.pytester.makeconftest(LATE)
    result = suite.run("--doctest-modules", "-k", chosen)
    assert result.ret == 4
    errors = [line for line in result.stderr.lines if line]
    late = "ERROR: test_it.py::test_late is marked arena but has no job: the mark came after its collection; "
    assert late + "put it on the function, its class or its module" in errors
    if chosen:
        assert len(errors) == 1
        return
    assert [line.partition(" is marked")[0] for line in errors] == [
        "ERROR: test_it.py::test_it.documented",
        "ERROR: test_it.py::TestCases::test_class",
        "ERROR: test_it.py::TestMethods::test_method",
        "ERROR: test_it.py::test_late",
    ]
    assert "unittest.TestCase" in errors[1]
    assert not (suite.path / "arena-results").exists()


def test_workers_refuse_it_too(suite: Suite) -> None:
    suite.jobs({"job": {}})
    suite.test(UNPARAMETRIZED)
    result = suite.run("-n", "1")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*test_method is marked arena but has no job*"])
    assert "INTERNALERROR" not in result.stdout.str()
