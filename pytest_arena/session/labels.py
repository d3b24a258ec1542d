"""The jobs' labels: names of folders that no two jobs of a run can share, on any file system.

A label claims more than one folder: a rerun's attempt has ``.2`` behind it, a shard ``-shard0of4``, and both
may come together. File systems that ignore case, or dots at the end, are met everywhere.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from pytest_arena.records.run_directory import RUN_FILES

LONGEST = 200
"""Characters of a label: with the suffixes of shard and attempt it stays below the 255 of a file name."""
_ATTEMPT = re.compile(r"(.+)\.(?:[2-9]|[1-9][0-9]+)")
"""A folder that may be a later attempt at the job whose label is the group."""


@dataclass(frozen=True)
class JobNames:
    """What a job can be called by; a sharded job is one, with all its shards."""

    name: str
    """The job's own."""
    function: str
    """The test's."""
    node: str
    """What tells the test from all others: its node id, as if its job were not sharded."""
    suffixes: tuple[str, ...] = ()
    """Of its shards."""

    def candidates(self) -> tuple[str, ...]:
        """Return labels, the best first; no other job has the last one."""
        digest = sha256(self.node.encode()).hexdigest()
        function = re.sub(r"[^A-Za-z0-9._-]+", "-", self.function)
        labels = (self.name, f"{self.name}-{function}", f"{self.name}-{digest[:8]}", f"{self.name}-{digest}")
        return tuple(map(_cut, labels))


def choose_labels(jobs: Sequence[JobNames]) -> list[str]:
    """Return a label a job: the first candidate that no other job is in the way of.

    Of two jobs that want one folder, the one whose name only looks like another's shard or attempt gives way;
    so does the one that has given way before; else both do.
    """
    candidates = [job.candidates() for job in jobs]
    chosen = [0] * len(jobs)
    while True:
        claims: defaultdict[str, list[int]] = defaultdict(list)
        derived: defaultdict[str, set[int]] = defaultdict(set)
        for index, job in enumerate(jobs):
            label = candidates[index][chosen[index]]
            claims[_folded(label)].append(index)
            for suffix in job.suffixes:
                derived[_folded(label + suffix)].add(index)
        losing = {
            index
            for folder, owners in claims.items()
            for index in _losers(folder, owners, chosen, claims, derived)
            if chosen[index] + 1 < len(candidates[index])
        }
        if not losing:
            return [labels[level] for labels, level in zip(candidates, chosen, strict=True)]
        for index in losing:
            chosen[index] += 1


def _losers(
    folder: str,
    owners: Sequence[int],
    chosen: Sequence[int],
    claims: Mapping[str, Collection[int]],
    derived: Mapping[str, Collection[int]],
) -> Iterator[int]:
    """Yield which of the jobs that want *folder* for a label of theirs must look for another one."""
    attempt = _ATTEMPT.fullmatch(folder)
    base = None if attempt is None else _folded(attempt[1])
    others = {*derived.get(folder, ())}
    if base is not None:
        others |= {*claims.get(base, ()), *derived.get(base, ())}
    for index in owners:
        if folder in _RESERVED or others - {index}:
            yield index
    if len(owners) > 1:
        latest = max(chosen[index] for index in owners)
        yield from (index for index in owners if chosen[index] == latest)


def _folded(label: str) -> str:
    """Return what is equal for names that some file system does not tell apart."""
    return label.casefold().rstrip(".")


def _cut(label: str) -> str:
    if len(label) <= LONGEST:
        return label
    return f"{label[: LONGEST - 9]}-{sha256(label.encode()).hexdigest()[:8]}"


_RESERVED = frozenset(map(_folded, RUN_FILES))
