"""Job files → test items: parametrized ones, and those that need no Python; ordered by environment."""

from __future__ import annotations

import contextlib
import unittest
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.errors import (
    USERS_MISTAKE,
    JobFileError,
    RunDirectoryError,
    StrayOutcomeError,
    did_you_mean,
)
from pytest_arena.evaluation.validate import require_judged, validate, validate_group
from pytest_arena.guards.foreign_code import foreign_code
from pytest_arena.jobs.loader import Loaded, collector_paused, load_file
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.overrides import Override, parse_override
from pytest_arena.options import is_worker, settings
from pytest_arena.session import arena_session, baseline_check, resumed_jobs
from pytest_arena.session.job_items import (
    JOB,
    LABEL,
    added_metrics,
    environment_key,
    job_of,
    whole_label,
    whole_node_id,
)
from pytest_arena.session.labels import JobNames, choose_labels

_PLUGIN = "arena-collection"
_SHOWING = ("collectonly", "setupplan", "showfixtures", "show_fixtures_per_test")
"""pytest's options that collect tests to show something of them: no test, and no fixture, is run."""


class JobCollection:
    """The plugin that makes test items of jobs: there is one as soon as a session meets a job file."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._files: dict[Path, Loaded] = {}
        """What each job file has, that was met."""
        self._problems: list[str] = []
        """What is wrong with them, and with the tests that name them, a line each."""
        self._tags: set[str] = set()
        """Tags that pytest knows as marks."""

    @collector_paused()
    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Give the function one parameter set a job of its marker's files."""
        function = metafunc.definition
        jobs: list[Job] = []
        for mark in function.iter_markers("arena"):
            if not mark.args or not all(isinstance(arg, (str, Path)) for arg in mark.args) or mark.kwargs:
                self._problems.append(f'{function.nodeid}: expected @pytest.mark.arena("jobs.yaml", …)')
            for arg in mark.args:
                jobs += self._load(Path(function.path.parent, str(arg)))
        if "arena_job" not in metafunc.fixturenames:
            self._problems.append(
                f"{function.nodeid}: a test marked arena needs the fixture arena_rollout (or arena_job)"
            )
            return
        for name, count in Counter(job.name for job in jobs).items():
            if count > 1:
                self._problems.append(f"{function.nodeid}: its job files have {count} jobs named {name!r}")
                return
        params = [
            pytest.param(part, id=part.name + part.suffix, marks=self._marks(job))
            for job in jobs
            for part in job.shards()
        ]
        metafunc.parametrize("arena_job", params, indirect=True)

    def items_of(self, file: JobFile) -> Iterator[JobItem]:
        """Yield a test for each job of *file*, or for each of its shards."""
        for job in (part for whole in self._load(file.path) for part in whole.shards()):
            item = JobItem.from_parent(file, name=f"rollout[{job.name}{job.suffix}]", callobj=rollout)
            item.stash[JOB] = job
            for mark in self._marks(job):
                item.add_marker(mark)
            yield item

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None]:
        """Refuse bad job files before anything runs; name the jobs; order them by environment."""
        drop_duplicates(items)
        name_jobs(items)
        self._refuse_problems(items)
        order_by_environment(items)  # here too: --stepwise skips what comes before a failure
        yield
        # Of what is selected, all must be a part of the run that is resumed, and the baseline must be whole.
        problems = resumed_jobs.differences(self._config, items, self._groups(items))
        refuse(self._config, items, [*problems, *baseline_check.broken(self._config, items)])
        order_by_environment(items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Begin the run, where there is one: pytest calls this after a collection that was refused, too."""
        shows = any(self._config.getoption(name, False) for name in _SHOWING)
        if shows or not any(LABEL in item.stash for item in session.items):
            return
        try:
            arena_session.begin_run(session, self._groups(session.items))
        except RunDirectoryError as error:
            refuse(self._config, session.items, [str(error)])

    def _load(self, path: Path) -> list[Job]:
        """Load and validate a file once a session; problems are kept for `_refuse_problems`."""
        with contextlib.suppress(OSError, RuntimeError):  # links in a ring, a long name: reading it says so
            path = path.resolve()
        if path not in self._files:
            self._files[path] = Loaded([], [])
            try:
                # What a job names, and plugins' metrics, are run: a skip there must not skip all jobs.
                with foreign_code(f"what {path.name} names, or a plugin,"):
                    self._files[path] = self._validated(path)
            except (JobFileError, StrayOutcomeError) as error:
                self._problems.append(str(error))
        return self._files[path].jobs

    def _validated(self, path: Path) -> Loaded:
        loaded = load_file(path, self._overrides())
        metrics = {job.name: added_metrics(self._config, job) for job in loaded.jobs}
        for job in loaded.jobs:
            validate(job, metrics[job.name])
            require_judged(job)
        for group in loaded.groups:
            validate_group(group, group.members(loaded.jobs), metrics)
        return loaded

    def _overrides(self) -> list[Override]:
        return [parse_override(text) for text in settings(self._config).overrides]

    def _marks(self, job: Job) -> list[pytest.MarkDecorator]:
        for tag in job.tags:
            if tag not in self._tags:
                self._tags.add(tag)
                known = {line.split(":")[0].split("(")[0].strip() for line in self._config.getini("markers")}
                if tag not in known:
                    self._config.addinivalue_line("markers", f"{tag}: arena jobs with this tag")
        return [getattr(pytest.mark, tag) for tag in job.tags]

    def _refuse_problems(self, items: list[pytest.Item]) -> None:
        """Raise one `UsageError` with a line a problem: nothing is simulated before every job is valid."""
        problems = [*self._problems]
        names = {job.name for loaded in self._files.values() for job in loaded.jobs}
        for override in self._overrides() if not problems else ():
            if override.job is not None and override.job not in names:
                hint = did_you_mean(override.job, names)
                problems.append(f"--arena-set {override.text}: no job is named {override.job!r}{hint}")
        if not problems:
            problems += baseline_check.problems(self._config, items)
        refuse(self._config, items, problems)

    def _groups(self, items: Sequence[pytest.Item]) -> list[dict[str, Any]]:
        """Return the groups of the session's job files as the manifest has them.

        ``jobs`` has the name of every job of the group; its labels are those of the selected *items*, so a
        job that was deselected has none.
        """
        labels: dict[tuple[Path, str], list[str]] = {}
        for item in items:
            if (place := _file_and_name(item)) is not None and LABEL in item.stash:
                labels.setdefault(place, []).append(whole_label(item))
        return [
            {
                "tag": group.tag,
                "nodeid": f"{_nodeid(self._config, path)}::group[{group.tag}]",
                "thresholds": dict(group.thresholds),
                "jobs": {
                    job.name: list(dict.fromkeys(labels.get((path, job.name), ())))
                    for job in group.members(loaded.jobs)
                },
            }
            for path, loaded in self._files.items()
            for group in loaded.groups
        ]


def job_collection(config: pytest.Config) -> JobCollection:
    """Return the plugin of this session that collects jobs; it is registered at the first call."""
    found: JobCollection | None = config.pluginmanager.get_plugin(_PLUGIN)
    if found is None:
        found = JobCollection(config)
        config.pluginmanager.register(found, _PLUGIN)
    return found


class _NamedItem(pytest.Item):
    """Has the id that its name gives it.

    pytest makes a function's id from its parameters, and finds it again so (``--lf``); a job of a file has
    none.
    """

    def __init__(self, name: str, parent: pytest.Collector, **facts: Any) -> None:
        super().__init__(name, parent, **{**facts, "nodeid": f"{parent.nodeid}::{name}"})


class JobItem(pytest.Function, _NamedItem):
    """A job of a file given with ``--arena-jobs``."""

    def reportinfo(self) -> tuple[Path, int, str]:
        """Name the job as its node id does, and its line in the file, where pytest says it was skipped."""
        source = self.stash[JOB].source
        line = None if source is None else source.locate(())[0]
        return self.path, (line or 1) - 1, self.name


class JobFile(pytest.File):
    """A job file given with ``--arena-jobs``: its tests have the body that most users would write."""

    def collect(self) -> Iterable[pytest.Item]:
        """Yield a test for each job, or for each of its shards."""
        return job_collection(self.config).items_of(self)


def rollout(arena_rollout: Any) -> None:
    """Run the job and assert its thresholds."""
    __tracebackhide__ = USERS_MISTAKE
    arena_rollout().assert_thresholds()


def refuse_marked_without_job(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of what is selected, each test that is marked arena must have a job: else it would pass without one."""
    marked = [item for item in items if item.get_closest_marker("arena") is not None and not _has_job(item)]
    refuse(
        config,
        items,
        [f"{item.nodeid} is marked arena but has no job: {_why_without_job(item)}" for item in marked],
    )


def _has_job(item: pytest.Item) -> bool:
    """Whether the item evaluates a job, or is what pytest makes, and skips, where there are no jobs."""
    return job_of(item) is not None or "arena_job" in getattr(getattr(item, "callspec", None), "params", ())


def _why_without_job(item: pytest.Item) -> str:
    cls = getattr(item, "cls", None)
    if isinstance(cls, type) and issubclass(cls, unittest.TestCase):
        return "pytest cannot give one to a unittest.TestCase; use a function or a plain class"
    if isinstance(item, pytest.Function):
        return "the mark came after its collection; put it on the function, its class or its module"
    return f"pytest cannot give one to a {type(item).__name__}; mark test functions"


def refuse(config: pytest.Config, items: list[pytest.Item], problems: Sequence[str]) -> None:
    """End the session before any test where there are *problems*.

    A worker cannot raise: it reports a failed collection, which ends the controller's session.

    Args:
        config: That of this process, which tells whether it is a worker.
        items: The session's items; the list is emptied where there are problems.
        problems: One line each; the same line is shown once.

    Raises:
        UsageError: There are problems, and this process is no worker.
    """
    if problems:
        items.clear()  # pytest finishes its collection in any case: let it find nothing
    if problems and not is_worker(config):
        raise pytest.UsageError(*dict.fromkeys(problems))
    for problem in dict.fromkeys(problems):
        report = pytest.CollectReport("job files", "failed", longrepr=f"ERROR: {problem}", result=[])
        config.hook.pytest_collectreport(report=report)


def drop_duplicates(items: list[pytest.Item]) -> None:
    """A job that a Python test evaluates is not collected again from its file."""
    if not any(isinstance(item.parent, JobFile) for item in items):
        return
    python = {_file_and_name(item) for item in items if not isinstance(item.parent, JobFile)} - {None}
    dropped = [item for item in items if isinstance(item.parent, JobFile) and _file_and_name(item) in python]
    if dropped:
        dropped[0].config.hook.pytest_deselected(items=dropped)
        gone = set(dropped)
        items[:] = [item for item in items if item not in gone]


@collector_paused()
def name_jobs(items: Sequence[pytest.Item]) -> None:
    """Give each job its label, which names its folder; the shards of one job have theirs in common."""
    seen: Counter[str] = Counter()
    wholes: dict[str, list[tuple[pytest.Item, Job]]] = {}
    for item in items:
        if (job := job_of(item)) is not None:
            # With --keep-duplicates one test may be there twice.
            seen[item.nodeid] += 1
            node = whole_node_id(item, job) + f"#{seen[item.nodeid]}" * (seen[item.nodeid] > 1)
            wholes.setdefault(node, []).append((item, job))
    named = [
        JobNames(
            parts[0][1].name, parts[0][0].name.partition("[")[0], node, tuple(j.suffix for _, j in parts)
        )
        for node, parts in wholes.items()
    ]
    for label, parts in zip(choose_labels(named), wholes.values(), strict=True):
        for item, job in parts:
            item.stash[LABEL] = label + job.suffix


def order_by_environment(items: list[pytest.Item]) -> None:
    """Move jobs that can share an environment behind the first of them; all else keeps its place."""
    groups: dict[Any, list[pytest.Item]] = {}
    for item in items:
        job = job_of(item)
        key: Any = item
        if job is not None:
            key = environment_key(job)
        groups.setdefault(key, []).append(item)
    items[:] = [item for group in groups.values() for item in group]


def _file_and_name(item: pytest.Item) -> tuple[Path, str] | None:
    job = job_of(item)
    return (job.source.file.resolve(), job.name) if job is not None and job.source is not None else None


def _nodeid(config: pytest.Config, path: Path) -> str:
    """Return *path* as node ids have it: relative to the root directory where it is below that."""
    root = config.rootpath
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
