"""Verdicts over several jobs, in the words of the terminal: those that ``run.json`` has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_arena.comparison.groups import GroupVerdict, describe_group
from pytest_arena.comparison.multiple_comparisons import describe_family
from pytest_arena.records.from_json import from_json
from pytest_arena.records.schema import ComparisonVerdict
from pytest_arena.reports.html.job_row import JobRow


@dataclass(frozen=True, slots=True)
class SuiteLine:
    """One verdict."""

    text: str
    good: bool | None
    """None: nothing was judged."""


@dataclass(frozen=True, slots=True)
class _Group:
    """A group in ``run.json`` when the session has ended."""

    tag: str
    jobs: dict[str, list[str]]
    verdict: GroupVerdict


@dataclass(frozen=True, slots=True)
class _Judged:
    """A comparison among others."""

    rejected: bool


@dataclass(frozen=True, slots=True)
class _Family:
    """All comparisons of a run in ``run.json``."""

    rate: float | None
    method: str
    comparisons: dict[str, _Judged]


def suite_lines(data: Mapping[str, object], jobs: Sequence[JobRow], notes: list[str]) -> list[SuiteLine]:
    """Return the verdicts on the family and the groups.

    Args:
        data: ``run.json`` as it is.
        jobs: The last attempt at each whole job.
        notes: Takes a line for each verdict that cannot be read.

    Returns:
        One line a verdict; none of a group of which nobody asked for any job, or that is not judged yet.
    """
    lines = []
    by_label = {job.label: job for job in jobs}
    if isinstance(data.get("family"), Mapping):
        try:
            lines.append(_family(from_json(_Family, data["family"]), by_label))
        except ValueError as error:
            notes.append(f"run.json cannot be read: family.{error}")
    groups = data.get("groups")
    for number, group in enumerate(groups if isinstance(groups, list) else []):
        try:
            lines += _group(group, by_label)
        except ValueError as error:
            notes.append(f"run.json cannot be read: groups[{number}].{error}")
    return lines


def _family(family: _Family, jobs: Mapping[str, JobRow]) -> SuiteLine:
    if family.rate is None:
        raise ValueError("rate: expected a number, got null")
    if not family.comparisons:
        return SuiteLine("no comparison with a baseline to judge together", None)
    claimed = [
        label
        for label in sorted(family.comparisons)
        if label in jobs
        and (found := jobs[label].compared) is not None
        and found.verdict is ComparisonVerdict.REGRESSION
    ]
    judged = {label: {"rejected": found.rejected} for label, found in family.comparisons.items()}
    facts = {"rate": family.rate, "method": family.method, "comparisons": judged}
    return SuiteLine(
        describe_family(facts, claimed), not any(family.comparisons[label].rejected for label in claimed)
    )


def _group(data: object, jobs: Mapping[str, JobRow]) -> Iterator[SuiteLine]:
    if not isinstance(data, Mapping) or "verdict" not in data:
        return  # the session has not come to it
    group = from_json(_Group, data)
    if any(found.interval is not None and None in found.interval for found in group.verdict.results):
        raise ValueError("verdict.results: expected intervals of two numbers, got null")
    if any(group.jobs.values()):
        fixed = not any(jobs[label].may_stop for label in group.verdict.jobs if label in jobs)
        yield SuiteLine(describe_group(group.tag, group.verdict, fixed=fixed), group.verdict.passed)
