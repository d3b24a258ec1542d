"""The session: begin a run, keep its environment and what is known of it; `session_end` finishes it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence
from types import FrameType

import pytest

from pytest_arena.guards import stderr
from pytest_arena.options import is_worker, note_jobs, settings
from pytest_arena.parallel.crashes import CrashReports
from pytest_arena.parallel.plain_reports import PlainReports
from pytest_arena.parallel.worker_progress import watch_workers
from pytest_arena.parallel.workers import hold_in_worker, run_directory, shared_directory
from pytest_arena.reports import json_report, terminal
from pytest_arena.session import shard_watch
from pytest_arena.session.collection import refuse
from pytest_arena.session.exit_guard import ExitGuard
from pytest_arena.session.job_items import LABEL, job_of
from pytest_arena.session.loss_guard import LossGuard
from pytest_arena.session.manifest import note_resume, write_manifest
from pytest_arena.session.state import RUN, Run, run_of
from pytest_arena.simulators.isaaclab.app import APP

_SHOWING = ("collectonly", "setupplan", "showfixtures", "show_fixtures_per_test")
"""pytest's options that collect tests to show something of them."""


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
        write_manifest(session, directory)
    except OSError as error:
        line = f"{directory.path}: run.json could not be written: {error.strerror or error}"
        refuse(config, session.items, [line])
        return
    if settings(config).resume is not None and not is_worker(config):
        note_resume(config, directory)
    json_report.enable(config, config.stash[RUN])
    if is_worker(config):
        config.pluginmanager.register(PlainReports(), "arena-transport")
    else:
        config.stash[RUN].exit_guard = ExitGuard()
        config.stash[RUN].pool.expected = [job for item in session.items if (job := job_of(item)) is not None]
        _guard(config, [item.nodeid for item in session.items])
        if not config.getoption("setuponly", False):
            shard_watch.enable(config, directory)
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
        json_report.enable(config, config.stash[RUN])
        _guard(config, tests)
        config.pluginmanager.register(
            CrashReports(config, directory, config.stash[RUN].unwritten), "arena-crash-reports"
        )
        shard_watch.enable(config, directory)
        _interrupt_on_sigterm(config)
        watch_workers(config, directory)


def _guard(config: pytest.Config, tests: Sequence[str]) -> None:
    run_of(config).guard = guard = LossGuard(tests)
    config.pluginmanager.register(guard, "arena-loss-guard")


def _interrupt_on_sigterm(config: pytest.Config) -> None:
    """Let a cancelled CI job end like Ctrl-C: finalizers run, reports are written."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt("SIGTERM")

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        with contextlib.suppress(ValueError):  # not the main thread
            run_of(config).previous_sigterm = signal.signal(signal.SIGTERM, interrupt)


def announcement(config: pytest.Config) -> str | None:
    """Return the line after collection that says where results go; None where nothing is run."""
    if RUN not in config.stash:
        return None
    session = config.pluginmanager.get_plugin("session")
    jobs = sum(job_of(item) is not None for item in session.items) if session is not None else 0
    return terminal.announcement(config, run_of(config), jobs)
