"""What a test item does with its job: the environment, the policy and the rollout that fixtures give."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_arena.errors import USERS_MISTAKE, ArenaError, EvaluationError, RolloutTimeoutError, described
from pytest_arena.evaluation.run_job import Evaluation
from pytest_arena.guards import uncaptured_stderr
from pytest_arena.guards.close_within_limit import close_within
from pytest_arena.options import settings
from pytest_arena.policies.registry import make_policy
from pytest_arena.recorders import recorders_of_job
from pytest_arena.records.attempt import Attempt
from pytest_arena.reports.warn import warn
from pytest_arena.rollout.recorder import require_recorders
from pytest_arena.session.baseline_check import against
from pytest_arena.session.current_run import run_of
from pytest_arena.session.item_attempt import RESULTS, attempt_of
from pytest_arena.session.job_items import added_metrics, environment_key, job_of
from pytest_arena.session.result import Result
from pytest_arena.session.show_progress import show_preparation, show_rollout
from pytest_arena.simulators.env_check import require_env
from pytest_arena.simulators.registry import validate_simulation

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job
    from pytest_arena.policies.base import Policy
    from pytest_arena.rollout.recorder import Recorder
    from pytest_arena.simulators.base import SimEnv
    from pytest_arena.simulators.pool import EnvironmentPool


class BuiltWhenUsed:
    """Stands for an environment or policy that will hardly be needed: built at the first use of it."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build, self._built = build, None

    def __getattr__(self, name: str) -> Any:
        """Build, once, and pass on."""
        if self._built is None:
            self._built = self._build()
        return getattr(self._built, name)

    def close(self) -> None:
        """Close what was built."""
        if self._built is not None:
            self._built.close()


def release_environment(item: pytest.Item, following: pytest.Item | None) -> None:
    """Close the environment of *item*'s job unless that of the *following* item can use it.

    The last one is closed when all reports are written.
    """
    job, other = job_of(item), None if following is None else job_of(following)
    if job is None or other is None:
        return
    if environment_key(job) != environment_key(other):
        run_of(item.config).pool.clear()


def with_options(job: Job, options: Mapping[str, Any]) -> Job:
    """Return *job* with the environment options of the fixture, validated by its simulator."""
    __tracebackhide__ = USERS_MISTAKE
    if not isinstance(options, Mapping):
        raise EvaluationError(f"arena_env_options: expected a dict, got {described(options)}")
    if options == job.environment.options:
        return job
    environment = job.environment.model_copy(update={"options": dict(options)})
    changed = job.model_copy(update={"environment": environment})
    validate_simulation(changed)
    return changed


def environment(item: pytest.Item, job: Job, options: Mapping[str, Any]) -> SimEnv:
    """Return the job's environment; one that has nothing to run is not built until it is used.

    Args:
        item: The test, whose attempt begins here if it has not.
        job: What the test evaluates.
        options: What ``arena_env_options`` gave, in place of the job's ``environment.options``.

    Returns:
        The environment of the session's pool, which closes it. It may be one that a job before has used.

    Raises:
        EvaluationError: *options* is no mapping.
        JobFileError: The simulator does not take *options*.
        ArenaError: The environment could not be built; the error has no traceback of this package.
        Exception: What the simulator raises.
    """
    __tracebackhide__ = USERS_MISTAKE
    pool, changed, attempt = run_of(item.config).pool, with_options(job, options), attempt_of(item, job)
    if attempt.nothing_left:
        note = note_taker(item, attempt)
        return cast("SimEnv", BuiltWhenUsed(lambda: pool.get(changed, note=note)))
    began = time.monotonic()
    try:
        with show_preparation(item.config, changed, attempt.record.job, builds=not pool.has(changed)):
            env = pool.get(changed, note=note_taker(item, attempt), give_up=attempt.fail)
    except ArenaError as error:  # the way through this package says nothing about a user's mistake
        raise error.with_traceback(None)  # noqa: B904  (its cause, if any, stays)
    attempt.spent("build_seconds", began)
    return env


