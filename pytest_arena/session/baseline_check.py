"""The session's baseline: read once a process, and only where something is compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_arena.errors import BaselineError, first_few
from pytest_arena.evaluation.judge import Against
from pytest_arena.options import asked_by, settings
from pytest_arena.session.job_items import LABEL, added_metrics, job_of, whole_label

if TYPE_CHECKING:
    from pytest_arena.comparison.baseline import Baseline
    from pytest_arena.jobs.model import Job
    from pytest_arena.jobs.sections import Regression

_BASELINE = pytest.StashKey["Baseline"]()


def baseline_of(config: pytest.Config) -> Baseline | None:
    """Return the baseline; None where none was given. A `UsageError` where it cannot be read."""
    path = settings(config).baseline
    if path is None:
        return None
    if _BASELINE not in config.stash:
        from pytest_arena.comparison.baseline import load_baseline

        try:
            config.stash[_BASELINE] = load_baseline(path)
        except BaselineError as error:
            raise pytest.UsageError(f"{asked_by(config, 'arena_baseline')} {error}") from None
    return config.stash[_BASELINE]


def against(config: pytest.Config, job: Job) -> Against:
    """Return what *job*, if it has a ``regression``, is compared with."""
    baseline = baseline_of(config) if job.regression is not None else None
    return Against(baseline, deferred=settings(config).family_error is not None)


def problems(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Return a line for each reason why *items*, all that were collected, cannot have this baseline."""
    compared = [item for item in items if _regression(job_of(item)) is not None]
    if not compared:
        return []
    try:
        baseline = baseline_of(config)
    except pytest.UsageError as error:
        return [str(error)]
    asked = asked_by(config, "arena_baseline")
    labels = {whole_label(item) for item in compared if LABEL in item.stash}
    if baseline is None or (baseline.only is not None and len(labels) == 1):
        return []
    if baseline.only is not None:
        return [
            f"{asked} {baseline.path}: it does not name its job, so a single job can have the key "
            f"regression, got {len(labels)}"
        ]
    if not any(baseline.find(label) for label in labels):
        return [
            f"{asked} {baseline.path}: expected some of the jobs {', '.join(sorted(labels)[:5])}, "
            f"it has {first_few(baseline.jobs) or 'none'}"
        ]
    return []


def broken(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Return a line for each job among *items*, the selected ones, whose files in the baseline are broken."""
    if settings(config).baseline is None:
        return []
    from pytest_arena.comparison.decision_rule import metric_named

    jobs = {whole_label(item): job_of(item) for item in items if LABEL in item.stash}
    problems = []
    for label, job in jobs.items():
        regression = _regression(job)
        if job is None or regression is None or (baseline := baseline_of(config)) is None:
            continue
        found, metric = baseline.find(label), metric_named(regression.metric, added_metrics(config, job))
        try:
            if found is not None and metric is not None:
                found.checked(metric)
        except BaselineError as error:
            problems.append(f"{asked_by(config, 'arena_baseline')}: job {label!r}: {error}")
    return problems


def _regression(job: Job | None) -> Regression | None:
    """Return what *job* compares; a part of a job compares nothing."""
    return job.regression if job is not None and job.rollout.only is None else None
