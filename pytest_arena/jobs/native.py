"""The native format: ``jobs``, a mapping of name to job, and ``defaults`` merged under every job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_arena.errors import JobFileError, did_you_mean, shown
from pytest_arena.jobs.messages import MOST_HINTS, KeyPath, dotted, fields_at, place, unknown_key
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.raw_job import RawJob, Section, locator, merge

_KEYS = ("defaults", "groups", "jobs")
_SWITCHES = ("gate", "regression")
"""Keys that change how a job is judged by being there."""
_PLACES: dict[KeyPath, KeyPath] = {("name",): ()}


def read_native(top: Section) -> list[RawJob]:
    """Return the jobs of a native file; what is wrong around them is noted at *top*."""
    data = top.document.data
    top.refuse_unknown(data, _KEYS)
    defaults = _settings(top.below("defaults"), data.get("defaults"))
    if defaults is None:
        return []
    jobs = data["jobs"]
    if not jobs:
        top.below("jobs").wrong(f"expected at least one job, got {shown(jobs)}")
    raw = []
    for name, written in (jobs or {}).items():
        section = top.below("jobs", name)
        settings = _settings(section, written)
        for key in _SWITCHES:
            # Merging would silently drop it, and the job would be judged without it.
            if settings is not None and key in settings and settings[key] is None and key not in defaults:
                section.below(key).wrong("expected a mapping, got null: {} stands for its defaults")
        if settings is not None:
            locate = locator(top.document, (section.key, ("defaults",)), _PLACES)
            raw.append(RawJob(name, merge(defaults, settings), locate))
    return raw


def _settings(section: Section, written: Any) -> dict[str, Any] | None:
    """Return a job's mapping, or None if it is wrong in a way that merging would hide."""
    if written is None:  # a job may leave everything to the defaults
        return {}
    if not isinstance(written, dict):
        section.wrong(f"expected a mapping, got {shown(written)}")
        return None
    if "name" in written:
        section.below("name").wrong("unknown key; a job's name is its key under jobs")
        return None
    for number, removed in enumerate(_removed(written, ())):
        known = fields_at(Job, removed[:-1])
        if known is not None and removed[-1] not in known:
            words = unknown_key(removed[-1], known) if number < MOST_HINTS else "unknown key"
            section.below(*removed).wrong(words)
    return written


def _removed(value: dict[str, Any], key: KeyPath) -> Iterator[KeyPath]:
    """Yield the keys with the value null: merging drops them, so a misspelled one must be found before."""
    for name, item in value.items():
        if item is None:
            yield (*key, name)
        elif isinstance(item, dict):
            yield from _removed(item, (*key, name))


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
