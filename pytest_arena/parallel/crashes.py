"""The report of a test whose worker died: it tells what its job had measured until then."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from typing import Any

import pytest

from pytest_arena.evaluation.dead_process import close_unclosed, counted_words, job_of_run
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.records.schema import JobRecord, Status

UNWRITTEN = "arena_unwritten"
"""Where a worker that ends as it should says what it could not write."""
SECONDS_TO_DIE = 2.0
"""How long to wait for the exit status of a worker whose connection is gone."""


class CrashReports:
    """Controller plugin: the report of a test whose worker died tells what its job had measured."""

    def __init__(self, config: pytest.Config, run: RunDirectory, unwritten: list[str]) -> None:
        """Watch the workers of *run*; what they could not write goes to *unwritten*, a line each."""
        self._config, self._run, self._unwritten = config, run, unwritten
        self._called: set[str] = set()
        """Tests of which only the teardown is missing."""
        self._attempts: Counter[str] = Counter()
        """Test -> attempts that ended, to be followed by another one."""

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which stage each test has reached; stop at a crash where ``-x`` or ``--maxfail`` says so."""
        outcome: str = report.outcome
        if outcome == "rerun":
            self._attempts[report.nodeid] += 1
        elif report.when == "call":
            self._called.add(report.nodeid)
        elif report.when == "teardown":
            self._called.discard(report.nodeid)
        # xdist counts the failures that workers report, not the crashes that it reports itself.
        session, workers = (self._config.pluginmanager.get_plugin(name) for name in ("session", "dsession"))
        if session is not None and session.shouldfail and workers is not None and not workers.shouldstop:
            workers.shouldstop = session.shouldfail

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker could not write."""
        lines = getattr(node, "workeroutput", {}).get(UNWRITTEN, [])
        self._unwritten += [line for line in lines if line not in self._unwritten]

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """Put the job's record, rebuilt, on the report that xdist makes of a crash."""
        report.when = "teardown" if crashitem in self._called else "call"
        self._called.discard(crashitem)
        status, reason = _how_it_ended(report.node)
        report.longrepr = f"{reason} while running {crashitem!r}"
        file, _, name = crashitem.partition("::")
        report.location = (file, None, name)  # what pytest puts above the failure
        try:
            self._add_record(crashitem, report, status, reason)
        except OSError as error:
            line = f"the record of {crashitem} could not be written: {error.strerror or error}"
            self._unwritten.append(line)

    def _add_record(self, crashitem: str, report: pytest.TestReport, status: Status, reason: str) -> None:
        record = self._record(crashitem)
        if record is None:
            return
        path = self._run.path / str(record.record_path)
        if record.status == Status.RUNNING:
            close_unclosed(self._run, record, status, reason)
        elif record.status != Status.INTERRUPTED:
            attempt = Attempt.found(self._run, record)
            attempt.note(f"{reason}, after the rollout")
            attempt.save()
        finished = counted_words(record.episodes["measured"], "finished episode")
        report.longrepr = f"{report.longrepr}, after {finished}\nrecord: {path}"
        self._attach(record, report)

    def _record(self, nodeid: str) -> JobRecord | None:
        """Return the record of the attempt that was cut off; one that had not begun to write gets its own."""
        records = [record for record in self._run.records() if record.nodeid == nodeid]
        latest = max(records, key=lambda record: record.attempt, default=None)
        if latest is not None and (
            latest.status == Status.RUNNING or latest.attempt > self._attempts[nodeid]
        ):
            return latest
        for label, entry in self._run.manifest_if_sound().jobs.items():
            job = job_of_run(self._run, label) if entry.nodeid == nodeid else None
            if job is not None:
                return Attempt.begin(job, self._run, label, nodeid).record
        return None

    def _attach(self, record: JobRecord, report: pytest.TestReport) -> None:
        from pytest_arena.records.for_reports import arena_metadata, scalars

        extra = {"metadata": {"arena": arena_metadata(record)}, report.when: {}}
        report._json_report_extra = extra  # type: ignore[attr-defined]
        report.user_properties = scalars(record, job_of_run(self._run, record.job))


def end_workers(config: pytest.Config) -> None:
    """Wait for the workers' ends: only then are their records final. Does nothing without workers."""
    workers = config.pluginmanager.get_plugin("dsession")
    if workers is not None and workers.nodemanager is not None:
        workers.nodemanager.teardown_nodes()


def _how_it_ended(node: Any) -> tuple[Status, str]:
    """Say what became of the worker *node*; a status of 0 tells of a simulator that ended its process."""
    worker = f"worker {node.gateway.id!r}"
    if hasattr(
        node, "workeroutput"
    ):  # it ended as it should: xdist hands over the test that Ctrl-C has cut off
        return Status.INTERRUPTED, f"{worker} was interrupted"
    popen = getattr(getattr(node.gateway, "_io", None), "popen", None)
    try:
        status = None if popen is None else popen.wait(SECONDS_TO_DIE)
    except subprocess.TimeoutExpired:
        status = None
    if status is None:
        return Status.CRASHED, f"{worker} died"
    if status >= 0:
        return Status.CRASHED, f"{worker} ended its process with status {status}"
    known = {int(number): number.name for number in signal.Signals}
    return Status.CRASHED, f"{worker} was killed by {known.get(-status, f'signal {-status}')}"
