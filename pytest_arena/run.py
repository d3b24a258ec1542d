"""The session: begin a run, keep its environment and records, finish it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.collection import JOB, LABEL, environment_key, job_of, metrics_of
from pytest_arena.errors import EvaluationError
from pytest_arena.evaluation import Evaluation
from pytest_arena.options import is_worker, note_jobs, settings
from pytest_arena.parallel.workers import command, shared_directory
from pytest_arena.records.attempt import begin_record, fail_record
from pytest_arena.records.directory import JobDirectory, RunDirectory, utc_now, write_json
from pytest_arena.records.provenance import machine, source_revision, versions
from pytest_arena.records.schema import SCHEMA_VERSION, JobRecord
from pytest_arena.reports import json_report
from pytest_arena.reports.progress import progress
from pytest_arena.result import Result
from pytest_arena.simulators.pool import EnvironmentPool
from pytest_arena.simulators.registry import validate_simulation

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job
    from pytest_arena.policies.base import Policy
    from pytest_arena.recorders.base import Recorder
    from pytest_arena.simulators.base import SimEnv


@dataclass
class Run:
    """What lives as long as the session."""

    directory: RunDirectory
    pool: EnvironmentPool = field(default_factory=EnvironmentPool)
    previous_sigterm: Any = None


@dataclass
class Attempt:
    """What an item has of its job; in the item's stash, anew for each rerun."""

    directory: JobDirectory
    record: JobRecord
    results: list[Result] = field(default_factory=list)


RUN = pytest.StashKey[Run]()
ATTEMPT = pytest.StashKey[Attempt]()


def run_of(config: pytest.Config) -> Run:
    """Return the session's run."""
    return config.stash[RUN]


def begin(session: pytest.Session) -> None:
    """Make the run directory and its manifest, and turn the JSON report on."""
    config = session.config
    # pytest calls this hook after a refused collection too: then no job has a label.
    if config.option.collectonly or not any(LABEL in item.stash for item in session.items):
        return
    directory = shared_directory(config) or RunDirectory.create(settings(config).output)
    config.stash[RUN] = Run(directory)
    _write_manifest(session, directory)
    json_report.enable(config, session)
    if not is_worker(config):
        _interrupt_on_sigterm(config)


def attempt_of(item: pytest.Item, job: Job) -> Attempt:
    """Return the item's current attempt; the first call of a (re)run claims a folder and begins a record."""
    if ATTEMPT not in item.stash:
        run = run_of(item.config).directory
        label = item.stash[LABEL]
        directory = run.claim(label)
        record = begin_record(job, directory, run.path, label, item.nodeid)
        item.stash[ATTEMPT] = Attempt(directory, record)
    return item.stash[ATTEMPT]


def require_verdict(item: pytest.Function) -> None:
    """No false green: a test that passed without running its job or asserting its thresholds fails."""
    if JOB not in item.stash or RUN not in item.config.stash:
        return
    attempt = item.stash.get(ATTEMPT, None)
    if attempt is None or not attempt.results:
        pytest.fail(
            f"the test passed without running its job {item.stash[LABEL]!r}: call arena_rollout()", False
        )
    for result in attempt.results:
        if not result.asserted:
            result.assert_thresholds()


