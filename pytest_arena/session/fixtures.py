"""The ``arena_…`` fixtures, layered so that a user overrides the smallest piece.

``arena_job`` → ``arena_env_options`` → ``arena_env`` → ``arena_policy`` and ``arena_recorders`` →
``arena_rollout``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.errors import USERS_MISTAKE, EvaluationError, described

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job
    from pytest_arena.policies.base import Policy
    from pytest_arena.rollout.recorder import Recorder
    from pytest_arena.session.result import Result
    from pytest_arena.simulators.base import SimEnv


@pytest.fixture
def arena_job(request: pytest.FixtureRequest) -> Job:
    """The job that this test evaluates."""
    from pytest_arena.session.job_items import job_of

    job = job_of(request.node)
    if job is None:
        pytest.fail(
            'the arena fixtures need a job: mark the test with @pytest.mark.arena("jobs.yaml")', False
        )
    return job


def _require_job(given: Any) -> None:
    """A test may have parameters or a fixture of the name ``arena_job``."""
    __tracebackhide__ = USERS_MISTAKE
    from pytest_arena.jobs.model import Job

    if not isinstance(given, Job):
        raise EvaluationError(
            f"arena_job: expected a Job, got {described(given)}: job files and @pytest.mark.arena give it"
        )


@pytest.fixture
def arena_env_options(arena_job: Job) -> dict[str, Any]:
    """``environment.options`` of the job, to override or extend; validated by the simulator."""
    _require_job(arena_job)
    return dict(arena_job.environment.options)


@pytest.fixture
def arena_run_dir(pytestconfig: pytest.Config) -> Path:
    """The directory of this run, shared by all jobs and workers."""
    from pytest_arena.session.current_run import run_of

    return run_of(pytestconfig).directory.path


@pytest.fixture
def arena_dir(request: pytest.FixtureRequest, arena_job: Job) -> Path:
    """The folder of this job's artifacts; a rerun has one of its own."""
    from pytest_arena.session.item_attempt import attempt_of

    _require_job(arena_job)
    return attempt_of(request.node, arena_job).directory.path


@pytest.fixture
def arena_env(
    request: pytest.FixtureRequest,
    arena_job: Job,
    arena_env_options: dict[str, Any],
    arena_dir: Path,
) -> SimEnv:
    """The job's environment, from a pool of one: jobs that can share an environment do."""
    __tracebackhide__ = USERS_MISTAKE
    from pytest_arena.session.item_rollout import environment

    return environment(request.node, arena_job, arena_env_options)


@pytest.fixture
def arena_policy(request: pytest.FixtureRequest, arena_job: Job, arena_env: SimEnv) -> Iterator[Policy]:
    """The job's policy."""
    __tracebackhide__ = USERS_MISTAKE
    from pytest_arena.session.item_rollout import close_policy, policy

    made = policy(request.node, arena_job, arena_env)
    yield made
    close_policy(request.node, arena_job, made)


@pytest.fixture
def arena_recorders(pytestconfig: pytest.Config, arena_job: Job) -> list[Recorder]:
    """What watches the rollout, to extend: the recorders of films and datasets that the job asks for."""
    from pytest_arena.session.item_rollout import recorders_of

    return recorders_of(pytestconfig, arena_job)


@pytest.fixture
def arena_rollout(
    request: pytest.FixtureRequest,
    arena_job: Job,
    arena_env_options: dict[str, Any],
    arena_env: SimEnv,
    arena_policy: Policy,
    arena_recorders: list[Recorder],
) -> Callable[[], Result]:
    """Run the job: ``result = arena_rollout()``. Raises what a policy or environment raises.

    To be called in the test's own thread, which simulators and renderers are bound to.
    """
    from pytest_arena.session.item_rollout import roll_out, with_options

    job, thread = with_options(arena_job, arena_env_options), threading.get_ident()

    def rollout() -> Result:
        __tracebackhide__ = USERS_MISTAKE
        if threading.get_ident() != thread:
            raise EvaluationError("arena_rollout() was called in another thread: call it in the test's own")
        return roll_out(request.node, job, arena_env, arena_policy, arena_recorders)

    return rollout
