"""The one-slot pool: a process holds at most one app and one environment, and both outlive jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Sequence

from pytest_arena.errors import USERS_MISTAKE, EvaluationError, RolloutTimeoutError
from pytest_arena.guards.close_within_limit import close_within
from pytest_arena.guards.deadline import EXIT_STATUS, Deadline
from pytest_arena.guards.foreign_code import foreign_code
from pytest_arena.jobs.model import Job
from pytest_arena.simulators.base import SimEnv, Simulator
from pytest_arena.simulators.devices import lift_device_mask
from pytest_arena.simulators.env_check import require_env
from pytest_arena.simulators.registry import find_simulator

Note = Callable[[str], None]
"""Takes down what the record of a job is to say, also after the job has ended."""
GiveUp = Callable[[RolloutTimeoutError], None]
"""Saves what is known of a job, for the process is about to end."""


class EnvironmentPool:
    """Gives jobs their environment, and builds a new one only when it must."""

    def __init__(self) -> None:
        self._env: SimEnv | None = None
        self._key: Hashable = None
        self._last: Job | None = None
        """The job that had the environment last."""
        self._note: Note | None = None
        """Its."""
        self._launched: tuple[Simulator, Hashable] | None = None
        self._app: Simulator | None = None
        self.expected: Sequence[Job] = ()
        """Jobs that this process will run: its app is started so that it serves as many as one app can."""

    def get(
        self, job: Job, *, rebuild: int = 0, note: Note | None = None, give_up: GiveUp | None = None
    ) -> SimEnv:
        """Return the environment of *job*; that of a *rebuild* above 0 is built anew in any case.

        Building has the job's ``rollout.timeout`` for itself.

        Args:
            job: The job that uses the environment next.
            rebuild: Which of the job's environments is meant, from 0.
            note: Gets what went wrong when the environment was closed, which may be long after the job.
            give_up: Saves what is known where nothing can interrupt the building; then the process ends.

        Returns:
            The environment. The pool keeps it, and closes it.

        Raises:
            EvaluationError: The job needs an app that differs from the one this process has started, or what
                was built is no environment.
            MissingDependencyError: The simulator is not installed.
            RolloutTimeoutError: The environment was not built in time.
            Exception: What the simulator raises while it starts or builds.
        """
        __tracebackhide__ = USERS_MISTAKE
        simulator = find_simulator(job)
        limit = Deadline(job.rollout.timeout, "while the environment was built", give_up)
        with foreign_code("the simulator"), limit:
            self._launch(simulator, job)
        job = simulator.rebuilt(job, rebuild)
        key = simulator.environment_key(job)
        if self._env is None or self._env.spent or rebuild or key != self._key:
            self.clear()
            with foreign_code("the environment"), limit:
                made = simulator.make(job)
                try:
                    require_env(made)
                except EvaluationError:
                    with contextlib.suppress(Exception):  # it may lack a `close` as well
                        made.close()
                    raise
            self._env, self._key = made, key
        self._last, self._note = job, note
        return self._env

    def has(self, job: Job) -> bool:
        """Whether `get` would give *job* the environment that is there."""
        key = find_simulator(job).environment_key(job)
        return self._env is not None and not self._env.spent and key == self._key

    def holds(self, env: SimEnv) -> bool:
        """Whether *env* is the pool's own environment."""
        return env is self._env

    def clear(self, exit_status: int = EXIT_STATUS) -> None:
        """Close the environment; the app stays.

        What it raises is a note of the job that had the environment last, and nothing else. It has that
        job's ``rollout.timeout``; one that hangs and cannot be interrupted ends the process, with
        *exit_status*.
        """
        env, self._env, self._key = self._env, None, None
        last, note = self._last, self._note
        if env is None or last is None:
            return
        self._last = self._note = None
        problem = close_within(last.rollout.timeout, "the environment", env.close, exit_status)
        if problem is not None and note is not None:
            note(problem)

    def shutdown(self, exit_code: int) -> None:
        """Close the environment, then the app. May end the process."""
        simulator, self._app, self._launched = self._app, None, None
        self.clear(exit_code)
        if simulator is not None:
            simulator.shutdown(exit_code)

    @property
    def has_app(self) -> bool:
        """Whether there is an app to end, be it one that failed to start."""
        return self._app is not None

    def _launch(self, simulator: Simulator, job: Job) -> None:
        __tracebackhide__ = True  # what it raises says all
        key = simulator.launch_key(job)
        if self._launched is None and key is not None:
            job = self._most_demanding(simulator, job)
            key = simulator.launch_key(job)
        if self._launched is None or (self._launched[0] is not simulator and key is None):
            if not simulator.device_mask:
                lift_device_mask()
            if self._app is None and key is not None:
                self._app = simulator  # a launch that fails may leave an app, too
            simulator.launch(job)
            if self._launched is None and key is not None:
                self._launched = (simulator, key)
        elif key is not None and not self._serves(simulator, key):
            raise EvaluationError(
                f"job {job.name!r} needs {job.simulator} started with {_words(key)}, but this process has "
                f"started {self._launched[0].name} with {_words(self._launched[1])}, and an app can be "
                "started only once a process: run such jobs with -n, each in a worker of its own"
            )

    def _serves(self, simulator: Simulator, key: Hashable) -> bool:
        assert self._launched is not None, "an app runs"
        return self._launched[0] is simulator and simulator.serves(self._launched[1], key)

    def _most_demanding(self, simulator: Simulator, job: Job) -> Job:
        """Return the expected job whose app serves *job* too, and as many of the others as possible."""
        for other in self.expected:
            if other.simulator == job.simulator:
                keys = simulator.launch_key(other), simulator.launch_key(job)
                job = other if simulator.serves(*keys) else job
        return job


def _words(key: Hashable) -> str:
    """Return a launch key as people read it: arguments by name, else as it is."""
    if isinstance(key, tuple) and all(isinstance(part, tuple) and len(part) == 2 for part in key):
        return ", ".join(f"{name}={value}" for name, value in key)
    return repr(key)
