"""The pytest entry point: hooks only, each delegates.

Every pytest run in an environment with this package imports this module: it imports pytest and the standard
library only, and so do the modules it imports at the top.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
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

        collection.parametrize(metafunc)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the files given with ``--arena-jobs``."""
    if file_path not in options.settings(parent.config).job_files:
        return None
    from pytest_arena.session import collection

    return collection.JobFile.from_parent(parent, path=file_path)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> Generator[None]:
    """Refuse bad job files before anything runs; name the jobs; order them by environment."""
    if options.saw_jobs(config):
        from pytest_arena.session import collection

        collection.drop_duplicates(items)
        collection.name_jobs(items)
        collection.refuse_problems(config, items)
        collection.order_by_environment(items)  # here too: --stepwise skips what comes before a failure
    yield
    if any(item.get_closest_marker("arena") for item in items):
        from pytest_arena.session import collection

        collection.refuse_marked_without_job(config, items)
    if options.saw_jobs(config):
        from pytest_arena.session import collection

        collection.refuse_other_jobs(config, items)
        collection.order_by_environment(items)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin the run: its directory, manifest and JSON report."""
    if options.saw_jobs(session.config):
        from pytest_arena.session import run

        run.begin(session)


def pytest_report_collectionfinish(config: pytest.Config) -> str | None:
    """Say where results go."""
    if options.saw_jobs(config):
        from pytest_arena.session import run

        return run.announcement(config)
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A rerun is a new attempt, with a folder of its own."""
    if options.saw_jobs(item.config):
        from pytest_arena.session import attempts

        attempts.forget_attempt(item)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Close an environment that the next job cannot use, while the test that used it is to blame."""
    if options.saw_jobs(item.config):
        from pytest_arena.session import rollouts

        rollouts.release_environment(item, nextitem)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """After a test that passed: its job must have run and its thresholds must hold."""
    outcome = yield
    if options.saw_jobs(pyfuncitem.config):
        from pytest_arena.session import rollouts

        rollouts.require_verdict(pyfuncitem)
    return outcome


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A job that failed before its rollout gets a record too; scalars go to JUnit."""
    if options.saw_jobs(item.config):
        from pytest_arena.session import rollouts

        rollouts.note_outcome(item, call)
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_json_runtest_metadata(item: pytest.Item) -> Mapping[str, Any] | None:
    """Put the job's record on the JSON report."""
    if options.saw_jobs(item.config):
        from pytest_arena.session import attempts

        return attempts.metadata(item)
    return None


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
    from pytest_arena.parallel import workers

    workers.share_with_worker(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """A worker has collected: if it found jobs, this run is an arena run in the controller too."""
    from pytest_arena.parallel import workers

    if workers.workers_found_jobs(node.config):
        from pytest_arena.session import run

        run.join_as_controller(node.config, ids)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None]:
    """Write the run's files before other plugins report."""
    if options.saw_jobs(session.config):
        from pytest_arena.session import end

        with end.noting_the_end(session):
            end.finish(session)
            yield
    else:
        yield


def pytest_terminal_summary(
    terminalreporter: TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Print the table of jobs; where nothing was found, say how job files are given."""
    if options.saw_jobs(config):
        from pytest_arena.session import end

        end.summarize(terminalreporter, config, exitstatus)
    elif exitstatus in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
        from pytest_arena.reports import job_file_hint

        for line in job_file_hint.hints(config):
            terminalreporter.write_line(line, yellow=True)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the environment and, last of all, the simulator's app: that may end the process."""
    if options.saw_jobs(config):
        from pytest_arena.session import end

        end.close_down(config)
    if config.pluginmanager.hasplugin("dsession"):
        from pytest_arena.parallel import workers

        workers.drop_unused(config)
