"""What a dead process leaves behind: records are made from the episodes on disk, and no test is lost.

Each finished episode is on disk before the next step is taken, so whoever reports on a job can tell what had
been measured when its process died. Used in the controller of workers and, for the guard against lost tests,
in the only process of a run without workers.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from pytest_arena.evaluation.summarize import summarize
from pytest_arena.jobs.model import Job
from pytest_arena.recorders.films.unfinished import unfinished_films
from pytest_arena.recorders.trajectories.simulators_own import unfinished_datasets
from pytest_arena.records.attempt import begin_record, keep_measured
from pytest_arena.records.episodes import read_episodes
from pytest_arena.records.files import utc_now, write_json
from pytest_arena.records.run_directory import JobDirectory, RunDirectory
from pytest_arena.records.schema import Episode, JobRecord, Outcome, Status, Verdict
from pytest_arena.rollout.metrics import RecordedMetric

UNWRITTEN = "arena_unwritten"
"""Where a worker that says goodbye tells what it could not write."""
SECONDS_TO_DIE = 2.0
"""How long to wait for the exit status of a worker whose connection is gone."""


def rebuild(run: RunDirectory, record: JobRecord, status: Status, reason: str) -> None:
    """Fill and write the *record* of a job whose process ended, for *reason*, from what is on disk."""
    directory = JobDirectory((run.path / str(record.record_path)).parent, record.attempt)
    record.status, record.verdict = status, Verdict.ERROR
    episodes, notes = _measured(directory)
    metrics = [RecordedMetric(name, definition) for name, definition in record.definitions.items()]
    job = _job(run, record.job)
    if job is not None:
        summarize(record, job, episodes, metrics)
        _refuse_thresholds(record)
    record.videos = sorted(path for episode in episodes for path in episode.videos.values())
    if directory.dataset.exists():
        record.hdf5_path = directory.dataset.relative_to(run.path).as_posix()
    record.notes += notes
    message = f"{reason}, after {_count(len(episodes), 'finished episode')}"
    record.error = {"type": str(status).capitalize(), "message": message, "traceback": ""}
    record.finished_at = utc_now()
    write_json(directory.record, record.to_json())


def settle(run: RunDirectory, status: Status, writing: Callable[[str], AbstractContextManager[None]]) -> None:
    """Give *status* to every record that still says ``running``; call it when no process writes any more.

    Each is written in the context *writing*, which is told its path.
    """
    for record in run.records():
        if record.status == Status.RUNNING:
            with writing(str(record.record_path)):
                rebuild(run, record, status, "the session ended while the job ran")


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
        told = getattr(node, "workeroutput", {}).get(UNWRITTEN, [])
        self._unwritten += [line for line in told if line not in self._unwritten]

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
            self._tell(crashitem, report, status, reason)
        except OSError as error:
            line = f"the record of {crashitem} could not be written: {error.strerror or error}"
            self._unwritten.append(line)

    def _tell(self, crashitem: str, report: pytest.TestReport, status: Status, reason: str) -> None:
        record = self._record(crashitem)
        if record is None:
            return
        path = self._run.path / str(record.record_path)
        if record.status == Status.RUNNING:
            rebuild(self._run, record, status, reason)
        elif record.status != Status.INTERRUPTED:
            record.notes.append(f"{reason}, after the rollout")
            write_json(path, record.to_json())
        finished = _count(record.episodes["measured"], "finished episode")
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
            job = _job(self._run, label) if entry.nodeid == nodeid else None
            if job is not None:
                return begin_record(job, self._run.claim(label), self._run.path, label, nodeid)
        return None

    def _attach(self, record: JobRecord, report: pytest.TestReport) -> None:
        from pytest_arena.records.for_reports import arena_metadata, scalars

        extra = {"metadata": {"arena": arena_metadata(record)}, report.when: {}}
        report._json_report_extra = extra  # type: ignore[attr-defined]
        report.user_properties = scalars(record, _job(self._run, record.job))


def end_workers(config: pytest.Config) -> None:
    """Wait for the workers' ends: only then are their records final. Does nothing without workers."""
    workers = config.pluginmanager.get_plugin("dsession")
    if workers is not None and workers.nodemanager is not None:
        workers.nodemanager.teardown_nodes()


def _measured(directory: JobDirectory) -> tuple[list[Episode], list[str]]:
    """Return the episodes and, in words, what is missing of them; leaves films that play and whole lines."""
    notes = unfinished_films(directory)
    try:
        with contextlib.suppress(OSError):  # the disk is full
            notes += unfinished_datasets(directory)
        whole = read_episodes(directory.episodes)
        named = sum(len(episode.videos) for episode in whole)
        try:
            episodes = keep_measured(directory)
        except OSError:  # the disk is full: what is on it stays as it is
            return [episode for episode in whole if episode.outcome != Outcome.ERROR], notes
    except (OSError, ValueError, TypeError, KeyError) as error:
        return [], [f"the episodes cannot be read: {error}", *notes]
    lost = named - sum(len(episode.videos) for episode in episodes)
    return episodes, [f"{_count(lost, 'video')} lost: still being encoded"] * bool(lost) + notes


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _refuse_thresholds(record: JobRecord) -> None:
    """No threshold is held by an evaluation that did not complete."""
    for threshold in record.thresholds:
        threshold.passed = False
        if threshold.metric not in record.metrics:
            record.metrics[threshold.metric] = None
            record.unmeasured[threshold.metric] = "its process died before the simulator gave it"
        threshold.reason = record.unmeasured.get(threshold.metric, "the evaluation did not complete")


def _job(run: RunDirectory, label: str) -> Job | None:
    """Return the job, or shard of one, as the manifest describes it; None where it does not."""
    try:
        return run.manifest_if_sound().jobs[label].job().as_run
    except (KeyError, ValueError, IndexError):
        return None


def _how_it_ended(node: Any) -> tuple[Status, str]:
    """Say what became of the worker *node*; a status of 0 tells of a simulator that ended its process."""
    worker = f"worker {node.gateway.id!r}"
    if hasattr(node, "workeroutput"):  # it said goodbye: xdist hands over the test that Ctrl-C has cut off
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
