"""pytest's own switches, and plugins that take parts of it away: jobs run, and the status is right."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Suite, parse

OFF = ("legacypath", "cacheprovider", "logging", "junitxml", "faulthandler", "capture", "metadata")


@pytest.mark.parametrize(
    "args",
    [
        ["-p", "no:terminal"],
        ["-p", "no:terminal", "-n", "1"],
        [word for name in OFF for word in ("-p", f"no:{name}")],
    ],
    ids=["no-terminal", "no-terminal-n1", "off"],
)
def test_without_parts_of_pytest(suite: Suite, args: list[str]) -> None:
    suite.jobs({"good": {}, "bad": {"thresholds": {"success_rate": ">= 100%"}}})
    suite.test()
    result = suite.run(*args)
    assert result.ret == 1
    assert suite.outcomes() == {"good": "passed", "bad": "failed"}
    assert suite.report()["exitcode"] == 1
    assert parse((suite.run_dir / "run.json").read_text())["exit_status"] == 1
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


OTHER_REPORTER = """
import pytest

class Reporter:
    pass

@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    manager = config.pluginmanager
    manager.unregister(manager.get_plugin("terminalreporter"))
    manager.register(Reporter(), "terminalreporter")
"""


@pytest.mark.parametrize("args", [(), ("-n", "1")], ids=["alone", "n1"])
def test_with_another_reporter_troubles_are_told_on_standard_error(
    suite: Suite, args: tuple[str, ...]
) -> None:
    sharded = {"rollout": {"episodes": 4, "shards": 2}}
    suite.jobs({"good": sharded})
    suite.test(
        """
        import pytest

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout, arena_run_dir):
            arena_rollout()
            (arena_run_dir / "metrics.json").mkdir(exist_ok=True)
        """
    )
    suite.pytester.makeconftest(OTHER_REPORTER)
    result = suite.run(*args)
    assert result.ret == 3
    assert set(suite.outcomes().values()) == {"passed"}
    assert [line for line in result.errlines if "xdist" not in line] == [
        "metrics.json could not be written: Is a directory"
    ]
    assert parse((suite.run_dir / "run.json").read_text())["exit_status"] == 3


def test_what_shows_tests_makes_no_run(suite: Suite) -> None:
    suite.jobs({"good": {"rollout": {"episodes": 4, "shards": 2}}})
    for option in ("--setup-plan", "--fixtures-per-test"):
        assert suite.run("--arena-jobs", "jobs.yaml", option).ret == 0
        assert not (suite.path / "arena-results").exists()
    assert suite.run("--arena-jobs", "jobs.yaml", "--setup-only").ret == 0


def test_without_the_json_report(suite: Suite) -> None:
    suite.jobs({"good": {}})
    result = suite.run("--arena-jobs", "jobs.yaml", "-p", "no:pytest_jsonreport")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["no report.json: the plugin pytest_jsonreport is switched off"])
    assert not (suite.run_dir / "report.json").exists()


@pytest.mark.parametrize("option", ["output", "resume", "baseline", "family-error"])
def test_an_empty_value_is_refused_and_nothing_runs(suite: Suite, option: str) -> None:
    """A shell variable that is not set must not begin a new run where one was to be resumed."""
    suite.jobs({"job": {}})
    result = suite.pytester.runpytest_inprocess("--arena-jobs=jobs.yaml", f"--arena-{option}=")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --arena-{option}: expected a value, got an empty one"])
    assert not (suite.pytester.path / "arena-results").exists()
