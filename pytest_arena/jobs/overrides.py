"""``--arena-set [JOB:]KEY=VALUE``: the last layer over every job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_arena.errors import JobFileError, shown
from pytest_arena.jobs.document import impossible_values, is_encodable
from pytest_arena.jobs.messages import MalformedError, fields_at, one_line, unknown_key
from pytest_arena.jobs.model import Job, is_safe_name
from pytest_arena.jobs.raw_job import RawJob, merge
from pytest_arena.jobs.yaml_source import parse_value

_LIMITS = frozenset({"episodes", "steps"})


@dataclass(frozen=True)
class Override:
    """One ``--arena-set``; *job* is None where it is for every job, a *value* of None removes the key."""

    job: str | None
    key: tuple[str, ...]
    value: Any
    text: str

    def problem(self, expectation: str) -> JobFileError:
        """Return the error that names this override as its place."""
        return JobFileError(f"--arena-set {one_line(self.text)}: {expectation}")

    def layer(self) -> dict[str, Any]:
        """Return the override as a mapping to be merged over a job."""
        value = self.value
        for part in reversed(self.key):
            value = {part: value}
        layer: dict[str, Any] = value
        return layer


def parse_override(text: str) -> Override:
    """Return the override in *text*; `JobFileError` if it is not one or names a key that no job has."""
    left, equals, right = text.partition("=")
    job, colon, below = left.partition(":")
    key = tuple(part.strip() for part in (below if colon else left).split("."))
    override = Override(job.strip() if colon else None, key, None, text)
    if not is_encodable(text):
        raise override.problem("expected UTF-8 text")
    if not equals or not all(key):
        raise override.problem("expected [JOB:]KEY=VALUE, such as rollout.episodes=2")
    if override.job is not None and not is_safe_name(override.job):
        raise override.problem(f"expected a job's name before the colon, got {shown(override.job)}")
    if not right.strip():
        raise override.problem("expected a value; null removes the key, '' is empty text")
    _check_key(override)
    return replace(override, value=_value(override, right))


def apply(overrides: Sequence[Override], raw_jobs: Iterable[RawJob]) -> list[RawJob]:
    """Return the jobs with the overrides that concern them merged over, in the order given."""
    return [_applied(overrides, raw) for raw in raw_jobs]


def _check_key(override: Override) -> None:
    for depth, part in enumerate(override.key):
        known = fields_at(Job, override.key[:depth])
        if known is None:
            continue
        if depth == 0 and part == "name":
            raise override.problem("a job's name cannot be overridden")
        if part not in known:
            raise override.problem(unknown_key(part, known - {"name"} if depth == 0 else known))


def _value(override: Override, text: str) -> Any:
    try:
        value = parse_value(text)
    except MalformedError as error:
        raise override.problem(error.text) from None
    for _, expectation in impossible_values(value):
        raise override.problem(expectation)
    return value


def _applied(overrides: Sequence[Override], raw: RawJob) -> RawJob:
    for override in overrides:
        if override.job in (None, raw.name):
            kept = _without_other_limit(raw.data, override)
            notes = raw.notes
            if raw.data.get("gate") is not None and "gate" not in kept:
                notes += (f"not gated: --arena-set {one_line(override.text)} takes the place of its budget",)
            overridden = (*raw.overridden, (override.key, override.text))
            raw = replace(raw, data=merge(kept, override.layer()), overridden=overridden, notes=notes)
    return raw


def _without_other_limit(data: dict[str, Any], override: Override) -> dict[str, Any]:
    """Return *data* without what the override's limit replaces: the other limit, a gate with its budget."""
    rollout, given = data.get("rollout", {}), override.layer().get("rollout")
    if not isinstance(rollout, dict) or not isinstance(given, dict):
        return data
    limits = {key for key in _LIMITS if given.get(key) is not None}
    if len(limits) != 1:
        return data
    kept = {key: value for key, value in rollout.items() if key not in _LIMITS - limits}
    return {**{key: value for key, value in data.items() if key != "gate"}, "rollout": kept}
