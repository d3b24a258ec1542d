"""What differs between runs beside their results: policies, configurations, versions, revision, machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_arena.comparison.baseline import BaselineJob
from pytest_arena.comparison.named_runs import NamedRun
from pytest_arena.records.json_files import read_json

Facts = dict[tuple[str, str], Any]
"""(part, dotted key) -> value, which is not None."""

PARTS = ("policy", "configuration", "environment", "versions", "revision", "machine")
"""Of which a reader must know first."""
_SHORT = 12
"""Digits of a hash that are shown."""
_NAMES = {"changes": "uncommitted changes"}
"""Key of ``revision`` -> what it is called where nothing else tells what it is."""


@dataclass(frozen=True)
class Difference:
    """One key in which the runs differ."""

    part: str
    """One of `PARTS`."""
    key: str
    """Dotted, e.g. ``rollout.episodes``."""
    values: tuple[Any, ...]
    """One a run, in their order; None where the run says nothing."""
    jobs: tuple[str, ...] = ()
    """The compared jobs that it is about; empty where it is about the whole runs, or all of the jobs."""

    def texts(self, at_most: int = 200) -> list[str]:
        """Return the values as JSON without quotes around text, each of *at_most* characters; ``-``: none.

        Of a hash the first digits stand for it.
        """
        return [_text(value, at_most) for value in self.values]


def run_differences(
    runs: Sequence[NamedRun], shared: Mapping[str, Mapping[str, BaselineJob]]
) -> list[Difference]:
    """Return what differs between *runs* in the jobs that they share, and in what they ran on.

    Args:
        runs: Those that are compared.
        shared: Label -> name of a run -> job.

    Returns:
        The differences in the order of `PARTS`. What a run does not say differs from nothing else that is
        missing; a file without configurations, such as ``metrics.json``, says nothing.
    """
    manifests = [_manifest(run) for run in runs]
    found: dict[tuple[str, str, str], tuple[tuple[Any, ...], list[str]]] = {}
    for label, sides in shared.items():
        own = [
            _of_job(sides[run.name], manifest, run.job or label) if run.name in sides else None
            for run, manifest in zip(runs, manifests, strict=True)
        ]
        for (part, key), values in _unequal([facts for facts in own if facts is not None]):
            filled = iter(values)
            every = tuple(None if facts is None else next(filled) for facts in own)
            found.setdefault((part, key, json.dumps(every)), (every, []))[1].append(label)
    whole = [
        Difference(part, key, values)
        for (part, key), values in _unequal(
            [_of_run(manifest, _job_of(run, shared)) for run, manifest in zip(runs, manifests, strict=True)]
        )
    ]
    of_jobs = [
        Difference(part, key, values, () if len(labels) == len(shared) else tuple(labels))
        for (part, key, _), (values, labels) in found.items()
    ]
    return sorted([*of_jobs, *whole], key=lambda difference: PARTS.index(difference.part))


def describe_differences(differences: Sequence[Difference], at_most: int = 8) -> Iterator[str]:
    """Yield a line for each of *differences*, at most *at_most* lines."""
    shown = differences if len(differences) <= at_most else differences[: at_most - 1]
    for one in shown:
        values = " | ".join(_brief(value) for value in one.values)
        part = "" if one.part == "configuration" else f"{one.part} "
        jobs = f" (in {', '.join(one.jobs[:3])}{', …' if len(one.jobs) > 3 else ''})" if one.jobs else ""
        yield f"differs: {part}{one.key}: {values}{jobs}"
    if len(differences) > len(shown):
        yield f"differs: {len(differences) - len(shown)} more keys (all: --html FILE or --json)"


def _manifest(run: NamedRun) -> Mapping[str, Any]:
    """Return ``run.json`` of a run as it is; empty where there is none."""
    try:
        data = read_json(run.baseline.path / "run.json")
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _of_run(manifest: Mapping[str, Any], job: BaselineJob | None) -> Facts:
    """Return what a run says of where it ran; without a manifest, what the record of a *job* says."""
    facts: Facts = {}
    stored = job.stored if job is not None else None
    identity: Mapping[str, Any] = stored.record.identity if stored is not None else {}
    for part in ("versions", "revision", "machine"):
        said = manifest.get(part) or identity.get(part)
        facts.update({(part, _NAMES.get(key, key)): value for key, value in _flat(said)})
    if "machine" not in manifest and "host" in identity:
        facts["machine", "node"] = identity["host"]
    return facts


def _job_of(run: NamedRun, shared: Mapping[str, Mapping[str, BaselineJob]]) -> BaselineJob | None:
    return next((sides[run.name] for sides in shared.values() if run.name in sides), None)


def _of_job(job: BaselineJob, manifest: Mapping[str, Any], label: str) -> Facts:
    """Return what is known of a job: of its policy, its configuration, its environment."""
    facts: Facts = {}
    entry = _entry(manifest, label)
    for key in ("policy_source", "policy_files"):
        facts.update({("policy", _key_of(key, inner)): value for inner, value in _flat(entry.get(key))})
    if job.stored is not None:
        identity = job.stored.record.identity
        facts.update({("policy", key): value for key, value in _flat(identity.get("policy"))})
        facts.update({("environment", key): value for key, value in _flat(identity.get("environment"))})
    for key, value in _flat(job.config):
        if key != "name":  # of two jobs that are compared with each other, it is known
            facts["configuration", key] = value
    return facts


def _entry(manifest: Mapping[str, Any], label: str) -> Mapping[str, Any]:
    """Return the entry of the job *label*; of a sharded job, that of its first shard."""
    jobs = manifest.get("jobs")
    entries = (
        {name: entry for name, entry in jobs.items() if isinstance(entry, dict)}
        if isinstance(jobs, dict)
        else {}
    )
    if label in entries:
        return entries[label]
    for entry in entries.values():
        shard = entry.get("shard")
        if isinstance(shard, dict) and shard.get("label") == label:
            return entry
    return {}


def _key_of(*parts: str) -> str:
    """Return *parts* joined by dots, without empty ones."""
    return ".".join(part for part in parts if part)


def _flat(value: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of all that is said inside of *value*; what is null or empty is not said."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, _key_of(above, str(key)))
    elif value is not None and value != []:
        yield above, value


def _unequal(facts: Sequence[Facts]) -> Iterator[tuple[tuple[str, str], tuple[Any, ...]]]:
    """Yield the keys in which *facts*, one a run, are not all equal.

    A run that says nothing of a part does not count in it: of a job that was an error before its first
    episode, the record has no configuration to compare.
    """
    said = [{part for part, _ in own} for own in facts]
    for key in dict.fromkeys(key for own in facts for key in own):
        values = tuple(own.get(key) for own in facts)
        told = [value for value, parts in zip(values, said, strict=True) if key[0] in parts]
        if any(value != told[0] for value in told):
            yield key, values


def _text(value: Any, at_most: int) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) in (40, 64) and set(text) <= set("0123456789abcdef"):
        return text[:_SHORT]
    return text if len(text) <= at_most else f"{text[: at_most - 1]}…"


def _brief(value: Any) -> str:
    """Return *value* for a terminal: on one line."""
    return " ".join(_text(value, 60).split())
