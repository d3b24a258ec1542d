"""Evaluate a job from a script: ``record = evaluate(load_jobs("jobs.yaml")[0])``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_arena.comparison.baseline import Baseline
from pytest_arena.errors import EvaluationError, described
from pytest_arena.evaluation.judge import Against
from pytest_arena.evaluation.metrics_json import metrics_of
from pytest_arena.evaluation.run_job import Evaluation
from pytest_arena.evaluation.validate import validate
from pytest_arena.guards.close_within_limit import close_within
from pytest_arena.guards.deadline import require_thread
from pytest_arena.jobs.model import Job
from pytest_arena.policies.registry import make_policy, policy_files, policy_source
from pytest_arena.recorders.recorders_of_job import standard_recorders
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.files import utc_now, write_json
from pytest_arena.records.provenance import machine, source_revision, versions
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.records.schema import SCHEMA_VERSION, JobRecord
from pytest_arena.rollout.info_metrics import metrics_of_job
from pytest_arena.rollout.loop import Watch
from pytest_arena.rollout.metrics import Metric
from pytest_arena.rollout.recorder import Recorder, require_recorders
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.pool import EnvironmentPool


def evaluate(
    job: Job,
    *,
    output: Path = Path("arena-results"),
    recorders: Sequence[Recorder] = (),
    metrics: Sequence[Metric] = (),
    watch: Watch | None = None,
    baseline: Baseline | None = None,
) -> JobRecord:
    """Evaluate *job* in a run directory of its own under *output*, as pytest would.

    The run directory gets ``run.json``, ``metrics.json`` and the job's folder with record, episodes, films
    and trajectories as the job asks for.

    Args:
        job: As `load_jobs` gives it.
        output: The folder of run directories.
        recorders: They come beside those that the job asks for; one of the same class in its place.
        metrics: Metrics beside the standard ones.
        watch: Called after every step of all rows: progress. It must return at once.
        baseline: What a job with ``regression`` is compared with.

    Returns:
        The record, as it is on disk. A threshold that is missed raises nothing.

    Raises:
        JobFileError: The job is not valid.
        EvaluationError: The rollout ran, and is no measurement of the job.
        Exception: What the environment, the policy or a recorder raises, after the record has been written.
    """
    if not isinstance(job, Job):
        raise EvaluationError(f"expected a Job, got {described(job)}: load_jobs(path) gives a list of them")
    metrics = [*metrics_of_job(job), *metrics]
    validate(job, metrics)
    require_recorders(recorders)
    require_thread(job.rollout.timeout)
    run = RunDirectory.create(Path(output).absolute())  # the environment may change the working directory
    attempt = Attempt.begin(job, run, job.name)
    _publish_manifest(run, job)

    pool = EnvironmentPool()
    try:
        return _evaluate(attempt, job, pool, recorders, metrics, watch, Against(baseline))
    finally:
        pool.clear()
        write_json(run.path / "metrics.json", metrics_of(run))
        run.finish_manifest(finished_at=utc_now())


def _evaluate(
    attempt: Attempt,
    job: Job,
    pool: EnvironmentPool,
    recorders: Sequence[Recorder],
    metrics: Sequence[Metric],
    watch: Watch | None,
    against: Against,
) -> JobRecord:
    try:
        env = pool.get(job, note=attempt.note_at_once, give_up=attempt.fail)
        policy = make_policy(job, env, attempt.fail)
    except Exception as error:
        attempt.fail(error)
        raise
    replaced = {type(recorder) for recorder in recorders}
    standard = [recorder for recorder in standard_recorders(job) if type(recorder) not in replaced]

    def make_env(rebuild: int) -> SimEnv:
        return (
            pool.get(job, rebuild=rebuild, note=attempt.note_at_once, give_up=attempt.fail)
            if rebuild
            else env
        )

    try:
        every = [*standard, *recorders]
        return Evaluation(job.as_run, attempt, make_env, policy, every, metrics, watch, against).run()
    finally:
        problem = close_within(job.rollout.timeout, "the policy", policy.close)
        if problem is not None:
            attempt.note_at_once(problem)


def _publish_manifest(run: RunDirectory, job: Job) -> None:
    files = {"policy_files": policy_files(job), "policy_source": policy_source(job)}
    about = {"config_sha256": job.sha256(), **files, "config": job.config()}
    run.publish_manifest(
        {
            "schema_version": SCHEMA_VERSION,
            "run": run.path.name,
            "command": [str(arg) for arg in sys.argv],
            "working_directory": os.getcwd(),
            "started_at": utc_now(),
            "versions": versions(),
            "revision": source_revision(Path.cwd()),
            "machine": machine(),
            "jobs": {job.name: about},
        }
    )
