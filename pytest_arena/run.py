"""The session: begin a run, keep its environment and what is known of it; `session_end` finishes it."""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_arena import shards
from pytest_arena.collection import LABEL, environment_key, groups_of, job_of, refuse, whole_node_id
from pytest_arena.guards import stderr
from pytest_arena.options import is_worker, note_jobs, settings
from pytest_arena.parallel.progress import watch_workers
from pytest_arena.parallel.recovery import CrashReports, LossGuard
from pytest_arena.parallel.transport import PlainReports
from pytest_arena.parallel.workers import command, hold_in_worker, run_directory, shared_directory
from pytest_arena.policies.registry import policy_files, policy_source
from pytest_arena.records.directory import RunDirectory, utc_now
from pytest_arena.records.provenance import machine, source_revision, versions
from pytest_arena.records.schema import SCHEMA_VERSION
from pytest_arena.reports import json_report
from pytest_arena.simulators.isaaclab_app import APP
from pytest_arena.simulators.pool import EnvironmentPool
from pytest_arena.verdicts import Line

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job


class ExitGuard:
    """No false green: `os._exit(0)` in the middle of a run must not look like success.

    A simulator may end the process, with status 0, when its app closes or breaks. In a worker the controller
    notices; without workers this guard gives such an exit the status 3 until it is lifted.
    """

    def __init__(self) -> None:
        self._exit, self._process = os._exit, os.getpid()
        os._exit = self._guarded

    def lift(self) -> None:
        """The reports are written: from now on the process may end as it likes."""
        os._exit = self._exit

    def _guarded(self, status: int) -> NoReturn:
        if os.getpid() == self._process and status == 0:  # a forked child may end with what it likes
            os.write(2, b"\narena: something ended the process in the middle of a run\n")
            status = int(pytest.ExitCode.INTERNAL_ERROR)
        self._exit(status)


@dataclass
class Run:
    """What lives as long as the session."""

    directory: RunDirectory
    pool: EnvironmentPool = field(default_factory=EnvironmentPool)
    previous_sigterm: Any = None
    exit_guard: ExitGuard | None = None
    exit_status: int = int(pytest.ExitCode.INTERNAL_ERROR)
    """pytest's, once it is known: the app is told of it when it is closed, and may end the process."""
    written_status: int | None = None
    """The one in ``run.json``."""
    broken: BaseException | None = None
    """What was raised while the session finished: an app that ends the process would swallow it."""
    guard: LossGuard | None = None
    """Not in a worker."""
    lost: list[str] = field(default_factory=list)
    """Tests that never ran, though nobody stopped the session."""
    unmeasured: list[str] = field(default_factory=list)
    """Tests that passed without a measurement, a line each."""
    suite: list[Line] = field(default_factory=list)
    """Verdicts over several jobs, in words."""
    verdicts: dict[str, Any] = field(default_factory=dict)
    """The same for ``run.json``."""
    unwritten: list[str] = field(default_factory=list)
    """Results that could not be written, a line each; with any, the session does not succeed."""
    failures: list[str] = field(default_factory=list)
    """Tracebacks of results that failed for another reason than the disk."""
    told: bool = False
    """Whether the summary has told what went wrong; some reporters have none."""
    ended: bool = False
    """The session's reports are written: a warning comes too late for them."""

    @contextlib.contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Make and write a result: one that cannot be written keeps those after it from nothing."""
        try:
            yield
        except OSError as error:
            line = f"{what} could not be written: {error.strerror or error}"
        except Exception as error:  # of a plugin, or our own
            line = f"{what} failed: {type(error).__name__}: {error}"
            self.failures.append("".join(traceback.format_exception(error)))
        else:
            return
        if line not in self.unwritten:
            self.unwritten.append(line)

    def troubles(self) -> list[str]:
        """Return in words what keeps the session from success, beside tests that failed."""
        tests = "1 test" if len(self.lost) == 1 else f"{len(self.lost)} tests"
        lost = [f"{tests} never ran to the end:", *(f"  {nodeid}" for nodeid in self.lost)]
        return [*(lost if self.lost else ()), *self.unmeasured, *self.unwritten, *self.failures]


RUN = pytest.StashKey[Run]()
_SHOWING = ("collectonly", "setupplan", "showfixtures", "show_fixtures_per_test")
"""pytest's options that collect tests to show something of them."""


def run_of(config: pytest.Config) -> Run:
    """Return the session's run."""
    return config.stash[RUN]


