"""A test that is to evaluate a job and does not is never green, whatever kind of test it is."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Suite, parse

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


SILENT = """
import threading
import pytest

@pytest.mark.arena("broken.yaml")
def test_swallowed(arena_rollout):
    try:
        arena_rollout()
    except Exception:
        pass

pytestmark = pytest.mark.filterwarnings("ignore")

@pytest.mark.arena("jobs.yaml")
def test_thread(arena_rollout):
    thread = threading.Thread(target=arena_rollout)
    thread.start()
    thread.join()

@pytest.mark.arena("jobs.yaml")
async def test_async(arena_rollout):
    arena_rollout()

@pytest.mark.arena("jobs.yaml")
class TestClass:
    def test_method(self, arena_rollout): pass

@pytest.mark.arena("jobs.yaml")
def test_mine(arena_rollout): pass
"""
PRETENDS = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    if "test_mine" not in item.name:
        return None
    for when in ("setup", "call", "teardown"):
        report = pytest.TestReport(item.nodeid, item.location, {}, "passed", None, when)
        report._json_report_extra = {when: {}}
        item.ihook.pytest_runtest_logreport(report=report)
    return True

@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call():
    try:
        return (yield)
    except BaseException:
        return True
"""


def test_a_test_cannot_pass_silently(suite: Suite) -> None:
    suite.jobs({"job": {}})
    trap = {"id": "tests.registered:arena/Trap-v0", "options": {"make": {"trap": "raise"}}}
    suite.jobs({"broken": {"environment": trap}}, name="broken.yaml")
    suite.test(SILENT)
    suite.pytester.makeconftest(PRETENDS)
    result = suite.run()
    result.assert_outcomes(failed=4, passed=1)
    assert result.ret == 3
    result.stdout.fnmatch_lines(
        [
            "*the test passed although its job 'broken' ended as an error: RuntimeError: the simulator broke",
            "*the test passed without running its job 'job-test_thread': call arena_rollout()",
            "*passed without running its job 'job-test_method': call arena_rollout()",
            "test_it.py::test_mine[[]job] passed, but its job 'job-test_mine' has no record",
        ]
    )
    assert parse((suite.run_dir / "run.json").read_text())["exit_status"] == 3


SKIPS = """
import unittest
import pytest

@pytest.fixture
def arena_env_options(arena_env_options, arena_job):
    if arena_job.name == "early":
        pytest.skip("no licence")
    return arena_env_options

@pytest.fixture
def arena_recorders(arena_recorders, arena_job, request):
    if arena_job.name == "late":
        # The first releases of pytest 9 took unittest's for an error.
        raise unittest.SkipTest("no disk") if pytest.version_tuple >= (9, 0, 3) else pytest.skip.Exception("no")
    if arena_job.name == "expected":
        pytest.xfail("known")
    if "shard1of2" in request.node.name:
        pytest.skip("half")
    return arena_recorders
"""


@pytest.mark.parametrize("args", [(), ("-n", "1")], ids=["alone", "n1"])
def test_a_skip_in_a_fixture_skips_that_job_alone(suite: Suite, args: tuple[str, ...]) -> None:
    suite.jobs(
        {
            "early": {},
            "late": {},
            "expected": {},
            "parts": {"rollout": {"episodes": 4, "shards": 2}},
            "good": {},
        }
    )
    suite.pytester.makeconftest(SKIPS)
    result = suite.run("--arena-jobs", "jobs.yaml", *args)
    assert result.ret == 0
    assert suite.outcomes() == {
        "early": "skipped",
        "late": "skipped",
        "expected": "xfailed",
        "parts-shard0of2": "passed",
        "parts-shard1of2": "skipped",
        "good": "passed",
    }
    records = sorted(path.parent.name for path in suite.run_dir.glob("*/record.json"))
    assert records == ["good", "parts-shard0of2"]
    result.stdout.fnmatch_lines(["no verdict on parts: 1 of 2 shards skipped or xfailed"])


def test_a_skipped_job_of_a_resumed_run_keeps_its_episodes(suite: Suite) -> None:
    suite.jobs({"late": {}})
    assert suite.run("--arena-jobs", "jobs.yaml").ret == 0
    before = suite.episodes("late")
    suite.pytester.makeconftest(SKIPS)
    run = str(suite.run_dir)
    assert suite.run("--arena-jobs", "jobs.yaml", "--arena-resume", run).ret == 0
    assert suite.record("late")["status"] == "interrupted"
    assert "the test was skipped" in suite.record("late")["error"]["message"]
    assert suite.episodes("late") == before


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("import pytest; pytest.importorskip('no_such_module')", "raised Skipped: could not import"),
        ("import unittest; raise unittest.SkipTest('no GPU')", "raised SkipTest: no GPU"),
        ("import sys; sys.exit(0)", "raised SystemExit: 0"),
        ("import pytest; pytest.exit('bye')", "raised Exit: bye"),
    ],
)
@pytest.mark.parametrize("key", ["policy.type", "environment.id"])
def test_a_module_that_skips_or_exits_skips_no_job(suite: Suite, body: str, told: str, key: str) -> None:
    (suite.path / "leaves.py").write_text(body)
    section, _, name = key.partition(".")
    suite.jobs({"bad": {section: {name: "leaves:Thing-v0" if name == "id" else "leaves:Thing"}}, "good": {}})
    suite.test("def test_other(): pass")
    result = suite.run("--arena-jobs", "jobs.yaml")
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: jobs.yaml:*: jobs.bad.{key}: the module 'leaves' {told}*"])


def test_a_plugin_that_skips_at_collection_skips_no_job(suite: Suite) -> None:
    suite.jobs({"job": {}})
    suite.test()
    suite.pytester.makeconftest("import pytest\ndef pytest_arena_metrics(job): pytest.skip('not today')")
    result = suite.run("-n", "1")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*what jobs.yaml names, or a plugin, raised Skipped: not today*"])


@pytest.mark.parametrize("given", ["[1]", "[None]"])
def test_a_parameter_that_is_no_job(suite: Suite, given: str) -> None:
    suite.test(
        f"""
import pytest

@pytest.mark.parametrize("arena_job", {given})
def test_it(arena_rollout): arena_rollout()
"""
    )
    result = suite.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*arena_job: expected a Job, got *: job files and @pytest.mark.arena give it*"]
    )
