"""What the session's end does: one ordered list of steps, then the close of the process.

`SessionEnd.steps` is the list. A step that fails is a line of the summary, and costs no other step.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.evaluation.dead_process import close_all_unclosed
from pytest_arena.evaluation.metrics_json import metrics_of
from pytest_arena.options import is_worker, settings
from pytest_arena.parallel.crashes import UNWRITTEN, end_workers
from pytest_arena.records.files import utc_now, write_json
from pytest_arena.records.schema import Status
from pytest_arena.reports import github, junit, terminal
from pytest_arena.session import suite_verdicts
from pytest_arena.session.current_run import Run
from pytest_arena.session.lost_tests import CollectedTests
from pytest_arena.session.reruns import remember_failures
from pytest_arena.session.sharded_verdict import ShardWatch

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

STATUS_OF_AN_EXCEPTION = 1
"""The status that Python gives to a process that an exception ends."""
_MILD = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
"""Statuses that say nothing worse than that tests were lost."""


@contextlib.contextmanager
def _showing(what: str) -> Iterator[None]:
    """Show results elsewhere: what cannot be shown is a line, and changes no status."""
    try:
        yield
    except Exception as error:
        print(f"{what} could not be written: {type(error).__name__}: {error}", file=sys.stderr)


class SessionEnd:
    """The end of a session that has run jobs, in the order of its public methods."""

    def __init__(self, session: pytest.Session, run: Run, tests: CollectedTests, shards: ShardWatch) -> None:
        """Prepare the end of *session*, which ran *tests*, of which *shards* are parts of one job."""
        self._session, self._config = session, session.config
        self._started_in = Path(session.config.invocation_params.dir)
        self._run, self._tests, self._shards = run, tests, shards
        self._verdicts: dict[str, Any] = {}
        """Verdicts over several jobs, for ``run.json``."""
        self._written_status: int | None = None
        """The exit status in ``run.json``."""
        self._exit_status = int(pytest.ExitCode.INTERNAL_ERROR)
        """The exit status as far as it is known: the app, closed last of all, may end the process with it."""
        self._raised: BaseException | None = None
        """What was raised while the session finished: an app that ends the process would swallow it."""
        self._summarized = False
        """Whether the terminal has shown the troubles; with some reporters there is no summary."""
        self.restore = contextlib.ExitStack()
        """Gives back what the session has changed in its process; unwound before the app is closed."""

    def steps(self) -> tuple[tuple[str, Callable[[], None]], ...]:
        """Return what the process that reports does, in order: a name for the user, and the step."""
        return (
            # Records first: a worker may still write one until it has ended, and what still says "running"
            # after that was cut off.
            ("the last records of the workers", lambda: end_workers(self._config)),
            ("the records of jobs that were cut off", self._settle_records),
            # Before any verdict is reported: with -x a verdict that fails stops the session, and of a session
            # that was stopped no test counts as lost.
            ("what never ran", self._refuse_losses),
            # Verdicts: a group may have a sharded job among its jobs.
            ("the records of sharded jobs", self._join_shards),
            ("the verdicts over several jobs", self._judge_suite),
            # The status: verdicts that failed are tests that failed.
            ("what passed without a measurement", self._refuse_unmeasured),
            ("the number of failures", self._count_failures),
            # Files last, and run.json last of those with results: it has the status, and so says that the run
            # is over. What is made of all of them comes after it.
            ("what failed, in pytest's cache", lambda: remember_failures(self._config, self._run.directory)),
            ("metrics.json", self._write_metrics),
            ("run.json", self._finish_manifest),
            ("index.html", self._write_pages),
            ("films in JUnit's file", self._attach_films),
        )

    def finish(self) -> None:
        """Do the steps; a worker tells the controller what it could not write, and leaves them to it."""
        if is_worker(self._config):
            self._config.workeroutput[UNWRITTEN] = self._run.unwritten  # type: ignore[attr-defined]
            return
        for what, step in self.steps():
            with self._run.writing(what):
                step()
        self._written_status = int(self._session.exitstatus)

    @contextlib.contextmanager
    def noting_the_status(self) -> Iterator[None]:
        """Keep what other plugins make of the status, and what they raise: the app may end the process."""
        try:
            yield
        except pytest.exit.Exception:  # pytest takes the status that it names
            raise
        except BaseException as error:
            self._raised = error
            raise
        self._refuse_unwritten()  # report.json has been written since
        self._note_status(int(self._session.exitstatus))

    def summarize(self, reporter: TerminalReporter, exit_status: int) -> None:
        """Print the table of jobs, and what GitHub's runner reads in the log."""
        with self._run.writing("the table of jobs"):
            terminal.summarize(reporter, self._config, self._run, exit_status)
            self._summarized = True
        with _showing("the annotations for GitHub"):
            for line in github.annotation_lines(self._run, self._tests.failed, self._started_in):
                reporter.write_line(line)

    def close(self) -> None:
        """Print troubles that no summary has shown; close the environment and, last, the simulator's app."""
        self._run.reports_written = True
        if self._written_status is not None:
            raised = self._raised is not None
            self._note_status(STATUS_OF_AN_EXCEPTION if raised else int(self._session.exitstatus))
        self.restore.close()
        if not is_worker(self._config):
            if not self._summarized:
                for line in self._run.troubles():
                    print(line, file=sys.stderr)
            with _showing("the summary for GitHub"):  # here, for only now the status is known for certain
                github.write_summary(self._run, self._tests.failed, self._exit_status, self._started_in)
        sys.stdout.flush()
        sys.stderr.flush()
        if self._raised is not None and self._run.pool.has_app:
            traceback.print_exception(self._raised, file=sys.__stderr__)
        self._run.pool.shutdown(self._exit_status)

    def _settle_records(self) -> None:
        alone = not self._config.pluginmanager.hasplugin("dsession")
        stopped = alone or self._session.exitstatus == pytest.ExitCode.INTERRUPTED
        status = Status.INTERRUPTED if stopped else Status.CRASHED
        close_all_unclosed(self._run.directory, status, self._run.writing)

    def _refuse_losses(self) -> None:
        """No false green: a session that lost tests, or failed inside, ends with pytest's status for that."""
        self._run.lost = self._tests.never_ended(self._session)
        if self._run.lost or self._tests.internal_error:
            self._refuse_success()

    def _join_shards(self) -> None:
        self._run.suite += self._shards.join_rest()

    def _judge_suite(self) -> None:
        lines, self._verdicts = suite_verdicts.judge_suite(self._config, self._run.directory)
        self._run.suite += lines

    def _refuse_unmeasured(self) -> None:
        """No false green: a test that passed has a record that says what was measured."""
        run, passed = self._run, self._tests.passed
        if not passed:
            return
        records = run.directory.latest()
        for label, entry in run.directory.manifest().jobs.items():
            record = records.get(label)
            if entry.nodeid in passed and (record is None or record.status != Status.COMPLETED):
                left = "no record" if record is None else f"the status {record.status}"
                run.unmeasured.append(f"{entry.nodeid} passed, but its job {label!r} has {left}")
        if run.unmeasured:
            self._refuse_success()

    def _count_failures(self) -> None:
        if self._session.testsfailed and self._session.exitstatus == pytest.ExitCode.OK:
            self._session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _write_metrics(self) -> None:
        write_json(self._run.directory.path / "metrics.json", metrics_of(self._run.directory))

    def _finish_manifest(self) -> None:
        self._refuse_unwritten()
        status = int(self._session.exitstatus)
        self._run.directory.finish_manifest(
            **self._verdicts,
            finished_at=utc_now(),
            exit_status=status,
            never_ran=self._run.lost,
            skipped=sorted(self._tests.skipped),
            troubles=self._run.troubles(),
        )

    def _write_pages(self) -> None:
        """Write the pages; one that cannot be written is a line of the summary, and changes no status."""
        if not settings(self._config).html:
            return
        path = self._run.directory.path
        with self._run.showing("index.html", f"report {shlex.quote(str(path))}"):
            from pytest_arena.reports.html.run_page import write_run_page

            write_run_page(path)
        with self._run.showing("the history of the runs", f"history {shlex.quote(str(path.parent))} --html"):
            from pytest_arena.reports.html.history_page import write_history

            # A page of this name that is somebody else's is left alone.
            with contextlib.suppress(FileExistsError):
                write_history(path.parent)

    def _attach_films(self) -> None:
        """Before pytest writes its JUnit file: a test that lacks its film changes no status."""
        with _showing("films in JUnit's file"):
            junit.attach_films(self._config, self._run)

    def _refuse_success(self) -> None:
        if self._session.exitstatus in _MILD:
            self._session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def _refuse_unwritten(self) -> None:
        """A session whose results are not on disk does not succeed."""
        if self._run.unwritten and self._session.exitstatus == pytest.ExitCode.OK:
            self._session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def _note_status(self, status: int) -> None:
        """Let ``run.json`` tell the *status* that the process ends with."""
        self._exit_status = status
        if self._written_status not in (None, status):
            self._written_status = status
            with self._run.writing("run.json"):
                self._run.directory.finish_manifest(exit_status=status, troubles=self._run.troubles())
            self._write_pages()