def begin(session: pytest.Session) -> None:
    """Make the run directory and its manifest, and turn the JSON report on."""
    config = session.config
    # pytest calls this hook after a refused collection too: then no job has a label.
    if _runs_nothing(config) or not any(LABEL in item.stash for item in session.items):
        return
    directory = shared_directory(config) or run_directory(config)
    config.stash[RUN] = Run(directory)
    if is_worker(config):
        hold_in_worker(config, directory)
    # The standard error that pytest kept before it captured it: else a traceback is lost with the process.
    kept = getattr(config.pluginmanager.get_plugin("faulthandler"), "fault_handler_stderr_fd_key", None)
    APP.faults_to = None if kept is None else config.stash.get(kept, None)
    if APP.faults_to is not None:
        stderr.show_on(APP.faults_to)
    try:
        _write_manifest(session, directory)
    except OSError as error:
        line = f"{directory.path}: run.json could not be written: {error.strerror or error}"
        refuse(config, session.items, [line])
        return
    if settings(config).resume is not None and not is_worker(config):
        _note_resume(config, directory)
    json_report.enable(config, session)
    if is_worker(config):
        config.pluginmanager.register(PlainReports(), "arena-transport")
    else:
        config.stash[RUN].exit_guard = ExitGuard()
        config.stash[RUN].pool.expected = [job for item in session.items if (job := job_of(item)) is not None]
        _guard(config, [item.nodeid for item in session.items])
        if not config.getoption("setuponly", False):
            shards.enable(config, directory)
    _interrupt_on_sigterm(config)


def _runs_nothing(config: pytest.Config) -> bool:
    """Whether pytest only shows what there is: no test, and no fixture, is run."""
    return any(config.getoption(name, False) for name in _SHOWING)


def join_as_controller(config: pytest.Config, tests: Sequence[str]) -> None:
    """Become an arena session once a worker has found jobs: report on its *tests*, end in order."""
    directory = shared_directory(config)
    if directory is not None and RUN not in config.stash:
        note_jobs(config)
        config.stash[RUN] = Run(directory)
        json_report.enable(config, None)
        _guard(config, tests)
        config.pluginmanager.register(
            CrashReports(config, directory, config.stash[RUN].unwritten), "arena-crash-reports"
        )
        shards.enable(config, directory)
        _interrupt_on_sigterm(config)
        watch_workers(config, directory)


def _guard(config: pytest.Config, tests: Sequence[str]) -> None:
    run_of(config).guard = guard = LossGuard(tests)
    config.pluginmanager.register(guard, "arena-loss-guard")


def _write_manifest(session: pytest.Session, directory: RunDirectory) -> None:
    """The first process that gets here writes ``run.json``; the others find it."""
    if directory.manifest_path.exists():
        return  # another worker, or the run that is resumed, was first
    config, hashes = session.config, dict[Path, str]()
    jobs = {item.stash[LABEL]: (item, job) for item in session.items if (job := job_of(item)) is not None}
    directory.publish_manifest(
        {
            "schema_version": SCHEMA_VERSION,
            "run": directory.path.name,
            "command": command(config),
            "working_directory": str(config.invocation_params.dir),
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
                    **_whole(item, job),
                    "policy_files": policy_files(job, hashes),
                    "policy_source": policy_source(job),
                    "config": job.config(),
                }
                for label, (item, job) in jobs.items()
            },
            "groups": groups_of(config, session.items),
        }
    )


def _note_resume(config: pytest.Config, directory: RunDirectory) -> None:
    """Add this session to those that have worked on the run."""
    sessions = directory.manifest().get("resumed", [])
    with run_of(config).writing("run.json"):
        directory.finish_manifest(resumed=[*sessions, {"command": command(config), "started_at": utc_now()}])


def _whole(item: pytest.Item, job: Job) -> dict[str, Any]:
    """Return the entry that tells which job a shard is a part of."""
    if job.shard is None:
        return {}
    whole = {"label": item.stash[LABEL].removesuffix(job.suffix), "nodeid": whole_node_id(item, job)}
    return {"shard": {"index": job.shard.index, "count": job.shard.count, **whole}}


def fingerprint(key: Hashable) -> str:
    """Return a short text that is equal for equal keys, in any process."""
    return sha256(repr(key).encode()).hexdigest()[:12]


def steps_at_most(job: Job) -> int:
    """Return an upper bound of the job's steps over all rows, to compare jobs by; 100 a missing horizon."""
    limit, environment = job.rollout, job.environment
    if limit.episodes is not None:
        return len(job.wanted_episodes) * (environment.max_episode_steps or 100)
    return limit.rebuilds * environment.num_envs * (limit.steps if isinstance(limit.steps, int) else 100)


def _interrupt_on_sigterm(config: pytest.Config) -> None:
    """Let a cancelled CI job end like Ctrl-C: finalizers run, reports are written."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt("SIGTERM")

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        with contextlib.suppress(ValueError):  # not the main thread
            run_of(config).previous_sigterm = signal.signal(signal.SIGTERM, interrupt)
