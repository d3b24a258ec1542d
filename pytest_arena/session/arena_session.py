"""The plugin of a process that has jobs to run or to report; without jobs there is none.

It is registered when the run begins: at the end of the collection, or, in the controller of workers, when the
first of them has found jobs. So each of its hooks has a run to work with.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Generator, Iterable, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.errors import RunDirectoryError
from pytest_arena.guards import uncaptured_stderr
from pytest_arena.options import is_worker, settings
from pytest_arena.parallel.crashes import CrashReports
from pytest_arena.parallel.plain_reports import PlainReports
from pytest_arena.parallel.shared_run_directory import hold_in_worker, run_directory, shared_directory
from pytest_arena.parallel.worker_progress import watch_workers
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.reports import json_report, other_reports, terminal
from pytest_arena.session import item_attempt, item_outcome, item_rollout
from pytest_arena.session.current_run import RUN, Run
from pytest_arena.session.end import SessionEnd
from pytest_arena.session.exit_guard import ExitGuard
from pytest_arena.session.job_items import job_of
from pytest_arena.session.lost_tests import CollectedTests
from pytest_arena.session.sharded_verdict import ShardWatch, sharded_jobs
from pytest_arena.session.write_manifest import note_resume, write_manifest
from pytest_arena.simulators.isaaclab.app import APP

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

_PLUGIN = "arena-session"


class ArenaSession:
    """What pytest does with jobs, from the end of their collection to the end of the process."""

    def __init__(self, session: pytest.Session, directory: RunDirectory, tests: Iterable[str]) -> None:
        """Report on *tests*, the node ids of all that were collected, in the run of *directory*."""
        config = session.config
        self.run = config.stash[RUN] = Run(directory)
        self._tests = CollectedTests(tests)
        # A worker leaves shards to the controller; with --setup-only there will be nothing to join.
        joins = not is_worker(config) and not config.getoption("setuponly", False)
        self._shards = ShardWatch(config, directory, sharded_jobs(directory) if joins else ())
        self.end = SessionEnd(session, self.run, self._tests, self._shards)

    def pytest_report_collectionfinish(self, config: pytest.Config, items: Sequence[pytest.Item]) -> str:
        """Say where results go."""
        return terminal.announcement(config, self.run, sum(job_of(item) is not None for item in items))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """A rerun is a new attempt, with a folder of its own."""
        item_attempt.forget_attempt(item)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Close an environment that the next job cannot use, while the test that used it is to blame."""
        item_rollout.release_environment(item, nextitem)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """After a test that passed: its job must have run and its thresholds must hold."""
        outcome = yield
        item_outcome.require_verdict(pyfuncitem)
        return outcome

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A job that failed before its rollout gets a record too; scalars go to JUnit."""
        item_outcome.note_outcome(item, call)
        return (yield)

    @pytest.hookimpl(optionalhook=True)
    def pytest_json_runtest_metadata(self, item: pytest.Item) -> Mapping[str, Any] | None:
        """Put the job's record on the JSON report."""
        return item_attempt.metadata(item)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note that a test has ended; draw the verdict of a sharded job after its last shard."""
        self._tests.note(report)
        self._shards.note(report)

    def pytest_internalerror(self) -> None:
        """Remember that pytest failed inside, here or in a worker."""
        self._tests.internal_error = True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None]:
        """Write the run's files before other plugins report."""
        with self.end.noting_the_status():
            self.end.finish()
            yield

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter, exitstatus: int) -> None:
        """Print the table of jobs."""
        self.end.summarize(terminalreporter, exitstatus)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Close the environment and, last of all, the simulator's app: that may end the process."""
        self.end.close()


def begin_run(session: pytest.Session, groups: list[dict[str, Any]]) -> None:
    """Begin the run of a process that has collected jobs: its directory, its manifest, its plugin.

    *groups* are those of the job files, for the manifest. Raises `RunDirectoryError` where that cannot be
    written, `UsageError` where there can be no directory.
    """
    config = session.config
    directory = shared_directory(config) or run_directory(config)
    if is_worker(config):
        hold_in_worker(config, directory)
    _show_faults(config)
    try:
        write_manifest(session, directory, groups)
    except OSError as error:
        reason = error.strerror or error
        raise RunDirectoryError(f"{directory.path}: run.json could not be written: {reason}") from None
    arena = ArenaSession(session, directory, [item.nodeid for item in session.items])
    config.pluginmanager.register(arena, _PLUGIN)
    json_report.enable(config, arena.run)
    other_reports.enable(config, arena.run)
    if is_worker(config):
        config.pluginmanager.register(PlainReports(), "arena-transport")
    else:
        if settings(config).resume is not None:
            note_resume(config, arena.run)
        arena.run.pool.expected = [job for item in session.items if (job := job_of(item)) is not None]
        arena.end.restore.callback(ExitGuard().lift)
    _interrupt_on_sigterm(arena.end.restore)


def join_as_controller(config: pytest.Config, directory: RunDirectory, tests: Sequence[str]) -> None:
    """Report on the tests of workers once the first of them has found jobs, and end in order.

    Only the first call of a session does something.

    Args:
        config: The controller's.
        directory: The run directory that the workers share.
        tests: Node ids of all tests that the worker has collected.
    """
    if config.pluginmanager.hasplugin(_PLUGIN):
        return
    session = config.pluginmanager.get_plugin("session")
    assert isinstance(session, pytest.Session), "workers collect in a session"
    arena = ArenaSession(session, directory, tests)
    config.pluginmanager.register(arena, _PLUGIN)
    json_report.enable(config, arena.run)
    other_reports.enable(config, arena.run)
    crashes = CrashReports(config, directory, arena.run.unwritten)
    config.pluginmanager.register(crashes, "arena-crash-reports")
    _interrupt_on_sigterm(arena.end.restore)
    watch_workers(config, directory)


def _show_faults(config: pytest.Config) -> None:
    """Send what a dying process says to the standard error that pytest kept before it captured it."""
    kept = getattr(config.pluginmanager.get_plugin("faulthandler"), "fault_handler_stderr_fd_key", None)
    APP.faults_to = None if kept is None else config.stash.get(kept, None)
    if APP.faults_to is not None:
        uncaptured_stderr.show_on(APP.faults_to)


def _interrupt_on_sigterm(restore: contextlib.ExitStack) -> None:
    """Let a cancelled CI job end like Ctrl-C: finalizers run, reports are written."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt("SIGTERM")

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        with contextlib.suppress(ValueError):  # not the main thread
            restore.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, interrupt))
