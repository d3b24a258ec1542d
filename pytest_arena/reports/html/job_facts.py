"""What a page says of a job in short lines: what was evaluated, with what, and what belongs to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from pytest_arena.records.schema import JobRecord
from pytest_arena.reports.html.stored_job import StoredJob
from pytest_arena.reports.html.timings_bar import TOTAL, seconds
from pytest_arena.reports.html.words import in_words, moment

HASH_DIGITS = 12
"""Of a hash: enough to tell two apart."""
LONGEST_IDENTITY = 2000
"""Characters of what an environment or a policy says of itself."""


def facts(job: StoredJob) -> Iterator[tuple[str, str]]:
    """Yield what was evaluated and how much of it, each with its label."""
    record, config = job.record, job.entry.config
    environment, policy = config.get("environment") or {}, config.get("policy") or {}
    yield "simulator", record.simulator if record else str(config.get("simulator", "?"))
    yield "environment", record.environment if record else str(environment.get("id", "?"))
    yield "policy", record.policy if record else str(policy.get("type", "?"))
    if instruction := config.get("language_instruction"):
        yield "instruction", f"“{instruction}”"
    if "num_envs" in environment:
        yield "rows", str(environment["num_envs"])
    if "seed" in environment:
        yield "seed", str(environment["seed"])
    if record is None:
        return
    yield "episodes", _episodes(record)
    if record.started_at is not None:
        started = moment(record.started_at)
        yield "started", record.started_at if started is None else in_words(started)
    if (total := record.timings.get(TOTAL)) is not None:
        yield "took", seconds(total)


def _episodes(record: JobRecord) -> str:
    counts = record.episodes
    measured, requested = counts.get("measured", 0), counts.get("requested", 0)
    text = f"{measured} of {requested} measured" if requested else f"{measured} measured"
    if errors := counts.get("errors", 0):
        text += f", {errors} with an error"
    if beyond := counts.get("beyond", 0):
        text += f", {beyond} more finished that the gate did not need"
    return text


def files(job: StoredJob) -> Iterator[tuple[str, str]]:
    """Yield the names and the URLs of a job's JSON files, those that there are."""
    for name in ("record.json", "episodes.jsonl"):
        if (job.path / name).is_file():
            yield name, quote(f"{job.folder}/{name}", errors="surrogateescape")


def relations(job: StoredJob) -> Iterator[tuple[str, list[str]]]:
    """Yield sentences about other attempts, shards and groups, each with the folders that it names."""
    if job.attempts and job.folder != (last := job.attempts[-1]):
        yield f"Attempt {job.attempt} of {len(job.attempts)}. What counts is the last one:", [last]
    elif len(job.attempts) > 1:
        yield f"Attempt {job.attempt} of {len(job.attempts)}. Earlier ones:", [*job.attempts[:-1]]
    if (shard := job.entry.shard) is not None:
        yield (
            f"Shard {shard.index} of {shard.count}, from 0. The verdict is that of the whole job:",
            [shard.label],
        )
    if job.shards:
        yield f"Joined from {len(job.shards)} shards:", [*job.shards]
    for tag in job.groups:
        yield f"In the group {tag}, whose verdict stands on top.", []
    comparison = job.record.comparison if job.record is not None else None
    if comparison is not None and comparison.family is not None:
        size = comparison.family.get("size", "?")
        yield f"Its comparison was judged together with those of the session, {size} in all.", []


def identity(job: StoredJob) -> Iterator[tuple[str, str]]:
    """Yield what was evaluated and with what, exactly: key and value, as one line of YAML each."""
    record, entry = job.record, job.entry
    digest = record.config_sha256 if record is not None else entry.config_sha256
    if digest:
        yield "configuration", digest[:HASH_DIGITS]
    if entry.nodeid:
        yield "test", entry.nodeid
    if entry.file:
        yield "written in", entry.file if entry.line is None else f"{entry.file}:{entry.line}"
    if record is None or "policy" not in record.identity:
        source = {"source": entry.policy_source} if entry.policy_source else {}
        if files := {**entry.policy_files, **source}:
            yield "policy's files", _said(files)
    if record is None:
        return
    yield "reproducible", "yes, episode by episode" if record.reproducible else "no"
    for key, value in record.identity.items():
        if key == "versions" and isinstance(value, Mapping):
            value = {name: version for name, version in value.items() if version != job.versions.get(name)}
        if value not in (None, {}, [], ""):
            yield key, _said(value)[:LONGEST_IDENTITY]


def _said(value: Any, *, inside: bool = False) -> str:
    """Return *value* in words: what is true by its name, hashes with `HASH_DIGITS`."""
    if isinstance(value, Mapping):
        text = ", ".join(
            str(key) if below is True else f"{key} {_said(below, inside=True)}"
            for key, below in value.items()
        )
        return f"({text})" if inside else text
    if isinstance(value, list):
        return f"[{', '.join(_said(item, inside=True) for item in value)}]"
    if isinstance(value, str):
        is_hash = len(value) in (40, 64) and set(value) <= set("0123456789abcdef")
        return value[:HASH_DIGITS] if is_hash else value
    return json.dumps(value)