def policy(item: pytest.Item, job: Job, env: SimEnv) -> Policy:
    """Return the job's policy; one that has nothing to do is not made until it is used.

    Args:
        item: The test, whose attempt begins here if it has not.
        job: Its ``policy`` section is made.
        env: The environment that the policy acts in; it may be one of a user's own fixture.

    Returns:
        The policy; `close_policy` closes it.

    Raises:
        ArenaError: *env* is no environment, or the policy could not be made; the error has no traceback of
            this package.
        Exception: What the policy raises.
    """
    __tracebackhide__ = USERS_MISTAKE
    attempt = attempt_of(item, job)
    if attempt.nothing_left:
        return cast("Policy", BuiltWhenUsed(lambda: make_policy(job, env)))
    try:
        require_env(env)  # it may be one of a user's own fixture
        return make_policy(job, env, attempt.fail)
    except ArenaError as error:
        raise error.with_traceback(None)  # noqa: B904


def close_policy(item: pytest.Item, job: Job, made: Policy) -> None:
    """Close the job's policy; what it raises is a note in the job's record.

    Args:
        item: The test.
        job: Its ``rollout.timeout`` is the time that closing may take.
        made: What `policy` returned.
    """
    problem = close_within(job.rollout.timeout, "the policy", made.close)
    if problem is not None:
        note_taker(item, attempt_of(item, job))(problem)


def note_taker(item: pytest.Item, attempt: Attempt) -> Callable[[str], None]:
    """Return what adds a note to the record of *attempt*, even to one that is closed, and warns of it."""
    config, run = item.config, run_of(item.config)

    def note(text: str) -> None:
        line = f"job {attempt.record.job!r}: {text}"
        with run.writing(str(attempt.record.record_path)):
            attempt.note_at_once(text)
        if run.reports_written:
            uncaptured_stderr.say(line)
            return
        warn(config, line, nodeid=item.nodeid, path=str(item.path))

    return note


def recorders_of(config: pytest.Config, job: Job) -> list[Recorder]:
    """Return the recorders of a job: command line over job over ini file over the default."""
    return recorders_of_job.standard_recorders(job, settings(config).video, settings(config).video_default)


def roll_out(
    item: pytest.Item, job: Job, env: SimEnv, policy: Policy, recorders: Sequence[Recorder]
) -> Result:
    """Evaluate the item's job, once an attempt; plugins get its record, also where the rollout raises.

    Args:
        item: The test.
        job: What it evaluates, with the options of the fixture.
        env: The environment of rebuild 0. The session's pool builds those of other rebuilds.
        policy: The policy to be evaluated; it is not closed.
        recorders: All that watch the rollout; no others are added.

    Returns:
        The result, which the item keeps too.

    Raises:
        EvaluationError: The test has run its job already, *recorders* is no list of recorders, an environment
            that is not the pool's was to be rebuilt, or the rollout is no measurement of the job.
        Exception: What the environment, the policy or a recorder raises.
    """
    __tracebackhide__ = USERS_MISTAKE
    run, attempt = run_of(item.config), attempt_of(item, job)
    if RESULTS in item.stash:
        raise EvaluationError(f"job {attempt.record.job!r} has been run by this test already")
    require_recorders(recorders)  # they may be those of a user's own fixture
    attempt.record.config_sha256 = job.sha256()

    rebuildable = run.pool.holds(env)

    def make_env(rebuild: int) -> SimEnv:
        if rebuild == 0:
            return env
        if not rebuildable:
            raise EvaluationError(
                "an environment of an overridden arena_env cannot be rebuilt: set rollout.rebuilds: 1"
            )
        note = note_taker(item, attempt)
        return run.pool.get(job, rebuild=rebuild, note=note, give_up=attempt.fail)

    with show_rollout(item.config, job, attempt.record, attempt.earlier) as watch:
        evaluation = Evaluation(
            job=job.as_run,
            attempt=attempt,
            make_env=make_env,
            policy=policy,
            recorders=recorders,
            metrics=added_metrics(item.config, job),
            watch=watch,
            against=against(item.config, job.as_run),
        )
        try:
            _run(evaluation, run.pool)
        finally:
            item.config.hook.pytest_arena_record(
                config=item.config, record=attempt.record, run_dir=run.directory.path
            )
    result = Result(attempt.record, evaluation.counted, run.directory.path)
    item.stash.setdefault(RESULTS, []).append(result)
    return result


def _run(evaluation: Evaluation, pool: EnvironmentPool) -> None:
    """Run it; a simulator that failed may be left in any state, so the next job gets a new environment."""
    __tracebackhide__ = USERS_MISTAKE
    try:
        evaluation.run()
    except BaseException as error:
        pool.clear()
        if isinstance(error, ArenaError) and not isinstance(error, RolloutTimeoutError):
            raise error.with_traceback(None)  # noqa: B904  (where it was found says nothing to a user)
        raise
    if evaluation.environment_failed:
        pool.clear()
