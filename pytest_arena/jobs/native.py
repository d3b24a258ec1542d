"""The native format: ``jobs``, a mapping of name to job, and ``defaults`` merged under every job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_arena.jobs.messages import MOST_HINTS, KeyPath, fields_at, shown, unknown_key
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.raw_job import RawJob, Section, locator, merge

_KEYS = ("defaults", "groups", "jobs")
_SWITCHES = ("gate", "regression")
"""Keys that change how a job is judged by being there."""
_PLACES: dict[KeyPath, KeyPath] = {("name",): ()}


def read_native(top: Section) -> list[RawJob]:
    """Return the jobs of a native file; what is wrong around them is noted at *top*."""
    data = top.document.data
    for key in data:
        if key not in _KEYS:
            top.below(key).wrong(unknown_key(key, _KEYS))
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
            # Merging would drop it without a word, and the job would be judged without it.
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
