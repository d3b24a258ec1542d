"""From a job file to jobs: three formats, chosen by what the file holds, and one line for every mistake."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pytest_arena.errors import did_you_mean, shown
from pytest_arena.jobs.document import read_document
from pytest_arena.jobs.isaaclab_arena_json import read_arena_json
from pytest_arena.jobs.isaaclab_arena_yaml import read_arena_yaml
from pytest_arena.jobs.messages import KeyPath, Problems, plain_errors
from pytest_arena.jobs.model import Job, Source
from pytest_arena.jobs.native import Group, read_groups, read_native
from pytest_arena.jobs.overrides import Override, apply
from pytest_arena.jobs.raw_job import RawJob, Section

_TOP_KEYS = ("defaults", "groups", "jobs", "shared", "runs")


@dataclass(frozen=True)
class Loaded:
    """What a job file holds."""

    jobs: list[Job]
    """In the order of the file."""
    groups: list[Group]


def load_jobs(path: Path, overrides: Sequence[Override] = ()) -> list[Job]:
    """Return the jobs of the file *path*; see `load_file`."""
    return load_file(Path(path), overrides).jobs


def load_file(path: Path, overrides: Sequence[Override] = ()) -> Loaded:
    """Return the jobs of the file *path*, overridden and validated, and its groups.

    Raises `JobFileError`, one line that names file, line and key, for whatever is wrong with the file.
    """
    with collector_paused():
        document = read_document(path)
        problems = Problems(path)
        top = Section(document, problems)
        raw_jobs = apply(overrides, _read(top))
        jobs = [job for raw in raw_jobs if (job := _validated(path, raw, problems)) is not None]
        problems.raise_first()
        groups = read_groups(top, jobs) if isinstance(document.data.get("jobs"), dict) else []
        problems.raise_first()
    return Loaded(jobs, groups)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Spare the search for cycles among the many small objects of jobs: it takes as long as all the rest."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read(top: Section) -> list[RawJob]:
    data = top.document.data
    if not isinstance(data, dict):
        top.wrong(f"expected a mapping with the key jobs or runs, got {shown(data)}")
    elif "jobs" in data and "runs" in data:
        top.below("runs").wrong("expected either jobs or runs, got both")
    elif "runs" in data:
        return read_arena_yaml(top)
    elif isinstance(data.get("jobs"), list):
        return read_arena_json(top)
    elif isinstance(data.get("jobs", 0), dict | None):
        return read_native(top)
    elif "jobs" in data:
        top.below("jobs").wrong(f"expected a mapping or a list of jobs, got {shown(data['jobs'])}")
    else:
        unknown = next((key for key in data if key not in _TOP_KEYS), None)
        near = did_you_mean(unknown, _TOP_KEYS) if unknown is not None else ""
        place = top.below(unknown) if unknown is not None else top
        place.wrong(f"expected the key jobs or runs{near}")
    return []


def _validated(path: Path, raw: RawJob, problems: Problems) -> Job | None:
    source = Source(Path(os.path.abspath(path)), raw.locate, raw.overridden, raw.notes)
    try:
        return Job.model_validate({"name": raw.name, **raw.data}).written_in(source)
    except ValidationError as error:
        for key, expectation in plain_errors(error, Job):
            line, _ = raw.locate(key)
            problems.add_error(line, source.problem(key, expectation + _both_limits(raw, key)))
    return None


def _both_limits(raw: RawJob, key: KeyPath) -> str:
    """Say where each of two limits was written if one of them comes from the defaults."""
    rollout = raw.data.get("rollout")
    limits = [limit for limit in ("episodes", "steps") if isinstance(rollout, dict) and limit in rollout]
    if key != ("rollout",) or len(limits) < 2:
        return ""
    names = [raw.locate((*key, limit))[1] for limit in limits]
    apart = len({name.removesuffix(limit) for name, limit in zip(names, limits, strict=True)}) > 1
    return f" ({' and '.join(names)}; null removes one)" if apart else ""
