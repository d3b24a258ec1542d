"""The key ``groups`` of a native job file: thresholds on the mean over the jobs that share a tag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_arena.errors import JobFileError, did_you_mean
from pytest_arena.jobs.messages import dotted, place, shown
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.raw_job import Section


@dataclass(frozen=True)
class Group:
    """The jobs of one file that share a tag, and what their mean must hold."""

    tag: str
    thresholds: Mapping[str, str]
    """Metric -> threshold, as in a job."""
    file: Path
    lines: Mapping[str, int | None]
    """Metric -> line of its threshold."""

    def problem(self, metric: str, expectation: str) -> JobFileError:
        """Return the error for a wrong threshold on *metric*."""
        key = dotted(("groups", self.tag, metric))
        return JobFileError(f"{place(self.file, self.lines[metric])}: {key}: {expectation}")

    def members(self, jobs: list[Job]) -> list[Job]:
        """Return those of *jobs* that have the tag."""
        return [job for job in jobs if self.tag in job.tags]


def read_groups(top: Section, jobs: list[Job]) -> list[Group]:
    """Return the groups of a native file with *jobs*; what is wrong with their shape is noted at *top*."""
    written = top.document.data.get("groups")
    section = top.below("groups")
    if written is None:
        return []
    if not isinstance(written, dict):
        section.wrong(f"expected a mapping of tag to thresholds, got {shown(written)}")
        return []
    tags = {tag for job in jobs for tag in job.tags}
    groups = []
    for tag, thresholds in written.items():
        if tag not in tags:
            section.below(tag).wrong(f"no job of this file has the tag {shown(tag)}{did_you_mean(tag, tags)}")
        elif _are_thresholds(section.below(tag), thresholds):
            document = top.document
            lines = {metric: document.line(("groups", tag, metric)) for metric in thresholds}
            groups.append(Group(tag, thresholds, document.file, lines))
    return groups


def _are_thresholds(section: Section, thresholds: Any) -> bool:
    if not isinstance(thresholds, dict) or not thresholds:
        section.wrong(f"expected a mapping of metric to threshold, got {shown(thresholds)}")
        return False
    for metric, text in thresholds.items():
        if not isinstance(text, str):
            section.below(metric).wrong(f'expected a string such as ">= 0.9", got {shown(text)}')
            return False
    return True
