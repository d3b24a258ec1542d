"""The pytest entry point: the hooks that act before it is known whether there are jobs; each delegates.

What acts where there are jobs is in two plugins: `session.collection.JobCollection`, registered when a job
file is met, and `session.arena_session.ArenaSession`, registered when the run begins.

Every pytest run in an environment with this package imports this module: it imports pytest and the standard
library only, and so do the modules it imports at the top.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena import options
from pytest_arena.session import configure
from pytest_arena.session.fixtures import (  # noqa: F401  (pytest finds fixtures by their names here)
    arena_dir,
    arena_env,
    arena_env_options,
    arena_job,
    arena_policy,
    arena_recorders,
    arena_rollout,
    arena_run_dir,
)

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ``--arena-…`` options and their ini twins."""
    options.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the ``pytest_arena_…`` hooks."""
    from pytest_arena import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Before a conftest or this package loads numpy: prepare the process for an app that may start in it."""
    from pytest_arena.simulators.isaaclab import app

    app.keep_blas_single()


def pytest_cmdline_main(config: pytest.Config) -> None:
    """Have xdist start its workers through a launcher; it has read ``-n``, and has not started any."""
    if options.launcher(config) is not None and not config.option.collectonly:
        from pytest_arena.parallel.launch import launcher

        launcher.prepare(config)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and add job files to what is collected."""
    config.addinivalue_line(
        "markers", "arena(*files): evaluate each job of these job files; paths are relative to the test file"
    )
    configure.configure(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One item a job of the files that the function's marker names."""
    if metafunc.definition.get_closest_marker("arena") is not None:
        from pytest_arena.session import collection

        collection.job_collection(metafunc.config).parametrize(metafunc)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the files given with ``--arena-jobs``."""
    if file_path not in options.settings(parent.config).job_files:
        return None
    from pytest_arena.session import collection

    return collection.JobFile.from_parent(parent, path=file_path)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Refuse tests that are marked and have no job: no job file need be met for that."""
    yield
    if any(item.get_closest_marker("arena") for item in items):
        from pytest_arena.session import collection

        collection.refuse_marked_without_job(config, items)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """With ``-n auto``: a worker a GPU, where there are GPUs and evaluations."""
    from pytest_arena.parallel import gpus

    return gpus.auto_workers(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: Sequence[Any]) -> None:
    """Give each xdist worker one of the GPUs."""
    from pytest_arena.parallel import gpus

    gpus.pin(config, specs)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Spread jobs over workers by environment; a session without jobs is left to xdist."""
    from pytest_arena.parallel import scheduler

    return scheduler.make_scheduler(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the run's directory is."""
    from pytest_arena.parallel import shared_run_directory

    shared_run_directory.share_with_worker(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """A worker has collected: if it found jobs, this run is an arena run in the controller too."""
    from pytest_arena.parallel import shared_run_directory

    directory = shared_run_directory.directory_with_jobs(node.config)
    if directory is not None:
        from pytest_arena.session import arena_session

        arena_session.join_as_controller(node.config, directory, ids)


def pytest_terminal_summary(
    terminalreporter: TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Where nothing was found, say how job files are given."""
    if exitstatus in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
        from pytest_arena.reports import job_file_hint

        for line in job_file_hint.hints(config, options.settings(config).job_files):
            terminalreporter.write_line(line, yellow=True)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the run directory of a controller whose workers have found no jobs."""
    if config.pluginmanager.hasplugin("dsession"):
        from pytest_arena.parallel import shared_run_directory

        shared_run_directory.drop_unused(config)
