"""The verdict of a sharded job: drawn once, after its last shard, and reported as a result of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from pytest_arena.records.directory import RunDirectory, write_json
from pytest_arena.records.plain import to_plain

_PLUGIN = "arena-shards"


@dataclass
class ShardedJob:
    """One job and its shards, as the manifest has them."""

    label: str
    nodeid: str
    config: dict[str, object]
    parts: dict[str, str] = field(default_factory=dict)
    """Node id of a shard -> its label."""
    count: int = 0
    finished: set[str] = field(default_factory=set)
    joined: bool = False


def enable(config: pytest.Config, directory: RunDirectory) -> None:
    """Watch for the last shard, in the process that reports; does nothing where no job is sharded."""
    jobs = list(_sharded_jobs(directory))
    if jobs and not config.pluginmanager.hasplugin(_PLUGIN):
        config.pluginmanager.register(ShardWatch(config, directory, jobs), _PLUGIN)


def join_rest(session: pytest.Session) -> None:
    """At the end, join the jobs whose last shard died without a report."""
    watch: ShardWatch | None = session.config.pluginmanager.get_plugin(_PLUGIN)
    if watch is not None:
        watch.join_rest(session)


def _sharded_jobs(directory: RunDirectory) -> Iterator[ShardedJob]:
    jobs: dict[str, ShardedJob] = {}
    manifest = json.loads(directory.manifest_path.read_text(encoding="utf-8"))
    for label, entry in manifest["jobs"].items():
        if shard := entry.get("shard"):
            job = jobs.setdefault(
                shard["label"],
                ShardedJob(shard["label"], shard["nodeid"], entry["config"], count=shard["count"]),
            )
            job.parts[entry["nodeid"]] = label
    yield from jobs.values()


class ShardWatch:
    """Counts the shards that have been reported."""

    def __init__(self, config: pytest.Config, directory: RunDirectory, jobs: list[ShardedJob]) -> None:
        self._config, self._directory = config, directory
        self._jobs = {nodeid: job for job in jobs for nodeid in job.parts}

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Join a job when the last of its shards has been torn down."""
        job = self._jobs.get(report.nodeid)
        if job is None or report.when != "teardown":
            return
        job.finished.add(report.nodeid)
        if len(job.finished) == job.count:
            self._join(job, report.location)

    def join_rest(self, session: pytest.Session) -> None:
        """Join what has a record of every shard; one that never ran leaves no verdict, and a word of it."""
        recorded = self._directory.latest()
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        for job in {id(job): job for job in self._jobs.values()}.values():
            if job.joined:
                continue
            there = sum(label in recorded for label in job.parts.values())
            if there == job.count:
                self._join(job, (job.nodeid.partition("::")[0], None, job.nodeid.partition("::")[2]))
            elif reporter is not None:
                reporter.write_line("")
                reporter.write_line(f"no verdict on {job.label}: {there} of {job.count} shards ran")
        if session.testsfailed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _join(self, job: ShardedJob, location: tuple[str, int | None, str]) -> None:
        from pytest_arena.errors import EvaluationError
        from pytest_arena.jobs.model import Job
        from pytest_arena.join import join_shards
        from pytest_arena.records.attempt import fail_record
        from pytest_arena.reports.json_report import arena_metadata
        from pytest_arena.reports.junit import scalars
        from pytest_arena.result import Result

        job.joined = True
        recorded = self._directory.latest()
        parts = [recorded[label] for label in job.parts.values() if label in recorded]
        if not parts:  # all of them were skipped, and so is the job
            return
        model = Job.model_validate({**job.config})
        record, episodes = join_shards(self._directory, job.label, job.nodeid, model, parts)
        if len(parts) < job.count:
            fail_record(record, EvaluationError(f"{len(parts)} of {job.count} shards ran"))
            write_json(self._directory.path / str(record.record_path), record.to_json())
        message: str | None = record.error["message"] if record.error else None
        excuse: str | None = None
        if message is None:
            try:
                Result(record, episodes, self._directory.path).assert_thresholds()
            except AssertionError as error:
                message = str(error)
            except pytest.xfail.Exception as error:
                excuse = str(error)
        place = (location[0], location[1], job.nodeid.rpartition("::")[2])
        extra = {"metadata": to_plain({"arena": arena_metadata(record)})}
        self._report(job.nodeid, place, message, excuse, scalars(record), extra)
        self._remember(job, failed=message is not None)

    def _remember(self, job: ShardedJob, *, failed: bool) -> None:
        """``--lf`` after a verdict that failed: it cannot select the verdict, so it selects all shards."""
        cache = self._config.pluginmanager.get_plugin("lfplugin")
        remembered: dict[str, bool] = getattr(cache, "lastfailed", {})
        remembered.pop(job.nodeid, None)
        if failed:
            remembered.update(dict.fromkeys(job.parts, True))

    def _report(
        self,
        nodeid: str,
        location: tuple[str, int | None, str],
        message: str | None,
        excuse: str | None,
        properties: list[tuple[str, object]],
        extra: dict[str, object],
    ) -> None:
        """Report a test that pytest has not run: its three stages, to every plugin that listens.

        With a *message* it failed, with an *excuse* it did as an xfail, which is no failure.
        """
        hook = self._config.hook
        hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
        for when in ("setup", "call", "teardown"):
            failed = when == "call" and message is not None
            report = pytest.TestReport(
                nodeid,
                location,
                {},
                "failed" if failed else "passed",
                message if failed else None,
                when,
                user_properties=properties,
            )
            if when == "call" and excuse is not None:
                report.outcome, report.longrepr, report.wasxfail = "skipped", excuse, excuse
            report._json_report_extra = {**extra, when: {}}  # type: ignore[attr-defined]
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)
