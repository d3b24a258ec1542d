"""The runs that a command line names, each whole or one job of it, and the jobs that they share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from pytest_arena.comparison.baseline import Baseline, BaselineJob, load_baseline
from pytest_arena.errors import BaselineError, did_you_mean, not_among
from pytest_arena.rollout.metrics import standard_metrics


@dataclass(frozen=True)
class NamedRun:
    """A run as the command line names it."""

    name: str
    """``A``, ``B`` …"""
    baseline: Baseline
    job: str | None = None
    """The label of the only job that is meant; None: all of them."""

    def __str__(self) -> str:
        return f"{self.baseline.path}" if self.job is None else f"{self.baseline.path}:{self.job}"

    def find(self, label: str) -> BaselineJob | None:
        """Return the job *label*, or the only one that is meant, whatever the others call it."""
        return self.baseline.find(label if self.job is None else self.job)


def read_runs(texts: Sequence[str]) -> list[NamedRun]:
    """Read the runs that *texts* name: ``RUN``, or ``RUN:JOB``; a path with a colon that exists wins.

    Raises `BaselineError`, one line, where there is no such run or job.
    """
    read: dict[Path, Baseline] = {}  # RUN:good and RUN:bad are one run
    runs = []
    for index, text in enumerate(texts):
        path, job = _parsed(text)
        baseline = read[path] if path in read else read.setdefault(path, load_baseline(path))
        if job is not None and (baseline.only is not None or baseline.find(job) is None):
            known = not_among(job, baseline.jobs, "it does not name its jobs")
            raise BaselineError(f"{text}: {baseline.path} has no job {job!r}{known}")
        runs.append(NamedRun(_name(index), baseline, job))
    return runs


def _parsed(text: str) -> tuple[Path, str | None]:
    run, colon, job = text.rpartition(":")
    if colon and run and job and not _exists(Path(text)) and _exists(Path(run)):
        return Path(run), job
    return Path(text), None


def _exists(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):  # a name that is too long, or that no file can have
        return path.exists()
    return False


def _name(index: int) -> str:
    """Return A, B, … Z, AA, AB …"""
    lap, place = divmod(index, len(ascii_uppercase))
    return (_name(lap - 1) if lap else "") + ascii_uppercase[place]


def shared_jobs(runs: Sequence[NamedRun]) -> dict[str, dict[str, BaselineJob]]:
    """Return label -> name of a run -> job, for the jobs that at least two of *runs* have.

    A file that does not name its job meets the only one of the others; so does a job that was named alone.
    Raises `BaselineError` where it cannot be told which job is meant, or none is shared.
    """
    if any(run.job is not None for run in runs):
        return _of_named_jobs(runs)
    if any(run.baseline.only is not None for run in runs):
        return _of_single_jobs(runs)
    shared: dict[str, dict[str, BaselineJob]] = {}
    met: set[int] = set()  # a job of LeRobot's file has two names
    for label in [label for run in runs for label in run.baseline.jobs]:
        found = {run.name: job for run in runs if (job := run.find(label)) is not None}
        if len(found) > 1 and not any(id(job) in met for job in found.values()):
            shared[label] = found
            met.update(id(job) for job in found.values())
    if not shared:
        paths = [str(run.baseline.path) for run in runs]
        raise BaselineError(f"{', '.join(paths[:-1])} and {paths[-1]} have no job in common")
    return shared


def _of_named_jobs(runs: Sequence[NamedRun]) -> dict[str, dict[str, BaselineJob]]:
    """Return the jobs that were named; a run that names none takes part with the job of that name."""
    labels = list(dict.fromkeys(run.job for run in runs if run.job is not None))
    jobs = {}
    for run in runs:
        if run.job is None and len(labels) > 1 and run.baseline.only is None:
            raise BaselineError(
                f"{run.baseline.path}: the other runs name different jobs ({', '.join(labels)}): say which "
                f"one is meant, {run.baseline.path}:JOB"
            )
        job = run.find(labels[0])
        if job is None:
            raise BaselineError(
                f"{run.baseline.path}: it has no job {labels[0]!r}{not_among(labels[0], run.baseline.jobs)}"
            )
        jobs[run.name] = job
    return {" vs ".join(labels): jobs}


def _of_single_jobs(runs: Sequence[NamedRun]) -> dict[str, dict[str, BaselineJob]]:
    nameless = next(run for run in runs if run.baseline.only is not None)
    jobs = {}
    for run in runs:
        own = [run.baseline.only] if run.baseline.only is not None else [*run.baseline.jobs.values()]
        if len(own) != 1:
            other = "the other run" if len(runs) == 2 else "each other run"
            raise BaselineError(
                f"{nameless.baseline.path} does not name its job: expected one job in {other}"
            )
        jobs[run.name] = own[0]
    return {next((label for run in runs for label in run.baseline.jobs), "job"): jobs}


def lacking(run: NamedRun, others: Iterable[NamedRun]) -> list[str]:
    """Return the jobs of *run* that none of the *others* has."""
    others = list(others)
    if run.job is not None or any(one.job is not None for one in others):
        return []
    if any(one.baseline.only is not None for one in (run, *others)):
        return []
    met = {id(job) for one in others for label in one.baseline.jobs if (job := run.find(label)) is not None}
    return [
        label
        for label, job in run.baseline.jobs.items()
        if id(job) not in met and all(one.find(label) is None for one in others)
    ]


def require_metric(name: str, shared: Mapping[str, Mapping[str, BaselineJob]]) -> None:
    """Raise `BaselineError` where no job of *shared* has a metric of this *name*."""
    jobs = [job for sides in shared.values() for job in sides.values()]
    known = {m.name for m in standard_metrics()}.union(*(job.definitions for job in jobs))
    if name not in known:
        raise BaselineError(
            f"--metric: no job has values of {name!r} for each episode{did_you_mean(name, known)}; "
            f"known: {', '.join(sorted(known))}"
        )
