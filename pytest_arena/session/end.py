"""The session's end, in order; a step that fails is a line of the summary and costs no other step.

`finish` runs while pytest's session ends, before other plugins report; `noting_the_end` around what they do
then; `close_down` last of all, when the process has nothing left to do but to close the simulator.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.evaluation.summarize import metrics_of
from pytest_arena.options import is_worker
from pytest_arena.parallel.crashes import UNWRITTEN, end_workers, settle
from pytest_arena.records.files import utc_now, write_json
from pytest_arena.records.schema import Status
from pytest_arena.reports import terminal
from pytest_arena.session import shard_watch, suite_verdicts
from pytest_arena.session.reruns import remember_failures
from pytest_arena.session.state import RUN, Run, run_of

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

RAISED = 1
"""What Python makes of an exception that nothing catches."""
_MILD = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
"""Statuses that say nothing worse than that tests were lost."""


def finish(session: pytest.Session) -> None:
    """Close the records, draw the last verdicts, write the files; a worker leaves it to the controller."""
    config = session.config
    if RUN not in config.stash:
        return
    run = run_of(config)
    if is_worker(config):
        config.workeroutput[UNWRITTEN] = run.unwritten  # type: ignore[attr-defined]
        return
    for what, step in _STEPS.items():
        with run.writing(what):
            step(session, run)
    run.written_status = int(session.exitstatus)


def _end_workers(session: pytest.Session, run: Run) -> None:
    end_workers(session.config)


def _settle_records(session: pytest.Session, run: Run) -> None:
    alone = not session.config.pluginmanager.hasplugin("dsession")
    stopped = alone or session.exitstatus == pytest.ExitCode.INTERRUPTED
    settle(run.directory, Status.INTERRUPTED if stopped else Status.CRASHED, run.writing)


def _join_shards(session: pytest.Session, run: Run) -> None:
    run.suite += shard_watch.join_rest(session)


def _refuse_losses(session: pytest.Session, run: Run) -> None:
    """No false green: a session that lost tests, or failed inside, ends with pytest's status for that."""
    if run.guard is None:
        return
    run.lost = run.guard.lost(session)
    if (run.lost or run.guard.broken) and session.exitstatus in _MILD:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def _refuse_unmeasured(session: pytest.Session, run: Run) -> None:
    """No false green: a test that passed has a record that says what was measured."""
    if run.guard is None or not run.guard.passed:
        return
    records = run.directory.latest()
    for label, entry in run.directory.manifest().jobs.items():
        record = records.get(label)
        if entry.nodeid in run.guard.passed and (record is None or record.status != Status.COMPLETED):
            left = "no record" if record is None else f"the status {record.status}"
            run.unmeasured.append(f"{entry.nodeid} passed, but its job {label!r} has {left}")
    if run.unmeasured and session.exitstatus in _MILD:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def _judge_suite(session: pytest.Session, run: Run) -> None:
    lines, run.verdicts = suite_verdicts.judge(session.config, run.directory)
    run.suite += lines


def _remember_failures(session: pytest.Session, run: Run) -> None:
    remember_failures(session.config, run.directory)


def _count_failures(session: pytest.Session, run: Run) -> None:
    if session.testsfailed and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _write_metrics(session: pytest.Session, run: Run) -> None:
    write_json(run.directory.path / "metrics.json", metrics_of(run.directory))


def _close_manifest(session: pytest.Session, run: Run) -> None:
    _refuse_unwritten(session, run)
    run.directory.finish_manifest(
        **run.verdicts, finished_at=utc_now(), exit_status=int(session.exitstatus), never_ran=run.lost
    )


_STEPS: dict[str, Callable[[pytest.Session, Run], None]] = {
    "the last records of the workers": _end_workers,
    "the records of jobs that were cut off": _settle_records,
    "what never ran": _refuse_losses,
    "the records of sharded jobs": _join_shards,
    "the verdicts over several jobs": _judge_suite,
    "what passed without a measurement": _refuse_unmeasured,
    "the number of failures": _count_failures,
    "what failed, in pytest's cache": _remember_failures,
    "metrics.json": _write_metrics,
    "run.json": _close_manifest,
}
"""What is written, and how; in this order. A verdict needs all records, files need all verdicts."""


def _refuse_unwritten(session: pytest.Session, run: Run) -> None:
    """A session whose results are not on disk does not succeed."""
    if run.unwritten and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def summarize(reporter: TerminalReporter, config: pytest.Config, exit_status: int) -> None:
    """Print the table of jobs."""
    if RUN in config.stash:
        run = run_of(config)
        with run.writing("the table of jobs"):
            terminal.summarize(reporter, config, run, exit_status)


@contextlib.contextmanager
def noting_the_end(session: pytest.Session) -> Iterator[None]:
    """Keep what other plugins make of the status, and what they raise: the app may end the process."""
    run = session.config.stash.get(RUN, None)
    try:
        yield
    except pytest.exit.Exception:  # pytest takes the status that it names
        raise
    except BaseException as error:
        if run is not None:
            run.broken = error
        raise
    if run is not None:
        _refuse_unwritten(session, run)  # report.json has been written since
        _note_status(run, int(session.exitstatus))


def _note_status(run: Run, status: int) -> None:
    """Let ``run.json`` tell the *status* that the process ends with."""
    run.exit_status = status
    if run.written_status not in (None, status):
        run.written_status = status
        with run.writing("run.json"):
            run.directory.finish_manifest(exit_status=status)


def close_down(config: pytest.Config) -> None:
    """Tell what no summary told; close the environment and, if there is one, the app."""
    if RUN not in config.stash:
        return
    run = run_of(config)
    run.ended = True
    session: Any = config.pluginmanager.get_plugin("session")
    if session is not None and run.written_status is not None:
        _note_status(run, int(session.exitstatus) if run.broken is None else RAISED)
    if run.previous_sigterm is not None:
        signal.signal(signal.SIGTERM, run.previous_sigterm)
    if run.exit_guard is not None:
        run.exit_guard.lift()
    if not is_worker(config) and not run.told:
        for line in run.troubles():
            print(line, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    if run.broken is not None and run.pool.has_app:
        traceback.print_exception(run.broken, file=sys.__stderr__)
    run.pool.shutdown(run.exit_status)