def note_outcome(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Give a job that failed before its rollout a record, put scalars on JUnit, forget a finished attempt."""
    job = job_of(item)
    if job is None or RUN not in item.config.stash:
        return
    if (
        call.when == "setup"
        and call.excinfo is not None
        and not call.excinfo.errisinstance(pytest.skip.Exception)
    ):
        attempt = attempt_of(item, job)
        fail_record(attempt.record, call.excinfo.value)
        attempt.record.finished_at = utc_now()
        write_json(attempt.directory.record, attempt.record.to_json())
    if call.when == "call" and ATTEMPT in item.stash:
        properties = _scalars(item.stash[ATTEMPT].record)
        item.user_properties[:] = [p for p in item.user_properties if not p[0].startswith("arena_")]
        item.user_properties.extend(properties)


def forget_attempt(item: pytest.Item) -> None:
    """A rerun is a new attempt, with a folder of its own."""
    if ATTEMPT in item.stash:
        del item.stash[ATTEMPT]


def join_as_controller(config: pytest.Config) -> None:
    """Become an arena session once a worker has found jobs: report on them, end in order."""
    directory = shared_directory(config)
    if directory is not None and RUN not in config.stash:
        note_jobs(config)
        config.stash[RUN] = Run(directory)
        json_report.enable(config, None)
        _interrupt_on_sigterm(config)


def finish(session: pytest.Session) -> None:
    """Write ``metrics.json`` and close the manifest; in a worker the controller does it."""
    config = session.config
    if is_worker(config) or RUN not in config.stash:
        return
    directory = run_of(config).directory
    records = directory.latest()
    write_json(directory.path / "metrics.json", {job: record.metrics for job, record in records.items()})
    directory.finish_manifest(finished_at=utc_now(), exit_status=int(session.exitstatus))


def end(config: pytest.Config) -> None:
    """Close the environment and, if there is one, the app."""
    if RUN not in config.stash:
        return
    run = run_of(config)
    if run.previous_sigterm is not None:
        signal.signal(signal.SIGTERM, run.previous_sigterm)
    sys.stdout.flush()
    sys.stderr.flush()
    run.pool.shutdown(0)


def _write_manifest(session: pytest.Session, directory: RunDirectory) -> None:
    """The first process that gets here writes ``run.json``; the others find it."""
    config = session.config
    jobs = {item.stash[LABEL]: (item, job) for item in session.items if (job := job_of(item)) is not None}
    directory.publish_manifest(
        {
            "schema_version": SCHEMA_VERSION,
            "run": directory.path.name,
            "command": command(config),
            "working_directory": os.getcwd(),
            "started_at": utc_now(),
            "versions": versions(),
            "revision": source_revision(config.rootpath),
            "machine": machine(),
            "options": vars(settings(config)),
            "jobs": {
                label: {
                    "nodeid": item.nodeid,
                    "config_sha256": job.sha256(),
                    # Schedulers read these: what can share an environment, what a process, how long it is.
                    "environment_group": fingerprint(environment_key(job)),
                    "launch_group": fingerprint(launch) if (launch := environment_key(job)[0]) else None,
                    "steps_at_most": steps_at_most(job),
                    "config": job.config(),
                }
                for label, (item, job) in jobs.items()
            },
        }
    )


def fingerprint(key: Hashable) -> str:
    """Return a short text that is equal for equal keys, in any process."""
    return sha256(repr(key).encode()).hexdigest()[:12]


def steps_at_most(job: Job) -> int:
    """Return an upper bound of the job's steps over all rows, to compare jobs by; 100 a missing horizon."""
    limit, environment = job.rollout, job.environment
    if limit.episodes is not None:
        return limit.episodes * (environment.max_episode_steps or 100)
    return limit.rebuilds * environment.num_envs * (limit.steps if isinstance(limit.steps, int) else 100)


def _interrupt_on_sigterm(config: pytest.Config) -> None:
    """Let a cancelled CI job end like Ctrl-C: finalizers run, reports are written."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt("SIGTERM")

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        with contextlib.suppress(ValueError):  # not the main thread
            run_of(config).previous_sigterm = signal.signal(signal.SIGTERM, interrupt)


def _scalars(record: JobRecord) -> list[tuple[str, object]]:
    """The numbers of a record as JUnit properties."""
    scalars: list[tuple[str, object]] = [
        ("arena_status", str(record.status)),
        ("arena_verdict", str(record.verdict)),
    ]
    scalars += [(f"arena_{name}", value) for name, value in record.metrics.items() if value is not None]
    return scalars


def with_options(job: Job, options: Mapping[str, Any]) -> Job:
    """Return *job* with the environment options of the fixture, validated by its simulator."""
    if options == job.environment.options:
        return job
    environment = job.environment.model_copy(update={"options": dict(options)})
    changed = job.model_copy(update={"environment": environment})
    validate_simulation(changed)
    return changed


def standard_recorders(config: pytest.Config, job: Job) -> list[Recorder]:
    """Return the recorders of a job: command line over job over ini file over the default."""
    from pytest_arena.recorders.video import VideoRecorder

    asked = settings(config).video or job.record.video or settings(config).video_default
    choice = asked or "retain-on-failure"
    if choice == "off":
        return []
    return [VideoRecorder(choice, job.record.cameras, required=asked is not None)]


def roll_out(
    item: pytest.Item, job: Job, env: SimEnv, policy: Policy, recorders: Sequence[Recorder]
) -> Result:
    """Evaluate the item's job, once."""
    run, attempt = run_of(item.config), attempt_of(item, job)
    if attempt.results:
        raise EvaluationError(f"job {attempt.record.job!r} has been run by this test already")
    attempt.record.config_sha256 = job.sha256()

    def make_env(rebuild: int) -> SimEnv:
        if rebuild == 0:
            return env
        if not run.pool.holds(env):
            raise EvaluationError(
                "an environment of an overridden arena_env cannot be rebuilt: set rollout.rebuilds: 1"
            )
        return run.pool.get(job, fresh=True)

    with progress(item.config, job, attempt.record.job) as watch:
        evaluation = Evaluation(
            job=job,
            record=attempt.record,
            directory=attempt.directory,
            run_dir=run.directory.path,
            make_env=make_env,
            policy=policy,
            recorders=recorders,
            metrics=metrics_of(item.config, job),
            watch=watch,
        )
        try:
            evaluation.run()
        except BaseException:
            # A simulator that failed may be left in any state: the next job gets a new environment.
            run.pool.clear()
            raise
        finally:
            item.config.hook.pytest_arena_record(config=item.config, record=attempt.record)
    result = Result(attempt.record, evaluation.episodes, run.directory.path)
    attempt.results.append(result)
    return result
