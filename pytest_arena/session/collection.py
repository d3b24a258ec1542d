"""Job files → test items: parametrized ones, and those that need no Python; ordered by environment."""

from __future__ import annotations

import contextlib
import unittest
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.errors import USERS_MISTAKE, JobFileError, StrayOutcomeError, did_you_mean
from pytest_arena.evaluation.validate import validate, validate_group
from pytest_arena.guards.foreign_code import foreign_code
from pytest_arena.jobs.loader import Loaded, collector_paused, load_file
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.overrides import Override, parse_override
from pytest_arena.options import is_worker, note_jobs, settings
from pytest_arena.session.job_items import (
    _FILES,
    JOB,
    LABEL,
    environment_key,
    job_of,
    metrics_of,
    whole_node_id,
)
from pytest_arena.session.labels import Named, choose_labels

_PROBLEMS = pytest.StashKey[list[str]]()
_TAGS = pytest.StashKey[set[str]]()
"""Tags that pytest knows as marks."""


@collector_paused()
def parametrize(metafunc: pytest.Metafunc) -> None:
    """Give the function one parameter set a job of its marker's files."""
    note_jobs(metafunc.config)
    function = metafunc.definition
    jobs: list[Job] = []
    for mark in function.iter_markers("arena"):
        if not mark.args or not all(isinstance(arg, (str, Path)) for arg in mark.args) or mark.kwargs:
            _problem(metafunc.config, f'{function.nodeid}: expected @pytest.mark.arena("jobs.yaml", …)')
        for arg in mark.args:
            jobs += _load(metafunc.config, Path(function.path.parent, str(arg)))
    if "arena_job" not in metafunc.fixturenames:
        _problem(
            metafunc.config,
            f"{function.nodeid}: a test marked arena needs the fixture arena_rollout (or arena_job)",
        )
        return
    for name, count in Counter(job.name for job in jobs).items():
        if count > 1:
            _problem(metafunc.config, f"{function.nodeid}: its job files have {count} jobs named {name!r}")
            return
    params = [
        pytest.param(part, id=part.name + part.suffix, marks=_marks(metafunc.config, job))
        for job in jobs
        for part in job.shards()
    ]
    metafunc.parametrize("arena_job", params, indirect=True)


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
        """Yield a test a job."""
        note_jobs(self.config)
        for job in (part for whole in _load(self.config, self.path) for part in whole.shards()):
            name = f"rollout[{job.name}{job.suffix}]"
            item = JobItem.from_parent(self, name=name, callobj=rollout)
            item.stash[JOB] = job
            for mark in _marks(self.config, job):
                item.add_marker(mark)
            yield item


def rollout(arena_rollout: Any) -> None:
    """Run the job and assert its thresholds."""
    __tracebackhide__ = USERS_MISTAKE
    arena_rollout().assert_thresholds()


def refuse_problems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Raise one `UsageError` with a line a problem: nothing is simulated before every job is valid."""
    problems: list[str] = [*config.stash.setdefault(_PROBLEMS, [])]
    names = {job.name for loaded in config.stash.get(_FILES, {}).values() for job in loaded.jobs}
    for override in _overrides(config) if not problems else ():
        if override.job is not None and override.job not in names:
            hint = did_you_mean(override.job, names)
            problems.append(f"--arena-set {override.text}: no job is named {override.job!r}{hint}")
    if not problems:
        from pytest_arena.session import baseline_check

        problems += baseline_check.problems(config, items)
    refuse(config, items, problems)


def refuse_other_jobs(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of what is selected, all must be a part of the run that is resumed, and the baseline must be whole."""
    from pytest_arena.session import baseline_check
    from pytest_arena.session.resume_check import differences

    refuse(config, items, [*differences(config, items), *baseline_check.broken(config, items)])


def refuse_marked_without_job(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of what is selected, each test that is marked arena must have a job: else it would pass without one."""
    marked = [item for item in items if item.get_closest_marker("arena") is not None and not _has_job(item)]
    refuse(config, items, [f"{item.nodeid} is marked arena but has no job: {_why(item)}" for item in marked])


def _has_job(item: pytest.Item) -> bool:
    """Whether the item evaluates a job, or is what pytest makes, and skips, where there are no jobs."""
    return job_of(item) is not None or "arena_job" in getattr(getattr(item, "callspec", None), "params", ())


def _why(item: pytest.Item) -> str:
    cls = getattr(item, "cls", None)
    if isinstance(cls, type) and issubclass(cls, unittest.TestCase):
        return "pytest cannot give one to a unittest.TestCase; use a function or a plain class"
    if isinstance(item, pytest.Function):
        return "the mark came after its collection; put it on the function, its class or its module"
    return f"pytest cannot give one to a {type(item).__name__}; mark test functions"


def refuse(config: pytest.Config, items: list[pytest.Item], problems: Sequence[str]) -> None:
    """Raise, or in a worker, which cannot, report a failed collection: that ends the controller's session."""
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
    python = {_written(item) for item in items if not isinstance(item.parent, JobFile)} - {None}
    dropped = [item for item in items if isinstance(item.parent, JobFile) and _written(item) in python]
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
        Named(parts[0][1].name, parts[0][0].name.partition("[")[0], node, tuple(j.suffix for _, j in parts))
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


def _load(config: pytest.Config, path: Path) -> list[Job]:
    """Load and validate a file once a session; problems are kept for `refuse_problems`."""
    files = config.stash.setdefault(_FILES, {})
    with contextlib.suppress(OSError, RuntimeError):  # links in a ring, a long name: reading it says so
        path = path.resolve()
    if path not in files:
        files[path] = Loaded([], [])
        try:
            # Classes that a job names and plugins' metrics have a say: a skip there must not skip all jobs.
            with foreign_code(f"what {path.name} names, or a plugin,"):
                files[path] = _validated(config, path)
        except (JobFileError, StrayOutcomeError) as error:
            _problem(config, str(error))
    return files[path].jobs


def _validated(config: pytest.Config, path: Path) -> Loaded:
    loaded = load_file(path, _overrides(config))
    metrics = {job.name: metrics_of(config, job) for job in loaded.jobs}
    for job in loaded.jobs:
        validate(job, metrics[job.name])
    for group in loaded.groups:
        validate_group(group, group.members(loaded.jobs), metrics)
    return loaded


def _overrides(config: pytest.Config) -> list[Override]:
    return [parse_override(text) for text in settings(config).overrides]


def _problem(config: pytest.Config, text: str) -> None:
    config.stash.setdefault(_PROBLEMS, []).append(text)


def _marks(config: pytest.Config, job: Job) -> list[pytest.MarkDecorator]:
    declared = config.stash.setdefault(_TAGS, set())
    for tag in job.tags:
        if tag not in declared:
            declared.add(tag)
            known = {line.split(":")[0].split("(")[0].strip() for line in config.getini("markers")}
            if tag not in known:
                config.addinivalue_line("markers", f"{tag}: arena jobs with this tag")
    return [getattr(pytest.mark, tag) for tag in job.tags]


def _written(item: pytest.Item) -> tuple[Path, str] | None:
    job = job_of(item)
    return (job.source.file.resolve(), job.name) if job is not None and job.source is not None else None
